//! The way in: lines of the input, transformed down their columns, then along their rows, a panel of tiles at a time.
//!
//! ```text
//! rows of a line of tiles   ⟶ Bᵀd, whole vectors of columns ⟶   α lines of columns
//! α lines of columns        ⟶ every m-th column, α of them, a lane for each tile ⟶ Bᵀd ⟶   α² places of V
//! ```
//! Columns that two tiles share are transformed once. Rows and columns that are not there count as zeros.

use std::ops::Range;

use super::layout::{KINDS, Lanes, Layout, Part, kind, spread};
use super::transform::{self, MAX_ALPHA};
use crate::simd::Simd;

/// Neighbours of one row of tiles: what they read.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Among the tiles of a block; lines follow each other.
    pub(super) tiles: Range<usize>,
    /// The first cell that is there, of channel 0.
    pub(super) from: usize,
    pub(super) planes: Planes,
    /// From row to row.
    pub(super) row: usize,
    /// Rows that are there, of α.
    pub(super) rows: Range<usize>,
    /// Columns that are there, of all that the tiles read.
    pub(super) columns: Range<usize>,
}

/// What a block of tiles reads.
pub(super) struct Source<'a> {
    pub(super) data: &'a [f32],
    pub(super) lines: &'a [Line],
}

/// Where parted channels lie: part after part, s rows of s parts, all channels of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    /// Of a part.
    pub(super) channels: usize,
    /// From channel to channel of a part.
    pub(super) channel: usize,
    /// From part to part below it, and to the next beside it.
    pub(super) line: usize,
    pub(super) part: usize,
    pub(super) stride: usize,
}

impl Planes {
    #[inline(always)]
    fn at(&self, c: usize) -> usize {
        match self.stride {
            1 => c * self.channel,
            s => {
                let (part, c) = (c / self.channels, c % self.channels);
                c * self.channel + part / s * self.line + part % s * self.part
            }
        }
    }
}

/// Columns of a panel, at worst of tiles that are not neighbours, and two vectors more.
const WIDE: usize = 2 * 16 * (MAX_ALPHA - 2) + 48;

/// Lines of a panel, transformed down their columns: α of them.
#[repr(align(64))]
pub(super) struct Half([f32; MAX_ALPHA * WIDE]);

impl Half {
    pub(super) fn new() -> Self {
        Self([0.0; MAX_ALPHA * WIDE])
    }
}

/// A piece of a line in a panel.
#[derive(Clone, Copy)]
struct Stretch<'a> {
    line: &'a Line,
    /// Columns of the line before the piece.
    skip: usize,
    /// Where its columns begin in the panel's, and how many it has.
    at: usize,
    columns: usize,
    /// Where the next channel lies, for a line that begins at 0.
    next: usize,
}

/// V of `channels` of `part`: Bᵀ d B of its tiles in each.
#[inline(always)]
pub(super) fn transform_input<S: Simd, const AY: usize, const AX: usize, const NY: usize, const NX: usize>(
    simd: S,
    source: &Source<'_>,
    layout: &Layout,
    part: Part,
    channels: Range<usize>,
    places: &mut impl Places,
    half: &mut Half,
) {
    // An empty sum has no place either.
    if channels.is_empty() {
        return;
    }
    let &Source { data, lines } = source;
    let tiles = layout.range(part.panel);
    let width = tiles.len();
    let mut stretches = Vec::with_capacity(width);
    // Where each tile begins, in tiles; behind those of a stretch is one that has its last columns. Lanes without a tile
    // read the last one.
    let (mut place, mut lane, mut end) = ([0; 16], 0, 0);
    let first = lines.partition_point(|line| line.tiles.end <= tiles.start);
    for line in lines[first..].iter().take_while(|line| line.tiles.start < tiles.end) {
        let from = line.tiles.start.max(tiles.start);
        let count = line.tiles.end.min(tiles.end) - from;
        let columns = count * NX + AX - NX;
        let (skip, next) = ((from - line.tiles.start) * NX, line.planes.at(channels.start));
        stretches.push(Stretch { line, skip, at: end * NX, columns, next });
        for i in 0..count {
            place[lane] = (end + i) as u32;
            lane += 1;
        }
        end += count + 1;
    }
    let last = place[lane - 1];
    place[lane..].fill(last);
    let straight = stretches.len() == 1;
    let panel = Panel { data, stretches, place, straight, close: end - 1 <= S::LANES, width };
    // Compiled twice, so that what is common does not pay for what is not.
    match layout.kept(part.panel) {
        None => panel.transform::<S, AY, AX, NX>(simd, channels, None, places, half),
        Some(kept) => panel.transform::<S, AY, AX, NX>(simd, channels, Some(&kept), places, half),
    }
}

/// A panel of tiles, as the way in sees it.
struct Panel<'a> {
    data: &'a [f32],
    stretches: Vec<Stretch<'a>>,
    /// Where each tile begins in the columns of all stretches, in tiles.
    place: [u32; 16],
    /// Whether they are neighbours.
    straight: bool,
    /// Whether that is within a vector of tiles.
    close: bool,
    width: usize,
}

impl Panel<'_> {
    /// V of `channels`; of places of each kind for the lanes that are `kept`, if not for all.
    #[inline(always)]
    fn transform<S: Simd, const AY: usize, const AX: usize, const N: usize>(
        mut self,
        simd: S,
        channels: Range<usize>,
        kept: Option<&[Lanes; KINDS]>,
        places: &mut impl Places,
        half: &mut Half,
    ) {
        let Self { data, ref mut stretches, place, straight, close, width } = self;
        let at = place.map(|tile| tile as usize * N);
        for (i, c) in channels.enumerate() {
            for stretch in &mut *stretches {
                let plane = std::mem::replace(&mut stretch.next, stretch.line.planes.at(c + 1));
                down::<S, AY>(simd, data, stretch, plane, half);
            }
            for y in 0..AY {
                let half = &half.0[y * WIDE..(y + 1) * WIDE];
                let mut row = match close {
                    true => spaced::<S, AX, N>(simd, half),
                    false => columns::<S, AX>(simd, half, &at),
                };
                if close && !straight {
                    for v in &mut row[..AX] {
                        *v = simd.permute(*v, &place);
                    }
                }
                let row = transform::input::<S, AX>(simd, row);
                let Some(kept) = kept else {
                    places.store::<S, AX>(simd, row, y * AX, i * width, width);
                    continue;
                };
                for x in 0..AX {
                    let lanes = &kept[kind(const { [AY, AX] }, y, x)];
                    let v = if lanes.first { row[x] } else { simd.permute(row[x], &lanes.lanes) };
                    places.store_one(simd, v, y * AX + x, i * lanes.count, lanes.count);
                }
            }
        }
    }
}

/// The columns of `stretch` in the channel at `plane`, transformed.
#[inline(always)]
fn down<S: Simd, const A: usize>(simd: S, data: &[f32], stretch: &Stretch<'_>, plane: usize, half: &mut Half) {
    let &Stretch { line, skip, at, columns, next } = stretch;
    let zero = simd.splat(0.0);
    // Of the piece's columns, those that are there.
    let here = line.columns.start.max(skip).min(skip + columns)..line.columns.end.max(skip).min(skip + columns);
    let (lo, hi) = (here.start - skip, (here.end - skip).max(here.start - skip));
    for from in (0..lo).step_by(S::LANES) {
        simd.store_rows::<A>([zero; MAX_ALPHA], &mut half.0[at + from..], WIDE);
    }
    let start = line.from + plane;
    let next = next.wrapping_sub(plane);
    let mut from = lo;
    while from < hi {
        let cell = start + skip + from - line.columns.start;
        let count = (hi - from).min(S::LANES);
        // The next channel is on its way meanwhile.
        for y in 0..line.rows.len() {
            simd.prefetch(data, cell.wrapping_add(next) + y * line.row);
        }
        // Where the piece ends, nobody minds what is read behind it.
        let whole = count == S::LANES || hi == columns && cell + (A - 1) * line.row + S::LANES <= data.len();
        let column = match whole && line.rows.len() == A {
            true => simd.load_rows::<A>(&data[cell..], line.row),
            false => {
                let mut column = [zero; MAX_ALPHA];
                for y in 0..A {
                    let (row, count) = match line.rows.contains(&y) {
                        true => (cell + (y - line.rows.start) * line.row, count),
                        false => (0, 0),
                    };
                    column[y] = simd.load_partial(&data[row..row + count], 0.0);
                }
                column
            }
        };
        simd.store_rows::<A>(transform::input::<S, A>(simd, column), &mut half.0[at + from..], WIDE);
        from += S::LANES;
    }
    for from in (from..columns).step_by(S::LANES) {
        simd.store_rows::<A>([zero; MAX_ALPHA], &mut half.0[at + from..], WIDE);
    }
}

/// Vector j holds, for each lane l, `s[at[l] + j]`, for j < `A`.
#[inline(always)]
fn columns<S: Simd, const A: usize>(simd: S, s: &[f32], at: &[usize; 16]) -> [S::F32; MAX_ALPHA] {
    let [a, b, c, d, e, f, g, h] = simd.load_columns(s, at);
    let mut last = [0.0; 16];
    if A > 8 {
        for l in 0..S::LANES {
            last[l] = s[at[l] + 8];
        }
    }
    [a, b, c, d, e, f, g, h, simd.load(&last)]
}

/// Vector j holds every `N`-th of `s` from the j-th on, for j < `A`.
#[inline(always)]
fn spaced<S: Simd, const A: usize, const N: usize>(simd: S, s: &[f32]) -> [S::F32; MAX_ALPHA] {
    let mut v = [simd.splat(0.0); MAX_ALPHA];
    for j in 0..if N < 7 { N } else { 0 } {
        v[j] = simd.load(&s[j * S::LANES..]);
    }
    match N {
        2 => (v[0], v[1]) = simd.deinterleave(v[0], v[1]),
        4 => {
            let ((a, b), (c, d)) = (simd.deinterleave(v[0], v[1]), simd.deinterleave(v[2], v[3]));
            ((v[0], v[2]), (v[1], v[3])) = (simd.deinterleave(a, c), simd.deinterleave(b, d));
        }
        6 => {
            let (a, b) = simd.deinterleave(v[0], v[1]);
            let (c, d) = simd.deinterleave(v[2], v[3]);
            let (e, f) = simd.deinterleave(v[4], v[5]);
            ([v[0], v[2], v[4]], [v[1], v[3], v[5]]) = (simd.deinterleave3([a, c, e]), simd.deinterleave3([b, d, f]));
        }
        _ => {
            let [a, b, c, d, e, f, g, ..] = simd.load_columns_apart(s, N);
            (v[0], v[1], v[2], v[3], v[4], v[5], v[6]) = (a, b, c, d, e, f, g);
        }
    }
    for j in N..A {
        v[j] = simd.shift_in(v[j - N], simd.splat(s[S::LANES * N + j - N]));
    }
    v
}

/// Where the places ξ of transformed tiles go: all channels and tiles of each.
pub(super) trait Places {
    /// The first `width` lanes of vector j, for j < `N`, to place `xi` + j, from its element `from` on; what follows may be
    /// overwritten.
    fn store<S: Simd, const N: usize>(&mut self, simd: S, v: [S::F32; MAX_ALPHA], xi: usize, from: usize, width: usize);

    /// The first `width` lanes of `v` to place `xi`, likewise.
    fn store_one<S: Simd>(&mut self, simd: S, v: S::F32, xi: usize, from: usize, width: usize);
}

/// One after the other, with at least a vector from the end of one to the next.
pub(super) struct Strided<'a> {
    pub(super) v: &'a mut [f32],
    /// From ξ to ξ.
    pub(super) stride: usize,
    /// Whether `v` is asked for before it is written.
    pub(super) ask: bool,
}

impl Strided<'_> {
    /// Asks for what place `xi` will hold some channels after its element `from`.
    #[inline(always)]
    fn ask<S: Simd>(&self, simd: S, xi: usize, from: usize, width: usize) {
        const CHANNELS: usize = 8;
        if self.ask {
            simd.prefetch_own(self.v.as_ptr().wrapping_add(xi * self.stride + from + CHANNELS * width));
        }
    }
}

impl Places for Strided<'_> {
    #[inline(always)]
    fn store<S: Simd, const N: usize>(
        &mut self,
        simd: S,
        v: [S::F32; MAX_ALPHA],
        xi: usize,
        from: usize,
        width: usize,
    ) {
        // Known ahead, so that few places do not pay for it.
        for j in 0..if spread(N) { N } else { 0 } {
            self.ask(simd, xi + j, from, width);
        }
        simd.store_rows::<N>(v, &mut self.v[xi * self.stride + from..], self.stride);
    }

    #[inline(always)]
    fn store_one<S: Simd>(&mut self, simd: S, v: S::F32, xi: usize, from: usize, width: usize) {
        self.ask(simd, xi, from, width);
        simd.store(v, &mut self.v[xi * self.stride + from..]);
    }
}

/// Each on its own.
pub(super) struct Slices<'a>(pub(super) Vec<&'a mut [f32]>);

impl Places for Slices<'_> {
    #[inline(always)]
    fn store<S: Simd, const N: usize>(
        &mut self,
        simd: S,
        v: [S::F32; MAX_ALPHA],
        xi: usize,
        from: usize,
        width: usize,
    ) {
        for (i, v) in v.into_iter().take(N).enumerate() {
            self.store_one(simd, v, xi + i, from, width);
        }
    }

    #[inline(always)]
    fn store_one<S: Simd>(&mut self, simd: S, v: S::F32, xi: usize, from: usize, width: usize) {
        let to = &mut self.0[xi][from..];
        match to.len() < S::LANES {
            true => simd.store_partial(v, &mut to[..width]),
            false => simd.store(v, to),
        }
    }
}
