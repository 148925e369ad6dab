//! The terminal through crossterm: frames out, events in.

use std::io::{self, Stdout, Write};
use std::time::Duration;

use crossterm::event::{
    self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, KeyEvent, KeyEventKind,
    MouseEvent,
};
use crossterm::terminal::{
    self, BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{cursor, execute};
use ratatui::backend::CrosstermBackend;
use ratatui::{Frame, Terminal};

use crate::color::ColorMode;

/// How the screen is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Instead of what is found out.
    pub(crate) color: Option<ColorMode>,
    pub(crate) mouse: bool,
    #[allow(dead_code)]
    pub(crate) frames_per_second: u32,
}

/// What lies behind the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Background {
    Light,
    #[allow(dead_code)]
    Dark,
}

/// What happens at the terminal.
#[allow(dead_code)]
pub(crate) enum Event {
    Key(KeyEvent),
    Mouse(MouseEvent),
    Paste(String),
    Resize([u16; 2]),
    Focus(bool),
    Mode(ColorMode),
    Background(Background),
    Cell(f64),
    Suspend,
    Continue,
    Hangup,
    Terminate,
}

/// The terminal, until it is dropped.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    mode: ColorMode,
    mouse: bool,
}

fn enter(mouse: bool) -> io::Result<()> {
    terminal::enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)?;
    if mouse { execute!(io::stdout(), EnableMouseCapture) } else { Ok(()) }
}

fn leave() {
    // Nothing can be done about a terminal that is gone.
    let _ = execute!(io::stdout(), DisableMouseCapture, DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
    let _ = terminal::disable_raw_mode();
}

impl Screen {
    /// Takes the terminal over. `sink` gets every event from another thread.
    pub(crate) fn open(options: Options, sink: impl Fn(Event) + Send + Sync + 'static) -> io::Result<Self> {
        // The colours are chosen by us; crossterm must not strip them again.
        crossterm::style::force_color_output(true);
        let mode = options.color.unwrap_or_else(|| crate::terminal::detect(&crate::terminal::Process));
        enter(options.mouse)?;
        let main = std::thread::current().id();
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() == main {
                leave();
                hook(info);
            }
        }));
        std::thread::Builder::new().name("input".into()).spawn(move || {
            loop {
                match event::read() {
                    Ok(event::Event::Key(key)) if key.kind != KeyEventKind::Release => sink(Event::Key(key)),
                    Ok(event::Event::Mouse(mouse)) => sink(Event::Mouse(mouse)),
                    Ok(event::Event::Paste(text)) => sink(Event::Paste(text)),
                    Ok(event::Event::Resize(columns, rows)) => sink(Event::Resize([columns, rows])),
                    Ok(_) => {}
                    Err(_) => return sink(Event::Hangup),
                }
            }
        })?;
        Ok(Self { terminal: Terminal::new(CrosstermBackend::new(io::stdout()))?, mode, mouse: options.mouse })
    }

    pub(crate) fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        execute!(io::stdout(), BeginSynchronizedUpdate)?;
        self.terminal.draw(render)?;
        execute!(io::stdout(), EndSynchronizedUpdate)
    }

    pub(crate) fn size(&self) -> [u16; 2] {
        crate::terminal::size().map(|n| n.min(usize::from(u16::MAX)) as u16)
    }

    pub(crate) fn mode(&self) -> ColorMode {
        self.mode
    }

    pub(crate) fn cell_aspect(&self) -> Option<f64> {
        Some(crate::terminal::cell_aspect())
    }

    /// Into the clipboard, by OSC 52.
    pub(crate) fn copy(&mut self, text: &str) {
        let _ = execute!(io::stdout(), crossterm::style::Print(osc52(text)));
    }

    pub(crate) fn set_mouse(&mut self, on: bool) {
        self.mouse = on;
        let _ =
            if on { execute!(io::stdout(), EnableMouseCapture) } else { execute!(io::stdout(), DisableMouseCapture) };
    }

    pub(crate) fn redraw(&mut self) {
        let _ = self.terminal.clear();
    }

    /// Back to the shell; returns after `fg`.
    pub(crate) fn suspend(&mut self) {
        leave();
        let _ = io::stdout().flush();
        #[cfg(unix)]
        let _ = signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP);
        std::thread::sleep(Duration::from_millis(10));
        let _ = enter(self.mouse);
        self.redraw();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

fn osc52(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::from("\x1b]52;c;");
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0_u32, |b, &x| b << 8 | u32::from(x)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            out.push(if i <= chunk.len() { char::from(DIGITS[(bits >> (18 - 6 * i) & 63) as usize]) } else { '=' });
        }
    }
    out + "\x1b\\"
}
