//! What differs from the clean run: for each square and node a window of all channels, and the maps around it.
//!
//! ```text
//! clean map          patch            what a kernel reads
//! . . . . . .                         0 0 0 0 0     padding where the window reaches beyond the map
//! . . . . . .         # #             0 . . . .
//! . . . . . .    +    # #        =    0 . # # .
//! . . . . . .                         0 . # # .
//! ```

use switchback_kernels::view::Layout;
use switchback_kernels::{Maps, Window};

use crate::pool::Pool;
use crate::tensor::{Shape, Tensor};

/// Nothing differs.
pub(super) const NOTHING: Window = Window { y0: 0, x0: 0, y1: 0, x1: 0 };

/// Where a square's numbers at one node lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patch {
    /// Which buffer of the node.
    pub(super) buffer: usize,
    /// First number in it.
    pub(super) offset: usize,
    /// The window whose numbers are stored, without gaps.
    pub(super) held: Window,
    /// The part of it that differs from the clean map; empty: nothing does.
    pub(super) window: Window,
}

impl Patch {
    /// Of a square that changes nothing.
    pub(super) const NONE: Patch = Patch { buffer: 0, offset: 0, held: NOTHING, window: NOTHING };
}

/// All squares' patches at one node.
#[derive(Debug, Default)]
pub(super) struct Patches {
    pub(super) buffers: Vec<Vec<f32>>,
    /// One a square.
    pub(super) patches: Vec<Patch>,
}

impl Patches {
    /// What differs at square `s`, of a node of `shape`; `None` where nothing does.
    pub(super) fn maps(&self, s: usize, shape: Shape) -> Option<Maps<'_>> {
        let Patch { buffer, offset, held, window } = self.patches[s];
        if window.is_empty() {
            return None;
        }
        let layout = Layout::contiguous(1, shape.c, shape.size(), held);
        let data = &self.buffers[buffer][offset..offset + layout.span()];
        Some(Maps::with_layout(data, layout).crop(window))
    }

    /// Gives the memory back.
    pub(super) fn release(&mut self, pool: &mut Pool) {
        self.buffers.drain(..).for_each(|b| pool.give(b));
        self.patches.clear();
    }

    /// Takes away from every patch those rows and columns at its borders that are bit for bit the clean ones.
    pub(super) fn trim(&mut self, s: usize, clean: &Tensor) {
        let Some(maps) = self.maps(s, clean.shape) else { return };
        self.patches[s].window = differing(&maps, &clean.maps());
    }
}

/// The smallest window of `maps` outside of which it equals `clean`.
fn differing(maps: &Maps<'_>, clean: &Maps<'_>) -> Window {
    let mut w = maps.window();
    let channels = maps.channels();
    let row_differs = |w: &Window, y: usize| {
        (0..channels).any(|c| {
            let old = &clean.row(0, c, y)[w.x0..w.x1];
            let new = &maps.row(0, c, y)[w.x0 - maps.window().x0..][..w.width()];
            new.iter().zip(old).fold(false, |d, (a, b)| d | (a.to_bits() != b.to_bits()))
        })
    };
    while w.y0 < w.y1 && !row_differs(&w, w.y0) {
        w.y0 += 1;
    }
    while w.y0 < w.y1 && !row_differs(&w, w.y1 - 1) {
        w.y1 -= 1;
    }
    if w.is_empty() {
        return NOTHING;
    }
    let column_differs = |w: &Window, x: usize| {
        let at = x - maps.window().x0;
        (0..channels).any(|c| (w.y0..w.y1).any(|y| maps.row(0, c, y)[at].to_bits() != clean.row(0, c, y)[x].to_bits()))
    };
    while w.x0 < w.x1 && !column_differs(&w, w.x0) {
        w.x0 += 1;
    }
    while w.x0 < w.x1 && !column_differs(&w, w.x1 - 1) {
        w.x1 -= 1;
    }
    w
}

#[cfg(test)]
mod tests {
    use switchback_kernels::Cpu;
    use switchback_kernels::overlay::overlay;

    use super::*;

    fn clean() -> Tensor {
        Tensor::single(Shape::new(2, 3, 4), (0..24).map(|i| i as f32 + 1.0).collect())
    }

    #[test]
    fn equal_borders_are_taken_away() {
        let clean = clean();
        let held = Window { y0: 0, x0: 1, y1: 3, x1: 4 };
        let mut data = vec![0.0; 18];
        overlay(&Cpu::new(1), clean.maps(), None, held.into(), &mut data);
        let mut patches =
            Patches { buffers: vec![data], patches: vec![Patch { buffer: 0, offset: 0, held, window: held }; 2] };
        patches.trim(0, &clean);
        assert_eq!(patches.patches[0].window, NOTHING);
        // Channel 1, row 1, column 2.
        patches.buffers[0][9 + 3 + 1] = -0.5;
        patches.trim(1, &clean);
        assert_eq!(patches.patches[1].window, Window::cell([1, 2]));
        assert_eq!(patches.maps(1, clean.shape).unwrap().row(0, 1, 1), [-0.5]);
    }
}
