//! Pooling over whole maps: the mean, and the maximum with its place.

use crate::Cpu;
use crate::view::Maps;

/// `out` is `batch × channels`; the sum of each map runs in a fixed order.
pub fn global_avg_pool(_cpu: &Cpu, _input: Maps<'_>, _out: &mut [f32]) {
    todo!()
}

/// `out` and, where asked, `places` (y · width + x of the first maximum; a NaN wins) are `batch × channels`.
pub fn global_max_pool(_cpu: &Cpu, _input: Maps<'_>, _out: &mut [f32], _places: Option<&mut [u32]>) {
    todo!()
}
