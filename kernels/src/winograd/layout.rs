//! Where the transformed inputs V of some tiles lie.
//!
//! ```text
//! V   [panel of tiles][kc block of channels][ξ][channel][tile]    a panel of one ξ is what the micro-kernel reads as rows
//! ```
//! Tiles are dealt evenly to as few panels as possible, so none is padding. Each ξ begins a cache line later than whole
//! powers of two would have it: α² streams at a distance that is a multiple of a cache's ways would throw each other out.

use std::ops::Range;

use super::filters::Filters;
use super::input::{Slices, Strided};
use crate::gemm::{Shape, Steps};

/// Floats between the ends and beginnings of two ξ: a cache line, and room for a vector that is stored past the end.
pub(super) const GAP: usize = 16;

/// Where V of a block lies.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    tiles: usize,
    /// Tiles of a line: neighbours, of which panels are made where that takes no more of them.
    line: usize,
    /// Panels of a line.
    each: usize,
    xis: usize,
    steps: Steps,
}

/// A panel of tiles and a kc block of channels.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) panel: usize,
    pub(super) step: usize,
}

impl Layout {
    /// For `tiles` tiles, lines of `line`.
    pub(super) fn new(tiles: usize, line: usize, shape: Shape, filters: &Filters) -> Self {
        let most = shape.mr.min(shape.lanes);
        let (each, flat) = (line.div_ceil(most).max(1), tiles.div_ceil(most).max(1));
        let straight = line > 0 && tiles / line * each <= flat;
        let (line, each) = if straight { (line, each) } else { (tiles, flat) };
        Self { tiles, line, each, xis: filters.xis(), steps: filters.steps() }
    }

    /// Tiles of all panels.
    pub(super) fn tiles(&self) -> usize {
        self.tiles
    }

    pub(super) fn xis(&self) -> usize {
        self.xis
    }

    pub(super) fn steps(&self) -> Steps {
        self.steps
    }

    pub(super) fn len(&self) -> usize {
        self.xis * (self.steps.k() * self.tiles + self.panels() * self.steps.count() * GAP)
    }

    pub(super) fn panels(&self) -> usize {
        self.tiles.div_ceil(self.line.max(1)) * self.each
    }

    /// The tiles of a panel.
    #[inline(always)]
    pub(super) fn range(&self, panel: usize) -> Range<usize> {
        let (line, i) = (panel / self.each * self.line, panel % self.each);
        line + self.line * i / self.each..line + self.line * (i + 1) / self.each
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
        self.xis * (before + (part.panel * self.steps.count() + part.step) * GAP)
    }

    pub(super) fn all(self) -> impl Iterator<Item = Part> {
        (0..self.panels()).flat_map(move |panel| (0..self.steps.count()).map(move |step| Part { panel, step }))
    }

    /// V in tasks for `threads`: parts, or some channels of one each where parts are few and would leave threads idle.
    pub(super) fn tasks(self, v: &mut [f32], threads: usize) -> Vec<InputTask<'_>> {
        let parts = self.panels() * self.steps.count();
        let even = parts.is_multiple_of(threads) || parts >= 4 * threads;
        let pieces = if even { 1 } else { threads };
        let mut tasks = Vec::with_capacity(parts * pieces);
        let mut rest = v;
        for part in self.all() {
            let stride = self.stride(part);
            let v = rest.split_off_mut(..self.xis * stride).expect("all there");
            let (channels, width) = (self.steps.range(part.step), self.range(part.panel).len());
            if even {
                tasks.push(InputTask { part, v: Share::All(Strided { v, stride }), channels });
                continue;
            }
            let mut xis: Vec<_> = v.chunks_exact_mut(stride).collect();
            for i in 0..pieces {
                let end = |i: usize| channels.start + channels.len() * i / pieces;
                let channels = end(i)..end(i + 1);
                let v = xis.iter_mut().map(|xi| xi.split_off_mut(..channels.len() * width).expect("all there"));
                tasks.push(InputTask { part, v: Share::Some(Slices(v.collect())), channels });
            }
        }
        tasks
    }
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
