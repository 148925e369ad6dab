//! Operators that regroup axes, join channels or reduce maps.
//!
//! A regrouped tensor keeps its numbers in their order, so it is the same network node seen with other axes, or its
//! flattened form:
//!
//! ```text
//! (N, C, H, W) ─▶ (N, C·H·W)          Flatten
//! (N, C, 1, 1) ◀▶ (N, C)              Identity
//! (N, C, H, W) ─▶ (N, C, H·W)         Identity, seen as rows of places
//! (N, C·H·W)   ─▶ (N, C, H, W)        Identity of what was flattened
//! ```
//! The batch N stays a symbol even where the file gives it a number.

use crate::error::Error;
use crate::network::Layer;
use crate::tensor::Shape;

use super::constant::{Constant, Data, Sym, dtype};
use super::lower::{Lowered, Lowering, Map, Value, axis, graph_error, output_name, shape_error, unsupported};
use super::proto::Node;

impl<'a> Lowering<'a> {
    pub(super) fn dropout(&mut self, node: &Node<'a>) -> Lowered<Value> {
        if let Some(training) = self.optional_constant(node, 2, "training_mode")?
            && self.scalar(node, &training)? != Some(0.0)
        {
            return unsupported("it is in training mode; export the model for inference");
        }
        self.elementwise(node, Layer::Identity)
    }

    pub(super) fn cast(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let to = self.cast_target(node)?;
        // What an unsupported node makes may be integers: only of a map it is known that it holds activations.
        let map = self.map(node, 0)?;
        if !dtype::is_float(to) {
            return unsupported(format!("it turns activations into {}", dtype::name(to)));
        }
        self.emit(node, Layer::Identity, vec![map.node], map)
    }

    /// Attribute `to`: a word until opset 5, a number since.
    pub(super) fn cast_target(&self, node: &Node<'a>) -> Lowered<i64> {
        let Some(to) = self.any(node, "to")? else { return Err(graph_error(node, "has no type to cast to".into())) };
        match to.s {
            b"" => Ok(to.i),
            b"FLOAT" => Ok(dtype::FLOAT),
            b"FLOAT16" => Ok(dtype::FLOAT16),
            b"DOUBLE" => Ok(dtype::DOUBLE),
            b"INT32" => Ok(dtype::INT32),
            b"INT64" => Ok(dtype::INT64),
            other => unsupported(format!("it casts to {}", String::from_utf8_lossy(other))),
        }
    }

    pub(super) fn shape(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let dims = self.map(node, 0)?.dims();
        let rank = dims.len() as i64;
        let end = |x: i64| if x < 0 { x.saturating_add(rank) } else { x }.clamp(0, rank) as usize;
        let from = end(self.int(node, "start")?.unwrap_or(0));
        let to = end(self.int(node, "end")?.unwrap_or(rank)).max(from);
        Ok(Value::Constant(Constant::ints(output_name(node), vec![to - from], dims[from..to].to_vec())))
    }

    pub(super) fn flatten(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let attribute = self.int(node, "axis")?.unwrap_or(1);
        let map = self.map(node, 0)?;
        // One past the last axis is allowed.
        let at = match attribute {
            a if a == map.rank() as i64 => map.rank(),
            a => axis(node, a, map.rank())?,
        };
        let keeps_batch = map.batch && at > 0;
        let (left, right) = map.rest.split_at(at.saturating_sub(usize::from(map.batch)));
        let (left, right): (usize, usize) = (left.iter().product(), right.iter().product());
        match (map.batch, keeps_batch, left) {
            (true, false, _) if self.batch != Some(1) => unsupported("axis 0 would join the pictures of a batch"),
            (_, _, 1) => self.regroup(node, &map, true, vec![right]),
            (false, _, _) => self.regroup(node, &map, false, vec![left, right]),
            _ => unsupported(format!("axis {at} of {map} would join channels with the batch")),
        }
    }

    pub(super) fn squeeze(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let axes = self.int_list(node, "axes", 1)?;
        let map = self.map(node, 0)?;
        let ones =
            |i: usize| if map.batch && i == 0 { self.batch == Some(1) } else { map.rest[i - map.channel_axis()] == 1 };
        let mut gone = vec![false; map.rank()];
        match axes {
            None => gone.iter_mut().enumerate().for_each(|(i, g)| *g = ones(i)),
            Some(axes) => {
                for a in axes {
                    let a = axis(node, a, map.rank())?;
                    let symbol = map.batch && a == 0 && self.batch.is_none();
                    if !ones(a) && !symbol {
                        return Err(shape_error(node, format!("one cell on axis {a}"), map.to_string()));
                    }
                    gone[a] = true;
                }
            }
        }
        let batch = map.batch && !gone[0];
        let kept = |i: &usize| !gone[i + map.channel_axis()];
        let rest = (0..map.rest.len()).filter(kept).map(|i| map.rest[i]).collect();
        self.regroup(node, &map, batch, rest)
    }

    pub(super) fn unsqueeze(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let Some(axes) = self.int_list(node, "axes", 1)? else { return Err(graph_error(node, "has no axes".into())) };
        let map = self.map(node, 0)?;
        let new = inserted(node, &axes, map.rank())?;
        let mut old = map.dims().into_iter();
        let dims: Vec<Sym> =
            new.iter().map(|&one| if one { Sym::Int(1) } else { old.next().unwrap_or(Sym::Int(1)) }).collect();
        self.reshaped(node, &map, &dims)
    }

    pub(super) fn reshape(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let allow_zero = self.int(node, "allowzero")?.unwrap_or(0) != 0;
        let wanted = self.target_shape(node)?;
        let map = self.map(node, 0)?;
        let dims = map.dims();
        let mut target = Vec::with_capacity(wanted.len());
        for (i, &dim) in wanted.iter().enumerate() {
            target.push(match dim {
                Sym::Int(0) if !allow_zero => {
                    *dims.get(i).ok_or_else(|| shape_error(node, format!("an axis {i} to copy"), map.to_string()))?
                }
                dim => dim,
            });
        }
        self.reshaped(node, &map, &target)
    }

    /// The shape of a `Reshape`: an attribute until opset 4, an input since.
    pub(super) fn target_shape(&mut self, node: &Node<'a>) -> Lowered<Vec<Sym>> {
        if let Some(ints) = self.ints(node, "shape")? {
            return Ok(ints.into_iter().map(Sym::Int).collect());
        }
        match self.constant(node, 1, "shape")?.data {
            Data::Ints(data) => Ok(data.to_vec()),
            _ => Err(graph_error(node, "its shape is no list of integers".into())),
        }
    }

    /// `map` with the axes `target`, where −1 stands for what is left.
    fn reshaped(&mut self, node: &Node<'a>, map: &Map, target: &[Sym]) -> Lowered<Value> {
        let total = self.shapes[map.node].len();
        let leads = match target.first() {
            Some(Sym::Batch(1)) => true,
            Some(Sym::Int(-1)) => !target[1..].contains(&Sym::Int(-1)),
            Some(&Sym::Int(n)) => usize::try_from(n) == Ok(self.batch.unwrap_or(1)),
            _ => false,
        };
        if leads && let Some(rest) = filled(&target[1..], total) {
            return self.regroup(node, map, true, rest);
        }
        let one_picture = !map.batch || self.batch.is_none_or(|n| n == 1);
        match filled(target, total).filter(|_| one_picture) {
            Some(rest) => self.regroup(node, map, false, rest),
            None => unsupported(format!("it turns {map} into {}", written(target))),
        }
    }

    /// The same numbers with other axes.
    fn regroup(&mut self, node: &Node<'a>, map: &Map, batch: bool, rest: Vec<usize>) -> Lowered<Value> {
        let shape = self.shapes[map.node];
        let seen = Map { node: 0, batch, rest };
        if fits(&seen.rest, shape) {
            return self.emit(node, Layer::Identity, vec![map.node], seen);
        }
        if seen.rest.first() == Some(&shape.len()) {
            return self.emit(node, Layer::Flatten, vec![map.node], seen);
        }
        let mut id = map.node;
        while matches!(self.specs[id].layer, Layer::Flatten | Layer::Identity) {
            id = self.specs[id].inputs[0];
            if fits(&seen.rest, self.shapes[id]) {
                return self.emit(node, Layer::Identity, vec![id], seen);
            }
        }
        unsupported(format!("it turns {map} into {seen}; only vectors and equivalent axes are supported"))
    }

    pub(super) fn concat(&mut self, node: &Node<'a>) -> Lowered<Value> {
        let attribute = self.int(node, "axis")?;
        if node.inputs.is_empty() {
            return Err(graph_error(node, "joins nothing".into()));
        }
        let mut maps = Vec::with_capacity(node.inputs.len());
        for i in 0..node.inputs.len() {
            maps.push(self.map(node, i)?);
        }
        let first = maps[0].clone();
        let a = axis(node, attribute.unwrap_or(1), first.rank())?;
        if maps.len() == 1 {
            return self.elementwise(node, Layer::Identity);
        }
        if a != first.channel_axis() {
            return unsupported(format!("it joins axis {a} of {first}; only channels are supported"));
        }
        let mut channels = 0;
        for map in &maps {
            if map.batch != first.batch || map.rest[1..] != first.rest[1..] {
                let expected = format!("the axes of {first} from every input, but for channels");
                return Err(shape_error(node, expected, map.to_string()));
            }
            channels += map.rest[0];
        }
        let rest = [&[channels], &first.rest[1..]].concat();
        self.emit(node, Layer::Concat, maps.iter().map(|m| m.node).collect(), Map { rest, ..first })
    }

    /// ReduceMean and ReduceMax over all places: `layer` does that.
    pub(super) fn reduce(&mut self, node: &Node<'a>, layer: Layer) -> Lowered<Value> {
        let keep = self.int(node, "keepdims")?.unwrap_or(1) != 0;
        let nothing = self.int(node, "noop_with_empty_axes")?.unwrap_or(0) != 0;
        let axes = self.int_list(node, "axes", 1)?.filter(|a| !a.is_empty());
        if axes.is_none() && nothing {
            return self.elementwise(node, Layer::Identity);
        }
        let map = self.map(node, 0)?;
        let mut reduced = vec![axes.is_none(); map.rank()];
        for a in axes.into_iter().flatten() {
            reduced[axis(node, a, map.rank())?] = true;
        }
        let channel = map.channel_axis();
        let over = |i: usize| reduced[i + channel];
        let (batch, channels) = (map.batch && reduced[0], over(0) && (map.rest[0] > 1 || !keep));
        let part = (1..map.rest.len()).any(|i| map.rest[i] > 1 && !over(i));
        if batch || channels || part {
            return unsupported(format!("it reduces {map} over other axes than height and width"));
        }
        let rest =
            (0..map.rest.len()).filter(|&i| keep || !over(i)).map(|i| if over(i) { 1 } else { map.rest[i] }).collect();
        self.emit(node, layer, vec![map.node], Map { rest, ..map })
    }
}

/// Which of the axes after an `Unsqueeze` are new.
pub(super) fn inserted(node: &Node<'_>, axes: &[i64], rank: usize) -> Lowered<Vec<bool>> {
    // Nothing has more axes than this; a hostile list must not grow without end.
    if rank + axes.len() > 64 {
        return Err(shape_error(node, "at most 64 axes", format!("{}", rank + axes.len())));
    }
    let mut new = vec![false; rank + axes.len()];
    for &a in axes {
        let a = axis(node, a, new.len())?;
        if std::mem::replace(&mut new[a], true) {
            let what = format!("inserts axis {a} twice");
            return Err(Error::Graph { node: node.label().to_owned(), what }.into());
        }
    }
    Ok(new)
}

/// Axes that multiply to `total`, with −1 (once) replaced by what is missing.
fn filled(target: &[Sym], total: usize) -> Option<Vec<usize>> {
    let mut product = 1usize;
    let mut open = None;
    let mut dims = Vec::with_capacity(target.len());
    for (i, dim) in target.iter().enumerate() {
        match *dim {
            Sym::Int(-1) if open.is_none() => {
                open = Some(i);
                dims.push(1);
            }
            Sym::Int(n) if n > 0 => {
                let n = usize::try_from(n).ok()?;
                product = product.checked_mul(n)?;
                dims.push(n);
            }
            _ => return None,
        }
    }
    if let Some(i) = open {
        dims[i] = total / product;
        product = product.checked_mul(dims[i])?;
    }
    (product == total).then_some(dims)
}

/// Whether (C, …) are axes of maps of `shape`: channels first, then height and width, or both as one, among ones.
fn fits(rest: &[usize], shape: Shape) -> bool {
    let wide = |dims: &[usize]| dims.iter().copied().filter(|&d| d != 1).collect::<Vec<_>>();
    match rest {
        [c, places @ ..] if *c == shape.c => {
            let places = wide(places);
            places == wide(&shape.size()) || places == wide(&[shape.h * shape.w])
        }
        _ => false,
    }
}

fn written(target: &[Sym]) -> String {
    let dims: Vec<String> = target
        .iter()
        .map(|d| match d {
            Sym::Int(n) => n.to_string(),
            Sym::Batch(1) => "N".to_owned(),
            Sym::Batch(n) => format!("{n}·N"),
        })
        .collect();
    format!("({})", dims.join(", "))
}
