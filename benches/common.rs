//! What all benches share: settings that end in seconds, repeatable numbers, the machine's levels.

// Each bench is a crate of its own and takes what it needs.
#![allow(dead_code)]

use std::time::Duration;

use criterion::Criterion;
use switchback_kernels::{Cpu, Level, Threads};

/// Ten samples in half a second; `cargo bench -- --measurement-time 5 --sample-size 50` asks for more.
pub(crate) fn quick() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args()
}

/// `n` numbers in −1..1.
pub(crate) fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919) % 1009) as f32 / 504.5 - 1.0).collect()
}

/// As they lie in a file.
pub(crate) fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Every level on one thread, then the best on all cores, with a name.
pub(crate) fn cpus() -> Vec<(String, Cpu)> {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let best = Cpu { level: Level::best(), threads: Threads::new(cores) };
    let mut all: Vec<_> = Level::available().into_iter().map(|l| (l.to_string(), Cpu::single(l))).collect();
    if cores > 1 {
        all.push((format!("{}, {cores} threads", best.level), best));
    }
    all
}

/// c = a·b on one thread, row-major.
pub(crate) fn matrixmultiply(a: &[f32], b: &[f32], c: &mut [f32], [m, k, n]: [usize; 3]) {
    assert!(a.len() == m * k && b.len() == k * n && c.len() == m * n, "slices of {m}·{k}, {k}·{n} and {m}·{n}");
    let (k_stride, n_stride) = (k as isize, n as isize);
    let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
    // SAFETY: the assertion above: all three matrices lie in their slices, and `c` is borrowed alone.
    unsafe { matrixmultiply::sgemm(m, k, n, 1.0, a, k_stride, 1, b, n_stride, 1, 0.0, c, n_stride, 1) };
}
