//! Strided views of channel maps; `planes` are single ones of them, `weights` what lies in a file.
//!
//! ```text
//! Maps: batch × channels × a window of a full map; cells of a row are adjacent
//!       image ─┬─ channel ─┬─ row ── x0 … x1
//!              └ strides[0]└ strides[1], rows strides[2] apart
//! ```
//! Coordinates are always those of the full map. What lies outside the full map is padding; what lies inside it but
//! outside the window is *absent*: a forward kernel that needs it panics, a backward kernel takes it as zero.

mod planes;
mod weights;

pub use planes::PlaneMut;
pub(crate) use planes::PlanesMut;
pub use weights::{Dtype, Weights, f16_to_f32};

use crate::geometry::Window;

/// A read-only batch of channel maps, of which a window is present.
#[derive(Clone, Copy, Debug)]
pub struct Maps<'a, T = f32> {
    data: &'a [T],
    layout: Layout,
}

/// A writable batch of channel maps, of which a window is present.
#[derive(Debug)]
pub struct MapsMut<'a, T = f32> {
    data: &'a mut [T],
    layout: Layout,
}

/// What both views share: extents and strides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Images.
    pub batch: usize,
    /// Maps of an image.
    pub channels: usize,
    /// Height and width of the whole map.
    pub full: [usize; 2],
    /// The part that is present.
    pub window: Window,
    /// Elements from an image, a channel, a row to the next.
    pub strides: [usize; 3],
}

impl Layout {
    /// Images, channels and rows of `window` packed without gaps.
    pub fn contiguous(batch: usize, channels: usize, full: [usize; 2], window: Window) -> Self {
        let row = window.width();
        let plane = row * window.height();
        Self { batch, channels, full, window, strides: [channels * plane, plane, row] }
    }

    /// Elements from the first to one past the last; `usize::MAX` where that is past counting.
    pub fn span(&self) -> usize {
        if self.batch == 0 || self.channels == 0 || self.window.is_empty() {
            return 0;
        }
        let [image, channel, _] = self.strides;
        let planes = (self.batch - 1).saturating_mul(image).saturating_add((self.channels - 1).saturating_mul(channel));
        planes.saturating_add(self.plane_span())
    }

    fn plane_span(&self) -> usize {
        if self.window.is_empty() {
            return 0;
        }
        (self.window.height() - 1).saturating_mul(self.strides[2]).saturating_add(self.window.width())
    }

    /// Panics unless planes are disjoint, the window is in the full map and `len` elements hold it all.
    fn check(&self, len: usize) {
        assert!(
            Window::full(self.full).contains(self.window),
            "window {:?} is not inside a map of {:?}",
            self.window,
            self.full
        );
        assert!(self.span() <= len, "maps need {} elements, the slice has {len}", self.span());
        if self.span() > 0 {
            let [image, channel, row] = self.strides;
            assert!(row >= self.window.width() || self.window.height() == 1, "rows overlap: stride {row}");
            assert!(channel >= self.plane_span() || self.channels == 1, "channels overlap: stride {channel}");
            let image_span = (self.channels - 1) * channel + self.plane_span();
            assert!(image >= image_span || self.batch == 1, "images overlap: stride {image}, span {image_span}");
        }
    }

    /// Where the row `y` of channel `c` of image `n` begins.
    #[inline]
    pub fn offset(&self, n: usize, c: usize, y: usize) -> usize {
        debug_assert!(n < self.batch && c < self.channels && (self.window.y0..self.window.y1).contains(&y));
        n * self.strides[0] + c * self.strides[1] + (y - self.window.y0) * self.strides[2]
    }
}

impl<'a, T> Maps<'a, T> {
    /// Whole maps without gaps: `data` is `batch × channels × full[0] × full[1]`.
    pub fn new(data: &'a [T], batch: usize, channels: usize, full: [usize; 2]) -> Self {
        Self::windowed(data, batch, channels, full, Window::full(full))
    }

    /// A window without gaps: `data` is `batch × channels × window.height() × window.width()`.
    pub fn windowed(data: &'a [T], batch: usize, channels: usize, full: [usize; 2], window: Window) -> Self {
        Self::with_layout(data, Layout::contiguous(batch, channels, full, window))
    }

    /// Any layout whose planes are disjoint; `data` starts at the first cell of the window.
    pub fn with_layout(data: &'a [T], layout: Layout) -> Self {
        layout.check(data.len());
        Self { data, layout }
    }

    /// Extents and strides.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Images.
    pub fn batch(&self) -> usize {
        self.layout.batch
    }

    /// Maps of an image.
    pub fn channels(&self) -> usize {
        self.layout.channels
    }

    /// Height and width of the whole map.
    pub fn full(&self) -> [usize; 2] {
        self.layout.full
    }

    /// The part that is present.
    pub fn window(&self) -> Window {
        self.layout.window
    }

    /// The elements, beginning with the window's first cell; see [`Layout::offset`].
    pub fn data(&self) -> &'a [T] {
        self.data
    }

    /// The present cells of row `y` of channel `c` of image `n`; element 0 is column `window().x0`.
    #[inline]
    pub fn row(&self, n: usize, c: usize, y: usize) -> &'a [T] {
        let start = self.layout.offset(n, c, y);
        &self.data[start..start + self.layout.window.width()]
    }

    /// All present cells of channel `c` of image `n` from row `y` on, with what lies between and behind its rows, and how far
    /// apart these begin.
    #[inline]
    pub(crate) fn rows(&self, n: usize, c: usize, y: usize) -> (&'a [T], usize) {
        let cells = if self.layout.window.is_empty() { &[] } else { &self.data[self.layout.offset(n, c, y)..] };
        (cells, self.layout.strides[2])
    }

    /// Panics unless all cells of `needed` are present.
    #[track_caller]
    pub(crate) fn check_holds(&self, needed: Window) {
        let window = self.layout.window;
        assert!(window.contains(needed), "needs {needed:?}, the input holds {window:?}");
    }

    /// Channels `from..to` alone.
    pub fn channel_range(&self, from: usize, to: usize) -> Maps<'a, T> {
        assert!(from <= to && to <= self.layout.channels, "channels {from}..{to} of {}", self.layout.channels);
        let layout = Layout { channels: to - from, ..self.layout };
        let start = if from == to { 0 } else { from * layout.strides[1] };
        Maps::with_layout(&self.data[start.min(self.data.len())..], layout)
    }

    /// The images `from..to` alone.
    pub fn image_range(&self, from: usize, to: usize) -> Maps<'a, T> {
        assert!(from <= to && to <= self.layout.batch, "images {from}..{to} of {}", self.layout.batch);
        let layout = Layout { batch: to - from, ..self.layout };
        Maps::with_layout(&self.data[(from * layout.strides[0]).min(self.data.len())..], layout)
    }

    /// The smaller `window` of the same maps.
    pub fn crop(&self, window: Window) -> Maps<'a, T> {
        assert!(self.layout.window.contains(window), "{window:?} is not inside {:?}", self.layout.window);
        let layout = Layout { window, ..self.layout };
        let start = if layout.span() == 0 {
            0
        } else {
            self.layout.offset(0, 0, window.y0) + window.x0 - self.layout.window.x0
        };
        Maps::with_layout(&self.data[start..], layout)
    }
}

impl<'a, T> MapsMut<'a, T> {
    /// Whole maps without gaps: `data` is `batch × channels × full[0] × full[1]`.
    pub fn new(data: &'a mut [T], batch: usize, channels: usize, full: [usize; 2]) -> Self {
        Self::windowed(data, batch, channels, full, Window::full(full))
    }

    /// A window without gaps: `data` is `batch × channels × window.height() × window.width()`.
    pub fn windowed(data: &'a mut [T], batch: usize, channels: usize, full: [usize; 2], window: Window) -> Self {
        Self::with_layout(data, Layout::contiguous(batch, channels, full, window))
    }

    /// Any layout whose planes are disjoint; `data` starts at the first cell of the window.
    pub fn with_layout(data: &'a mut [T], layout: Layout) -> Self {
        layout.check(data.len());
        Self { data, layout }
    }

    /// Extents and strides.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Images.
    pub fn batch(&self) -> usize {
        self.layout.batch
    }

    /// Maps of an image.
    pub fn channels(&self) -> usize {
        self.layout.channels
    }

    /// Height and width of the whole map.
    pub fn full(&self) -> [usize; 2] {
        self.layout.full
    }

    /// The part that is present.
    pub fn window(&self) -> Window {
        self.layout.window
    }

    /// The elements, beginning with the window's first cell.
    pub fn data_mut(&mut self) -> &mut [T] {
        self.data
    }

    /// The same maps for a shorter time.
    pub fn reborrow(&mut self) -> MapsMut<'_, T> {
        MapsMut { data: self.data, layout: self.layout }
    }

    /// The same maps, read-only.
    pub fn as_maps(&self) -> Maps<'_, T> {
        Maps { data: self.data, layout: self.layout }
    }

    /// The present cells of row `y` of channel `c` of image `n`; element 0 is column `window().x0`.
    #[inline]
    pub fn row_mut(&mut self, n: usize, c: usize, y: usize) -> &mut [T] {
        let start = self.layout.offset(n, c, y);
        &mut self.data[start..start + self.layout.window.width()]
    }

    /// Channels `from..to` alone.
    pub fn channel_range(self, from: usize, to: usize) -> MapsMut<'a, T> {
        assert!(from <= to && to <= self.layout.channels, "channels {from}..{to} of {}", self.layout.channels);
        let layout = Layout { channels: to - from, ..self.layout };
        let start = (from * layout.strides[1]).min(self.data.len());
        MapsMut::with_layout(&mut self.data[start..], layout)
    }

    /// One map each, to be handed to threads; in order of image, then channel.
    pub fn into_planes(self) -> Vec<PlaneMut<'a, T>> {
        self.planes().collect()
    }

    /// The same one after another, made when they are asked for.
    pub(crate) fn planes(self) -> PlanesMut<'a, T> {
        PlanesMut::new(self.data, self.layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_crops_and_planes_name_the_same_cells() {
        let data: Vec<usize> = (0..2 * 3 * 4 * 5).collect();
        let maps = Maps::new(&data, 2, 3, [4, 5]);
        let at = |n, c, y, x| ((n * 3 + c) * 4 + y) * 5 + x;
        assert_eq!(maps.row(1, 2, 3)[4], at(1, 2, 3, 4));
        let crop = maps.crop(Window { y0: 1, x0: 2, y1: 3, x1: 4 });
        assert_eq!(crop.row(1, 0, 2), &[at(1, 0, 2, 2), at(1, 0, 2, 3)]);
        assert_eq!(maps.channel_range(1, 3).image_range(1, 2).row(0, 1, 0)[0], at(1, 2, 0, 0));

        let mut data = data.clone();
        let copy = data.clone();
        let layout = crop.layout();
        let start = 5 + 2;
        let mut planes = MapsMut::with_layout(&mut data[start..], layout).planes();
        let mut seen = 0;
        for part in [0, 1, 2, 2, 1] {
            let (some, rest) = planes.split_at(part);
            planes = rest;
            assert_eq!(some.len(), part);
            for mut plane in some {
                assert_eq!([plane.image, plane.channel], [seen / 3, seen % 3]);
                seen += 1;
                for y in 1..3 {
                    let expect = at(plane.image, plane.channel, y, 2);
                    assert_eq!(plane.row_mut(y), &[copy[expect], copy[expect + 1]]);
                }
            }
        }
        assert_eq!((seen, planes.count()), (6, 0));
        let nothing = Layout { window: Window { x1: 2, ..layout.window }, ..layout };
        assert!(MapsMut::with_layout(&mut data, nothing).into_planes().is_empty());
    }

    #[test]
    #[should_panic(expected = "maps need")]
    fn strides_past_counting_are_refused() {
        let far = 1 << (usize::BITS - 1);
        let layout = Layout { strides: [far, 4, 2], ..Layout::contiguous(3, 1, [2, 2], Window::full([2, 2])) };
        Maps::with_layout(&[0.0; 12], layout);
    }
}
