//! `-m` to a session: opening the model, choosing preprocessing, labels, level and threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use switchback_core::network::count;
use switchback_core::preprocess::{Chosen, Preprocess};
use switchback_core::session::{LinearWeights, Options, Session};
use switchback_core::text::escape;
use switchback_core::weights::mmap::Bytes;
use switchback_core::{Cpu, Level, Model, Network, Shape, Threads, labels};

use super::context::Context;
use super::failure::{Failure, show};
use super::input;
use super::table::{bytes, grouped};

/// A model ready to run, and how pictures and classes relate to it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) session: Arc<Session>,
    pub(crate) preprocess: Chosen,
    pub(crate) labels: Vec<String>,
}

/// What every JSON document says of the model.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct About {
    path: String,
    name: String,
    format: &'static str,
    input: Shape,
    classes: usize,
    parameters: u64,
}

/// Begins every JSON document.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Header {
    pub(crate) model: About,
    pub(crate) preprocess: Chosen,
    /// `f16` where linear layers were asked to run from halves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weights: Option<&'static str>,
}

impl Opened {
    pub(crate) fn model(&self) -> &Model {
        self.session.model()
    }

    pub(crate) fn network(&self) -> &Network {
        &self.session.model().network
    }

    pub(crate) fn input_shape(&self) -> Shape {
        self.network().input_shape()
    }

    /// The class that `wanted` means: number, name or part of a name.
    pub(crate) fn class(&self, wanted: &str) -> anyhow::Result<usize> {
        Ok(labels::find(&self.labels, wanted)?)
    }

    /// Not safe to show.
    pub(crate) fn class_name(&self, class: usize) -> &str {
        self.labels.get(class).map_or("", String::as_str)
    }

    pub(crate) fn header(&self) -> Header {
        Header::of(self.model(), self.preprocess.clone(), self.session.weights())
    }

    /// `squeezenet1.1 (onnx), caffe (known model: …)` for captions; safe to show.
    pub(crate) fn caption(&self) -> String {
        format!("{}, preprocessing {}", escape(&name(self.model())), escape(&self.preprocess.source))
    }
}

impl Header {
    pub(crate) fn of(model: &Model, preprocess: Chosen, weights: LinearWeights) -> Self {
        let about = About {
            path: model.path.to_string_lossy().into_owned(),
            name: name(model),
            format: model.format,
            input: model.network.input_shape(),
            classes: model.network.classes(),
            parameters: count::parameters(&model.network),
        };
        Header { model: about, preprocess, weights: (weights == LinearWeights::F16).then_some("f16") }
    }
}

/// The file's name without its extension; not safe to show.
pub(crate) fn name(model: &Model) -> String {
    if model.format == "architecture" {
        return model.path.to_string_lossy().into_owned();
    }
    model.path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

/// How sessions run, by the command line.
pub(crate) fn options(context: &Context) -> Options {
    Options {
        max_memory: context.options.max_memory,
        algorithm: context.options.algorithm.unwrap_or_default(),
        weights: context.options.weights.unwrap_or_default(),
    }
}

/// A preprocessing record in one line; safe to show.
pub(crate) fn record(chosen: &Chosen) -> String {
    let Preprocess { resize, crop_ratio, order, scale, mean, std } = &chosen.record;
    let triple = |v: &[f32; 3]| format!("({}, {}, {})", v[0], v[1], v[2]);
    format!(
        "{} · crop {crop_ratio:.4} · {} 0–{scale} · mean {} · std {} · from {}",
        format!("{resize:?}").to_lowercase(),
        format!("{order:?}").to_uppercase(),
        triple(mean),
        triple(std),
        escape(&chosen.source)
    )
}

/// The one model of a command that takes one.
pub(crate) fn path(context: &Context) -> anyhow::Result<Option<&Path>> {
    match &context.options.model[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err(Failure::usage("several models: only classify takes more than one -m")),
    }
}

/// A command's positional MODEL, or `-m`.
pub(crate) fn positional<'a>(context: &'a Context, given: Option<&'a PathBuf>) -> anyhow::Result<Option<&'a Path>> {
    match (given, path(context)?) {
        (Some(_), Some(_)) => Err(Failure::usage("the model is given twice: as an argument and with -m")),
        (Some(path), None) => Ok(Some(path)),
        (None, option) => Ok(option),
    }
}

/// The instruction level and threads that the options ask for.
pub(crate) fn cpu(context: &Context) -> Cpu {
    let threads = context.options.threads.first().copied().unwrap_or_else(default_threads);
    let level = context.options.level.first().copied().unwrap_or_else(Level::best);
    Cpu { level, threads: Threads::new(threads) }
}

/// What affinity and cgroup allow.
pub(crate) fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Reads the model file alone.
pub(crate) fn read(context: &Context, path: Option<&Path>) -> anyhow::Result<Model> {
    let start = Instant::now();
    let model = match path {
        Some(path) if path.as_os_str() != "builtin" => {
            std::fs::metadata(path).map_err(|e| input::missing(path, e))?;
            Model::open(path, !context.options.no_mmap)?
        }
        _ => {
            let bytes = switchback_weights::builtin().ok_or_else(no_builtin)?;
            Model::from_bytes(Path::new("builtin"), Bytes::fixed(bytes), false)?
        }
    };
    context.detail(format!(
        "{}: {}, {} layers, {} parameters, opened in {:.0} ms",
        show(&model.path),
        bytes(model.bytes.len() as u64),
        model.network.nodes().len(),
        grouped(count::parameters(&model.network)),
        1e3 * start.elapsed().as_secs_f64()
    ));
    Ok(model)
}

fn no_builtin() -> anyhow::Error {
    Failure::usage(
        "this version has no built-in model: bring one with -m MODEL. A good first one is SqueezeNet 1.1 as ONNX \
         (5 MB) from the public zoo; `switchback models` says where it lives",
    )
}

/// Opens a model and makes it ready; says aloud when the preprocessing is a guess.
pub(crate) fn open(context: &Context, path: Option<&Path>) -> anyhow::Result<Opened> {
    open_on(context, path, cpu(context))
}

/// As [`open`], on threads that are already there.
pub(crate) fn open_on(context: &Context, path: Option<&Path>, cpu: Cpu) -> anyhow::Result<Opened> {
    open_while(context, path, cpu, |_| ())
}

/// As [`open_on`]; `begin` gets the session as soon as there is one: before the file is read through for its digest, by
/// which known models are recognised.
pub(crate) fn open_while(
    context: &Context,
    path: Option<&Path>,
    cpu: Cpu,
    begin: impl FnOnce(&Arc<Session>),
) -> anyhow::Result<Opened> {
    let model = Arc::new(read(context, path)?);
    context.detail(format!("kernels: {} on {} threads", cpu.level, cpu.threads.count()));
    let session = Arc::new(Session::with(Arc::clone(&model), cpu, options(context))?);
    begin(&session);
    let preprocess = Preprocess::choose(context.options.preprocess.as_deref(), &model)?;
    if preprocess.guessed {
        context.warn(format!(
            "{}: nothing says how this model wants its pictures; taking {}. If results look wrong, try \
             --preprocess caffe, caffe-squash, unit or raw",
            show(&model.path),
            escape(&preprocess.source)
        ));
    }
    context.detail(format!("preprocessing: {}", record(&preprocess)));
    let labels = labels::choose(context.options.labels.as_deref(), &model)?;
    Ok(Opened { session, preprocess, labels })
}
