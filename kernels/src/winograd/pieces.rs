//! Winograd's convolution of pieces of maps: many little windows, whose tiles are all multiplied together.
//!
//! ```text
//! pieces     ┌──┬──┐ ┌──┬──┬──┐ ┌──┐        tiles counted from each piece's own corner, one after the other:
//!            └──┴──┘ └──┴──┴──┘ └──┘        panels of the product are full whatever the pieces' sizes
//! ```
//! The filters, which windows of deep layers have more of than cells, are read once for a block of tiles.

use std::cell::Cell;
use std::ops::Range;

use super::block::{transform_all, with_alpha};
use super::input::{Line, Planes, Source};
use super::layout::{Layout, Wanted};
use super::output::{Eight, Finish, Sink, Target, finish};
use super::{PackedWinograd, Tile, V, taps, tile_bytes};
use crate::Cpu;
use crate::aligned::AlignedBuf;
use crate::caches::Caches;
use crate::conv2d::{Activation, Conv2d};
use crate::gemm::Shape;
use crate::padded::spaced;
use crate::simd::{Simd, SimdOp};

/// Where a piece lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The first number of what it reads: all input channels of [`frame`], without gaps, with padding written out.
    pub from: usize,
    /// The first number of what it writes: all output channels of `size`, without gaps. Those of one piece after those of
    /// the one before.
    pub to: usize,
    /// Outputs: height and width.
    pub size: [usize; 2],
}

impl Piece {
    fn tiles(&self, m: [usize; 2]) -> usize {
        self.size[0].div_ceil(m[0]) * self.size[1].div_ceil(m[1])
    }
}

/// Height and width of what a piece of `size` outputs reads: all that its tiles do.
pub fn frame(conv: &Conv2d, tile: Tile, size: [usize; 2]) -> [usize; 2] {
    [0, 1].map(|i| conv.geometry.stride[0] * (size[i].next_multiple_of(tile.m()[i]) + taps(conv) - 1))
}

/// Numbers that must follow the last frame of `from`, whatever they are.
pub const SLACK: usize = 8;

/// Convolves every piece; padding is part of the frames. `bias` and activation as in [`winograd`](super::winograd()).
///
/// # Example
///
/// ```
/// use switchback_kernels::conv2d::{Activation, Conv2d};
/// use switchback_kernels::winograd::{self, Piece, SLACK, Tile, winograd_pieces};
/// use switchback_kernels::{Cpu, Dtype, Geometry, Weights};
///
/// let cpu = Cpu::new(1);
/// let conv = Conv2d { in_channels: 1, out_channels: 1, groups: 1, geometry: Geometry::square(3, 1, 1) };
/// let ones: Vec<u8> = [1.0f32; 9].iter().flat_map(|w| w.to_le_bytes()).collect();
/// let packed = winograd::pack(&cpu, &conv, Weights::new(&ones, Dtype::F32), None, Tile::F2);
///
/// let pieces = [Piece { from: 0, to: 0, size: [1, 2] }, Piece { from: 16, to: 2, size: [1, 1] }];
/// let (x, mut y) = ([1.0; 32 + SLACK], [0.0; 3]);
/// winograd_pieces(&cpu, &conv, &packed, None, Activation::None, &x, &pieces, &mut y);
/// assert_eq!(y, [9.0; 3]);
/// ```
#[expect(clippy::too_many_arguments, reason = "a convolution's, and where the pieces lie")]
pub fn winograd_pieces(
    cpu: &Cpu,
    conv: &Conv2d,
    packed: &PackedWinograd,
    bias: Option<&[f32]>,
    activation: Activation,
    from: &[f32],
    pieces: &[Piece],
    to: &mut [f32],
) {
    packed.check(cpu, conv, bias);
    for piece in pieces {
        let cells = |[h, w]: [usize; 2]| h * w;
        let end = piece.from + conv.in_channels * cells(frame(conv, packed.tile, piece.size)) + SLACK;
        assert!(end <= from.len(), "{piece:?} reads as far as {end} of {}", from.len());
    }
    let mut copy = COPY.take();
    let from = match conv.geometry.stride {
        [1, 1] => from,
        _ => {
            if copy.as_ref().is_none_or(|copy| copy.len() < from.len()) {
                copy = Some(AlignedBuf::zeroed(from.len()));
            }
            let copy = copy.as_deref_mut().expect("made if need be");
            cpu.level.dispatch(Parting { conv, tile: packed.tile, from, pieces, to: copy });
            &*copy
        }
    };
    let m = packed.tile.m();
    let most = block_tiles(cpu, conv, packed.tile);
    let (mut blocks, mut rest, mut at, mut first, mut tiles) = (Vec::new(), to, 0, 0, 0);
    for (i, piece) in pieces.iter().enumerate() {
        tiles += piece.tiles(m);
        let next = pieces.get(i + 1);
        if next.is_none_or(|next| tiles + next.tiles(m) > most) {
            let end = piece.to + conv.out_channels * piece.size[0] * piece.size[1];
            let (part, after) = rest.split_at_mut(end - at);
            let pieces = &pieces[first..=i];
            let finish = Finish { packed, bias, activation, pool: false };
            blocks.push(Pieces { finish, from, pieces, start: at, to: part });
            (rest, at, first, tiles) = (after, end, i + 1, 0);
        }
    }
    cpu.threads.for_each(blocks, |block| cpu.level.dispatch(block));
    COPY.set(copy);
}

thread_local! {
    /// Frames parted by stride, kept from call to call.
    static COPY: Cell<Option<AlignedBuf>> = const { Cell::new(None) };
}

/// Parts the rows and columns of every frame by stride: each channel becomes s² little ones, where the frame was.
struct Parting<'a> {
    conv: &'a Conv2d,
    tile: Tile,
    from: &'a [f32],
    pieces: &'a [Piece],
    to: &'a mut [f32],
}

impl SimdOp for Parting<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let s = self.conv.geometry.stride[0];
        for piece in self.pieces {
            let [height, width] = frame(self.conv, self.tile, piece.size);
            let (line, part) = (width / s, height * width / (s * s));
            for c in 0..self.conv.in_channels {
                let start = piece.from + c * height * width;
                for y in 0..height {
                    let row = &self.from[start + y * width..];
                    for x in 0..s {
                        let to = &mut self.to[start + (y % s * s + x) * part + y / s * line..][..line];
                        for (i, to) in to.chunks_mut(S::LANES).enumerate() {
                            let from = &row[x + i * S::LANES * s..];
                            simd.store_partial(spaced(simd, from, s), to);
                        }
                    }
                }
            }
        }
    }
}

/// Tiles of a block: as many as the last cache has room for.
fn block_tiles(cpu: &Cpu, conv: &Conv2d, tile: Tile) -> usize {
    let nr = Shape::at(cpu.level).nr();
    (2 * Caches::get().share / tile_bytes(conv, tile)).clamp(2 * nr, 512) / nr * nr
}

/// Some pieces, all the way.
struct Pieces<'a> {
    finish: Finish<'a>,
    from: &'a [f32],
    pieces: &'a [Piece],
    /// Where `to` begins.
    start: usize,
    to: &'a mut [f32],
}

impl SimdOp for Pieces<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let packed = self.finish.packed;
        let (lines, targets) = self.lines();
        let wanted: Vec<_> = targets.iter().map(|target| target.wanted.clone()).collect();
        let layout = Layout::new(packed, &wanted, 0, const { Shape::of::<S>() });
        let mut v = AlignedBuf::reused(V.take(), layout.len());
        transform_all(simd, packed, &Source { data: self.from, lines: &lines }, &layout, &mut v);
        let (panels, work, sink) = (0..packed.filters.panels(), self.finish, &mut Packed(&mut self.to));
        with_alpha!(packed, finish(simd, work, &layout, panels, &v, &targets, sink));
        V.set(Some(v));
    }
}

impl Pieces<'_> {
    /// What rows of tiles read and write.
    fn lines(&self) -> (Vec<Line>, Vec<Target>) {
        let packed = self.finish.packed;
        let (m, stride) = (packed.tile.m(), packed.conv.geometry.stride[0]);
        let (mut lines, mut targets, mut first) = (Vec::new(), Vec::new(), 0);
        for piece in self.pieces {
            let [height, width] = piece.size;
            let [rows, row] = frame(&packed.conv, packed.tile, piece.size).map(|n| n / stride);
            // Parts of a channel one after the other.
            let (channels, part) = (packed.conv.in_channels, rows * row);
            let planes = Planes { channels, channel: stride * stride * part, line: stride * part, part, stride };
            for y in (0..height).step_by(m[0]) {
                let tiles = first..first + width.div_ceil(m[1]);
                first = tiles.end;
                lines.push(Line {
                    tiles: tiles.clone(),
                    from: piece.from + y * row,
                    planes,
                    row,
                    rows: 0..packed.alpha()[0],
                    columns: 0..row,
                });
                let place = [piece.to - self.start + y * width, height * width, width];
                targets
                    .push(Target { wanted: Wanted { tiles, rows: 0..m[0].min(height - y), columns: 0..width }, place });
            }
        }
        (lines, targets)
    }
}

/// The results of pieces, without gaps.
struct Packed<'a, 'b>(&'a mut &'b mut [f32]);

impl Sink for Packed<'_, '_> {
    #[inline(always)]
    fn maps(&mut self, target: &Target, o: Range<usize>) -> Eight<'_> {
        let [first, map, pitch] = target.place;
        let mut eight = Eight { pitch, ..Eight::default() };
        // A map from here on to where the next one is read.
        let mut rest = &mut self.0[first + o.start * map..];
        for to in eight.maps.iter_mut().take(o.len()) {
            let next = map.min(rest.len());
            (*to, rest) = std::mem::take(&mut rest).split_at_mut(next);
        }
        eight
    }
}
