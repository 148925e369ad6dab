//! Convolutions of what squares change: as few products as can be for all squares of a chunk.
//!
//! ```text
//! im2col      windows of one size are one batch            ┌──┐┌──┐┌──┐   ┌───┐┌───┐
//! Winograd    the tiles of all windows, one after the other, whatever their sizes
//! ```

use switchback_kernels::conv_pool2d::Filters;
use switchback_kernels::conv2d::{Activation, Conv2d, conv2d, conv2d_add};
use switchback_kernels::overlay::Frame;
use switchback_kernels::view::Layout;
use switchback_kernels::winograd::{self, PackedWinograd, Piece, winograd_pieces};
use switchback_kernels::{Geometry, Maps, MapsMut, Window};

use super::{Spread, changes};
use crate::error::Result;
use crate::network::NodeId;
use crate::occlusion::patch::{Patch, Patches};
use crate::plan::Step;
use crate::session::packed;

impl Spread<'_> {
    /// A convolution with what is fused to it: squares whose windows have the same size run as one batch.
    pub(super) fn convolve(&mut self, step: &Step, input: NodeId) -> Result<Patches> {
        let clean = self.clean;
        let network = clean.network();
        let node = network.node(step.node);
        let conv = packed::conv(network, step.node);
        let shape = node.shape;
        let (filters, bias) = clean.session.packed().filters(step)?;
        let activation = if step.relu { Activation::Relu } else { Activation::None };
        if let Filters::Winograd(filters) = filters {
            return Ok(self.convolve_tiles(step, input, filters, bias, activation));
        }

        let other = step.add.map(|other| clean.source(other));
        let window = |s: usize| {
            let window = changes(&node.layer, self.window(input, s), shape);
            other.map_or(window, |other| window.union(self.window(other, s)))
        };
        let windows: Vec<Window> = (0..self.squares).map(window).collect();
        let size = |s: usize| [windows[s].height(), windows[s].width()];
        let mut order: Vec<usize> = (0..self.squares).filter(|&s| !windows[s].is_empty()).collect();
        order.sort_by_key(|&s| size(s));
        let mut patches = Patches { buffers: Vec::new(), patches: vec![Patch::NONE; self.squares] };

        // Padding is part of the copies.
        let Geometry { stride, pads, .. } = conv.geometry;
        let inner = Conv2d { geometry: Geometry { pads: [0; 4], ..conv.geometry }, ..conv };
        let extent = conv.geometry.extent();
        for batch in order.chunk_by(|&a, &b| size(a) == size(b)) {
            let out = size(batch[0]);
            let reads = [0, 1].map(|i| (out[i] - 1) * stride[i] + extent[i]);
            let each = conv.in_channels * reads[0] * reads[1];
            let mut copies = self.pool.take(batch.len() * each);
            for (&s, copy) in batch.iter().zip(copies.chunks_exact_mut(each)) {
                let corner = [windows[s].y0, windows[s].x0];
                let at = [0, 1].map(|i| (corner[i] * stride[i]) as isize - pads[i] as isize);
                self.gather(input, s, Frame { at, size: reads }, copy);
            }
            let cells = shape.c * out[0] * out[1];
            let mut buffer = self.pool.take(batch.len() * cells);
            let from = Maps::new(&copies[..batch.len() * each], batch.len(), conv.in_channels, reads);
            let layout = Layout::contiguous(batch.len(), shape.c, out, Window::full(out));
            if let Some(other) = other {
                for (&s, sum) in batch.iter().zip(buffer.chunks_exact_mut(cells)) {
                    self.gather(other, s, windows[s].into(), sum);
                }
            }
            let to = MapsMut::with_layout(&mut buffer[..batch.len() * cells], layout);
            match (&filters, other) {
                (Filters::Gemm(filters), Some(_)) => conv2d_add(self.cpu, &inner, filters, bias, activation, from, to),
                (Filters::Gemm(filters), None) => conv2d(self.cpu, &inner, filters, bias, activation, from, to),
                (Filters::Winograd(_), _) => unreachable!("computed as tiles"),
            }
            for (n, &s) in batch.iter().enumerate() {
                let (held, offset) = (windows[s], n * cells);
                patches.patches[s] = Patch { buffer: patches.buffers.len(), offset, held, window: held };
            }
            patches.buffers.push(buffer);
            self.pool.give(copies);
        }
        Ok(patches)
    }

    /// A Winograd convolution: the tiles of all squares are one product, each square's counted from the corner of its window.
    fn convolve_tiles(
        &mut self,
        step: &Step,
        input: NodeId,
        filters: &PackedWinograd,
        bias: Option<&[f32]>,
        activation: Activation,
    ) -> Patches {
        assert!(step.add.is_none(), "plans fuse no sum with it");
        let network = self.clean.network();
        let node = network.node(step.node);
        let conv = packed::conv(network, step.node);
        let Geometry { stride, pads, .. } = conv.geometry;
        let mut patches = Patches::default();
        let (mut pieces, mut frames) = (Vec::new(), Vec::new());
        let (mut from, mut to) = (0, 0);
        for s in 0..self.squares {
            let window = changes(&node.layer, self.window(input, s), node.shape);
            patches.patches.push(Patch { buffer: 0, offset: to, held: window, window });
            if window.is_empty() {
                continue;
            }
            let out = [window.height(), window.width()];
            let size = winograd::frame(&conv, filters.tile(), out);
            let corner = [window.y0 * stride[0], window.x0 * stride[1]];
            let at = [0, 1].map(|i| corner[i] as isize - pads[i] as isize);
            pieces.push(Piece { from, to, size: out });
            frames.push((s, Frame { at, size }));
            from += conv.in_channels * size[0] * size[1];
            to += conv.out_channels * window.area();
        }
        if pieces.is_empty() {
            return patches;
        }
        let mut copies = self.pool.take(from + winograd::SLACK);
        let mut rest = &mut copies[..from];
        for (s, frame) in frames {
            let (copy, after) = rest.split_at_mut(conv.in_channels * frame.size[0] * frame.size[1]);
            self.gather(input, s, frame, copy);
            rest = after;
        }
        let mut buffer = self.pool.take(to);
        winograd_pieces(self.cpu, &conv, filters, bias, activation, &copies, &pieces, &mut buffer);
        patches.buffers.push(buffer);
        self.pool.give(copies);
        patches
    }
}
