//! Integer window maps: which input cells an output window reads, which outputs an input window can change.
//!
//! ```text
//! output o reads input  o·stride − pad + t·dilation   for taps t in 0..kernel
//! ```

/// Half-open rectangle `[y0, y1) × [x0, x1)` of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// First row.
    pub y0: usize,
    /// First column.
    pub x0: usize,
    /// One past the last row.
    pub y1: usize,
    /// One past the last column.
    pub x1: usize,
}

impl Window {
    /// The whole of a map of `[height, width]`.
    pub const fn full(size: [usize; 2]) -> Self {
        Self { y0: 0, x0: 0, y1: size[0], x1: size[1] }
    }

    /// The single cell at `[y, x]`.
    pub const fn cell(at: [usize; 2]) -> Self {
        Self { y0: at[0], x0: at[1], y1: at[0] + 1, x1: at[1] + 1 }
    }

    /// Rows.
    pub const fn height(&self) -> usize {
        self.y1.saturating_sub(self.y0)
    }

    /// Columns.
    pub const fn width(&self) -> usize {
        self.x1.saturating_sub(self.x0)
    }

    /// Cells.
    pub const fn area(&self) -> usize {
        self.height() * self.width()
    }

    /// Has no cells.
    pub const fn is_empty(&self) -> bool {
        self.area() == 0
    }

    /// `[y0, x0, y1, x1]`.
    pub const fn to_array(self) -> [usize; 4] {
        [self.y0, self.x0, self.y1, self.x1]
    }

    /// The smallest window that covers both; an empty one adds nothing.
    pub fn union(self, other: Window) -> Window {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        Window {
            y0: self.y0.min(other.y0),
            x0: self.x0.min(other.x0),
            y1: self.y1.max(other.y1),
            x1: self.x1.max(other.x1),
        }
    }

    /// What both have; may be empty.
    pub fn intersect(self, other: Window) -> Window {
        let y0 = self.y0.max(other.y0);
        let x0 = self.x0.max(other.x0);
        Window { y0, x0, y1: self.y1.min(other.y1).max(y0), x1: self.x1.min(other.x1).max(x0) }
    }

    /// Every cell of `other` is in this one; an empty window is in all.
    pub fn contains(&self, other: Window) -> bool {
        other.is_empty() || self.intersect(other) == other
    }
}

/// How a kernel slides over a map: convolution and pooling alike. Pairs are `[y, x]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Taps.
    pub kernel: [usize; 2],
    /// Steps between outputs.
    pub stride: [usize; 2],
    /// Steps between taps.
    pub dilation: [usize; 2],
    /// Cells of padding: top, left, bottom, right.
    pub pads: [usize; 4],
}

impl Geometry {
    /// A square kernel, without dilation, equally padded on all sides.
    pub const fn square(kernel: usize, stride: usize, pad: usize) -> Self {
        Self { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], pads: [pad; 4] }
    }

    /// Input cells from the first tap to the last, per axis.
    pub fn extent(&self) -> [usize; 2] {
        [0, 1].map(|i| (self.kernel[i] - 1) * self.dilation[i] + 1)
    }

    /// Output `[height, width]` over an input of `size`; `None` where the kernel does not fit.
    ///
    /// `ceil` keeps a last window that hangs over the far border, so long as it starts inside the map or its near
    /// padding (the rule of Caffe, PyTorch and ONNX `ceil_mode`).
    pub fn out_size(&self, size: [usize; 2], ceil: bool) -> Option<[usize; 2]> {
        let mut out = [0; 2];
        for i in 0..2 {
            let (near, far) = (self.pads[i], self.pads[i + 2]);
            let free = (size[i] + near + far).checked_sub(self.extent()[i])?;
            let mut n = if ceil { free.div_ceil(self.stride[i]) } else { free / self.stride[i] } + 1;
            if ceil && (n - 1) * self.stride[i] >= size[i] + near {
                n -= 1;
            }
            out[i] = n;
        }
        Some(out)
    }

    /// The input cells that the outputs of `window` read, where none of them is padding before the first row or column;
    /// `None` for an empty window too.
    pub(crate) fn reach(&self, window: Window) -> Option<Window> {
        if window.is_empty() {
            return None;
        }
        let start = |i: usize, a: usize| (a * self.stride[i]).checked_sub(self.pads[i]);
        let (y0, x0) = (start(0, window.y0)?, start(1, window.x0)?);
        let end = |i: usize, from: usize, n: usize| from + (n - 1) * self.stride[i] + self.extent()[i];
        Some(Window { y0, x0, y1: end(0, y0, window.height()), x1: end(1, x0, window.width()) })
    }

    /// The input cells that the outputs of `window` read, clipped to an input of `size`; empty where they read padding only.
    pub fn input_window(&self, window: Window, size: [usize; 2]) -> Window {
        if window.is_empty() {
            return Window { y0: 0, x0: 0, y1: 0, x1: 0 };
        }
        let axis = |i: usize, a: usize, b: usize| {
            let lo = (a * self.stride[i]).saturating_sub(self.pads[i]).min(size[i]);
            let hi = ((b - 1) * self.stride[i] + self.extent()[i]).saturating_sub(self.pads[i]).min(size[i]);
            (lo, hi.max(lo))
        };
        let ((y0, y1), (x0, x1)) = (axis(0, window.y0, window.y1), axis(1, window.x0, window.x1));
        Window { y0, x0, y1, x1 }
    }

    /// The outputs, of a map of `out` cells, that read any input cell of `window`.
    ///
    /// The bounding rectangle: with a stride beyond the kernel or a dilation, some cells in it may read none.
    pub fn output_window(&self, window: Window, out: [usize; 2]) -> Window {
        if window.is_empty() {
            return Window { y0: 0, x0: 0, y1: 0, x1: 0 };
        }
        let axis = |i: usize, a: usize, b: usize| {
            // Output o covers o·s − p ..= o·s − p + extent − 1.
            let lo = (a + self.pads[i] + 1).saturating_sub(self.extent()[i]).div_ceil(self.stride[i]);
            let hi = (b - 1 + self.pads[i]) / self.stride[i] + 1;
            let lo = lo.min(out[i]);
            (lo, hi.min(out[i]).max(lo))
        };
        let ((y0, y1), (x0, x1)) = (axis(0, window.y0, window.y1), axis(1, window.x0, window.x1));
        Window { y0, x0, y1, x1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_sizes() {
        let conv1 = Geometry { pads: [1, 1, 1, 1], ..Geometry::square(7, 2, 0) };
        assert_eq!(conv1.out_size([224, 224], false), Some([110, 110]));
        assert_eq!(Geometry::square(3, 2, 0).out_size([110, 110], true), Some([55, 55]));
        assert_eq!(Geometry::square(3, 2, 0).out_size([13, 13], true), Some([6, 6]));
        assert_eq!(Geometry::square(5, 1, 0).out_size([4, 9], false), None);
    }

    #[test]
    fn ceil_drops_a_window_that_starts_in_the_far_padding() {
        // PyTorch's rule: the last window starts inside the input or its near padding.
        assert_eq!(Geometry::square(1, 2, 0).out_size([2, 2], true), Some([1, 1]));
        assert_eq!(Geometry::square(2, 3, 1).out_size([4, 4], true), Some([2, 2]));
    }

    #[test]
    fn window_maps_agree_with_brute_force() {
        for (k, s, d, p) in
            [(3, 1, 1, 1), (3, 2, 1, 0), (5, 2, 1, 2), (1, 2, 1, 0), (3, 1, 2, 2), (2, 3, 1, 1), (3, 4, 2, 3)]
        {
            let g = Geometry { kernel: [k; 2], stride: [s; 2], dilation: [d; 2], pads: [p; 4] };
            let size = 14;
            let [out, _] = g.out_size([size; 2], false).unwrap();
            let reads =
                |o: usize| (0..k).filter_map(move |t| (o * s + t * d).checked_sub(p)).filter(move |&i| i < size);
            for a in 0..out {
                for b in a + 1..=out {
                    let w = g.input_window(Window { y0: a, x0: a, y1: b, x1: b }, [size; 2]);
                    let cells: Vec<_> = (a..b).flat_map(reads).collect();
                    if let (Some(&lo), Some(&hi)) = (cells.iter().min(), cells.iter().max()) {
                        assert!(w.y0 <= lo && w.y1 > hi, "{g:?} {a}..{b}: {w:?} misses {lo}..={hi}");
                        if d == 1 {
                            assert_eq!((w.x0, w.x1), (lo, hi + 1), "{g:?} {a}..{b}");
                        }
                    }
                }
            }
            for a in 0..size {
                for b in a + 1..=size {
                    let w = g.output_window(Window { y0: a, x0: a, y1: b, x1: b }, [out; 2]);
                    for o in (0..out).filter(|&o| reads(o).any(|i| (a..b).contains(&i))) {
                        assert!((w.y0..w.y1).contains(&o), "{g:?} {a}..{b}: {w:?} misses {o}");
                    }
                }
            }
        }
    }
}
