//! `bench conv`: single convolutions, by shape or those of a network, with bias and ReLU, run as networks run theirs:
//! filters packed before, by the algorithm that the cost model or `--algorithm` picks.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use serde::Serialize;
use switchback_core::bench::workload::Convolution;
use switchback_core::bench::{Measured, measure};
use switchback_core::{Conv2d, Cpu, Geometry, Layer, Network, Shape};

use super::figures::{Figures, TIMES, WarmUp, times};
use super::header::Header;
use super::network::sources;
use super::report::{Destination, Report, Section};
use super::roof::{Bound, Roof, Roofs};
use super::roofline::{Point, Roofline};
use super::{Common, Jobs, cpus, unique};
use crate::cli::Outcome;
use crate::cli::arguments::at_least_one;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::model;
use crate::cli::table::{Align, Table};

/// Cells of an output that are checked.
const CELLS: usize = 256;

/// First layers of three channels, the 3×3 of AlexNet, ZFNet and VGG-16, a pointwise, a strided and a depthwise one.
const SHAPES: &str = "3x224x224:64@11/4+2,3x224x224:96@7/2+1,3x224x224:64@3+1,96x55x55:256@5/2,64x224x224:64@3+1,\
                      128x112x112:128@3+1,256x56x56:256@3+1,512x28x28:512@3+1,512x14x14:512@3+1,256x13x13:384@3+1,\
                      384x13x13:384@3+1,64x56x56:256@1,1024x14x14:256@1,128x56x56:128@3/2+1,128x56x56:128@3+1g128";

/// Time single convolutions, by shape or those of a network
///
/// A shape is CxHxW:O@K, then /S (stride), +P (padding), gG (groups) where they are not 1, 0, 1: 3x224x224:96@7/2+1 are
/// ZFNet's 96 filters of 7×7. K, S and P may be pairs, 3x1.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  switchback bench conv --threads 1,2\n  switchback bench conv --shape 256x56x56:256@3+1,64x56x56:256@1 --level avx2,avx512 --batch 1,8\n  switchback bench conv resnet50\n  switchback bench conv -m squeezenet1.1.onnx"
)]
pub(crate) struct Arguments {
    /// All convolutions of a named architecture or model file, each shape once
    #[arg(value_name = "NETWORK")]
    network: Option<PathBuf>,

    /// Convolutions as CxHxW:O@K/S+PgG
    #[arg(long, value_name = "SHAPE", value_delimiter = ',', conflicts_with = "network")]
    shape: Vec<Spec>,

    /// Pictures that run together; a list measures each
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1", value_parser = at_least_one)]
    batch: Vec<usize>,

    #[command(flatten)]
    common: Common,
}

/// A convolution over maps of a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spec {
    conv: Conv2d,
    size: [usize; 2],
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a convolution such as 3x224x224:96@7/2+1, that is CxHxW:O@K/S+PgG".to_owned();
        const MOST: usize = 1 << 16;
        let number = |t: &str| t.parse::<usize>().ok().filter(|&n| n <= MOST);
        let pair = |t: &str| match t.split_once('x') {
            Some((y, x)) => Some([number(y)?, number(x)?]),
            None => number(t).map(|n| [n; 2]),
        };
        let parse = || -> Option<Spec> {
            let (maps, filters) = text.split_once(':')?;
            let [c, h, w] = maps.split('x').map(number).collect::<Option<Vec<_>>>()?.try_into().ok()?;
            let (out, rest) = filters.split_once('@')?;
            let (rest, groups) = rest.split_once('g').map_or(Some((rest, 1)), |(r, g)| Some((r, number(g)?)))?;
            let (rest, pad) = rest.split_once('+').map_or(Some((rest, [0; 2])), |(r, p)| Some((r, pair(p)?)))?;
            let (rest, stride) = rest.split_once('/').map_or(Some((rest, [1; 2])), |(r, s)| Some((r, pair(s)?)))?;
            let geometry =
                Geometry { kernel: pair(rest)?, stride, dilation: [1; 2], pads: [pad[0], pad[1], pad[0], pad[1]] };
            let conv = Conv2d { in_channels: c, out_channels: number(out)?, groups, geometry };
            Some(Spec { conv, size: [h, w] })
        };
        let spec = parse().ok_or_else(wrong)?;
        let Conv2d { in_channels: c, out_channels: o, groups: g, geometry } = spec.conv;
        let positive =
            [c, o, g].iter().chain(&geometry.kernel).chain(&geometry.stride).chain(&spec.size).all(|&n| n > 0);
        if !positive || !c.is_multiple_of(g) || !o.is_multiple_of(g) {
            return Err("sizes must be positive, and groups divide the channels in and out".into());
        }
        if geometry.out_size(spec.size, false).is_none() {
            return Err("the kernel is larger than the padded maps".into());
        }
        Ok(spec)
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Conv2d { in_channels, out_channels, groups, geometry } = self.conv;
        let pair = |[y, x]: [usize; 2]| if y == x { y.to_string() } else { format!("{y}x{x}") };
        let Geometry { kernel, stride, pads, .. } = geometry;
        write!(f, "{in_channels}x{}x{}:{out_channels}@{}", self.size[0], self.size[1], pair(kernel))?;
        if stride != [1, 1] {
            write!(f, "/{}", pair(stride))?;
        }
        if pads != [0; 4] {
            write!(f, "+{}", pair([pads[0], pads[1]]))?;
        }
        if groups != 1 { write!(f, "g{groups}") } else { Ok(()) }
    }
}

#[derive(Serialize)]
struct Document {
    runs: Vec<Run>,
}

#[derive(Serialize)]
struct Run {
    shape: String,
    /// Of one picture.
    output: Shape,
    algorithm: &'static str,
    level: &'static str,
    threads: usize,
    batch: usize,
    milliseconds: Figures,
    warm_up: WarmUp,
    flops: u64,
    bytes: u64,
    gflops: f64,
    percent_of_peak: f64,
    bound: Bound,
    relative_error: f64,
    /// The error is one of another order of sums, or of Winograd's transforms.
    passed: bool,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    let common = &arguments.common;
    let specs = specs(arguments, context)?;
    let destination = Destination::new(common, context, "bench conv")?;
    let header = Header::look(context);
    let (cpus, batches) = (cpus(context), unique(&arguments.batch, 1));
    let mut jobs = Jobs::new(context, "bench conv", specs.len() * cpus.len() * batches.len());
    let mut roofs = Roofs::new(&header.machine, common.roof_effort(), common.quick);
    let (mut runs, mut rooflines) = (Vec::new(), Vec::new());
    for cpu in &cpus {
        let roof = roofs.of(cpu, &mut jobs)?;
        let mut points = Vec::new();
        for spec in &specs {
            for &batch in &batches {
                let (seed, options) = (context.options.seed, model::options(context));
                let work = Convolution::new(spec.conv, spec.size, batch, seed, cpu, options)?;
                let measured =
                    measure(&common.effort(), || Ok(work.run()?.duration.as_secs_f64()), |share| jobs.step(share))?;
                let run = summarise(spec, &work, batch, cpu, &measured, roof)?;
                let intensity = run.flops as f64 / run.bytes as f64;
                points.push(Point { label: run.shape.clone(), intensity, gflops: run.gflops, convolution: true });
                runs.push(run);
                jobs.next();
            }
        }
        let title = format!("convolutions, {}, {} threads", cpu.level, cpu.threads.count());
        rooflines.push(Roofline { title, roof, points });
    }
    drop(jobs);
    destination.send(report(header, runs, rooflines))
}

fn specs(arguments: &Arguments, context: &Context) -> anyhow::Result<Vec<Spec>> {
    if !arguments.shape.is_empty() {
        if !context.options.model.is_empty() {
            return Err(Failure::usage("convolutions are given both by --shape and with -m"));
        }
        return Ok(arguments.shape.clone());
    }
    let networks: Vec<PathBuf> = arguments.network.iter().cloned().collect();
    if networks.is_empty() && context.options.model.is_empty() {
        return Ok(SHAPES.split(',').map(|s| s.parse().expect("the list is sound")).collect());
    }
    let mut found = Vec::new();
    for source in sources(&networks, context)? {
        let candidate = source.load(context)?;
        for spec in of_network(&candidate.model.network) {
            if !found.contains(&spec) {
                found.push(spec);
            }
        }
    }
    if found.is_empty() { Err(Failure::usage("the network has no convolutions")) } else { Ok(found) }
}

fn of_network(network: &Network) -> Vec<Spec> {
    let nodes = network.nodes().iter();
    nodes
        .filter_map(|n| match n.layer {
            Layer::Conv2d { geometry, out_channels, groups, .. } => {
                let x = network.node(n.inputs[0]).shape;
                Some(Spec { conv: Conv2d { in_channels: x.c, out_channels, groups, geometry }, size: x.size() })
            }
            _ => None,
        })
        .collect()
}

fn summarise(
    spec: &Spec,
    work: &Convolution,
    batch: usize,
    cpu: &Cpu,
    measured: &Measured,
    roof: Roof,
) -> anyhow::Result<Run> {
    let step = work.run()?;
    let cost = work.cost(&step);
    let checked = work.check(CELLS)?;
    let gflops = cost.flops as f64 / measured.samples.median() / 1e9;
    Ok(Run {
        shape: spec.to_string(),
        output: work.out_shape(),
        algorithm: step.algorithm,
        level: cpu.level.name(),
        threads: cpu.threads.count(),
        batch,
        milliseconds: Figures::milliseconds(&measured.samples),
        warm_up: WarmUp::of(measured),
        flops: cost.flops,
        bytes: cost.bytes,
        gflops,
        percent_of_peak: 100.0 * gflops / roof.gflops,
        bound: roof.bound(&cost),
        relative_error: checked.error,
        passed: checked.passed(),
    })
}

fn report(header: Header, runs: Vec<Run>, rooflines: Vec<Roofline>) -> Report {
    let right = |name| (name, Align::Right);
    let left = |name| (name, Align::Left);
    let columns = [
        &[left("convolution"), left("output"), left("algorithm"), left("level"), right("threads"), right("batch")][..],
        &TIMES,
        &[right("GFLOP/s"), right("% of peak"), left("bound"), right("error")],
    ]
    .concat();
    let mut table = Table::new(&columns);
    let mut failures = Vec::new();
    for r in &runs {
        let mut cells = vec![r.shape.clone(), r.output.to_string(), r.algorithm.to_owned(), r.level.to_owned()];
        cells.extend([r.threads, r.batch].map(|n| n.to_string()));
        cells.extend(times(&r.milliseconds));
        cells.extend([format!("{:.1}", r.gflops), format!("{:.1}", r.percent_of_peak), r.bound.word().to_owned()]);
        cells.push(format!("{:.1e}", r.relative_error));
        table.row(cells);
        if !r.passed {
            failures.push(format!("{} at {} IS WRONG: {:.1e} off the naive sums", r.shape, r.level, r.relative_error));
        }
    }
    let mut report = Report::new("conv", header, table.clone(), &Document { runs });
    let note = "CxHxW:O@K/S+PgG: maps in, filters, kernel, stride, padding, groups; bias and ReLU are fused".to_owned();
    report.sections.push(Section { title: "convolutions".into(), table, notes: vec![note] });
    report.rooflines = rooflines;
    report.failures = failures;
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchback_core::architecture::{Name, build};

    #[test]
    fn shapes_are_read_and_written() {
        let zf: Spec = "3x224x224:96@7/2+1".parse().unwrap();
        let conv = Conv2d { in_channels: 3, out_channels: 96, groups: 1, geometry: Geometry::square(7, 2, 1) };
        assert_eq!(zf, Spec { conv, size: [224, 224] });
        let all = SHAPES.split(',').chain(["4x9x8:6@3x1/1x2+1x0g2"]);
        for shape in all {
            assert_eq!(shape.parse::<Spec>().unwrap().to_string(), shape);
        }
        for wrong in [
            "",
            "3x4:5@1",
            "3x4x4:5",
            "3x4x4:5@",
            "3x4x4:0@1",
            "3x4x4:5@5",
            "3x4x4:5@1/0",
            "3x4x4:4@1g2",
            "3x4x4:4@1g",
            "9999999x4x4:4@1",
        ] {
            assert!(wrong.parse::<Spec>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_networks_convolutions() {
        let found = of_network(&build(Name::AlexNet, 0).network);
        let names: Vec<String> = found.iter().map(Spec::to_string).collect();
        assert_eq!(names[..2], ["3x224x224:64@11/4+2", "64x27x27:192@5+2"]);
        assert_eq!(names.len(), 5);
    }
}
