//! The way in: tiles of the input, transformed, a vector of tiles at a time.

use std::ops::Range;

use super::block::{Block, Work};
use super::layout::{Layout, Part};
use super::transform::{self, MAX_ALPHA};
use crate::simd::Simd;

/// V of `channels` of `part`: Bᵀ d B of its tiles in each.
#[inline(always)]
pub(super) fn transform_input<S: Simd, const A: usize, const N: usize>(
    simd: S,
    work: &Work<'_>,
    block: &Block,
    layout: &Layout,
    part: Part,
    channels: Range<usize>,
    mut places: impl Places,
) {
    let m = N;
    let [image, channel, line] = work.copy.strides;
    // Channels are parted by stride: s rows of s parts each.
    let s = work.packed.conv.geometry.stride[0];
    let row = s * line;
    let plane = |c: usize| c / (s * s) * channel + c / s % s * line + c % s * work.copy.part;
    let width = layout.width(part.panel);
    let first = part.panel * layout.shape().nr();
    // Where the tiles of each vector begin; lanes without a tile read the last one.
    let mut at = [[0; 16]; 2];
    for (i, at) in at.iter_mut().take(width / S::LANES).enumerate() {
        for (l, at) in at.iter_mut().take(S::LANES).enumerate() {
            let t = (first + i * S::LANES + l).min(layout.tiles() - 1);
            let [n, y, x] = block.locate(work, t);
            *at = (block.images.start + n) * image + (block.rows.start + y) * m * row + x * m;
        }
    }
    let mut half = [0.0; HALF];
    for (i, c) in channels.enumerate() {
        let (start, next) = (plane(c), plane(c + 1));
        let plane = &work.copy.data()[start..];
        for j in 0..width / S::LANES {
            let rows = Rows { plane, next: next - start, row, at: &at[j], m };
            transform_cells::<S, A>(simd, rows, (&mut places, i * width + j * S::LANES), &mut half);
        }
    }
}

/// What a vector of tiles reads of one channel, row by row. A trait and no closure: closures are not compiled with the level's
/// instructions unless they happen to be inlined.
pub(super) trait Cells {
    /// Row `y` of every tile.
    fn row<S: Simd>(&mut self, simd: S, y: usize) -> [S::F32; 8];
}

/// Tiles of maps that lie alike.
struct Rows<'a> {
    plane: &'a [f32],
    /// From channel to channel.
    next: usize,
    row: usize,
    /// Where each tile begins.
    at: &'a [usize; 16],
    m: usize,
}

impl Cells for Rows<'_> {
    #[inline(always)]
    fn row<S: Simd>(&mut self, simd: S, y: usize) -> [S::F32; 8] {
        // The next channel is on its way meanwhile: a cache line of each row holds 16 / m tiles.
        for l in (0..S::LANES).step_by((16 / self.m).max(1)) {
            simd.prefetch(self.plane, self.next + y * self.row + self.at[l]);
        }
        simd.load_columns(&self.plane[y * self.row..], self.at)
    }
}

/// Where the places ξ of transformed tiles go: all channels and tiles of each.
pub(super) trait Places {
    /// From element `from` of place `xi` on.
    fn at(&mut self, xi: usize, from: usize) -> &mut [f32];
}

/// One after the other.
pub(super) struct Strided<'a> {
    pub(super) v: &'a mut [f32],
    /// From ξ to ξ.
    pub(super) stride: usize,
}

impl Places for Strided<'_> {
    #[inline(always)]
    fn at(&mut self, xi: usize, from: usize) -> &mut [f32] {
        &mut self.v[xi * self.stride + from..]
    }
}

/// Each on its own.
pub(super) struct Slices<'a>(pub(super) Vec<&'a mut [f32]>);

impl Places for Slices<'_> {
    #[inline(always)]
    fn at(&mut self, xi: usize, from: usize) -> &mut [f32] {
        &mut self.0[xi][from..]
    }
}

/// Bᵀ d B of a vector of tiles, to `places` from their element `from` on.
#[inline(always)]
pub(super) fn transform_cells<S: Simd, const A: usize>(
    simd: S,
    mut cells: impl Cells,
    (places, from): (&mut impl Places, usize),
    half: &mut [f32; HALF],
) {
    let zero = simd.splat(0.0);
    for y in 0..A {
        let line = transform::input::<S, A>(simd, cells.row(simd, y));
        for x in 0..A {
            simd.store(line[x], &mut half[(x * A + y) * S::LANES..]);
        }
    }
    for x in 0..A {
        let mut column = [zero; 8];
        for y in 0..A {
            column[y] = simd.load(&half[(x * A + y) * S::LANES..]);
        }
        let column = transform::input::<S, A>(simd, column);
        for y in 0..A {
            simd.store(column[y], places.at(y * A + x, from));
        }
    }
}

/// Room for a tile transformed along one axis, in all lanes.
pub(super) const HALF: usize = MAX_ALPHA * MAX_ALPHA * 16;
