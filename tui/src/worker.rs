//! The one worker: a slot for each kind of job, in which the newest request replaces what waited and cancels what ran.
//!
//! ```text
//! submit ─▶ slots [open | run | project | list | save | occlude] ─ most urgent first ─▶ tasks ─▶ Message::Job
//!                    └─ newest generation of each kind ─▶ asked by running jobs through their progress callback
//! ```
//! A long job serves more urgent ones from its callback and then goes on. A panic in a job becomes an answer.

mod ahead;
mod save;
mod task;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use switchback_core::Shape;
use switchback_core::picture::Picture;
use switchback_core::text::escape;

use crate::cli::context::Context;
use crate::cli::input::{self, Input, Source};
use crate::job::{Answer, Kind, Request};
use crate::message::Message;
use ahead::Decoding;
#[cfg(test)]
pub(crate) use task::keep;

/// Where answers go.
pub(crate) type Sink = Box<dyn Fn(Message) + Send>;

/// A handle on the worker; it ends with the handle.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    slots: Mutex<Slots>,
    wake: Condvar,
    /// The picture that the first run will ask for.
    ahead: Mutex<Option<Decoding>>,
    /// The newest generation of each kind; a job of an older one is cancelled.
    newest: [AtomicU64; Kind::ALL.len()],
}

#[derive(Default)]
struct Slots {
    waiting: [Option<Request>; Kind::ALL.len()],
    stop: bool,
}

fn index(kind: Kind) -> usize {
    Kind::ALL.iter().position(|&k| k == kind).expect("every kind is listed")
}

impl Worker {
    /// Starts the thread. Jobs open models as `context` says; its talk goes nowhere.
    pub(crate) fn start(context: Context, sink: Sink) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let bench = Bench { shared: Arc::clone(&shared), context, sink, stdin: Mutex::default() };
        let thread = std::thread::Builder::new().name("worker".into()).spawn(move || bench.work())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Puts a request into its slot.
    pub(crate) fn submit(&self, request: Request) {
        let kind = index(request.kind);
        self.shared.newest[kind].store(request.generation, Ordering::Release);
        self.shared.lock().waiting[kind] = Some(request);
        self.shared.wake.notify_one();
    }

    /// Begins to decode a picture that will be asked for.
    pub(crate) fn read_ahead(&self, source: &Source) {
        *self.shared.ahead() = Decoding::begin(source);
    }

    /// Empties the slot and cancels what runs of this kind.
    pub(crate) fn cancel(&self, kind: Kind) {
        // Generations only rise, so no job can have this one.
        self.shared.newest[index(kind)].store(u64::MAX, Ordering::Release);
        self.shared.lock().waiting[index(kind)] = None;
    }

    /// Requests that wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.shared.lock().waiting.iter().flatten().count()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        for kind in Kind::ALL {
            self.cancel(kind);
        }
        self.shared.lock().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // Its panics were caught one by one.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ahead(&self) -> MutexGuard<'_, Option<Decoding>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The worker's own side.
pub(crate) struct Bench {
    shared: Arc<Shared>,
    pub(crate) context: Context,
    sink: Sink,
    /// What came on stdin.
    stdin: Mutex<Option<Input>>,
}

impl Bench {
    fn work(&self) {
        while let Some(request) = self.next() {
            self.perform(request);
        }
    }

    /// Waits for a request; `None` when the handle is gone.
    fn next(&self) -> Option<Request> {
        let mut slots = self.shared.lock();
        loop {
            if slots.stop {
                return None;
            }
            if let Some(request) = slots.waiting.iter_mut().find_map(Option::take) {
                return Some(request);
            }
            slots = self.shared.wake.wait(slots).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn perform(&self, request: Request) {
        let (kind, generation) = (request.kind, request.generation);
        let answer = match catch_unwind(AssertUnwindSafe(|| task::perform(self, request))) {
            Ok(answer) => answer,
            Err(payload) => Answer::Panicked(escape(&said(&*payload)).into_owned()),
        };
        self.answer(kind, generation, answer);
    }

    /// The picture of `source`, if it is the one that is decoded ahead.
    fn read_ahead(&self, source: &Source) -> Option<switchback_core::Result<Picture>> {
        let decoding = self.shared.ahead().take()?;
        decoding.end(source)
    }

    /// Reads an input. What came on stdin comes once: it is kept for other models and later runs.
    fn read(&self, source: &Source, expected: Shape) -> anyhow::Result<Input> {
        if *source != Source::Stdin {
            return input::read(&self.context, source, expected);
        }
        let mut kept = self.stdin.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(input) = &*kept {
            return Ok(input.clone());
        }
        Ok(kept.insert(input::read(&self.context, source, expected)?).clone())
    }

    /// Says something about a job.
    pub(crate) fn answer(&self, kind: Kind, generation: u64, answer: Answer) {
        (self.sink)(Message::Job { kind, generation, answer });
    }

    /// Whether nobody wants this job's result any more.
    pub(crate) fn is_stale(&self, kind: Kind, generation: u64) -> bool {
        self.shared.newest[index(kind)].load(Ordering::Acquire) != generation
    }

    /// Does what is more urgent than `kind` and waits. True where the job must give way for good: its model or picture
    /// is no longer what is looked at.
    pub(crate) fn give_way(&self, kind: Kind) -> bool {
        loop {
            let request = {
                let mut slots = self.shared.lock();
                if slots.stop || [Kind::Open, Kind::Run].iter().any(|&k| slots.waiting[index(k)].is_some()) {
                    return true;
                }
                let urgent = &mut slots.waiting[..index(kind)];
                urgent.iter_mut().find_map(Option::take)
            };
            match request {
                Some(request) => self.perform(request),
                None => return false,
            }
        }
    }
}

/// What a panic said.
fn said(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no words".into())
}
