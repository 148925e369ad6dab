//! Fully connected layers, and the softmax that follows them.
//!
//! ```text
//! Gemm    y = alpha · x·B + beta · c       B (K, M), or (M, K) with transB
//! MatMul  y = x·B                          the addition that follows is a layer of its own
//! Softmax before opset 13: over all axes from `axis` on; since: over `axis` alone
//! ```

use crate::network::{Layer, WeightId};

use super::constant::Constant;
use super::lower::{Lowered, Lowering, Map, Value, axis, shape_error, unsupported};
use super::proto::Node;

impl<'a> Lowering<'a> {
    pub(super) fn gemm(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let alpha = self.float(node, "alpha")?.unwrap_or(1.0);
        let beta = self.float(node, "beta")?.unwrap_or(1.0);
        if self.int(node, "transA")?.unwrap_or(0) != 0 {
            return unsupported("transA: it would mix the pictures of a batch");
        }
        let transposed = self.int(node, "transB")?.unwrap_or(0) != 0;
        let matrix = self.constant(node, 1, "matrix")?;
        let c = self.optional_constant(node, 2, "bias")?;
        let (inputs, outputs) = extents(node, &matrix, transposed)?;
        let bias = match &c {
            None => None,
            Some(c) => Some(self.gemm_bias(node, c, beta, outputs)?),
        };
        let map = self.map(node, 0)?;
        self.vector(node, &map, inputs)?;
        let weight = if alpha == 1.0 {
            self.weight(node, &matrix)?
        } else {
            let scaled: Vec<f32> = self.floats(node, &matrix)?.iter().map(|x| x * alpha).collect();
            self.computed(node, "weight", &matrix.dims, &scaled)
        };
        let layer = Layer::Linear { outputs, transposed, weight, bias };
        self.emit(node, layer, vec![map.node], Map { rest: vec![outputs], ..map })
    }

    /// C of a Gemm: one number, or one an output.
    fn gemm_bias(&mut self, node: &Node<'a>, c: &Constant, beta: f32, outputs: usize) -> Lowered<WeightId> {
        let fits = match *c.dims.as_slice() {
            [] | [1] | [1, 1] => true,
            [n] | [1, n] => n == outputs,
            [_, 1] | [_, _] => return unsupported(format!("a bias of {:?}: it differs between pictures", c.dims)),
            _ => false,
        };
        if !fits {
            return Err(shape_error(node, format!("a bias of {outputs} numbers"), format!("{:?}", c.dims)));
        }
        if c.dims == [outputs] && beta == 1.0 {
            return self.weight(node, c);
        }
        let numbers = self.floats(node, c)?;
        let spread = |i: usize| beta * if numbers.len() == 1 { numbers[0] } else { numbers[i] };
        let bias: Vec<f32> = (0..outputs).map(spread).collect();
        Ok(self.computed(node, "bias", &[outputs], &bias))
    }

    pub(super) fn matmul(&mut self, node: &Node<'a>) -> Lowered<Value> {
        if let Some(Value::Constant(_)) = self.input(node, 0)? {
            return unsupported("a constant matrix on the left would mix the pictures of a batch");
        }
        let matrix = self.constant(node, 1, "matrix")?;
        let (inputs, outputs) = extents(node, &matrix, false)?;
        let map = self.map(node, 0)?;
        self.vector(node, &map, inputs)?;
        let weight = self.weight(node, &matrix)?;
        let layer = Layer::Linear { outputs, transposed: false, weight, bias: None };
        self.emit(node, layer, vec![map.node], Map { rest: vec![outputs], ..map })
    }

    /// `map` must be vectors of `inputs` numbers.
    fn vector(&self, node: &Node<'a>, map: &Map, inputs: usize) -> Lowered<()> {
        match map.rest[..] {
            [n] if n == inputs => Ok(()),
            [_, _, ..] if map.rest.last() == Some(&inputs) && node.op == "MatMul" => {
                unsupported(format!("it multiplies the last axis of {map}; only vectors (N, {inputs}) are supported"))
            }
            _ => Err(shape_error(node, format!("vectors (N, {inputs}), as its matrix says"), map.to_string())),
        }
    }

    pub(super) fn softmax(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let grouped = self.opset < 13;
        let attribute = self.int(node, "axis")?;
        let map = self.map(node, 0)?;
        let rank = map.rank();
        let from = axis(node, attribute.unwrap_or(if grouped { 1.min(rank as i64 - 1) } else { -1 }), rank)?;
        if map.batch && from == 0 && !(grouped && self.batch == Some(1)) {
            return unsupported("axis 0 would mix the pictures of a batch");
        }
        // Axes of one cell change nothing: what counts is which of the others are summed over.
        let summed = |i: usize| {
            let a = i + map.channel_axis();
            if grouped { a >= from } else { a == from }
        };
        let wide = || (0..map.rest.len()).filter(|&i| map.rest[i] > 1);
        let flat = if wide().all(summed) {
            grouped || wide().any(|i| i > 0)
        } else if wide().all(|i| summed(i) == (i == 0)) {
            false
        } else {
            return unsupported(format!("axis {from} of {map}; over the channels or over all is supported"));
        };
        let layer = if node.op == "Softmax" { Layer::Softmax { flat } } else { Layer::LogSoftmax { flat } };
        self.emit(node, layer, vec![map.node], map)
    }
}

/// Inputs and outputs of a matrix.
fn extents(node: &Node<'_>, matrix: &Constant, transposed: bool) -> Lowered<(usize, usize)> {
    match *matrix.dims.as_slice() {
        [a, b] if a > 0 && b > 0 => Ok(if transposed { (b, a) } else { (a, b) }),
        _ => Err(shape_error(node, "a matrix that is not empty", format!("{:?}", matrix.dims))),
    }
}
