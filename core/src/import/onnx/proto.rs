//! The messages of `onnx.proto` that a network needs, as they stand in the file.
//!
//! ```text
//! ModelProto ─ opset_import, graph ─ node ─ attribute
//!                                  ├ initializer (TensorProto: dims, type, data)
//!                                  └ input, output (ValueInfoProto: name, type, dims)
//! ```
//!
//! Tensors and attributes stay unread spans until a node that matters asks for them. Field numbers are those of
//! onnx.proto; unknown fields are skipped; subgraphs are never entered.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::import::protobuf::{Field, Malformed, Message};

/// More nodes than this are no network but an attack on memory.
const MOST_NODES: usize = 1 << 18;

/// What a model file declares.
#[derive(Debug, Default)]
pub(super) struct Model<'a> {
    /// Version of the operator set of the domain `""` (also spelled `ai.onnx`).
    pub(super) opset: Option<i64>,
    /// The graph; `None` where the file ends before it.
    pub(super) graph: Option<Graph<'a>>,
}

/// Nodes and named tensors.
#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    /// Unread tensors by name.
    pub(super) initializers: HashMap<&'a str, Message<'a>>,
    /// Names of sparse tensors.
    pub(super) sparse: HashSet<&'a str>,
    pub(super) inputs: Vec<ValueInfo<'a>>,
    pub(super) outputs: Vec<&'a str>,
}

/// One operator. Tensors that are left out have empty names.
#[derive(Debug, Default)]
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    pub(super) op: &'a str,
    pub(super) domain: &'a str,
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    attributes: Vec<Message<'a>>,
}

/// A graph's input or output.
#[derive(Debug, Default)]
pub(super) struct ValueInfo<'a> {
    pub(super) name: &'a str,
    /// `TensorProto.DataType`; 0 where it is no tensor.
    pub(super) dtype: i64,
    /// `None` where the file does not say.
    pub(super) dims: Option<Vec<Dim<'a>>>,
}

/// One extent of a declared shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dim<'a> {
    Value(i64),
    /// Symbolic; the name may be empty.
    Symbol(&'a str),
}

/// A node's attribute, read.
#[derive(Debug, Default)]
pub(super) struct Attribute<'a> {
    /// `AttributeProto.AttributeType`, 0 where the file does not say.
    pub(super) kind: i64,
    pub(super) f: f32,
    pub(super) i: i64,
    pub(super) s: &'a [u8],
    pub(super) t: Option<Message<'a>>,
    pub(super) floats: Vec<u8>,
    pub(super) ints: Vec<i64>,
}

/// A tensor's description, with its data where they lie.
#[derive(Debug)]
pub(super) struct Tensor<'a> {
    pub(super) dims: Vec<i64>,
    /// `TensorProto.DataType`
    pub(super) dtype: i64,
    /// `raw_data`
    pub(super) raw: Option<Message<'a>>,
    message: Message<'a>,
    /// `location`, `offset`, `length`, … of external data, where `data_location` is EXTERNAL.
    pub(super) external: Option<HashMap<&'a str, &'a str>>,
}

impl<'a> Model<'a> {
    pub(super) fn parse(mut message: Message<'a>) -> Result<Self, Malformed> {
        let mut model = Model::default();
        while let Some(field) = message.next_field()? {
            match field.number {
                7 => model.graph.get_or_insert_default().parse(field.span()?)?,
                8 => {
                    let (domain, version) = operator_set(field.span()?)?;
                    if matches!(domain, "" | "ai.onnx") {
                        model.opset = Some(version);
                    }
                }
                _ => {}
            }
        }
        Ok(model)
    }
}

fn operator_set(mut message: Message<'_>) -> Result<(&str, i64), Malformed> {
    let (mut domain, mut version) = ("", 0);
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => domain = field.text()?,
            2 => version = field.int()?,
            _ => {}
        }
    }
    Ok((domain, version))
}

impl<'a> Graph<'a> {
    fn parse(&mut self, mut message: Message<'a>) -> Result<(), Malformed> {
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => {
                    if self.nodes.len() == MOST_NODES {
                        return Err(Malformed { at: field.at, what: "a graph of more than 262144 nodes" });
                    }
                    self.nodes.push(Node::parse(field.span()?)?);
                }
                5 => {
                    let span = field.span()?;
                    if self.initializers.insert(named(span.clone(), 8)?, span).is_some() {
                        return Err(Malformed { at: field.at, what: "an initialiser whose name is given twice" });
                    }
                }
                15 => {
                    let mut sparse = field.span()?;
                    while let Some(part) = sparse.next_field()? {
                        if part.number == 1 {
                            self.sparse.insert(named(part.span()?, 8)?);
                        }
                    }
                }
                11 => {
                    if self.inputs.len() == MOST_NODES {
                        return Err(Malformed { at: field.at, what: "a graph of more than 262144 inputs" });
                    }
                    self.inputs.push(ValueInfo::parse(field.span()?)?);
                }
                12 => self.outputs.push(named(field.span()?, 1)?),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The text in field `number` of a message of which no more is wanted yet.
fn named(mut message: Message<'_>, number: u32) -> Result<&str, Malformed> {
    let mut name = "";
    while let Some(field) = message.next_field()? {
        if field.number == number {
            name = field.text()?;
        }
    }
    Ok(name)
}

impl<'a> Node<'a> {
    fn parse(mut message: Message<'a>) -> Result<Self, Malformed> {
        let mut node = Node::default();
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => node.inputs.push(field.text()?),
                2 => node.outputs.push(field.text()?),
                3 => node.name = field.text()?,
                4 => node.op = field.text()?,
                5 => node.attributes.push(field.span()?),
                7 => node.domain = field.text()?,
                _ => {}
            }
        }
        Ok(node)
    }

    /// How messages call it: by its own name, else by its first output's.
    pub(super) fn label(&self) -> &'a str {
        if self.name.is_empty() {
            self.outputs.iter().copied().find(|o| !o.is_empty()).unwrap_or("")
        } else {
            self.name
        }
    }

    /// Attribute `name`, if the node has it.
    pub(super) fn attribute(&self, name: &str) -> Result<Option<Attribute<'a>>, Malformed> {
        for message in &self.attributes {
            if named(message.clone(), 1)? == name {
                return Attribute::parse(message.clone()).map(Some);
            }
        }
        Ok(None)
    }
}

impl<'a> Attribute<'a> {
    fn parse(mut message: Message<'a>) -> Result<Self, Malformed> {
        let mut attribute = Attribute::default();
        while let Some(field) = message.next_field()? {
            match field.number {
                2 => attribute.f = field.float()?,
                3 => attribute.i = field.int()?,
                4 => attribute.s = field.span()?.bytes(),
                5 => attribute.t = Some(field.span()?),
                7 => field.fixed(4, &mut attribute.floats)?,
                8 => field.ints(&mut attribute.ints)?,
                20 => attribute.kind = field.int()?,
                _ => {}
            }
        }
        Ok(attribute)
    }
}

impl<'a> ValueInfo<'a> {
    fn parse(mut message: Message<'a>) -> Result<Self, Malformed> {
        let mut info = ValueInfo::default();
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => info.name = field.text()?,
                2 => {
                    let mut kind = field.span()?;
                    while let Some(field) = kind.next_field()? {
                        if field.number == 1 {
                            info.tensor(field.span()?)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(info)
    }

    /// `TypeProto.Tensor`
    fn tensor(&mut self, mut message: Message<'a>) -> Result<(), Malformed> {
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => self.dtype = field.int()?,
                2 => {
                    let mut shape = field.span()?;
                    let dims = self.dims.get_or_insert_default();
                    while let Some(field) = shape.next_field()? {
                        if field.number == 1 {
                            dims.push(dimension(field.span()?)?);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn dimension(mut message: Message<'_>) -> Result<Dim<'_>, Malformed> {
    let mut dim = Dim::Symbol("");
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => dim = Dim::Value(field.int()?),
            2 => dim = Dim::Symbol(field.text()?),
            _ => {}
        }
    }
    Ok(dim)
}

/// The fields of [`Tensor`] that hold typed data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Float = 4,
    Int32 = 5,
    Int64 = 7,
    Double = 10,
    Uint64 = 11,
}

impl<'a> Tensor<'a> {
    pub(super) fn parse(message: Message<'a>) -> Result<Self, Malformed> {
        let mut tensor = Tensor { dims: Vec::new(), dtype: 0, raw: None, message: message.clone(), external: None };
        let mut entries = HashMap::new();
        let mut location = 0;
        let mut fields = message;
        while let Some(field) = fields.next_field()? {
            match field.number {
                1 => field.ints(&mut tensor.dims)?,
                2 => tensor.dtype = field.int()?,
                9 => tensor.raw = Some(field.span()?),
                13 => {
                    let (mut key, mut value) = ("", "");
                    let mut entry = field.span()?;
                    while let Some(field) = entry.next_field()? {
                        match field.number {
                            1 => key = field.text()?,
                            2 => value = field.text()?,
                            _ => {}
                        }
                    }
                    entries.insert(key, value);
                }
                14 => location = field.int()?,
                _ => {}
            }
        }
        if location == 1 {
            tensor.external = Some(entries);
        }
        Ok(tensor)
    }

    /// Calls `each` with every field of the kind, in order: one where the numbers are packed, else one a number.
    pub(super) fn typed(
        &self,
        kind: Typed,
        mut each: impl FnMut(Field<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let mut fields = self.message.clone();
        while let Some(field) = fields.next_field()? {
            if field.number == kind as u32 {
                each(field)?;
            }
        }
        Ok(())
    }

    /// The bytes of a field whose numbers are packed in one piece.
    pub(super) fn packed(&self, kind: Typed) -> Result<Option<Message<'a>>, Malformed> {
        let (mut count, mut last) = (0, None);
        self.typed(kind, |field| {
            count += 1;
            last = field.span().ok();
            Ok(())
        })?;
        Ok(last.filter(|_| count == 1))
    }
}

/// What [`Malformed`] bytes are to the caller.
pub(super) fn format_error(path: &std::path::Path, e: Malformed) -> Error {
    Error::format(path, format!("damaged ONNX file: {} at byte {}", e.what, e.at))
}
