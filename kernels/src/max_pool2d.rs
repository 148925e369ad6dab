//! Max-pooling that records switches: the offset `ky · kernel_w + kx` of the winner inside its window, one byte an output.
//!
//! The first maximum in row-major order wins, a NaN wins over all (the first NaN), padding never wins.

use crate::Cpu;
use crate::geometry::Geometry;
use crate::view::{Maps, MapsMut};

/// Computes every cell of `out.window()` and, where asked, its switch (`switches` has `out`'s extents and window).
pub fn max_pool2d(
    _cpu: &Cpu,
    _geometry: &Geometry,
    _input: Maps<'_>,
    _out: MapsMut<'_>,
    _switches: Option<MapsMut<'_, u8>>,
) {
    todo!()
}
