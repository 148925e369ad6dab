//! Products by matrixmultiply, through ndarray's safe interface: what `bench gemm` shows beside ours.
//!
//! matrixmultiply fixes its threads, from the environment, when it is first used. So each thread count has a process of
//! its own: this program again, for one product, with the count in its environment.

use std::ops::ControlFlow;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use clap::Args;
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
use serde::{Deserialize, Serialize};
use switchback_core::bench::workload::Gemm;
use switchback_core::bench::{Effort, Measured, Samples, measure, timed};

use super::gemm::{CELLS, Size};
use crate::cli::Outcome;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::sweep::print_json;

/// One product by matrixmultiply, which takes its threads from the environment
///
/// A part of `bench gemm`, in a process of its own.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Rows, steps and columns
    size: Size,
    /// Of the runs that count
    seconds: f64,
    /// Runs at least
    least: usize,
    /// Runs at most
    most: usize,
}

/// What the process answers.
#[derive(Serialize, Deserialize)]
struct Answer {
    seconds: Vec<f64>,
    warm_up: usize,
    stable: bool,
    error: f64,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    let Arguments { size, seconds, least, most } = arguments;
    if !(seconds.is_finite() && *seconds > 0.0) {
        return Err(Failure::usage("seconds must be more than 0"));
    }
    let effort = Effort { seconds: *seconds, least: *least, most: *most };
    let mut gemm = Gemm::new(size.0, context.options.seed);
    let stop = || if context.cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let measured = measure(
        &effort,
        || {
            timed(|| {
                product(&mut gemm, size.0);
                Ok(())
            })
        },
        |_| stop(),
    )?;
    product(&mut gemm, size.0);
    let answer = Answer {
        error: gemm.check(CELLS),
        seconds: measured.samples.seconds,
        warm_up: measured.warm_up,
        stable: measured.stable,
    };
    print_json(&answer)?;
    Ok(Outcome::Done)
}

fn product(gemm: &mut Gemm, [m, k, n]: [usize; 3]) {
    let (a, b, c) = gemm.operands();
    let a = ArrayView2::from_shape((m, k), a).expect("A is m × k");
    let b = ArrayView2::from_shape((k, n), b).expect("B is k × n");
    let mut c = ArrayViewMut2::from_shape((m, n), c).expect("C is m × n");
    general_mat_mul(1.0, &a, &b, 0.0, &mut c);
}

/// Times and relative error of matrixmultiply on `threads` threads.
pub(super) fn matrixmultiply(
    context: &Context,
    size: Size,
    threads: usize,
    effort: &Effort,
) -> anyhow::Result<(Measured, f64)> {
    let program = std::env::current_exe().context("cannot find this program, to run matrixmultiply beside it")?;
    let numbers = [effort.seconds.to_string(), effort.least.to_string(), effort.most.to_string()];
    let output = Command::new(program)
        .args(["bench", "matrixmultiply", "--seed", &context.options.seed.to_string(), &size.to_string()])
        .args(numbers)
        .env("MATMUL_NUM_THREADS", threads.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run this program again, for matrixmultiply")?;
    context.check()?;
    let wrong = || Failure::usage("the process that ran matrixmultiply gave no answer; --engine ours does without it");
    if !output.status.success() {
        return Err(wrong());
    }
    let answer: Answer = serde_json::from_slice(&output.stdout).map_err(|_| wrong())?;
    let Answer { seconds, warm_up, stable, error } = answer;
    Ok((Measured { samples: Samples { seconds }, warm_up, stable }, error))
}
