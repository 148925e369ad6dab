//! Convolution, its transpose, pooling and padding: geometry, checks of weights, what is refused.

use switchback_core::{Geometry, Layer, Shape};

use crate::onnx::{Net, Op, filled, floats, ints, op};
use crate::{error, node, one, unsupported, why, y};

fn conv(op: Op, weights: &[i64]) -> Net {
    one(11, "N 4 9 11", op).init(filled("w", weights)).init(filled("b", &[weights[0]]))
}

fn geometry(layer: &Layer) -> Geometry {
    match layer {
        Layer::Conv2d { geometry, .. }
        | Layer::ConvTranspose2d { geometry, .. }
        | Layer::MaxPool2d { geometry, .. }
        | Layer::AvgPool2d { geometry, .. } => *geometry,
        other => panic!("{other:?} has no window"),
    }
}

#[test]
fn convolution_takes_its_attributes() {
    let full = op("Conv", "x w b", "y")
        .ints("kernel_shape", &[3, 2])
        .ints("strides", &[2, 1])
        .ints("dilations", &[1, 3])
        .ints("pads", &[1, 2, 0, 3])
        .int("group", 2);
    let (layer, shape) = y(&conv(full, &[6, 2, 3, 2]));
    let Layer::Conv2d { geometry, out_channels: 6, groups: 2, bias: Some(_), .. } = layer else { panic!("{layer:?}") };
    assert_eq!(geometry, Geometry { kernel: [3, 2], stride: [2, 1], dilation: [1, 3], pads: [1, 2, 0, 3] });
    assert_eq!(shape, Shape::new(6, 4, 13));

    let (layer, shape) = y(&conv(op("Conv", "x w", "y"), &[5, 4, 3, 3]));
    assert!(matches!(layer, Layer::Conv2d { bias: None, groups: 1, .. }));
    assert_eq!(geometry_of_square(&layer), (3, 1, 0));
    assert_eq!(shape, Shape::new(5, 7, 9));
}

fn geometry_of_square(layer: &Layer) -> (usize, usize, usize) {
    let g = geometry(layer);
    assert_eq!(g, Geometry::square(g.kernel[0], g.stride[0], g.pads[0]));
    (g.kernel[0], g.stride[0], g.pads[0])
}

#[test]
fn auto_pad_is_worked_out() {
    // Height 9, stride 2: 5 outputs reach 4·2 + 4 = 12 cells, 3 more than there are. Width 11: 6 reach 14, 3 more.
    for (auto, pads, size) in [
        ("SAME_UPPER", [1, 1, 2, 2], [5, 6]),
        ("SAME_LOWER", [2, 2, 1, 1], [5, 6]),
        ("VALID", [0, 0, 0, 0], [3, 4]),
        ("NOTSET", [1, 0, 1, 0], [4, 4]),
    ] {
        let given = |kind: &str, inputs: &str| {
            op(kind, inputs, "y").text("auto_pad", auto).ints("strides", &[2, 2]).ints("pads", &[1, 0, 1, 0])
        };
        let (layer, shape) = y(&conv(given("Conv", "x w"), &[5, 4, 4, 4]));
        assert_eq!((geometry(&layer).pads, shape.size()), (pads, size), "{auto}");
        for pool in ["MaxPool", "AveragePool"] {
            let (layer, shape) = y(&one(11, "N 4 9 11", given(pool, "x").ints("kernel_shape", &[4, 4])));
            assert_eq!((geometry(&layer).pads, shape.size()), (pads, size), "{pool} {auto}");
        }
    }
    // A stride beyond the kernel needs no padding; dilation widens what must be covered.
    let wide = op("Conv", "x w", "y").text("auto_pad", "SAME_UPPER").ints("strides", &[4, 4]);
    assert_eq!(geometry(&y(&conv(wide, &[5, 4, 1, 1])).0).pads, [0; 4]);
    let dilated = op("Conv", "x w", "y").text("auto_pad", "SAME_UPPER").ints("dilations", &[2, 3]);
    assert_eq!(geometry(&y(&conv(dilated, &[5, 4, 3, 2])).0).pads, [2, 1, 2, 2]);
    let odd = op("Conv", "x w", "y").text("auto_pad", "SAME");
    assert!(error(&conv(odd, &[5, 4, 3, 3]), "graph").contains("auto_pad"));
}

#[test]
fn convolution_weights_are_checked() {
    let plain = || op("Conv", "x w b", "y").named("first");
    let channels = error(&conv(plain(), &[6, 3, 3, 3]), "shape");
    assert!(channels.contains("first") && channels.contains("3 channels") && channels.contains("4×9×11"), "{channels}");
    let groups = conv(op("Conv", "x w", "y").int("group", 4), &[6, 1, 3, 3]);
    assert!(error(&groups, "shape").contains("4 groups"));
    for group in [0, -1, i64::MAX] {
        error(&conv(op("Conv", "x w", "y").int("group", group), &[6, 4, 3, 3]), "shape");
    }
    let bias = one(11, "N 4 9 11", plain()).init(filled("w", &[6, 4, 3, 3])).init(filled("b", &[5]));
    assert!(error(&bias, "shape").contains("a bias of 6 numbers"));
    let kernel = conv(plain().ints("kernel_shape", &[3, 5]), &[6, 4, 3, 3]);
    assert!(error(&kernel, "shape").contains("kernel_shape"));
    assert!(error(&conv(plain(), &[6, 4, 10, 3]), "shape").contains("10×3"));
    error(&conv(plain(), &[0, 4, 3, 3]), "shape");
    for (name, value) in [("strides", [0, 1]), ("strides", [-1, 1]), ("dilations", [1, i64::MAX])] {
        assert!(error(&conv(plain().ints(name, &value), &[6, 4, 3, 3]), "shape").contains(name));
    }
    error(&conv(plain().ints("pads", &[1, 1, 1, i64::MAX]), &[6, 4, 3, 3]), "shape");
    assert!(error(&one(11, "N 4 9 11", plain()), "graph").contains("\"w\", which nothing gives"));
    assert!(error(&one(11, "N 4 9 11", op("Conv", "x", "y")), "graph").contains("no input 1"));
}

#[test]
fn other_convolutions_are_unsupported_with_the_reason() {
    assert!(why(&conv(op("Conv", "x w", "y"), &[6, 4, 3])).contains("one-dimensional"));
    assert!(why(&conv(op("Conv", "x w", "y"), &[6, 4, 3, 3, 3])).contains("three-dimensional"));
    assert!(why(&conv(op("Conv", "x w", "y").ints("pads", &[-1, 0, 0, 0]), &[6, 4, 3, 3])).contains("negative"));
    assert!(why(&conv(op("Conv", "x w", "y").ints("strides", &[2]), &[6, 4, 3, 3])).contains("two dimensions"));
    let dynamic =
        Net::new(11).input("x", "1 4 4 4").node(op("Relu", "x", "w")).node(op("Conv", "x w", "y")).output("y");
    assert!(why(&dynamic).contains("computed by the network"));
}

#[test]
fn transposed_convolution_by_every_way_to_say_its_size() {
    let net = |op: Op| one(11, "N 4 5 6", op).init(filled("w", &[4, 3, 4, 3])).init(filled("b", &[6]));
    let plain = || op("ConvTranspose", "x w b", "y").int("group", 2).ints("strides", &[2, 3]);
    let (layer, shape) = y(&net(plain().ints("pads", &[1, 0, 2, 1]).ints("output_padding", &[1, 2])));
    let Layer::ConvTranspose2d { out_channels: 6, groups: 2, output_padding: [1, 2], .. } = layer else {
        panic!("{layer:?}")
    };
    // (5−1)·2 + 4 + 1 − 3 and (6−1)·3 + 3 + 2 − 1
    assert_eq!(shape, Shape::new(6, 10, 19));
    // Whole: 12 × 18. An odd cell of padding goes to the end with SAME_UPPER, else to the beginning.
    for (attribute, pads) in [("", [2, 1, 1, 0]), ("SAME_LOWER", [2, 1, 1, 0]), ("SAME_UPPER", [1, 0, 2, 1])] {
        for shape in [&[9, 17][..], &[1, 6, 9, 17]] {
            let op = plain().ints("output_shape", shape);
            let (layer, shape) = y(&net(if attribute.is_empty() { op } else { op.text("auto_pad", attribute) }));
            assert_eq!((geometry(&layer).pads, shape.size()), (pads, [9, 17]), "{attribute}");
        }
    }
    let (layer, shape) = y(&net(plain().text("auto_pad", "SAME_UPPER")));
    assert_eq!((geometry(&layer).pads, shape.size()), ([1, 0, 1, 0], [10, 18]));
    assert!(why(&net(plain().ints("output_shape", &[13, 18]))).contains("13 cells"));
    assert!(error(&net(plain().ints("output_padding", &[2, 0])), "shape").contains("output padding"));
    let channels = one(11, "N 3 5 6", plain()).init(filled("w", &[4, 3, 4, 3])).init(filled("b", &[6]));
    assert!(error(&channels, "shape").contains("4 input channels"));
}

#[test]
fn pooling_takes_its_attributes() {
    let pool = |kind: &str| op(kind, "x", "y").ints("kernel_shape", &[3, 3]).ints("strides", &[2, 2]);
    let (layer, shape) = y(&one(8, "N 4 8 8", pool("MaxPool").int("storage_order", 1)));
    assert!(matches!(layer, Layer::MaxPool2d { ceil: false, .. }));
    assert_eq!(shape, Shape::new(4, 3, 3));
    let (layer, shape) = y(&one(10, "N 4 8 8", pool("MaxPool").int("ceil_mode", 1)));
    assert!(matches!(layer, Layer::MaxPool2d { ceil: true, .. }));
    assert_eq!(shape, Shape::new(4, 4, 4));
    let dilated = pool("MaxPool").ints("dilations", &[2, 1]).ints("pads", &[1, 0, 0, 1]);
    assert_eq!(geometry(&y(&one(10, "N 4 8 8", dilated)).0).dilation, [2, 1]);

    let (layer, _) = y(&one(7, "N 4 8 8", pool("AveragePool").ints("pads", &[1, 1, 1, 1]).int("count_include_pad", 1)));
    assert!(matches!(layer, Layer::AvgPool2d { ceil: false, count_include_pad: true, .. }));
    let (layer, shape) = y(&one(19, "N 4 8 8", pool("AveragePool").ints("dilations", &[3, 1]).int("ceil_mode", 1)));
    assert!(matches!(layer, Layer::AvgPool2d { ceil: true, count_include_pad: false, .. }));
    assert_eq!(shape, Shape::new(4, 2, 4));

    for (kind, layer) in [("GlobalAveragePool", Layer::GlobalAvgPool), ("GlobalMaxPool", Layer::GlobalMaxPool)] {
        assert_eq!(y(&one(3, "N 4 8 5", op(kind, "x", "y"))), (layer, Shape::vector(4)));
    }
}

#[test]
fn pools_that_cannot_be() {
    let large = op("MaxPool", "x", "y").ints("kernel_shape", &[16, 17]);
    assert!(why(&one(8, "N 1 32 32", large)).contains("16×17"));
    y(&one(8, "N 1 32 32", op("MaxPool", "x", "y").ints("kernel_shape", &[16, 16])));
    y(&one(8, "N 1 32 32", op("AveragePool", "x", "y").ints("kernel_shape", &[16, 17])));
    assert!(why(&one(8, "N 1 9 9", op("MaxPool", "x", "y").ints("kernel_shape", &[3]))).contains("two dimensions"));
    assert!(error(&one(8, "N 1 9 9", op("MaxPool", "x", "y")), "graph").contains("kernel_shape"));

    let pool = |outputs: &str| op("MaxPool", "x", outputs).ints("kernel_shape", &[2, 2]);
    assert!(why(&one(8, "N 1 9 9", pool("y i")).output("i")).contains("\"i\" is used"));
    y(&one(8, "N 1 9 9", pool("y i")));
}

#[test]
fn padding_as_attributes_and_as_inputs() {
    let pads = [0, 0, 1, 2, 0, 0, 3, 4];
    let (layer, shape) = y(&one(2 + 1, "N 2 5 6", op("Pad", "x", "y").ints("pads", &pads).float("value", 0.5)));
    assert_eq!((layer, shape), (Layer::Pad { pads: [1, 2, 3, 4], value: 0.5 }, Shape::new(2, 9, 12)));
    let inputs = one(11, "N 2 5 6", op("Pad", "x p v", "y")).init(ints("p", &pads)).init(floats("v", &[], &[-1.0]));
    assert_eq!(y(&inputs).0, Layer::Pad { pads: [1, 2, 3, 4], value: -1.0 });
    let axes = one(18, "N 2 5 6", op("Pad", "x p _ a", "y")).init(ints("p", &[4, 1, 5, 2])).init(ints("a", &[-1, 2]));
    assert_eq!(y(&axes).0, Layer::Pad { pads: [1, 4, 2, 5], value: 0.0 });
    let zero = op("Pad", "x", "y").ints("pads", &[0; 8]).text("mode", "reflect");
    assert_eq!(y(&one(3, "N 2 5 6", zero)).0, Layer::Identity);

    let net = |pads: &[i64], mode: &str| one(3, "N 2 5 6", op("Pad", "x", "y").ints("pads", pads).text("mode", mode));
    assert!(why(&net(&pads, "reflect")).contains("reflect"));
    assert!(why(&net(&[0, 0, -1, 0, 0, 0, 0, 0], "constant")).contains("-1 cells"));
    assert!(why(&net(&[0, 1, 0, 0, 0, 0, 0, 0], "constant")).contains("axis 1"));
    assert!(error(&net(&[1, 2, 3], "constant"), "shape").contains("8 pads"));
}

#[test]
fn an_unsupported_layer_does_not_hide_the_next() {
    let net = Net::new(13)
        .input("x", "1 3 8 8")
        .node(op("Sigmoid", "x", "a").named("gate"))
        .node(op("MaxPool", "a", "b").ints("kernel_shape", &[20, 20]))
        .node(op("Relu", "b", "c"))
        .node(op("If", "c", "d").graph("then_branch"))
        .node(op("Conv", "d w", "y"))
        .init(filled("w", &[1, 3, 3]))
        .output("y");
    let nodes = unsupported(&net);
    let found: Vec<_> = nodes.iter().map(|n| (n.node.as_str(), n.operator.as_str())).collect();
    assert_eq!(found, [("gate", "Sigmoid"), ("b", "MaxPool"), ("d", "If"), ("y", "Conv")]);
    assert!(nodes[2].why.contains("subgraphs"));
    assert!(error(&net, "unsupported").contains("4 node(s)"));
}

#[test]
fn the_input_may_be_any_size() {
    let net = Net::new(9).input("x", "1 7 3 100").node(op("Relu", "x", "y")).output("y");
    assert_eq!(node(&net.open().unwrap(), "y").1, Shape::new(7, 3, 100));
}
