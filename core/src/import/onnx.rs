//! ONNX models, opsets 3 to 22, to a [`Model`].
//!
//! ```text
//! bytes ─ proto ─▶ graph ─ order ─▶ the nodes that matter, sorted ─ lower ─▶ Network + WeightStore
//!                            constant, external, fold ───────────────┘ windows, arithmetic, dense, layout
//! ```
//!
//! A node of the network carries the name of the tensor that it computes. Weights stay views of the file. What is not
//! supported is reported all at once; nothing in a file can make this panic.
//!
//! | operators | become |
//! | --- | --- |
//! | Conv, ConvTranspose, MaxPool, AveragePool, Global…Pool, Pad | their layers; `auto_pad` is worked out here |
//! | Relu, LeakyRelu, PRelu of one slope, Clip, LRN, Softmax, LogSoftmax | their layers |
//! | BatchNormalization; Add, Sub, Mul, Div with a constant | `Affine` |
//! | Gemm, MatMul | `Linear` |
//! | Add, Sum, Concat of channels | `Add`, `Concat` |
//! | ReduceMean, ReduceMax over places | `GlobalAvgPool`, `GlobalMaxPool` |
//! | Flatten, Reshape, Squeeze, Unsqueeze | `Flatten`, `Identity` |
//! | Dropout, Identity, Cast between floats | `Identity` |
//! | the arithmetic of shapes | nothing: it is folded |

mod arithmetic;
mod constant;
mod dense;
mod external;
mod fold;
mod layout;
mod lists;
mod lower;
mod order;
mod proto;
mod windows;

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::import::protobuf::{Message, Value as Wire};
use crate::model::Model;
use crate::network::{Layer, Network, NodeSpec};
use crate::tensor::Shape;
use crate::weights::WeightStore;
use crate::weights::mmap::Bytes;

use constant::dtype;
use external::Sources;
use lower::{Lowering, Map, Value};
use order::Order;
use proto::{Dim, Graph, ValueInfo};

/// The versions of ONNX's operator set that are understood.
const OPSETS: std::ops::RangeInclusive<i64> = 3..=22;

/// Whether the bytes may be an ONNX model: fields of a ModelProto, the version or the graph among the first.
pub fn looks_like(bytes: &[u8]) -> bool {
    let mut message = Message::new(bytes);
    for _ in 0..32 {
        match message.next_field() {
            Ok(Some(field)) => match (field.number, field.value) {
                (1, Wire::Varint(_)) | (7, Wire::Span(_)) => return true,
                (5, Wire::Varint(_)) | (2..=4 | 6 | 8 | 14 | 20 | 25 | 26, Wire::Span(_)) => {}
                _ => return false,
            },
            _ => return false,
        }
    }
    false
}

/// Reads the graph; weights stay where they lie in `bytes`. External data are looked for beside `path` only.
///
/// # Errors
/// [`Error::Unsupported`] with every node that cannot run; [`Error::Format`] for damaged bytes, with the place;
/// [`Error::Graph`] and [`Error::Shape`] for a graph that is no network.
pub fn open(path: &Path, bytes: Bytes, map: bool) -> Result<Model> {
    let file = bytes.clone();
    let declared = proto::Model::parse(Message::new(&file)).map_err(|e| proto::format_error(path, e))?;
    let cut = |what: &str| Error::format(path, format!("the file ends at byte {} without {what}", file.len()));
    let graph = declared.graph.ok_or_else(|| cut("a graph"))?;
    let opset = declared.opset.ok_or_else(|| cut("the version of its operator set"))?;
    if !OPSETS.contains(&opset) {
        let (first, last) = (OPSETS.start(), OPSETS.end());
        return Err(Error::format(
            path,
            format!(
                "ONNX operator set {opset}; versions {first} to {last} are understood (onnx.version_converter converts)"
            ),
        ));
    }
    if graph.outputs.is_empty() {
        return Err(Error::Graph { node: String::new(), what: "the graph has no outputs".into() });
    }
    let Order { nodes, read } = order::order(&graph)?;
    let input = the_input(&graph, &read)?;
    let (shape, batch) = input_shape(input)?;
    let rest = if input.dims.as_ref().is_some_and(|d| d.len() == 2) {
        vec![shape.c]
    } else {
        <[usize; 3]>::from(shape).to_vec()
    };

    let mut lowering = Lowering {
        path,
        graph: &graph,
        opset,
        batch,
        read,
        sources: Sources::new(path, bytes.clone(), map),
        store: WeightStore::new(),
        specs: vec![NodeSpec { name: input.name.to_owned(), layer: Layer::Input { shape }, inputs: vec![] }],
        shapes: vec![shape],
        values: HashMap::from([(input.name, Value::Map(Map { node: 0, batch: true, rest }))]),
        added: HashMap::new(),
    };
    lowering.run(&nodes)?;

    let mut outputs = Vec::with_capacity(graph.outputs.len());
    for &name in &graph.outputs {
        match lowering.values.get(name) {
            Some(Value::Map(map)) => outputs.push(map.node),
            Some(Value::Unknown) => {
                let what = "is an output of the graph; only a node's first output is computed".into();
                return Err(Error::Graph { node: name.to_owned(), what });
            }
            Some(Value::Constant(_)) => {
                let what = "is an output of the graph that does not depend on the input".into();
                return Err(Error::Graph { node: name.to_owned(), what });
            }
            None => {
                let what = "is an output of the graph that no node makes".into();
                return Err(Error::Graph { node: name.to_owned(), what });
            }
        }
    }
    let network = Network::new(lowering.specs, outputs)?;
    Ok(Model {
        network,
        weights: lowering.store,
        preprocess: None,
        labels: None,
        path: path.to_owned(),
        bytes,
        format: "onnx",
    })
}

/// The one graph input that is read and is no initialiser (until IR 3 initialisers were inputs too).
fn the_input<'g, 'a>(graph: &'g Graph<'a>, read: &std::collections::HashSet<&str>) -> Result<&'g ValueInfo<'a>> {
    let free = |i: &&ValueInfo<'_>| !graph.initializers.contains_key(i.name) && !graph.sparse.contains(i.name);
    let inputs: Vec<&ValueInfo<'a>> = graph.inputs.iter().filter(free).filter(|i| read.contains(i.name)).collect();
    match inputs[..] {
        [input] => Ok(input),
        [] => Err(Error::Graph { node: String::new(), what: "the outputs depend on no input of the graph".into() }),
        _ => {
            let names: Vec<String> = inputs.iter().take(16).map(|i| format!("\"{}\"", i.name)).collect();
            let what = format!("the graph has {} inputs, one is supported: {}", inputs.len(), names.join(", "));
            Err(Error::Graph { node: inputs[0].name.to_owned(), what })
        }
    }
}

/// Shape of a picture, and the batch if it is a number.
fn input_shape(input: &ValueInfo<'_>) -> Result<(Shape, Option<usize>)> {
    let wrong = |expected: &str, found: String| Error::Shape {
        node: input.name.to_owned(),
        expected: expected.to_owned(),
        found,
    };
    if !dtype::is_float(input.dtype) {
        return Err(wrong("an input of float32 or float16", dtype::name(input.dtype)));
    }
    let Some(dims) = &input.dims else { return Err(wrong("an input (N, C, H, W)", "no shape".into())) };
    let written = || {
        let dims: Vec<String> = dims
            .iter()
            .map(|d| match d {
                Dim::Value(n) => n.to_string(),
                Dim::Symbol("") => "?".to_owned(),
                Dim::Symbol(s) => format!("\"{s}\""),
            })
            .collect();
        format!("({})", dims.join(", "))
    };
    if !matches!(dims.len(), 2 | 4) {
        return Err(wrong("an input (N, C, H, W)", written()));
    }
    let mut sizes = [1; 3];
    for (i, dim) in dims[1..].iter().enumerate() {
        let what = ["channels", "height", "width"][i];
        sizes[i] = match dim {
            Dim::Value(n @ 1..=0x7fff_ffff) => *n as usize,
            Dim::Value(_) => return Err(wrong(&format!("a fixed number of {what} (axis {})", i + 1), written())),
            Dim::Symbol(_) => {
                let expected = format!("a fixed {what} (axis {}); export the model with a fixed input", i + 1);
                return Err(wrong(&expected, format!("a symbol in {}", written())));
            }
        };
    }
    // Exporters write 0 and −1 for a batch that they do not know.
    let batch = match dims[0] {
        Dim::Value(n) => usize::try_from(n).ok().filter(|&n| n > 0),
        Dim::Symbol(_) => None,
    };
    Ok((Shape::from(sizes), batch))
}
