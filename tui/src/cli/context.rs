//! What every command shares: the options, the cancel flag, and where talk goes.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use switchback_core::Error;

use super::Outcome;
use super::arguments::Options;
use super::failure::{self, is_broken_pipe, is_cancelled, talk};

/// Shells report a process that died of SIGINT this way.
const INTERRUPTED: u8 = 130;

/// Options, cancel flag and talk.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) options: Options,
    cancel: Arc<AtomicBool>,
    /// With `--json`, warnings wait for the end: if the command fails, stderr must hold one JSON document.
    waiting: RefCell<Vec<String>>,
}

impl Context {
    /// Also catches interrupts from here on: the first sets the flag, the second ends the process at once.
    pub(crate) fn new(options: Options) -> Self {
        let cancel = Arc::new(AtomicBool::new(false));
        for signal in signals() {
            // Order matters: the shutdown looks at the flag that the second handler sets.
            let caught =
                signal_hook::flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), Arc::clone(&cancel))
                    .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&cancel)));
            if let Err(error) = caught {
                talk(&format!("switchback: cannot catch signal {signal}: {error}"));
            }
        }
        Self { options, cancel, waiting: RefCell::default() }
    }

    /// Default options, nothing caught.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        use clap::Parser;
        let options = super::Cli::parse_from(["switchback", "-t", "2"]).options;
        Self { options, cancel: Arc::default(), waiting: RefCell::default() }
    }

    /// The same options, for jobs beside a screen: whatever is said waits for [`Context::take_warnings`].
    pub(crate) fn silent(&self) -> Self {
        let options = Options { json: true, quiet: true, ..self.options.clone() };
        Self { options, cancel: Arc::clone(&self.cancel), waiting: RefCell::default() }
    }

    /// Warnings that wait; safe to show.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        self.waiting.take()
    }

    /// Whether the user said stop.
    pub(crate) fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// An error once the user said stop.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// What most people want to know.
    pub(crate) fn note(&self, line: impl AsRef<str>) {
        if !self.options.quiet && !self.options.json {
            talk(line.as_ref());
        }
    }

    /// What `-v` asks for.
    pub(crate) fn detail(&self, line: impl AsRef<str>) {
        if self.options.verbose > 0 && !self.options.json {
            talk(line.as_ref());
        }
    }

    /// What everybody must know.
    pub(crate) fn warn(&self, line: impl AsRef<str>) {
        if self.options.json {
            self.waiting.borrow_mut().push(line.as_ref().to_owned());
        } else {
            talk(&format!("switchback: warning: {}", line.as_ref()));
        }
    }

    /// Whether a progress bar has someone to look at it.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.options.quiet && std::io::stderr().is_terminal()
    }

    /// Says what is left to say; the exit status.
    pub(crate) fn finish(&self, result: anyhow::Result<Outcome>) -> ExitCode {
        let waiting = self.waiting.take();
        match result {
            Ok(outcome) => {
                waiting.iter().for_each(|line| talk(&format!("switchback: warning: {line}")));
                ExitCode::from(match outcome {
                    Outcome::Done => 0,
                    Outcome::Negative => 1,
                    Outcome::Interrupted => INTERRUPTED,
                })
            }
            Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
            Err(error) => {
                failure::report(&error, self.options.json, &waiting);
                ExitCode::from(if is_cancelled(&error) { INTERRUPTED } else { 2 })
            }
        }
    }
}

#[cfg(unix)]
fn signals() -> impl Iterator<Item = i32> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    [SIGINT, SIGTERM, SIGHUP].into_iter()
}

#[cfg(not(unix))]
fn signals() -> impl Iterator<Item = i32> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    [SIGINT, SIGTERM].into_iter()
}
