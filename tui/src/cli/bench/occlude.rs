//! `bench occlude`: a sweep by windows beside our own full passes in the same run, and layer by layer what is saved in
//! multiply-accumulates and in time.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use switchback_core::bench::{measure, timed};
use switchback_core::occlusion::{
    self, Apart, Cover, Fill, Method, Settings, default_size, default_stride, occlude, occlude_by, occlude_timed,
};
use switchback_core::session::Session;

use super::figures::{Figures, TIMES, WarmUp, significant, times};
use super::header::Header;
use super::net::input;
use super::network::sources;
use super::report::{Destination, Report, Section};
use super::{Common, Jobs, cpus};
use crate::cli::Outcome;
use crate::cli::arguments::at_least_one;
use crate::cli::context::Context;
use crate::cli::model::{self, name};
use crate::cli::table::{Align, Table};

/// Full passes are timed at about so many places, unless all are verified.
const WHOLE_PLACES: usize = 25;
/// As `occlude --verify`.
const TOLERANCE: f32 = 1e-5;

/// Time occlusion maps by windows, beside our own full passes, layer by layer
///
/// Full passes run in batches at some 25 places, with --verify at all of them; both are told in squares a second.
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
    let mut jobs = Jobs::new(context, "bench occlude", candidates.len() * cpus.len());
    let mut runs = Vec::new();
    for candidate in candidates {
        let candidate = candidate.load(context)?;
        for cpu in &cpus {
            let session = Session::with(Arc::clone(&candidate.model), cpu.clone(), model::options(context))?;
            runs.push(one(&name(&candidate.model), &session, arguments, &mut jobs)?);
            jobs.next();
        }
    }
    drop(jobs);
    destination.send(report(header, &runs))
}

fn one(network: &str, session: &Session, arguments: &Arguments, jobs: &mut Jobs<'_>) -> anyhow::Result<Run> {
    let shape = session.network().input_shape();
    let side = shape.h.min(shape.w);
    let input = input(shape, 1);
    let settings = Settings {
        size: arguments.size.unwrap_or_else(|| default_size(side)),
        cover: Cover::Square,
        stride: arguments.stride.unwrap_or_else(|| default_stride(side)),
        fill: Fill::Constant(vec![0.0; shape.c]),
        classes: vec![0],
        layer: None,
        channel: None,
        adaptive: None,
    };
    let work = occlusion::work(session.network(), &settings)?;
    let go_on = &mut |_| ControlFlow::Continue(());
    let mut map = None;
    let measured = measure(
        &arguments.common.effort(),
        || timed(|| occlude(session, &input, &settings, &mut |_| ControlFlow::Continue(())).map(|m| map = Some(m))),
        |share| jobs.step(share),
    )?;
    let map = map.expect("ran at least once");
    let places = map.known.len();
    // Coarser, so that full passes do not take all the time.
    let coarser = ((places as f64 / WHOLE_PLACES as f64).sqrt().round() as usize).max(1);
    let stride = if arguments.verify { settings.stride } else { settings.stride * coarser };
    let few = Settings { stride, ..settings.clone() };
    let mut whole = None;
    let seconds = timed(|| occlude_by(session, &input, &few, Method::Whole, go_on).map(|m| whole = Some(m)))?;
    let whole = whole.expect("ran");
    let (_, spent) = occlude_timed(session, &input, &settings)?;
    let mut passes = Vec::new();
    session.run_observed(&input, &session.keep_scores(), &mut |step| passes.push(step))?;
    let threads = session.cpu().threads.count();
    let layers = work.iter().map(|w| Layer {
        name: session.network().node(w.node).name.clone(),
        whole_macs: w.whole as f64 / places as f64,
        macs: w.windows as f64 / places as f64,
        whole_milliseconds: passes.iter().filter(|s| s.node == w.node).map(|s| s.duration.as_secs_f64()).sum::<f64>()
            * 1e3
            * threads as f64,
        milliseconds: spent
            .iter()
            .filter(|s| s.0 == w.node)
            .map(|s| s.1.as_secs_f64() * if after_the_cut(session, w.node) { threads as f64 } else { 1.0 })
            .sum::<f64>()
            * 1e3
            / places as f64,
    });
    let squares_a_second = places as f64 / measured.samples.median();
    let whole_squares_a_second = whole.known.len() as f64 / seconds;
    let sum = |of: fn(&occlusion::Work) -> u64| work.iter().map(of).sum::<u64>() as f64;
    Ok(Run {
        network: network.to_owned(),
        level: session.cpu().level.name(),
        threads,
        batch: 1,
        size: settings.size,
        stride: settings.stride,
        places,
        milliseconds: Figures::milliseconds(&measured.samples),
        warm_up: WarmUp::of(&measured),
        squares_a_second,
        whole_places: whole.known.len(),
        whole_squares_a_second,
        faster: squares_a_second / whole_squares_a_second,
        fewer_macs: sum(|w| w.whole) / sum(|w| w.windows),
        peak_memory_bytes: map.peak_memory,
        verified: arguments.verify.then(|| whole.apart(&map)),
        layers: layers.collect(),
    })
}

/// Linear layers run for all squares at once, on all threads.
fn after_the_cut(session: &Session, node: usize) -> bool {
    matches!(session.network().node(node).layer, switchback_core::Layer::Linear { .. })
}

fn report(header: Header, runs: &[Run]) -> Report {
    let right = |name| (name, Align::Right);
    let left = |name| (name, Align::Left);
    let columns = [
        &[left("network"), left("level"), right("threads"), right("places")][..],
        &TIMES,
        &[right("squares/s"), right("full passes/s"), right("faster"), right("fewer MACs")],
    ];
    let mut table = Table::new(&columns.concat());
    for run in runs {
        let mut cells =
            vec![run.network.clone(), run.level.to_owned(), run.threads.to_string(), run.places.to_string()];
        cells.extend(times(&run.milliseconds));
        cells.extend([run.squares_a_second, run.whole_squares_a_second].map(significant));
        cells.extend([run.faster, run.fewer_macs].map(|x| format!("{x:.2}×")));
        table.row(cells);
    }
    let mut report = Report::new("occlude", header, table.clone(), &serde_json::json!({ "runs": runs }));
    report.sections.push(Section {
        title: "occlusion maps".into(),
        table,
        notes: vec!["Full passes run in batches at fewer places, in the same run.".into()],
    });
    for run in runs {
        let columns = [
            left("layer"),
            right("MMAC"),
            right("by windows"),
            right("saved"),
            right("ms"),
            right("by windows"),
            right("saved"),
        ];
        let mut table = Table::new(&columns);
        for layer in &run.layers {
            let times = |a: f64, b: f64| if b > 0.0 { format!("{:.2}×", a / b) } else { "–".into() };
            table.row(vec![
                switchback_core::text::escape(&layer.name).into_owned(),
                significant(layer.whole_macs / 1e6),
                significant(layer.macs / 1e6),
                times(layer.whole_macs, layer.macs),
                significant(layer.whole_milliseconds),
                significant(layer.milliseconds),
                times(layer.whole_milliseconds, layer.milliseconds),
            ]);
        }
        let mut notes =
            vec!["Of one square; times are of all threads together, full passes of one picture.".to_owned()];
        if let Some(Apart { probability, activity, labels }) = run.verified {
            notes.push(format!(
                "All {} places beside full passes: probabilities within {probability:.1e}, activities within {activity:.1e}, \
                 {labels} other labels.",
                run.places
            ));
            if probability > TOLERANCE || activity > TOLERANCE {
                report.failures.push(format!("{}: the map is not that of full passes", run.network));
            }
        }
        let title = format!("{}, {}, {} threads", switchback_core::text::escape(&run.network), run.level, run.threads);
        report.sections.push(Section { title, table, notes });
    }
    report
}
