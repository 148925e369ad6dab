//! Layers that look at one number at a time, and the ReLU rules of the way back.

use crate::Cpu;
use crate::view::{Maps, MapsMut};

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pointwise {
    /// x
    Copy,
    /// max(x, 0); NaN stays NaN.
    Relu,
    /// x where x > 0, else slope · x.
    LeakyRelu(f32),
    /// x within [min, max]; NaN stays NaN.
    Clip(f32, f32),
    /// x · factor
    Scale(f32),
}

/// `out` = f(`input`) over `out.window()`.
pub fn pointwise(_cpu: &Cpu, _f: Pointwise, _input: Maps<'_>, _out: MapsMut<'_>) {
    todo!()
}

/// `data` = f(`data`), in place.
pub fn pointwise_in_place(_cpu: &Cpu, _f: Pointwise, _data: MapsMut<'_>) {
    todo!()
}

/// out = scale(c) · x + shift(c), one pair a channel; `shift` may be left out.
pub fn affine(_cpu: &Cpu, _scale: &[f32], _shift: Option<&[f32]>, _input: Maps<'_>, _out: MapsMut<'_>) {
    todo!()
}

/// `out` += `input` over `out.window()`; `input` is zero outside its window.
pub fn add_assign(_cpu: &Cpu, _input: Maps<'_>, _out: MapsMut<'_>) {
    todo!()
}

/// How a signal passes a rectifier on the way back. `low` and `high` bound where the forward pass let values through
/// unchanged (ReLU: 0 and ∞); outside them it multiplied by `slope` (ReLU and clip: 0).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rectifier {
    /// Keep only the positive part of the signal (deconv, guided).
    pub positive_signal: bool,
    /// Multiply by `slope` where the forward output was not strictly between `low` and `high` (gradient, guided).
    pub by_forward: bool,
    /// Lower bound.
    pub low: f32,
    /// Upper bound.
    pub high: f32,
    /// Beyond the bounds.
    pub slope: f32,
}

/// Applies `rule` to `signal` in place; `forward` is the layer's output, read only where `rule.by_forward`.
pub fn rectify(_cpu: &Cpu, _rule: &Rectifier, _forward: Option<Maps<'_>>, _signal: MapsMut<'_>) {
    todo!()
}
