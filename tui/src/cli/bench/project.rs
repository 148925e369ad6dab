//! `bench project`: projections by windows beside the same walk over whole maps, and the traced run that both need.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use switchback_core::bench::{measure, timed};
use switchback_core::projection::{self, Seed, Settings};
use switchback_core::session::Session;
use switchback_core::text::escape;

use super::figures::{Figures, TIMES, WarmUp, times};
use super::header::Header;
use super::net::input;
use super::network::{each_session, sources};
use super::report::{Destination, Report, Section};
use super::{Common, Jobs, cpus};
use crate::cli::Outcome;
use crate::cli::context::Context;
use crate::cli::table::{Align, Table};

/// How far windows may be off whole maps, relative to the largest.
const TOLERANCE: f32 = 1e-6;
/// Units of one trace.
const UNITS: usize = 8;

/// Time projections of the strongest units of the last spatial layer
///
/// Told apart: the traced forward run, one unit by windows, one over whole maps, and eight units side by side.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  switchback bench project alexnet zfnet vgg16\n  switchback bench project -m squeezenet1.1.onnx --json"
)]
pub(crate) struct Arguments {
    /// Architectures (with random weights) or model files; default: the model of -m
    #[arg(value_name = "NETWORK")]
    networks: Vec<PathBuf>,

    /// The layer; default: the last spatial one before the class scores
    #[arg(short, long, value_name = "LAYER")]
    layer: Option<String>,

    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Run {
    network: String,
    level: &'static str,
    threads: usize,
    batch: usize,
    layer: String,
    channel: usize,
    at: [usize; 2],
    what: &'static str,
    milliseconds: Figures,
    warm_up: WarmUp,
    /// Relative to the largest number of the walk over whole maps.
    apart: f32,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    let common = &arguments.common;
    let candidates = sources(&arguments.networks, context)?;
    let destination = Destination::new(common, context, "bench project")?;
    let header = Header::look(context);
    let cpus = cpus(context);
    let mut jobs = Jobs::new(context, "bench project", 4 * candidates.len() * cpus.len());
    let mut runs = Vec::new();
    each_session(candidates, &cpus, context, |name, session| {
        runs.extend(one(name, session, arguments, &mut jobs)?);
        Ok(())
    })?;
    drop(jobs);
    destination.send(report(header, &runs))
}

fn one(name: &str, session: &Session, arguments: &Arguments, jobs: &mut Jobs<'_>) -> anyhow::Result<Vec<Run>> {
    let network = session.network();
    let layer = match &arguments.layer {
        Some(name) => network.find(name)?,
        None => network.last_spatial().unwrap_or_else(|| network.scores()),
    };
    let settings = Settings::default();
    let keep = projection::keep(network, layer, &settings);
    let input = input(network.input_shape(), 1);
    let trace = session.run(&input, &keep)?;
    let units = projection::top_channels(trace.tensor(layer).expect("kept"), 0, UNITS);
    let seeds: Vec<Seed> = units.iter().map(|&(channel, at, _)| Seed::Unit { channel, at }).collect();
    let (first, (channel, at, _)) = (seeds[0], units[0]);
    let windows = projection::project(session, &trace, 0, layer, first, &settings)?.tensor.data;
    let whole = projection::project_whole(session, &trace, 0, layer, first, &settings)?.tensor.data;
    let peak = whole.iter().fold(f32::MIN_POSITIVE, |m, x| m.max(x.abs()));
    let apart = windows.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / peak;
    let jobs_of = |what: usize| match what {
        0 => session.run(&input, &keep).map(drop),
        1 => projection::project(session, &trace, 0, layer, first, &settings).map(drop),
        2 => projection::project_whole(session, &trace, 0, layer, first, &settings).map(drop),
        _ => projection::project_many(session, &trace, 0, layer, &seeds, &settings).map(drop),
    };
    let mut runs = Vec::new();
    for (which, what) in ["traced run", "one unit", "one unit, whole maps", "eight units"].into_iter().enumerate() {
        let measured = measure(&arguments.common.effort(), || timed(|| jobs_of(which)), |share| jobs.step(share))?;
        jobs.next();
        runs.push(Run {
            network: name.to_owned(),
            level: session.cpu().level.name(),
            threads: session.cpu().threads.count(),
            batch: 1,
            layer: network.node(layer).name.clone(),
            channel,
            at,
            what,
            milliseconds: Figures::milliseconds(&measured.samples),
            warm_up: WarmUp::of(&measured),
            apart,
        });
    }
    Ok(runs)
}

fn report(header: Header, runs: &[Run]) -> Report {
    let left = |name| (name, Align::Left);
    let columns =
        [&[left("network"), left("level"), ("threads", Align::Right), left("layer"), left("what")][..], &TIMES];
    let mut table = Table::new(&columns.concat());
    for run in runs {
        let names = [&run.network, &run.layer].map(|n| escape(n).into_owned());
        let [network, layer] = names;
        let mut cells = vec![network, run.level.to_owned(), run.threads.to_string(), layer, run.what.to_owned()];
        cells.extend(times(&run.milliseconds));
        table.row(cells);
    }
    let mut report = Report::new("project", header, table.clone(), &serde_json::json!({ "runs": runs }));
    let apart = runs.iter().map(|r| r.apart).fold(0.0, f32::max);
    let notes = vec![format!("Windows are within {apart:.1e} of whole maps, relative to the largest number.")];
    report.sections.push(Section { title: "projections".into(), table, notes });
    if apart > TOLERANCE {
        report.failures.push("projections by windows are not those over whole maps".into());
    }
    report
}
