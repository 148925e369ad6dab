//! The threads that listen: to the keyboard and to signals.

use std::sync::Arc;
use std::thread;

use super::Shared;
#[cfg(unix)]
use super::{
    Event,
    input::{Input, Parser},
    tty::Read,
};

/// Starts them.
#[cfg(unix)]
pub(super) fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
    use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGWINCH};
    let mut signals = signal_hook::iterator::Signals::new([SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGWINCH])?;
    let keys = Arc::clone(shared);
    thread::Builder::new().name("screen-reader".into()).spawn(move || read(&keys))?;
    let told = Arc::clone(shared);
    let listen = move || {
        for signal in signals.forever() {
            told.send(match signal {
                SIGWINCH => Event::Resize(told.tty.size()),
                SIGHUP => Event::Hangup,
                SIGTSTP => Event::Suspend,
                SIGCONT => {
                    told.continued();
                    continue;
                }
                _ => Event::Terminate,
            });
        }
    };
    thread::Builder::new().name("screen-signals".into()).spawn(listen)?;
    Ok(())
}

#[cfg(unix)]
fn read(shared: &Shared) {
    let mut parser = Parser::default();
    let (mut bytes, mut inputs) = ([0; 4096], Vec::new());
    loop {
        match shared.tty.read(&mut bytes, parser.patience()) {
            Read::Bytes(n) => parser.feed(&bytes[..n], &mut inputs),
            Read::Nothing => parser.timeout(&mut inputs),
            Read::Gone => return shared.send(Event::Hangup),
        }
        for input in inputs.drain(..) {
            match input {
                Input::Key(key) => shared.send(Event::Key(key)),
                Input::Mouse(mouse) => shared.send(Event::Mouse(mouse)),
                Input::Paste(text) => shared.send(Event::Paste(text)),
                Input::Focus(on) => shared.send(Event::Focus(on)),
                Input::Reply(reply) => shared.reply(reply),
            }
        }
    }
}

/// Starts one that passes on what the terminal library reads.
#[cfg(not(unix))]
pub(super) fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
    use super::Event;
    use crossterm::event::{Event as Read, KeyEventKind};
    let shared = Arc::clone(shared);
    let read = move || {
        loop {
            match crossterm::event::read() {
                Ok(Read::Key(key)) if key.kind != KeyEventKind::Release => shared.send(Event::Key(key)),
                Ok(Read::Mouse(mouse)) => shared.send(Event::Mouse(mouse)),
                Ok(Read::Resize(columns, rows)) => shared.send(Event::Resize([columns, rows])),
                Ok(Read::FocusGained) => shared.send(Event::Focus(true)),
                Ok(Read::FocusLost) => shared.send(Event::Focus(false)),
                Ok(_) => {}
                Err(_) => return shared.send(Event::Hangup),
            }
        }
    };
    thread::Builder::new().name("screen-reader".into()).spawn(read)?;
    Ok(())
}
