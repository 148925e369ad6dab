//! ONNX import: every operator and rule on little models written here, wrong files, and SqueezeNet.

#[path = "import/constants.rs"]
mod constants;
#[path = "import/damage.rs"]
mod damage;
#[path = "import/graph.rs"]
mod graph;
#[path = "import/layers.rs"]
mod layers;
#[path = "import/layout.rs"]
mod layout;
#[path = "import/onnx.rs"]
mod onnx;
#[path = "import/windows.rs"]
mod windows;

use switchback_core::error::Unsupported;
use switchback_core::{Error, Layer, Model, Shape};

use onnx::{Net, Op};

/// The layer and shape of node `name`.
fn node<'m>(model: &'m Model, name: &str) -> (&'m Layer, Shape) {
    let node = model.network.nodes().iter().find(|n| n.name == name).unwrap_or_else(|| panic!("no node {name}"));
    (&node.layer, node.shape)
}

/// `x` of `dims` through one node that makes `y`.
fn one(opset: u64, dims: &str, op: Op) -> Net {
    Net::new(opset).input("x", dims).node(op).output("y")
}

/// The layer and shape of `y`.
#[track_caller]
fn y(net: &Net) -> (Layer, Shape) {
    let model = net.open().unwrap();
    let (layer, shape) = node(&model, "y");
    (layer.clone(), shape)
}

/// The reasons for which a model is not supported.
#[track_caller]
fn unsupported(net: &Net) -> Vec<Unsupported> {
    match net.open() {
        Err(Error::Unsupported { nodes, .. }) => nodes,
        other => panic!("expected nodes that are not supported, got {other:?}"),
    }
}

/// The only reason.
#[track_caller]
fn why(net: &Net) -> String {
    let nodes = unsupported(net);
    assert_eq!(nodes.len(), 1, "{nodes:?}");
    nodes[0].why.clone()
}

/// What an error says, which must be of `kind`.
#[track_caller]
fn error(net: &Net, kind: &str) -> String {
    let e = net.open().expect_err("the model should be wrong");
    assert_eq!(e.kind(), kind, "{e}");
    e.to_string()
}

/// The scale and shift of an affine node.
fn affine(model: &Model, name: &str) -> (Vec<f32>, Vec<f32>) {
    match node(model, name).0 {
        Layer::Affine { scale, shift } => (model.weights.view(*scale).to_vec(), model.weights.view(*shift).to_vec()),
        other => panic!("{name} is {other:?}"),
    }
}

/// SqueezeNet as it was published: weights listed as inputs, raw float32 or float16 data.
#[test]
fn squeezenet_is_read_whole() {
    for name in ["models/squeezenet1.1.onnx", "models/squeezenet1.1-fp16.onnx"] {
        let Some(path) = switchback_testdata::shared(name) else { return };
        let model = Model::open(&path, true).unwrap();
        let net = &model.network;
        assert_eq!((net.nodes().len(), net.nodes()[0].name.as_str()), (67, "data_0"));
        assert_eq!(net.input_shape(), Shape::new(3, 224, 224));
        assert_eq!(node(&model, "conv1_1").1, Shape::new(64, 111, 111));
        assert_eq!(node(&model, "fire9/concat_1").1, Shape::new(512, 13, 13));
        assert_eq!(net.nodes()[net.last_spatial().unwrap()].name, "fire9/concat_1");
        assert_eq!((net.classes(), model.weights.len()), (1000, 52));
        assert_eq!(net.nodes()[net.outputs()[0]].name, "softmaxout_1");
        let numbers: usize = model.weights.ids().map(|id| model.weights.view(id).len()).sum();
        assert_eq!(numbers, 1_235_496);
        let bytes = if name.contains("fp16") { 2 } else { 4 };
        assert_eq!(model.weights.total_bytes(), numbers * bytes, "weights are views");
    }
}
