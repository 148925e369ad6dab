//! Where the transformed inputs V of some tiles lie.
//!
//! ```text
//! V   [panel of nr tiles][kc block of channels][ξ][channel][tile]    a panel of one ξ is what the micro-kernel reads
//! ```
//! Each ξ begins a cache line later than whole powers of two would have it: α² streams at a distance that is a multiple of
//! a cache's ways would throw each other out.

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

    /// The parts of V, each to be written by one task.
    pub(super) fn parts(self, v: &mut [f32]) -> Vec<(Part, &mut [f32])> {
        let mut parts = Vec::with_capacity(self.panels() * self.steps.count());
        let (mut rest, mut at) = (v, 0);
        for part in self.all() {
            let (start, len) = (self.start(part), self.xis * self.stride(part));
            let (_, tail) = rest.split_at_mut(start - at);
            let (v, tail) = tail.split_at_mut(len);
            parts.push((part, v));
            (rest, at) = (tail, start + len);
        }
        parts
    }
}
