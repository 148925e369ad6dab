//! Where the transformed inputs V of some tiles lie.
//!
//! ```text
//! V   [panel of nr tiles][kc block of channels][ξ][channel][tile]    a panel of one ξ is what the micro-kernel reads
//! ```
//! Each ξ begins a cache line later than whole powers of two would have it: α² streams at a distance that is a multiple of
//! a cache's ways would throw each other out.

use std::ops::Range;

use super::PackedWinograd;
use crate::gemm::{Shape, Steps};

/// Floats between the ends and beginnings of two ξ: a cache line.
pub(super) const GAP: usize = 16;

/// Where V of a block lies.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    tiles: usize,
    shape: Shape,
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
    pub(super) fn new(tiles: usize, shape: Shape, packed: &PackedWinograd) -> Self {
        Self { tiles, shape, xis: packed.products.len(), steps: packed.products[0].steps() }
    }

    /// Tiles of all panels.
    pub(super) fn tiles(&self) -> usize {
        self.tiles
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn xis(&self) -> usize {
        self.xis
    }

    pub(super) fn steps(&self) -> Steps {
        self.steps
    }

    pub(super) fn len(&self) -> usize {
        self.panels() * self.panel_len()
    }

    pub(super) fn panels(&self) -> usize {
        self.tiles.div_ceil(self.shape.nr())
    }

    fn panel_len(&self) -> usize {
        self.xis * (self.steps.k() * self.shape.nr() + self.steps.count() * GAP)
    }

    /// Tiles of a panel, rounded up to whole vectors.
    #[inline(always)]
    pub(super) fn width(&self, panel: usize) -> usize {
        let (nr, lanes) = (self.shape.nr(), self.shape.lanes);
        (self.tiles - panel * nr).min(nr).div_ceil(lanes) * lanes
    }

    /// From ξ to ξ of a part.
    #[inline(always)]
    pub(super) fn stride(&self, part: Part) -> usize {
        self.steps.range(part.step).len() * self.width(part.panel) + GAP
    }

    #[inline(always)]
    pub(super) fn start(&self, part: Part) -> usize {
        let before = self.steps.range(part.step).start * self.width(part.panel) + part.step * GAP;
        part.panel * self.panel_len() + self.xis * before
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
        let (mut rest, mut at) = (v, 0);
        for part in self.all() {
            let (start, stride) = (self.start(part), self.stride(part));
            let (_, tail) = rest.split_at_mut(start - at);
            let (v, tail) = tail.split_at_mut(self.xis * stride);
            (rest, at) = (tail, start + self.xis * stride);
            let (channels, width) = (self.steps.range(part.step), self.width(part.panel));
            let mut xis: Vec<_> = v.chunks_exact_mut(stride).collect();
            for i in 0..pieces {
                let end = |i: usize| channels.start + channels.len() * i / pieces;
                let channels = end(i)..end(i + 1);
                let v = xis.iter_mut().map(|xi| xi.split_off_mut(..channels.len() * width).expect("all there"));
                tasks.push(InputTask { part, v: v.collect(), channels });
            }
        }
        tasks
    }
}

/// What one task transforms: some channels of a part.
pub(super) struct InputTask<'a> {
    pub(super) part: Part,
    pub(super) channels: Range<usize>,
    /// Where they go, for each ξ.
    pub(super) v: Vec<&'a mut [f32]>,
}
