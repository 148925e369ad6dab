//! `browse`, and no command at all: the browser.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Outcome;
use super::context::Context;
use super::failure::Failure;
use super::input::{self, Source, is_model};
use super::table::bytes;
use super::{guide, model};
use crate::app::{self, End, Start};
use crate::color::ColorMode;
use crate::colormap::MapName;
use crate::config::{self, Config, Session};
use crate::screen;
use crate::state::{RULES, State, View, Wished, rule_name};
use crate::terminal::{self, Process};
use crate::update::command::span;

/// Look inside a network: layers, feature maps, projections, occlusion maps, on the whole terminal
///
/// `switchback` without a command does the same. Keyboard first: ? lists every key, q quits.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  switchback browse -m squeezenet1.1.onnx cat.jpg\n  switchback browse -m squeezenet1.1.onnx photos/\n  switchback browse --resume"
)]
pub(crate) struct Arguments {
    /// Pictures, folders of pictures, .npy tensors, or - for stdin
    #[arg(value_name = "INPUT")]
    inputs: Vec<PathBuf>,

    #[command(flatten)]
    settings: Settings,
}

/// What the browser takes with or without its name.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Settings {
    /// Open where the last session ended: model, pictures, selection
    #[arg(long)]
    resume: bool,

    /// A configuration file instead of the one that `config path` names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Frames a second at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=240))]
    fps: Option<u32>,
}

impl Settings {
    /// Whether anything was said.
    pub(crate) fn is_given(&self) -> bool {
        self.resume || self.config.is_some() || self.fps.is_some()
    }
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    browse(&arguments.inputs, &arguments.settings, context)
}

/// `switchback cat.jpg`: the browser, unless the words are no inputs or there is no terminal.
pub(crate) fn without_a_command(words: &[OsString], settings: &Settings, context: &Context) -> anyhow::Result<Outcome> {
    let readable = |w: &OsString| w == "-" || Path::new(w).exists() && !is_model(Path::new(w));
    if !words.iter().all(readable) || !terminal::stdout_is_terminal() {
        return Err(guide::without_a_command(words));
    }
    browse(&words.iter().map(PathBuf::from).collect::<Vec<_>>(), settings, context)
}

fn browse(words: &[PathBuf], settings: &Settings, context: &Context) -> anyhow::Result<Outcome> {
    if !terminal::stdout_is_terminal() {
        return Err(Failure::usage(
            "the browser needs a terminal, and stdout is none; run classify, features, project or occlude instead",
        ));
    }
    if context.options.json {
        return Err(Failure::usage("--json is for commands; the browser saves JSON with s"));
    }
    let config = match (&settings.config, config::path(&Process)) {
        (Some(path), _) => Config::read(path)?,
        (None, Some(path)) if path.exists() => Config::read(&path)?,
        _ => Config::default(),
    };
    let session = if settings.resume { Some(last_session()?) } else { None };
    let mut state = State::new([80, 24], ColorMode::None, config.cache);
    state.look = config.look;
    state.keys = config.keys;
    state.options = options(context);
    state.pictures = input::expand(context, words)?;
    let mut path = model::path(context)?.map(Path::to_owned);
    if let Some(session) = session {
        path = path.or_else(|| session.model.clone());
        take(&mut state, &session);
    }
    let path = path.or(config.model).filter(|p| p.as_os_str() != "builtin");
    if let Some(path) = &path {
        std::fs::metadata(path).map_err(|e| input::missing(path, e))?;
    }
    let first = match path {
        Some(path) => Some(Some(path)),
        None => switchback_weights::builtin().map(|_| None),
    };
    if let Some(folder) = state.pictures.first().and_then(Source::path).and_then(Path::parent)
        && !folder.as_os_str().is_empty()
    {
        state.folder = folder.to_owned();
    }
    let color = context.options.color.named().or(config.color);
    let frames_per_second = settings.fps.unwrap_or(config.frames_per_second);
    let options = screen::Options { color, mouse: state.look.mouse, frames_per_second };
    let End { state, status, statistics } = app::run(context, Start { state, model: first, options })?;
    context.detail(format!(
        "{} frames drawn, {} sent in {}{}",
        statistics.drawn,
        statistics.sent,
        bytes(statistics.bytes),
        statistics
            .delay
            .map(|d| format!(", the last {:.0} ms after its writing on the screen", 1e3 * d.as_secs_f64()))
            .unwrap_or_default()
    ));
    if let Err(error) = remember(&state) {
        context.warn(format!("the session was not kept: {error:#}"));
    }
    match status {
        0 => Ok(Outcome::Done),
        status => std::process::exit(i32::from(status)),
    }
}

fn last_session() -> anyhow::Result<Session> {
    let path = config::session_path(&Process)
        .ok_or_else(|| Failure::usage("no place for sessions: set HOME or XDG_STATE_HOME"))?;
    if !path.exists() {
        return Err(Failure::usage("there is no session to resume yet: the browser keeps one when it ends"));
    }
    Ok(Session::read(&path)?)
}

/// Takes a session up. Pictures on the command line stand above its own; what is no longer there is left out.
fn take(state: &mut State, session: &Session) {
    if state.pictures.is_empty() {
        let there = |p: &&PathBuf| p.exists();
        let wanted = session.pictures.get(session.picture);
        state.pictures = session.pictures.iter().filter(there).map(|p| Source::of(p)).collect();
        let at = wanted.and_then(|w| state.pictures.iter().position(|s| s.path() == Some(w)));
        state.selection.picture = at.unwrap_or(0);
    }
    state.selection.rule = RULES.into_iter().find(|&r| rule_name(r) == session.rule).unwrap_or_default();
    state.view = View::of_digit(session.view).unwrap_or(View::Browse);
    state.look.colormap = MapName::named(&session.colormap).unwrap_or(state.look.colormap);
    state.look.range = span(&session.range).unwrap_or(state.look.range);
    state.wished = Some(Wished {
        layer: session.layer.clone(),
        channel: session.channel,
        place: session.place,
        class: session.class,
    });
}

/// Keeps where the browser was left. Nothing is kept where no model was open.
fn remember(state: &State) -> anyhow::Result<()> {
    let (Some(path), Some(subject)) = (config::session_path(&Process), state.subject()) else { return Ok(()) };
    let whole = |p: &Path| std::path::absolute(p).unwrap_or_else(|_| p.to_owned());
    let s = &state.selection;
    let session = Session {
        model: subject.path.as_deref().map(whole),
        pictures: state.pictures.iter().filter_map(Source::path).map(whole).collect(),
        picture: s.picture,
        layer: Some(subject.network().node(s.layer).name.clone()),
        channel: Some(s.channel),
        place: s.place,
        class: s.class,
        rule: rule_name(s.rule).into(),
        view: state.view.digit(),
        colormap: state.look.colormap.name().into(),
        range: Session::range_text(state.look.range),
    };
    Ok(session.write(&path)?)
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
