//! Strided views of channel maps, and of weights as they lie in a file.
//!
//! ```text
//! Maps: batch × channels × a window of a full map; cells of a row are adjacent
//!       image ─┬─ channel ─┬─ row ── x0 … x1
//!              └ strides[0]└ strides[1], rows strides[2] apart
//! ```
//! Coordinates are always those of the full map. What lies outside the full map is padding; what lies inside it but
//! outside the window is *absent*: a forward kernel that needs it panics, a backward kernel takes it as zero.

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

    /// All present cells of channel `c` of image `n` and what lies between and behind its rows, and how far apart these begin.
    #[inline]
    pub(crate) fn rows(&self, n: usize, c: usize) -> (&'a [T], usize) {
        let Layout { window, strides, .. } = self.layout;
        let cells = if window.is_empty() { &[] } else { &self.data[self.layout.offset(n, c, window.y0)..] };
        (cells, strides[2])
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
        let layout = self.layout;
        if layout.span() == 0 {
            return Vec::new();
        }
        let [image, channel, row] = layout.strides;
        let mut planes = Vec::with_capacity(layout.batch * layout.channels);
        let mut rest = self.data;
        let mut at = 0;
        for n in 0..layout.batch {
            for c in 0..layout.channels {
                let start = n * image + c * channel;
                let (_, tail) = rest.split_at_mut(start - at);
                let (data, tail) = tail.split_at_mut(layout.plane_span());
                at = start + layout.plane_span();
                rest = tail;
                planes.push(PlaneMut { image: n, channel: c, window: layout.window, stride: row, data });
            }
        }
        planes
    }
}

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

/// How a weight is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE single, little-endian.
    F32,
    /// IEEE half, little-endian.
    F16,
}

impl Dtype {
    /// Bytes of an element.
    pub const fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 => 2,
        }
    }
}

/// Weights as they lie in a file: little-endian bytes at any alignment.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    bytes: &'a [u8],
    dtype: Dtype,
}

impl<'a> Weights<'a> {
    /// `bytes` must be a whole number of elements.
    pub fn new(bytes: &'a [u8], dtype: Dtype) -> Self {
        assert!(bytes.len().is_multiple_of(dtype.size()), "{} bytes are no whole number of {dtype:?}", bytes.len());
        Self { bytes, dtype }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Has no elements.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How they are stored.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The raw bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Elements `from..to` alone.
    pub fn range(&self, from: usize, to: usize) -> Weights<'a> {
        Weights { bytes: &self.bytes[from * self.dtype.size()..to * self.dtype.size()], dtype: self.dtype }
    }

    /// Element `i`, widened.
    #[inline]
    pub fn get(&self, i: usize) -> f32 {
        match self.dtype {
            Dtype::F32 => f32::from_le_bytes(self.bytes[4 * i..4 * i + 4].try_into().expect("four bytes")),
            Dtype::F16 => f16_to_f32(u16::from_le_bytes(self.bytes[2 * i..2 * i + 2].try_into().expect("two bytes"))),
        }
    }

    /// All elements, widened.
    pub fn to_vec(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::F32 => {
                self.bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect()
            }
            Dtype::F16 => self
                .bytes
                .chunks_exact(2)
                .map(|b| f16_to_f32(u16::from_le_bytes(b.try_into().expect("two bytes"))))
                .collect(),
        }
    }
}

/// An IEEE half float, widened exactly (subnormals, infinities and NaN included).
pub fn f16_to_f32(h: u16) -> f32 {
    let sign = u32::from(h & 0x8000) << 16;
    let exponent = u32::from(h >> 10) & 0x1f;
    let mantissa = u32::from(h & 0x3ff);
    match exponent {
        // Subnormal: mantissa · 2⁻²⁴, exact in f32.
        0 => f32::from_bits(sign | (mantissa as f32 * 2f32.powi(-24)).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | mantissa << 13),
        e => f32::from_bits(sign | (e + 112) << 23 | mantissa << 13),
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
        for mut plane in MapsMut::with_layout(&mut data[start..], layout).into_planes() {
            for y in 1..3 {
                let expect = at(plane.image, plane.channel, y, 2);
                assert_eq!(plane.row_mut(y), &[copy[expect], copy[expect + 1]]);
            }
        }
    }

    #[test]
    fn half_floats_widen_exactly() {
        for (bits, value) in
            [(0x0000, 0.0), (0x8000, -0.0), (0x3c00, 1.0), (0xc000, -2.0), (0x0001, 5.960_464_5e-8), (0x7bff, 65504.0)]
        {
            assert_eq!(f16_to_f32(bits).to_bits(), f32::to_bits(value), "{bits:#x}");
        }
        assert!(f16_to_f32(0x7e00).is_nan());
        assert_eq!(f16_to_f32(0xfc00), f32::NEG_INFINITY);
    }

    #[test]
    #[should_panic(expected = "maps need")]
    fn strides_past_counting_are_refused() {
        let far = 1 << (usize::BITS - 1);
        let layout = Layout { strides: [far, 4, 2], ..Layout::contiguous(3, 1, [2, 2], Window::full([2, 2])) };
        Maps::with_layout(&[0.0; 12], layout);
    }
}
