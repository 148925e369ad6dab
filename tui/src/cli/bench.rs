//! `bench`: what this machine can do, and what the kernels and networks make of it.
//!
//! ```text
//! header (machine, load) ─┬ peak · gemm · conv · net ─▶ Report ─▶ Markdown, CSV, JSON, roofline
//! roofs (peak, bandwidth) ┘                               └─────▶ --save, --compare: status 1 on a regression
//! ```

mod compare;
mod conv;
mod figures;
mod gemm;
mod header;
mod net;
mod network;
mod occlude;
mod peak;
mod project;
mod report;
mod rival;
mod roof;
mod roofline;

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use switchback_core::bench::Effort;
use switchback_core::{Cpu, Level, Progress, Threads};

use super::Outcome;
use super::context::Context;
use super::model::default_threads;
use super::progress::Meter;

const EXAMPLES: &str = "\
Examples:
  switchback bench peak
  switchback bench gemm --shape 512x512x512 --threads 1,2
  switchback bench conv resnet50 -o resnet50.svg
  switchback bench net vgg16 resnet50 --threads 1,2 --batch 1,8
  switchback bench occlude alexnet zfnet --verify
  switchback bench project vgg16
  switchback bench net -m squeezenet1.1.onnx --level avx2,avx512 -o squeezenet.md -o squeezenet.json
  switchback bench net alexnet --save before.json      # … change something …
  switchback bench net alexnet --compare before.json   # status 1 where it became slower";

/// Measure this machine, the kernels and whole networks
///
/// Every bench warms up until times are stable, then runs for --seconds; it shows the median, the 10th and 90th
/// percentile and the best. --threads, --level and --batch take lists: all combinations are measured. A busy machine or
/// a debug build is said aloud.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Peak(peak::Arguments),
    Gemm(gemm::Arguments),
    Conv(conv::Arguments),
    Net(net::Arguments),
    Occlude(occlude::Arguments),
    Project(project::Arguments),
    #[command(name = "matrixmultiply", hide = true)]
    Rival(rival::Arguments),
}

/// Shared by all benches.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Seconds of measuring for each figure, after a warm-up of at most as long
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,

    /// A few short runs: to see that everything works, not to be quoted
    #[arg(long, conflicts_with = "seconds")]
    quick: bool,

    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Form::Md, conflicts_with = "json")]
    format: Form,

    /// Where the report goes instead of stdout: .md, .csv, .json (with raw samples) or .svg (the roofline); repeatable
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,

    /// Draw the roofline in text also where stdout is no terminal
    #[arg(long)]
    roofline: bool,

    /// Keep the figures, for --compare
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// Compare with kept figures: exit status 1 where a median became slower by more than --noise
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,

    /// What --compare takes for noise
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = percent)]
    noise: f64,
}

/// `--format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Markdown tables, which are readable as they are
    Md,
    /// One table of everything
    Csv,
    /// One document, with raw samples
    Json,
}

impl Common {
    fn effort(&self) -> Effort {
        match self.quick {
            true => Effort { seconds: 0.02, least: 3, most: 20 },
            false => Effort { seconds: self.seconds, least: 5, most: 10_000 },
        }
    }

    /// Of peaks and bandwidths, which settle sooner.
    fn roof_effort(&self) -> Effort {
        match self.quick {
            true => Effort { seconds: 0.02, least: 2, most: 5 },
            false => Effort { seconds: 0.3, least: 5, most: 100 },
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(s) if s > 0.0 && s <= 3600.0 => Ok(s),
        _ => Err("seconds, more than 0 and at most 3600".into()),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(p) if (0.0..1000.0).contains(&p) => Ok(p),
        _ => Err("a percentage from 0 up".into()),
    }
}

/// Every level that is asked for, each once.
fn levels(context: &Context) -> Vec<Level> {
    unique(&context.options.level, Level::best())
}

/// Every thread count that is asked for, each once.
fn threads(context: &Context) -> Vec<usize> {
    unique(&context.options.threads, default_threads())
}

/// Every combination of level and threads, each with its threads running.
fn cpus(context: &Context) -> Vec<Cpu> {
    let pools: Vec<Threads> = threads(context).into_iter().map(Threads::new).collect();
    let of = |level: Level| pools.iter().map(move |threads| Cpu { level, threads: threads.clone() });
    levels(context).into_iter().flat_map(of).collect()
}

fn unique<T: Copy + PartialEq>(asked: &[T], default: T) -> Vec<T> {
    let mut found: Vec<T> = Vec::new();
    for &x in asked {
        if !found.contains(&x) {
            found.push(x);
        }
    }
    if found.is_empty() { vec![default] } else { found }
}

/// Progress over several measurements of about equal length.
struct Jobs<'a> {
    meter: Meter<'a>,
    done: usize,
    total: usize,
}

impl<'a> Jobs<'a> {
    fn new(context: &'a Context, label: &str, total: usize) -> Self {
        Self { meter: Meter::new(context, label), done: 0, total }
    }

    /// `share` of the current measurement is done.
    fn step(&mut self, share: f64) -> ControlFlow<()> {
        const PARTS: usize = 100;
        let done = self.done * PARTS + (share * PARTS as f64) as usize;
        self.meter.step(Progress { what: "% of a measurement", done, total: self.total * PARTS })
    }

    fn next(&mut self) {
        self.done += 1;
    }
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    match &arguments.what {
        What::Peak(a) => peak::run(a, context),
        What::Gemm(a) => gemm::run(a, context),
        What::Conv(a) => conv::run(a, context),
        What::Net(a) => net::run(a, context),
        What::Occlude(a) => occlude::run(a, context),
        What::Project(a) => project::run(a, context),
        What::Rival(a) => rival::run(a, context),
    }
}
