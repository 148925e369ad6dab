//! Writes little ONNX models byte by byte, so that tests can also write wrong ones.
//!
//! ```text
//! Net::new(13).input("x", "N 3 8 8").init(f32s("w", &[4, 3, 3, 3], 0.1))
//!     .node(op("Conv", "x w", "y").ints("pads", &[1, 1, 1, 1])).output("y").bytes()
//! ```

use std::path::Path;

use switchback_core::weights::mmap::Bytes;
use switchback_core::{Model, Result};

/// `TensorProto.DataType`
pub(crate) const FLOAT: u64 = 1;
pub(crate) const UINT8: u64 = 2;
pub(crate) const INT32: u64 = 6;
pub(crate) const INT64: u64 = 7;
pub(crate) const FLOAT16: u64 = 10;
pub(crate) const DOUBLE: u64 = 11;

/// A protobuf message that is being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proto(pub(crate) Vec<u8>);

impl Proto {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn raw_varint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.0.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.0.push(v as u8);
    }

    pub(crate) fn varint(mut self, number: u64, v: u64) -> Self {
        self.raw_varint(number << 3);
        self.raw_varint(v);
        self
    }

    pub(crate) fn bytes(mut self, number: u64, bytes: &[u8]) -> Self {
        self.raw_varint(number << 3 | 2);
        self.raw_varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn text(self, number: u64, text: &str) -> Self {
        self.bytes(number, text.as_bytes())
    }

    pub(crate) fn message(self, number: u64, message: &Proto) -> Self {
        self.bytes(number, &message.0)
    }

    pub(crate) fn float(mut self, number: u64, x: f32) -> Self {
        self.raw_varint(number << 3 | 5);
        self.0.extend_from_slice(&x.to_le_bytes());
        self
    }

    pub(crate) fn packed(self, number: u64, values: &[i64]) -> Self {
        let mut packed = Proto::new();
        values.iter().for_each(|&v| packed.raw_varint(v as u64));
        self.message(number, &packed)
    }
}

/// A tensor without data: name, dims, data type.
pub(crate) fn tensor(name: &str, dims: &[i64], dtype: u64) -> Proto {
    let dims = dims.iter().fold(Proto::new(), |p, &d| p.varint(1, d as u64));
    dims.varint(2, dtype).text(8, name)
}

/// float32 in `raw_data`.
pub(crate) fn floats(name: &str, dims: &[i64], data: &[f32]) -> Proto {
    let raw: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
    tensor(name, dims, FLOAT).bytes(9, &raw)
}

/// The same, filled with small different numbers.
pub(crate) fn filled(name: &str, dims: &[i64]) -> Proto {
    let n = dims.iter().product::<i64>();
    floats(name, dims, &(0..n).map(|i| (i % 17) as f32 * 0.125 - 1.0).collect::<Vec<_>>())
}

/// int64 in `int64_data`, one axis.
pub(crate) fn ints(name: &str, data: &[i64]) -> Proto {
    tensor(name, &[data.len() as i64], INT64).packed(7, data)
}

/// A node that is being written.
#[derive(Clone, Debug)]
pub(crate) struct Op(Proto);

/// Operator, inputs and outputs; names between blanks, `_` for one that is left out.
pub(crate) fn op(kind: &str, inputs: &str, outputs: &str) -> Op {
    let name = |n: &str| if n == "_" { String::new() } else { n.to_owned() };
    let node = inputs.split_whitespace().fold(Proto::new(), |p, i| p.text(1, &name(i)));
    let node = outputs.split_whitespace().fold(node, |p, o| p.text(2, &name(o)));
    Op(node.text(4, kind))
}

impl Op {
    fn attribute(self, name: &str, kind: u64, value: impl FnOnce(Proto) -> Proto) -> Self {
        Op(self.0.message(5, &value(Proto::new().text(1, name)).varint(20, kind)))
    }

    pub(crate) fn float(self, name: &str, x: f32) -> Self {
        self.attribute(name, 1, |p| p.float(2, x))
    }

    pub(crate) fn int(self, name: &str, i: i64) -> Self {
        self.attribute(name, 2, |p| p.varint(3, i as u64))
    }

    pub(crate) fn text(self, name: &str, s: &str) -> Self {
        self.attribute(name, 3, |p| p.text(4, s))
    }

    pub(crate) fn tensor(self, name: &str, t: &Proto) -> Self {
        self.attribute(name, 4, |p| p.message(5, t))
    }

    pub(crate) fn graph(self, name: &str) -> Self {
        self.attribute(name, 5, |p| p.message(6, &Proto::new()))
    }

    pub(crate) fn floats(self, name: &str, values: &[f32]) -> Self {
        self.attribute(name, 6, |p| values.iter().fold(p, |p, &x| p.float(7, x)))
    }

    /// Unpacked, as the older definition of the format writes them.
    pub(crate) fn ints(self, name: &str, values: &[i64]) -> Self {
        self.attribute(name, 7, |p| values.iter().fold(p, |p, &i| p.varint(8, i as u64)))
    }

    pub(crate) fn named(self, name: &str) -> Self {
        Op(self.0.text(3, name))
    }

    pub(crate) fn domain(self, domain: &str) -> Self {
        Op(self.0.text(7, domain))
    }
}

/// A model that is being written.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    graph: Proto,
    opsets: Vec<(String, u64)>,
}

impl Net {
    pub(crate) fn new(opset: u64) -> Self {
        Self { graph: Proto::new(), opsets: vec![(String::new(), opset)] }
    }

    pub(crate) fn opset(mut self, domain: &str, version: u64) -> Self {
        self.opsets.push((domain.to_owned(), version));
        self
    }

    pub(crate) fn node(self, op: Op) -> Self {
        Self { graph: self.graph.message(1, &op.0), ..self }
    }

    pub(crate) fn init(self, tensor: Proto) -> Self {
        Self { graph: self.graph.message(5, &tensor), ..self }
    }

    /// `dims` between blanks: a number, a symbol, or `?` for neither.
    pub(crate) fn typed_input(self, name: &str, dims: &str, dtype: u64) -> Self {
        let shape = dims.split_whitespace().fold(Proto::new(), |p, d| {
            let dim = match d.parse::<i64>() {
                Ok(n) => Proto::new().varint(1, n as u64),
                Err(_) if d == "?" => Proto::new(),
                Err(_) => Proto::new().text(2, d),
            };
            p.message(1, &dim)
        });
        let kind = Proto::new().message(1, &Proto::new().varint(1, dtype).message(2, &shape));
        Self { graph: self.graph.message(11, &Proto::new().text(1, name).message(2, &kind)), ..self }
    }

    pub(crate) fn input(self, name: &str, dims: &str) -> Self {
        self.typed_input(name, dims, FLOAT)
    }

    pub(crate) fn output(self, name: &str) -> Self {
        Self { graph: self.graph.message(12, &Proto::new().text(1, name)), ..self }
    }

    /// The graph comes last, so that a file that is cut anywhere is no model.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut model = Proto::new().varint(1, 3).text(2, "test");
        for (domain, version) in &self.opsets {
            model = model.message(8, &Proto::new().text(1, domain).varint(2, *version));
        }
        model.message(7, &self.graph).0
    }

    pub(crate) fn open(&self) -> Result<Model> {
        open(self.bytes())
    }
}

/// Opens bytes as a model that lies nowhere.
pub(crate) fn open(bytes: Vec<u8>) -> Result<Model> {
    Model::from_bytes(Path::new("net.onnx"), Bytes::owned(bytes), false)
}
