//! CNN kernels for the CPU, forward and backward, as pure functions on slices.
//!
//! The crate knows no files, no networks and no screens. Maps are NCHW with strides; every map kernel works on a
//! [`Window`] of its output, so a whole map is only the largest window. Which instructions run is a value, [`Level`],
//! and how many threads, [`Threads`]; both travel in [`Cpu`].
//!
//! | module | what it computes |
//! | --- | --- |
//! | [`gemm`] | C = A·B, the five loops over packed panels |
//! | [`conv2d`], [`conv_transpose2d`] | convolution by virtual im2col, and its adjoint |
//! | [`max_pool2d`], [`unpool2d`] | max-pooling that records switches, and the way back through them |
//! | [`avg_pool2d`], [`global_pool`] | average pooling, whole-map pooling, and their adjoints |
//! | [`lrn`] | local response normalisation across channels, and its Jacobian |
//! | [`linear`] | fully connected layers straight from (possibly unaligned, possibly half) weights |
//! | [`half`] | f32 weights to f16 |
//! | [`overlay`] | a rectangle of maps with padding, some of its cells replaced |
//! | [`pointwise`], [`softmax`] | ReLU, leaky ReLU, clip, affine, add, concat; softmax and its logarithm |
//! | [`peak`] | multiply-adds and reads that show what the machine can do at most |
//! | [`mod@reference`] | the naive loop of every kernel: the oracle of tests and benches |
//!
//! Shapes are asserted at entry with both numbers in the message: a wrong shape is a bug of the caller.
//!
//! # Determinism
//!
//! At one level, one thread and many, a window and the whole map, give the same bits.

/// The example of the crate's README, compiled.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
pub struct Readme;

pub mod aligned;
pub mod avg_pool2d;
mod caches;
pub mod conv2d;
pub mod conv_pool2d;
pub mod conv_transpose2d;
mod depthwise;
mod direct;
pub mod gemm;
pub mod geometry;
pub mod global_pool;
mod groups;
pub mod half;
mod im2col;
pub mod linear;
pub mod lrn;
pub mod max_pool2d;
pub mod overlay;
mod padded;
pub mod par;
pub mod peak;
pub mod pointwise;
pub mod reference;
mod rows;
pub mod simd;
pub mod softmax;
pub mod unpool2d;
pub mod view;
pub mod winograd;

pub use geometry::{Geometry, Window};
pub use par::Threads;
pub use simd::Level;
pub use view::{Dtype, Maps, MapsMut, Weights};

/// Which instructions run and on how many threads: handed to every kernel.
#[derive(Clone, Debug)]
pub struct Cpu {
    /// The instruction set.
    pub level: Level,
    /// The threads that share the work.
    pub threads: Threads,
}

impl Cpu {
    /// The best level of this machine on `threads` threads (0 counts as 1).
    pub fn new(threads: usize) -> Self {
        Self { level: Level::best(), threads: Threads::new(threads) }
    }

    /// `level` on the calling thread alone.
    pub fn single(level: Level) -> Self {
        Self { level, threads: Threads::new(1) }
    }
}
