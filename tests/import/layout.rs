//! Axes regrouped, squeezed and reduced, and the arithmetic of shapes that feeds a Reshape.

use switchback_core::{Layer, Shape};

use crate::onnx::{INT64, Net, Op, filled, floats, ints, op, tensor};
use crate::{error, node, one, why, y};

/// `x` of `dims` reshaped to `shape`.
fn reshape(dims: &str, shape: &[i64]) -> Net {
    one(5, dims, op("Reshape", "x s", "y")).init(ints("s", shape))
}

#[test]
fn flattening() {
    let flat = (Layer::Flatten, Shape::vector(30));
    assert_eq!(y(&one(9, "N 2 3 5", op("Flatten", "x", "y"))), flat);
    assert_eq!(y(&one(9, "7 2 3 5", op("Flatten", "x", "y").int("axis", 1))), flat);
    assert_eq!(y(&one(11, "N 2 3 5", op("Flatten", "x", "y").int("axis", -3))), flat);
    assert_eq!(y(&one(9, "1 2 3 5", op("Flatten", "x", "y").int("axis", 0))), flat);
    assert_eq!(y(&one(9, "N 1 3 5", op("Flatten", "x", "y").int("axis", 2))), (Layer::Flatten, Shape::vector(15)));
    assert!(why(&one(9, "N 2 3 5", op("Flatten", "x", "y").int("axis", 2))).contains("axis 2"));
    assert!(why(&one(9, "N 2 3 5", op("Flatten", "x", "y").int("axis", 0))).contains("pictures"));
    error(&one(9, "N 2 3 5", op("Flatten", "x", "y").int("axis", 5)), "shape");
}

#[test]
fn reshapes_to_vectors_whatever_the_batch() {
    let flat = (Layer::Flatten, Shape::vector(30));
    for (dims, shape) in [
        ("N 2 3 5", &[0, -1][..]),
        ("N 2 3 5", &[-1, 30]),
        ("N 2 3 5", &[1, 30]),
        ("N 2 3 5", &[1, -1]),
        ("1 2 3 5", &[1, 30]),
        ("1 2 3 5", &[30]),
        ("1 2 3 5", &[-1]),
        ("8 2 3 5", &[8, -1]),
        ("8 2 3 5", &[-1, 30]),
        ("8 2 3 5", &[0, 30]),
        ("8 2 3 5", &[0, 30, 1, 1]),
    ] {
        assert_eq!(y(&reshape(dims, shape)), flat, "{dims} to {shape:?}");
    }
    let attribute = one(3, "N 2 3 5", op("Reshape", "x", "y").ints("shape", &[0, -1]));
    assert_eq!(y(&attribute), flat);
    for (dims, shape) in [
        ("N 2 3 5", &[0, 3, 10][..]),
        ("N 2 3 5", &[0, 2, 5, 3]),
        ("N 2 3 5", &[0, 29]),
        ("8 2 3 5", &[1, -1]),
        ("8 2 3 5", &[30]),
        ("8 2 3 5", &[4, -1]),
        ("N 2 3 5", &[-1, -1]),
        ("N 2 3 5", &[-1, i64::MAX]),
        ("N 2 3 5", &[0, i64::MAX, i64::MAX]),
        ("N 2 3 5", &[i64::MIN, 30]),
        ("N 2 3 5", &[]),
    ] {
        why(&reshape(dims, shape));
    }
    error(&reshape("N 2 3 5", &[0, 2, 3, 5, 0]), "shape");
    let zero = one(14, "N 2 3 5", op("Reshape", "x s", "y").int("allowzero", 1)).init(ints("s", &[0, 30]));
    why(&zero);
    assert!(
        error(&one(5, "N 2 3 5", op("Reshape", "x s", "y")).init(floats("s", &[2], &[0.0, 30.0])), "graph")
            .contains("integers")
    );
}

#[test]
fn axes_of_one_come_and_go() {
    for shape in [&[0, 6][..], &[0, -1], &[0, 6, 1, 1], &[-1, 6, 1]] {
        assert_eq!(y(&reshape("N 6 1 1", shape)), (Layer::Identity, Shape::vector(6)), "{shape:?}");
        assert_eq!(y(&reshape("N 6", shape)), (Layer::Identity, Shape::vector(6)), "{shape:?}");
    }
    // Rows of places, and back to what was flattened.
    assert_eq!(y(&reshape("N 2 3 5", &[0, 2, -1])).0, Layer::Identity);
    let back = Net::new(9)
        .input("x", "N 2 3 5")
        .node(op("Flatten", "x", "f"))
        .node(op("Dropout", "f", "d"))
        .node(op("Reshape", "d s", "r"))
        .node(op("GlobalMaxPool", "r", "y"))
        .init(ints("s", &[-1, 2, 3, 5]))
        .output("y");
    let model = back.open().unwrap();
    assert_eq!(node(&model, "r"), (&Layer::Identity, Shape::new(2, 3, 5)));
    assert_eq!(model.network.nodes()[3].inputs, [0]);
    let lost = Net::new(9)
        .input("x", "N 2 3 5")
        .node(op("Flatten", "x", "f"))
        .node(op("Relu", "f", "d"))
        .node(op("Reshape", "d s", "y"))
        .init(ints("s", &[-1, 2, 3, 5]))
        .output("y");
    assert!(why(&lost).contains("(N, 30)"));
    // Regrouped places are no maps for a convolution.
    let rows = Net::new(9)
        .input("x", "N 2 3 5")
        .node(op("Reshape", "x s", "r"))
        .node(op("Conv", "r w", "y"))
        .init(ints("s", &[0, 2, 15, 1]))
        .init(filled("w", &[1, 2, 1, 1]))
        .output("y");
    assert!(why(&rows).contains("regrouped"));
}

#[test]
fn squeeze_and_unsqueeze_before_and_after_their_axes_became_inputs() {
    let vector = (Layer::Identity, Shape::vector(6));
    let squeeze = |dims: &str, axes: &[i64]| one(11, dims, op("Squeeze", "x", "y").ints("axes", axes));
    assert_eq!(y(&squeeze("N 6 1 1", &[2, 3])), vector);
    assert_eq!(y(&squeeze("N 6 1 1", &[-1, -2])), vector);
    assert_eq!(y(&squeeze("1 6 1 1", &[0, 2, 3])), vector);
    assert_eq!(y(&one(13, "N 6 1 1", op("Squeeze", "x a", "y")).init(ints("a", &[2, 3]))), vector);
    assert_eq!(y(&one(13, "N 6 1 1", op("Squeeze", "x", "y"))), vector);
    assert_eq!(y(&one(13, "1 6 1 1", op("Squeeze", "x", "y"))), vector);
    assert!(error(&squeeze("N 6 1 2", &[3]), "shape").contains("axis 3"));
    assert!(error(&squeeze("4 6 1 1", &[0]), "shape").contains("axis 0"));
    error(&squeeze("N 6 1 1", &[4]), "shape");
    assert!(why(&squeeze("N 1 3 5", &[1])).contains("(N, 3, 5)"));

    let unsqueeze = |dims: &str, axes: &[i64]| one(11, dims, op("Unsqueeze", "x", "y").ints("axes", axes));
    assert_eq!(y(&unsqueeze("N 6", &[2, 3])), vector);
    assert_eq!(y(&unsqueeze("N 6", &[-1, -2])), vector);
    assert_eq!(y(&one(13, "N 6", op("Unsqueeze", "x a", "y")).init(ints("a", &[2, 3]))), vector);
    assert!(why(&unsqueeze("N 6", &[1])).contains("(N, 1, 6)"));
    assert!(error(&unsqueeze("N 6", &[2, 2]), "graph").contains("twice"));
    assert!(error(&unsqueeze("N 6", &[0; 100]), "shape").contains("64 axes"));
    assert!(error(&one(13, "N 6", op("Unsqueeze", "x", "y")), "graph").contains("no axes"));
    // The batch of one that was squeezed away comes back.
    let there = Net::new(11)
        .input("x", "1 6 1 1")
        .node(op("Squeeze", "x", "s"))
        .node(op("Unsqueeze", "s", "u").ints("axes", &[0]))
        .node(op("Gemm", "u m", "y"))
        .init(filled("m", &[6, 2]))
        .output("y");
    assert_eq!(y(&there).1, Shape::vector(2));
}

#[test]
fn means_over_all_places_are_pooling() {
    let mean = |dims: &str, axes: &[i64], keep: i64| {
        one(11, dims, op("ReduceMean", "x", "y").ints("axes", axes).int("keepdims", keep))
    };
    let pooled = (Layer::GlobalAvgPool, Shape::vector(4));
    for net in [mean("N 4 3 5", &[2, 3], 0), mean("N 4 3 5", &[-1, -2], 1), mean("N 4 1 5", &[3], 1)] {
        assert_eq!(y(&net), pooled);
    }
    assert_eq!(y(&one(18, "N 4 3 5", op("ReduceMean", "x a", "y")).init(ints("a", &[2, 3]))), pooled);
    assert_eq!(y(&one(13, "N 4 3 5", op("ReduceMax", "x", "y").ints("axes", &[2, 3]))).0, Layer::GlobalMaxPool);
    let nothing = one(18, "N 4 3 5", op("ReduceMean", "x", "y").int("noop_with_empty_axes", 1));
    assert_eq!(y(&nothing).0, Layer::Identity);
    for net in [
        mean("N 4 3 5", &[2], 1),
        mean("N 4 3 5", &[1, 2, 3], 1),
        mean("N 4 3 5", &[0, 2, 3], 1),
        one(11, "N 4 3 5", op("ReduceMean", "x", "y")),
    ] {
        assert!(why(&net).contains("other axes"));
    }
    error(&mean("N 4 3 5", &[4], 1), "shape");

    // keepdims tells what follows: a vector for Gemm, maps for a convolution.
    let then = |keep: i64, last: Op| {
        Net::new(11)
            .input("x", "N 4 3 5")
            .node(op("ReduceMean", "x", "p").ints("axes", &[2, 3]).int("keepdims", keep))
            .node(last)
            .init(filled("m", &[4, 2]))
            .init(filled("w", &[2, 4, 1, 1]))
            .output("y")
    };
    y(&then(0, op("Gemm", "p m", "y")));
    y(&then(1, op("Conv", "p w", "y")));
    error(&then(1, op("Gemm", "p m", "y")), "shape");
    error(&then(0, op("Conv", "p w", "y")), "shape");
}

/// What PyTorch writes for `F.pad`: its pads, last axis first, filled up with zeros and turned round.
#[test]
fn pads_that_are_computed() {
    let net = Net::new(11)
        .input("x", "N 2 5 6")
        .node(op("Constant", "", "given").tensor("value", &ints("", &[1, 2, 0, 3])))
        .node(op("ConstantOfShape", "four", "zeros").tensor("value", &tensor("", &[1], INT64).varint(7, 0)))
        .node(op("Concat", "given zeros", "all").int("axis", 0))
        .node(op("Reshape", "all rows", "pairs"))
        .node(op("Slice", "pairs last first zero last", "turned"))
        .node(op("Transpose", "turned", "sides").ints("perm", &[1, 0]))
        .node(op("Reshape", "sides last", "flat"))
        .node(op("Cast", "flat", "pads").int("to", 7))
        .node(op("Pad", "x pads", "y"))
        .init(ints("four", &[4]))
        .init(ints("rows", &[-1, 2]))
        .init(ints("last", &[-1]))
        .init(ints("first", &[i64::MIN + 1]))
        .init(ints("zero", &[0]))
        .output("y");
    assert_eq!(y(&net), (Layer::Pad { pads: [0, 1, 3, 2], value: 0.0 }, Shape::new(2, 8, 9)));
}

/// The integers 0..6 as (2, 3) through `nodes`, which make `p`, the pads of `x`.
fn six(nodes: &[Op]) -> Result<[usize; 4], String> {
    let net = Net::new(13).input("x", "N 2 5 6").node(op("Reshape", "six shape", "m"));
    let net = nodes.iter().fold(net, |net, node| net.node(node.clone()));
    let net = net
        .node(op("Reshape", "p flat", "q"))
        .node(op("Pad", "x q _ axes", "y"))
        .init(ints("six", &[0, 1, 2, 3, 4, 5]))
        .init(ints("shape", &[2, 3]))
        .init(ints("flat", &[4]))
        .init(ints("axes", &[2, 3]))
        .init(ints("a", &[0, 0]))
        .init(ints("b", &[2, 2]))
        .init(ints("c", &[0, 1]))
        .init(ints("two", &[2, 0]))
        .init(ints("far", &[0, 3]))
        .output("y");
    match net.open().map_err(|e| e.to_string())?.network.nodes()[1].layer {
        Layer::Pad { pads, .. } => Ok(pads),
        ref other => Err(format!("{other:?}")),
    }
}

#[test]
fn lists_of_several_axes_are_picked_joined_and_turned() {
    assert_eq!(six(&[op("Slice", "m a b c", "p")]), Ok([0, 1, 3, 4]));
    assert!(six(&[op("Slice", "m c far", "p")]).unwrap_err().contains("numbers for [4]"));
    assert_eq!(six(&[op("Gather", "m two", "p").int("axis", 1)]), Ok([2, 0, 5, 3]));
    assert_eq!(six(&[op("Gather", "m two", "g").int("axis", -1), op("Transpose", "g", "p")]), Ok([2, 5, 0, 3]));
    let column = |from: &str, to: &str| op("Gather", &format!("m {from}"), to).int("axis", 1);
    let joined = [column("two", "g"), op("Slice", "g a b c", "h"), op("Concat", "h h", "w").int("axis", 1)];
    let picked = [&joined[..], &[op("Gather", "w c", "p").int("axis", 1)]].concat();
    assert_eq!(six(&picked), Ok([2, 0, 5, 3]));
    for (node, what) in [
        (op("Transpose", "m", "p").ints("perm", &[0, 0]), "every axis"),
        (op("Transpose", "m", "p").ints("perm", &[0]), "every axis"),
        (op("Gather", "m far", "p").int("axis", 1), "an axis of 3"),
        (op("Concat", "m six", "p").int("axis", 0), "axis 0"),
        (op("Slice", "m a b flat", "p"), "as many"),
    ] {
        let e = six(&[node]).unwrap_err();
        assert!(e.contains(what), "{e}");
    }
}

#[test]
fn empty_constants_with_endless_axes_cost_nothing() {
    let empty = |dims: &[i64], nodes: Vec<Op>| {
        let net = folded(13, "N 4 3 5", nodes).init(tensor("e", &[0], INT64)).init(ints("d", dims));
        assert!(net.open().is_err());
    };
    let big = 1 << 40;
    for nodes in [
        vec![op("Reshape", "e d", "r").int("allowzero", 1), op("Slice", "r zero end two", "s")],
        vec![op("Reshape", "e d", "r").int("allowzero", 1), op("Gather", "zero r", "s")],
        vec![op("Reshape", "e d", "r").int("allowzero", 1), op("Concat", "r r", "s").int("axis", 0)],
        vec![op("Reshape", "e d", "r").int("allowzero", 1), op("Transpose", "r", "s")],
        vec![op("Reshape", "e d", "r").int("allowzero", 1), op("Flatten", "r", "s").int("axis", 3)],
    ] {
        empty(&[0, big, big], nodes.clone());
        empty(&[big, big, 0], nodes.clone());
        empty(&[big, 0, 1], nodes);
    }
    empty(&[0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0], vec![op("ConstantOfShape", "d", "s")]);
}

/// `x` of (N, 4, 3, 5), `nodes`, then a Reshape to tensor `s`.
fn folded(opset: u64, dims: &str, nodes: Vec<Op>) -> Net {
    let net =
        Net::new(opset).input("x", dims).init(ints("zero", &[0])).init(ints("one", &[1])).init(ints("minus", &[-1]));
    let net =
        net.init(tensor("scalar", &[], INT64).varint(7, 0)).init(ints("two", &[2])).init(ints("end", &[i64::MAX]));
    nodes.into_iter().fold(net, Net::node).node(op("Reshape", "x s", "y")).output("y")
}

#[test]
fn shape_arithmetic_is_folded_with_the_batch_as_a_symbol() {
    let shape = || op("Shape", "x", "n");
    let cases: Vec<(u64, Vec<Op>)> = vec![
        // x.view(x.size(0), -1)
        (
            11,
            vec![
                shape(),
                op("Gather", "n scalar", "g").int("axis", 0),
                op("Unsqueeze", "g", "u").ints("axes", &[0]),
                op("Concat", "u minus", "s").int("axis", 0),
            ],
        ),
        (
            13,
            vec![
                shape(),
                op("Cast", "n", "c").int("to", 6),
                op("Slice", "c zero one zero", "g"),
                op("Cast", "g", "u").int("to", 7),
                op("Concat", "u minus", "s").int("axis", 0),
            ],
        ),
        (
            9,
            vec![
                shape(),
                op("Slice", "n", "g").ints("starts", &[0]).ints("ends", &[1]),
                op("Constant", "", "m").tensor("value", &tensor("", &[1], INT64).bytes(9, &(-1i64).to_le_bytes())),
                op("Concat", "g m", "s").int("axis", 0),
            ],
        ),
        // N, and the product of the others
        (
            13,
            vec![
                op("Shape", "x", "a").int("start", 1).int("end", 2),
                op("Shape", "x", "b").int("start", -2).int("end", -1),
                op("Slice", "n end two zero minus", "c"),
                shape(),
                op("Slice", "n minus end zero", "w"),
                op("Mul", "a b", "ab"),
                op("Mul", "ab w", "abw"),
                op("Gather", "n zero", "batch"),
                op("Identity", "batch", "i"),
                op("Concat", "i abw", "s").int("axis", 0),
            ],
        ),
        // 2·N / 2 and 60·1 of a reversed list
        (
            13,
            vec![
                shape(),
                op("Gather", "n zero", "g"),
                op("Mul", "g two", "d"),
                op("Div", "d two", "h"),
                op("Sub", "h zero", "k"),
                op("Add", "zero k", "l"),
                op("Concat", "l minus", "s").int("axis", 0),
            ],
        ),
        (12, vec![op("Constant", "", "s").ints("value_ints", &[-1, 60])]),
        (
            12,
            vec![
                op("Constant", "", "v").int("value_int", -1),
                op("Reshape", "v one", "m"),
                op("Squeeze", "zero", "z").ints("axes", &[0]),
                op("Unsqueeze", "z", "u").ints("axes", &[0]),
                op("Concat", "u m", "s").int("axis", 0),
            ],
        ),
        (
            12,
            vec![
                op("ConstantOfShape", "two", "q").tensor("value", &tensor("", &[1], INT64).packed(7, &[-1])),
                op("Slice", "q zero one", "s"),
                op("Flatten", "q", "unused"),
            ],
        ),
    ];
    for (i, (opset, nodes)) in cases.into_iter().enumerate() {
        for dims in ["N 4 3 5", "1 4 3 5", "6 4 3 5"] {
            if i == 7 && dims == "6 4 3 5" {
                continue;
            }
            let net = folded(opset, dims, nodes.clone());
            let model = net.open().unwrap_or_else(|e| panic!("case {i}, {dims}: {e}"));
            assert_eq!(node(&model, "y"), (&Layer::Flatten, Shape::vector(60)), "case {i}");
            assert_eq!(model.network.nodes().len(), 2, "shapes leave no nodes");
        }
    }
}

#[test]
fn shape_arithmetic_that_is_none() {
    let shape = || op("Shape", "x", "n");
    for nodes in [
        vec![shape(), op("Add", "n one", "s")],
        vec![shape(), op("Div", "n zero", "s")],
        vec![shape(), op("ConstantOfShape", "n", "s")],
        vec![shape(), op("Cast", "n", "s").int("to", 1)],
        vec![op("Gather", "x zero", "s")],
        vec![op("Slice", "x zero one", "s")],
        vec![op("Constant", "", "s").text("value_string", "text")],
        vec![op("ConstantOfShape", "end", "s")],
    ] {
        why(&folded(13, "N 4 3 5", nodes));
    }
    for nodes in [
        vec![shape(), op("Gather", "n end", "s")],
        vec![shape(), op("Slice", "n zero one zero zero", "s")],
        vec![shape(), op("Slice", "n zero one one", "s")],
        vec![shape(), op("Squeeze", "n zero", "s")],
    ] {
        error(&folded(13, "N 4 3 5", nodes), "shape");
    }
    error(&folded(13, "N 4 3 5", vec![op("Constant", "", "s").float("value", 1.0)]), "graph");
}

#[test]
fn weights_that_pass_through_constants_are_found() {
    let net = Net::new(13)
        .input("x", "N 4 3 5")
        .node(op("Identity", "w0", "w1"))
        .node(op("Cast", "w1", "w").int("to", 1))
        .node(op("Conv", "x w", "c"))
        .node(op("Unsqueeze", "g0 axes", "g"))
        .node(op("Mul", "c g", "y"))
        .init(filled("w0", &[2, 4, 1, 1]))
        .init(floats("g0", &[2], &[3.0, 4.0]))
        .init(ints("axes", &[1, 2]))
        .output("y");
    let model = net.open().unwrap();
    assert_eq!(crate::affine(&model, "y").0, [3.0, 4.0]);
    assert_eq!(model.network.nodes().len(), 3);
    assert_eq!(model.weights.name(model.weights.ids().next().unwrap()), "w0");
}
