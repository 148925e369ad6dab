//! Builds a network node by node and fills its weights from one stream of random numbers, in the order of the calls.

use std::path::PathBuf;

use switchback_kernels::{Dtype, Geometry};

use super::{Name, Random};
use crate::model::Model;
use crate::network::shape::output_shape;
use crate::network::{Layer, Network, NodeId, NodeSpec, WeightId};
use crate::preprocess::Preprocess;
use crate::tensor::Shape;
use crate::weights::WeightStore;
use crate::weights::mmap::Bytes;

/// Variance of the numbers that a layer sums up, times the fan-in: He's rule before a ReLU, LeCun's before the scores.
const BEFORE_RELU: f32 = 2.0;
const BEFORE_SCORES: f32 = 1.0;

/// A network under construction; node 0 is the input.
pub(super) struct Builder {
    name: Name,
    nodes: Vec<NodeSpec>,
    shapes: Vec<Shape>,
    weights: WeightStore,
    random: Random,
}

impl Builder {
    /// With an input of 3×224×224.
    pub(super) fn new(name: Name, seed: u64) -> Self {
        let shape = Shape::new(3, 224, 224);
        let input = NodeSpec { name: "input".into(), layer: Layer::Input { shape }, inputs: Vec::new() };
        Self { name, nodes: vec![input], shapes: vec![shape], weights: WeightStore::new(), random: Random::new(seed) }
    }

    /// The input's node.
    pub(super) fn input(&self) -> NodeId {
        0
    }

    /// A layer without weights.
    pub(super) fn layer(&mut self, name: &str, layer: Layer, inputs: &[NodeId]) -> NodeId {
        let shapes: Vec<Shape> = inputs.iter().map(|&i| self.shapes[i]).collect();
        self.shapes.push(output_shape(name, &layer, &shapes).expect("the architectures chain"));
        self.nodes.push(NodeSpec { name: name.to_owned(), layer, inputs: inputs.to_vec() });
        self.nodes.len() - 1
    }

    /// Convolution with a bias, then ReLU.
    pub(super) fn conv_relu(&mut self, name: &str, from: NodeId, out: usize, geometry: Geometry) -> NodeId {
        let weight = self.filters(name, from, out, &geometry);
        let bias = Some(self.uniform(&format!("{name}.bias"), &[out], [-0.05, 0.05]));
        let conv = self.layer(name, Layer::Conv2d { geometry, out_channels: out, groups: 1, weight, bias }, &[from]);
        self.relu(&format!("{name}/relu"), conv)
    }

    /// Convolution, then batch normalisation: a scale around `gain` and a small shift.
    pub(super) fn conv_norm(&mut self, name: &str, from: NodeId, out: usize, geometry: Geometry, gain: f32) -> NodeId {
        let weight = self.filters(name, from, out, &geometry);
        let conv = Layer::Conv2d { geometry, out_channels: out, groups: 1, weight, bias: None };
        let conv = self.layer(name, conv, &[from]);
        let scale = self.uniform(&format!("{name}/norm.scale"), &[out], [0.8 * gain, 1.2 * gain]);
        let shift = self.uniform(&format!("{name}/norm.shift"), &[out], [-0.05, 0.05]);
        self.layer(&format!("{name}/norm"), Layer::Affine { scale, shift }, &[conv])
    }

    /// [`Builder::conv_norm`] of gain 1, then ReLU.
    pub(super) fn conv_norm_relu(&mut self, name: &str, from: NodeId, out: usize, geometry: Geometry) -> NodeId {
        let norm = self.conv_norm(name, from, out, geometry, 1.0);
        self.relu(&format!("{name}/relu"), norm)
    }

    /// max(x, 0)
    pub(super) fn relu(&mut self, name: &str, from: NodeId) -> NodeId {
        self.layer(name, Layer::Relu, &[from])
    }

    /// Max-pooling; `ceil` keeps a last window that hangs over.
    pub(super) fn max_pool(&mut self, name: &str, from: NodeId, geometry: Geometry, ceil: bool) -> NodeId {
        self.layer(name, Layer::MaxPool2d { geometry, ceil }, &[from])
    }

    /// A fully connected layer with a bias, then ReLU.
    pub(super) fn linear_relu(&mut self, name: &str, from: NodeId, outputs: usize) -> NodeId {
        let linear = self.linear(name, from, outputs, BEFORE_RELU);
        self.relu(&format!("{name}/relu"), linear)
    }

    /// The fully connected layer that gives the scores.
    pub(super) fn scores(&mut self, name: &str, from: NodeId, outputs: usize) -> NodeId {
        self.linear(name, from, outputs, BEFORE_SCORES)
    }

    fn linear(&mut self, name: &str, from: NodeId, outputs: usize, variance: f32) -> NodeId {
        let inputs = self.shapes[from].len();
        let bound = (3.0 * variance / inputs as f32).sqrt();
        let weight = self.uniform(&format!("{name}.weight"), &[outputs, inputs], [-bound, bound]);
        let bias = Some(self.uniform(&format!("{name}.bias"), &[outputs], [-0.05, 0.05]));
        self.layer(name, Layer::Linear { outputs, transposed: true, weight, bias }, &[from])
    }

    fn filters(&mut self, name: &str, from: NodeId, out: usize, geometry: &Geometry) -> WeightId {
        let [kh, kw] = geometry.kernel;
        let channels = self.shapes[from].c;
        let bound = (3.0 * BEFORE_RELU / (channels * kh * kw) as f32).sqrt();
        self.uniform(&format!("{name}.weight"), &[out, channels, kh, kw], [-bound, bound])
    }

    fn uniform(&mut self, name: &str, dims: &[usize], [low, high]: [f32; 2]) -> WeightId {
        let len: usize = dims.iter().product();
        let mut bytes = Vec::with_capacity(4 * len);
        let (middle, reach) = ((low + high) / 2.0, (high - low) / 2.0);
        for _ in 0..len {
            bytes.extend((middle + reach * self.random.signed()).to_le_bytes());
        }
        let source = self.weights.add_source(Bytes::owned(bytes));
        self.weights.add_view(name, dims, Dtype::F32, source, 0..4 * len).expect("as many bytes as the tensor needs")
    }

    /// The model whose scores `last` gives.
    pub(super) fn finish(self, last: NodeId) -> Model {
        let preprocess = match self.name {
            Name::ZfNet => "caffe",
            _ => "torchvision",
        };
        Model {
            network: Network::new(self.nodes, vec![last]).expect("the architectures are networks"),
            weights: self.weights,
            preprocess: Preprocess::preset(preprocess),
            labels: None,
            path: PathBuf::from(self.name.as_str()),
            bytes: Bytes::owned(Vec::new()),
            format: "architecture",
        }
    }
}
