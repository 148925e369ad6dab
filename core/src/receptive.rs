//! Receptive fields: which input pixels a unit of a layer can see.
//!
//! ```text
//! forward,  [`fields`]:        size += (extent − 1)·stride,  start −= pad·stride,  stride ·= step
//! backward, [`input_window`]:  the window of a node ─▶ the windows of its inputs ─▶ … ─▶ pixels
//! ```

use serde::Serialize;
use switchback_kernels::{Geometry, Window};

use crate::network::{Layer, Network, NodeId};
use crate::tensor::Shape;

/// The affine picture of a layer's receptive fields: unit (y, x) sees, along an axis, input pixels
/// `start + stride·y .. start + stride·y + size` (before clipping).
///
/// After a layer that sees the whole map (linear, global pooling, flattening) it is the whole input, with stride 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Field {
    /// `[height, width]` in input pixels.
    pub size: [usize; 2],
    /// Input pixels between neighbouring units; a fraction above a transposed convolution.
    pub stride: [f64; 2],
    /// Of unit (0, 0); negative where padding comes first.
    pub start: [f64; 2],
}

/// One axis of a field, before its size is rounded up.
#[derive(Clone, Copy)]
struct Axis {
    start: f64,
    stride: f64,
    size: f64,
}

/// Every node's receptive field: the union over branches; the whole input after a global layer.
pub fn fields(network: &Network) -> Vec<Field> {
    let input = network.input_shape();
    let whole = input.size().map(|n| Axis { start: 0.0, stride: 0.0, size: n as f64 });
    let mut axes: Vec<[Axis; 2]> = Vec::with_capacity(network.nodes().len());
    for node in network.nodes() {
        let below = node.inputs.first().map(|&i| axes[i]);
        let x = node.inputs.first().map_or(node.shape, |&i| network.node(i).shape);
        let field = match (&node.layer, below) {
            (Layer::Input { .. }, _) | (_, None) => [Axis { start: 0.0, stride: 1.0, size: 1.0 }; 2],
            (Layer::Conv2d { geometry, .. }, Some(f))
            | (Layer::MaxPool2d { geometry, .. } | Layer::AvgPool2d { geometry, .. }, Some(f)) => slide(f, geometry),
            (Layer::ConvTranspose2d { geometry, .. }, Some(f)) => slide_back(f, geometry),
            (Layer::Pad { pads, .. }, Some(f)) => {
                [0, 1].map(|i| Axis { start: f[i].start - pads[i] as f64 * f[i].stride, ..f[i] })
            }
            (Layer::Linear { .. } | Layer::GlobalAvgPool | Layer::GlobalMaxPool, Some(_)) => whole,
            (Layer::Flatten | Layer::Softmax { flat: true } | Layer::LogSoftmax { flat: true }, Some(f)) => {
                if x.is_spatial() { whole } else { f }
            }
            (Layer::Concat | Layer::Add, Some(first)) => {
                node.inputs[1..].iter().fold(first, |f, &i| union(f, axes[i], node.shape))
            }
            (
                Layer::Affine { .. }
                | Layer::Relu
                | Layer::LeakyRelu { .. }
                | Layer::Clip { .. }
                | Layer::Lrn { .. }
                | Layer::Identity
                | Layer::Softmax { flat: false }
                | Layer::LogSoftmax { flat: false },
                Some(f),
            ) => f,
        };
        axes.push(field);
    }
    axes.into_iter()
        .map(|f| Field {
            size: f.map(|a| a.size.ceil() as usize),
            stride: f.map(|a| a.stride),
            start: f.map(|a| a.start),
        })
        .collect()
}

fn slide(f: [Axis; 2], g: &Geometry) -> [Axis; 2] {
    [0, 1].map(|i| Axis {
        start: f[i].start - g.pads[i] as f64 * f[i].stride,
        stride: f[i].stride * g.stride[i] as f64,
        size: f[i].size + (g.extent()[i] - 1) as f64 * f[i].stride,
    })
}

/// Output y of a transposed convolution reads inputs from (y + pad − extent + 1) / step to (y + pad) / step.
fn slide_back(f: [Axis; 2], g: &Geometry) -> [Axis; 2] {
    [0, 1].map(|i| {
        let reach = (g.extent()[i] - 1) as f64;
        let stride = f[i].stride / g.stride[i] as f64;
        Axis { start: f[i].start + (g.pads[i] as f64 - reach) * stride, stride, size: f[i].size + reach * stride }
    })
}

/// The narrowest affine picture over maps of `shape` that holds both. Where the strides differ, the first edge is the
/// chord between the two outermost units: it lies before both.
fn union(a: [Axis; 2], b: [Axis; 2], shape: Shape) -> [Axis; 2] {
    [0, 1].map(|i| {
        let last = (shape.size()[i].max(1) - 1) as f64;
        let low = |y: f64| (a[i].start + a[i].stride * y).min(b[i].start + b[i].stride * y);
        let high = |y: f64| (a[i].start + a[i].stride * y + a[i].size).max(b[i].start + b[i].stride * y + b[i].size);
        let stride = if last == 0.0 { a[i].stride.max(b[i].stride) } else { (low(last) - low(0.0)) / last };
        Axis { start: low(0.0), stride, size: (high(0.0) - low(0.0)).max(high(last) - low(last)) }
    })
}

/// The input pixels that the units in `window` of node `id` can see, clipped to the input. Exact, by integer window maps.
pub fn input_window(network: &Network, id: NodeId, window: Window) -> Window {
    windows(network, id, window)[0]
}

/// For every node up to `id`, the cells that `window` of node `id` depends on; empty where there are none.
pub(crate) fn windows(network: &Network, id: NodeId, window: Window) -> Vec<Window> {
    let empty = Window { y0: 0, x0: 0, y1: 0, x1: 0 };
    let mut windows = vec![empty; id + 1];
    windows[id] = window;
    for at in (1..=id).rev() {
        if windows[at].is_empty() {
            continue;
        }
        for &input in &network.node(at).inputs {
            let below = reads(&network.node(at).layer, windows[at], network.node(input).shape);
            windows[input] = windows[input].union(below);
        }
    }
    windows
}

/// The cells of an input of `shape` that `layer` reads for the outputs in `window`.
pub(crate) fn reads(layer: &Layer, window: Window, shape: Shape) -> Window {
    let size = shape.size();
    match layer {
        Layer::Conv2d { geometry, .. } | Layer::MaxPool2d { geometry, .. } | Layer::AvgPool2d { geometry, .. } => {
            geometry.input_window(window, size)
        }
        Layer::ConvTranspose2d { geometry, .. } => geometry.output_window(window, size),
        Layer::Pad { pads, .. } => {
            let clip = |at: usize, pad: usize, end: usize| at.saturating_sub(pad).min(end);
            Window {
                y0: clip(window.y0, pads[0], size[0]),
                x0: clip(window.x0, pads[1], size[1]),
                y1: clip(window.y1, pads[0], size[0]),
                x1: clip(window.x1, pads[1], size[1]),
            }
        }
        Layer::Input { .. }
        | Layer::Linear { .. }
        | Layer::GlobalAvgPool
        | Layer::GlobalMaxPool
        | Layer::Flatten
        | Layer::Softmax { flat: true }
        | Layer::LogSoftmax { flat: true } => Window::full(size),
        Layer::Affine { .. }
        | Layer::Relu
        | Layer::LeakyRelu { .. }
        | Layer::Clip { .. }
        | Layer::Lrn { .. }
        | Layer::Identity
        | Layer::Concat
        | Layer::Add
        | Layer::Softmax { flat: false }
        | Layer::LogSoftmax { flat: false } => window,
    }
}
