//! Winograd's convolution of pieces of maps: many little windows, whose tiles are all multiplied together.
//!
//! ```text
//! pieces     ┌──┬──┐ ┌──┬──┬──┐ ┌──┐        tiles counted from each piece's own corner, one after the other:
//!            └──┴──┘ └──┴──┴──┘ └──┘        panels of the product are full whatever the pieces' sizes
//! ```
//! The filters, which windows of deep layers have more of than cells, are read once for a block of tiles.

use std::cell::Cell;

use super::block::{CELLS, M, share, transform_sums};
use super::input::{Cells, HALF, Strided, transform_cells};
use super::layout::{GAP, Layout, Part};
use super::{PackedWinograd, Tile, V, parted, taps};
use crate::Cpu;
use crate::aligned::AlignedBuf;
use crate::caches::Caches;
use crate::conv2d::{Activation, Conv2d};
use crate::gemm::{Ahead, Packed, Shape, multiply};
use crate::im2col::spaced;
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
    fn tiles(&self, m: usize) -> usize {
        self.size[0].div_ceil(m) * self.size[1].div_ceil(m)
    }
}

/// Height and width of what a piece of `size` outputs reads: all that its tiles do.
pub fn frame(conv: &Conv2d, tile: Tile, size: [usize; 2]) -> [usize; 2] {
    size.map(|n| conv.geometry.stride[0] * (n.next_multiple_of(tile.m()) + taps(conv) - 1))
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
            blocks.push(Pieces { packed, bias, activation, from, pieces, tiles, start: at, to: part });
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
                            simd.store_partial(spaced(simd, from, s, to.len()), to);
                        }
                    }
                }
            }
        }
    }
}

/// Tiles of a block: as many as the last cache has room for.
fn block_tiles(cpu: &Cpu, conv: &Conv2d, tile: Tile) -> usize {
    let bytes = tile.alpha(conv) * tile.alpha(conv) * parted(conv).max(1) * size_of::<f32>();
    let nr = Shape::at(cpu.level).nr();
    (2 * Caches::get().share / bytes).clamp(2 * nr, 512) / nr * nr
}

/// Some pieces, all the way.
struct Pieces<'a> {
    packed: &'a PackedWinograd,
    bias: Option<&'a [f32]>,
    activation: Activation,
    from: &'a [f32],
    pieces: &'a [Piece],
    /// Of all of them.
    tiles: usize,
    /// Where `to` begins.
    start: usize,
    to: &'a mut [f32],
}

/// Where a tile reads and writes.
#[derive(Clone, Copy)]
struct Place {
    /// First cell of channel 0, and from channel to channel, row to row.
    from: usize,
    plane: usize,
    line: usize,
    /// First result of channel 0, and from channel to channel, row to row.
    to: usize,
    map: usize,
    row: usize,
    /// Rows and columns that count.
    size: [usize; 2],
}

/// What a vector of tiles reads of one channel.
struct Rows<'a> {
    from: &'a [f32],
    /// The next row of each tile.
    at: [usize; 16],
    /// From channel to channel and from row to row of each.
    planes: &'a [usize; 16],
    lines: &'a [usize; 16],
}

impl Cells for Rows<'_> {
    #[inline(always)]
    fn row<S: Simd>(&mut self, simd: S, _: usize) -> [S::F32; 8] {
        // The next channel is on its way meanwhile.
        for l in (0..S::LANES).step_by(2) {
            simd.prefetch(self.from, self.at[l] + self.planes[l]);
        }
        let columns = simd.load_columns(self.from, &self.at);
        for l in 0..S::LANES {
            self.at[l] += self.lines[l];
        }
        columns
    }
}

impl SimdOp for Pieces<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        match (self.packed.alpha(), self.packed.tile) {
            (4, _) => self.run_at::<S, 4, 2>(simd),
            (6, _) => self.run_at::<S, 6, 4>(simd),
            (_, Tile::F4) => self.run_at::<S, 8, 4>(simd),
            _ => self.run_at::<S, 8, 6>(simd),
        }
    }
}

impl Pieces<'_> {
    fn places(&self, m: usize) -> Vec<Place> {
        let mut places = Vec::with_capacity(self.tiles);
        for piece in self.pieces {
            let [height, width] = piece.size;
            let stride = self.packed.conv.geometry.stride[0];
            let [rows, line] = frame(&self.packed.conv, self.packed.tile, piece.size).map(|n| n / stride);
            for (y, x) in (0..height).step_by(m).flat_map(|y| (0..width).step_by(m).map(move |x| (y, x))) {
                places.push(Place {
                    from: piece.from + y * line + x,
                    plane: rows * line,
                    line,
                    to: piece.to - self.start + y * width + x,
                    map: height * width,
                    row: width,
                    size: [m.min(height - y), m.min(width - x)],
                });
            }
        }
        places
    }

    #[inline(always)]
    fn run_at<S: Simd, const A: usize, const N: usize>(&mut self, simd: S) {
        let packed = self.packed;
        let shape = const { Shape::of::<S>() };
        let layout = Layout::new(self.tiles, shape, packed);
        let places = self.places(N);
        let mut v = AlignedBuf::reused(V.take(), layout.len());
        for part in layout.all() {
            let start = layout.start(part);
            let v = &mut v[start..start + layout.xis() * layout.stride(part)];
            self.transform_input::<S, A>(simd, &layout, part, &places, v);
        }
        self.finish::<S, A, N>(simd, &layout, &places, &v);
        V.set(Some(v));
    }

    /// V of `part`.
    #[inline(always)]
    fn transform_input<S: Simd, const A: usize>(
        &self,
        simd: S,
        layout: &Layout,
        part: Part,
        places: &[Place],
        v: &mut [f32],
    ) {
        let (width, stride) = (layout.width(part.panel), layout.stride(part));
        let first = part.panel * layout.shape().nr();
        let channels = layout.steps().range(part.step);
        let mut half = [0.0; HALF];
        let mut to = Strided { v, stride };
        for j in (0..width).step_by(S::LANES) {
            // Lanes without a tile read the last one.
            let place = |l: usize| places[(first + j + l).min(places.len() - 1)];
            let (mut at, mut planes, mut lines) = ([0; 16], [0; 16], [0; 16]);
            for l in 0..S::LANES {
                let place = place(l);
                (at[l], planes[l], lines[l]) = (place.from + channels.start * place.plane, place.plane, place.line);
            }
            for i in 0..channels.len() {
                let rows = Rows { from: self.from, at, planes: &planes, lines: &lines };
                transform_cells::<S, A>(simd, rows, (&mut to, i * width + j), &mut half);
                for l in 0..S::LANES {
                    at[l] += planes[l];
                }
            }
        }
    }

    /// M = U·V and out = Aᵀ M A.
    #[inline(always)]
    fn finish<S: Simd, const A: usize, const N: usize>(
        &mut self,
        simd: S,
        layout: &Layout,
        places: &[Place],
        v: &[f32],
    ) {
        let u = &self.packed.products;
        let panels = 0..u[0].panels();
        let (nr, mr) = (layout.shape().nr(), layout.shape().mr);
        // M takes half of L2. V is read once for each group of rows, U once for each chunk of tiles; where U comes from
        // beyond the caches, that is once for all.
        let room = (Caches::get().l2 / 2 / (A * A * size_of::<f32>())).max(nr * mr);
        let side = match self.packed.bytes() > 4 * Caches::get().share {
            true => (room / (2 * mr) / nr).max(1),
            false => (room / (room.isqrt() / mr).clamp(1, panels.len()) / mr / nr).max(1),
        };
        let chunk = side.min(layout.panels());
        let group = (room / (chunk * nr) / mr).clamp(1, panels.len());
        let (groups, chunks) = (panels.len().div_ceil(group), layout.panels().div_ceil(chunk));
        let (group, chunk) = (panels.len().div_ceil(groups), layout.panels().div_ceil(chunks));
        let stride = group * mr * chunk * nr + GAP;
        let len = A * A * stride;
        let mut products = AlignedBuf::reused(M.take(), len);
        let (mut half, mut cells) = ([0.0; HALF], [0.0; CELLS]);
        for tiles in (0..chunks).map(|i| share(0..layout.panels(), chunks, i)) {
            for group in (0..groups).map(|i| share(panels.clone(), groups, i)) {
                let rows = u[0].panel_rows(group.start).start..u[0].panel_rows(group.end - 1).end;
                // Row `o` of panel `t`.
                let place =
                    |t: usize, o: usize| (t - tiles.start) * nr * rows.len() + (o - rows.start) * layout.width(t);
                for xi in 0..A * A {
                    for step in 0..layout.steps().count() {
                        let k = layout.steps().range(step);
                        // The filters and tiles of the next step, or of the next ξ, are on their way meanwhile.
                        let (after, later) = match step + 1 < layout.steps().count() {
                            true => (xi, step + 1),
                            false => ((xi + 1) % (A * A), 0),
                        };
                        let next_k = layout.steps().range(later);
                        for (at, panel) in tiles.clone().enumerate() {
                            let width = layout.width(panel);
                            let b = &v[layout.start(Part { panel, step }) + xi * layout.stride(Part { panel, step })..];
                            let next = match panel + 1 < tiles.end {
                                true => (xi, Part { panel: panel + 1, step }),
                                false => (after, Part { panel: tiles.start, step: later }),
                            };
                            let next = &v[layout.start(next.1) + next.0 * layout.stride(next.1)..];
                            let next = &next[..next.len().min(k.len() * width)];
                            for (n, p) in group.clone().enumerate() {
                                let r = u[xi].panel_rows(p);
                                let c = &mut products[xi * stride + place(panel, r.start)..][..r.len() * width];
                                let filters = u[after].panel(&next_k, p);
                                let filters = &filters[share(0..filters.len(), tiles.len(), at)];
                                let tiles = &next[share(0..next.len(), group.len(), n)];
                                let ahead = [filters, tiles].map(|floats| Ahead::over(floats, k.len()));
                                let a = u[xi].panel(&k, p);
                                multiply(simd, [r.len(), k.len(), width], a, b, c, step > 0, ahead);
                            }
                        }
                    }
                }
                for o in rows.clone() {
                    for panel in tiles.clone() {
                        for j in (0..layout.width(panel)).step_by(S::LANES) {
                            let t = panel * nr + j;
                            let from = &products[place(panel, o) + j..];
                            let bias = self.bias.map_or(0.0, |bias| bias[o]);
                            let relu = self.activation == Activation::Relu;
                            transform_sums::<S, A, N>(simd, (bias, relu), from, stride, &mut half, &mut cells);
                            self.scatter::<N>(&cells, S::LANES * N, o, &places[t..(t + S::LANES).min(places.len())]);
                        }
                    }
                }
            }
        }
        M.set(Some(products));
    }

    /// The results of a vector of tiles in channel `o`, rows of `line` cells, into their places.
    #[inline(always)]
    fn scatter<const N: usize>(&mut self, cells: &[f32; CELLS], line: usize, o: usize, places: &[Place]) {
        for (t, place) in places.iter().enumerate() {
            let to = &mut self.to[place.to + o * place.map..];
            let [height, width] = place.size;
            for y in 0..height {
                let (to, cells) = (&mut to[y * place.row..], &cells[y * line + t * N..]);
                if width == N {
                    to[..N].copy_from_slice(&cells[..N]);
                } else {
                    to.iter_mut().zip(&cells[..width]).for_each(|(to, cell)| *to = *cell);
                }
            }
        }
    }
}
