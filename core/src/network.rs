//! A network: nodes in topological order, shapes checked when it is built.
//!
//! Every tensor of the model file that a run passes through is a node of its own and keeps its name; what may run
//! fused (convolution, batch normalisation, ReLU) is the plan's affair, so that every name stays addressable.

pub mod count;
pub mod layer;
pub mod shape;
pub mod zoo;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

pub use layer::{Layer, WeightId};

use crate::error::{Error, Result};
use crate::tensor::Shape;
use crate::text;

/// Index of a node; inputs come before their consumers.
pub type NodeId = usize;

/// One tensor of the network and the layer that computes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The tensor's name in the model file.
    pub name: String,
    /// What computes it.
    pub layer: Layer,
    /// From which nodes.
    pub inputs: Vec<NodeId>,
    /// Of one picture.
    pub shape: Shape,
}

/// A node as it is written down: the shape follows from the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// The tensor's name.
    pub name: String,
    /// What computes it.
    pub layer: Layer,
    /// Indices of earlier nodes.
    #[serde(default)]
    pub inputs: Vec<NodeId>,
}

/// Nodes in topological order; node 0 is the input.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    nodes: Vec<Node>,
    outputs: Vec<NodeId>,
    consumers: Vec<Vec<NodeId>>,
    by_name: HashMap<String, NodeId>,
}

impl Network {
    /// Checks order, arity, names and shapes.
    pub fn new(specs: Vec<NodeSpec>, outputs: Vec<NodeId>) -> Result<Self> {
        let graph = |node: &str, what: String| Error::Graph { node: node.to_owned(), what };
        let mut nodes: Vec<Node> = Vec::with_capacity(specs.len());
        let mut consumers: Vec<Vec<NodeId>> = vec![Vec::new(); specs.len()];
        let mut by_name = HashMap::with_capacity(specs.len());
        for (id, NodeSpec { name, layer, inputs }) in specs.into_iter().enumerate() {
            if matches!(layer, Layer::Input { .. }) != (id == 0) {
                return Err(graph(&name, "the input must be the first node and only that".into()));
            }
            if let Some(&later) = inputs.iter().find(|&&i| i >= id) {
                return Err(graph(&name, format!("reads node {later}, which does not come before it")));
            }
            if by_name.insert(name.clone(), id).is_some() {
                return Err(graph(&name, "the name is given twice".into()));
            }
            let shapes: Vec<Shape> = inputs.iter().map(|&i| nodes[i].shape).collect();
            let shape = shape::output_shape(&name, &layer, &shapes)?;
            for &i in &inputs {
                if consumers[i].last() != Some(&id) {
                    consumers[i].push(id);
                }
            }
            nodes.push(Node { name, layer, inputs, shape });
        }
        if nodes.is_empty() {
            return Err(graph("", "a network without nodes".into()));
        }
        match outputs.iter().find(|&&o| o >= nodes.len()) {
            Some(o) => return Err(graph("", format!("output {o} of {} nodes", nodes.len()))),
            None if outputs.is_empty() => return Err(graph("", "a network without outputs".into())),
            None => {}
        }
        Ok(Self { nodes, outputs, consumers, by_name })
    }

    /// All nodes, inputs before consumers.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Node `id`.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// The nodes that the model file calls outputs; the first is the one that classifies.
    pub fn outputs(&self) -> &[NodeId] {
        &self.outputs
    }

    /// The nodes that read `id`, each once.
    pub fn consumers(&self, id: NodeId) -> &[NodeId] {
        &self.consumers[id]
    }

    /// Of one picture.
    pub fn input_shape(&self) -> Shape {
        self.nodes[0].shape
    }

    /// As written down, to be stored.
    pub fn specs(&self) -> Vec<NodeSpec> {
        self.nodes
            .iter()
            .map(|n| NodeSpec { name: n.name.clone(), layer: n.layer.clone(), inputs: n.inputs.clone() })
            .collect()
    }

    /// `nodes[i]` is true where `target` depends on node i, itself included.
    pub fn ancestors(&self, target: NodeId) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        needed[target] = true;
        for id in (0..=target).rev() {
            if needed[id] {
                for &i in &self.nodes[id].inputs {
                    needed[i] = true;
                }
            }
        }
        needed
    }

    /// The network's own softmax at its first output (through layers that only pass values on), if it has one.
    pub fn softmax(&self) -> Option<NodeId> {
        let mut id = self.outputs[0];
        loop {
            match self.nodes[id].layer {
                Layer::Softmax { .. } | Layer::LogSoftmax { .. } => return Some(id),
                Layer::Identity | Layer::Flatten => id = self.nodes[id].inputs[0],
                _ => return None,
            }
        }
    }

    /// The node that holds the class scores: what goes into the softmax, or the first output where there is none.
    pub fn scores(&self) -> NodeId {
        match self.softmax() {
            Some(id) => self.nodes[id].inputs[0],
            None => self.outputs[0],
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.nodes[self.scores()].shape.len()
    }

    /// The last spatial activation before the layer that gives class scores: where the paper looks for its
    /// strongest map (section 4.2; SqueezeNet's fire9, AlexNet's last pooled maps).
    pub fn last_spatial(&self) -> Option<NodeId> {
        let needed = self.ancestors(self.scores());
        let scorer = (0..=self.scores())
            .rev()
            .find(|&id| needed[id] && matches!(self.nodes[id].layer, Layer::Conv2d { .. } | Layer::Linear { .. }))?;
        let needed = self.ancestors(scorer);
        (1..scorer).rev().find(|&id| {
            needed[id]
                && self.nodes[id].shape.is_spatial()
                && !matches!(self.nodes[id].layer, Layer::Identity | Layer::Flatten)
        })
    }

    /// A layer by its name, `#INDEX`, or an unambiguous part of its name. A miss names near ones.
    pub fn find(&self, wanted: &str) -> Result<NodeId> {
        if let Some(&id) = self.by_name.get(wanted) {
            return Ok(id);
        }
        if let Some(id) = wanted.strip_prefix('#').and_then(|n| n.parse::<usize>().ok()) {
            if id < self.nodes.len() {
                return Ok(id);
            }
            return Err(Error::Range {
                what: "layer",
                value: wanted.to_owned(),
                of: "the network".into(),
                limit: format!("{} layers (#0–#{})", self.nodes.len(), self.nodes.len() - 1),
            });
        }
        let lower = wanted.to_lowercase();
        let holds: Vec<NodeId> = (0..self.nodes.len())
            .filter(|&id| !wanted.is_empty() && self.nodes[id].name.to_lowercase().contains(&lower))
            .collect();
        let names = |ids: &[NodeId]| ids.iter().map(|&id| self.nodes[id].name.clone()).collect();
        match holds[..] {
            [id] => Ok(id),
            [] => Err(Error::Layer {
                wanted: wanted.to_owned(),
                near: text::near(wanted, self.nodes.iter().map(|n| n.name.as_str()), 6),
                ambiguous: false,
            }),
            _ => Err(Error::Layer {
                wanted: wanted.to_owned(),
                near: names(&holds[..holds.len().min(12)]),
                ambiguous: true,
            }),
        }
    }
}
