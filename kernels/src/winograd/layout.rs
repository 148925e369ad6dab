//! Where the transformed inputs V of some tiles lie.
//!
//! ```text
//! V   [panel of tiles][kc block of channels][ξ][channel][tile]    a panel of one ξ is what the micro-kernel reads as rows
//! ```
//! Tiles are dealt evenly to as few panels as possible, so none is padding. The places of ∞ (and of 0) are left out where the
//! last (the first) output of a tile is not wanted, as it is the only one they tell of: 14 × 14 outputs in tiles of 4 × 4 need
//! 529 products for each channel and filter instead of 576. Each ξ begins a cache line later than whole
//! powers of two would have it: α² streams at a distance that is a multiple of a cache's ways would throw each other out.

use std::ops::Range;

use super::PackedWinograd;
use super::input::{Slices, Strided};
use super::transform;
use crate::caches::Caches;
use crate::gemm::{Shape, Steps, share};
use crate::simd::{FMA_LATENCY, fma_rate};

/// Floats between the ends and beginnings of two ξ: a cache line, and room for a vector that is stored past the end.
pub(super) const GAP: usize = 16;

/// Neighbours of one row of tiles, and which of their outputs are wanted.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Among the tiles of a block; lines follow each other.
    pub(super) tiles: Range<usize>,
    /// Rows and columns of their outputs; even, where they are pooled.
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

/// Kinds of places ξ: the point along an axis is 0, which only the first output knows of, or ∞, which only the last one
/// does, or any other.
pub(super) const KINDS: usize = 9;

/// The kind of a place, row `y` and column `x` of `alpha`.
#[inline(always)]
pub(super) const fn kind(alpha: [usize; 2], y: usize, x: usize) -> usize {
    const fn side(alpha: usize, i: usize) -> usize {
        match i {
            0 if transform::has_zero(alpha) => 0,
            _ if transform::at_infinity(alpha, i) => 2,
            _ => 1,
        }
    }
    3 * side(alpha[0], y) + side(alpha[1], x)
}

/// Whether so many places, α along rows, are written side by side that the processor does not see by itself where each leads.
#[inline(always)]
pub(super) const fn spread(alpha: usize) -> bool {
    alpha > 4
}

/// Tiles whose products are made together.
struct Panel {
    tiles: Range<usize>,
    /// Of its lanes, those that places of each kind are needed for; nothing where all are.
    kept: Option<[u16; KINDS]>,
}

/// Where V of a block lies.
pub(super) struct Layout {
    tiles: usize,
    alpha: [usize; 2],
    steps: Steps,
    panels: Vec<Panel>,
}

/// A panel of tiles and a kc block of channels.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) panel: usize,
    pub(super) step: usize,
}

/// Some lanes, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Lanes {
    pub(super) count: usize,
    /// Whether they are the first ones.
    pub(super) first: bool,
    pub(super) lanes: [u32; 16],
}

impl Lanes {
    fn of(mask: u16) -> Self {
        let (mut lanes, mut count) = ([0; 16], 0);
        for lane in (0..16).filter(|lane| mask >> lane & 1 == 1) {
            lanes[count] = lane;
            count += 1;
        }
        Self { count, first: mask & mask.wrapping_add(1) == 0, lanes }
    }
}

impl Layout {
    /// For the tiles of `lines`; panels are made of neighbours where lines have equal length, `line`, and that takes no more
    /// of them.
    pub(super) fn new(packed: &PackedWinograd, lines: &[Wanted], line: usize, shape: Shape) -> Self {
        let most = shape.mr.min(shape.lanes);
        let tiles = lines.last().map_or(0, |line| line.tiles.end);
        let (each, flat) = (line.div_ceil(most).max(1), tiles.div_ceil(most).max(1));
        let straight = line > 0 && tiles / line * each <= flat;
        let (line, each) = if straight { (line, each) } else { (tiles, flat) };
        let range = |panel: usize| {
            let (first, some) = (panel / each * line, share(line, each, panel % each));
            first + some.start..first + some.end
        };
        let alpha = packed.alpha();
        let panels = (0..tiles.div_ceil(line.max(1)) * each).map(|panel| {
            let tiles = range(panel);
            Panel { kept: kept(packed, lines, &tiles, shape), tiles }
        });
        Self { tiles, alpha, steps: packed.filters.steps(), panels: panels.collect() }
    }

    /// Tiles of all panels.
    pub(super) fn tiles(&self) -> usize {
        self.tiles
    }

    pub(super) fn xis(&self) -> usize {
        self.alpha[0] * self.alpha[1]
    }

    pub(super) fn steps(&self) -> Steps {
        self.steps
    }

    pub(super) fn len(&self) -> usize {
        self.xis() * (self.steps.k() * self.tiles + self.panels() * self.steps.count() * GAP)
    }

    pub(super) fn panels(&self) -> usize {
        self.panels.len()
    }

    /// The tiles of a panel.
    #[inline(always)]
    pub(super) fn range(&self, panel: usize) -> Range<usize> {
        self.panels[panel].tiles.clone()
    }

    /// How many tiles of a panel places of each kind are needed for.
    pub(super) fn counts(&self, panel: usize) -> [usize; KINDS] {
        let Panel { tiles, kept } = &self.panels[panel];
        kept.map_or([tiles.len(); KINDS], |kept| kept.map(|mask| mask.count_ones() as usize))
    }

    /// The lanes of a panel that places of each kind are needed for; nothing where all are.
    pub(super) fn kept(&self, panel: usize) -> Option<[Lanes; KINDS]> {
        self.panels[panel].kept.map(|kept| kept.map(Lanes::of))
    }

    /// For places of each kind, where each tile stands among all if those of its panel that do not need them are left out;
    /// nothing where all do.
    pub(super) fn ranks(&self) -> Vec<[usize; KINDS]> {
        if self.panels.iter().all(|panel| panel.kept.is_none()) {
            return Vec::new();
        }
        let rank = |panel: &Panel, lane: usize| match panel.kept {
            Some(kept) => kept.map(|mask| panel.tiles.start + (mask & ((1 << lane) - 1)).count_ones() as usize),
            None => [panel.tiles.start + lane; KINDS],
        };
        self.panels.iter().flat_map(|panel| (0..panel.tiles.len()).map(move |lane| rank(panel, lane))).collect()
    }

    /// From ξ to ξ of a part.
    #[inline(always)]
    pub(super) fn stride(&self, part: Part) -> usize {
        self.steps.range(part.step).len() * self.range(part.panel).len() + GAP
    }

    #[inline(always)]
    pub(super) fn start(&self, part: Part) -> usize {
        let tiles = self.range(part.panel);
        let before = self.steps.k() * tiles.start + self.steps.range(part.step).start * tiles.len();
        self.xis() * (before + (part.panel * self.steps.count() + part.step) * GAP)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Part> + use<> {
        let steps = self.steps.count();
        (0..self.panels()).flat_map(move |panel| (0..steps).map(move |step| Part { panel, step }))
    }

    /// Whether V, which `threads` write, is better asked for before: it is more than what they wrote the last time and still have,
    /// and its places are [`spread`].
    pub(super) fn asks(&self, threads: usize) -> bool {
        spread(self.alpha[1]) && self.len() * size_of::<f32>() > Caches::get().l2 * threads * 2 / 3
    }

    /// V in tasks for `threads`: parts, or some channels of one each where parts are few and would leave threads idle.
    pub(super) fn tasks<'a>(&self, v: &'a mut [f32], threads: usize) -> Vec<InputTask<'a>> {
        let parts = self.panels() * self.steps.count();
        let even = parts.is_multiple_of(threads) || parts >= 4 * threads;
        let pieces = if even { 1 } else { threads };
        let (mut tasks, ask) = (Vec::with_capacity(parts * pieces), self.asks(threads));
        let mut rest = v;
        for part in self.all() {
            let stride = self.stride(part);
            let v = rest.split_off_mut(..self.xis() * stride).expect("all there");
            let (channels, counts) = (self.steps.range(part.step), self.counts(part.panel));
            if even {
                tasks.push(InputTask { part, v: Share::All(Strided { v, stride, ask }), channels });
                continue;
            }
            let mut xis: Vec<_> = v.chunks_exact_mut(stride).collect();
            for i in 0..pieces {
                let some = share(channels.len(), pieces, i);
                let channels = channels.start + some.start..channels.start + some.end;
                let len = |xi: usize| channels.len() * counts[kind(self.alpha, xi / self.alpha[1], xi % self.alpha[1])];
                let v = xis.iter_mut().enumerate();
                let v = v.map(|(i, xi)| xi.split_off_mut(..len(i)).expect("all there"));
                tasks.push(InputTask { part, v: Share::Some(Slices(v.collect())), channels });
            }
        }
        tasks
    }
}

/// Of the lanes of a panel of `tiles`, those that places of each kind are needed for: with a point of 0 where the first
/// output of m is wanted, with one of ∞ where the last is. Nothing where that is all of them, or so many that it would not pay to
/// sort them out.
fn kept(packed: &PackedWinograd, lines: &[Wanted], tiles: &Range<usize>, shape: Shape) -> Option<[u16; KINDS]> {
    /// Of how many products one must be left out.
    const PAYS: usize = 32;
    let (alpha, m) = (packed.alpha(), packed.tile.m());
    let (mut kept, mut lacks) = ([0; KINDS], 0);
    let first = lines.partition_point(|line| line.tiles.end <= tiles.start);
    for Wanted { tiles: line, rows, columns } in lines[first..].iter().take_while(|line| line.tiles.start < tiles.end) {
        let [from, to] = [line.start, line.end].map(|t| t.clamp(tiles.start, tiles.end) - tiles.start);
        let lanes = ((1u32 << to) - (1 << from)) as u16;
        // Windows end within the tiles at their edges.
        let begins = columns.start > 0 && line.start >= tiles.start;
        let ends = columns.end < line.len() * m[1] && line.end <= tiles.end;
        let columns = [lanes & !(u16::from(begins) << from), lanes, lanes & !(u16::from(ends) << (to - 1))];
        let rows = [rows.start == 0, true, rows.end == m[0]];
        lacks += usize::from(begins) + usize::from(ends);
        lacks += (usize::from(!rows[0]) + usize::from(!rows[2])) * (to - from);
        for (i, kept) in kept.iter_mut().enumerate() {
            *kept |= if rows[i / 3] { columns[i % 3] } else { 0 };
        }
    }
    // Each leaves out as many products as the other axis has places at most.
    if lacks * PAYS < alpha[0].min(alpha[1]) * tiles.len() {
        return None;
    }
    // Places of each kind along each axis.
    let places = alpha.map(|alpha| {
        let [zero, infinity] = [transform::has_zero(alpha), transform::has_infinity(alpha)].map(usize::from);
        [zero, alpha - zero - infinity, infinity]
    });
    // Fewer tiles take as long as those that keep the multiply-adds busy.
    let busy = (FMA_LATENCY * fma_rate(shape.lanes)).div_ceil(shape.vectors).min(tiles.len());
    let time = |mask: u16| if mask == 0 { 0 } else { busy.max(mask.count_ones() as usize) };
    let made: usize = (0..KINDS).map(|i| places[0][i / 3] * places[1][i % 3] * time(kept[i])).sum();
    let all = alpha[0] * alpha[1] * tiles.len();
    (made + all / PAYS <= all).then_some(kept)
}

/// What one task transforms: channels of a part.
pub(super) struct InputTask<'a> {
    pub(super) part: Part,
    pub(super) channels: Range<usize>,
    pub(super) v: Share<'a>,
}

/// Where they go.
pub(super) enum Share<'a> {
    All(Strided<'a>),
    Some(Slices<'a>),
}
