//! What one step costs: floating-point operations and the least bytes that must move.

use crate::network::{Layer, NodeId, count};
use crate::observe::Observed;
use crate::session::Session;

/// Of one step and a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Two a multiply-accumulate of the layer itself, taps in the padding included; 0 for layers without weights.
    pub flops: u64,
    /// Inputs, weights and outputs, each once.
    pub bytes: u64,
}

impl Cost {
    /// Of a step of `session` over `batch` pictures.
    pub fn of_step(session: &Session, step: &Observed, batch: usize) -> Self {
        let (network, store) = (session.network(), &session.model().weights);
        let layer = network.node(step.node);
        let len = |id: NodeId| network.node(id).shape.len();
        let inputs: usize = layer.inputs.iter().copied().chain(step.add).map(len).sum();
        let mut weights: usize = layer.layer.weights().iter().map(|&w| store.view(w).bytes().len()).sum();
        if let Layer::Linear { weight, .. } = layer.layer
            && session.packed().halves(weight)
        {
            weights -= store.view(weight).bytes().len() / 2;
        }
        let maps = 4 * batch * (inputs + len(step.output));
        Cost { flops: 2 * batch as u64 * count::count(network, step.node).macs, bytes: (maps + weights) as u64 }
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
    use std::sync::Arc;
    use std::time::Duration;

    use switchback_kernels::Cpu;

    use super::*;
    use crate::architecture::{Name, build};
    use crate::session::{LinearWeights, Options};

    #[test]
    fn alexnets_first_and_last_layer() {
        let model = Arc::new(build(Name::AlexNet, 1));
        let cost = |session: &Session, from: &str, to: &str, batch: usize| {
            let (node, output) = (session.network().find(from).unwrap(), session.network().find(to).unwrap());
            let step = Observed { node, output, add: None, algorithm: "", duration: Duration::ZERO };
            Cost::of_step(session, &step, batch)
        };
        let file = Session::new(Arc::clone(&model), Cpu::new(1), None).unwrap();
        let conv = cost(&file, "conv1", "conv1/relu", 2);
        let maps = 4 * 2 * (3 * 224 * 224 + 64 * 55 * 55);
        assert_eq!(conv, Cost { flops: 4 * 64 * 363 * 3025, bytes: maps + 4 * (64 * 363 + 64) });
        let fc = cost(&file, "fc8", "fc8", 1);
        assert_eq!(fc, Cost { flops: 2 * 4096 * 1000, bytes: 4 * (4096 + 1000 + 4096 * 1000 + 1000) });
        assert!(fc.intensity() < 0.51 && conv.intensity() > 20.0);
        let halves = Options { weights: LinearWeights::F16, ..Options::default() };
        let halves = Session::with(model, Cpu::new(1), halves).unwrap();
        assert_eq!(cost(&halves, "fc8", "fc8", 1).bytes, fc.bytes - 2 * 4096 * 1000);
    }
}
