//! Packing ahead: what a run and a walk back will need, on all threads at once, while somebody still reads the picture.

use switchback_kernels::Threads;
use switchback_kernels::conv_transpose2d::can_be_sparse;

use super::{Session, packed};
use crate::error::Result;
use crate::network::{Layer, Network, NodeId};
use crate::plan::algorithm;
use crate::trace::Keep;

impl Session {
    /// Packs the filters that a run as far as `keep` reads, layer beside layer. Left out, or while it goes on, a run packs
    /// what it misses itself: only the time differs. Weights that are not finite are left for that run to name.
    pub fn prepare(&self, keep: &Keep) {
        let plan = self.plan(keep);
        let nodes: Vec<_> = plan.steps.iter().collect();
        all(&self.cpu.threads, nodes, |step| match self.network().node(step.node).layer {
            Layer::Conv2d { .. } => self.packed.filters(step).map(drop),
            Layer::ConvTranspose2d { .. } => self.packed.conv_transpose2d(step.node, None).map(drop),
            _ => Ok(()),
        });
    }

    /// The same for walks back from `layer`.
    pub fn prepare_back(&self, layer: NodeId) {
        let below = self.network().ancestors(layer);
        let nodes: Vec<NodeId> = (0..=layer).rev().filter(|&id| below[id]).collect();
        all(&self.cpu.threads, nodes, |id| match self.network().node(id).layer {
            // Signals that come out of a pool are mostly zero.
            Layer::Conv2d { .. }
                if is_pooled(self.network(), id) && can_be_sparse(&packed::conv(self.network(), id)) =>
            {
                self.packed.sparse(id).map(drop)
            }
            Layer::Conv2d { .. } => self.packed.conv_transpose2d(id, algorithm::back(self, id)).map(drop),
            Layer::ConvTranspose2d { .. } => self.packed.conv2d(id, None).map(drop),
            _ => Ok(()),
        });
    }
}

/// Whether a max-pool takes what `id` gives, cell by cell.
fn is_pooled(network: &Network, id: NodeId) -> bool {
    let mut readers = (id + 1..network.nodes().len()).filter(|&reader| network.node(reader).inputs.contains(&id));
    readers.any(|reader| match network.node(reader).layer {
        Layer::MaxPool2d { .. } => true,
        Layer::Relu
        | Layer::LeakyRelu { .. }
        | Layer::Clip { .. }
        | Layer::Lrn { .. }
        | Layer::Affine { .. }
        | Layer::Identity => is_pooled(network, reader),
        _ => false,
    })
}

fn all<T: Send>(threads: &Threads, items: Vec<T>, pack: impl Fn(T) -> Result<()> + Send + Sync) {
    // What fails fails again where it is needed, and is told there.
    threads.for_each(items, |item| drop(pack(item)));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use switchback_kernels::Cpu;

    use crate::architecture::{Name, build};
    use crate::projection::{self, Seed, Settings};
    use crate::session::Session;
    use crate::tensor::Tensor;

    #[test]
    fn what_is_packed_ahead_changes_no_bit() {
        let session = || Session::new(Arc::new(build(Name::SqueezeNet11, 3)), Cpu::new(2), None).unwrap();
        let run = |session: &Session| {
            let layer = session.network().last_spatial().unwrap();
            let shape = session.network().input_shape();
            let data = (0..shape.len()).map(|i| (i * 29 % 251) as f32 / 125.0 - 1.0).collect();
            let keep = projection::keep(session.network(), layer, &Settings::default()).and(&session.keep_scores());
            let trace = session.run(&Tensor::single(shape, data), &keep).unwrap();
            let seed = Seed::Unit { channel: 3, at: [4, 5] };
            let back = projection::project(session, &trace, 0, layer, seed, &Settings::default()).unwrap();
            (session.scores(&trace).scores, back.tensor)
        };
        let ahead = session();
        let layer = ahead.network().last_spatial().unwrap();
        ahead.prepare(&projection::keep(ahead.network(), layer, &Settings::default()).and(&ahead.keep_scores()));
        ahead.prepare_back(layer);
        assert_eq!(run(&ahead), run(&session()));
    }
}
