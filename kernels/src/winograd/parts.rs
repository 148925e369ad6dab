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

/// Rows and columns of α along which filters of parted channel `c` are zero: that of ∞, which sees the last tap alone, for
/// parts that have one tap less.
fn empty(conv: &Conv2d, tile: Tile, c: usize) -> [usize; 2] {
    let ([side, _], [s, _]) = (conv.geometry.kernel, conv.geometry.stride);
    let part = c / conv.in_channels;
    let infinity = tile.alpha(conv) != 7;
    [part / s, part % s].map(|first| usize::from(infinity && first + (taps(conv) - 1) * s >= side))
}

/// Multiplications for a tile and an output channel.
pub fn multiplications(conv: &Conv2d, tile: Tile) -> usize {
    let steps = steps(conv);
    (0..steps.count())
        .map(|step| {
            let channels = steps.range(step);
            let places = (0..tile.alpha(conv).pow(2)).filter(|&xi| !is_empty(conv, tile, xi, channels.clone()));
            places.count() * channels.len()
        })
        .sum()
}

/// Whether all filters of the parted `channels` are zero in place `xi`; an empty sum is not, for it is stored too.
fn is_empty(conv: &Conv2d, tile: Tile, xi: usize, mut channels: Range<usize>) -> bool {
    let alpha = tile.alpha(conv);
    let last = [xi / alpha, xi % alpha].map(|i| i + 1 == alpha);
    last != [false, false]
        && !channels.is_empty()
        && channels.all(|c| {
            let empty = empty(conv, tile, c);
            (0..2).any(|i| last[i] && empty[i] > 0)
        })
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
    let g = transform::filter::<TAPS>(alpha);
    let elements = |rows: Range<usize>, c: usize, u: &mut [_]| {
        let (part, channel) = (c / conv.in_channels, c % conv.in_channels);
        let group = Group { weights, scale, rows, pitch: conv.in_channels, channel, side };
        // Tap 0 of a part stands in row part / s and column part % s of a filter; its next are s further.
        let filters = group.filters::<TAPS>(|y, x| [y * s + part / s, x * s + part % s]);
        cpu.level.dispatch(Filtered { g: &g, alpha, filters, u });
    };
    let mut filters = Filters::new(cpu, conv.out_channels, steps(conv), alpha * alpha, elements);
    filters.leave_out(|xi, channels| is_empty(conv, tile, xi, channels));
    filters
}
