//! The browser as a process: one channel, three threads, one loop.
//!
//! ```text
//! screen (events) ─┐
//! worker (answers) ─┴▶ channel ─▶ update(state) ─▶ effects ─▶ worker, screen
//!                                      └─ all that waits is taken first, then one frame is drawn
//! ```

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::cli::context::Context;
use crate::message::{Effect, Message};
use crate::screen::{self, Background, Event, Screen, Statistics};
use crate::state::State;
use crate::update::{open_model, update};
use crate::view;
use crate::worker::Worker;

/// What the loop hears.
enum Heard {
    Screen(Event),
    Worker(Message),
}

impl Heard {
    /// Whether nobody looks for it at this very moment: what was computed, and what the terminal says of itself.
    fn can_wait(&self) -> bool {
        match self {
            Heard::Worker(_) => true,
            Heard::Screen(event) => {
                matches!(event, Event::Mode(_) | Event::Background(_) | Event::Cell(_) | Event::Focus(_))
            }
        }
    }
}

/// How to begin.
pub(crate) struct Start {
    pub(crate) state: State,
    /// The model to open: `Some(None)` is the built-in one.
    pub(crate) model: Option<Option<PathBuf>>,
    pub(crate) options: screen::Options,
}

/// While something is computed, spinner and clock move this often.
const TURN: Duration = Duration::from_millis(120);
/// What is computed so soon after a frame waits so long for what follows from it, to be shown with it in one frame.
const TOGETHER: Duration = Duration::from_millis(25);

/// How it ended.
pub(crate) struct End {
    /// As it was left.
    pub(crate) state: State,
    /// The exit status.
    pub(crate) status: u8,
    /// Of what was sent.
    pub(crate) statistics: Statistics,
}

/// Runs until somebody quits.
pub(crate) fn run(context: &Context, start: Start) -> anyhow::Result<End> {
    let (send, heard) = mpsc::channel();
    let from_worker = send.clone();
    // After the end nobody listens any more.
    let sink = Box::new(move |message| drop(from_worker.send(Heard::Worker(message))));
    let worker = Worker::start(context.silent(), sink).context("cannot start a thread")?;
    let Start { mut state, model, options } = start;
    // The picture is decoded and the model opens while the screen does.
    if model.is_some()
        && let Some(source) = state.pictures.get(state.selection.picture)
    {
        worker.read_ahead(source);
    }
    let mut effects = Vec::new();
    if let Some(path) = model {
        open_model(&mut state, path, &mut effects);
    }
    for effect in effects {
        if let Effect::Submit(request) = effect {
            worker.submit(request);
        }
    }
    let screen = Screen::open(options, move |event| drop(send.send(Heard::Screen(event))))
        .context("cannot take the terminal over")?;
    let mut app = App { state, screen, worker, begun: Instant::now(), drawn: Instant::now(), owed: true, status: None };
    app.state.size = app.screen.size();
    app.state.mode = app.screen.mode();
    app.state.aspect = app.screen.cell_aspect();
    app.draw()?;
    let status = app.listen(&heard)?;
    let statistics = app.screen.statistics();
    let App { state, screen, .. } = app;
    // The terminal is itself again before anything is said.
    drop(screen);
    Ok(End { state, status, statistics })
}

struct App {
    state: State,
    screen: Screen,
    worker: Worker,
    begun: Instant,
    /// When a frame was drawn last.
    drawn: Instant,
    /// Something changed since.
    owed: bool,
    /// Set when the loop shall end.
    status: Option<u8>,
}

impl App {
    fn listen(&mut self, heard: &Receiver<Heard>) -> anyhow::Result<u8> {
        loop {
            let first = match self.wait() {
                None => heard.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(time) => heard.recv_timeout(time),
            };
            self.take(Message::Clock(self.begun.elapsed()));
            let mut waits = true;
            match first {
                Ok(first) => {
                    // A flood is taken whole before anything is drawn.
                    for heard in std::iter::once(first).chain(heard.try_iter()) {
                        waits &= heard.can_wait();
                        self.hear(heard);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
            if let Some(status) = self.status {
                return Ok(status);
            }
            self.owed = waits && self.state.awaits() && self.drawn.elapsed() < TOGETHER;
            if !self.owed {
                self.draw()?;
            }
        }
    }

    /// How long nothing needs to be drawn unless something happens.
    fn wait(&self) -> Option<Duration> {
        let notice = self.state.notice.as_ref().map(|n| n.until.saturating_sub(self.begun.elapsed()));
        let turn = (!self.state.flights.is_empty()).then_some(TURN);
        let later = [notice, turn].into_iter().flatten().min().map(|t| t.max(Duration::from_millis(5)));
        let owed = self.owed.then(|| TOGETHER.saturating_sub(self.drawn.elapsed()));
        [later, owed].into_iter().flatten().min()
    }

    fn hear(&mut self, heard: Heard) {
        let message = match heard {
            Heard::Worker(message) => message,
            Heard::Screen(event) => match event {
                Event::Key(key) => Message::Key(key.into()),
                Event::Mouse(mouse) => Message::Mouse(mouse),
                Event::Paste(text) => Message::Paste(text),
                Event::Resize(size) => Message::Resize(size),
                Event::Mode(mode) => Message::Mode(mode),
                Event::Background(ground) => Message::Background { light: ground == Background::Light },
                Event::Cell(aspect) => Message::Aspect(aspect),
                Event::Focus(_) => return,
                Event::Suspend => return self.perform(Effect::Suspend),
                Event::Continue => return self.screen.redraw(),
                Event::Hangup => return self.status = Some(129),
                Event::Terminate => return self.status = Some(143),
            },
        };
        self.take(message);
    }

    fn take(&mut self, message: Message) {
        for effect in update(&mut self.state, message) {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Submit(request) => self.worker.submit(request),
            Effect::Cancel(kind) => self.worker.cancel(kind),
            Effect::Copy(text) => self.screen.copy(&text),
            Effect::Mouse(on) if on != self.screen.mouse() => self.screen.set_mouse(on),
            Effect::Mouse(_) => {}
            Effect::Redraw => self.screen.redraw(),
            Effect::Suspend => {
                if let Err(error) = self.screen.suspend() {
                    self.state.say(true, format!("cannot be suspended: {error}"));
                }
                self.state.size = self.screen.size();
            }
            Effect::Quit => self.status = Some(0),
        }
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        (self.drawn, self.owed) = (Instant::now(), false);
        self.screen.draw(|frame| view::draw(&self.state, frame)).context("cannot write to the terminal")
    }
}
