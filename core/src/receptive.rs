//! Receptive fields: which input pixels a unit of a layer can see.

use serde::Serialize;
use switchback_kernels::Window;

use crate::network::{Network, NodeId};

/// The affine picture of a layer's receptive fields: unit (y, x) sees, along an axis, input pixels
/// `start + stride·y .. start + stride·y + size` (before clipping).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Field {
    /// `[height, width]` in input pixels.
    pub size: [usize; 2],
    /// Input pixels between neighbouring units; a fraction above a transposed convolution.
    pub stride: [f64; 2],
    /// Of unit (0, 0); negative where padding comes first.
    pub start: [f64; 2],
}

/// Every node's receptive field: the union over branches; the whole input after a global layer.
pub fn fields(_network: &Network) -> Vec<Field> {
    todo!()
}

/// The input pixels that the units in `window` of node `id` can see, clipped to the input. Exact, by integer window maps.
pub fn input_window(_network: &Network, _id: NodeId, _window: Window) -> Window {
    todo!()
}
