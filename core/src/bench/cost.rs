//! What one step costs: floating-point operations and the least bytes that must move.

use crate::model::Model;
use crate::network::NodeId;
use crate::network::count;

/// Of one step and a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Two a multiply-accumulate of the layer itself, taps in the padding included; 0 for layers without weights.
    pub flops: u64,
    /// Inputs, weights and outputs, each once.
    pub bytes: u64,
}

impl Cost {
    /// Of the step that runs `node` and what is fused with it up to `output`, over `batch` pictures.
    pub fn of_step(model: &Model, node: NodeId, output: NodeId, batch: usize) -> Self {
        let network = &model.network;
        let layer = network.node(node);
        let numbers: usize = layer.inputs.iter().map(|&i| network.node(i).shape.len()).sum();
        let weights: usize = layer.layer.weights().iter().map(|&w| model.weights.view(w).bytes().len()).sum();
        let maps = 4 * batch * (numbers + network.node(output).shape.len());
        Cost { flops: 2 * batch as u64 * count::count(network, node).macs, bytes: (maps + weights) as u64 }
    }

    /// Of C = A·B, with A of m × k and B of k × n.
    pub fn of_gemm([m, k, n]: [usize; 3]) -> Self {
        let [m, k, n] = [m as u64, k as u64, n as u64];
        Cost { flops: 2 * m * k * n, bytes: 4 * (m * k + k * n + m * n) }
    }

    /// Operations a byte.
    pub fn intensity(&self) -> f64 {
        self.flops as f64 / self.bytes.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::{Name, build};

    #[test]
    fn alexnets_first_and_last_layer() {
        let model = build(Name::AlexNet, 1);
        let id = |name: &str| model.network.find(name).unwrap();
        let conv = Cost::of_step(&model, id("conv1"), id("conv1/relu"), 2);
        let maps = 4 * 2 * (3 * 224 * 224 + 64 * 55 * 55);
        assert_eq!(conv, Cost { flops: 4 * 64 * 363 * 3025, bytes: maps + 4 * (64 * 363 + 64) });
        let fc = Cost::of_step(&model, id("fc8"), id("fc8"), 1);
        assert_eq!(fc, Cost { flops: 2 * 4096 * 1000, bytes: 4 * (4096 + 1000 + 4096 * 1000 + 1000) });
        assert!(fc.intensity() < 0.51 && conv.intensity() > 20.0);
    }
}
