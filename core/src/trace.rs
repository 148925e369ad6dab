//! What a run is asked to keep, and what it kept.

use switchback_kernels::{Maps, Window};

use crate::network::{Network, NodeId};
use crate::tensor::{Shape, Tensor};

/// What a run computes and keeps. Nothing beyond the furthest node asked for is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Node `i`'s tensor is kept.
    pub tensors: Vec<bool>,
    /// Node `i`'s pooling switches are kept (max-pools and global max-pools).
    pub switches: Vec<bool>,
    /// Nobody compares patches of what is kept: it may be computed as for scores alone.
    pub plain: bool,
}

impl Keep {
    /// These nodes' tensors, no switches.
    pub fn nodes(network: &Network, ids: &[NodeId]) -> Self {
        let none = vec![false; network.nodes().len()];
        let mut keep = Self { tensors: none.clone(), switches: none, plain: false };
        for &id in ids {
            keep.tensors[id] = true;
        }
        keep
    }

    /// Also what `other` keeps.
    pub fn and(mut self, other: &Keep) -> Self {
        for i in 0..self.tensors.len() {
            self.tensors[i] |= other.tensors[i];
            self.switches[i] |= other.switches[i];
        }
        self.plain &= other.plain;
        self
    }

    /// Whether equal patches must give equal numbers, so that no Winograd convolution may run: more is asked for than
    /// class scores and probabilities.
    pub fn traced(&self, network: &Network) -> bool {
        let answer = |id: NodeId| id == network.scores() || Some(id) == network.softmax();
        !self.plain
            && (self.switches.iter().any(|&s| s) || (0..self.tensors.len()).any(|id| self.tensors[id] && !answer(id)))
    }
}

/// The switches of a pooling layer: where in its window each output came from.
#[derive(Clone, Debug, PartialEq)]
pub enum Switches {
    /// Offsets `ky · kernel_w + kx` inside the window, one an output.
    Window(Vec<u8>),
    /// Cells `y · W + x` of the whole map, one an output (global max-pool).
    Global(Vec<u32>),
}

/// The kept tensors and switches of one run, by node.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Pictures that were run together.
    pub batch: usize,
    pub(crate) tensors: Vec<Option<Tensor>>,
    pub(crate) switches: Vec<Option<Switches>>,
}

impl Trace {
    /// Node `id`'s tensor, if it was kept.
    pub fn tensor(&self, id: NodeId) -> Option<&Tensor> {
        self.tensors[id].as_ref()
    }

    /// Node `id`'s switches, if they were kept.
    pub fn switches(&self, id: NodeId) -> Option<&Switches> {
        self.switches[id].as_ref()
    }

    /// Switches of a windowed max-pool of output `shape` as maps for the kernels.
    pub fn switch_maps(&self, id: NodeId, shape: Shape) -> Option<Maps<'_, u8>> {
        match self.switches(id)? {
            Switches::Window(s) => {
                Some(Maps::windowed(s, self.batch, shape.c, shape.size(), Window::full(shape.size())))
            }
            Switches::Global(_) => None,
        }
    }
}
