//! `bench occlude`: a sweep by windows beside our own full passes in the same run, and layer by layer what is saved in
//! multiply-accumulates and in time.

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use switchback_core::bench::{measure, timed};
use switchback_core::occlusion::{
    self, Apart, Cover, Fill, Heatmap, Method, Settings, default_size, default_stride, occlude, occlude_by,
    occlude_in_stages, occlude_timed,
};
use switchback_core::session::Session;
use switchback_core::text::escape;
use switchback_core::{NodeId, Tensor};

use super::figures::{Figures, TIMES, WarmUp, significant, times};
use super::header::Header;
use super::net::input;
use super::network::{each_session, sources};
use super::report::{Destination, Report, Section};
use super::{Common, Jobs, cpus};
use crate::cli::Outcome;
use crate::cli::arguments::at_least_one;
use crate::cli::context::Context;
use crate::cli::table::{Align, Table};

/// Full passes are timed at about so many places, unless all are verified.
const WHOLE_PLACES: usize = 25;
/// As `occlude --verify`.
const TOLERANCE: f32 = 1e-5;

/// Time occlusion maps by windows, beside our own full passes, layer by layer
///
/// Full passes run in batches at some 25 places, with --verify at all of them; both are told in squares a second. "first
/// map" is how long somebody who looks on waits for the coarsest map, of one place in sixteen.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  switchback bench occlude alexnet zfnet\n  switchback bench occlude -m squeezenet1.1.onnx --stride 16 --verify --json"
)]
pub(crate) struct Arguments {
    /// Architectures (with random weights) or model files; default: the model of -m
    #[arg(value_name = "NETWORK")]
    networks: Vec<PathBuf>,

    /// Side of the square in input pixels; default: a seventh of the input's shorter side
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    size: Option<usize>,

    /// Steps of the square in input pixels; default: a twenty-eighth of the input's shorter side
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    stride: Option<usize>,

    /// Make a full pass for every place, and fail if the map is more than 0.00001 off
    #[arg(long)]
    verify: bool,

    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Run {
    network: String,
    level: &'static str,
    threads: usize,
    batch: usize,
    size: usize,
    stride: usize,
    places: usize,
    milliseconds: Figures,
    warm_up: WarmUp,
    squares_a_second: f64,
    /// Places of the coarsest map, and when it is there.
    first_map_places: usize,
    first_map_milliseconds: Figures,
    whole_places: usize,
    whole_squares_a_second: f64,
    /// How many times faster than full passes.
    faster: f64,
    /// How many times fewer multiply-accumulates.
    fewer_macs: f64,
    peak_memory_bytes: u64,
    verified: Option<Apart>,
    layers: Vec<Layer>,
}

#[derive(Serialize)]
struct Layer {
    name: String,
    /// Of one square.
    whole_macs: f64,
    macs: f64,
    /// Of one square, all threads together.
    whole_milliseconds: f64,
    milliseconds: f64,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    let common = &arguments.common;
    let candidates = sources(&arguments.networks, context)?;
    let destination = Destination::new(common, context, "bench occlude")?;
    let header = Header::look(context);
    let cpus = cpus(context);
    let mut jobs = Jobs::new(context, "bench occlude", 3 * candidates.len() * cpus.len());
    let mut runs = Vec::new();
    each_session(candidates, &cpus, context, |name, session| {
        runs.push(one(name, session, arguments, &mut jobs)?);
        Ok(())
    })?;
    drop(jobs);
    destination.send(report(header, &runs))
}

fn one(network: &str, session: &Session, arguments: &Arguments, jobs: &mut Jobs<'_>) -> anyhow::Result<Run> {
    let input = input(session.network().input_shape(), 1);
    let settings = settings(session, arguments);
    let work = occlusion::work(session.network(), &settings)?;
    let effort = arguments.common.effort();
    let mut map = None;
    let measured = measure(
        &effort,
        || timed(|| occlude(session, &input, &settings, &mut |_| ControlFlow::Continue(())).map(|m| map = Some(m))),
        |share| jobs.step(share),
    )?;
    jobs.next();
    let map = map.expect("ran at least once");
    let places = map.known.len();
    let mut first_map_places = 0;
    let first_map = measure(
        &effort,
        || {
            let mut first = |_, map: Option<&Heatmap>| match map {
                Some(map) => {
                    first_map_places = map.known.iter().filter(|known| **known).count();
                    ControlFlow::Break(())
                }
                None => ControlFlow::Continue(()),
            };
            timed(|| occlude_in_stages(session, &input, &settings, &mut first).map(drop))
        },
        |share| jobs.step(share),
    )?;
    jobs.next();
    // Coarser, so that full passes do not take all the time; with --verify all, once.
    let coarser = ((places as f64 / WHOLE_PLACES as f64).sqrt().round() as usize).max(1);
    let few = match arguments.verify {
        true => settings.clone(),
        false => Settings { stride: settings.stride * coarser, ..settings.clone() },
    };
    let mut whole = None;
    let mut passes = || {
        let go_on = &mut |_| ControlFlow::Continue(());
        timed(|| occlude_by(session, &input, &few, Method::Whole, go_on).map(|m| whole = Some(m)))
    };
    let whole_seconds = match arguments.verify {
        true => passes()?,
        false => measure(&effort, passes, |share| jobs.step(share))?.samples.median(),
    };
    jobs.next();
    let whole = whole.expect("ran at least once");
    let squares_a_second = places as f64 / measured.samples.median();
    let whole_squares_a_second = whole.known.len() as f64 / whole_seconds;
    let sum = |of: fn(&occlusion::Work) -> u64| work.iter().map(of).sum::<u64>() as f64;
    Ok(Run {
        network: network.to_owned(),
        level: session.cpu().level.name(),
        threads: session.cpu().threads.count(),
        batch: 1,
        size: settings.size,
        stride: settings.stride,
        places,
        milliseconds: Figures::milliseconds(&measured.samples),
        warm_up: WarmUp::of(&measured),
        squares_a_second,
        first_map_places,
        first_map_milliseconds: Figures::milliseconds(&first_map.samples),
        whole_places: whole.known.len(),
        whole_squares_a_second,
        faster: squares_a_second / whole_squares_a_second,
        fewer_macs: sum(|w| w.whole) / sum(|w| w.windows),
        peak_memory_bytes: map.peak_memory,
        verified: arguments.verify.then(|| whole.apart(&map)),
        layers: layers(session, &input, &settings, &work, places)?,
    })
}

fn settings(session: &Session, arguments: &Arguments) -> Settings {
    let shape = session.network().input_shape();
    let side = shape.h.min(shape.w);
    Settings {
        size: arguments.size.unwrap_or_else(|| default_size(side)),
        cover: Cover::Square,
        stride: arguments.stride.unwrap_or_else(|| default_stride(side)),
        fill: Fill::Constant(vec![0.0; shape.c]),
        classes: vec![0],
        layer: None,
        channel: None,
        adaptive: None,
    }
}

/// Work and time of every layer, from one more sweep and one more full pass.
fn layers(
    session: &Session,
    input: &Tensor,
    settings: &Settings,
    work: &[occlusion::Work],
    places: usize,
) -> anyhow::Result<Vec<Layer>> {
    let (_, spent) = occlude_timed(session, input, settings)?;
    let mut passes = Vec::new();
    session.run_observed(input, &session.keep_scores(), &mut |step| passes.push(step))?;
    let threads = session.cpu().threads.count() as f64;
    let layer = |w: &occlusion::Work| {
        let whole = passes.iter().filter(|s| s.node == w.node).map(|s| s.duration.as_secs_f64()).sum::<f64>();
        let windows = spent.iter().filter(|s| s.0 == w.node).map(|s| s.1.as_secs_f64()).sum::<f64>();
        // Other layers are timed by each thread for itself.
        let together = if is_linear(session, w.node) { threads } else { 1.0 };
        Layer {
            name: session.network().node(w.node).name.clone(),
            whole_macs: w.whole as f64 / places as f64,
            macs: w.windows as f64 / places as f64,
            whole_milliseconds: 1e3 * threads * whole,
            milliseconds: 1e3 * together * windows / places as f64,
        }
    };
    Ok(work.iter().map(layer).collect())
}

/// Linear layers run for all squares at once, on all threads.
fn is_linear(session: &Session, node: NodeId) -> bool {
    matches!(session.network().node(node).layer, switchback_core::Layer::Linear { .. })
}

fn report(header: Header, runs: &[Run]) -> Report {
    let right = |name| (name, Align::Right);
    let left = |name| (name, Align::Left);
    let columns = [
        &[left("network"), left("level"), right("threads"), right("places")][..],
        &TIMES,
        &[right("squares/s"), right("full passes/s"), right("faster"), right("fewer MACs"), right("first map ms")],
    ];
    let mut table = Table::new(&columns.concat());
    for run in runs {
        let mut cells =
            vec![run.network.clone(), run.level.to_owned(), run.threads.to_string(), run.places.to_string()];
        cells.extend(times(&run.milliseconds));
        cells.extend([run.squares_a_second, run.whole_squares_a_second].map(significant));
        cells.extend([run.faster, run.fewer_macs].map(|x| format!("{x:.2}×")));
        cells.push(significant(run.first_map_milliseconds.median));
        table.row(cells);
    }
    let mut report = Report::new("occlude", header, table.clone(), &serde_json::json!({ "runs": runs }));
    report.sections.push(Section {
        title: "occlusion maps".into(),
        table,
        notes: vec![
            "Full passes run in batches at fewer places, in the same run; the first map is of one place in sixteen."
                .into(),
        ],
    });
    for run in runs {
        let apart = run.verified.filter(|a| a.probability > TOLERANCE || a.activity > TOLERANCE);
        report.failures.extend(apart.map(|_| format!("{}: the map is not that of full passes", run.network)));
        report.sections.push(layer_by_layer(run));
    }
    report
}

fn layer_by_layer(run: &Run) -> Section {
    let right = |name| (name, Align::Right);
    let saved = [right("by windows"), right("saved")];
    let columns = [&[("layer", Align::Left), right("MMAC")][..], &saved, &[right("ms")], &saved].concat();
    let mut table = Table::new(&columns);
    let times = |a: f64, b: f64| if b > 0.0 { format!("{:.2}×", a / b) } else { "–".into() };
    for layer in &run.layers {
        table.row(vec![
            escape(&layer.name).into_owned(),
            significant(layer.whole_macs / 1e6),
            significant(layer.macs / 1e6),
            times(layer.whole_macs, layer.macs),
            significant(layer.whole_milliseconds),
            significant(layer.milliseconds),
            times(layer.whole_milliseconds, layer.milliseconds),
        ]);
    }
    let mut notes = vec!["Of one square; times are of all threads together, full passes of one picture.".to_owned()];
    if let Some(Apart { probability, activity, labels }) = run.verified {
        notes.push(format!(
            "All {} places beside full passes: probabilities within {probability:.1e}, activities within {activity:.1e}, \
             {labels} other labels.",
            run.places
        ));
    }
    let title = format!("{}, {}, {} threads", escape(&run.network), run.level, run.threads);
    Section { title, table, notes }
}
