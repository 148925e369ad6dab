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

/// A rectangle of a map and of the padding around it: first row and column, which may lie before the map, height and
/// width, which may reach beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) at: [isize; 2],
    pub(super) size: [usize; 2],
}

impl From<Window> for Frame {
    fn from(w: Window) -> Self {
        Self { at: [w.y0 as isize, w.x0 as isize], size: [w.height(), w.width()] }
    }
}

/// Copies all channels of `frame` into `out`: the patch where there is one, the clean map around it, zero beyond it.
pub(super) fn gather(clean: &Tensor, patch: Option<&Maps<'_>>, frame: Frame, out: &mut [f32]) {
    let Shape { c: channels, h, w } = clean.shape;
    let [height, width] = frame.size;
    assert_eq!(out.len(), channels * height * width, "numbers of {channels} × {height} × {width}");
    if height * width == 0 {
        return;
    }
    let all = Window::full([h, w]);
    if frame == all.into() {
        // The commonest frames of vectors: one copy.
        match patch {
            None => return out.copy_from_slice(&clean.data[..channels * h * w]),
            Some(maps) if maps.layout() == Layout::contiguous(1, channels, [h, w], all) => {
                return out.copy_from_slice(&maps.data()[..channels * h * w]);
            }
            Some(_) => {}
        }
    }
    // Rows and columns of the frame: padding, clean, patch, clean, padding.
    let place = |at: usize, axis: usize| (at as isize - frame.at[axis]).clamp(0, frame.size[axis] as isize) as usize;
    let (top, bottom, left, right) = (place(0, 0), place(h, 0), place(0, 1), place(w, 1));
    let changed = patch.map_or(NOTHING, Maps::window);
    let (from, to) = (place(changed.x0, 1), place(changed.x1, 1));
    let (first, last) = match from < to {
        true => (place(changed.y0, 0), place(changed.y1, 0)),
        false => (top, top),
    };
    if left >= right || top >= bottom {
        return out.fill(0.0);
    }
    let column = |at: usize| (at as isize + frame.at[1]) as usize;
    for c in 0..channels {
        let plane = &mut out[c * height * width..];
        plane[..top * width].fill(0.0);
        let start = (c * h + (top as isize + frame.at[0]) as usize) * w + column(left);
        for i in top..bottom {
            let (row, line) = (i * width, start + (i - top) * w);
            // From left to right: what is laid may reach beyond its end, where the next thing is laid.
            pad(plane, row, left);
            if !(first..last).contains(&i) {
                lay(plane, row + left, right - left, &clean.data, line);
            } else if let Some(maps) = patch {
                let changes =
                    maps.layout().offset(0, c, (i as isize + frame.at[0]) as usize) + column(from) - changed.x0;
                lay(plane, row + left, from - left, &clean.data, line);
                lay(plane, row + from, to - from, maps.data(), changes);
                lay(plane, row + to, right - to, &clean.data, line + to - left);
            }
            pad(plane, row + right, width - right);
        }
        plane[bottom * width..height * width].fill(0.0);
    }
}

/// Numbers that are copied at a time: rows are short, and to call the system's function for each costs more than it does.
const PIECE: usize = 8;

/// `to[at..at + len]` becomes `from[first..first + len]`; up to the next whole piece what follows changes too.
#[inline(always)]
fn lay(to: &mut [f32], at: usize, len: usize, from: &[f32], first: usize) {
    let mut i = 0;
    while i < len {
        match (to.get_mut(at + i..at + i + PIECE), from.get(first + i..first + i + PIECE)) {
            (Some(to), Some(from)) => to.copy_from_slice(from),
            _ => return to[at + i..at + len].copy_from_slice(&from[first + i..first + len]),
        }
        i += PIECE;
    }
}

/// As [`lay`], of zeros.
#[inline(always)]
fn pad(to: &mut [f32], at: usize, len: usize) {
    let mut i = 0;
    while i < len {
        match to.get_mut(at + i..at + i + PIECE) {
            Some(to) => to.fill(0.0),
            None => return to[at + i..at + len].fill(0.0),
        }
        i += PIECE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean() -> Tensor {
        Tensor::single(Shape::new(2, 3, 4), (0..24).map(|i| i as f32 + 1.0).collect())
    }

    #[test]
    fn a_frame_is_padding_clean_and_patch() {
        let clean = clean();
        let data = [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0, -8.0];
        let patch = Maps::windowed(&data, 1, 2, [3, 4], Window { y0: 1, x0: 2, y1: 3, x1: 4 });
        let mut out = vec![9.0; 2 * 5 * 6];
        gather(&clean, Some(&patch), Frame { at: [-1, -1], size: [5, 6] }, &mut out);
        for (i, &found) in out.iter().enumerate() {
            let (c, y, x) = (i / 30, (i / 6 % 5) as isize - 1, (i % 6) as isize - 1);
            let inside = (0..3).contains(&y) && (0..4).contains(&x);
            let expected = match inside {
                false => 0.0,
                true if y >= 1 && x >= 2 => data[c * 4 + (y as usize - 1) * 2 + x as usize - 2],
                true => clean.channel(0, c)[y as usize * 4 + x as usize],
            };
            assert_eq!(found, expected, "channel {c}, row {y}, column {x}");
        }
        let mut one = [0.0; 2];
        gather(&clean, None, Frame::from(Window::cell([2, 3])), &mut one);
        assert_eq!(one, [12.0, 24.0]);
    }

    #[test]
    fn equal_borders_are_taken_away() {
        let clean = clean();
        let held = Window { y0: 0, x0: 1, y1: 3, x1: 4 };
        let mut data = vec![0.0; 18];
        gather(&clean, None, held.into(), &mut data);
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
