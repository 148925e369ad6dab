//! The roof of one machine at one level and thread count: peak and bandwidths, measured once each.

use std::collections::HashMap;

use serde::Serialize;
use switchback_core::bench::peak::{multiply_adds, read};
use switchback_core::bench::{Cost, Effort};
use switchback_core::{Cpu, Level};

use super::Jobs;
use crate::cli::machine::Machine;

/// Of buffers that no cache holds, where memory allows.
const BEYOND_CACHES: u64 = 1 << 30;

/// What nothing can be faster than.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Roof {
    /// Multiply-adds in registers, in GFLOP/s: the best of several pieces.
    pub(super) gflops: f64,
    /// Reads from memory, in GB/s: likewise.
    pub(super) gigabytes_per_second: f64,
}

/// What holds a step back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Bound {
    Compute,
    Memory,
}

impl Bound {
    pub(super) fn word(self) -> &'static str {
        match self {
            Bound::Compute => "compute",
            Bound::Memory => "memory",
        }
    }
}

impl Roof {
    /// Which part of the roof `cost` stands under: fewer operations a byte than the ridge has are held back by memory.
    pub(super) fn bound(&self, cost: &Cost) -> Bound {
        if cost.intensity() < self.gflops / self.gigabytes_per_second { Bound::Memory } else { Bound::Compute }
    }
}

/// Roofs measured so far.
pub(super) struct Roofs {
    effort: Effort,
    memory: usize,
    peaks: HashMap<(Level, usize), f64>,
    bandwidths: HashMap<usize, f64>,
}

impl Roofs {
    pub(super) fn new(machine: &Machine, effort: Effort, quick: bool) -> Self {
        Self { effort, memory: beyond_caches(machine, quick), peaks: HashMap::new(), bandwidths: HashMap::new() }
    }

    /// Of `cpu`, measured now unless it was before.
    pub(super) fn of(&mut self, cpu: &Cpu, jobs: &mut Jobs<'_>) -> anyhow::Result<Roof> {
        let threads = cpu.threads.count();
        let gflops = match self.peaks.get(&(cpu.level, threads)) {
            Some(&peak) => peak,
            None => {
                let peak = multiply_adds(cpu, &self.effort, |_| jobs.step(0.0))?.best() / 1e9;
                *self.peaks.entry((cpu.level, threads)).or_insert(peak)
            }
        };
        let gigabytes_per_second = match self.bandwidths.get(&threads) {
            Some(&bandwidth) => bandwidth,
            None => {
                // Memory does not know which instructions ask; the widest ask best.
                let widest = Cpu { level: Level::best(), threads: cpu.threads.clone() };
                let bandwidth = read(&widest, self.memory, &self.effort, |_| jobs.step(0.0))?.best() / 1e9;
                *self.bandwidths.entry(threads).or_insert(bandwidth)
            }
        };
        Ok(Roof { gflops, gigabytes_per_second })
    }
}

/// Bytes that no cache holds: twice the last cache, a gibibyte at most and a quarter of what is free.
pub(super) fn beyond_caches(machine: &Machine, quick: bool) -> usize {
    let last = machine.caches.iter().map(|c| c.bytes).max().unwrap_or(32 << 20);
    let free = machine.memory.get("available").copied().unwrap_or(BEYOND_CACHES) / 4;
    let most = if quick { 32 << 20 } else { BEYOND_CACHES };
    (2 * last).clamp(64 << 20, BEYOND_CACHES).min(most).min(free).max(1 << 20) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ridge_parts_compute_from_memory() {
        let roof = Roof { gflops: 100.0, gigabytes_per_second: 25.0 };
        assert_eq!(roof.bound(&Cost { flops: 500, bytes: 100 }), Bound::Compute);
        assert_eq!(roof.bound(&Cost { flops: 300, bytes: 100 }), Bound::Memory);
        assert_eq!(roof.bound(&Cost { flops: 0, bytes: 100 }), Bound::Memory);
    }
}
