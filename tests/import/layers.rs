//! Layers that treat numbers or channels alike, and fully connected ones.

use switchback_core::{Layer, Shape};

use crate::onnx::{Net, Op, filled, floats, op, tensor};
use crate::{affine, error, node, one, why, y};

#[test]
fn activations() {
    assert_eq!(y(&one(6, "N 2 3 3", op("Relu", "x", "y"))).0, Layer::Relu);
    assert_eq!(y(&one(6, "N 2 3 3", op("LeakyRelu", "x", "y"))).0, Layer::LeakyRelu { slope: 0.01 });
    let leaky = op("LeakyRelu", "x", "y").float("alpha", 0.25);
    assert_eq!(y(&one(6, "N 2 3 3", leaky)).0, Layer::LeakyRelu { slope: 0.25 });
    let prelu =
        |dims: &[i64], slopes: &[f32]| one(9, "N 2 3 3", op("PRelu", "x s", "y")).init(floats("s", dims, slopes));
    for net in [prelu(&[], &[0.5]), prelu(&[1], &[0.5]), prelu(&[2, 1, 1], &[0.5, 0.5])] {
        assert_eq!(y(&net).0, Layer::LeakyRelu { slope: 0.5 });
    }
    assert!(why(&prelu(&[2, 1, 1], &[0.5, 0.25])).contains("2 different slopes"));
    let lrn = op("LRN", "x", "y").int("size", 5).float("alpha", 2.0).float("bias", 3.0);
    assert_eq!(y(&one(6, "N 2 3 3", lrn)).0, Layer::Lrn { size: 5, alpha: 2.0, beta: 0.75, k: 3.0 });
    error(&one(6, "N 2 3 3", op("LRN", "x", "y").int("size", 0)), "shape");
}

#[test]
fn clip_before_and_after_its_bounds_became_inputs() {
    let (low, high) = (f32::NEG_INFINITY, f32::INFINITY);
    let clip = |min: f32, max: f32| Layer::Clip { min, max };
    assert_eq!(y(&one(6, "N 2 3 3", op("Clip", "x", "y"))).0, clip(low, high));
    let attributes = op("Clip", "x", "y").float("min", f32::MIN).float("max", 6.0);
    assert_eq!(y(&one(6, "N 2 3 3", attributes)).0, clip(low, 6.0));
    let bounds = |names: &str| {
        one(11, "N 2 3 3", op("Clip", names, "y")).init(floats("a", &[], &[0.0])).init(floats("b", &[1], &[6.0]))
    };
    assert_eq!(y(&bounds("x a b")).0, clip(0.0, 6.0));
    assert_eq!(y(&bounds("x _ b")).0, clip(low, 6.0));
    assert_eq!(y(&bounds("x a")).0, clip(0.0, high));
    assert!(why(&bounds("x b a")).contains("cross"));
    let two = one(11, "N 2 3 3", op("Clip", "x c", "y")).init(floats("c", &[2], &[0.0, 1.0]));
    assert!(error(&two, "shape").contains("min"));
}

fn batch_norm(opset: u64, op: Op) -> Net {
    one(opset, "N 2 3 3", op)
        .init(floats("s", &[2], &[2.0, 3.0]))
        .init(floats("b", &[2], &[1.0, -1.0]))
        .init(floats("m", &[2], &[0.5, 4.0]))
        .init(floats("v", &[2], &[3.75, 0.0]))
}

#[test]
fn batch_normalisation_is_a_scale_and_a_shift() {
    let plain = || op("BatchNormalization", "x s b m v", "y").float("epsilon", 0.25);
    for opset in [3, 6, 7, 9, 14, 15] {
        let model = batch_norm(opset, plain().ints("consumed_inputs", &[0, 0, 0, 1, 1])).open().unwrap();
        // √(3.75 + 0.25) = 2, √0.25 = ½
        assert_eq!(affine(&model, "y"), (vec![1.0, 6.0], vec![0.5, -25.0]), "opset {opset}");
        assert_eq!(node(&model, "y").1, Shape::new(2, 3, 3));
    }
    let five = || op("BatchNormalization", "x s b m v", "y mo vo sm sv");
    y(&batch_norm(6, five().int("is_test", 1)));
    assert!(why(&batch_norm(6, five())).contains("training"));
    assert!(why(&batch_norm(9, five())).contains("training"));
    assert!(why(&batch_norm(15, plain().int("training_mode", 1))).contains("training"));
    assert!(why(&batch_norm(7, plain().int("spatial", 0))).contains("spatial"));
    let short = one(9, "N 3 3 3", plain());
    let short = ["s", "b", "m", "v"].iter().fold(short, |n, name| n.init(filled(name, &[2])));
    assert!(error(&short, "shape").contains("each of 3 channels"));
}

/// `x` and the constant `c` through `kind`, either first.
fn with_constant(opset: u64, kind: &str, inputs: &str, dims: &[i64], c: &[f32]) -> Net {
    one(opset, "N 2 3 5", op(kind, inputs, "y")).init(floats("c", dims, c))
}

#[test]
fn arithmetic_with_constants_is_affine() {
    let one = vec![1.0, 1.0];
    let zero = vec![0.0, 0.0];
    let cases: [(&str, &str, Vec<f32>, Vec<f32>); 7] = [
        ("Add", "x c", one.clone(), vec![2.0, 4.0]),
        ("Add", "c x", one.clone(), vec![2.0, 4.0]),
        ("Sub", "x c", one.clone(), vec![-2.0, -4.0]),
        ("Sub", "c x", vec![-1.0, -1.0], vec![2.0, 4.0]),
        ("Mul", "x c", vec![2.0, 4.0], zero.clone()),
        ("Mul", "c x", vec![2.0, 4.0], zero.clone()),
        ("Div", "x c", vec![0.5, 0.25], zero.clone()),
    ];
    for (kind, inputs, scale, shift) in cases {
        for dims in [&[2, 1, 1][..], &[1, 2, 1, 1]] {
            let model = with_constant(7, kind, inputs, dims, &[2.0, 4.0]).open().unwrap();
            assert_eq!(affine(&model, "y"), (scale.clone(), shift.clone()), "{kind} {inputs} {dims:?}");
        }
    }
    for dims in [&[][..], &[1], &[1, 1, 1, 1], &[5], &[3, 5], &[1, 2, 3, 5]] {
        let numbers = vec![3.0; dims.iter().product::<i64>() as usize];
        let model = with_constant(13, "Mul", "x c", dims, &numbers).open().unwrap();
        assert_eq!(affine(&model, "y"), (vec![3.0, 3.0], zero.clone()), "{dims:?}");
    }
    assert!(why(&with_constant(7, "Div", "c x", &[], &[1.0])).contains("divides a constant"));
    let places: Vec<f32> = (0..5).map(|i| i as f32).collect();
    assert!(why(&with_constant(7, "Add", "x c", &[5], &places)).contains("place to place"));
    assert!(error(&with_constant(7, "Add", "x c", &[4], &[0.0; 4]), "shape").contains("[4]"));
    assert!(why(&with_constant(7, "Add", "x c", &[1, 1, 1, 1, 1], &[0.0])).contains("more axes"));
    assert!(why(&with_constant(7, "Add", "x c", &[2, 2, 1, 1], &[0.0, 1.0, 2.0, 3.0])).contains("pictures"));
}

#[test]
fn arithmetic_before_opset_7_begins_at_an_axis() {
    let net = |axis: Option<i64>, dims: &[i64], c: &[f32]| {
        let add = op("Add", "x c", "y").int("broadcast", 1);
        let add = if let Some(axis) = axis { add.int("axis", axis) } else { add };
        one(6, "N 2 3 2", add).init(floats("c", dims, c))
    };
    assert_eq!(affine(&net(Some(1), &[2], &[3.0, 4.0]).open().unwrap(), "y").1, [3.0, 4.0]);
    assert_eq!(affine(&net(None, &[1], &[3.0]).open().unwrap(), "y").1, [3.0, 3.0]);
    // Two numbers at the end are columns.
    assert!(why(&net(None, &[2], &[3.0, 4.0])).contains("place to place"));
    assert!(error(&net(Some(2), &[2], &[3.0, 4.0]), "shape").contains("[2]"));
    error(&net(Some(3), &[2, 1], &[3.0, 4.0]), "shape");
    error(&net(Some(7), &[2], &[3.0, 4.0]), "shape");
}

#[test]
fn tensors_are_added_and_joined() {
    let net = |last: Op| {
        let net = Net::new(7).input("x", "N 2 3 5").node(op("Relu", "x", "r")).node(op("GlobalMaxPool", "x", "g"));
        net.node(last).init(floats("c", &[2, 1, 1], &[1.0, 2.0])).output("y")
    };
    for kind in ["Add", "Sum"] {
        let model = net(op(kind, "x r", "y")).open().unwrap();
        assert_eq!(node(&model, "y"), (&Layer::Add, Shape::new(2, 3, 5)));
        assert_eq!(model.network.nodes().last().unwrap().inputs, [0, 1]);
        assert!(why(&net(op(kind, "x g", "y"))).contains("different shapes"));
    }
    assert_eq!(net(op("Sum", "x r x", "y")).open().unwrap().network.nodes().last().unwrap().inputs, [0, 1, 0]);
    assert_eq!(y(&net(op("Sum", "x", "y"))).0, Layer::Identity);
    assert_eq!(affine(&net(op("Sum", "c x c", "y")).open().unwrap(), "y").1, [2.0, 4.0]);
    assert!(why(&net(op("Sum", "x r c", "y"))).contains("several"));
    for kind in ["Sub", "Mul", "Div"] {
        assert!(why(&net(op(kind, "x r", "y"))).contains("both sides"));
    }

    for axis in [1, -3] {
        assert_eq!(y(&net(op("Concat", "x r x", "y").int("axis", axis))), (Layer::Concat, Shape::new(6, 3, 5)));
    }
    assert!(why(&net(op("Concat", "x r", "y").int("axis", 2))).contains("axis 2"));
    assert!(error(&net(op("Concat", "x g", "y").int("axis", 1)), "shape").contains("(N, 2, 1, 1)"));
    assert!(why(&net(op("Concat", "x c", "y").int("axis", 1))).contains("constant"));
    error(&net(op("Concat", "x r", "y").int("axis", 4)), "shape");
}

/// Flattened `x` of 12 numbers through `op`, with the matrix `m`.
fn dense(last: Op, dims: &[i64]) -> Net {
    let net = Net::new(11).input("x", "N 3 2 2").node(op("Flatten", "x", "f")).node(last).output("y");
    net.init(filled("m", dims))
}

#[test]
fn fully_connected_layers() {
    let (layer, shape) = y(&dense(op("Gemm", "f m b", "y").int("transB", 1), &[5, 12]).init(filled("b", &[5])));
    assert!(matches!(layer, Layer::Linear { outputs: 5, transposed: true, bias: Some(_), .. }));
    assert_eq!(shape, Shape::vector(5));
    let (layer, _) = y(&dense(op("Gemm", "f m", "y"), &[12, 5]));
    assert!(matches!(layer, Layer::Linear { outputs: 5, transposed: false, bias: None, .. }));
    let (layer, _) = y(&dense(op("MatMul", "f m", "y"), &[12, 5]));
    assert!(matches!(layer, Layer::Linear { outputs: 5, transposed: false, bias: None, .. }));

    let scaled = op("Gemm", "f m b", "y").float("alpha", 2.0).float("beta", 3.0);
    for (dims, b) in [(&[5][..], vec![1.0; 5]), (&[1, 5], vec![1.0; 5]), (&[1], vec![1.0]), (&[], vec![1.0])] {
        let model = dense(scaled.clone(), &[12, 5]).init(floats("b", dims, &b)).open().unwrap();
        let Layer::Linear { weight, bias: Some(bias), .. } = node(&model, "y").0 else { panic!() };
        assert_eq!(model.weights.view(*weight).to_vec()[0], -2.0);
        assert_eq!(model.weights.view(*bias).to_vec(), [3.0; 5], "{dims:?}");
    }

    let added = Net::new(11)
        .input("x", "N 12")
        .node(op("MatMul", "x m", "p"))
        .node(op("Add", "p c", "y"))
        .init(filled("m", &[12, 2]))
        .init(floats("c", &[2], &[7.0, 8.0]))
        .output("y");
    let model = added.open().unwrap();
    assert_eq!(model.network.input_shape(), Shape::vector(12));
    assert_eq!(affine(&model, "y"), (vec![1.0, 1.0], vec![7.0, 8.0]));
}

#[test]
fn fully_connected_layers_that_do_not_fit() {
    let gemm = || op("Gemm", "f m b", "y").named("fc");
    let narrow = dense(gemm(), &[11, 5]).init(filled("b", &[5]));
    let message = error(&narrow, "shape");
    assert!(message.contains("fc") && message.contains("(N, 11)") && message.contains("(N, 12)"), "{message}");
    assert!(error(&dense(gemm(), &[12, 5]).init(filled("b", &[4])), "shape").contains("5 numbers"));
    assert!(why(&dense(gemm(), &[12, 5]).init(filled("b", &[3, 5]))).contains("pictures"));
    assert!(why(&dense(gemm().int("transA", 1), &[12, 5]).init(filled("b", &[5]))).contains("transA"));
    assert!(error(&dense(op("Gemm", "f m", "y"), &[12, 5, 1]), "shape").contains("matrix"));
    assert!(why(&dense(op("MatMul", "m f", "y"), &[12, 5])).contains("left"));
    assert!(why(&dense(op("MatMul", "x m", "y"), &[2, 5])).contains("last axis"));
    assert!(error(&dense(op("Gemm", "x m", "y"), &[12, 5]), "shape").contains("(N, 3, 2, 2)"));
    let matrix = one(11, "N 12", op("MatMul", "x m", "y")).init(tensor("m", &[12, 1], 7).packed(7, &[1; 12]));
    assert!(error(&matrix, "graph").contains("no floats"));
}

#[test]
fn the_softmax_axis_changed_with_opset_13() {
    let net = |opset: u64, dims: &str, axis: Option<i64>| {
        let softmax = op("Softmax", "x", "y");
        one(opset, dims, if let Some(axis) = axis { softmax.int("axis", axis) } else { softmax })
    };
    let flat = |flat: bool| Layer::Softmax { flat };
    assert_eq!(y(&net(12, "N 4 3 3", None)).0, flat(true));
    assert_eq!(y(&net(12, "N 4 3 3", Some(-3))).0, flat(true));
    assert_eq!(y(&net(13, "N 4 3 3", Some(1))).0, flat(false));
    assert_eq!(y(&net(13, "N 4 3 3", Some(-3))).0, flat(false));
    assert_eq!(y(&net(13, "N 4", None)).0, flat(false));
    assert_eq!(y(&net(7, "N 4", None)).0, flat(true));
    // One channel: all is one row of places.
    assert_eq!(y(&net(13, "N 1 1 9", None)).0, flat(true));
    assert!(why(&net(13, "N 4 3 3", None)).contains("axis 3"));
    assert!(why(&net(12, "N 4 3 3", Some(2))).contains("axis 2"));
    assert!(why(&net(12, "N 4", Some(0))).contains("pictures"));
    assert_eq!(y(&net(12, "1 4", Some(0))).0, flat(true));
    error(&net(13, "N 4", Some(2)), "shape");
    let log = one(13, "N 4 3 3", op("LogSoftmax", "x", "y").int("axis", 1));
    assert_eq!(y(&log).0, Layer::LogSoftmax { flat: false });
}

#[test]
fn what_changes_nothing_at_inference_is_identity() {
    for net in [
        one(3, "N 2 3 3", op("Dropout", "x", "y mask").float("ratio", 0.5)),
        one(13, "N 2 3 3", op("Dropout", "x r t", "y"))
            .init(floats("r", &[], &[0.5]))
            .init(tensor("t", &[], 9).bytes(9, &[0])),
        one(3, "N 2 3 3", op("Identity", "x", "y")),
        one(3, "N 2 3 3", op("Cast", "x", "y").text("to", "FLOAT16")),
        one(9, "N 2 3 3", op("Cast", "x", "y").int("to", 11)),
    ] {
        assert_eq!(y(&net).0, Layer::Identity);
    }
    assert!(why(&one(9, "N 2 3 3", op("Cast", "x", "y").int("to", 7))).contains("int64"));
    assert!(why(&one(7, "N 2 3 3", op("Dropout", "x", "y mask")).output("mask")).contains("mask"));
    let training = one(13, "N 2 3 3", op("Dropout", "x _ t", "y")).init(tensor("t", &[], 9).bytes(9, &[1]));
    assert!(why(&training).contains("training"));
}
