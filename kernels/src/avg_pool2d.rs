//! Average pooling with both counts, and its adjoint.

use crate::Cpu;
use crate::geometry::Geometry;
use crate::view::{Maps, MapsMut};

/// Computes every cell of `out.window()`. With `count_include_pad` padding counts as cells (of zeros); cells beyond the
/// padding, where a ceil-mode window hangs over, never count.
pub fn avg_pool2d(_cpu: &Cpu, _geometry: &Geometry, _count_include_pad: bool, _input: Maps<'_>, _out: MapsMut<'_>) {
    todo!()
}

/// The adjoint: every cell of `out.window()` (the pool's input side) from `signal` (zero outside its window).
pub fn avg_pool2d_backward(
    _cpu: &Cpu,
    _geometry: &Geometry,
    _count_include_pad: bool,
    _signal: Maps<'_>,
    _out: MapsMut<'_>,
) {
    todo!()
}
