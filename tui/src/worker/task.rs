//! Each kind of job, done.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use switchback_core::network::Layer;
use switchback_core::occlusion::{self, Cover, Settings, default_size, default_stride};
use switchback_core::projection::{self, Settings as Rules};
use switchback_core::trace::Keep;
use switchback_core::{Error, Network, Progress};

use super::{Bench, ahead, save};
use crate::cli::failure::{self, describe, is_cancelled};
use crate::cli::input::{self, Input, Loaded, Source};
use crate::cli::{model, occlude};
use crate::job::{Answer, Entry, Job, Kind, Listed, Occlusion, Request, Run, Scope, Sweep, Unit};
use crate::subject::Subject;

pub(super) fn perform(bench: &Bench, request: Request) -> Answer {
    let Request { kind, generation, job } = request;
    if bench.is_stale(kind, generation) {
        return Answer::Cancelled;
    }
    let done = match job {
        Job::Open { id, path } => open(bench, id, path),
        Job::Run { subject, picture, source, scope, loaded } => {
            let loaded = match loaded {
                Some(loaded) => Ok(loaded),
                None => read(bench, generation, &subject, picture, &source),
            };
            loaded.and_then(|loaded| run(bench, generation, &subject, picture, scope, loaded))
        }
        Job::Project { subject, run, unit } => project(&subject, &run, unit),
        Job::Occlude { subject, run, sweep } => occlude(bench, generation, &subject, &run, sweep),
        Job::List { path, what } => list(&path, what),
        Job::Save(save) => save::write(&save).map(Answer::Wrote),
    };
    done.unwrap_or_else(|error| match is_cancelled(&error) {
        true => Answer::Cancelled,
        false => Answer::Failed(describe(&error).message),
    })
}

fn open(bench: &Bench, id: u32, path: Option<PathBuf>) -> anyhow::Result<Answer> {
    let context = &bench.context;
    let opened = model::open_while(context, path.as_deref(), model::cpu(context), ahead::pack)?;
    let warnings = bench.context.take_warnings();
    Ok(Answer::Opened { id, subject: Arc::new(Subject::new(id, opened, path)), warnings })
}

/// The picture as the network takes it; the screen gets it at once.
fn read(
    bench: &Bench,
    generation: u64,
    subject: &Subject,
    picture: usize,
    source: &Source,
) -> anyhow::Result<Arc<Loaded>> {
    let (record, shape) = (&subject.opened.preprocess.record, subject.opened.input_shape());
    let input = match bench.read_ahead(source) {
        Some(picture) => Input::Picture(picture?),
        None => bench.read(source, shape)?,
    };
    let loaded = Arc::new(input::bring(source, input, record, shape)?);
    bench.answer(Kind::Run, generation, Answer::Placed { picture, loaded: Arc::clone(&loaded) });
    Ok(loaded)
}

fn run(
    bench: &Bench,
    generation: u64,
    subject: &Subject,
    picture: usize,
    scope: Scope,
    loaded: Arc<Loaded>,
) -> anyhow::Result<Answer> {
    if bench.is_stale(Kind::Run, generation) {
        return Err(Error::Cancelled.into());
    }
    let (session, network) = (&subject.opened.session, subject.network());
    let trace = session.run(&loaded.tensor, &keep(network, scope).and(&session.keep_scores()))?;
    let probabilities = session.scores(&trace).probabilities.swap_remove(0);
    let mut classes: Vec<(usize, f32)> = probabilities.into_iter().enumerate().collect();
    classes.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let tensors = (0..network.nodes().len()).filter_map(|id| trace.tensor(id));
    let bytes = tensors.map(|t| size_of_val(&t.data[..])).sum::<usize>() + size_of_val(&loaded.tensor.data[..]);
    Ok(Answer::Ran(Arc::new(Run { model: subject.id, picture, scope, loaded, trace, classes, bytes })))
}

/// What a run keeps beside the scores.
pub(crate) fn keep(network: &Network, scope: Scope) -> Keep {
    match scope {
        Scope::Whole => {
            let all: Vec<usize> = (0..network.nodes().len()).collect();
            let mut keep = Keep::nodes(network, &all);
            for (id, node) in network.nodes().iter().enumerate() {
                keep.switches[id] = matches!(node.layer, Layer::MaxPool2d { .. } | Layer::GlobalMaxPool);
            }
            keep
        }
        Scope::Layer(layer) => crate::state::RULES
            .iter()
            .map(|&rule| projection::keep(network, layer, &Rules { rule, ..Rules::default() }))
            .reduce(|a, b| a.and(&b))
            .expect("there are rules"),
        Scope::Glimpse { layer, rule } => projection::keep(network, layer, &Rules { rule, ..Rules::default() }),
    }
}

fn project(subject: &Arc<Subject>, run: &Arc<Run>, unit: Unit) -> anyhow::Result<Answer> {
    let rules = Rules { rule: unit.rule, ..Rules::default() };
    let session = &subject.opened.session;
    let projection = projection::project(session, &run.trace, 0, unit.layer, unit.seed, &rules)?;
    Ok(Answer::Projected { picture: run.picture, model: run.model, unit, projection: Arc::new(projection) })
}

fn occlude(
    bench: &Bench,
    generation: u64,
    subject: &Arc<Subject>,
    run: &Arc<Run>,
    sweep: Sweep,
) -> anyhow::Result<Answer> {
    let shape = subject.opened.input_shape();
    let side = shape.h.min(shape.w);
    let class = sweep.class.or_else(|| run.classes.first().map(|c| c.0));
    let settings = Settings {
        size: default_size(side),
        cover: Cover::Square,
        stride: default_stride(side),
        fill: occlude::mean_fill(&subject.opened.preprocess.record, &run.loaded)?,
        classes: class.into_iter().collect(),
        layer: sweep.unit.map(|u| u.0),
        channel: sweep.unit.map(|u| u.1),
        adaptive: None,
    };
    let start = Instant::now();
    let answer = |map: &occlusion::Heatmap, whole: bool| {
        let (map, settings, seconds) = (map.clone(), settings.clone(), start.elapsed().as_secs_f64());
        let occlusion = Occlusion { sweep, map, settings, seconds, whole };
        Answer::Occluded { picture: run.picture, model: run.model, occlusion: Arc::new(occlusion) }
    };
    let mut progress = |p: Progress, map: Option<&occlusion::Heatmap>| {
        if bench.is_stale(Kind::Occlude, generation) {
            return ControlFlow::Break(());
        }
        if let Some(map) = map.filter(|_| p.done < p.total) {
            bench.answer(Kind::Occlude, generation, answer(map, false));
        }
        bench.answer(Kind::Occlude, generation, Answer::Progress { done: p.done, total: p.total });
        match bench.give_way(Kind::Occlude) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let map = occlusion::occlude_in_stages(&subject.opened.session, &run.loaded.tensor, &settings, &mut progress)?;
    if map.known.iter().all(|&k| k) { Ok(answer(&map, true)) } else { Err(Error::Cancelled.into()) }
}

/// Entries read at most: a picker is no file manager.
const MOST_ENTRIES: usize = 20_000;

fn list(path: &Path, what: Listed) -> anyhow::Result<Answer> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(Error::io("read", path))?.take(MOST_ENTRIES) {
        let entry = entry.map_err(Error::io("read", path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Follows links; what cannot be asked is not shown.
        let Ok(about) = std::fs::metadata(entry.path()) else { continue };
        let wanted = match what {
            Listed::Pictures => input::is_input(&entry.path()),
            Listed::Models => input::is_model(&entry.path()),
        };
        if !name.starts_with('.') && (about.is_dir() || wanted && about.is_file()) {
            entries.push(Entry { name, path: entry.path(), folder: about.is_dir(), bytes: about.len() });
        }
    }
    entries.sort_by(|a, b| b.folder.cmp(&a.folder).then_with(|| a.name.cmp(&b.name)));
    Ok(Answer::Listed { path: path.to_owned(), what, entries })
}

/// Safe to show.
pub(super) fn shown(path: &Path) -> String {
    failure::show(path)
}
