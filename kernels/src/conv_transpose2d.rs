//! Transposed convolution: the adjoint of [`conv2d`](crate::conv2d), from a signal at its outputs back to its inputs.
//!
//! out(n, c, y, x) = bias(c) + Σ_{o,ky,kx} w(o, c, ky, kx) · signal(n, o, oy, ox)  over  oy·s − p + ky·d = y, likewise x

use crate::Cpu;
use crate::conv2d::Conv2d;
use crate::view::{Maps, MapsMut, Weights};

/// Filters packed for one level; see [`pack`].
pub struct PackedConvTranspose2d {}

/// Packs the filters `(out_channels, in_channels / groups, kernel)` of `conv` for the way back.
pub fn pack(_cpu: &Cpu, _conv: &Conv2d, _weights: Weights<'_>) -> PackedConvTranspose2d {
    todo!()
}

/// Computes every cell of `out.window()` (on the side of `conv`'s input) from `signal` (on the side of its output).
/// Signal cells outside `signal.window()` are zero. The exact output size is `out.full()`.
pub fn conv_transpose2d(
    _cpu: &Cpu,
    _conv: &Conv2d,
    _packed: &PackedConvTranspose2d,
    _bias: Option<&[f32]>,
    _signal: Maps<'_>,
    _out: MapsMut<'_>,
) {
    todo!()
}
