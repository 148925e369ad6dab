//! Unpooling: every value goes to the place its switch names. Where windows overlap values add up, so that unpool is
//! the adjoint of the selection.

use crate::Cpu;
use crate::geometry::Geometry;
use crate::view::{Maps, MapsMut};

/// Computes every cell of `out.window()` (the pool's input side). `signal` (the pool's output side) is zero outside its
/// window; `switches` must be present wherever `signal` is.
pub fn unpool2d(_cpu: &Cpu, _geometry: &Geometry, _signal: Maps<'_>, _switches: Maps<'_, u8>, _out: MapsMut<'_>) {
    todo!()
}
