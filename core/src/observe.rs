//! What a run does, step by step, for whoever measures it. A run that nobody observes reads no clock.

use std::time::Duration;

use switchback_kernels::winograd::Tile;

use crate::network::{Layer, Network, NodeId};

/// One step of a run: a layer, with whatever ran fused behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The node whose layer ran.
    pub node: NodeId,
    /// The node whose tensor came out: `node` itself, or the last layer that ran fused with it.
    pub output: NodeId,
    /// The tensor that a sum fused with the layer added.
    pub add: Option<NodeId>,
    /// How it was computed: `gemm`, `im2col`, `winograd2`, `winograd4x2`, `winograd4`, `winograd7x4`, `winograd6`, `winograd7`,
    /// `depthwise`, `rows`, `columns`, `direct`, or [`IN_PLACE`].
    pub algorithm: &'static str,
    /// How long it took.
    pub duration: Duration,
}

impl Observed {
    /// The nodes that ran as this one step, from [`Observed::node`] to [`Observed::output`].
    pub fn chain(&self, network: &Network) -> Vec<NodeId> {
        let mut chain = vec![self.output];
        let mut id = self.output;
        while id != self.node {
            // A sum has its other input from elsewhere.
            let mut inputs = network.node(id).inputs.iter();
            id = *inputs.find(|&&i| Some(i) != self.add).expect("a step is a chain of nodes");
            chain.push(id);
        }
        chain.reverse();
        chain
    }
}

/// Called after every step of an observed run, on the thread that runs it.
pub type Observer<'a> = dyn FnMut(Observed) + Send + 'a;

/// The algorithm of a concatenation whose inputs were written where they belong: nothing is left to do.
pub const IN_PLACE: &str = "in place";

/// The word for how `layer` is computed: `gemm` for a pointwise convolution, whose maps are the matrix already,
/// `winograd` and the tile's m with one, `im2col` for any other; `rows` and `columns` for a linear layer by the way its weights
/// lie; else `direct`.
pub(crate) fn algorithm(layer: &Layer, tile: Option<Tile>) -> &'static str {
    match (layer, tile) {
        (_, Some(Tile::F2)) => return "winograd2",
        (_, Some(Tile::F4x2)) => return "winograd4x2",
        (_, Some(Tile::F4)) => return "winograd4",
        (_, Some(Tile::F7x4)) => return "winograd7x4",
        (_, Some(Tile::F6)) => return "winograd6",
        (_, Some(Tile::F7)) => return "winograd7",
        _ => {}
    }
    match layer {
        Layer::Conv2d { geometry, .. } if geometry.kernel == [1, 1] => "gemm",
        Layer::Conv2d { .. } | Layer::ConvTranspose2d { .. } => "im2col",
        Layer::Linear { transposed: true, .. } => "rows",
        Layer::Linear { transposed: false, .. } => "columns",
        _ => "direct",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use switchback_kernels::Cpu;

    use super::*;
    use crate::architecture::{Name, build};
    use crate::session::{Options, Session};
    use crate::tensor::Tensor;

    #[test]
    fn every_step_is_heard_of_and_the_numbers_stay_the_same() {
        // Winograd's convolutions leave their sums to a step of their own.
        let options = Options { algorithm: "im2col".parse().unwrap(), ..Options::default() };
        let session = Session::with(Arc::new(build(Name::ResNet18, 1)), Cpu::new(1), options).unwrap();
        let network = session.network();
        let shape = network.input_shape();
        let input = Tensor::single(shape, (0..shape.len()).map(|i| (i % 9) as f32 - 4.0).collect());
        let plain = session.run(&input, &session.keep_scores()).unwrap();
        let mut seen: Vec<Observed> = Vec::new();
        let start = Instant::now();
        let trace = session.run_observed(&input, &session.keep_scores(), &mut |o| seen.push(o)).unwrap();
        let whole = start.elapsed();
        assert_eq!(trace.tensor(network.scores()), plain.tensor(network.scores()));
        let steps: Duration = seen.iter().map(|o| o.duration).sum();
        assert!(steps <= whole && steps > whole / 2, "{steps:?} of {whole:?}");
        let ran = |name: &str| *seen.iter().find(|o| network.node(o.node).name == name).unwrap();
        assert_eq!(network.node(ran("conv1").output).name, "pool1", "a large convolution runs fused with its pool");
        assert_eq!(network.node(ran("conv3_1/shortcut").output).name, "conv3_1/relu", "sum and ReLU in the store");
        assert_eq!((ran("conv1").algorithm, ran("conv3_1/shortcut").algorithm), ("im2col", "gemm"));
        assert_eq!((ran("fc").algorithm, ran("pool5").algorithm), ("rows", "direct"));
        assert_eq!(seen.last().unwrap().output, network.scores());
        // A sum runs with the convolution that comes last, whichever side of it that is.
        let last = |name: &str| network.node(*ran(name).chain(network).last().unwrap()).name.as_str();
        assert_eq!((last("conv2_1/conv2"), last("conv3_1/shortcut")), ("conv2_1/relu", "conv3_1/relu"));
        let all: Vec<NodeId> = seen.iter().flat_map(|o| o.chain(network)).collect();
        assert_eq!(all.len(), network.nodes().len() - 1, "every node but the input ran once");
    }
}
