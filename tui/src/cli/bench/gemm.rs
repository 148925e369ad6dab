//! `bench gemm`: every micro-kernel alone, and whole products beside matrixmultiply.
//!
//! ```text
//! micro-kernels   mr × nr tiles over panels in L1, one thread          what the inner loop can do
//! ours            C = A·B, A packed on the way
//! packed          C = A·B, A packed before, as a network's weights are
//! matrixmultiply  C = A·B
//! ```

use std::fmt;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use serde::Serialize;
use switchback_core::bench::peak::{micro_kernel, micro_kernels};
use switchback_core::bench::workload::Gemm;
use switchback_core::bench::{Cost, Measured, measure, timed};
use switchback_core::{Cpu, Level};

use super::figures::{Figures, TIMES, WarmUp, times};
use super::header::Header;
use super::report::{Destination, Report, Section};
use super::rival::matrixmultiply;
use super::roof::{Bound, Roof, Roofs};
use super::roofline::{Point, Roofline};
use super::{Common, Jobs, cpus, levels, unique};
use crate::cli::Outcome;
use crate::cli::context::Context;
use crate::cli::table::{Align, Table};

/// Cells of a product that are checked.
pub(super) const CELLS: usize = 256;
/// Largest relative L2 error of a sum in another order.
const TOLERANCE: f64 = 1e-5;

/// Whether a relative error is that of a sum in another order. NaN is not.
fn is_right(error: f64) -> bool {
    error <= TOLERANCE
}

/// Squares, and the products that convolutions of AlexNet, ZFNet and VGG-16 are.
const SHAPES: &str = "256x256x256,512x512x512,1024x1024x1024,2048x2048x2048,96x363x3025,96x147x12100,256x2400x676,\
                      384x2304x169,384x3456x169,256x3456x169,64x27x50176,64x576x50176,128x1152x12544,256x2304x3136,\
                      512x4608x784,512x4608x196";

/// Time matrix products beside matrixmultiply, and every micro-kernel alone
///
/// Products C (M×N) = A (M×K) · B (K×N) of row-major matrices, in turn by each engine: ours, ours with A packed before
/// (as a network's weights are), and the crate matrixmultiply, which chooses its instructions itself.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  switchback bench gemm --threads 1,2\n  switchback bench gemm --shape 512x512x512,64x27x50176 --level avx2,avx512 --engine ours,packed"
)]
pub(crate) struct Arguments {
    /// Products as MxKxN
    #[arg(long, value_name = "MxKxN", value_delimiter = ',', default_value = SHAPES, hide_default_value = true)]
    shape: Vec<Size>,

    /// Whose products
    #[arg(long, value_enum, value_delimiter = ',', default_value = "ours,packed,matrixmultiply")]
    engine: Vec<Engine>,

    #[command(flatten)]
    common: Common,
}

/// m, k, n of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) [usize; 3]);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Each matrix stays below a gibibyte.
        const MOST: usize = 1 << 28;
        let numbers: Option<Vec<usize>> = text.split('x').map(|n| n.parse().ok().filter(|&n| n > 0)).collect();
        match numbers.as_deref() {
            Some(&[m, k, n])
                if [(m, k), (k, n), (m, n)].iter().all(|(a, b)| a.checked_mul(*b).is_some_and(|s| s <= MOST)) =>
            {
                Ok(Size([m, k, n]))
            }
            Some([_, _, _]) => Err("matrices of more than 2²⁸ numbers".into()),
            _ => Err("three sizes, such as 256x2304x3136".into()),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [m, k, n] = self.0;
        write!(f, "{m}x{k}x{n}")
    }
}

/// `--engine`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// Ours, packing A on the way
    Ours,
    /// Ours, with A packed before
    Packed,
    /// The crate matrixmultiply
    Matrixmultiply,
}

impl Engine {
    fn word(self) -> &'static str {
        match self {
            Engine::Ours => "ours",
            Engine::Packed => "packed",
            Engine::Matrixmultiply => "matrixmultiply",
        }
    }
}

#[derive(Serialize)]
struct Document {
    micro_kernels: Vec<Micro>,
    runs: Vec<Run>,
}

#[derive(Serialize)]
struct Micro {
    level: &'static str,
    rows: usize,
    columns: usize,
    gflops: Figures,
    percent_of_peak: f64,
}

#[derive(Serialize)]
struct Run {
    shape: String,
    engine: &'static str,
    /// Of ours; matrixmultiply chooses itself.
    level: Option<&'static str>,
    threads: usize,
    milliseconds: Figures,
    warm_up: WarmUp,
    gflops: f64,
    /// Of the widest level for matrixmultiply.
    percent_of_peak: f64,
    bound: Bound,
    relative_error: f64,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    let common = &arguments.common;
    let destination = Destination::new(common, context, "bench gemm")?;
    let header = Header::look(context);
    let engines = unique(&arguments.engine, Engine::Ours);
    let cpus = cpus(context);
    let kernels: Vec<_> =
        levels(context).into_iter().flat_map(|l| micro_kernels(l).into_iter().map(move |k| (l, k))).collect();
    let ours = engines.iter().filter(|&&e| e != Engine::Matrixmultiply).count() * cpus.len();
    let theirs = if engines.contains(&Engine::Matrixmultiply) { super::threads(context).len() } else { 0 };
    let mut jobs = Jobs::new(context, "bench gemm", kernels.len() + arguments.shape.len() * (ours + theirs));
    let mut roofs = Roofs::new(&header.machine, common.roof_effort(), common.quick);
    let mut micro = Vec::new();
    for (level, tile) in kernels {
        let cpu = Cpu::single(level);
        let peak = roofs.of(&cpu, &mut jobs)?.gflops;
        let rate = micro_kernel(level, tile, &common.roof_effort(), |share| jobs.step(share))?;
        let gflops = Figures::of(&rate.each(), 1e-9);
        let percent_of_peak = 100.0 * gflops.median / peak;
        micro.push(Micro { level: level.name(), rows: tile.rows, columns: tile.columns, gflops, percent_of_peak });
        jobs.next();
    }
    let mut runs = Vec::new();
    let mut rooflines: Vec<Roofline> = Vec::new();
    for cpu in &cpus {
        let roof = roofs.of(cpu, &mut jobs)?;
        let title = format!("products, {}, {} threads", cpu.level, cpu.threads.count());
        rooflines.push(Roofline { title, roof, points: Vec::new() });
    }
    for &size in &arguments.shape {
        let mut gemm = Gemm::new(size.0, context.options.seed);
        for (cpu, roofline) in cpus.iter().zip(&mut rooflines) {
            for &engine in engines.iter().filter(|&&e| e != Engine::Matrixmultiply) {
                let (measured, error) = own(&mut gemm, cpu, engine, common, &mut jobs)?;
                let run =
                    summarise(size, engine, Some(cpu.level), cpu.threads.count(), &measured, error, roofline.roof);
                let (label, gflops) = (format!("{size} {}", engine.word()), run.gflops);
                let intensity = Cost::of_gemm(size.0).intensity();
                roofline.points.push(Point { label, intensity, gflops, convolution: false });
                runs.push(run);
                jobs.next();
            }
        }
        if engines.contains(&Engine::Matrixmultiply) {
            for threads in super::threads(context) {
                let (measured, error) = matrixmultiply(context, size, threads, &common.effort())?;
                let widest =
                    cpus.iter().find(|c| c.threads.count() == threads).expect("every thread count has its pool");
                let roof = roofs.of(&Cpu { level: Level::best(), threads: widest.threads.clone() }, &mut jobs)?;
                runs.push(summarise(size, Engine::Matrixmultiply, None, threads, &measured, error, roof));
                jobs.next();
            }
        }
    }
    drop(jobs);
    destination.send(report(header, micro, runs, rooflines))
}

fn own(
    gemm: &mut Gemm,
    cpu: &Cpu,
    engine: Engine,
    common: &Common,
    jobs: &mut Jobs<'_>,
) -> anyhow::Result<(Measured, f64)> {
    let packed = (engine == Engine::Packed).then(|| gemm.pack(cpu));
    let product = |gemm: &mut Gemm| match &packed {
        Some(a) => gemm.run_packed(cpu, a),
        None => gemm.run(cpu),
    };
    // As within a run of a network: a product before has woken the threads, as others keep theirs awake.
    let run = |gemm: &mut Gemm| {
        cpu.threads.inside(|| {
            if cpu.threads.count() > 1 {
                product(gemm);
            }
            timed(|| {
                product(gemm);
                Ok(())
            })
        })
    };
    let measured = measure(&common.effort(), || run(gemm), |share| jobs.step(share))?;
    product(gemm);
    Ok((measured, gemm.check(CELLS)))
}

fn summarise(
    size: Size,
    engine: Engine,
    level: Option<Level>,
    threads: usize,
    measured: &Measured,
    relative_error: f64,
    roof: Roof,
) -> Run {
    let cost = Cost::of_gemm(size.0);
    let gflops = cost.flops as f64 / measured.samples.median() / 1e9;
    Run {
        shape: size.to_string(),
        engine: engine.word(),
        level: level.map(Level::name),
        threads,
        milliseconds: Figures::milliseconds(&measured.samples),
        warm_up: WarmUp::of(measured),
        gflops,
        percent_of_peak: 100.0 * gflops / roof.gflops,
        bound: roof.bound(&cost),
        relative_error,
    }
}

fn report(header: Header, micro: Vec<Micro>, runs: Vec<Run>, rooflines: Vec<Roofline>) -> Report {
    let right = |name| (name, Align::Right);
    let left = |name| (name, Align::Left);
    let mut kernels =
        Table::new(&[left("level"), right("tile"), right("GFLOP/s"), right("p10"), right("p90"), right("% of peak")]);
    for m in &micro {
        let mut cells = vec![m.level.to_owned(), format!("{}×{}", m.rows, m.columns)];
        cells.extend([m.gflops.median, m.gflops.p10, m.gflops.p90, m.percent_of_peak].map(|x| format!("{x:.1}")));
        kernels.row(cells);
    }
    let columns = [
        &[left("M×K×N"), left("engine"), left("level"), right("threads")][..],
        &TIMES,
        &[right("GFLOP/s"), right("% of peak"), left("bound"), right("beside matrixmultiply"), right("error")],
    ]
    .concat();
    let mut products = Table::new(&columns);
    let mut failures = Vec::new();
    for r in &runs {
        let rival =
            runs.iter().find(|o| o.engine == "matrixmultiply" && (&o.shape, o.threads) == (&r.shape, r.threads));
        let beside = rival.filter(|_| r.level.is_some()).map(|o| r.gflops / o.gflops);
        let mut cells = vec![r.shape.replace('x', "×"), r.engine.to_owned()];
        cells.extend([r.level.unwrap_or("its own").to_owned(), r.threads.to_string()]);
        cells.extend(times(&r.milliseconds));
        cells.extend([format!("{:.1}", r.gflops), format!("{:.1}", r.percent_of_peak), r.bound.word().to_owned()]);
        cells.push(beside.map_or("–".into(), |x| format!("{x:.2}×")));
        cells.push(format!("{:.1e}", r.relative_error));
        products.row(cells);
        if !is_right(r.relative_error) {
            failures.push(format!("{} of {} IS WRONG: {:.1e} off the naive sums", r.engine, r.shape, r.relative_error));
        }
    }
    let mut report = Report::new("gemm", header, products.clone(), &Document { micro_kernels: micro, runs });
    let section = |title: &str, table, notes| Section { title: title.into(), table, notes };
    let alone =
        "one thread, panels in L1; the last tile of each level is the one that products are cut into".to_owned();
    report.sections.push(section("micro-kernels", kernels, vec![alone]));
    report.sections.push(section("products", products, Vec::new()));
    report.rooflines = rooflines;
    report.failures = failures;
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!("64x27x50176".parse(), Ok(Size([64, 27, 50176])));
        assert_eq!(Size([1, 2, 3]).to_string().parse(), Ok(Size([1, 2, 3])));
        for wrong in ["", "1x2", "1x2x3x4", "0x1x1", "ax1x1", "99999999x99999999x1", "1 x2x3"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
        for shape in SHAPES.split(',') {
            shape.parse::<Size>().unwrap();
        }
    }
}
