//! The way out: products of a block's tiles and filters, transformed, with bias and activation, into their places.
//!
//! ```text
//! M   [ξ][panel of filters][tile][filter]          some tiles and filters at a time, so that it stays in L2
//! Aᵀ M A of a tile, a lane for each filter ⟶ cells [row][column][filter] of some neighbours ⟶ rows of maps
//! ```

use std::cell::Cell;
use std::ops::{Range, RangeInclusive};

use super::PackedWinograd;
use super::filters::Filters;
use super::layout::{GAP, KINDS, Layout, Part, Wanted, kind};
use super::transform::{self, MAX_ALPHA};
use crate::aligned::{AlignedBuf, LINE};
use crate::caches::Caches;
use crate::conv2d::Activation;
use crate::gemm::{Ahead, Along, Shape, Straight, multiply_along, share};
use crate::simd::Simd;

thread_local! {
    /// M of this thread's tiles and filters.
    static M: Cell<Option<AlignedBuf>> = const { Cell::new(None) };
}

/// What neighbours of one row of tiles write.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) wanted: Wanted,
    /// Where it goes, as the [`Sink`] has it.
    pub(super) place: [usize; 3],
}

/// Where results go.
pub(super) trait Sink {
    /// Where the wanted cells, or their maxima, of the filters `o` go, eight at most.
    fn maps(&mut self, target: &Target, o: Range<usize>) -> Eight<'_>;
}

/// The maps of eight filters or fewer, from the first wanted cell on; rows begin `pitch` apart.
#[derive(Default)]
pub(super) struct Eight<'a> {
    pub(super) maps: [&'a mut [f32]; 8],
    pub(super) pitch: usize,
}

/// Where V of a panel of tiles in a kc block lies.
struct Place {
    /// The tiles.
    range: Range<usize>,
    /// How many of them places of each kind are needed for.
    counts: [usize; KINDS],
    start: usize,
    /// From ξ to ξ.
    stride: usize,
}

/// What a convolution does after its sums.
#[derive(Clone, Copy)]
pub(super) struct Finish<'a> {
    pub(super) packed: &'a PackedWinograd,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) activation: Activation,
    /// Whether the maxima of 2 × 2 results are stored.
    pub(super) pool: bool,
}

/// M = U·V and out = Aᵀ M A for the filters of `panels`, of which the first is the sink's first.
#[inline(always)]
pub(super) fn finish<S: Simd, const AY: usize, const AX: usize, const NY: usize, const NX: usize>(
    simd: S,
    work: Finish<'_>,
    layout: &Layout,
    panels: Range<usize>,
    v: &[f32],
    targets: &[Target],
    sink: &mut impl Sink,
) {
    let u = &work.packed.filters;
    let nr = const { Shape::of::<S>().nr() };
    let steps = layout.steps();
    // Threads that share V go through its places in turn, each from another on, and take a line from the one that had it
    // before: it never has two holders, which would make it slow to write the next time.
    let shared = panels.len() < u.panels();
    let first = u.first_product(u.products().len() * panels.start / u.panels());
    let (chunks, groups) = cut(layout, u, panels.len(), AY * AX * nr);
    // Panels of filters that one call multiplies.
    let most = if shared || streamed(layout, chunks, u) { 1 } else { panels.len() };
    let ranks = layout.ranks();
    let widest = (0..layout.panels()).map(|t| layout.range(t).len()).max().unwrap_or(0);
    let stride = panels.len().div_ceil(groups) * nr * layout.panels().div_ceil(chunks) * widest + GAP;
    let mut products = AlignedBuf::reused(M.take(), AY * AX * stride);
    // Where V of each panel of tiles lies, kc block after kc block.
    let places: Vec<Place> = (0..steps.count())
        .flat_map(|step| (0..layout.panels()).map(move |panel| Part { panel, step }))
        .map(|part| Place {
            range: layout.range(part.panel),
            counts: layout.counts(part.panel),
            start: layout.start(part),
            stride: layout.stride(part),
        })
        .collect();
    let mut cells = Cells { cells: [0.0; CELLS], half: [0.0; HALF] };
    for parts in (0..chunks).map(|i| share(layout.panels(), chunks, i)) {
        let tiles = layout.range(parts.start).start..layout.range(parts.end - 1).end;
        for group in (0..groups).map(|i| share(panels.len(), groups, i)) {
            let group = panels.start + group.start..panels.start + group.end;
            // M of panel `p` begins here.
            let place = |p: usize| (p - group.start) * nr * tiles.len();
            let pieces = pieces(u, &group, most);
            // M of a panel of tiles, from that of filters `p` on.
            let result =
                |xi: usize, p: usize, at: &Place| xi * stride + place(p) + (at.range.start - tiles.start) * u.width(p);
            // Parts of a panel of tiles that are asked for with each panel of filters.
            let asked = widest.div_ceil(group.len());
            for i in 0..u.products().len() {
                let product = |i: usize| u.products()[(first + i) % u.products().len()];
                let ([xi, step], [after, later]) = (product(i), product(i + 1));
                let (k, kind) = (steps.range(step), kind([AY, AX], xi / AX, xi % AX));
                // The filters and tiles of the next product are on their way meanwhile.
                let [now, soon] = [step, later].map(|s| &places[s * layout.panels()..][parts.clone()]);
                for (n, piece) in pieces.iter().enumerate() {
                    let (p, width) = (piece.start, u.width(piece.start));
                    let filters = u.panels_from(p, xi, &k);
                    let (next, follows) = match pieces.get(n + 1) {
                        Some(next) => (u.panels_from(next.start, xi, &k), result(xi, next.start, &now[0])),
                        None => (
                            u.panels_from(group.start, after, &steps.range(later)),
                            result(after, group.start, &soon[0]),
                        ),
                    };
                    let each = width.div_ceil(parts.len());
                    for (i, (at, soon)) in now.iter().zip(soon).enumerate() {
                        let rows = at.counts[kind];
                        if rows == 0 {
                            continue;
                        }
                        let a = &Straight { data: &v[at.start + xi * at.stride..], step: rows };
                        let soon = &v[soon.start + after * soon.stride..];
                        let ask = Ahead::stream(next, i * k.len() * each, each).tiles(k.len() * width);
                        let mut ahead = [ask, Ahead::nothing()];
                        let from = (p - group.start) * k.len() * asked;
                        if shared {
                            for line in (from..from + k.len() * asked).step_by(LINE) {
                                simd.prefetch_own(soon.as_ptr().wrapping_add(line));
                            }
                        } else if each <= LINE {
                            ahead[1] = Ahead::stream(soon, from, asked).tiles(k.len() * asked);
                        }
                        if each > LINE {
                            // One address is asked for with each step: every other line of the filters so.
                            let from = i * k.len() * each + LINE;
                            ahead[1] = Ahead::stream(next, from, each).tiles(k.len() * width);
                        }
                        let follows = now.get(i + 1).map_or(follows, |at| result(xi, p, at));
                        let soon = products.as_ptr().wrapping_add(follows);
                        let along = Along { count: piece.len(), c: nr * tiles.len(), soon };
                        let c = &mut products[result(xi, p, at)..];
                        let b = &Straight { data: filters, step: width };
                        multiply_along(simd, [rows, k.len(), width], a, b, along, c, step > 0, &ahead);
                    }
                }
            }
            for p in group.clone() {
                let (filters, width) = (u.range(p), u.width(p));
                let first = u.range(panels.start).start;
                for j in (0..filters.len()).step_by(S::LANES) {
                    let lanes = filters.start + j..filters.end.min(filters.start + j + S::LANES);
                    let bias = match work.bias {
                        Some(bias) => simd.load_partial(&bias[lanes.clone()], 0.0),
                        None => simd.splat(0.0),
                    };
                    let then = Then { bias, relu: work.activation == Activation::Relu, pool: work.pool };
                    let lanes = lanes.start - first..lanes.end - first;
                    // Those that follow, of all that the sink has.
                    let all = u.range(panels.end - 1).end - first;
                    let next = lanes.end.min(all)..(lanes.end + S::LANES).min(all);
                    let start = targets.partition_point(|target| target.wanted.tiles.end <= tiles.start);
                    for target in targets[start..].iter().take_while(|target| target.wanted.tiles.start < tiles.end) {
                        let from = target.wanted.tiles.start.max(tiles.start);
                        let end = target.wanted.tiles.end.min(tiles.end);
                        if NY >= 4 {
                            ask(simd, target, work.pool, next.clone(), sink);
                        }
                        for t in (from..end).step_by(const { piece(NX) }) {
                            let piece = t..end.min(t + const { piece(NX) });
                            for (i, t) in piece.clone().enumerate() {
                                let from = &products[place(p) + j..];
                                match ranks.get(t) {
                                    None => {
                                        let at = [(t - tiles.start) * width; KINDS];
                                        cells.transform::<S, AY, AX, NY, NX, true>(simd, &then, from, at, stride, i);
                                    }
                                    Some(ranks) => {
                                        let at = ranks.map(|t| (t - tiles.start) * width);
                                        cells.transform::<S, AY, AX, NY, NX, false>(simd, &then, from, at, stride, i);
                                    }
                                }
                            }
                            cells.store::<S, NX>(simd, target, work.pool, piece, lanes.clone(), sink);
                        }
                    }
                }
            }
        }
    }
    M.set(Some(products));
}

/// Into how many chunks of tiles and groups of filters products are cut. U is read once for each chunk of tiles, so M of a panel
/// of filters may take most of L2, unless U is hardly more than that holds: then M leaves room for more panels, which one call
/// multiplies. V, which is shorter, is read once for each group of filters, so M of several leaves it some room.
fn cut(layout: &Layout, u: &Filters, panels: usize, column: usize) -> (usize, usize) {
    let l2 = Caches::get().l2;
    let columns = |eighths: usize| (l2 * eighths / 8 / (column * size_of::<f32>())).max(1);
    let tiles = layout.tiles().max(1);
    let most = columns(if u.bytes() > 2 * l2 { 5 } else { 2 });
    let chunks = tiles.div_ceil(most).min(layout.panels()).max(1);
    let group = (columns(4) / tiles.div_ceil(chunks)).clamp(1, panels);
    (chunks, panels.div_ceil(group))
}

/// Whether filters come from memory about as fast as it gives them: more of them than stay in a cache from pass to pass, each read
/// for a few tiles. They are better asked for just before they are read.
fn streamed(layout: &Layout, chunks: usize, u: &Filters) -> bool {
    const FEW: usize = 16;
    layout.tiles().div_ceil(chunks) <= FEW && u.bytes() > 4 * Caches::get().l2
}

/// The panels of filters of `group`, in pieces of equal width, `most` at most.
fn pieces(u: &Filters, group: &Range<usize>, most: usize) -> Vec<Range<usize>> {
    let panels: Vec<usize> = group.clone().collect();
    let equal = panels.chunk_by(|&a, &b| u.width(a) == u.width(b));
    equal.flat_map(|panels| panels.chunks(most)).map(|some| some[0]..some[0] + some.len()).collect()
}

/// Neighbouring tiles of m × m that are stored together: with what they are made of they stay in L1.
const fn piece(m: usize) -> usize {
    if m > 6 { 4 } else { 8 }
}

/// Columns of a piece, and a vector more.
const COLUMNS: usize = piece(6) * 6 + 16;

/// Room for the results of a piece, in all lanes.
const CELLS: usize = (MAX_ALPHA - 2) * COLUMNS * 16;

/// Room for a tile transformed along one axis, in all lanes.
const HALF: usize = MAX_ALPHA * MAX_ALPHA * 16;

/// Columns of rows that are asked for before they are written: lines enough to be worth it, too few for the processor to see
/// where they lead.
const SHORT: RangeInclusive<usize> = LINE / 2..=LINE;

/// Asks for the rows that `target` will write for the sink's filters `lanes`, where they are short.
#[inline(always)]
fn ask<S: Simd>(simd: S, target: &Target, pool: bool, lanes: Range<usize>, sink: &mut impl Sink) {
    let part = if pool { 2 } else { 1 };
    if !SHORT.contains(&(target.wanted.columns.len() / part)) {
        return;
    }
    for first in lanes.clone().step_by(8) {
        let eight = first..lanes.end.min(first + 8);
        let count = eight.len();
        let Eight { maps, pitch } = sink.maps(target, eight);
        for map in maps.iter().take(count) {
            for y in 0..target.wanted.rows.len() / part {
                simd.prefetch(map, y * pitch);
            }
        }
    }
}

/// What is done to a vector of filters' sums.
struct Then<S: Simd> {
    bias: S::F32,
    relu: bool,
    pool: bool,
}

/// The larger; NaN where either is.
#[inline(always)]
fn larger<S: Simd>(simd: S, a: S::F32, b: S::F32) -> S::F32 {
    simd.select(simd.is_nan(a), a, simd.max(a, b))
}

/// Results of a piece: row by row, column by column, a lane for each filter.
#[repr(align(64))]
struct Cells {
    cells: [f32; CELLS],
    half: [f32; HALF],
}

impl Cells {
    /// Aᵀ M A of tile `i` of the piece, then bias, max(x, 0) and the pool, as asked for; `M[ξ]` lies at
    /// `from[ξ · stride + at[kind of ξ]]`; `SAME` for all kinds or not.
    #[inline(always)]
    fn transform<S: Simd, const AY: usize, const AX: usize, const NY: usize, const NX: usize, const SAME: bool>(
        &mut self,
        simd: S,
        then: &Then<S>,
        from: &[f32],
        at: [usize; KINDS],
        stride: usize,
        i: usize,
    ) {
        let zero = simd.splat(0.0);
        for x in 0..AX {
            let mut column = [zero; MAX_ALPHA];
            if SAME {
                column = simd.load_rows::<AY>(&from[x * stride + at[0]..], AX * stride);
            } else {
                for y in 0..AY {
                    column[y] = simd.load(&from[(y * AX + x) * stride + at[kind([AY, AX], y, x)]..]);
                }
            }
            let column = transform::output::<S, AY, NY>(simd, column);
            simd.store_rows::<NY>(column, &mut self.half[x * S::LANES..], AX * S::LANES);
        }
        let mut above = [zero; MAX_ALPHA];
        for y in 0..NY {
            let row = simd.load_rows::<AX>(&self.half[y * AX * S::LANES..], S::LANES);
            let mut row = transform::output::<S, AX, NX>(simd, row);
            for x in 0..NX {
                row[x] = simd.add(row[x], then.bias);
                if then.relu {
                    row[x] = simd.max(zero, row[x]);
                }
            }
            if !then.pool {
                simd.store_rows::<NX>(row, &mut self.cells[(y * COLUMNS + i * NX) * S::LANES..], S::LANES);
            } else if y % 2 == 0 {
                above = row;
            } else {
                for x in 0..NX / 2 {
                    let left = larger(simd, above[2 * x], row[2 * x]);
                    let right = larger(simd, above[2 * x + 1], row[2 * x + 1]);
                    // A pool has no −0.
                    let max = simd.add(larger(simd, left, right), zero);
                    simd.store(max, &mut self.cells[(y / 2 * COLUMNS + i * (NX / 2) + x) * S::LANES..]);
                }
            }
        }
    }

    /// The cells of the tiles `piece` of `target`, for the sink's filters `lanes`, into their rows.
    #[inline(always)]
    fn store<S: Simd, const N: usize>(
        &self,
        simd: S,
        target: &Target,
        pool: bool,
        piece: Range<usize>,
        lanes: Range<usize>,
        sink: &mut impl Sink,
    ) {
        let part = if pool { 2 } else { 1 };
        // Columns of the piece in the target's, and those of them that are wanted.
        let here =
            (piece.start - target.wanted.tiles.start) * N / part..(piece.end - target.wanted.tiles.start) * N / part;
        let columns = target.wanted.columns.start / part..target.wanted.columns.end / part;
        let wanted = here.start.max(columns.start)..here.end.min(columns.end);
        if wanted.is_empty() {
            return;
        }
        let rows = target.wanted.rows.start / part..target.wanted.rows.end / part;
        for first in (0..lanes.len()).step_by(8) {
            let eight = lanes.start + first..lanes.end.min(lanes.start + first + 8);
            let count = eight.len();
            let Eight { mut maps, pitch } = sink.maps(target, eight);
            for y in rows.clone() {
                let cells = &self.cells[y * COLUMNS * S::LANES..(y + 1) * COLUMNS * S::LANES];
                let row = (y - rows.start) * pitch;
                let mut x = wanted.start;
                while x < wanted.end {
                    // The last vector begins so that it is whole, where there is one before.
                    let whole = wanted.end - x >= S::LANES;
                    if !whole && wanted.len() >= S::LANES {
                        x = wanted.end - S::LANES;
                    }
                    let len = (wanted.end - x).min(S::LANES);
                    let vectors = simd.load_columns_apart(&cells[(x - here.start) * S::LANES + first..], S::LANES);
                    let to = row + x - columns.start..row + x - columns.start + len;
                    if len == S::LANES && count == 8 {
                        for i in 0..8 {
                            simd.store(vectors[i], &mut maps[i][to.clone()]);
                        }
                    } else {
                        for (map, &v) in maps.iter_mut().zip(&vectors).take(count) {
                            match len == S::LANES {
                                true => simd.store(v, &mut map[to.clone()]),
                                false => simd.store_partial(v, &mut map[to.clone()]),
                            }
                        }
                    }
                    x += S::LANES;
                }
            }
        }
    }
}
