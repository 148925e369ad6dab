//! What is done before anybody asks for it: the first picture is decoded while the model opens, and its filters are packed
//! while the file's digest is reckoned and the picture brought to size.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use switchback_core::picture::Picture;
use switchback_core::projection::Rule;
use switchback_core::session::Session;

use super::task;
use crate::cli::ahead::Ahead;
use crate::cli::input::Source;
use crate::job::Scope;
use crate::subject;

/// A picture that is being decoded.
#[derive(Debug)]
pub(super) struct Decoding {
    source: Source,
    thread: JoinHandle<switchback_core::Result<Picture>>,
}

impl Decoding {
    /// Of a picture's file; `None` for other sources, or where no thread starts.
    pub(super) fn begin(source: &Source) -> Option<Self> {
        let Source::Picture(path) = source else { return None };
        let (source, path) = (source.clone(), path.clone());
        let thread = Builder::new().name("reads-ahead".into()).spawn(move || Picture::open(&path)).ok()?;
        Some(Self { source, thread })
    }

    /// The picture, if it is that of `source`; waits for it. Panics as decoding did.
    pub(super) fn end(self, source: &Source) -> Option<switchback_core::Result<Picture>> {
        (self.source == *source).then(|| self.thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

/// Packs the filters of the first run and of its projection; nobody waits for it: what is missing, the run packs.
pub(super) fn pack(session: &Arc<Session>) {
    Ahead::default().begin(session, |session| {
        let layer = subject::first_layer(session.network());
        let scope = Scope::Glimpse { layer, rule: Rule::default() };
        session.prepare(&task::keep(session.network(), scope).and(&session.keep_scores()));
        session.prepare_back(layer);
    });
}
