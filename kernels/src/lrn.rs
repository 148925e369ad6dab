//! Local response normalisation across channels (Krizhevsky et al. 2012, ONNX `LRN`), and its Jacobian.
//!
//! out(c) = x(c) · s(c)^−beta,  s(c) = k + alpha / size · Σ_{i=c−⌊(size−1)/2⌋}^{c+⌈(size−1)/2⌉} x(i)²

use crate::Cpu;
use crate::view::{Maps, MapsMut};

/// The constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lrn {
    /// Channels of the sum.
    pub size: usize,
    /// Weight of the sum.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// Constant.
    pub k: f32,
}

/// Computes every cell of `out.window()`; `input` must hold it.
pub fn lrn(_cpu: &Cpu, _lrn: &Lrn, _input: Maps<'_>, _out: MapsMut<'_>) {
    todo!()
}

/// The transposed Jacobian at `input`, applied to `signal` (zero outside its window).
pub fn lrn_backward(_cpu: &Cpu, _lrn: &Lrn, _input: Maps<'_>, _signal: Maps<'_>, _out: MapsMut<'_>) {
    todo!()
}
