//! What a machine can do at most, as work to be timed: multiply-adds that stay in registers, and reading memory.
//!
//! ```text
//! multiply_adds   acc[i] = acc[i]·a + b       as many independent chains as hide the latency of one
//! read            acc[i] = acc[i] + data[…]   every thread its own part, over and over
//! ```
//! The functions only work; who calls them holds the clock.

use std::hint::black_box;

use crate::Cpu;
use crate::simd::{Simd, SimdOp};

/// Runs `rounds` rounds of multiply-adds on every thread of `cpu`; the floating-point operations that were done, two a
/// multiply-add.
pub fn multiply_adds(cpu: &Cpu, rounds: usize) -> u64 {
    let threads = cpu.threads.count();
    cpu.threads.for_range(threads, |_| {
        cpu.level.dispatch(MultiplyAdds { rounds });
    });
    cpu.level.dispatch(MultiplyAdds { rounds: 0 }) * rounds as u64 * threads as u64
}

/// Reads all of `data` `rounds` times, each thread of `cpu` its own part; the bytes that were read.
pub fn read(cpu: &Cpu, data: &[f32], rounds: usize) -> u64 {
    let parts: Vec<&[f32]> = data.chunks(data.len().div_ceil(cpu.threads.count()).max(1)).collect();
    cpu.threads.for_each(parts, |data| {
        black_box(cpu.level.dispatch(Read { data, rounds }));
    });
    (size_of_val(data) * rounds) as u64
}

struct MultiplyAdds {
    rounds: usize,
}

impl SimdOp for MultiplyAdds {
    /// Floating-point operations a round.
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> u64 {
        match S::REGISTERS {
            16.. => chains::<S, 12>(simd, self.rounds),
            _ => chains::<S, 6>(simd, self.rounds),
        }
    }
}

/// `N` chains that converge to 1, so that they neither overflow nor become denormal.
#[inline(always)]
fn chains<S: Simd, const N: usize>(simd: S, rounds: usize) -> u64 {
    let [a, b] = black_box([0.5_f32, 0.5]);
    let (a, b) = (simd.splat(a), simd.splat(b));
    let mut acc = [a; N];
    for i in 0..N {
        acc[i] = simd.splat(black_box(i as f32));
    }
    for _ in 0..rounds {
        for i in 0..N {
            acc[i] = simd.fma(acc[i], a, b);
        }
    }
    let mut sum = acc[0];
    for i in 1..N {
        sum = simd.add(sum, acc[i]);
    }
    black_box(simd.reduce_sum(sum));
    (2 * N * S::LANES) as u64
}

struct Read<'a> {
    data: &'a [f32],
    rounds: usize,
}

impl SimdOp for Read<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        match S::REGISTERS {
            16.. => sum::<S, 8>(simd, self.data, self.rounds),
            _ => sum::<S, 4>(simd, self.data, self.rounds),
        }
    }
}

#[inline(always)]
fn sum<S: Simd, const N: usize>(simd: S, data: &[f32], rounds: usize) -> f32 {
    let mut acc = [simd.splat(0.0); N];
    for _ in 0..rounds {
        for block in data.chunks_exact(N * S::LANES) {
            for i in 0..N {
                acc[i] = simd.add(acc[i], simd.load(&block[i * S::LANES..]));
            }
        }
    }
    let mut all = acc[0];
    for i in 1..N {
        all = simd.add(all, acc[i]);
    }
    // What no block holds is a part of a cache line.
    let rest = data.chunks_exact(N * S::LANES).remainder();
    simd.reduce_sum(all) + rounds as f32 * rest.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Level;
    use crate::{Cpu, Threads};

    #[test]
    fn every_number_is_read_in_every_round() {
        for level in Level::available() {
            for len in [0, 1, 7, 128, 129, 1000] {
                let data = vec![1.0; len];
                assert_eq!(level.dispatch(Read { data: &data, rounds: 3 }), 3.0 * len as f32, "{len} at {level}");
                let cpu = Cpu { level, threads: Threads::new(3) };
                assert_eq!(read(&cpu, &data, 3), 12 * len as u64);
            }
        }
    }

    #[test]
    fn operations_are_counted() {
        for level in Level::available() {
            let one = multiply_adds(&Cpu::single(level), 10);
            assert!(one > 0 && one.is_multiple_of(10));
            assert_eq!(multiply_adds(&Cpu { level, threads: Threads::new(2) }, 30), 6 * one);
        }
    }
}
