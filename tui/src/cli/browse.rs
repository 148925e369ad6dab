//! `browse`, and no command at all: the browser.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Outcome;
use super::arguments::Color;
use super::context::Context;
use super::failure::Failure;
use super::input::{self, Source, is_model};
use super::{guide, model};
use crate::app::{self, Start, plain as screen};
use crate::color::ColorMode;
use crate::state::State;
use crate::terminal;

/// Look inside a network: layers, feature maps, projections, occlusion maps, on the whole terminal
///
/// `switchback` without a command does the same. Keyboard first: ? lists every key, q quits.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  switchback browse -m squeezenet1.1.onnx cat.jpg\n  switchback browse -m squeezenet1.1.onnx photos/"
)]
pub(crate) struct Arguments {
    /// Pictures, folders of pictures, .npy tensors, or - for stdin
    #[arg(value_name = "INPUT")]
    inputs: Vec<PathBuf>,
}

/// Bytes of results that are kept.
const CACHE: usize = 512 << 20;

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    browse(&arguments.inputs, context)
}

/// `switchback cat.jpg`: the browser, unless the words are no inputs or there is no terminal.
pub(crate) fn without_a_command(words: &[OsString], context: &Context) -> anyhow::Result<Outcome> {
    let readable = |w: &OsString| w == "-" || Path::new(w).exists() && !is_model(Path::new(w));
    if !words.iter().all(readable) || !terminal::stdout_is_terminal() {
        return Err(guide::without_a_command(words));
    }
    browse(&words.iter().map(PathBuf::from).collect::<Vec<_>>(), context)
}

fn browse(words: &[PathBuf], context: &Context) -> anyhow::Result<Outcome> {
    if !terminal::stdout_is_terminal() {
        return Err(Failure::usage(
            "the browser needs a terminal, and stdout is none; run classify, features, project or occlude instead",
        ));
    }
    if context.options.json {
        return Err(Failure::usage("--json is for commands; the browser saves JSON with s"));
    }
    let sources = input::expand(context, words)?;
    let path = model::path(context)?.map(Path::to_owned).filter(|p| p.as_os_str() != "builtin");
    if let Some(path) = &path {
        std::fs::metadata(path).map_err(|e| input::missing(path, e))?;
    }
    let first = match &path {
        Some(path) => Some(Some(path.clone())),
        None => switchback_weights::builtin().map(|_| None),
    };
    let mut state = State::new([80, 24], ColorMode::None, CACHE);
    if let Some(folder) = sources.first().and_then(Source::path).and_then(Path::parent)
        && !folder.as_os_str().is_empty()
    {
        state.folder = folder.to_owned();
    }
    state.pictures = sources;
    state.options = options(context);
    let color = match context.options.color {
        Color::Auto => None,
        Color::Truecolor => Some(ColorMode::TrueColor),
        Color::Indexed => Some(ColorMode::Ansi256),
        Color::Ansi => Some(ColorMode::Ansi16),
        Color::None => Some(ColorMode::None),
    };
    let options = screen::Options { color, mouse: state.look.mouse, frames_per_second: 60 };
    let (_, status) = app::run(context, Start { state, model: first, options })?;
    match status {
        0 => Ok(Outcome::Done),
        status => std::process::exit(i32::from(status)),
    }
}

/// Options of this command line that a reproducing one must repeat.
fn options(context: &Context) -> Vec<String> {
    let given = &context.options;
    let mut words = Vec::new();
    if let Some(preprocess) = &given.preprocess {
        words.extend(["--preprocess".to_owned(), preprocess.clone()]);
    }
    if let Some(labels) = &given.labels {
        words.extend(["--labels".to_owned(), labels.to_string_lossy().into_owned()]);
    }
    words
}
