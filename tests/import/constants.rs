//! Initialisers: every way to write numbers, checks of their length, data beside the model.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use switchback_core::session::Session;
use switchback_core::trace::Keep;
use switchback_core::{Cpu, Error, Layer, Model, Shape, Tensor};

use crate::onnx::{self, DOUBLE, FLOAT, FLOAT16, INT32, INT64, Net, Proto, filled, floats, op, tensor};
use crate::{error, node, one, why};

/// A 1×1 convolution from two channels to one, whose weights are `w`.
fn conv(w: Proto) -> Net {
    one(11, "N 2 3 3", op("Conv", "x w", "y")).init(w)
}

/// Its two weights, and whether they are a view of the file.
fn weights(net: &Net) -> (Vec<f32>, bool) {
    let model = net.open().unwrap();
    let Layer::Conv2d { weight, .. } = node(&model, "y").0 else { panic!() };
    let bytes = model.weights.view(*weight).bytes().as_ptr_range();
    let file = model.bytes.as_ptr_range();
    (model.weights.view(*weight).to_vec(), file.start <= bytes.start && bytes.end <= file.end)
}

const DIMS: [i64; 4] = [1, 2, 1, 1];

#[test]
fn every_way_to_write_two_numbers() {
    let (a, b) = (1.5f32, -2.0f32);
    let raw32 = [a.to_le_bytes(), b.to_le_bytes()].concat();
    let raw64 = [f64::from(a).to_le_bytes(), f64::from(b).to_le_bytes()].concat();
    let half = [0x3e00u16, 0xc000];
    let raw16 = [half[0].to_le_bytes(), half[1].to_le_bytes()].concat();
    let bits: Vec<i64> = half.iter().map(|&h| i64::from(h)).collect();
    let brain = [0x3fc0u16.to_le_bytes(), 0xc000u16.to_le_bytes()].concat();
    let t = |dtype: u64| tensor("w", &DIMS, dtype);
    let cases = [
        ("raw float32", t(FLOAT).bytes(9, &raw32), true),
        ("raw float16", t(FLOAT16).bytes(9, &raw16), true),
        ("packed float32", t(FLOAT).bytes(4, &raw32), true),
        ("packed float32 in two pieces", t(FLOAT).bytes(4, &raw32[..4]).bytes(4, &raw32[4..]), false),
        ("unpacked float32", t(FLOAT).float(4, a).float(4, b), false),
        ("float16 bits in int32_data", t(FLOAT16).packed(5, &bits), false),
        ("unpacked float16 bits", t(FLOAT16).varint(5, 0x3e00).varint(5, 0xc000), false),
        ("packed double", t(DOUBLE).bytes(10, &raw64), false),
        ("raw double", t(DOUBLE).bytes(9, &raw64), false),
        ("raw bfloat16", t(16).bytes(9, &brain), false),
        ("unknown fields", t(FLOAT).text(12, "doc").varint(99, 5).bytes(9, &raw32).bytes(100, &[1, 2]), true),
        ("packed dims", Proto::new().packed(1, &DIMS).varint(2, FLOAT).text(8, "w").bytes(9, &raw32), true),
    ];
    for (what, tensor, view) in cases {
        assert_eq!(weights(&conv(tensor)), (vec![a, b], view), "{what}");
    }
    let constant = |op| Net::new(12).input("x", "N 2 3 3").node(op).node(onnx::op("Mul", "x c", "y")).output("y");
    for op in [
        op("Constant", "", "c").tensor("value", &floats("", &[], &[a])),
        op("Constant", "", "c").float("value_float", a),
        op("Constant", "", "c").floats("value_floats", &[a]),
    ] {
        assert_eq!(crate::affine(&constant(op).open().unwrap(), "y").0, [a, a]);
    }
}

#[test]
fn short_and_long_data_are_refused() {
    for tensor in [
        tensor("w", &DIMS, FLOAT),
        tensor("w", &DIMS, FLOAT).bytes(9, &[0; 7]),
        tensor("w", &DIMS, FLOAT).bytes(9, &[0; 9]),
        tensor("w", &DIMS, FLOAT).bytes(4, &[0; 4]),
        tensor("w", &DIMS, FLOAT).float(4, 1.0),
        tensor("w", &DIMS, FLOAT16).packed(5, &[1, 2, 3]),
        tensor("w", &DIMS, FLOAT16).varint(5, 1),
        tensor("w", &DIMS, DOUBLE).bytes(10, &[0; 24]),
    ] {
        let message = error(&conv(tensor), "shape");
        assert!(message.contains("\"w\"") && message.contains("[1, 2, 1, 1]"), "{message}");
    }
    // Products that are no size in memory, and dimensions that are none.
    for dims in [[1 << 40, 1 << 40, 1, 1], [i64::MAX, 1, 1, 1], [-1, 2, 1, 1], [0, i64::MAX, i64::MAX, 1]] {
        assert!(error(&conv(tensor("w", &dims, FLOAT)), "shape").contains("size in memory"));
    }
    error(&conv(tensor("w", &[1 << 31, 2, 1, 1], FLOAT)), "shape");
    assert!(error(&conv(tensor("w", &DIMS, FLOAT).bytes(4, &[0; 7])), "format").contains("byte"));
    error(&conv(tensor("w", &DIMS, FLOAT16).bytes(5, &[0x80])), "format");
    assert!(why(&conv(tensor("w", &DIMS, 8))).contains("string"));
    assert!(why(&conv(tensor("w", &DIMS, 77))).contains("data type 77"));
    assert!(error(&conv(tensor("w", &DIMS, INT64).packed(7, &[1, 2])), "graph").contains("no floats"));
    assert!(error(&conv(tensor("w", &DIMS, INT32).bytes(9, &[0; 8])), "graph").contains("no floats"));
    let many = tensor("w", &[100_000], INT64).bytes(9, &vec![0; 800_000]);
    let net = one(5, "N 2 3 3", op("Reshape", "x w", "y")).init(many);
    assert!(why(&net).contains("100000 integers"));
}

/// NaN in a matrix is found by the run that reads it first, not by opening the file nor by runs that end before it.
#[test]
fn weights_are_looked_at_when_a_run_reads_them() {
    for (filter, matrix, node) in [(1.0, f32::NAN, "s"), (f32::INFINITY, 1.0, "a")] {
        let net = Net::new(13)
            .input("x", "N 1 2 2")
            .node(op("Conv", "x w", "a"))
            .node(op("Flatten", "a", "f"))
            .node(op("Gemm", "f m", "s"))
            .init(floats("w", &[1, 1, 1, 1], &[filter]))
            .init(floats("m", &[4, 2], &[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, matrix, 0.5]))
            .output("s");
        let session = Session::new(Arc::new(net.open().unwrap()), Cpu::new(1), None).unwrap();
        let input = Tensor::single(Shape::new(1, 2, 2), vec![1.0, 2.0, 3.0, 4.0]);
        let run = |name| {
            let id = session.network().find(name).unwrap();
            session.run(&input, &Keep::nodes(session.network(), &[id]))
        };
        assert_eq!(run("f").is_ok(), filter.is_finite(), "a run that ends before the matrix");
        let error = run("s").expect_err("a weight is not finite");
        assert_eq!(error.kind(), "non-finite");
        assert!(error.to_string().contains(&format!("of node \"{node}\"")), "{error}");
    }
}

#[test]
fn an_initialiser_of_two_nodes_is_stored_once() {
    let net = Net::new(11)
        .input("x", "N 2 3 3")
        .node(op("Conv", "x w", "a"))
        .node(op("Conv", "a w", "y"))
        .init(filled("w", &[2, 2, 1, 1]))
        .init(filled("unused", &[5]))
        .output("y");
    let model = net.open().unwrap();
    assert_eq!(model.weights.len(), 1);
    assert_eq!(model.weights.dims(model.weights.ids().next().unwrap()), [2, 2, 1, 1]);
}

#[test]
fn computed_weights_get_names_of_their_own() {
    let net = Net::new(11)
        .input("x", "N 2 3 3")
        .node(op("Mul", "x c", "y"))
        .node(op("Conv", "y y.scale", "z"))
        .init(floats("c", &[], &[2.0]))
        .init(filled("y.scale", &[1, 2, 1, 1]))
        .output("z");
    let model = net.open().unwrap();
    let names: std::collections::BTreeSet<&str> = model.weights.ids().map(|id| model.weights.name(id)).collect();
    assert_eq!(names.len(), model.weights.len(), "{names:?}");
}

#[test]
fn sparse_tensors_are_unsupported() {
    let sparse = Proto::new().message(15, &Proto::new().message(1, &floats("w", &[1], &[1.0])));
    let mut bytes = one(11, "N 2 3 3", op("Conv", "x w", "y")).bytes();
    // A second graph field is merged with the first, as protobuf has it.
    bytes.extend(Proto::new().message(7, &sparse).0);
    match onnx::open(bytes) {
        Err(Error::Unsupported { nodes, .. }) => assert!(nodes[0].why.contains("sparse")),
        other => panic!("{other:?}"),
    }
}

/// Weights `w` at `location`, with further entries.
fn external(location: &str, entries: &[(&str, &str)]) -> Proto {
    let entry = |k: &str, v: &str| Proto::new().text(1, k).text(2, v);
    let tensor = tensor("w", &DIMS, FLOAT).varint(14, 1).message(13, &entry("location", location));
    entries.iter().fold(tensor, |t, (k, v)| t.message(13, &entry(k, v)))
}

fn open_at(folder: &Path, w: Proto) -> Result<Model, Error> {
    let path = folder.join("net.onnx");
    fs::write(&path, conv(w).bytes()).unwrap();
    Model::open(&path, true)
}

#[test]
fn external_data_lie_beside_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let data: Vec<u8> = [0.0f32, 1.5, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    fs::write(folder.path().join("net.bin"), &data).unwrap();
    for entries in [&[("offset", "4")][..], &[("offset", "4"), ("length", "8"), ("checksum", "x")]] {
        let model = open_at(folder.path(), external("net.bin", entries)).unwrap();
        let id = model.weights.ids().next().unwrap();
        assert_eq!(model.weights.view(id).to_vec(), [1.5, -2.0]);
    }
    let wrong = |entries: &[(&str, &str)]| open_at(folder.path(), external("net.bin", entries)).unwrap_err();
    for entries in [
        &[("offset", "5")][..],
        &[("offset", "18446744073709551615")],
        &[("offset", "-1")],
        &[("offset", "0"), ("length", "99999999999999999999999")],
        &[("length", "18446744073709551615"), ("offset", "1")],
    ] {
        let e = wrong(entries);
        assert_eq!(e.kind(), "format", "{e}");
    }
    assert!(wrong(&[("offset", "5")]).to_string().contains("ends at 12"));
    assert_eq!(wrong(&[("length", "12")]).kind(), "shape");
    assert_eq!(open_at(folder.path(), external("gone.bin", &[])).unwrap_err().kind(), "io");
    let nowhere = tensor("w", &DIMS, FLOAT).varint(14, 1);
    assert!(open_at(folder.path(), nowhere).unwrap_err().to_string().contains("no location"));
}

#[test]
fn external_data_lie_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(folder.path().join("secret.bin"), [0; 8]).unwrap();
    fs::write(inner.join("near.bin"), [0; 8]).unwrap();
    let absolute = folder.path().join("secret.bin").to_string_lossy().into_owned();
    for location in [
        "../secret.bin",
        "..",
        ".",
        "",
        "/etc/passwd",
        "a/../near.bin",
        "a\\near.bin",
        "./near.bin",
        "near.bin/",
        "a\0b",
        &absolute,
    ] {
        let e = open_at(&inner, external(location, &[])).unwrap_err();
        assert!(e.kind() == "format" && e.to_string().contains("plain file name"), "{location}: {e}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../secret.bin", inner.join("link.bin")).unwrap();
        let e = open_at(&inner, external("link.bin", &[])).unwrap_err();
        assert!(e.to_string().contains("link"), "{e}");
        std::os::unix::fs::symlink("near.bin", inner.join("good.bin")).unwrap();
        open_at(&inner, external("good.bin", &[])).unwrap();
    }
    open_at(&inner, external("near.bin", &[])).unwrap();
}
