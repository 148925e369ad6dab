//! Layers that treat every number, or every channel, alike.
//!
//! ```text
//! batch normalisation   scale·x + shift,  scale = γ / √(σ² + ε),  shift = β − μ·scale
//! x + c, x − c          1·x ± c           c − x    −1·x + c
//! x · c, x / c          c·x, (1/c)·x      one c, or one a channel
//! ```

use crate::network::Layer;

use super::constant::Constant;
use super::lower::{Lowered, Lowering, Map, Stop, Value, graph_error, shape_error, unsupported};
use super::proto::Node;

impl<'a> Lowering<'a> {
    pub(super) fn leaky_relu(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let slope = self.float(node, "alpha")?.unwrap_or(0.01);
        self.elementwise(node, Layer::LeakyRelu { slope })
    }

    pub(super) fn prelu(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let slopes = self.constant(node, 1, "slopes")?;
        match slopes.uniform(&self.sources) {
            Some(slope) => self.elementwise(node, Layer::LeakyRelu { slope }),
            None => unsupported(format!("{} different slopes; only one for all channels is supported", slopes.len())),
        }
    }

    pub(super) fn clip(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let min = self.bound(node, "min", 1)?.unwrap_or(f32::NEG_INFINITY);
        let max = self.bound(node, "max", 2)?.unwrap_or(f32::INFINITY);
        // The outermost floats were the defaults of opset 6: no bound at all.
        let min = if min == f32::MIN { f32::NEG_INFINITY } else { min };
        let max = if max == f32::MAX { f32::INFINITY } else { max };
        if min <= max {
            self.elementwise(node, Layer::Clip { min, max })
        } else {
            unsupported(format!("bounds that cross: {min} to {max}"))
        }
    }

    /// An attribute until opset 10, an input from 11.
    fn bound(&mut self, node: &Node<'a>, name: &str, i: usize) -> Lowered<Option<f32>> {
        if let Some(value) = self.float(node, name)? {
            return Ok(Some(value));
        }
        let Some(c) = self.optional_constant(node, i, name)? else { return Ok(None) };
        match self.scalar(node, &c)? {
            Some(value) => Ok(Some(value)),
            None => Err(shape_error(node, format!("one number as {name}"), format!("{:?}", c.dims))),
        }
    }

    pub(super) fn lrn(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let size = match self.int(node, "size")? {
            Some(n) if (1..=1 << 20).contains(&n) => n as usize,
            Some(n) => return Err(shape_error(node, "a size of at least 1", n.to_string())),
            None => return Err(graph_error(node, "has no size".into())),
        };
        let alpha = self.float(node, "alpha")?.unwrap_or(1e-4);
        let beta = self.float(node, "beta")?.unwrap_or(0.75);
        let k = self.float(node, "bias")?.unwrap_or(1.0);
        self.elementwise(node, Layer::Lrn { size, alpha, beta, k })
    }

    pub(super) fn batch_normalization(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let training = if self.opset >= 14 {
            self.int(node, "training_mode")?.unwrap_or(0) != 0
        } else {
            // Until opset 13 the number of outputs tells, and until 6 `is_test` may overrule it.
            node.outputs.iter().skip(1).any(|o| !o.is_empty()) && self.int(node, "is_test")?.unwrap_or(0) == 0
        };
        if training {
            return unsupported("it is in training mode; export the model for inference");
        }
        let per_place = self.int(node, "spatial")?.unwrap_or(1) == 0;
        let epsilon = f64::from(self.float(node, "epsilon")?.unwrap_or(1e-5));
        let mut tensors = Vec::with_capacity(4);
        for (i, what) in ["scale", "bias", "mean", "variance"].into_iter().enumerate() {
            let constant = self.constant(node, i + 1, what)?;
            tensors.push((what, constant.dims.clone(), self.floats(node, &constant)?));
        }
        let map = self.map(node, 0)?;
        let shape = self.shapes[map.node];
        if per_place && shape.is_spatial() {
            return unsupported("spatial = 0: statistics for every place instead of every channel");
        }
        for (what, dims, numbers) in &tensors {
            if numbers.len() != shape.c {
                let expected = format!("a {what} for each of {} channels", shape.c);
                return Err(shape_error(node, expected, format!("{dims:?}")));
            }
        }
        let number = |t: usize, c: usize| f64::from(tensors[t].2[c]);
        let scale: Vec<f64> = (0..shape.c).map(|c| number(0, c) / (number(3, c) + epsilon).sqrt()).collect();
        let shift: Vec<f32> = (0..shape.c).map(|c| (number(1, c) - number(2, c) * scale[c]) as f32).collect();
        self.affine(node, map, scale.iter().map(|&x| x as f32).collect(), shift)
    }

    /// Add, Sub, Mul and Div of a tensor with a constant, and Add of tensors.
    pub(super) fn binary(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let missing = || graph_error(node, "needs two inputs".into());
        let a = self.input(node, 0)?.ok_or_else(missing)?;
        let b = self.input(node, 1)?.ok_or_else(missing)?;
        let (map, constant, constant_first) = match (a, b) {
            (Value::Map(a), Value::Map(b)) if node.op == "Add" => return self.add(node, &[a, b]),
            (Value::Map(_), Value::Map(_)) => {
                return unsupported("both sides are computed by the network; only constants are supported");
            }
            (Value::Map(map), Value::Constant(c)) => (map, c, false),
            (Value::Constant(c), Value::Map(map)) => (map, c, true),
            _ => return Err(Stop::Unknown),
        };
        let c = self.per_channel(node, &map, &constant)?;
        let all = |x: f32| vec![x; c.len()];
        let (scale, shift) = match (node.op, constant_first) {
            ("Add", _) => (all(1.0), c),
            ("Sub", false) => (all(1.0), c.iter().map(|x| -x).collect()),
            ("Sub", true) => (all(-1.0), c),
            ("Mul", _) => (c.clone(), all(0.0)),
            (_, false) => (c.iter().map(|x| 1.0 / x).collect(), all(0.0)),
            (_, true) => return unsupported("it divides a constant by a tensor"),
        };
        self.affine(node, map, scale, shift)
    }

    pub(super) fn sum(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let mut maps = Vec::new();
        let mut constants = Vec::new();
        for i in 0..node.inputs.len() {
            match self.input(node, i)? {
                Some(Value::Map(map)) => maps.push(map),
                Some(Value::Constant(c)) => constants.push(c),
                _ => return Err(graph_error(node, format!("has no input {i}"))),
            }
        }
        match (&maps[..], &constants[..]) {
            ([], _) => Err(graph_error(node, "sums constants only".into())),
            ([_], []) => self.elementwise(node, Layer::Identity),
            (_, []) => self.add(node, &maps),
            ([map], _) => {
                let mut shift = vec![0.0; self.shapes[map.node].c];
                for constant in &constants {
                    let c = self.per_channel(node, map, constant)?;
                    shift.iter_mut().zip(c).for_each(|(s, c)| *s += c);
                }
                self.affine(node, map.clone(), vec![1.0; shift.len()], shift)
            }
            _ => unsupported("several tensors and constants in one sum"),
        }
    }

    fn add(&mut self, node: &Node<'a>, maps: &[Map]) -> Lowered<Value> {
        let first = maps[0].clone();
        if let Some(other) = maps.iter().find(|m| m.batch != first.batch || m.rest != first.rest) {
            return unsupported(format!("adds tensors of different shapes, {first} and {other}"));
        }
        // The same ONNX axes may lie over differently grouped maps of our own.
        if let Some(other) = maps.iter().find(|m| self.shapes[m.node] != self.shapes[first.node]) {
            let (ours, theirs) = (self.shapes[first.node], self.shapes[other.node]);
            return unsupported(format!("adds maps that were regrouped, {ours} and {theirs}"));
        }
        self.emit(node, Layer::Add, maps.iter().map(|m| m.node).collect(), first)
    }

    /// `constant` spread over the channels of `map`, by the opset's broadcasting rules.
    fn per_channel(&self, node: &Node<'a>, map: &Map, constant: &Constant) -> Lowered<Vec<f32>> {
        let rank = map.rank();
        let mut dims = constant.dims.clone();
        let differ =
            || shape_error(node, format!("a constant that spreads over {map}"), format!("{:?}", constant.dims));
        // Before opset 7 the constant's axes began at `axis`; without it, as ever since, they end with the tensor's.
        if self.opset < 7
            && let Some(axis) = self.int(node, "axis")?
        {
            let room = rank - super::lower::axis(node, axis, rank)?;
            if dims.len() > room {
                return Err(differ());
            }
            dims.resize(room, 1);
        }
        let grows =
            || unsupported(format!("a constant of {:?} would spread {map} over more axes or cells", constant.dims));
        let Some(lead) = rank.checked_sub(dims.len()) else { return grows() };
        for (i, &dim) in dims.iter().enumerate().filter(|(_, dim)| **dim != 1) {
            if map.batch && lead + i == 0 {
                return unsupported(format!("a constant of {:?} differs between pictures", constant.dims));
            }
            match map.rest[lead + i - map.channel_axis()] {
                whole if whole == dim => {}
                1 => return grows(),
                _ => return Err(differ()),
            }
        }
        let channels = self.shapes[map.node].c;
        if let Some(number) = constant.uniform(&self.sources) {
            return Ok(vec![number; channels]);
        }
        let numbers = self.floats(node, constant)?;
        let over_channels = map.channel_axis() >= lead
            && dims.iter().enumerate().all(|(i, &dim)| dim == 1 || lead + i == map.channel_axis())
            && numbers.len() == channels;
        if over_channels {
            return Ok(numbers);
        }
        unsupported(format!(
            "a constant of {:?} that differs from place to place; one number or one a channel is supported",
            constant.dims
        ))
    }

    fn affine(&mut self, node: &Node<'a>, map: Map, scale: Vec<f32>, shift: Vec<f32>) -> Lowered<Value> {
        let scale = self.computed(node, "scale", &[scale.len()], &scale);
        let shift = self.computed(node, "shift", &[shift.len()], &shift);
        self.emit(node, Layer::Affine { scale, shift }, vec![map.node], map)
    }
}
