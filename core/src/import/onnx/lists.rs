//! Integers picked, joined and turned: what exporters do to shapes and pads on their way to a `Reshape` or `Pad`.
//!
//! ```text
//! pads as PyTorch counts them   [w0, w1, h0, h1, 0, 0, 0, 0]
//!   Reshape (4, 2), Slice backwards, Transpose, Reshape ─▶ [0, 0, h0, w0, 0, 0, h1, w1] as ONNX does
//! ```
//! All of it on few numbers: never on weights.

use super::constant::{Constant, MOST_INTS, Sym};
use super::fold::ints;
use super::lower::{Lowered, Lowering, axis, output_name, shape_error, unsupported};
use super::proto::Node;

/// Integers with their axes, outermost first.
struct List {
    dims: Vec<usize>,
    data: Vec<Sym>,
}

impl List {
    /// `picks` of axis `a`, in that order.
    fn take(&self, a: usize, picks: &[usize]) -> Lowered<List> {
        let outer: usize = self.dims[..a].iter().product();
        let inner: usize = self.dims[a + 1..].iter().product();
        let count = outer.saturating_mul(inner).saturating_mul(picks.len());
        if count > MOST_INTS {
            return unsupported(format!("{count} integers picked"));
        }
        let mut data = Vec::with_capacity(count);
        for o in 0..outer {
            for pick in picks {
                let start = (o * self.dims[a] + pick) * inner;
                data.extend_from_slice(&self.data[start..start + inner]);
            }
        }
        let mut dims = self.dims.clone();
        dims[a] = picks.len();
        Ok(List { dims, data })
    }

    fn named(self, node: &Node<'_>) -> Constant {
        Constant::ints(output_name(node), self.dims, self.data)
    }
}

fn list(node: &Node<'_>, c: &Constant) -> Lowered<List> {
    // An empty tensor may still claim axes of any length.
    if c.dims.iter().fold(1usize, |n, &d| n.saturating_mul(d.max(1))) > MOST_INTS {
        return unsupported(format!("{} of a constant of {:?}", node.op, c.dims));
    }
    Ok(List { dims: c.dims.clone(), data: ints(node, c)?.to_vec() })
}

pub(super) fn gather<'a>(l: &Lowering<'a>, node: &Node<'a>, data: &Constant, indices: &Constant) -> Lowered<Constant> {
    let from = list(node, data)?;
    let a = axis(node, l.int(node, "axis")?.unwrap_or(0), from.dims.len())?;
    let mut picks = Vec::with_capacity(indices.len());
    for index in list(node, indices)?.data {
        match index {
            Sym::Int(i) => picks.push(axis(node, i, from.dims[a])?),
            Sym::Batch(_) => return unsupported("an index that depends on the number of pictures"),
        }
    }
    let mut taken = from.take(a, &picks)?;
    taken.dims.splice(a..=a, indices.dims.iter().copied());
    Ok(taken.named(node))
}

pub(super) fn slice<'a>(l: &mut Lowering<'a>, node: &Node<'a>, data: &Constant) -> Lowered<Constant> {
    let mut from = list(node, data)?;
    let rank = from.dims.len();
    let (starts, ends) = (l.int_list(node, "starts", 1)?, l.int_list(node, "ends", 2)?);
    let (axes, steps) = (l.int_list(node, "axes", 3)?, l.int_list(node, "steps", 4)?);
    let (starts, ends) = (starts.unwrap_or_default(), ends.unwrap_or_default());
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] || starts.len() > rank {
        let found = format!("{} starts, {} ends, {} axes, {} steps", starts.len(), ends.len(), axes.len(), steps.len());
        return Err(shape_error(node, format!("as many starts, ends, axes and steps, at most {rank}"), found));
    }
    for (i, &a) in axes.iter().enumerate() {
        let a = axis(node, a, rank)?;
        let len = from.dims[a] as i64;
        let from_start = |x: i64| if x < 0 { x.saturating_add(len) } else { x };
        let stride = usize::try_from(steps[i].unsigned_abs()).unwrap_or(usize::MAX);
        let picks: Vec<usize> = match steps[i] {
            0 => return Err(shape_error(node, "steps that are not 0", "0")),
            1.. => {
                let (first, end) = (from_start(starts[i]).clamp(0, len), from_start(ends[i]).clamp(0, len));
                (first..end).step_by(stride).map(|x| x as usize).collect()
            }
            _ => {
                let (first, end) = (from_start(starts[i]).clamp(-1, len - 1), from_start(ends[i]).clamp(-1, len - 1));
                (end + 1..first + 1).rev().step_by(stride).map(|x| x as usize).collect()
            }
        };
        from = from.take(a, &picks)?;
    }
    Ok(from.named(node))
}

pub(super) fn concat<'a>(l: &Lowering<'a>, node: &Node<'a>, parts: &[&Constant]) -> Lowered<Constant> {
    let parts = parts.iter().map(|c| list(node, c)).collect::<Lowered<Vec<_>>>()?;
    let Some(first) = parts.first() else { return Err(shape_error(node, "something to join", "nothing")) };
    let a = axis(node, l.int(node, "axis")?.unwrap_or(0), first.dims.len())?;
    let mut dims = first.dims.clone();
    dims[a] = 0;
    for part in &parts {
        let others =
            |dims: &[usize]| dims.iter().enumerate().filter(|(i, _)| *i != a).map(|(_, d)| *d).collect::<Vec<_>>();
        if part.dims.len() != dims.len() || others(&part.dims) != others(&dims) {
            return Err(shape_error(node, format!("{:?} but for axis {a}", first.dims), format!("{:?}", part.dims)));
        }
        dims[a] += part.dims[a];
    }
    let count: usize = parts.iter().map(|p| p.data.len()).sum();
    if count > MOST_INTS {
        return unsupported(format!("{count} integers joined"));
    }
    let outer: usize = dims[..a].iter().product();
    let mut data = Vec::with_capacity(count);
    for o in 0..outer {
        for part in &parts {
            let block = part.data.len() / outer;
            data.extend_from_slice(&part.data[o * block..(o + 1) * block]);
        }
    }
    Ok(List { dims, data }.named(node))
}

pub(super) fn transpose<'a>(l: &Lowering<'a>, node: &Node<'a>, c: &Constant) -> Lowered<Constant> {
    if c.is_float() {
        return unsupported("layers that move numbers between axes are not supported, nor for weights");
    }
    let from = list(node, c)?;
    let rank = from.dims.len();
    let perm = match l.ints(node, "perm")? {
        None => (0..rank).rev().collect::<Vec<_>>(),
        Some(perm) => perm.iter().map(|&a| axis(node, a, rank)).collect::<Lowered<_>>()?,
    };
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..rank) {
        return Err(shape_error(node, format!("every axis of {rank} once"), format!("{perm:?}")));
    }
    let stride = |a: usize| from.dims[a + 1..].iter().product::<usize>();
    let strides: Vec<usize> = perm.iter().map(|&a| stride(a)).collect();
    let dims: Vec<usize> = perm.iter().map(|&a| from.dims[a]).collect();
    let mut data = Vec::with_capacity(from.data.len());
    for i in 0..from.data.len() {
        let (mut left, mut place) = (i, 0);
        for (&dim, &stride) in dims.iter().zip(&strides).rev() {
            place += left % dim * stride;
            left /= dim;
        }
        data.push(from.data[place]);
    }
    Ok(List { dims, data }.named(node))
}
