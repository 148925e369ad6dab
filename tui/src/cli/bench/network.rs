//! Which networks a bench is about: names of architectures, model files, or the model of -m.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchback_core::architecture::{self, Name};
use switchback_core::preprocess::{Chosen, Preprocess};
use switchback_core::session::Session;
use switchback_core::text::escape;
use switchback_core::{Cpu, Error, Model};

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::model;

/// A network to be measured.
pub(super) struct Candidate {
    pub(super) model: Arc<Model>,
    pub(super) header: model::Header,
    pub(super) seed: Option<u64>,
}

/// What is to be loaded: names are checked before anything runs.
pub(super) enum Source {
    Named(Name),
    File(Option<PathBuf>),
}

/// The networks that are named, else the model of -m.
pub(super) fn sources(networks: &[PathBuf], context: &Context) -> anyhow::Result<Vec<Source>> {
    if networks.is_empty() {
        let path = model::path(context)?;
        if path.is_none() && switchback_weights::builtin().is_none() {
            let names: Vec<&str> = Name::ALL.iter().map(|n| n.as_str()).collect();
            return Err(Failure::usage(format!("which network? A model file, or one of {}", names.join(", "))));
        }
        return Ok(vec![Source::File(path.map(Path::to_owned))]);
    }
    if !context.options.model.is_empty() {
        return Err(Failure::usage("networks are given both as arguments and with -m"));
    }
    let source = |path: &PathBuf| -> anyhow::Result<Source> {
        let text = path.to_string_lossy();
        match text.parse::<Name>() {
            Ok(name) => Ok(Source::Named(name)),
            Err(_) if path.exists() || text == "builtin" => Ok(Source::File(Some(path.clone()))),
            Err(Error::Invalid(unknown)) => Err(Failure::usage(format!("no such file, and {}", escape(&unknown)))),
            Err(other) => Err(other.into()),
        }
    };
    networks.iter().map(source).collect()
}

/// `one` for every network on every one of `cpus`, with its name and a session of its own.
pub(super) fn each_session(
    sources: Vec<Source>,
    cpus: &[Cpu],
    context: &Context,
    mut one: impl FnMut(&str, &Session) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for source in sources {
        let candidate = source.load(context)?;
        for cpu in cpus {
            let session = Session::with(Arc::clone(&candidate.model), cpu.clone(), model::options(context))?;
            one(&model::name(&candidate.model), &session)?;
        }
    }
    Ok(())
}

impl Source {
    pub(super) fn load(self, context: &Context) -> anyhow::Result<Candidate> {
        let (model, chosen, seed) = match self {
            Source::Named(name) => {
                let seed = context.options.seed;
                let model = architecture::build(name, seed);
                let record = model.preprocess.clone().expect("architectures say how they want pictures");
                let source = format!("architecture: {name}");
                (model, Chosen { record, source, guessed: false }, Some(seed))
            }
            Source::File(path) => {
                let model = model::read(context, path.as_deref())?;
                let chosen = Preprocess::choose(context.options.preprocess.as_deref(), &model)?;
                (model, chosen, None)
            }
        };
        Ok(Candidate {
            header: model::Header::of(&model, chosen, context.options.weights.unwrap_or_default()),
            model: Arc::new(model),
            seed,
        })
    }
}
