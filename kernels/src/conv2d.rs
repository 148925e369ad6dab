//! Convolution by virtual im2col and GEMM.
//!
//! out(n, o, y, x) = act(bias(o) + Σ_{c,ky,kx} w(o, c, ky, kx) · in(n, c, y·s − p + ky·d, x·s − p + kx·d))

use crate::geometry::Geometry;
use crate::view::{Maps, MapsMut, Weights};
use crate::Cpu;

/// The constants of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// Maps in.
    pub in_channels: usize,
    /// Maps out.
    pub out_channels: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Taps, steps and pads.
    pub geometry: Geometry,
}

/// What is fused into the store, after the bias.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// max(x, 0); NaN stays NaN.
    Relu,
}

/// Filters packed for one level; see [`pack`].
pub struct PackedConv2d {}

/// Packs filters `(out_channels, in_channels / groups, kernel)` for `cpu.level`; `scale` multiplies each output
/// channel's filter (a folded batch normalisation).
pub fn pack(_cpu: &Cpu, _conv: &Conv2d, _weights: Weights<'_>, _scale: Option<&[f32]>) -> PackedConv2d {
    todo!()
}

/// Computes every cell of `out.window()`. `input` must hold all cells that these read (`Geometry::input_window`).
pub fn conv2d(
    _cpu: &Cpu,
    _conv: &Conv2d,
    _packed: &PackedConv2d,
    _bias: Option<&[f32]>,
    _activation: Activation,
    _input: Maps<'_>,
    _out: MapsMut<'_>,
) {
    todo!()
}
