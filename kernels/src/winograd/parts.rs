//! Maps parted by stride: s² for each, every s-th row and column of it.
//!
//! ```text
//! 3×3 by 2    a b a        a sees two taps along an axis, b one: four parts of 2×2, 2×1, 1×2 and 1×1 taps, each with all
//!             b c b        channels; all are filters of 2×2, of which some taps are zero, and with them all of U at ∞
//! ```

use std::ops::Range;

use super::Tile;
use super::filters::{Filters, Group};
use super::transform::{self, Filtered};
use crate::Cpu;
use crate::conv2d::Conv2d;
use crate::gemm::Steps;
use crate::view::Weights;

/// Taps along an axis, of maps parted by stride.
pub(super) const fn taps(conv: &Conv2d) -> usize {
    conv.geometry.kernel[0].div_ceil(conv.geometry.stride[0])
}

/// Input channels, of maps parted by stride: s² for each, part after part.
pub(super) const fn parted(conv: &Conv2d) -> usize {
    conv.in_channels * conv.geometry.stride[0] * conv.geometry.stride[0]
}

/// Memory that V of a tile takes; of no channels as much as of one.
pub(super) fn tile_bytes(conv: &Conv2d, tile: Tile) -> usize {
    tile.alpha(conv).iter().product::<usize>() * parted(conv).max(1) * size_of::<f32>()
}

/// Multiplications for an output channel of maps of `size`: tiles that end beyond the map have no product at ∞ there.
pub fn multiplications(conv: &Conv2d, tile: Tile, size: [usize; 2]) -> usize {
    let (alpha, m, steps) = (tile.alpha(conv), tile.m(), steps(conv));
    let whole = |n: usize, m: usize, ends: bool| if ends { n / m } else { n.div_ceil(m) };
    let tiles = |xi: usize| {
        let [bottom, right] = at_infinity(alpha, xi);
        whole(size[0], m[0], bottom) * whole(size[1], m[1], right)
    };
    products(conv, tile).iter().map(|&[xi, step]| tiles(xi) * steps.range(step).len()).sum()
}

/// Whether the row and the column of place `xi` are those of ∞.
fn at_infinity([rows, columns]: [usize; 2], xi: usize) -> [bool; 2] {
    [transform::at_infinity(rows, xi / columns), transform::at_infinity(columns, xi % columns)]
}

/// The products to be made, place ξ and kc block of each: those whose filters are not all zero. Empty sums are among them,
/// for they are stored too.
fn products(conv: &Conv2d, tile: Tile) -> Vec<[usize; 2]> {
    let (alpha, steps) = (tile.alpha(conv), steps(conv));
    let ([side, _], [s, _]) = (conv.geometry.kernel, conv.geometry.stride);
    // The place of ∞ sees the last tap alone: a part that has one tap less is zero there.
    let lacks = |first: usize| first + (taps(conv) - 1) * s >= side;
    let zero = |xi: usize, c: usize| {
        let (part, [bottom, right]) = (c / conv.in_channels, at_infinity(alpha, xi));
        bottom && lacks(part / s) || right && lacks(part % s)
    };
    let made = |&[xi, step]: &[usize; 2]| {
        let mut channels = steps.range(step);
        channels.is_empty() || !channels.all(|c| zero(xi, c))
    };
    (0..alpha.iter().product()).flat_map(|xi| (0..steps.count()).map(move |step| [xi, step])).filter(made).collect()
}

/// The kc blocks of a product: short, so that threads can share the transform of a few tiles of many channels. Parts are not
/// mixed where each fills a block, since some may be empty.
fn steps(conv: &Conv2d) -> Steps {
    const MOST: usize = 128;
    const LEAST: usize = 32;
    match conv.in_channels >= LEAST {
        true => Steps::at_most(conv.in_channels, MOST).times(parted(conv) / conv.in_channels),
        false => Steps::at_most(parted(conv), MOST),
    }
}

/// U of filters that have `TAPS` taps of maps parted by stride.
pub(super) fn transformed<const TAPS: usize>(
    cpu: &Cpu,
    conv: &Conv2d,
    weights: Weights<'_>,
    scale: Option<&[f32]>,
    tile: Tile,
) -> Filters {
    let alpha = tile.alpha(conv);
    let ([side, _], [s, _]) = (conv.geometry.kernel, conv.geometry.stride);
    let g = alpha.map(transform::filter::<TAPS>);
    let elements = |rows: Range<usize>, c: usize, u: &mut [_]| {
        let (part, channel) = (c / conv.in_channels, c % conv.in_channels);
        let group = Group { weights, scale, rows, pitch: conv.in_channels, channel, side };
        // Tap 0 of a part stands in row part / s and column part % s of a filter; its next are s further.
        let filters = group.filters::<TAPS>(|y, x| [y * s + part / s, x * s + part % s]);
        cpu.level.dispatch(Filtered { g: &g, alpha, filters, u });
    };
    Filters::new(cpu, conv.out_channels, steps(conv), alpha.iter().product(), products(conv, tile), elements)
}
