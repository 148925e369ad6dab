//! The clean run that every square is compared with: all tensors between the steps, and what each step leaves behind.
//!
//! The steps are those of a full pass that keeps the scores and the map that is watched, with the same layers fused,
//! so that both give the same bits. Pools do not run inside convolutions, and linear layers keep their sums before the
//! ReLU: changed columns are added to them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use switchback_kernels::Window;

use super::occluder::Occluder;
use super::spread::changes;
use crate::network::{Layer, Network, NodeId};
use crate::plan::{Plan, Step};
use crate::session::Session;
use crate::tensor::{Shape, Tensor};
use crate::trace::{Keep, Trace};

/// A picture without a square, and what is asked about it.
pub(super) struct Clean<'a> {
    pub(super) session: &'a Session,
    pub(super) steps: Vec<Step>,
    /// Nodes that no step after this one reads.
    pub(super) free: Vec<Vec<NodeId>>,
    /// The steps from here on begin with a linear layer: they run for many squares at once, since their weights come
    /// from memory.
    pub(super) cut: usize,
    /// Nodes from before the cut that are read after it.
    pub(super) carried: Vec<NodeId>,
    trace: Trace,
    sources: Vec<NodeId>,
    /// Nanoseconds of every step, all threads together.
    spent: Vec<AtomicU64>,
    /// The picture itself, and what is laid over it.
    pub(super) picture: &'a Tensor,
    pub(super) occluder: &'a Occluder,
    layer: NodeId,
    /// Which map's activity is asked for.
    pub(super) channel: usize,
    /// Its sum.
    pub(super) activity: f64,
}

/// What a clean run must keep so that squares can start from it: the tensors between the steps.
pub(super) fn keep(session: &Session, asked: &Keep) -> Keep {
    let network = session.network();
    let mut keep = asked.clone();
    keep.tensors[0] = true;
    loop {
        let before = keep.clone();
        for step in session.plan(&before).steps {
            keep.tensors[step.output] = true;
            if let Some(pool) = step.pool {
                keep.tensors[network.node(pool).inputs[0]] = true;
            }
            if matches!(network.node(step.node).layer, Layer::Linear { .. }) {
                keep.tensors[step.node] = true;
            }
        }
        // What is kept runs for itself, so that other steps may come out.
        if keep == before {
            return keep;
        }
    }
}

impl<'a> Clean<'a> {
    /// From a run that kept [`keep`].
    pub(super) fn new(
        session: &'a Session,
        keep: &Keep,
        trace: Trace,
        (picture, occluder): (&'a Tensor, &'a Occluder),
        (layer, channel): (NodeId, usize),
    ) -> Self {
        let network = session.network();
        let Plan { steps, .. } = session.plan(keep);
        let mut sources: Vec<NodeId> = (0..network.nodes().len()).collect();
        for id in 0..sources.len() {
            if matches!(network.node(id).layer, Layer::Identity) {
                sources[id] = sources[network.node(id).inputs[0]];
            }
        }
        let outputs: Vec<NodeId> =
            [Some(network.scores()), network.softmax()].into_iter().flatten().map(|id| sources[id]).collect();
        let is_linear = |s: &Step| matches!(network.node(s.node).layer, Layer::Linear { .. });
        let cut = steps.iter().position(is_linear).unwrap_or(steps.len());

        let mut last = vec![None; sources.len()];
        let mut made = vec![usize::MAX; sources.len()];
        made[0] = 0;
        for (at, step) in steps.iter().enumerate() {
            if sources[step.output] == step.output {
                made[step.output] = at;
                last[step.output] = Some(at);
            }
            for &input in network.node(step.node).inputs.iter().chain(&step.add) {
                last[sources[input]] = Some(at);
            }
        }
        let mut free = vec![Vec::new(); steps.len()];
        for (id, last) in last.iter().enumerate().filter(|(id, _)| !outputs.contains(id)) {
            if let Some(at) = *last {
                free[at].push(id);
            }
        }
        let after = |id: NodeId| last[id].is_some_and(|l| l >= cut) || outputs.contains(&id);
        let before = |id: NodeId| made[id] < cut || id == 0;
        let carried = (0..sources.len()).filter(|&id| sources[id] == id && before(id) && after(id)).collect();

        let layer = sources[layer];
        let map = trace.tensor(layer).expect("kept").channel(0, channel);
        let activity = map.iter().map(|&x| f64::from(x)).sum();
        let spent = steps.iter().map(|_| AtomicU64::new(0)).collect();
        Self { session, spent, steps, free, cut, carried, trace, sources, picture, occluder, layer, channel, activity }
    }

    pub(super) fn network(&self) -> &'a Network {
        self.session.network()
    }

    /// The node whose tensor `id` is another name of, or `id`.
    pub(super) fn source(&self, id: NodeId) -> NodeId {
        self.sources[id]
    }

    /// The clean numbers of node `id`.
    pub(super) fn tensor(&self, id: NodeId) -> &Tensor {
        self.trace.tensor(self.sources[id]).expect("the clean run kept what steps read and write")
    }

    /// Whether `id` is the node whose activity is asked for.
    pub(super) fn watches(&self, id: NodeId) -> bool {
        id == self.layer
    }

    /// Step `at` took this long on some thread.
    pub(super) fn spend(&self, at: usize, time: Duration) {
        self.spent[at].fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The time of every step so far, by the node whose layer it runs.
    pub(super) fn spent(&self) -> Vec<(NodeId, Duration)> {
        let of = |(step, spent): (&Step, &AtomicU64)| (step.node, Duration::from_nanos(spent.load(Ordering::Relaxed)));
        self.steps.iter().zip(&self.spent).map(of).collect()
    }

    /// Bytes that a square in the middle of the picture takes at most at one time, up to the cut.
    pub(super) fn bytes_a_square(&self) -> u64 {
        let network = self.network();
        let input = network.input_shape();
        let [y0, x0] = [(input.h - self.occluder.size[0]) / 2, (input.w - self.occluder.size[1]) / 2];
        let mut windows = vec![Window::full([0, 0]); self.sources.len()];
        windows[0] = Window { y0, x0, y1: y0 + self.occluder.size[0], x1: x0 + self.occluder.size[1] };
        let numbers = |window: Window, shape: Shape| shape.c * window.area();
        let mut live = vec![0; self.sources.len()];
        live[0] = numbers(windows[0], input);
        let mut most = 0;
        for (at, step) in self.steps[..self.cut].iter().enumerate() {
            let node = network.node(step.node);
            let shape = network.node(step.output).shape;
            let mut read = 0;
            for &input in &node.inputs {
                let input = self.sources[input];
                let window = changes(&node.layer, windows[input], shape);
                windows[step.output] = windows[step.output].union(window);
                let [h, w] = match &node.layer {
                    Layer::Conv2d { geometry, .. } => {
                        // Whole tiles, and once more as they are transformed.
                        let size = [window.height(), window.width()];
                        let out = |i: usize| match step.tile {
                            Some(tile) => 2 * (size[i] + tile.m()[i]),
                            None => size[i],
                        };
                        [0, 1].map(|i| out(i).saturating_sub(1) * geometry.stride[i] + geometry.extent()[i])
                    }
                    layer => {
                        let reads = crate::receptive::reads(layer, window, network.node(input).shape);
                        [reads.height(), reads.width()]
                    }
                };
                read += network.node(input).shape.c * h * w;
            }
            if let Some(other) = step.add {
                windows[step.output] = windows[step.output].union(windows[self.sources[other]]);
            }
            if self.sources[step.output] == step.output {
                live[step.output] = numbers(windows[step.output], shape);
            }
            most = most.max(live.iter().sum::<usize>() + read);
            self.free[at].iter().for_each(|&id| live[id] = 0);
        }
        (most * size_of::<f32>()) as u64
    }

    /// Bytes that a square keeps from the cut to the end.
    pub(super) fn bytes_after(&self) -> u64 {
        let len = |id: NodeId| self.network().node(id).shape.len();
        let carried: usize = self.carried.iter().map(|&id| len(id)).sum();
        let after: usize = self.steps[self.cut..].iter().map(|step| len(step.output)).sum();
        // Changed columns stand once more in a matrix, and so do the sums over them.
        (2 * (carried + after) * size_of::<f32>()) as u64
    }
}
