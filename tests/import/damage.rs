//! Files that are cut, flipped or hostile: an error, never a panic, never memory that a length asks for.

use std::path::Path;

use switchback_core::weights::mmap::Bytes;
use switchback_core::{Error, Model};

use crate::onnx::{self, FLOAT, Net, Proto, filled, floats, ints, op, tensor};

/// A model with most of what the importer reads.
fn small() -> Net {
    Net::new(11)
        .input("x", "N 2 6 6")
        .node(op("Conv", "x w b", "c").ints("pads", &[1, 1, 1, 1]).ints("strides", &[2, 2]).text("auto_pad", "NOTSET"))
        .node(op("BatchNormalization", "c b b b v", "n"))
        .node(op("Clip", "n lo", "r"))
        .node(op("MaxPool", "r", "p").ints("kernel_shape", &[2, 2]).int("ceil_mode", 1))
        .node(op("Shape", "p", "s"))
        .node(op("Slice", "s zero one", "s0"))
        .node(op("Concat", "s0 minus", "s1").int("axis", 0))
        .node(op("Reshape", "p s1", "f"))
        .node(op("Gemm", "f m", "y").float("alpha", 0.5).int("transB", 1))
        .node(op("Softmax", "y", "z"))
        .init(filled("w", &[3, 2, 3, 3]))
        .init(filled("b", &[3]))
        .init(floats("v", &[3], &[1.0, 1.0, 1.0]))
        .init(tensor("lo", &[], FLOAT).float(4, 0.0))
        .init(ints("zero", &[0]))
        .init(ints("one", &[1]))
        .init(ints("minus", &[-1]))
        .init(filled("m", &[2, 12]))
        .output("z")
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let bytes = small().bytes();
    small().open().unwrap();
    for length in 0..bytes.len() {
        let e = onnx::open(bytes[..length].to_vec()).expect_err("a cut model");
        assert_eq!(e.kind(), "format", "cut at {length}: {e}");
        assert!(length < 20 || e.to_string().contains("byte"), "cut at {length}: {e}");
    }
}

#[test]
fn a_cut_file_on_disk_is_an_error_mapped_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.onnx");
    let bytes = small().bytes();
    for length in (0..bytes.len()).step_by(97) {
        std::fs::write(&path, &bytes[..length]).unwrap();
        for map in [true, false] {
            assert_eq!(Model::open(&path, map).unwrap_err().kind(), "format");
        }
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let bytes = small().bytes();
    let (mut opened, mut refused) = (0, 0);
    for at in 0..bytes.len() {
        for mask in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= mask;
            match onnx::open(bytes) {
                Ok(_) => opened += 1,
                Err(e) => {
                    assert!(!e.to_string().is_empty());
                    refused += 1;
                }
            }
        }
    }
    // Most bytes are weights, which may be anything; the others are noticed.
    assert!(opened > 1000 && refused > 1000, "{opened} opened, {refused} refused");
}

#[test]
fn deleted_and_doubled_bytes_never_panic() {
    let bytes = small().bytes();
    for at in 0..bytes.len() {
        let mut less = bytes.clone();
        less.remove(at);
        let mut more = bytes.clone();
        more.insert(at, bytes[at]);
        for bytes in [less, more] {
            if let Err(e) = onnx::open(bytes) {
                assert!(!e.to_string().is_empty());
            }
        }
    }
}

#[test]
fn squeezenet_cut_at_many_lengths() {
    let Some(path) = switchback_testdata::shared("models/squeezenet1.1.onnx") else { return };
    let bytes = std::fs::read(&path).unwrap();
    // The operator set is the last field: whatever is cut, something is missing.
    for i in 0..200 {
        let length = if i < 100 { i * bytes.len() / 100 } else { bytes.len() - (i - 99) };
        let cut = Bytes::owned(bytes[..length].to_vec());
        match Model::from_bytes(Path::new("cut.onnx"), cut, false) {
            Err(Error::Format { what, .. }) => assert!(length < 20 || what.contains("byte"), "{length}: {what}"),
            other => panic!("cut at {length}: {other:?}"),
        }
    }
}

/// `body` as a message whose length is a lie.
fn lie(number: u64, length: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Proto::new().varint(number, length).0;
    bytes[0] |= 2;
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn hostile_lengths_and_dimensions_cost_nothing() {
    let start = Proto::new().varint(1, 3).message(8, &Proto::new().varint(2, 11)).0;
    for length in [100, 1 << 31, 1 << 32, 1 << 62, u64::MAX] {
        for number in [7, 8, 2, 99] {
            let e = onnx::open([start.clone(), lie(number, length, &[0; 10])].concat()).unwrap_err();
            assert!(e.kind() == "format" && e.to_string().contains(&format!("byte {}", start.len())), "{e}");
        }
    }
    // Dimensions of a terabyte over a few bytes of data; windows and pads beyond any size.
    let huge = tensor("w", &[1 << 20, 2, 1 << 10, 1 << 10], FLOAT).bytes(9, &[0; 16]);
    let net = Net::new(11).input("x", "N 2 6 6").node(op("Conv", "x w", "y")).init(huge).output("y");
    assert_eq!(net.open().unwrap_err().kind(), "shape");
    let e = Net::new(11).input("x", "N 2 2147483647 2147483647").node(op("Relu", "x", "y")).output("y").open();
    assert_eq!(e.unwrap_err().kind(), "shape");
    for (name, value) in [("pads", 1 << 20), ("pads", i64::MAX), ("strides", i64::MIN), ("kernel_shape", i64::MAX)] {
        let pool = op("MaxPool", "x", "y").ints(name, &[value; 4][..if name == "pads" { 4 } else { 2 }]);
        let pool = if name == "kernel_shape" { pool } else { pool.ints("kernel_shape", &[2, 2]) };
        let net = Net::new(11).input("x", "N 2 6 6").node(pool).output("y");
        assert!(net.open().is_err(), "{name}");
    }
    let shape = op("ConstantOfShape", "d", "s");
    let net = Net::new(11).input("x", "N 2 6 6").node(shape).node(op("Reshape", "x s", "y")).output("y");
    let e = net.init(ints("d", &[60000, 60000, 60000])).open().unwrap_err();
    assert_eq!(e.kind(), "unsupported", "{e}");
}

#[test]
fn deep_graphs_and_deep_groups_do_not_exhaust_the_stack() {
    let mut net = Net::new(11).input("t0", "N 1 2 2");
    for i in 0..20_000 {
        net = net.node(op("Relu", &format!("t{i}"), &format!("t{}", i + 1)));
    }
    let model = net.output("t20000").open().unwrap();
    assert_eq!(model.network.nodes().len(), 20_001);
    let mut groups = Proto::new().varint(1, 3).0;
    groups.extend(std::iter::repeat_n(0x9b, 100_000));
    assert_eq!(onnx::open(groups).unwrap_err().kind(), "format");
}

#[test]
fn other_files_are_not_taken_for_models() {
    for bytes in [
        &b"\x89PNG\r\n\x1a\n0000"[..],
        b"BM\x36\x00\x0c\x00\x00\x00\x00\x00\x36\x00",
        b"GIF89a",
        b"\xff\xd8\xff\xe0\x00\x10JFIF",
        b"PK\x03\x04",
        b"{\"a\": 1}",
        b"#!/bin/sh\n",
        b"Hello, world",
        b"\x00\x00\x00\x00\x00\x00",
        b"\n\n\n\n",
    ] {
        assert!(!switchback_core::import::onnx::looks_like(bytes), "{bytes:?}");
        let e = onnx::open(bytes.to_vec()).unwrap_err();
        assert!(e.to_string().contains("neither"), "{e}");
    }
    assert!(switchback_core::import::onnx::looks_like(&small().bytes()));
}
