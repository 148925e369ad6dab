//! Single maps of a writable batch, which threads can share out.

use super::Layout;
use crate::geometry::Window;

/// One channel map of one image, of which a window is present.
#[derive(Debug)]
pub struct PlaneMut<'a, T = f32> {
    /// Which image.
    pub image: usize,
    /// Which channel.
    pub channel: usize,
    /// The part that is present.
    pub window: Window,
    stride: usize,
    data: &'a mut [T],
}

impl<'a, T> PlaneMut<'a, T> {
    /// The rows above row `y` of the map and those from there on; `y` must not lie outside of the window.
    pub fn split_at(self, y: usize) -> (PlaneMut<'a, T>, PlaneMut<'a, T>) {
        let Self { image, channel, window, stride, data } = self;
        assert!(window.y0 <= y && y <= window.y1, "row {y} is not in {window:?}");
        let at = ((y - window.y0) * stride).min(data.len());
        let (above, below) = data.split_at_mut(at);
        let part = |window, data| PlaneMut { image, channel, window, stride, data };
        (part(Window { y1: y, ..window }, above), part(Window { y0: y, ..window }, below))
    }

    /// The present cells of row `y`; element 0 is column `window.x0`.
    #[inline(always)]
    pub fn row_mut(&mut self, y: usize) -> &mut [T] {
        let start = (y - self.window.y0) * self.stride;
        &mut self.data[start..start + self.window.width()]
    }

    /// All present cells from those of row `y` on, and how far apart rows begin.
    #[inline(always)]
    pub(crate) fn rows_mut(&mut self, y: usize) -> (&mut [T], usize) {
        (&mut self.data[(y - self.window.y0) * self.stride..], self.stride)
    }

    /// Those of row `y` and of the next, which must be in the window, too.
    #[inline]
    pub fn row_pair_mut(&mut self, y: usize) -> [&mut [T]; 2] {
        let width = self.window.width();
        let (rows, stride) = self.rows_mut(y);
        let (row, next) = rows.split_at_mut(stride);
        [&mut row[..width], &mut next[..width]]
    }
}

/// Maps of a batch that are made when they are asked for, in order of image, then channel.
#[derive(Debug)]
pub(crate) struct PlanesMut<'a, T = f32> {
    layout: Layout,
    /// From somewhere between the end of the map before and the start of the next on.
    data: &'a mut [T],
    /// Where that is, from the first cell of the batch.
    at: usize,
    /// Which of the batch's maps is the next.
    image: usize,
    channel: usize,
    left: usize,
}

impl<'a, T> PlanesMut<'a, T> {
    /// All of a batch that lies in `data` as `layout` says; none where the window has no cells.
    pub(super) fn new(data: &'a mut [T], layout: Layout) -> Self {
        let left = if layout.span() == 0 { 0 } else { layout.batch * layout.channels };
        Self { layout, data, at: 0, image: 0, channel: 0, left }
    }

    /// The next `n`, which must be there, and those behind them.
    pub(crate) fn split_at(self, n: usize) -> (Self, Self) {
        let Self { layout, data, at, image, channel, left } = self;
        assert!(n <= left, "{n} of {left} maps");
        let behind = image * layout.channels + channel + n;
        let [image_behind, channel_behind] = match layout.channels {
            0 => [0, 0],
            channels => [behind / channels, behind % channels],
        };
        let start = image_behind * layout.strides[0] + channel_behind * layout.strides[1];
        let (some, rest) = data.split_at_mut(if n < left { start - at } else { data.len() });
        let first = Self { layout, data: some, at, image, channel, left: n };
        (first, Self { data: rest, at: start, image: image_behind, channel: channel_behind, left: left - n, layout })
    }
}

impl<'a, T> Iterator for PlanesMut<'a, T> {
    type Item = PlaneMut<'a, T>;

    #[inline]
    fn next(&mut self) -> Option<PlaneMut<'a, T>> {
        self.left = self.left.checked_sub(1)?;
        let Layout { channels, window, strides, .. } = self.layout;
        let (image, channel) = (self.image, self.channel);
        let (start, span) = (image * strides[0] + channel * strides[1], self.layout.plane_span());
        let (data, rest) = std::mem::take(&mut self.data)[start - self.at..].split_at_mut(span);
        (self.data, self.at) = (rest, start + span);
        (self.image, self.channel) = if channel + 1 < channels { (image, channel + 1) } else { (image + 1, 0) };
        Some(PlaneMut { image, channel, window, stride: strides[2], data })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for PlanesMut<'_, T> {}
