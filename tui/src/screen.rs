//! The terminal as a screen: frames go out in few bytes, events come in, and whatever happens it is given back as it was.
//!
//! ```text
//! ratatui's Frame ─ draw ─▶ writer thread ─ encode ─▶ tty          pace: no more under way than the link takes
//! your channel ◀─ Event ─── reader thread ◀─ input ── tty          probe: replies, parsed whenever they come
//!                     └──── signals: WINCH TERM HUP TSTP CONT
//! ```
//! `glyphs`: what cells look like · `encode`, `pen`: the bytes · `input`: the other way · `tty`: the device.

mod encode;
mod glyphs;
mod input;
#[cfg(unix)]
mod jobs;
mod pace;
mod pen;
mod reader;
#[cfg(test)]
mod tests;
mod tty;
mod writer;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread::{self, ThreadId};
use std::time::Duration;

use crossterm::event::{KeyEvent, MouseEvent};
use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Position, Rect, Size};
use ratatui::{Frame, Terminal};

use crate::color::ColorMode;
pub(crate) use crate::probe::Background;
use crate::probe::{MARK, QUESTIONS, Reply, first_mode, mode_after};
use crate::terminal::{Environment, Process};
use tty::Tty;
use writer::{Drawn, Writer};

pub(crate) use writer::Statistics;

/// How to open the screen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// These colours whatever the terminal says.
    pub(crate) color: Option<ColorMode>,
    /// Whether the mouse is reported.
    pub(crate) mouse: bool,
    /// Frames sent in a second, at most.
    pub(crate) frames_per_second: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { color: None, mouse: true, frames_per_second: 60 }
    }
}

/// What happens at the terminal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// A key, pressed or repeated.
    Key(KeyEvent),
    /// The mouse.
    Mouse(MouseEvent),
    /// Text pasted.
    Paste(String),
    /// Columns and rows are these now.
    Resize([u16; 2]),
    /// Focus came or went.
    Focus(bool),
    /// The terminal can show other colours than was thought: draw for these.
    Mode(ColorMode),
    /// The terminal's background.
    Background(Background),
    /// Height of a cell over its width.
    Cell(f64),
    /// Somebody asks to suspend: call [`Screen::suspend`].
    Suspend,
    /// The process was stopped and goes on: draw again.
    Continue,
    /// The link is broken: end.
    Hangup,
    /// The process shall end.
    Terminate,
}

/// The terminal, until it is dropped.
pub(crate) struct Screen {
    shared: Arc<Shared>,
    terminal: Terminal<Canvas>,
}

/// What the threads share.
pub(crate) struct Shared {
    tty: Arc<Tty>,
    writer: Arc<Writer>,
    wanted: Option<ColorMode>,
    mode: Mutex<ColorMode>,
    aspect: Mutex<Option<f64>>,
    own: AtomicBool,
    sink: Box<dyn Fn(Event) + Send + Sync>,
}

impl Screen {
    /// Takes the terminal over. `sink` gets every event, from other threads; it must not block.
    ///
    /// # Errors
    /// There is no terminal.
    pub(crate) fn open(options: Options, sink: impl Fn(Event) + Send + Sync + 'static) -> io::Result<Self> {
        let tty = Arc::new(Tty::open(options.mouse)?);
        let sink: Arc<dyn Fn(Event) + Send + Sync> = Arc::new(sink);
        let gone = Arc::clone(&sink);
        let between = Duration::from_secs(1) / options.frames_per_second.max(1);
        restore_on_panic(&tty);
        let enter = tty.enter()?;
        let writer = Writer::start(Arc::clone(&tty), between, move || gone(Event::Hangup));
        let shared = Arc::new(Shared {
            wanted: options.color,
            mode: Mutex::new(first_mode(options.color, &Process)),
            aspect: Mutex::new(tty.cell_aspect()),
            own: AtomicBool::new(true),
            sink: Box::new(move |event| sink(event)),
            tty,
            writer,
        });
        // One write with the first frame would wait for it; two cost nothing.
        shared.writer.queue(format!("{enter}{QUESTIONS}"), true);
        reader::start(&shared)?;
        let terminal = Terminal::new(Canvas::new(Arc::clone(&shared)))?;
        Ok(Self { shared, terminal })
    }

    /// Draws a frame; it is sent when the terminal can take it, unless a newer one comes first.
    pub(crate) fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(render).map(drop)
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> [u16; 2] {
        self.shared.tty.size()
    }

    /// The colours the terminal shows, as far as is known.
    pub(crate) fn mode(&self) -> ColorMode {
        self.shared.mode()
    }

    /// Height of a cell over its width, as far as is known.
    pub(crate) fn cell_aspect(&self) -> f64 {
        self.shared.aspect.lock().map_or(None, |aspect| *aspect).unwrap_or(2.0)
    }

    /// Puts `text` on the clipboard of whoever looks at the terminal (OSC 52), through tmux where that passes it on.
    pub(crate) fn copy(&self, text: &str) {
        self.shared.writer.queue(clipboard(text, &Process), false);
    }

    /// Whether mouse reports come.
    pub(crate) fn set_mouse(&self, on: bool) {
        self.shared.tty.set_mouse(on);
        self.shared.writer.queue(if on { tty::MOUSE_ON } else { tty::MOUSE_OFF }, false);
    }

    /// Whether mouse reports are on.
    pub(crate) fn mouse(&self) -> bool {
        self.shared.tty.mouse()
    }

    /// The next frame is sent whole: something else wrote on the screen.
    pub(crate) fn redraw(&self) {
        self.shared.writer.forget();
    }

    /// What was sent.
    pub(crate) fn statistics(&self) -> Statistics {
        self.shared.writer.statistics()
    }

    /// Gives the terminal back, stops the process, and takes it again when the shell continues it. Draw afterwards.
    ///
    /// # Errors
    /// The terminal is gone; or no shell waits, as under `ssh -t HOST switchback`: a stop would be for ever.
    #[cfg(unix)]
    pub(crate) fn suspend(&self) -> io::Result<()> {
        if !jobs::can_come_back() {
            return Err(io::Error::other("no shell waits here that could bring it back"));
        }
        self.shared.leave();
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
        self.shared.enter("")
    }

    /// Nothing: such systems do not stop processes.
    #[cfg(not(unix))]
    pub(crate) fn suspend(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.shared.leave();
        self.shared.writer.close();
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("size", &self.size()).field("mode", &self.mode()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("tty", &self.tty).field("writer", &self.writer).finish_non_exhaustive()
    }
}

impl Shared {
    fn mode(&self) -> ColorMode {
        *self.mode.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn send(&self, event: Event) {
        (self.sink)(event);
    }

    fn leave(&self) {
        self.own.store(false, Ordering::SeqCst);
        self.writer.hold(Duration::from_millis(500));
        self.tty.close_screen();
        self.writer.drain(Duration::from_millis(700));
        self.tty.close_line();
    }

    /// Takes the terminal again; `first` undoes what is left of the time before.
    fn enter(&self, first: &str) -> io::Result<()> {
        let enter = self.tty.enter()?;
        self.tty.write(format!("{first}{enter}").as_bytes())?;
        self.own.store(true, Ordering::SeqCst);
        self.writer.release();
        self.writer.queue(MARK, true);
        Ok(())
    }

    /// After SIGCONT: a shell may have changed the terminal behind us, and the window its size.
    fn continued(&self) {
        // Out first: the cursor and pen that the terminal keeps for the shell must not become ours.
        if self.own.load(Ordering::SeqCst) && self.enter(tty::AGAIN).is_ok() {
            self.send(Event::Continue);
        }
    }

    fn reply(&self, reply: Reply) {
        match reply {
            Reply::Here => self.writer.answered(),
            Reply::Synchronized(on) => self.writer.synchronize(on),
            Reply::Background(background) => self.send(Event::Background(background)),
            Reply::Cell([width, height]) => {
                if let Some(aspect) = tty::plausible_aspect(f64::from(width), f64::from(height)) {
                    if let Ok(mut known) = self.aspect.lock() {
                        *known = Some(aspect);
                    }
                    self.send(Event::Cell(aspect));
                }
            }
            Reply::TrueColor(answer) => {
                let mut mode = self.mode.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                let after = mode_after(*mode, self.wanted, answer);
                if after != *mode {
                    *mode = after;
                    drop(mode);
                    self.send(Event::Mode(after));
                }
            }
            Reply::Other => {}
        }
    }
}

/// Where a panicking thread finds the terminal.
static PANICS: Mutex<Option<(ThreadId, Arc<Tty>)>> = Mutex::new(None);

/// Restores the terminal before the message of a panic that ends the program: of the thread that calls this, or of one
/// of the screen's own. Panics of other threads print nothing while the screen is open; whoever started them tells.
fn restore_on_panic(tty: &Arc<Tty>) {
    static HOOK: Once = Once::new();
    *PANICS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some((thread::current().id(), Arc::clone(tty)));
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let known = PANICS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
            if let Some((owner, tty)) = known
                && tty.entered()
            {
                let thread = thread::current();
                if thread.id() != owner && !thread.name().is_some_and(|name| name.starts_with("screen-")) {
                    return;
                }
                tty.leave();
            }
            before(panic);
        }));
    });
}

/// The sequence that copies `text`; tmux must be told to pass it on.
fn clipboard(text: &str, env: &impl Environment) -> String {
    let plain = format!("\x1b]52;c;{}\x07", base64(text.as_bytes()));
    match env.var("TMUX").filter(|v| !v.is_empty()) {
        // tmux takes it for itself and, where it is allowed to, passes the wrapped one on.
        Some(_) => format!("{plain}\x1bPtmux;{}\x1b\\", plain.replace('\x1b', "\x1b\x1b")),
        None => plain,
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, i| bits << 8 | u32::from(three.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// What ratatui draws on: all cells, given to the writer when a frame is whole.
#[derive(Debug)]
struct Canvas {
    shared: Arc<Shared>,
    cells: Buffer,
    cursor: Option<Position>,
}

impl Canvas {
    fn new(shared: Arc<Shared>) -> Self {
        let [columns, rows] = shared.tty.size();
        Self { shared, cells: Buffer::empty(Rect::new(0, 0, columns, rows)), cursor: None }
    }
}

impl Backend for Canvas {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        for (x, y, cell) in content {
            if let Some(place) = self.cells.cell_mut((x, y)) {
                place.clone_from(cell);
            }
        }
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.cursor = None;
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.cursor.get_or_insert_default();
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(self.cursor.unwrap_or_default())
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        if let Some(cursor) = &mut self.cursor {
            *cursor = position.into();
        }
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.clear_region(ClearType::All)
    }

    fn clear_region(&mut self, _: ClearType) -> io::Result<()> {
        // A full screen is only ever cleared whole.
        let [columns, rows] = self.shared.tty.size();
        self.cells = Buffer::empty(Rect::new(0, 0, columns, rows));
        Ok(())
    }

    fn size(&self) -> io::Result<Size> {
        let [columns, rows] = self.shared.tty.size();
        Ok(Size::new(columns, rows))
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size()?, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> io::Result<()> {
        let cursor = self.cursor.map(|at| [at.x, at.y]);
        self.shared.writer.frame(Drawn { buffer: self.cells.clone(), cursor, mode: self.shared.mode() });
        Ok(())
    }
}
