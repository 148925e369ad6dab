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
use super::pace::Pace;
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
        let mut shown = Shown::new();
        let mut glyphs = Glyphs::new(ColorMode::None);
        let mut last: Option<Instant> = None;
        let mut out = Vec::new();
        let mut inside = self.lock();
        loop {
            if inside.closed {
                return Ok(());
            }
            let now = Instant::now();
            let wait = match (&inside.queue.is_empty(), inside.held, &inside.frame) {
                (false, false, _) => Ok(()),
                (_, true, _) | (true, _, None) => Err(None),
                (true, false, Some(_)) => {
                    let paced = inside.pace.as_mut().map_or(Ok(()), |pace| pace.room(now));
                    let early = last.map_or(Duration::ZERO, |at| (at + self.between).saturating_duration_since(now));
                    match paced {
                        Err(time) => Err(Some(time)),
                        Ok(()) if !early.is_zero() => Err(Some(early)),
                        Ok(()) => Ok(()),
                    }
                }
            };
            match wait {
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
            if let Some(bytes) = inside.queue.pop_front() {
                drop(inside);
                let result = self.tty.write(&bytes);
                inside = self.lock();
                inside.writing = false;
                self.changed.notify_all();
                result?;
                continue;
            }
            let Some(drawn) = inside.frame.take() else { continue };
            let [synchronized, forget] = [inside.synchronized, std::mem::take(&mut inside.forget)];
            let asks = inside.pace.as_ref().is_some_and(Pace::asks);
            drop(inside);

            if glyphs.mode() != drawn.mode {
                glyphs = Glyphs::new(drawn.mode);
            }
            if forget {
                shown.forget();
            }
            let cells = glyphs.of(&drawn.buffer);
            let [columns, rows] = [drawn.buffer.area.width, drawn.buffer.area.height].map(usize::from);
            out.clear();
            let begin = if synchronized { "\x1b[?2026h" } else { "" };
            out.extend_from_slice(begin.as_bytes());
            shown.bring(&Frame { columns, rows, cells: &cells, cursor: drawn.cursor }, &mut out);
            let empty = out.len() == begin.len();
            if !empty {
                if synchronized {
                    out.extend_from_slice(b"\x1b[?2026l");
                }
                if asks {
                    out.extend_from_slice(MARK.as_bytes());
                    // Before the write: the answer may come before it returns.
                    if let Some(pace) = &mut self.lock().pace {
                        pace.sent(out.len(), Instant::now());
                    }
                }
            }
            let result = if empty { Ok(()) } else { self.tty.write(&out) };
            last = Some(Instant::now());
            inside = self.lock();
            inside.writing = false;
            if !empty {
                inside.statistics.sent += 1;
                inside.statistics.bytes += out.len() as u64;
                inside.statistics.last = out.len();
            }
            self.changed.notify_all();
            result?;
        }
    }
}
