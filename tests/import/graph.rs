//! The graph as a whole: versions, inputs, outputs, order, names.

use switchback_core::{Layer, Shape};

use crate::onnx::{FLOAT16, INT64, Net, Proto, UINT8, filled, op};
use crate::{error, node, one, onnx, unsupported, y};

#[test]
fn operator_sets_3_to_22_are_read() {
    for opset in 3..=22 {
        assert_eq!(y(&one(opset, "N 2 3 3", op("Relu", "x", "y"))).0, Layer::Relu);
    }
    for opset in [0, 1, 2, 23, 1 << 40] {
        let message = error(&one(opset, "N 2 3 3", op("Relu", "x", "y")), "format");
        assert!(message.contains("3 to 22") && message.contains(&opset.to_string()), "{message}");
    }
    // The version of another domain says nothing; "ai.onnx" is the default domain's other name.
    let both = one(9, "N 2 3 3", op("Relu", "x", "y").domain("ai.onnx")).opset("ai.onnx.ml", 1).opset("ai.onnx", 10);
    assert_eq!(y(&both).0, Layer::Relu);
    let foreign = one(9, "N 2 3 3", op("FusedConv", "x", "y").domain("com.microsoft"));
    let nodes = unsupported(&foreign);
    assert_eq!(nodes[0].operator, "com.microsoft.FusedConv");
    assert!(nodes[0].why.contains("com.microsoft"));
}

#[test]
fn the_input_is_the_one_that_is_no_initialiser() {
    // IR 3: weights are inputs too, and may come first.
    let net = Net::new(7)
        .input("w", "4 3 1 1")
        .input("picture", "1 3 5 7")
        .node(op("Conv", "picture w", "y"))
        .init(filled("w", &[4, 3, 1, 1]))
        .output("y");
    let model = net.open().unwrap();
    assert_eq!(model.network.nodes()[0].name, "picture");
    assert_eq!(node(&model, "y").1, Shape::new(4, 5, 7));
    assert_eq!((model.format, model.preprocess.is_none(), model.labels.is_none()), ("onnx", true, true));

    let two = Net::new(7).input("a", "1 3 5 7").input("b", "1 3 5 7").node(op("Add", "a b", "y")).output("y");
    let message = error(&two, "graph");
    assert!(message.contains("\"a\", \"b\""), "{message}");
    // One that nothing reads does not count.
    let unused = Net::new(7).input("a", "1 3 5 7").input("b", "1 3 5 7").node(op("Relu", "b", "y")).output("y");
    assert_eq!(unused.open().unwrap().network.nodes()[0].name, "b");
    let none = Net::new(12).node(op("Constant", "", "y").float("value_float", 1.0)).output("y");
    assert!(error(&none, "graph").contains("no input"));
}

#[test]
fn the_input_must_have_a_type_and_a_size() {
    let net = |dims: &str, dtype: u64| Net::new(7).typed_input("x", dims, dtype).node(op("Relu", "x", "y")).output("y");
    for batch in ["1", "16", "N", "?", "0", "-1"] {
        assert_eq!(y(&net(&format!("{batch} 3 4 5"), 1)).1, Shape::new(3, 4, 5));
    }
    y(&net("N 3 4 5", FLOAT16));
    assert!(error(&net("N 3 4 5", UINT8), "shape").contains("uint8"));
    assert!(error(&net("N 3 4 5", INT64), "shape").contains("int64"));
    let height = error(&net("N 3 rows 5", 1), "shape");
    assert!(height.contains("height (axis 2)") && height.contains("rows"), "{height}");
    assert!(error(&net("N 3 4 ?", 1), "shape").contains("width (axis 3)"));
    assert!(error(&net("N c 4 5", 1), "shape").contains("channels (axis 1)"));
    assert!(error(&net("N 3 0 5", 1), "shape").contains("height"));
    assert!(error(&net("N 3 4", 1), "shape").contains("(N, C, H, W)"));
    error(&net("N 2147483647 2147483647 2147483647", 1), "shape");
    error(&net("N 3 9223372036854775807 5", 1), "shape");
    let nothing = Proto::new().message(1, &Proto::new().text(1, "Relu"));
    assert!(onnx::open(Proto::new().varint(1, 3).message(7, &nothing).0).is_err());
}

#[test]
fn nodes_are_sorted_and_only_those_that_matter_count() {
    let net = Net::new(9)
        .input("x", "N 2 4 4")
        .node(op("GlobalMaxPool", "c", "y"))
        .node(op("Relu", "b", "c"))
        .node(op("Loop", "c", "nobody"))
        .node(op("Identity", "x", "b"))
        .output("y");
    let model = net.open().unwrap();
    let names: Vec<&str> = model.network.nodes().iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["x", "b", "c", "y"]);

    let outputs = Net::new(9)
        .input("x", "N 2 4 4")
        .node(op("Relu", "x", "a"))
        .node(op("GlobalMaxPool", "a", "b"))
        .output("b")
        .output("a")
        .output("x")
        .open()
        .unwrap();
    assert_eq!(outputs.network.outputs(), [2, 1, 0]);
}

#[test]
fn graphs_that_are_none() {
    let cycle = Net::new(9)
        .input("x", "N 2 4 4")
        .node(op("Add", "x c", "a").named("first"))
        .node(op("Relu", "a", "b"))
        .node(op("Relu", "b", "c").named("third"))
        .node(op("Relu", "c", "y"))
        .output("y");
    let message = error(&cycle, "graph");
    assert!(message.contains("cycle") && message.contains("first") && message.contains("third"), "{message}");
    assert!(!message.contains("\"y\""), "y is behind the cycle, not on it: {message}");
    assert!(error(&one(9, "N 2 4 4", op("Add", "x y", "y")), "graph").contains("cycle"));

    let twice = Net::new(9).input("x", "N 2 4 4").node(op("Relu", "x", "y")).node(op("Identity", "x", "y")).output("y");
    assert!(error(&twice, "graph").contains("makes too"));
    assert!(error(&one(9, "N 2 4 4", op("Relu", "x", "x")), "graph").contains("input or initialiser"));
    let shadow = one(9, "N 2 4 4", op("Relu", "x", "y")).init(filled("y", &[1]));
    assert!(error(&shadow, "graph").contains("input or initialiser"));
    let same = one(9, "N 2 4 4", op("Add", "x w", "y")).init(filled("w", &[1])).init(filled("w", &[1]));
    assert!(error(&same, "format").contains("twice"));
    let missing = one(9, "N 2 4 4", op("Add", "x gone", "y").named("sum"));
    let message = error(&missing, "graph");
    assert!(message.contains("sum") && message.contains("gone"), "{message}");

    assert!(error(&Net::new(9).input("x", "N 2 4 4").node(op("Relu", "x", "y")), "graph").contains("no outputs"));
    let nowhere = one(9, "N 2 4 4", op("Relu", "x", "y")).output("z");
    assert!(error(&nowhere, "graph").contains("no node makes"));
    let constant =
        one(12, "N 2 4 4", op("Relu", "x", "y")).node(op("Constant", "", "k").int("value_int", 1)).output("k");
    assert!(error(&constant, "graph").contains("does not depend"));
    let kind = one(9, "N 2 4 4", op("LeakyRelu", "x", "y").int("alpha", 1));
    assert!(error(&kind, "graph").contains("alpha"));
}

#[test]
fn quantised_and_unknown_operators_give_their_reasons() {
    let net = Net::new(13)
        .input("x", "N 2 4 4")
        .node(op("QuantizeLinear", "x", "a"))
        .node(op("QLinearConv", "a", "b"))
        .node(op("Transpose", "b", "c"))
        .node(op("", "c", "d"))
        .node(op("Bernoulli", "d", "y"))
        .output("y");
    let nodes = unsupported(&net);
    let expect = ["quantised", "quantised", "between axes", "no operator", "no such layer"];
    assert_eq!(nodes.len(), expect.len());
    for (node, why) in nodes.iter().zip(expect) {
        assert!(node.why.contains(why), "{node:?}");
    }
}
