//! From an error to words on stderr, a JSON document for scripts, and an exit status.
//!
//! ```text
//! {"error": {"kind": "io", "message": "cat.jpg: cannot open: …", "path": "cat.jpg"}}
//! ```

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use serde::Serialize;
use switchback_core::Error;
use switchback_core::text::{escape, is_unsafe};

use super::json;

/// An error that the command line itself finds. `message` must be safe to show.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) path: Option<PathBuf>,
}

impl Failure {
    /// What was typed makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
        Failure { kind: "usage", message: message.into(), path: None }.into()
    }

    /// Something about `path`.
    pub(crate) fn at(kind: &'static str, path: &Path, message: impl fmt::Display) -> anyhow::Error {
        let message = format!("{}: {message}", show(path));
        Failure { kind, message, path: Some(path.to_owned()) }.into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// A path as it may be shown.
pub(crate) fn show(path: &Path) -> String {
    escape(&path.to_string_lossy()).into_owned()
}

/// What scripts get to know of an error.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Described {
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) path: Option<String>,
}

/// Kind, message and path of an error, whoever found it.
pub(crate) fn describe(error: &anyhow::Error) -> Described {
    let text = |path: Option<&Path>| path.map(|p| p.to_string_lossy().into_owned());
    // Contexts come first; below the first typed error everything is already part of its message.
    let mut message = String::new();
    for cause in error.chain() {
        if !message.is_empty() {
            message.push_str(": ");
        }
        message.push_str(&cause.to_string());
        if let Some(e) = cause.downcast_ref::<Error>() {
            return Described { kind: e.kind(), message, path: text(e.path()) };
        }
        if let Some(f) = cause.downcast_ref::<Failure>() {
            return Described { kind: f.kind, message, path: text(f.path.as_deref()) };
        }
    }
    let kind = if error.chain().any(|c| c.is::<io::Error>()) { "io" } else { "invalid" };
    Described { kind, message, path: None }
}

/// Whether a reader closed the pipe.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|c| c.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

/// Whether the user said stop.
pub(crate) fn is_cancelled(error: &anyhow::Error) -> bool {
    error.chain().any(|c| matches!(c.downcast_ref::<Error>(), Some(Error::Cancelled)))
}

/// One line of talk. Nobody reading stderr is no reason to stop.
pub(crate) fn talk(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Says what went wrong: a line for people, or the one JSON document for scripts, with the warnings that came before.
pub(crate) fn report(error: &anyhow::Error, as_json: bool, warnings: &[String]) {
    #[derive(Serialize)]
    struct Document<'a> {
        error: Described,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        warnings: &'a [String],
    }
    let error = describe(error);
    if as_json {
        talk(&json::text(&Document { error, warnings }));
    } else {
        talk(&format!("switchback: {}", error.message));
    }
}

/// Help and version go to stdout and succeed; every other error of the parser is a usage error.
pub(crate) fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return match error.print() {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                talk(&format!("switchback: cannot write to stdout: {e}"));
                ExitCode::from(2)
            }
            _ => ExitCode::SUCCESS,
        };
    }
    if arguments.iter().take_while(|a| *a != "--").any(|a| a == "--json") {
        let plain = error.render().to_string();
        // The parser's usage lines are for people; scripts get the reason.
        let reason = plain.split("\n\nUsage:").next().unwrap_or(&plain).trim();
        let message = safe_lines(reason.strip_prefix("error: ").unwrap_or(reason));
        report(&Failure::usage(message), true, &[]);
    } else if arguments.iter().any(|a| a.to_string_lossy().chars().any(is_unsafe)) {
        talk(safe_lines(&error.render().to_string()).trim_end());
    } else {
        let _ = error.print();
    }
    ExitCode::from(2)
}

/// Escapes everything but the line breaks.
fn safe_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn typed_errors_keep_their_kind_below_a_context() {
        let error = Err::<(), _>(Error::io("open", "a.onnx")(io::ErrorKind::NotFound.into())).context("model 2");
        let described = describe(&error.unwrap_err());
        assert_eq!((described.kind, described.path.as_deref()), ("io", Some("a.onnx")));
        assert!(described.message.starts_with("model 2: a.onnx: cannot open"), "{}", described.message);
        assert_eq!(described.message.matches("not found").count(), 1, "{}", described.message);
    }

    #[test]
    fn paths_are_escaped_in_messages_but_whole_in_the_path() {
        let described = describe(&Failure::at("io", Path::new("a\u{1b}[31m"), "gone"));
        assert_eq!(described.message, "a\\u{1b}[31m: gone");
        assert_eq!(described.path.as_deref(), Some("a\u{1b}[31m"));
    }
}
