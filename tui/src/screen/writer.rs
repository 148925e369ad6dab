//! The thread that sends: one slot for a frame, of which the newest stands; the rest goes in order.
//!
//! ```text
//! draw ──▶ slot (newest frame) ──▶ difference to what was really sent ──▶ one write, shown at once (mode 2026)
//!          queue (copied text …) ─┘
//! ```
//! A frame that nobody could see any more is never sent: while the link is busy, the slot is overwritten.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::buffer::Buffer;

use super::encode::{Frame, Shown};
use super::glyphs::Glyphs;
use super::pace::{Pace, Rate};
use super::tty::Tty;
use crate::color::ColorMode;
use crate::probe::MARK;

/// What was drawn.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) buffer: Buffer,
    pub(crate) cursor: Option<[u16; 2]>,
    pub(crate) mode: ColorMode,
}

/// What was sent so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    /// Frames drawn.
    pub(crate) drawn: u64,
    /// Frames sent; fewer where some were overtaken or changed nothing.
    pub(crate) sent: u64,
    /// Bytes of all frames.
    pub(crate) bytes: u64,
    /// Bytes of the last frame.
    pub(crate) last: usize,
    /// How long after its writing the last answered frame was on the screen.
    pub(crate) delay: Option<Duration>,
}

#[derive(Debug, Default)]
struct Inside {
    frame: Option<Drawn>,
    queue: VecDeque<Vec<u8>>,
    pace: Option<Pace>,
    synchronized: bool,
    forget: bool,
    held: bool,
    writing: bool,
    closed: bool,
    statistics: Statistics,
}

/// The slot and the queue.
#[derive(Debug)]
pub(crate) struct Writer {
    inside: Mutex<Inside>,
    changed: Condvar,
    tty: Arc<Tty>,
    between: Duration,
}

impl Writer {
    /// Starts the thread; at most one frame each `between`. `gone` is called once, when the link is broken.
    pub(crate) fn start(tty: Arc<Tty>, between: Duration, gone: impl Fn() + Send + 'static) -> Arc<Self> {
        let inside = Mutex::new(Inside { pace: Some(Pace::new()), ..Inside::default() });
        let writer = Arc::new(Self { inside, changed: Condvar::new(), tty, between });
        let shared = Arc::clone(&writer);
        let run = move || {
            if shared.run().is_err() {
                gone();
            }
        };
        drop(thread::Builder::new().name("screen-writer".into()).spawn(run).expect("a thread starts"));
        writer
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Puts a frame in the slot.
    pub(crate) fn frame(&self, drawn: Drawn) {
        let mut inside = self.lock();
        inside.frame = Some(drawn);
        inside.statistics.drawn += 1;
        self.changed.notify_all();
    }

    /// Sends `bytes` after all that was queued; `asks`: they end with [`MARK`].
    pub(crate) fn queue(&self, bytes: impl Into<Vec<u8>>, asks: bool) {
        let mut inside = self.lock();
        let bytes = bytes.into();
        if asks && let Some(pace) = &mut inside.pace {
            pace.sent(bytes.len(), Instant::now());
        }
        inside.queue.push_back(bytes);
        self.changed.notify_all();
    }

    /// The terminal showed everything up to a question.
    pub(crate) fn answered(&self) {
        let mut inside = self.lock();
        let delay = inside.pace.as_mut().and_then(|pace| pace.answered(Instant::now()));
        inside.statistics.delay = delay.or(inside.statistics.delay);
        self.changed.notify_all();
    }

    /// Whether frames are shown at once.
    pub(crate) fn synchronize(&self, on: bool) {
        self.lock().synchronized = on;
    }

    /// The next frame is sent whole.
    pub(crate) fn forget(&self) {
        self.lock().forget = true;
    }

    /// Counts so far.
    pub(crate) fn statistics(&self) -> Statistics {
        self.lock().statistics
    }

    /// Holds frames back and waits until none is being written, `most` at most.
    pub(crate) fn hold(&self, most: Duration) {
        let mut inside = self.lock();
        inside.held = true;
        drop(self.changed.wait_timeout_while(inside, most, |inside| inside.writing));
    }

    /// Lets frames go again, the next one whole.
    pub(crate) fn release(&self) {
        let mut inside = self.lock();
        inside.held = false;
        inside.forget = true;
        if let Some(pace) = &mut inside.pace {
            pace.forget();
        }
        self.changed.notify_all();
    }

    /// Waits for the answers still under way, so that none is left to whoever reads the terminal next.
    pub(crate) fn drain(&self, most: Duration) {
        let waiting = |inside: &mut Inside| inside.pace.as_ref().is_some_and(|pace| pace.awaited() > 0);
        drop(self.changed.wait_timeout_while(self.lock(), most, waiting));
    }

    /// Ends the thread.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn run(&self) -> std::io::Result<()> {
        let mut next = Next::new();
        let mut rate = Rate::new(self.between, Instant::now());
        let mut inside = self.lock();
        loop {
            if inside.closed {
                return Ok(());
            }
            match inside.ready(Instant::now(), &rate) {
                Ok(()) => {}
                Err(None) => {
                    inside = self.changed.wait(inside).unwrap_or_else(|poisoned| poisoned.into_inner());
                    continue;
                }
                Err(Some(time)) => {
                    let waited = self.changed.wait_timeout(inside, time);
                    inside = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
                    continue;
                }
            }
            inside.writing = true;
            let queued = inside.queue.pop_front();
            let frame = if queued.is_none() { inside.frame.take() } else { None };
            let marks = Marks {
                synchronized: inside.synchronized,
                asks: inside.pace.as_ref().is_some_and(Pace::asks),
                whole: frame.is_some() && std::mem::take(&mut inside.forget),
            };
            drop(inside);
            let bytes = match (&queued, frame) {
                (Some(bytes), _) => &bytes[..],
                (None, Some(frame)) => next.frame(&frame, marks),
                (None, None) => &[],
            };
            let shows = queued.is_none() && !bytes.is_empty();
            if shows
                && marks.asks
                && let Some(pace) = &mut self.lock().pace
            {
                // Before the write: the answer may come before it returns.
                pace.sent(bytes.len(), Instant::now());
            }
            let result = if bytes.is_empty() { Ok(()) } else { self.tty.write(bytes) };
            if shows {
                rate.sent(Instant::now());
            }
            inside = self.lock();
            inside.writing = false;
            if shows {
                inside.statistics.sent += 1;
                inside.statistics.bytes += bytes.len() as u64;
                inside.statistics.last = bytes.len();
            }
            self.changed.notify_all();
            result?;
        }
    }
}

impl Inside {
    /// Whether something may be written now; else how long to wait at most, `None`: until something changes.
    fn ready(&mut self, now: Instant, rate: &Rate) -> Result<(), Option<Duration>> {
        if self.held {
            return Err(None);
        }
        if !self.queue.is_empty() {
            return Ok(());
        }
        if self.frame.is_none() {
            return Err(None);
        }
        self.pace.as_mut().map_or(Ok(()), |pace| pace.room(now)).map_err(Some)?;
        rate.room(now).map_err(Some)
    }
}

/// What stands around a frame.
#[derive(Clone, Copy)]
struct Marks {
    synchronized: bool,
    /// It ends with the question whether it is shown.
    asks: bool,
    /// What is on the screen is not counted on.
    whole: bool,
}

/// The frame that is to be sent, as bytes.
struct Next {
    shown: Shown,
    glyphs: Glyphs,
    out: Vec<u8>,
}

impl Next {
    fn new() -> Self {
        Self { shown: Shown::new(), glyphs: Glyphs::new(ColorMode::None), out: Vec::new() }
    }

    /// What brings the screen from what was sent to `drawn`; nothing where they are the same.
    fn frame(&mut self, drawn: &Drawn, marks: Marks) -> &[u8] {
        if self.glyphs.mode() != drawn.mode {
            self.glyphs = Glyphs::new(drawn.mode);
        }
        if marks.whole {
            self.shown.forget();
        }
        let cells = self.glyphs.of(&drawn.buffer);
        let [columns, rows] = [drawn.buffer.area.width, drawn.buffer.area.height].map(usize::from);
        let [begin, end] = if marks.synchronized { ["\x1b[?2026h", "\x1b[?2026l"] } else { [""; 2] };
        self.out.clear();
        self.out.extend_from_slice(begin.as_bytes());
        self.shown.bring(&Frame { columns, rows, cells: &cells, cursor: drawn.cursor }, &mut self.out);
        if self.out.len() == begin.len() {
            return &[];
        }
        self.out.extend_from_slice(end.as_bytes());
        if marks.asks {
            self.out.extend_from_slice(MARK.as_bytes());
        }
        &self.out
    }
}
