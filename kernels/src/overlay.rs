//! A rectangle of maps and of the padding around them, with the cells of a smaller window replaced.
//!
//! ```text
//! below            above            out
//! . . . . . .                       0 0 0 0 0     padding where the frame reaches beyond the map
//! . . . . . .         # #           0 . . . .
//! . . . . . .    +    # #      =    0 . # # .
//! . . . . . .                       0 . # # .
//! ```

use std::ops::Range;

use crate::Cpu;
use crate::geometry::Window;
use crate::simd::{Simd, SimdOp};
use crate::view::{Layout, Maps};

/// A rectangle of a map and of the padding around it: first row and column, which may lie before the map, height and
/// width, which may reach beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// First row and column.
    pub at: [isize; 2],
    /// Height and width.
    pub size: [usize; 2],
}

impl From<Window> for Frame {
    fn from(w: Window) -> Self {
        Self { at: [w.y0 as isize, w.x0 as isize], size: [w.height(), w.width()] }
    }
}

impl Frame {
    /// Where rows or columns (`axis` 0 or 1) `range` of the map stand in it, as far as they do.
    fn place(&self, axis: usize, range: Range<usize>) -> Range<usize> {
        let place = |at: usize| (at as isize - self.at[axis]).clamp(0, self.size[axis] as isize) as usize;
        place(range.start)..place(range.end)
    }
}

/// Copies all channels of `frame` into `out`, without gaps: `above` where it has cells, `below`, whole maps of one image,
/// around it, zero beyond them. On the calling thread.
///
/// # Example
///
/// ```
/// use switchback_kernels::overlay::{Frame, overlay};
/// use switchback_kernels::{Cpu, Maps, Window};
///
/// let below = [1.0, 2.0, 3.0, 4.0];
/// let above = Maps::windowed(&[9.0], 1, 1, [2, 2], Window::cell([1, 1]));
/// let mut out = [0.5; 6];
/// let frame = Frame { at: [0, 0], size: [2, 3] };
/// overlay(&Cpu::new(1), Maps::new(&below, 1, 1, [2, 2]), Some(above), frame, &mut out);
/// assert_eq!(out, [1.0, 2.0, 0.0, 3.0, 9.0, 0.0]);
/// ```
pub fn overlay(cpu: &Cpu, below: Maps<'_>, above: Option<Maps<'_>>, frame: Frame, out: &mut [f32]) {
    let (channels, full) = (below.channels(), below.full());
    let [height, width] = frame.size;
    assert_eq!(out.len(), channels * height * width, "numbers of {channels} × {height} × {width}");
    assert!(below.batch() == 1 && below.window() == Window::full(full), "whole maps of one image");
    if let Some(above) = above {
        assert_eq!([above.channels(), above.batch()], [channels, 1], "channels and images above");
        assert_eq!(above.full(), full, "the maps below and above");
    }
    if out.is_empty() {
        return;
    }
    // All of it lies without gaps on one side: one copy.
    let same = |maps: &Maps<'_>| {
        let alike = Layout::contiguous(1, channels, full, maps.window());
        frame == maps.window().into() && maps.layout() == alike
    };
    if let Some(maps) = above.or(Some(below)).filter(same) {
        return out.copy_from_slice(&maps.data()[..out.len()]);
    }
    cpu.level.dispatch(Rows { below, above, frame, out });
}

struct Rows<'a> {
    below: Maps<'a>,
    above: Option<Maps<'a>>,
    frame: Frame,
    out: &'a mut [f32],
}

impl SimdOp for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Rows { below, above, frame, out } = self;
        let [height, width] = frame.size;
        let [h, w] = below.full();
        // Rows and columns of the frame that are of the map, and those that are replaced.
        let (rows, columns) = (frame.place(0, 0..h), frame.place(1, 0..w));
        if rows.is_empty() || columns.is_empty() {
            return out.fill(0.0);
        }
        let changed = above.map_or(Window { y0: 0, x0: 0, y1: 0, x1: 0 }, |above| above.window());
        let (lines, inner) = (frame.place(0, changed.y0..changed.y1), frame.place(1, changed.x0..changed.x1));
        // The first column of the map that is in the frame.
        let first = (columns.start as isize + frame.at[1]) as usize;
        for (c, plane) in out.chunks_exact_mut(height * width).enumerate() {
            plane[..rows.start * width].fill(0.0);
            plane[rows.end * width..].fill(0.0);
            for i in rows.clone() {
                let y = (i as isize + frame.at[0]) as usize;
                let to = &mut plane[i * width..][..width];
                let from = &below.row(0, c, y)[first..][..columns.len()];
                if columns.len() < width {
                    copy(simd, &[], &mut to[..columns.start]);
                    copy(simd, &[], &mut to[columns.end..]);
                }
                let to = &mut to[columns.clone()];
                match above {
                    Some(above) if lines.contains(&i) && !inner.is_empty() => {
                        let (left, right) = (inner.start - columns.start, inner.end - columns.start);
                        let skip = (inner.start as isize + frame.at[1]) as usize - changed.x0;
                        copy(simd, &from[..left], &mut to[..left]);
                        copy(simd, &above.row(0, c, y)[skip..][..right - left], &mut to[left..right]);
                        copy(simd, &from[right..], &mut to[right..]);
                    }
                    _ => copy(simd, from, to),
                }
            }
        }
    }
}

/// `to` becomes `from`, or zero where there is none. Rows are short: to call the system's function for each costs more than
/// to copy it.
#[inline(always)]
fn copy<S: Simd>(simd: S, from: &[f32], to: &mut [f32]) {
    let zero = simd.splat(0.0);
    for (i, to) in to.chunks_mut(S::LANES).enumerate() {
        let from = if from.is_empty() { from } else { &from[i * S::LANES..][..to.len()] };
        match to.len() == S::LANES {
            true if from.is_empty() => simd.store(zero, to),
            true => simd.store(simd.load(from), to),
            false => simd.store_partial(simd.load_partial(from, 0.0), to),
        }
    }
}
