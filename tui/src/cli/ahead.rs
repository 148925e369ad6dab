//! Packing ahead: filters are packed while the picture is still being read, where a command has threads for both.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use switchback_core::session::Session;

/// Sessions whose filters are being packed; dropped, it lets that go on.
#[derive(Debug, Default)]
pub(crate) struct Ahead(Vec<JoinHandle<()>>);

impl Ahead {
    /// Packs what `pack` asks of `session`, on a thread of its own. With one thread the run itself packs, and also where no
    /// thread starts.
    pub(crate) fn begin(&mut self, session: &Arc<Session>, pack: impl FnOnce(&Session) + Send + 'static) {
        if session.cpu().threads.count() > 1 {
            let session = Arc::clone(session);
            self.0.extend(Builder::new().name("packs-ahead".into()).spawn(move || pack(&session)));
        }
    }

    /// Waits until all is packed: a run in between would pack the same again. Panics as packing did.
    pub(crate) fn end(&mut self) {
        for thread in self.0.drain(..) {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    }
}
