//! One ONNX node after the other becomes nodes of our own, or constants.
//!
//! ```text
//! tensor of the file ─┬─ Map       node of the network; (N, …) in ONNX, (C, H, W) for us, the same order of numbers
//!                     ├─ Constant  initialiser, or folded from constants and shapes
//!                     └─ Unknown   made by a node that is not supported: what reads it is still checked as far as it goes
//! ```
//!
//! What each operator means is in [`windows`](super::windows), [`arithmetic`](super::arithmetic),
//! [`dense`](super::dense), [`layout`](super::layout) and [`fold`]; here is what they share.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use crate::error::{Error, Result, Unsupported};
use crate::network::{Layer, NodeId, NodeSpec, WeightId, shape::output_shape};
use crate::tensor::Shape;
use crate::weights::WeightStore;

use super::constant::{Constant, Data, Sym};
use super::external::Sources;
use super::fold;
use super::proto::{Attribute, Graph, Node, format_error};

/// Why a node gave nothing.
#[derive(Debug)]
pub(super) enum Stop {
    /// It asks for what this program does not have.
    Unsupported(String),
    /// It reads what an unsupported node makes.
    Unknown,
    /// The file is wrong.
    Hard(Error),
}

impl From<Error> for Stop {
    fn from(e: Error) -> Self {
        Stop::Hard(e)
    }
}

pub(super) type Lowered<T> = Result<T, Stop>;

/// An [`Stop::Unsupported`] with its reason.
pub(super) fn unsupported<T>(why: impl Into<String>) -> Lowered<T> {
    Err(Stop::Unsupported(why.into()))
}

/// A tensor that a run computes, and how ONNX sees it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Map {
    pub(super) node: NodeId,
    /// The first axis counts pictures. False after a squeeze of a batch of one.
    pub(super) batch: bool,
    /// The other axes: channels first, then what multiplies to H·W.
    pub(super) rest: Vec<usize>,
}

impl Map {
    pub(super) fn rank(&self) -> usize {
        usize::from(self.batch) + self.rest.len()
    }

    /// Which axis counts channels.
    pub(super) fn channel_axis(&self) -> usize {
        usize::from(self.batch)
    }

    /// The axes as shape arithmetic sees them.
    pub(super) fn dims(&self) -> Vec<Sym> {
        let batch = self.batch.then_some(Sym::Batch(1));
        batch.into_iter().chain(self.rest.iter().map(|&d| Sym::Int(d as i64))).collect()
    }
}

impl std::fmt::Display for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let batch = self.batch.then(|| "N".to_owned());
        let dims: Vec<String> = batch.into_iter().chain(self.rest.iter().map(usize::to_string)).collect();
        write!(f, "({})", dims.join(", "))
    }
}

/// A tensor of the file.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Map(Map),
    Constant(Constant),
    Unknown,
}

/// The network as far as it is built.
#[derive(Debug)]
pub(super) struct Lowering<'a> {
    pub(super) path: &'a Path,
    pub(super) graph: &'a Graph<'a>,
    pub(super) opset: i64,
    /// The batch that the file declares; `None` where it is a symbol.
    pub(super) batch: Option<usize>,
    /// Tensors that somebody reads.
    pub(super) read: HashSet<&'a str>,
    pub(super) sources: Sources,
    pub(super) store: WeightStore,
    pub(super) specs: Vec<NodeSpec>,
    pub(super) shapes: Vec<Shape>,
    pub(super) values: HashMap<&'a str, Value>,
    pub(super) added: HashMap<Rc<str>, WeightId>,
}

impl<'a> Lowering<'a> {
    /// Lowers the nodes in `order`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with all that is not supported; else the first thing that is wrong.
    pub(super) fn run(&mut self, order: &[usize]) -> Result<()> {
        let graph = self.graph;
        let mut nodes = Vec::new();
        let mut wrong = None;
        for node in order.iter().map(|&i| &graph.nodes[i]) {
            let value = match self.lower(node) {
                Ok(value) => value,
                Err(stop) => {
                    match stop {
                        Stop::Unknown => {}
                        Stop::Hard(e) => wrong = wrong.or(Some(e)),
                        Stop::Unsupported(why) => {
                            let operator = match node.domain {
                                "" | "ai.onnx" => node.op.to_owned(),
                                domain => format!("{domain}.{}", node.op),
                            };
                            nodes.push(Unsupported { node: node.label().to_owned(), operator, why });
                        }
                    }
                    Value::Unknown
                }
            };
            let mut outputs = node.outputs.iter().copied();
            if let Some(first) = outputs.next() {
                self.values.insert(first, value);
            }
            // That nobody reads them unless the node is unsupported is checked in `lower`.
            self.values.extend(outputs.map(|o| (o, Value::Unknown)));
        }
        if !nodes.is_empty() {
            return Err(Error::Unsupported { path: self.path.to_owned(), nodes });
        }
        wrong.map_or(Ok(()), Err)
    }

    fn lower(&mut self, node: &Node<'a>) -> Lowered<Value> {
        if !matches!(node.domain, "" | "ai.onnx") {
            return unsupported(format!("operators of the domain \"{}\" are not part of ONNX itself", node.domain));
        }
        if fold::folds(node.op)
            && let Some(inputs) = self.constants(node)?
        {
            return fold::fold(self, node, &inputs).map(Value::Constant);
        }
        let value = match node.op {
            "Conv" => self.conv(node),
            "ConvTranspose" => self.conv_transpose(node),
            "MaxPool" => self.max_pool(node),
            "AveragePool" => self.average_pool(node),
            "GlobalAveragePool" => self.global_pool(node, Layer::GlobalAvgPool),
            "GlobalMaxPool" => self.global_pool(node, Layer::GlobalMaxPool),
            "Pad" => self.pad(node),
            "Relu" => self.elementwise(node, Layer::Relu),
            "LeakyRelu" => self.leaky_relu(node),
            "PRelu" => self.prelu(node),
            "Clip" => self.clip(node),
            "LRN" => self.lrn(node),
            "BatchNormalization" => self.batch_normalization(node),
            "Add" | "Sub" | "Mul" | "Div" => self.binary(node),
            "Sum" => self.sum(node),
            "Gemm" => self.gemm(node),
            "MatMul" => self.matmul(node),
            "Softmax" | "LogSoftmax" => self.softmax(node),
            "Concat" => self.concat(node),
            "Flatten" => self.flatten(node),
            "Reshape" => self.reshape(node),
            "Squeeze" => self.squeeze(node),
            "Unsqueeze" => self.unsqueeze(node),
            "ReduceMean" => self.reduce(node, Layer::GlobalAvgPool),
            "ReduceMax" => self.reduce(node, Layer::GlobalMaxPool),
            "Shape" => self.shape(node),
            "Dropout" => self.dropout(node),
            "Identity" => self.elementwise(node, Layer::Identity),
            "Cast" => self.cast(node),
            op => unsupported(reason(op)),
        }?;
        match node.outputs.iter().skip(1).find(|&&o| !o.is_empty() && self.read.contains(o)) {
            Some(output) => unsupported(format!("its further output \"{output}\" is used; only the first is computed")),
            None => Ok(value),
        }
    }

    /// All inputs, where they are constants.
    fn constants(&mut self, node: &Node<'a>) -> Lowered<Option<Vec<Option<Constant>>>> {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for i in 0..node.inputs.len() {
            match self.input(node, i) {
                Ok(Some(Value::Constant(c))) => inputs.push(Some(c)),
                Ok(None) => inputs.push(None),
                Ok(Some(_)) | Err(Stop::Unknown) => return Ok(None),
                Err(e) => return Err(e),
            }
        }
        Ok(Some(inputs))
    }

    /// Input `i`; `None` where it is left out.
    pub(super) fn input(&mut self, node: &Node<'a>, i: usize) -> Lowered<Option<Value>> {
        let Some(&name) = node.inputs.get(i).filter(|n| !n.is_empty()) else { return Ok(None) };
        if let Some(value) = self.values.get(name) {
            return if matches!(value, Value::Unknown) { Err(Stop::Unknown) } else { Ok(Some(value.clone())) };
        }
        if let Some(message) = self.graph.initializers.get(name) {
            let value = Value::Constant(Constant::read(name, message.clone(), &mut self.sources)?);
            self.values.insert(name, value.clone());
            return Ok(Some(value));
        }
        if self.graph.sparse.contains(name) {
            return unsupported(format!("its input \"{name}\" is a sparse tensor"));
        }
        Err(graph_error(node, format!("reads tensor \"{name}\", which nothing gives")))
    }

    /// Input `i`, computed by a run.
    pub(super) fn map(&mut self, node: &Node<'a>, i: usize) -> Lowered<Map> {
        match self.input(node, i)? {
            Some(Value::Map(map)) => Ok(map),
            Some(_) => unsupported(format!("its input \"{}\" is a constant", node.inputs[i])),
            None => Err(graph_error(node, format!("has no input {i}"))),
        }
    }

    /// Input `i`, which must not depend on the picture; `what` says what it is.
    pub(super) fn constant(&mut self, node: &Node<'a>, i: usize, what: &str) -> Lowered<Constant> {
        match self.optional_constant(node, i, what)? {
            Some(c) => Ok(c),
            None => Err(graph_error(node, format!("has no input {i} ({what})"))),
        }
    }

    /// The same, where it may be left out.
    pub(super) fn optional_constant(&mut self, node: &Node<'a>, i: usize, what: &str) -> Lowered<Option<Constant>> {
        match self.input(node, i)? {
            Some(Value::Constant(c)) => Ok(Some(c)),
            Some(_) => {
                unsupported(format!("its {what} \"{}\" is computed by the network, not a constant", node.inputs[i]))
            }
            None => Ok(None),
        }
    }

    /// Integers that an old opset has as attribute `name` and a new one as input `i`; `None` where both are left out.
    pub(super) fn int_list(&mut self, node: &Node<'a>, name: &str, i: usize) -> Lowered<Option<Vec<i64>>> {
        if let Some(attribute) = self.ints(node, name)? {
            return Ok(Some(attribute));
        }
        let Some(constant) = self.optional_constant(node, i, name)? else { return Ok(None) };
        let Data::Ints(data) = &constant.data else {
            return Err(graph_error(node, format!("its {name} \"{}\" are no integers", node.inputs[i])));
        };
        let ints: Option<Vec<i64>> = data.iter().map(|s| if let Sym::Int(i) = s { Some(*i) } else { None }).collect();
        match ints {
            Some(ints) => Ok(Some(ints)),
            None => unsupported(format!("its {name} depend on the number of pictures")),
        }
    }

    /// All numbers of a constant.
    pub(super) fn floats(&self, node: &Node<'a>, constant: &Constant) -> Lowered<Vec<f32>> {
        constant
            .to_floats(&self.sources)
            .ok_or_else(|| graph_error(node, format!("reads \"{}\" as numbers, which is a shape", constant.name)))
    }

    /// The one number of a constant; `None` where it has none or many.
    pub(super) fn scalar(&self, node: &Node<'a>, constant: &Constant) -> Lowered<Option<f32>> {
        Ok(if constant.len() == 1 { self.floats(node, constant)?.first().copied() } else { None })
    }

    /// The constant as a weight of the network: stored once, where it lies.
    pub(super) fn weight(&mut self, node: &Node<'a>, constant: &Constant) -> Lowered<WeightId> {
        if let Some(&id) = self.added.get(&constant.name) {
            return Ok(id);
        }
        let id = match &constant.data {
            Data::View { source, range, dtype } => {
                let source = self.sources.id(*source, &mut self.store);
                self.store.add_view(&constant.name, &constant.dims, *dtype, source, range.clone())
            }
            Data::Floats(data) => Some(self.store.add_f32(&constant.name, &constant.dims, data)),
            Data::Ints(_) => None,
        };
        let id = id.ok_or_else(|| graph_error(node, format!("its weights \"{}\" are no floats", constant.name)))?;
        self.added.insert(constant.name.clone(), id);
        Ok(id)
    }

    /// Numbers that this program computed, as a weight called after the node's output and `suffix`.
    pub(super) fn computed(&mut self, node: &Node<'a>, suffix: &str, dims: &[usize], data: &[f32]) -> WeightId {
        let mut name = format!("{}.{suffix}", output_name(node));
        // Names of weights become keys when the model is converted.
        while self.graph.initializers.contains_key(name.as_str()) || self.added.contains_key(name.as_str()) {
            name.push('_');
        }
        let id = self.store.add_f32(&name, dims, data);
        self.added.insert(name.into(), id);
        id
    }

    /// Appends a node of the network; its ONNX shape has axes `rest` after the batch.
    pub(super) fn emit(&mut self, node: &Node<'a>, layer: Layer, inputs: Vec<NodeId>, map: Map) -> Lowered<Value> {
        let shapes: Vec<Shape> = inputs.iter().map(|&i| self.shapes[i]).collect();
        let shape = output_shape(node.label(), &layer, &shapes)?;
        self.specs.push(NodeSpec { name: output_name(node).to_owned(), layer, inputs });
        self.shapes.push(shape);
        Ok(Value::Map(Map { node: self.specs.len() - 1, ..map }))
    }

    /// The same for maps: axes (N, C, H, W).
    pub(super) fn emit_maps(&mut self, node: &Node<'a>, layer: Layer, inputs: Vec<NodeId>) -> Lowered<Value> {
        let value = self.emit(node, layer, inputs, Map { node: 0, batch: true, rest: Vec::new() })?;
        let shape = self.shapes[self.specs.len() - 1];
        Ok(match value {
            Value::Map(map) => Value::Map(Map { rest: vec![shape.c, shape.h, shape.w], ..map }),
            other => other,
        })
    }

    /// A layer that keeps the shape of its input 0.
    pub(super) fn elementwise(&mut self, node: &Node<'a>, layer: Layer) -> Lowered<Value> {
        let map = self.map(node, 0)?;
        self.emit(node, layer, vec![map.node], map)
    }

    /// The shape of an input that must be (N, C, H, W).
    pub(super) fn spatial(&self, node: &Node<'a>, map: &Map) -> Lowered<Shape> {
        let shape = self.shapes[map.node];
        if !map.batch || map.rest.len() != 3 {
            let expected = "maps (N, C, H, W)".to_owned();
            return Err(Error::Shape { node: node.label().to_owned(), expected, found: map.to_string() }.into());
        }
        if map.rest[1..] != shape.size() {
            return unsupported(format!("its input is {shape} regrouped to {map}"));
        }
        Ok(shape)
    }

    fn attribute(&self, node: &Node<'a>, name: &str, kind: i64, what: &str) -> Lowered<Option<Attribute<'a>>> {
        let attribute = node.attribute(name).map_err(|e| format_error(self.path, e))?;
        match &attribute {
            Some(a) if a.kind != 0 && a.kind != kind => {
                Err(graph_error(node, format!("its attribute {name} is no {what} (type {})", a.kind)))
            }
            _ => Ok(attribute),
        }
    }

    pub(super) fn float(&self, node: &Node<'a>, name: &str) -> Lowered<Option<f32>> {
        Ok(self.attribute(node, name, 1, "float")?.map(|a| a.f))
    }

    pub(super) fn int(&self, node: &Node<'a>, name: &str) -> Lowered<Option<i64>> {
        Ok(self.attribute(node, name, 2, "integer")?.map(|a| a.i))
    }

    pub(super) fn text(&self, node: &Node<'a>, name: &str) -> Lowered<Option<String>> {
        Ok(self.attribute(node, name, 3, "text")?.map(|a| String::from_utf8_lossy(a.s).into_owned()))
    }

    pub(super) fn ints(&self, node: &Node<'a>, name: &str) -> Lowered<Option<Vec<i64>>> {
        Ok(self.attribute(node, name, 7, "list of integers")?.map(|a| a.ints))
    }

    /// An attribute whatever its type, for `Constant` and for types that changed between opsets.
    pub(super) fn any(&self, node: &Node<'a>, name: &str) -> Lowered<Option<Attribute<'a>>> {
        Ok(node.attribute(name).map_err(|e| format_error(self.path, e))?)
    }
}

/// The tensor that the node makes: the name that the network's node gets.
pub(super) fn output_name<'a>(node: &Node<'a>) -> &'a str {
    node.outputs.first().copied().unwrap_or("")
}

pub(super) fn graph_error(node: &Node<'_>, what: String) -> Stop {
    Stop::Hard(Error::Graph { node: node.label().to_owned(), what })
}

pub(super) fn shape_error(node: &Node<'_>, expected: impl Into<String>, found: impl Into<String>) -> Stop {
    Stop::Hard(Error::Shape { node: node.label().to_owned(), expected: expected.into(), found: found.into() })
}

/// Axis `axis` of `rank`, counted from the end where it is negative.
pub(super) fn axis(node: &Node<'_>, axis: i64, rank: usize) -> Lowered<usize> {
    let from_start = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    match from_start.map(usize::try_from) {
        Some(Ok(a)) if a < rank => Ok(a),
        _ => Err(shape_error(node, format!("an axis of {rank}"), format!("axis {axis}"))),
    }
}

/// Why an operator is not there.
fn reason(op: &str) -> String {
    match op {
        "If" | "Loop" | "Scan" | "SequenceMap" => "control flow with subgraphs is not supported",
        "QuantizeLinear" | "DequantizeLinear" | "DynamicQuantizeLinear" | "ConvInteger" | "MatMulInteger" => {
            "integer (quantised) arithmetic is not supported: take the float model"
        }
        op if op.starts_with("QLinear") => "integer (quantised) arithmetic is not supported: take the float model",
        "Transpose" | "DepthToSpace" | "SpaceToDepth" => "layers that move numbers between axes are not supported",
        "LSTM" | "GRU" | "RNN" => "recurrent layers are not supported",
        "" => "the node has no operator",
        "Gather" | "Slice" | "ConstantOfShape" => "it is supported on shapes only",
        _ => "there is no such layer here",
    }
    .to_owned()
}
