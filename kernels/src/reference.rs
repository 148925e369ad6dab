//! The naive loop of every kernel, in f64 where it sums: the oracle of tests and benches, never of a run.

pub mod convolution;
pub mod pointwise;
pub mod pooling;
