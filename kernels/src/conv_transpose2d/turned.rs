//! The way back of a convolution of stride 1 as a convolution: filters turned round, channels in and out exchanged.
//!
//! ```text
//! out(c, y) = Σ w(o, c, k) · signal(o, y + p − k·d)        the tap k of the filter is tap (K − 1 − k) of the turned one,
//!                                                        its padding (K − 1)·d − p
//! ```
//! The sums are as long as all taps of all filters, and nothing lies between product and result.

use crate::Cpu;
use crate::conv2d::{self, Activation, Conv2d, PackedConv2d, conv2d};
use crate::geometry::{Geometry, Window};
use crate::view::{Dtype, Layout, Maps, MapsMut, Weights};
use crate::winograd::{self, PackedWinograd, Tile, winograd};

/// Turned filters.
#[derive(Debug)]
pub(super) struct Turned {
    /// Of the convolution whose way back this is.
    geometry: Geometry,
    /// Its channels exchanged; the padding depends on the window.
    conv: Conv2d,
    filters: Filters,
}

#[derive(Debug)]
enum Filters {
    Gemm(PackedConv2d),
    Winograd(PackedWinograd),
}

/// Whether the way back of `conv` is best run so: with few channels the tiles of the product would be low.
pub(super) fn pays(conv: &Conv2d) -> bool {
    conv.geometry.stride == [1, 1] && conv.in_channels / conv.groups >= 8
}

impl Turned {
    pub(super) fn new(cpu: &Cpu, conv: &Conv2d, weights: Weights<'_>, tile: Option<Tile>) -> Self {
        let Conv2d { in_channels, out_channels, groups, geometry } = *conv;
        assert_eq!(geometry.stride, [1, 1], "a convolution that takes steps has no turned filters");
        let (ins, outs, taps) = (in_channels / groups, out_channels / groups, geometry.kernel[0] * geometry.kernel[1]);
        let mut bytes = Vec::with_capacity(4 * weights.len());
        for (g, i) in (0..groups).flat_map(|g| (0..ins).map(move |i| (g, i))) {
            for o in g * outs..(g + 1) * outs {
                for tap in (0..taps).rev() {
                    bytes.extend_from_slice(&weights.get((o * ins + i) * taps + tap).to_le_bytes());
                }
            }
        }
        let turned = Weights::new(&bytes, Dtype::F32);
        let conv = Conv2d { in_channels: out_channels, out_channels: in_channels, groups, geometry };
        let filters = match tile {
            None => Filters::Gemm(conv2d::pack(cpu, &conv, turned, None)),
            Some(tile) => Filters::Winograd(winograd::pack(cpu, &conv, turned, None, tile)),
        };
        Self { geometry, conv, filters }
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.filters {
            Filters::Gemm(filters) => filters.bytes(),
            Filters::Winograd(filters) => filters.bytes(),
        }
    }

    /// As [`conv_transpose2d`](super::conv_transpose2d()).
    pub(super) fn run(&self, cpu: &Cpu, bias: Option<&[f32]>, signal: Maps<'_>, mut out: MapsMut<'_>) {
        let g = &self.geometry;
        let window = out.window();
        // Tiles count from the corner of the full map, whatever the window.
        let m = match &self.filters {
            Filters::Gemm(_) => [1, 1],
            Filters::Winograd(filters) => filters.tile().m(),
        };
        let full = out.full();
        let whole = |w: Window| {
            let end = |x: usize, i: usize| x.next_multiple_of(m[i]).min(full[i]);
            Window { y0: w.y0 / m[0] * m[0], x0: w.x0 / m[1] * m[1], y1: end(w.y1, 0), x1: end(w.x1, 1) }
        };
        let present = g.output_window(whole(window), signal.full()).intersect(signal.window());
        let reached = g.input_window(present, full).intersect(window);
        fill_beside(&mut out, reached, bias);
        if reached.is_empty() {
            return;
        }
        let tiles = whole(reached);
        let from = g.output_window(tiles, signal.full()).intersect(signal.window());
        // What the tiles read beside that is zero: padding, as far as the kernels know.
        let pads = |i: usize, out: [usize; 2], signal: [usize; 2]| {
            let reach = g.extent()[i] - 1;
            [signal[0] + reach - out[0] - g.pads[i], out[1] + g.pads[i] - signal[1]]
        };
        let [top, bottom] = pads(0, [tiles.y0, tiles.y1], [from.y0, from.y1]);
        let [left, right] = pads(1, [tiles.x0, tiles.x1], [from.x0, from.x1]);
        let geometry = Geometry { pads: [top, left, bottom, right], ..*g };
        let conv = Conv2d { geometry, ..self.conv };
        let signal = signal.crop(from);
        let input = Layout { full: [from.height(), from.width()], ..signal.layout() };
        let input = Maps::with_layout(signal.data(), Layout { window: Window::full(input.full), ..input });
        let layout = out.layout();
        let first = (reached.y0 - window.y0) * layout.strides[2] + reached.x0 - window.x0;
        let [y0, x0] = [reached.y0 - tiles.y0, reached.x0 - tiles.x0];
        let part = Window { y0, x0, y1: y0 + reached.height(), x1: x0 + reached.width() };
        let layout = Layout { full: [tiles.height(), tiles.width()], window: part, ..layout };
        let out = MapsMut::with_layout(&mut out.data_mut()[first..], layout);
        match &self.filters {
            Filters::Gemm(filters) => conv2d(cpu, &conv, filters, bias, Activation::None, input, out),
            Filters::Winograd(filters) => winograd(cpu, &conv, filters, bias, Activation::None, input, out),
        }
    }
}

/// The cells of `out` outside of `inner`: the bias, or zero.
fn fill_beside(out: &mut MapsMut<'_>, inner: Window, bias: Option<&[f32]>) {
    let window = out.window();
    if inner == window {
        return;
    }
    for n in 0..out.batch() {
        for c in 0..out.channels() {
            let value = bias.map_or(0.0, |bias| bias[c]);
            for y in window.y0..window.y1 {
                let row = out.row_mut(n, c, y);
                if !inner.is_empty() && (inner.y0..inner.y1).contains(&y) {
                    row[..inner.x0 - window.x0].fill(value);
                    row[inner.x1 - window.x0..].fill(value);
                } else {
                    row.fill(value);
                }
            }
        }
    }
}
