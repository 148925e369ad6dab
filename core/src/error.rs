//! The one error of the crate: which file, which node, what was expected and what was found.
//!
//! `Display` escapes whatever came from outside, so a message may go to a terminal as it is.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use crate::tensor::Shape;
use crate::text::escape;

/// Shorthand for this crate's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused to read or write a file.
    #[error("{}: cannot {doing}: {source}", show(.path))]
    Io {
        /// Which file.
        path: PathBuf,
        /// `open`, `read`, `write`, …
        doing: &'static str,
        /// The system's word.
        source: io::Error,
    },
    /// A file's bytes are not what its format demands.
    #[error("{}: {}", show(.path), escape(.what))]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong, where, and what to try.
        what: String,
    },
    /// A model uses what this program does not have: all of it at once.
    #[error("{}", unsupported(.path, .nodes))]
    Unsupported {
        /// Which file.
        path: PathBuf,
        /// Every node that cannot run.
        nodes: Vec<Unsupported>,
    },
    /// A node's inputs or weights do not chain.
    #[error("node \"{}\": expected {}, found {}", escape(.node), escape(.expected), escape(.found))]
    Shape {
        /// The node's name.
        node: String,
        /// What it needs.
        expected: String,
        /// What it got.
        found: String,
    },
    /// A graph that is no network: a cycle, a missing tensor, a name given twice.
    #[error("node \"{}\": {}", escape(.node), escape(.what))]
    Graph {
        /// The node's name.
        node: String,
        /// What is wrong.
        what: String,
    },
    /// A model file whose network cannot run: which node and why.
    #[error("{}: {cause}", show(.path))]
    Model {
        /// Which file.
        path: PathBuf,
        /// [`Error::Shape`], [`Error::Graph`], [`Error::NonFinite`], [`Error::Half`] or [`Error::Overflow`].
        cause: Box<Error>,
    },
    /// NaN or infinity among the weights.
    #[error("weight \"{}\" of node \"{}\" holds {value} at element {index}: the file is damaged or was trained to nothing", escape(.weight), escape(.node))]
    NonFinite {
        /// The node that reads it.
        node: String,
        /// The weight's name.
        weight: String,
        /// Which element.
        index: usize,
        /// What stands there.
        value: f32,
    },
    /// A weight that no half float is near to.
    #[error("weight \"{}\" of node \"{}\" holds {value} at element {index}, beyond the largest half float 65504: keep its weights as f32", escape(.weight), escape(.node))]
    Half {
        /// The node that reads it.
        node: String,
        /// The weight's name.
        weight: String,
        /// Which element.
        index: usize,
        /// What stands there.
        value: f32,
    },
    /// Activations overflowed although weights and input are finite.
    #[error("node \"{}\" gives NaN or infinity: {}", escape(.node), escape(.why))]
    Overflow {
        /// The node's name.
        node: String,
        /// What to look at.
        why: String,
    },
    /// No layer of that name, or more than one.
    #[error("{}", layer_message(.wanted, .near, *.ambiguous))]
    Layer {
        /// What was asked for.
        wanted: String,
        /// Names like it.
        near: Vec<String>,
        /// Several names contain it.
        ambiguous: bool,
    },
    /// A channel, place or number beyond its end.
    #[error("{what} {value} is out of range: {} has {limit}", escape(.of))]
    Range {
        /// `channel`, `row`, `class`, …
        what: &'static str,
        /// What was asked for.
        value: String,
        /// Of what: `layer "conv5"`.
        of: String,
        /// What there is: `256 channels (0–255)`.
        limit: String,
    },
    /// An input of another shape than the network's.
    #[error("{}: the network takes {expected}, this is {found}", escape(.input))]
    Input {
        /// The input's name.
        input: String,
        /// The network's.
        expected: Shape,
        /// The input's.
        found: String,
    },
    /// A request that makes no sense here; the message says what to try.
    #[error("{}", escape(.0))]
    Invalid(String),
    /// More memory than `--max-memory` allows.
    #[error("{what} would need {}, the limit is {}: raise --max-memory or ask for less", bytes(*.need), bytes(*.limit))]
    Memory {
        /// The work.
        what: String,
        /// Estimate in bytes.
        need: u64,
        /// Limit in bytes.
        limit: u64,
    },
    /// The progress callback said stop.
    #[error("interrupted")]
    Cancelled,
}

/// A node that cannot run, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The node's name.
    pub node: String,
    /// Its operator.
    pub operator: String,
    /// Why not.
    pub why: String,
}

impl Error {
    /// An [`Error::Io`] for `path`, to be used with `map_err`.
    pub fn io(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        let path = path.as_ref().to_owned();
        move |source| Error::Io { path, doing, source }
    }

    /// An [`Error::Format`] for `path`.
    pub fn format(path: impl AsRef<Path>, what: impl Into<String>) -> Error {
        Error::Format { path: path.as_ref().to_owned(), what: what.into() }
    }

    /// What is wrong with a network, as an [`Error::Model`] that names the file it came from; other errors unchanged.
    #[must_use]
    pub fn in_model(self, path: &Path) -> Error {
        match self {
            Error::Shape { .. }
            | Error::Graph { .. }
            | Error::NonFinite { .. }
            | Error::Half { .. }
            | Error::Overflow { .. } => Error::Model { path: path.to_owned(), cause: Box::new(self) },
            other => other,
        }
    }

    /// A stable word for scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Io { .. } => "io",
            Error::Format { .. } => "format",
            Error::Unsupported { .. } => "unsupported",
            Error::Shape { .. } => "shape",
            Error::Graph { .. } => "graph",
            Error::Model { cause, .. } => cause.kind(),
            Error::NonFinite { .. } => "non-finite",
            Error::Half { .. } => "half",
            Error::Overflow { .. } => "overflow",
            Error::Layer { .. } => "layer",
            Error::Range { .. } => "range",
            Error::Input { .. } => "input",
            Error::Invalid(_) => "invalid",
            Error::Memory { .. } => "memory",
            Error::Cancelled => "cancelled",
        }
    }

    /// The file that it is about, if any.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Error::Io { path, .. }
            | Error::Format { path, .. }
            | Error::Unsupported { path, .. }
            | Error::Model { path, .. } => Some(path),
            _ => None,
        }
    }
}

fn show(path: &Path) -> String {
    escape(&path.to_string_lossy()).into_owned()
}

/// `4.7 MiB`
fn bytes(n: u64) -> String {
    match n {
        0..1024 => format!("{n} bytes"),
        1024..0x10_0000 => format!("{:.1} KiB", n as f64 / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", n as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", n as f64 / 1_073_741_824.0),
    }
}

fn unsupported(path: &Path, nodes: &[Unsupported]) -> String {
    let mut text = format!("{}: {} node(s) of this model are not supported:", show(path), nodes.len());
    for n in nodes {
        write!(text, "\n  {} \"{}\": {}", escape(&n.operator), escape(&n.node), escape(&n.why))
            .expect("writing to a string");
    }
    text
}

fn layer_message(wanted: &str, near: &[String], ambiguous: bool) -> String {
    let names: Vec<_> = near.iter().map(|n| escape(n).into_owned()).collect();
    let wanted = escape(wanted);
    match (ambiguous, names.is_empty()) {
        (true, _) => {
            format!("\"{wanted}\" is part of several layers, give more of the name: {}", names.join(", "))
        }
        (false, true) => format!("no layer \"{wanted}\"; `switchback layers` lists them"),
        (false, false) => format!("no layer \"{wanted}\"; near names: {}", names.join(", ")),
    }
}
