//! What a network costs: parameters, and multiply-accumulates of one picture.
//!
//! ```text
//! convolution   macs = outputs · C/groups · kh · kw      transposed: inputs · out_channels/groups · kh · kw
//! linear        macs = inputs · outputs                  affine:     one an element
//! ```
//! Taps that fall on padding count, as everywhere in the field. Layers without weights count nothing.

use std::collections::HashMap;

use super::layer::{Layer, WeightId};
use super::{Network, NodeId};
use crate::tensor::Shape;

/// Of one node and one picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Learnt numbers that the node reads.
    pub parameters: u64,
    /// Multiply-accumulates.
    pub macs: u64,
}

/// The cost of node `id`.
pub fn count(network: &Network, id: NodeId) -> Count {
    let macs = macs(network, id);
    Count { parameters: weights(network, id).iter().map(|&(_, n)| n).sum(), macs }
}

/// Learnt numbers of the whole network; a weight that several nodes read counts once.
pub fn parameters(network: &Network) -> u64 {
    let mut seen: HashMap<WeightId, u64> = HashMap::new();
    for id in 0..network.nodes().len() {
        seen.extend(weights(network, id));
    }
    seen.values().sum()
}

/// Multiply-accumulates of the whole network.
pub fn total_macs(network: &Network) -> u64 {
    (0..network.nodes().len()).map(|id| macs(network, id)).sum()
}

/// Bytes of every node's maps for one picture: what a run that keeps everything holds.
pub fn activation_bytes(network: &Network) -> u64 {
    network.nodes().iter().map(|n| 4 * n.shape.len() as u64).sum()
}

/// The weights that node `id` reads and how many numbers each holds.
fn weights(network: &Network, id: NodeId) -> Vec<(WeightId, u64)> {
    let x = input(network, id);
    let with_bias = |weight: WeightId, numbers: usize, bias: Option<WeightId>, outputs: usize| {
        let mut all = vec![(weight, numbers as u64)];
        all.extend(bias.map(|b| (b, outputs as u64)));
        all
    };
    match &network.node(id).layer {
        Layer::Conv2d { geometry, out_channels, groups, weight, bias } => {
            let numbers = out_channels * (x.c / groups) * geometry.kernel[0] * geometry.kernel[1];
            with_bias(*weight, numbers, *bias, *out_channels)
        }
        Layer::ConvTranspose2d { geometry, out_channels, groups, weight, bias, .. } => {
            let numbers = x.c * (out_channels / groups) * geometry.kernel[0] * geometry.kernel[1];
            with_bias(*weight, numbers, *bias, *out_channels)
        }
        Layer::Linear { outputs, weight, bias, .. } => with_bias(*weight, x.len() * outputs, *bias, *outputs),
        Layer::Affine { scale, shift } => vec![(*scale, x.c as u64), (*shift, x.c as u64)],
        _ => Vec::new(),
    }
}

fn macs(network: &Network, id: NodeId) -> u64 {
    let (x, out) = (input(network, id), network.node(id).shape);
    let macs = match &network.node(id).layer {
        Layer::Conv2d { geometry, groups, .. } => out.len() * (x.c / groups) * geometry.kernel[0] * geometry.kernel[1],
        Layer::ConvTranspose2d { geometry, out_channels, groups, .. } => {
            x.len() * (out_channels / groups) * geometry.kernel[0] * geometry.kernel[1]
        }
        Layer::Linear { outputs, .. } => x.len() * outputs,
        Layer::Affine { .. } => x.len(),
        _ => 0,
    };
    macs as u64
}

fn input(network: &Network, id: NodeId) -> Shape {
    network.node(id).inputs.first().map_or(Shape::new(0, 0, 0), |&i| network.node(i).shape)
}

#[cfg(test)]
mod tests {
    use switchback_kernels::Geometry;

    use super::*;
    use crate::network::NodeSpec;

    fn node(name: &str, layer: Layer, inputs: &[NodeId]) -> NodeSpec {
        NodeSpec { name: name.into(), layer, inputs: inputs.to_vec() }
    }

    fn conv(geometry: Geometry, out_channels: usize, groups: usize, weight: usize) -> Layer {
        Layer::Conv2d { geometry, out_channels, groups, weight: WeightId(weight), bias: Some(WeightId(weight + 1)) }
    }

    #[test]
    fn alexnets_first_layers() {
        // Krizhevsky et al. 2012: 96 filters of 11×11×3 at stride 4, then 256 of 5×5×48 in two groups.
        let net = Network::new(
            vec![
                node("data", Layer::Input { shape: Shape::new(3, 227, 227) }, &[]),
                node("conv1", conv(Geometry::square(11, 4, 0), 96, 1, 0), &[0]),
                node("relu1", Layer::Relu, &[1]),
                node("pool1", Layer::MaxPool2d { geometry: Geometry::square(3, 2, 0), ceil: false }, &[2]),
                node("conv2", conv(Geometry::square(5, 1, 2), 256, 2, 2), &[3]),
            ],
            vec![4],
        )
        .unwrap();
        assert_eq!(count(&net, 1), Count { parameters: 34_944, macs: 105_415_200 });
        assert_eq!(count(&net, 2), Count::default());
        assert_eq!(count(&net, 4), Count { parameters: 307_456, macs: 223_948_800 });
        assert_eq!(parameters(&net), 34_944 + 307_456);
        assert_eq!(total_macs(&net), 105_415_200 + 223_948_800);
    }

    #[test]
    fn shared_weights_count_once_in_the_sum() {
        let net = Network::new(
            vec![
                node("x", Layer::Input { shape: Shape::new(4, 3, 3) }, &[]),
                node("a", conv(Geometry::square(1, 1, 0), 4, 1, 0), &[0]),
                node("b", conv(Geometry::square(1, 1, 0), 4, 1, 0), &[1]),
                node(
                    "up",
                    Layer::ConvTranspose2d {
                        geometry: Geometry::square(2, 2, 0),
                        out_channels: 3,
                        groups: 1,
                        output_padding: [0, 0],
                        weight: WeightId(2),
                        bias: None,
                    },
                    &[2],
                ),
                node("fc", Layer::Linear { outputs: 5, transposed: true, weight: WeightId(3), bias: None }, &[3]),
                node("bn", Layer::Affine { scale: WeightId(4), shift: WeightId(5) }, &[4]),
            ],
            vec![5],
        )
        .unwrap();
        assert_eq!(count(&net, 1), count(&net, 2));
        assert_eq!(count(&net, 3), Count { parameters: 48, macs: 4 * 9 * 3 * 4 });
        assert_eq!(count(&net, 4), Count { parameters: 3 * 36 * 5, macs: 3 * 36 * 5 });
        assert_eq!(count(&net, 5), Count { parameters: 10, macs: 5 });
        assert_eq!(parameters(&net), 20 + 48 + 540 + 10);
        assert_eq!(activation_bytes(&net), 4 * (36 + 36 + 36 + 108 + 5 + 5));
    }
}
