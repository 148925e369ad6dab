//! `bench peak`: multiply-adds by level and thread count, and reads from each cache and from memory.

use clap::Args;
use serde::Serialize;
use switchback_core::bench::peak::{Rate, multiply_adds, read};
use switchback_core::{Cpu, Level, Threads};

use super::figures::{Figures, WarmUp};
use super::header::Header;
use super::report::{Destination, Report, Section};
use super::roof::{Roof, beyond_caches};
use super::roofline::Roofline;
use super::{Common, Jobs, unique};
use crate::cli::Outcome;
use crate::cli::context::Context;
use crate::cli::machine::Machine;
use crate::cli::model::default_threads;
use crate::cli::table::{Align, Table, bytes};

/// What this machine can do at most: multiply-adds by level, reads by cache
///
/// Multiply-adds that stay in registers, at every level and with one thread and all; reads by each thread from buffers
/// of its own that fit in L1, L2, L3 and none of them, with the widest instructions. --level and --threads choose others.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  switchback bench peak\n  switchback bench peak --level avx2,avx512 --threads 1,2,4 -o peak.csv"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Document {
    runs: Vec<Run>,
}

#[derive(Serialize)]
struct Run {
    /// `fma`, or where was read: `L1`, `L2`, `L3`, `DRAM`.
    what: &'static str,
    level: &'static str,
    threads: usize,
    /// Of each thread's buffer.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gflops: Option<Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gigabytes_per_second: Option<Figures>,
    best: f64,
    warm_up: WarmUp,
}

impl Run {
    fn new(what: &'static str, cpu: &Cpu, bytes: Option<usize>, rate: &Rate) -> Self {
        let figures = Figures::of(&rate.each(), 1e-9);
        let (gflops, gigabytes_per_second) =
            if bytes.is_none() { (Some(figures), None) } else { (None, Some(figures)) };
        Self {
            what,
            level: cpu.level.name(),
            threads: cpu.threads.count(),
            bytes,
            gflops,
            gigabytes_per_second,
            best: rate.best() / 1e9,
            warm_up: WarmUp::of(&rate.measured),
        }
    }

    fn figures(&self) -> &Figures {
        self.gflops.as_ref().or(self.gigabytes_per_second.as_ref()).expect("one of them is there")
    }
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    let common = &arguments.common;
    let destination = Destination::new(common, context, "bench peak")?;
    let header = Header::look(context);
    let levels = match context.options.level.is_empty() {
        true => Level::available(),
        false => unique(&context.options.level, Level::best()),
    };
    let threads = match context.options.threads.is_empty() {
        true => unique(&[1, default_threads()], 1),
        false => unique(&context.options.threads, 1),
    };
    let pools: Vec<Threads> = threads.into_iter().map(Threads::new).collect();
    let places = places(&header.machine, common.quick);
    let widest = levels.iter().copied().max().expect("at least one level");
    let mut jobs = Jobs::new(context, "bench peak", pools.len() * (levels.len() + places.len()));
    let effort = common.roof_effort();
    let mut runs = Vec::new();
    for &level in &levels {
        for threads in &pools {
            let cpu = Cpu { level, threads: threads.clone() };
            runs.push(Run::new("fma", &cpu, None, &multiply_adds(&cpu, &effort, |share| jobs.step(share))?));
            jobs.next();
        }
    }
    for &(what, size) in &places {
        for threads in &pools {
            let cpu = Cpu { level: widest, threads: threads.clone() };
            // Memory is shared by all threads, a cache is each core's own.
            let each = if what == "DRAM" { size / threads.count() } else { size };
            let rate = read(&cpu, each * threads.count(), &effort, |share| jobs.step(share))?;
            runs.push(Run::new(what, &cpu, Some(each), &rate));
            jobs.next();
        }
    }
    drop(jobs);
    destination.send(report(header, runs))
}

/// What is read from, and bytes that fit there for each thread: half of a cache, a thread's part of the last.
fn places(machine: &Machine, quick: bool) -> Vec<(&'static str, usize)> {
    const MOST_L3: u64 = 8 << 20;
    let mut places = Vec::new();
    if let Some(l1) = machine.data_cache(1) {
        places.push(("L1", (l1 / 2) as usize));
    }
    let l2 = machine.data_cache(2);
    if let Some(l2) = l2 {
        places.push(("L2", (l2 / 2) as usize));
    }
    if let Some(l3) = machine.data_cache(3) {
        let each = (l3 / 4).min(MOST_L3);
        if l2.is_none_or(|l2| each > l2) {
            places.push(("L3", each as usize));
        }
    }
    places.push(("DRAM", beyond_caches(machine, quick)));
    places
}

/// An empty roof for every level and thread count.
fn rooflines(runs: &[Run]) -> Vec<Roofline> {
    let memory = |threads: usize| runs.iter().find(|r| r.what == "DRAM" && r.threads == threads).map(|r| r.best);
    let of = |r: &Run| {
        let roof = Roof { gflops: r.best, gigabytes_per_second: memory(r.threads)? };
        Some(Roofline { title: format!("{}, {} threads", r.level, r.threads), roof, points: Vec::new() })
    };
    runs.iter().filter(|r| r.bytes.is_none()).filter_map(of).collect()
}

fn report(header: Header, runs: Vec<Run>) -> Report {
    let columns = |unit: &'static str| {
        let right = |name| (name, Align::Right);
        [
            ("what", Align::Left),
            ("level", Align::Left),
            right("threads"),
            right("bytes each"),
            right(unit),
            right("p10"),
            right("p90"),
            right("best"),
            right("samples"),
        ]
    };
    let row = |r: &Run| {
        let f = r.figures();
        let mut cells = vec![r.what.to_owned(), r.level.to_owned(), r.threads.to_string()];
        cells.push(r.bytes.map_or("–".into(), |n| bytes(n as u64)));
        cells.extend([f.median, f.p10, f.p90, r.best].map(|x| format!("{x:.1}")));
        cells.push(f.samples.len().to_string());
        cells
    };
    let mut flat = Table::new(&columns("rate"));
    let mut compute = Table::new(&columns("GFLOP/s"));
    let mut memory = Table::new(&columns("GB/s"));
    for r in &runs {
        flat.row(row(r));
        if r.bytes.is_none() { &mut compute } else { &mut memory }.row(row(r));
    }
    let rooflines = rooflines(&runs);
    let mut report = Report::new("peak", header, flat, &Document { runs });
    let section = |title: &str, table| Section { title: title.into(), table, notes: Vec::new() };
    report.sections.push(section("multiply-adds in registers", compute));
    report.sections.push(section("reads", memory));
    report.rooflines = rooflines;
    report
}
