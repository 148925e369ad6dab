//! What the machine can do at most: the roof of the roofline.

use std::ops::ControlFlow;
use std::time::Instant;

use switchback_kernels::gemm;
pub use switchback_kernels::gemm::{TileSize, micro_kernels};
use switchback_kernels::peak;
use switchback_kernels::{Cpu, Level};

use super::samples::{Effort, Measured, Samples, measure, timed};
use crate::error::Result;

/// Of one timed piece of work: long beside starting threads, short beside what disturbs a machine.
const PIECE: f64 = 0.01;

/// A rate in operations or bytes a second, from pieces of equal work.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// Operations, or bytes, of each piece.
    pub work: u64,
    /// Of the pieces.
    pub measured: Measured,
}

impl Rate {
    /// A second, of the piece that half of all beat.
    pub fn median(&self) -> f64 {
        self.work as f64 / self.measured.samples.median()
    }

    /// A second, of the shortest piece.
    pub fn best(&self) -> f64 {
        self.work as f64 / self.measured.samples.min()
    }

    /// A second, of every piece.
    pub fn each(&self) -> Samples {
        Samples { seconds: self.measured.samples.seconds.iter().map(|s| self.work as f64 / s).collect() }
    }
}

/// Floating-point operations a second that `cpu` reaches on multiply-adds in registers.
///
/// # Errors
/// [`Error::Cancelled`](crate::Error::Cancelled) where `progress` says stop.
pub fn multiply_adds(cpu: &Cpu, effort: &Effort, progress: impl FnMut(f64) -> ControlFlow<()>) -> Result<Rate> {
    rate(effort, |rounds| peak::multiply_adds(cpu, rounds), progress)
}

/// Bytes a second that `cpu` reads from `bytes` of memory, dealt to its threads.
///
/// # Errors
/// As [`multiply_adds`].
pub fn read(cpu: &Cpu, bytes: usize, effort: &Effort, progress: impl FnMut(f64) -> ControlFlow<()>) -> Result<Rate> {
    let mut data = vec![0.0f32; bytes / size_of::<f32>()];
    // Zeroed pages are all the same one until they are written to.
    cpu.threads.chunks_mut(&mut data, 1 << 20, |_, chunk| chunk.fill(1e-3));
    rate(effort, |rounds| peak::read(cpu, &data, rounds), progress)
}

/// Floating-point operations a second of the micro-kernel for `tile` alone, on one thread.
///
/// # Errors
/// As [`multiply_adds`].
pub fn micro_kernel(
    level: Level,
    tile: TileSize,
    effort: &Effort,
    progress: impl FnMut(f64) -> ControlFlow<()>,
) -> Result<Rate> {
    rate(effort, |rounds| gemm::micro_kernel(level, tile, rounds), progress)
}

fn rate(effort: &Effort, work: impl Fn(usize) -> u64, progress: impl FnMut(f64) -> ControlFlow<()>) -> Result<Rate> {
    let mut rounds = 1;
    // The best of several, so that one that was interrupted does not pass for enough work.
    while rounds < 1 << 40 && (0..3).map(|_| seconds_of(|| work(rounds))).fold(f64::MAX, f64::min) < PIECE {
        rounds *= 2;
    }
    let mut done = 0;
    let measured = measure(
        effort,
        || {
            timed(|| {
                done = work(rounds);
                Ok(())
            })
        },
        progress,
    )?;
    Ok(Rate { work: done, measured })
}

fn seconds_of<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_work_over_time() {
        let effort = Effort { seconds: 0.0, least: 3, most: 3 };
        let go = |_| ControlFlow::Continue(());
        let flops = multiply_adds(&Cpu::new(2), &effort, go).unwrap();
        assert!(flops.best() >= flops.median() && flops.median() > 1e8, "{flops:?}");
        assert_eq!(flops.each().seconds.len(), 3);
        let bytes = read(&Cpu::new(1), 16 << 10, &effort, go).unwrap();
        assert!(bytes.median() > 1e8 && bytes.work.is_multiple_of(16 << 10), "{bytes:?}");
    }
}
