//! How a run goes through a network: which chains run fused, and where each tensor lies.
//!
//! ```text
//! nodes     conv ─ affine ─ relu ─┐                one step: scale folded into the packed filters, ReLU in the store
//!           conv ─ relu ──────────┴ concat ─ drop  both steps write into concat's storage; drop is another name of it
//! storages  [input] [ concat = drop ] …            in one arena, their place another's after their last reader;
//!                                                  those with a name that is kept by themselves
//! ```
//! A plan belongs to one [`Keep`]: a tensor that is kept is computed for itself, so the names of a network never
//! disappear. It depends on the network and the `Keep` alone, never on the batch or the threads; hence the same `Keep`
//! gives the same bits.
//!
//! A run that keeps but scores may take Winograd's convolutions where `algorithm` chose them. Any other is *traced*:
//! every convolution runs as im2col GEMM, which gives equal patches equal numbers, so that switches and differences
//! are no matter of rounding.

pub(crate) mod algorithm;
pub(crate) mod arena;

use algorithm::Tiles;
use arena::Span;
use switchback_kernels::Window;
use switchback_kernels::view::Layout;
use switchback_kernels::winograd::Tile;

use crate::network::{Layer, Network, NodeId};
use crate::trace::Keep;

/// Index of a storage; 0 is the caller's input, which is only read.
pub(crate) type StorageId = usize;

/// Numbers of maps that are worth keeping out of memory: from them on a pool is fused with its convolution, unless its windows
/// lie across Winograd's tiles and these have few rows: one of them is computed twice, once for each of two threads, and the
/// filters are read for each.
const LARGE: usize = 1 << 18;

/// Rows of tiles that are many.
const MANY: usize = 16;

/// One call of a kernel (or none: another name for a tensor).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The node whose layer runs.
    pub(crate) node: NodeId,
    /// A following [`Layer::Affine`] that is folded into the filters.
    pub(crate) affine: Option<NodeId>,
    /// A following [`Layer::Add`] runs in the store: the tensor that it adds, computed before.
    pub(crate) add: Option<NodeId>,
    /// A following ReLU runs in the store.
    pub(crate) relu: bool,
    /// A following max-pool, whose switches nobody asks for, runs on bands of the convolution's maps.
    pub(crate) pool: Option<NodeId>,
    /// A convolution that runs as Winograd's.
    pub(crate) tile: Option<Tile>,
    /// The last node of the chain: whose tensor comes out.
    pub(crate) output: NodeId,
    /// Runs in the storage of this input.
    pub(crate) in_place: Option<NodeId>,
}

/// Where a node's tensor lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// In which storage.
    pub(crate) storage: StorageId,
    /// Numbers before it, of each picture.
    pub(crate) offset: usize,
}

/// Numbers that live together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Storage {
    /// Numbers a picture.
    pub(crate) len: usize,
    /// Nodes whose tensor it is and which the caller keeps.
    pub(crate) kept: Vec<NodeId>,
    /// Where it begins in the arena, in numbers a picture; nowhere where it is the input or kept.
    pub(crate) offset: Option<usize>,
    /// All nodes whose tensor or part it is.
    members: Vec<NodeId>,
}

impl Storage {
    fn new(len: usize) -> Self {
        Self { len, kept: Vec::new(), offset: None, members: Vec::new() }
    }
}

/// The steps of one run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) storages: Vec<Storage>,
    /// Numbers a picture of the arena.
    pub(crate) arena: usize,
    places: Vec<Option<Place>>,
}

impl Plan {
    /// Plans to compute what `keep` asks for and nothing else. `tiles` says which nodes may run as Winograd's.
    pub(crate) fn new(network: &Network, keep: &Keep, tiles: &Tiles) -> Self {
        let mut needed = vec![false; network.nodes().len()];
        needed[0] = true;
        for id in (0..needed.len()).rev() {
            needed[id] |= keep.tensors[id] || keep.switches[id];
            if needed[id] {
                network.node(id).inputs.iter().for_each(|&i| needed[i] = true);
            }
        }
        let graph = Graph { network, keep, needed, plain: !keep.traced(network) };
        let mut steps = graph.steps(tiles);
        let parts = graph.parts(&steps);
        let (storages, places) = graph.place(&mut steps, &parts);
        let mut plan = Self { steps, storages, arena: 0, places };
        plan.lay_out(network);
        plan
    }

    /// Where the tensor of `id` lies; nodes inside a fused chain have no place.
    pub(crate) fn place(&self, id: NodeId) -> Place {
        self.places[id].expect("only computed nodes are asked for")
    }

    /// How the tensor of `id` lies in its storage, for `batch` pictures; starts at `batch`-independent
    /// [`Place::offset`].
    pub(crate) fn layout(&self, network: &Network, id: NodeId, batch: usize) -> Layout {
        let shape = network.node(id).shape;
        Layout {
            batch,
            channels: shape.c,
            full: shape.size(),
            window: Window::full(shape.size()),
            strides: [self.storages[self.place(id).storage].len, shape.h * shape.w, shape.w],
        }
    }

    /// Numbers a picture of what the caller keeps.
    pub(crate) fn kept(&self) -> usize {
        self.storages.iter().map(|s| s.kept.len() * s.len).sum()
    }

    /// Gives every storage that nobody keeps its place in the arena.
    fn lay_out(&mut self, network: &Network) {
        let mut lives: Vec<Option<Span>> = vec![None; self.storages.len()];
        for (i, step) in self.steps.iter().enumerate() {
            for &id in network.node(step.node).inputs.iter().chain(&step.add).chain([&step.output]) {
                let storage = self.place(id).storage;
                let len = self.storages[storage].len;
                lives[storage].get_or_insert(Span { first: i, last: i, len }).last = i;
            }
        }
        let inside: Vec<(StorageId, Span)> = lives
            .into_iter()
            .enumerate()
            .skip(1)
            .filter(|&(s, _)| self.storages[s].kept.is_empty())
            .filter_map(|(s, life)| Some((s, life?)))
            .collect();
        let spans: Vec<Span> = inside.iter().map(|&(_, span)| span).collect();
        let (offsets, end) = arena::pack(&spans);
        for (&(storage, _), offset) in inside.iter().zip(offsets) {
            self.storages[storage].offset = Some(offset);
        }
        self.arena = end;
    }
}

/// What the planning passes look at.
struct Graph<'a> {
    network: &'a Network,
    keep: &'a Keep,
    needed: Vec<bool>,
    /// Not traced: what changes the order of sums may run.
    plain: bool,
}

impl Graph<'_> {
    /// The consumers of `id` that this run computes.
    fn consumers(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.network.consumers(id).iter().copied().filter(|&c| self.needed[c])
    }

    /// The node that alone reads `id`, where `id` itself is not kept.
    fn sole_consumer(&self, id: NodeId) -> Option<NodeId> {
        let mut consumers = self.consumers(id);
        consumers.next().filter(|_| !self.keep.tensors[id] && consumers.next().is_none())
    }

    /// Chains of convolution, affine, sum, ReLU and pool become one step; every other node is a step of its own.
    fn steps(&self, tiles: &Tiles) -> Vec<Step> {
        let mut absorbed = vec![false; self.needed.len()];
        let mut done = vec![false; self.needed.len()];
        let mut steps = Vec::new();
        for id in (0..self.needed.len()).filter(|&id| self.needed[id]) {
            if absorbed[id] || matches!(self.network.node(id).layer, Layer::Input { .. }) {
                continue;
            }
            let mut step = Step {
                node: id,
                affine: None,
                add: None,
                relu: false,
                pool: None,
                tile: None,
                output: id,
                in_place: None,
            };
            let layer = &self.network.node(id).layer;
            if let (Layer::Conv2d { .. }, Some(next)) = (layer, self.sole_consumer(id))
                && matches!(self.network.node(next).layer, Layer::Affine { .. })
            {
                step.affine = Some(next);
                step.output = next;
                absorbed[next] = true;
            }
            step.tile = tiles[id].filter(|_| self.plain);
            if let (Layer::Conv2d { .. }, None, true) = (layer, step.tile, self.plain)
                && let Some((next, other)) = self.sum_after(step.output)
                && done[other]
            {
                step.add = Some(other);
                step.output = next;
                absorbed[next] = true;
            }
            if let (Layer::Conv2d { .. } | Layer::Linear { .. }, Some(next)) = (layer, self.sole_consumer(step.output))
                && matches!(self.network.node(next).layer, Layer::Relu)
            {
                step.relu = true;
                step.output = next;
                absorbed[next] = true;
            }
            if let (Layer::Conv2d { .. }, Some(next)) = (layer, self.sole_consumer(step.output))
                && let Layer::MaxPool2d { geometry, .. } = &self.network.node(next).layer
                && tiles[step.node].is_none_or(|tile| {
                    let rows = self.network.node(step.output).shape.h / tile.m()[0];
                    let apart = geometry.extent()[0] <= geometry.stride[0];
                    let within = apart && tile.m().iter().all(|m| m.is_multiple_of(geometry.stride[0]));
                    rows >= MANY || within
                })
                && !self.keep.switches[next]
                && step.add.is_none()
                && self.network.node(step.output).shape.len() >= LARGE
            {
                step.pool = Some(next);
                step.output = next;
                absorbed[next] = true;
            }
            done[step.output] = true;
            steps.push(step);
        }
        steps
    }

    /// The sum of two that alone reads `id`, and what it adds to it.
    fn sum_after(&self, id: NodeId) -> Option<(NodeId, NodeId)> {
        let next = self.sole_consumer(id)?;
        let node = self.network.node(next);
        match (&node.layer, &node.inputs[..]) {
            (Layer::Add, &[a, b]) if a != b => Some((next, if a == id { b } else { a })),
            _ => None,
        }
    }

    /// For tensors that only a concatenation reads: the concatenated tensor that they are written into, and at which
    /// of its channels.
    fn parts(&self, steps: &[Step]) -> Vec<Option<(NodeId, usize)>> {
        let mut parts: Vec<Option<(NodeId, usize)>> = vec![None; self.needed.len()];
        let mut producer = vec![None; self.needed.len()];
        for step in steps {
            producer[step.output] = Some(step.node);
        }
        // Outer concatenations before those that feed them.
        for concat in steps.iter().rev().map(|s| s.node) {
            let node = self.network.node(concat);
            if !matches!(node.layer, Layer::Concat) {
                continue;
            }
            let (root, mut channel) = parts[concat].unwrap_or((concat, 0));
            for &input in &node.inputs {
                let alone = self.sole_consumer(input) == Some(concat)
                    && node.inputs.iter().filter(|&&i| i == input).count() == 1;
                let strided = producer[input].is_some_and(|p| writes_maps(&self.network.node(p).layer));
                if alone && strided {
                    parts[input] = Some((root, channel));
                }
                channel += self.network.node(input).shape.c;
            }
        }
        parts
    }

    /// Gives every step's output a place: a part of a concatenation, its input's own, or a storage for itself.
    fn place(&self, steps: &mut [Step], parts: &[Option<(NodeId, usize)>]) -> (Vec<Storage>, Vec<Option<Place>>) {
        let mut places: Vec<Option<Place>> = vec![None; self.needed.len()];
        let mut storages = vec![Storage::new(self.network.input_shape().len())];
        let join = |storages: &mut Vec<Storage>, places: &mut Vec<Option<Place>>, id: NodeId, place: Place| {
            places[id] = Some(place);
            storages[place.storage].members.push(id);
            if self.keep.tensors[id] {
                storages[place.storage].kept.push(id);
            }
        };
        join(&mut storages, &mut places, 0, Place { storage: 0, offset: 0 });
        let mut roots: Vec<Option<StorageId>> = vec![None; self.needed.len()];
        let mut ran = vec![false; self.needed.len()];
        for step in steps {
            let node = self.network.node(step.node);
            let at = |id: NodeId| places[id].expect("inputs come before their consumers");
            // The chain from the layer to the output: each is alone in reading the one before.
            let mut id = step.node;
            ran[id] = true;
            while id != step.output {
                id = self.consumers(id).next().expect("a fused chain ends at its output");
                ran[id] = true;
            }
            step.in_place = match node.layer {
                // The convolution still reads its input while it writes.
                Layer::Conv2d { .. } if parts[step.output].is_none() => step.add.filter(|&other| {
                    let storage = at(other).storage;
                    storage != at(node.inputs[0]).storage && self.last_reader(&storages[storage], storage, &ran)
                }),
                Layer::Add
                | Layer::Relu
                | Layer::LeakyRelu { .. }
                | Layer::Clip { .. }
                | Layer::Softmax { .. }
                | Layer::LogSoftmax { .. }
                    if parts[step.output].is_none() =>
                {
                    node.inputs.iter().copied().find(|&i| {
                        node.inputs.iter().filter(|&&j| j == i).count() == 1
                            && self.last_reader(&storages[at(i).storage], at(i).storage, &ran)
                    })
                }
                _ => None,
            };
            let place = match (&node.layer, step.in_place) {
                (_, Some(input)) => at(input),
                (Layer::Identity | Layer::Flatten, None) => at(node.inputs[0]),
                _ => {
                    let (root, channel) = parts[step.output].unwrap_or((step.output, 0));
                    let shape = self.network.node(root).shape;
                    let storage = *roots[root].get_or_insert_with(|| {
                        storages.push(Storage::new(shape.len()));
                        storages.len() - 1
                    });
                    Place { storage, offset: channel * shape.h * shape.w }
                }
            };
            join(&mut storages, &mut places, step.output, place);
        }
        (storages, places)
    }

    /// Whether `storage` may be overwritten: nobody keeps it and everybody who reads it has run, or is another name of it.
    fn last_reader(&self, storage: &Storage, id: StorageId, ran: &[bool]) -> bool {
        id != 0
            && storage.kept.is_empty()
            && storage.members.iter().all(|&m| self.consumers(m).all(|c| ran[c] || storage.members.contains(&c)))
    }
}

/// Layers whose kernels write maps with strides, and so may write into a part of a larger tensor.
fn writes_maps(layer: &Layer) -> bool {
    match layer {
        Layer::Conv2d { .. }
        | Layer::ConvTranspose2d { .. }
        | Layer::Affine { .. }
        | Layer::Relu
        | Layer::LeakyRelu { .. }
        | Layer::Clip { .. }
        | Layer::MaxPool2d { .. }
        | Layer::AvgPool2d { .. }
        | Layer::Lrn { .. }
        | Layer::Concat
        | Layer::Add
        | Layer::Pad { .. } => true,
        Layer::Input { .. }
        | Layer::Linear { .. }
        | Layer::GlobalAvgPool
        | Layer::GlobalMaxPool
        | Layer::Flatten
        | Layer::Identity
        | Layer::Softmax { .. }
        | Layer::LogSoftmax { .. } => false,
    }
}

#[cfg(test)]
mod tests;
