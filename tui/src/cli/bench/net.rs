//! `bench net`: whole networks, layer by layer, from files or with random weights.
//!
//! ```text
//! for each network, level, threads, batch:
//!   run timed as a whole, run with every step timed, in turn ─▶ medians of both
//!   one more run ─▶ sampled cells of every layer against naive sums
//! ```

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use switchback_core::bench::check::{Checked, check};
use switchback_core::bench::{Cost, Measured, Samples, measure, timed};
use switchback_core::observe::{IN_PLACE, Observed};
use switchback_core::session::Session;
use switchback_core::text::escape;
use switchback_core::{Cpu, Layer, NodeId, Shape, Tensor};

use super::figures::{Figures, TIMES, WarmUp, optional, significant, times};
use super::header::Header;
use super::network::{Candidate, sources};
use super::report::{Destination, Report, Section};
use super::roof::{Bound, Roof, Roofs};
use super::roofline::{Point, Roofline};
use super::{Common, Jobs, cpus};
use crate::cli::Outcome;
use crate::cli::arguments::at_least_one;
use crate::cli::context::Context;
use crate::cli::model::{self, name};
use crate::cli::table::{Align, Table};

/// Cells of each layer that are checked.
const CELLS: usize = 64;
/// Pictures of the run that is checked.
const CHECKED_PICTURES: usize = 2;

/// Time whole networks and each of their layers
///
/// A network is a model file or one of squeezenet1.1, alexnet, zfnet, vgg16, resnet18, resnet50, googlenet, which are
/// built in memory with random weights (--seed). The time is that of a run up to the class scores. Operations are those
/// of the layer's definition, two a multiply-accumulate; an algorithm that needs fewer may pass 100 % of the peak.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  switchback bench net vgg16 --threads 1,2\n  switchback bench net resnet50 alexnet --batch 1,8 --json > now.json\n  switchback bench net -m squeezenet1.1.onnx --level portable,avx2,avx512"
)]
pub(crate) struct Arguments {
    /// Named architectures or model files; default: the model of -m
    #[arg(value_name = "NETWORK")]
    networks: Vec<PathBuf>,

    /// Pictures that run together; a list measures each
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1", value_parser = at_least_one)]
    batch: Vec<usize>,

    #[command(flatten)]
    common: Common,
}

/// The first combination's fields, and all combinations where there are several.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    first: &'a Run,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    runs: &'a [Run],
}

/// One network, level, thread count and batch.
#[derive(Serialize)]
struct Run {
    #[serde(flatten)]
    model: model::Header,
    network: String,
    threads: usize,
    batch: usize,
    level: &'static str,
    seed: Option<u64>,
    milliseconds: Figures,
    warm_up: WarmUp,
    gflops: f64,
    percent_of_peak: f64,
    roof: Roof,
    layers: Vec<Row>,
    check: Check,
}

/// One step.
#[derive(Serialize)]
struct Row {
    name: String,
    kind: &'static str,
    /// What ran fused behind it.
    fused: Vec<String>,
    shape: Shape,
    algorithm: &'static str,
    milliseconds: f64,
    p10: f64,
    p90: f64,
    min: f64,
    flops: u64,
    bytes: u64,
    /// Of layers without multiply-accumulates there are none.
    gflops: Option<f64>,
    percent_of_peak: Option<f64>,
    gigabytes_per_second: Option<f64>,
    bound: Bound,
}

/// What the comparison with naive sums found.
#[derive(Serialize)]
struct Check {
    passed: bool,
    layers: usize,
    cells: usize,
    pictures: usize,
    worst: Option<Worst>,
}

#[derive(Serialize)]
struct Worst {
    layer: String,
    relative_error: f64,
    tolerance: f64,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    let common = &arguments.common;
    let candidates = sources(&arguments.networks, context)?;
    let destination = Destination::new(common, context, "bench net")?;
    let header = Header::look(context);
    let cpus = cpus(context);
    let batches = super::unique(&arguments.batch, 1);
    let total = candidates.len() * cpus.len() * batches.len();
    let mut jobs = Jobs::new(context, "bench net", total);
    let mut roofs = Roofs::new(&header.machine, common.roof_effort(), common.quick);
    let mut runs = Vec::new();
    let mut failures = Vec::new();
    for candidate in candidates {
        let candidate = candidate.load(context)?;
        for cpu in &cpus {
            let roof = roofs.of(cpu, &mut jobs)?;
            let session = Session::with(Arc::clone(&candidate.model), cpu.clone(), model::options(context))?;
            for &batch in &batches {
                let run = one(&candidate, &session, batch, roof, common, &mut jobs)?;
                if !run.check.passed {
                    failures.push(run.failure());
                }
                runs.push(run);
                jobs.next();
            }
        }
    }
    drop(jobs);
    destination.send(report(header, &runs, failures))
}

/// A fixed pattern in (−1, 1): what the numbers are does not change the time, so long as none is denormal.
pub(super) fn input(shape: Shape, batch: usize) -> Tensor {
    let picture: Vec<f32> = (0..shape.len()).map(|i| ((i * 37) % 255) as f32 / 127.0 - 1.0).collect();
    Tensor { batch, shape, data: picture.repeat(batch) }
}

fn one(
    candidate: &Candidate,
    session: &Session,
    batch: usize,
    roof: Roof,
    common: &Common,
    jobs: &mut Jobs<'_>,
) -> anyhow::Result<Run> {
    let input = input(session.network().input_shape(), batch);
    let keep = switchback_core::trace::Keep::nodes(session.network(), &[session.network().scores()]);
    let mut steps: Vec<(Observed, Samples)> = Vec::new();
    let measured = measure(
        &common.effort(),
        || {
            let seconds = timed(|| session.run(&input, &keep).map(drop))?;
            let mut i = 0;
            session.run_observed(&input, &keep, &mut |step| {
                if i == steps.len() {
                    steps.push((step, Samples::default()));
                }
                steps[i].1.seconds.push(step.duration.as_secs_f64());
                i += 1;
            })?;
            Ok(seconds)
        },
        |share| jobs.step(share),
    )?;
    // Of the warm-up nothing counts.
    for (_, samples) in &mut steps {
        samples.seconds.drain(..measured.warm_up);
    }
    let taken: Vec<Observed> = steps.iter().map(|s| s.0).collect();
    let pictures = batch.min(CHECKED_PICTURES);
    let few = Tensor { batch: pictures, shape: input.shape, data: input.data[..pictures * input.shape.len()].to_vec() };
    let checked = check(session, &few, &taken, CELLS)?;
    Ok(summarise(candidate, session, batch, roof, &measured, &steps, &checked))
}

fn summarise(
    candidate: &Candidate,
    session: &Session,
    batch: usize,
    roof: Roof,
    measured: &Measured,
    steps: &[(Observed, Samples)],
    checked: &[Checked],
) -> Run {
    let model = session.model();
    let rows: Vec<Row> = steps
        .iter()
        .filter(|(step, _)| !matches!(model.network.node(step.node).layer, Layer::Identity | Layer::Flatten))
        .map(|(step, samples)| row(session, step, samples, batch, &roof))
        .collect();
    let flops: u64 = rows.iter().map(|r| r.flops).sum();
    let gflops = flops as f64 / measured.samples.median() / 1e9;
    let worst = checked.iter().max_by(|a, b| (a.error / a.tolerance).total_cmp(&(b.error / b.tolerance)));
    let cpu: &Cpu = session.cpu();
    Run {
        model: candidate.header.clone(),
        network: name(model),
        threads: cpu.threads.count(),
        batch,
        level: cpu.level.name(),
        seed: candidate.seed,
        milliseconds: Figures::milliseconds(&measured.samples),
        warm_up: WarmUp::of(measured),
        gflops,
        percent_of_peak: 100.0 * gflops / roof.gflops,
        roof,
        layers: rows,
        check: Check {
            passed: checked.iter().all(Checked::passed),
            layers: checked.len(),
            cells: checked.iter().map(|c| c.cells).sum(),
            pictures: batch.min(CHECKED_PICTURES),
            worst: worst.map(|w| Worst {
                layer: model.network.node(w.node).name.clone(),
                relative_error: w.error,
                tolerance: w.tolerance,
            }),
        },
    }
}

fn row(session: &Session, step: &Observed, samples: &Samples, batch: usize, roof: &Roof) -> Row {
    let network = session.network();
    let cost = match step.algorithm {
        IN_PLACE => Cost::default(),
        _ => Cost::of_step(session, step, batch),
    };
    let median = samples.median();
    let gflops = (cost.flops > 0).then(|| cost.flops as f64 / median / 1e9);
    let name = |id: NodeId| network.node(id).name.clone();
    let fused = step.chain(network).into_iter().skip(1).map(name).collect();
    Row {
        name: network.node(step.node).name.clone(),
        kind: network.node(step.node).layer.kind(),
        fused,
        shape: network.node(step.output).shape,
        algorithm: step.algorithm,
        milliseconds: 1e3 * median,
        p10: 1e3 * samples.quantile(0.1),
        p90: 1e3 * samples.quantile(0.9),
        min: 1e3 * samples.min(),
        flops: cost.flops,
        bytes: cost.bytes,
        gflops,
        percent_of_peak: gflops.map(|g| 100.0 * g / roof.gflops),
        gigabytes_per_second: (cost.bytes > 0).then(|| cost.bytes as f64 / median / 1e9),
        bound: roof.bound(&cost),
    }
}

impl Run {
    /// Safe to show.
    fn title(&self) -> String {
        let Self { network, threads, batch, level, .. } = self;
        let plural = if *threads == 1 { "thread" } else { "threads" };
        format!("{}, {level}, {threads} {plural}, batch {batch}", escape(network))
    }

    /// Safe to show.
    fn failure(&self) -> String {
        let worst = self.check.worst.as_ref().map_or(String::new(), |w| {
            format!(": layer {} is {:.1e} off, {:.0e} is allowed", escape(&w.layer), w.relative_error, w.tolerance)
        });
        format!("{} COMPUTES WRONG NUMBERS{worst}", self.title())
    }

    fn roofline(&self) -> Roofline {
        let point = |l: &Row| {
            let intensity = l.flops as f64 / l.bytes.max(1) as f64;
            Some(Point { label: l.name.clone(), intensity, gflops: l.gflops?, convolution: l.kind.starts_with("conv") })
        };
        Roofline { title: self.title(), roof: self.roof, points: self.layers.iter().filter_map(point).collect() }
    }

    fn notes(&self) -> Vec<String> {
        let Self { milliseconds: ms, roof, check, warm_up, layers, .. } = self;
        let sum: f64 = layers.iter().map(|l| l.milliseconds).sum();
        let slow = if warm_up.stable { "" } else { "; the warm-up did not settle" };
        let mut notes = vec![format!(
            "whole run {} ms (p10 {}, p90 {}, min {}; {} runs{slow}), {:.1} GFLOP/s, {:.1} % of the peak; the layers \
             together {} ms",
            significant(ms.median),
            significant(ms.p10),
            significant(ms.p90),
            significant(ms.min),
            ms.samples.len(),
            self.gflops,
            self.percent_of_peak,
            significant(sum),
        )];
        notes.push(format!(
            "roof: {:.1} GFLOP/s, {:.1} GB/s from memory; below {:.1} operations a byte memory is the bound",
            roof.gflops,
            roof.gigabytes_per_second,
            roof.gflops / roof.gigabytes_per_second
        ));
        if let Some(worst) = &check.worst {
            notes.push(format!(
                "check: {} cells of {} layers agree with naive sums to {:.1e} (worst: {}){}",
                check.cells,
                check.layers,
                worst.relative_error,
                escape(&worst.layer),
                if check.passed { "" } else { " — TOO FAR OFF" }
            ));
        }
        notes
    }
}

fn report(header: Header, runs: &[Run], failures: Vec<String>) -> Report {
    let right = |name| (name, Align::Right);
    let left = |name| (name, Align::Left);
    let of_layer = [
        left("layer"),
        left("kind"),
        left("shape"),
        left("algorithm"),
        right("ms"),
        right("GFLOP/s"),
        right("% of peak"),
        right("GB/s"),
        left("bound"),
    ];
    let of_run = [left("network"), left("level"), right("threads"), right("batch")];
    let mut summary = Table::new(&[&of_run[..], &TIMES, &[right("GFLOP/s"), right("% of peak")]].concat());
    let mut flat = Table::new(
        &[&of_run[..], &of_layer[..4], &TIMES[..4], &of_layer[5..], &[right("flops"), right("bytes")]].concat(),
    );
    let mut sections = Vec::new();
    for run in runs {
        let combination =
            vec![run.network.clone(), run.level.to_owned(), run.threads.to_string(), run.batch.to_string()];
        let rate = [format!("{:.1}", run.gflops), format!("{:.1}", run.percent_of_peak)];
        summary.row([&combination[..], &times(&run.milliseconds), &rate].concat());
        let whole = &run.milliseconds;
        let mut cells = combination.clone();
        cells.extend(["", "", "", ""].map(String::from));
        cells.extend([whole.median, whole.p10, whole.p90, whole.min].map(significant));
        cells.extend(rate);
        cells.extend(["", "", "", ""].map(String::from));
        flat.row(cells);
        let mut table = Table::new(&of_layer);
        for l in &run.layers {
            let mut named = vec![l.name.clone(), l.kind.to_owned(), l.shape.to_string(), l.algorithm.to_owned()];
            let rates = vec![
                optional(l.gflops, 1),
                optional(l.percent_of_peak, 1),
                optional(l.gigabytes_per_second, 1),
                l.bound.word().to_owned(),
            ];
            let mut cells = combination.clone();
            cells.extend(named.iter().cloned());
            cells.extend([l.milliseconds, l.p10, l.p90, l.min].map(significant));
            cells.extend(rates.iter().cloned());
            cells.extend([l.flops, l.bytes].map(|n| n.to_string()));
            flat.row(cells);
            named.push(significant(l.milliseconds));
            named.extend(rates);
            table.row(named);
        }
        sections.push(Section { title: run.title(), table, notes: run.notes() });
    }
    if runs.len() > 1 {
        sections.insert(0, Section { title: "whole networks".into(), table: summary, notes: Vec::new() });
    }
    let document = Document { first: &runs[0], runs: if runs.len() > 1 { runs } else { &[] } };
    let mut report = Report::new("net", header, flat, &document);
    report.sections = sections;
    report.rooflines = runs.iter().map(Run::roofline).collect();
    report.failures = failures;
    report
}
