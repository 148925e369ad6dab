//! What arrives at a node on the way back: a window of all its channels, zero outside.
//!
//! ```text
//! held    . . . . .      what is stored, without gaps
//! window    # #          the part that counts: borders that are zero are cut away where they lie
//! ```

use switchback_kernels::view::Layout;
use switchback_kernels::{Maps, MapsMut, Window};

use crate::pool::Pool;
use crate::tensor::Shape;

/// A window of a node's channels.
pub(super) struct Signal {
    pub(super) shape: Shape,
    held: Window,
    window: Window,
    /// At least the numbers of `held`.
    data: Vec<f32>,
}

impl Signal {
    /// With whatever numbers the buffer had.
    pub(super) fn unwritten(shape: Shape, window: Window, pool: &mut Pool) -> Self {
        Self { shape, held: window, window, data: pool.take(shape.c * window.area()) }
    }

    pub(super) fn zeros(shape: Shape, window: Window, pool: &mut Pool) -> Self {
        let mut signal = Self::unwritten(shape, window, pool);
        signal.numbers_mut().fill(0.0);
        signal
    }

    /// Gives its memory back.
    pub(super) fn release(self, pool: &mut Pool) {
        pool.give(self.data);
    }

    pub(super) fn window(&self) -> Window {
        self.window
    }

    /// Of one that was not cut: all its numbers.
    pub(super) fn numbers(&self) -> &[f32] {
        assert!(self.held == self.window, "{:?} of {:?} is not without gaps", self.window, self.held);
        &self.data[..self.shape.c * self.held.area()]
    }

    /// As [`Signal::numbers`].
    pub(super) fn numbers_mut(&mut self) -> &mut [f32] {
        assert!(self.held == self.window, "{:?} of {:?} is not without gaps", self.window, self.held);
        &mut self.data[..self.shape.c * self.held.area()]
    }

    /// The same numbers as another shape of as many.
    pub(super) fn reshaped(self, shape: Shape) -> Self {
        assert_eq!((self.numbers().len(), shape.len()), (shape.len(), self.shape.len()), "numbers");
        let full = Window::full(shape.size());
        Self { shape, held: full, window: full, data: self.data }
    }

    fn layout(&self) -> Layout {
        Layout::contiguous(1, self.shape.c, self.shape.size(), self.held)
    }

    pub(super) fn maps(&self) -> Maps<'_> {
        Maps::with_layout(&self.data, self.layout()).crop(self.window)
    }

    pub(super) fn maps_mut(&mut self) -> MapsMut<'_> {
        self.part_mut(self.window)
    }

    /// The cells of `part`, which must be among those that are held.
    pub(super) fn part_mut(&mut self, part: Window) -> MapsMut<'_> {
        assert!(self.held.contains(part), "{part:?} is not in {:?}", self.held);
        let layout = self.layout();
        let first = match part.is_empty() {
            true => 0,
            false => (part.y0 - self.held.y0) * layout.strides[2] + part.x0 - self.held.x0,
        };
        MapsMut::with_layout(&mut self.data[first..], Layout { window: part, ..layout })
    }

    /// Channels `from..from + shape.c` in a signal of their own.
    pub(super) fn channels(&self, from: usize, shape: Shape, pool: &mut Pool) -> Self {
        let mut part = Self::unwritten(shape, self.window, pool);
        let maps = self.maps().channel_range(from, from + shape.c);
        let area = self.window.area();
        for (c, to) in part.numbers_mut().chunks_exact_mut(area.max(1)).enumerate() {
            for (y, row) in (self.window.y0..).zip(to.chunks_exact_mut(self.window.width())) {
                row.copy_from_slice(maps.row(0, c, y));
            }
        }
        part
    }

    /// The same signal over a larger window.
    pub(super) fn widened(&self, window: Window, pool: &mut Pool) -> Self {
        assert!(window.contains(self.window), "{window:?} does not hold {:?}", self.window);
        let mut wide = Self::zeros(self.shape, window, pool);
        let maps = self.maps();
        let mut inner = wide.part_mut(self.window);
        for c in 0..self.shape.c {
            for y in self.window.y0..self.window.y1 {
                inner.row_mut(0, c, y).copy_from_slice(maps.row(0, c, y));
            }
        }
        wide
    }

    /// Cuts away the rows and columns at its borders that are zero; whether anything is left.
    pub(super) fn shrink(&mut self) -> bool {
        self.window = self.not_zero();
        !self.window.is_empty()
    }

    /// The smallest window outside of which it is zero.
    pub(super) fn not_zero(&self) -> Window {
        let maps = self.maps();
        let first = self.window.x0;
        let mut w = self.window;
        let row = |w: &Window, y: usize| {
            let zeros = |c| maps.row(0, c, y)[w.x0 - first..][..w.width()].iter().all(|&x| x == 0.0);
            (0..self.shape.c).all(zeros)
        };
        let column = |w: &Window, x: usize| {
            let zeros = |c| (w.y0..w.y1).all(|y| maps.row(0, c, y)[x - first] == 0.0);
            (0..self.shape.c).all(zeros)
        };
        while w.y0 < w.y1 && row(&w, w.y0) {
            w.y0 += 1;
        }
        if w.is_empty() {
            return w;
        }
        while row(&w, w.y1 - 1) {
            w.y1 -= 1;
        }
        while column(&w, w.x0) {
            w.x0 += 1;
        }
        while column(&w, w.x1 - 1) {
            w.x1 -= 1;
        }
        w
    }

    /// How many numbers of `window` are not zero; `None` where one of them is not finite.
    pub(super) fn count(&self, window: Window) -> Option<usize> {
        let maps = self.maps().crop(window);
        let (mut count, mut finite) = (0, true);
        for c in 0..self.shape.c {
            for y in window.y0..window.y1 {
                let row = maps.row(0, c, y);
                count += row.iter().map(|&x| u32::from(x != 0.0)).sum::<u32>() as usize;
                finite &= row.iter().fold(true, |finite, x| finite & x.is_finite());
            }
        }
        finite.then_some(count)
    }

    /// Channel and value of the one number that is not zero, where the window is one cell and there is only one.
    pub(super) fn lone(&self) -> Option<(usize, f32)> {
        if self.window.area() != 1 {
            return None;
        }
        let maps = self.maps();
        let mut some = (0..self.shape.c).map(|c| (c, maps.row(0, c, self.window.y0)[0])).filter(|(_, x)| *x != 0.0);
        let lone = some.next()?;
        some.next().is_none().then_some(lone)
    }
}
