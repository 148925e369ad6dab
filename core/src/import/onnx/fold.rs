//! Operators on constants: the arithmetic of shapes that feeds a `Reshape`, and constants handed on.
//!
//! ```text
//! Shape (N, 256, 6, 6) ─ Gather 0 ─▶ N ─ Unsqueeze ─▶ [N] ─┐
//!                                     Constant [−1] ───────┴─ Concat ─▶ [N, −1] ─▶ Reshape
//! ```
//! The batch is carried as a multiple of N. Integers are folded up to the length that a shape may have; floats are
//! only handed on, or computed where they are few.

use crate::import::protobuf::Message;

use super::constant::{Constant, Data, MOST_INTS, Sym, dtype};
use super::layout::inserted;
use super::lists;
use super::lower::{Lowered, Lowering, axis, graph_error, output_name, shape_error, unsupported};
use super::proto::Node;

/// Whether `op` is computed at once where all its inputs are constants.
pub(super) fn folds(op: &str) -> bool {
    matches!(
        op,
        "Constant"
            | "ConstantOfShape"
            | "Identity"
            | "Dropout"
            | "Cast"
            | "Shape"
            | "Reshape"
            | "Flatten"
            | "Squeeze"
            | "Unsqueeze"
            | "Gather"
            | "Slice"
            | "Transpose"
            | "Concat"
            | "Add"
            | "Sub"
            | "Mul"
            | "Div"
    )
}

/// Output 0 of `node` over `inputs`.
pub(super) fn fold<'a>(l: &mut Lowering<'a>, node: &Node<'a>, inputs: &[Option<Constant>]) -> Lowered<Constant> {
    let input = |i: usize| match inputs.get(i) {
        Some(Some(c)) => Ok(c),
        _ => Err(graph_error(node, format!("has no input {i}"))),
    };
    let name = output_name(node);
    let folded = match node.op {
        "Constant" => constant(l, node),
        "ConstantOfShape" => constant_of_shape(l, node, input(0)?),
        "Identity" | "Dropout" => input(0).cloned(),
        "Cast" => cast(l, node, input(0)?),
        "Shape" => {
            let dims = &input(0)?.dims;
            let (from, to) = (l.int(node, "start")?.unwrap_or(0), l.int(node, "end")?.unwrap_or(i64::MAX));
            let at = |x: i64| if x < 0 { x.saturating_add(dims.len() as i64) } else { x }.clamp(0, dims.len() as i64);
            let (from, to) = (at(from) as usize, at(to).max(at(from)) as usize);
            let sizes: Vec<Sym> = dims[from..to].iter().map(|&d| Sym::Int(d as i64)).collect();
            Ok(Constant::ints(name, vec![sizes.len()], sizes))
        }
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
            let c = input(0)?;
            let dims = regrouped(l, node, c)?;
            // The same numbers under another name: a weight's name goes with its dimensions.
            Ok(Constant { name: name.into(), dims, data: c.data.clone() })
        }
        "Gather" => lists::gather(l, node, input(0)?, input(1)?),
        "Slice" => lists::slice(l, node, input(0)?),
        "Transpose" => lists::transpose(l, node, input(0)?),
        "Concat" => {
            let parts = (0..inputs.len()).map(input).collect::<Lowered<Vec<_>>>()?;
            lists::concat(l, node, &parts)
        }
        _ => arithmetic(l, node, input(0)?, input(1)?),
    }?;
    // Axes of no cells must not hide others whose product is no number.
    match folded.dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1))) {
        Some(_) => Ok(folded),
        None => unsupported(format!("a constant of {:?}", folded.dims)),
    }
}

fn constant<'a>(l: &mut Lowering<'a>, node: &Node<'a>) -> Lowered<Constant> {
    let name = output_name(node);
    let read = |l: &mut Lowering<'a>, message: Message<'a>| Constant::read(name, message, &mut l.sources);
    if let Some(value) = l.any(node, "value")? {
        return match value.t {
            Some(message) => read(l, message),
            None => Err(graph_error(node, "its value is no tensor".into())),
        };
    }
    if let Some(x) = l.float(node, "value_float")? {
        return Ok(Constant::floats(name, vec![], vec![x]));
    }
    if let Some(a) = l.any(node, "value_floats")? {
        let floats: Vec<f32> =
            a.floats.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect();
        return Ok(Constant::floats(name, vec![floats.len()], floats));
    }
    if let Some(i) = l.int(node, "value_int")? {
        return Ok(Constant::ints(name, vec![], vec![Sym::Int(i)]));
    }
    if let Some(ints) = l.ints(node, "value_ints")? {
        return Ok(Constant::ints(name, vec![ints.len()], ints.into_iter().map(Sym::Int).collect()));
    }
    unsupported("a constant that is text or a sparse tensor")
}

fn constant_of_shape<'a>(l: &mut Lowering<'a>, node: &Node<'a>, shape: &Constant) -> Lowered<Constant> {
    let name = output_name(node);
    let mut dims = Vec::new();
    let mut count = 1usize;
    for dim in list(node, shape)? {
        match dim {
            Sym::Int(d @ 0..=0xffff) => dims.push(*d as usize),
            _ => return unsupported("a shape that depends on the number of pictures, is negative or is large"),
        }
        count = count.saturating_mul(dims[dims.len() - 1]);
    }
    if count > MOST_INTS {
        return unsupported(format!("{count} equal numbers"));
    }
    let value = match l.any(node, "value")?.and_then(|a| a.t) {
        Some(message) => Constant::read(name, message, &mut l.sources)?,
        None => Constant::floats(name, vec![1], vec![0.0]),
    };
    if value.len() != 1 {
        return Err(shape_error(node, "a value of one number", format!("{:?}", value.dims)));
    }
    Ok(match &value.data {
        Data::Ints(data) => Constant::ints(name, dims, vec![data[0]; count]),
        _ => Constant::floats(name, dims, vec![l.floats(node, &value)?[0]; count]),
    })
}

fn cast<'a>(l: &Lowering<'a>, node: &Node<'a>, c: &Constant) -> Lowered<Constant> {
    let to = l.cast_target(node)?;
    let name = output_name(node);
    match (c.is_float(), dtype::is_float(to), dtype::is_int(to)) {
        // Weights stay as they lie: all arithmetic is done in single precision.
        (true, true, _) => Ok(c.clone()),
        (true, _, true) if c.len() <= MOST_INTS => {
            let ints = l.floats(node, c)?.iter().map(|&x| Sym::Int(x as i64)).collect();
            Ok(Constant::ints(name, c.dims.clone(), ints))
        }
        (false, _, true) => Ok(c.clone()),
        (false, true, _) => match c.to_floats(&l.sources) {
            Some(floats) => Ok(Constant::floats(name, c.dims.clone(), floats)),
            None => unsupported("the number of pictures as a float"),
        },
        _ => unsupported(format!("a constant cast to {}", dtype::name(to))),
    }
}

/// Dimensions of `c` after a `Reshape`, `Flatten`, `Squeeze` or `Unsqueeze`.
fn regrouped<'a>(l: &mut Lowering<'a>, node: &Node<'a>, c: &Constant) -> Lowered<Vec<usize>> {
    let wrong = |what: &str| shape_error(node, what.to_owned(), format!("{:?}", c.dims));
    match node.op {
        "Reshape" => {
            let allow_zero = l.int(node, "allowzero")?.unwrap_or(0) != 0;
            let mut dims = Vec::new();
            let (mut open, mut product) = (None, 1usize);
            for (i, dim) in l.target_shape(node)?.into_iter().enumerate() {
                let dim = match dim {
                    Sym::Int(-1) if open.is_none() => {
                        open = Some(i);
                        1
                    }
                    Sym::Int(0) if !allow_zero => *c.dims.get(i).ok_or_else(|| wrong("an axis to copy"))?,
                    Sym::Int(n) => usize::try_from(n).map_err(|_| wrong("a shape of positive numbers"))?,
                    Sym::Batch(_) => return unsupported("a constant reshaped to the number of pictures"),
                };
                product = product.checked_mul(dim).ok_or_else(|| wrong("a shape that fits"))?;
                dims.push(dim);
            }
            if let Some(i) = open
                && product > 0
            {
                dims[i] = c.len() / product;
                product *= dims[i];
            }
            if product == c.len() { Ok(dims) } else { Err(wrong(&format!("numbers for {dims:?}"))) }
        }
        "Flatten" => {
            let rank = c.dims.len();
            let at = match l.int(node, "axis")?.unwrap_or(1) {
                a if a == rank as i64 => rank,
                a => axis(node, a, rank)?,
            };
            Ok(vec![c.dims[..at].iter().product(), c.dims[at..].iter().product()])
        }
        "Squeeze" => {
            let Some(axes) = l.int_list(node, "axes", 1)? else {
                return Ok(c.dims.iter().copied().filter(|&d| d != 1).collect());
            };
            let mut gone = vec![false; c.dims.len()];
            for a in axes {
                let a = axis(node, a, c.dims.len())?;
                if c.dims[a] != 1 {
                    return Err(wrong(&format!("one cell on axis {a}")));
                }
                gone[a] = true;
            }
            Ok((0..gone.len()).filter(|&i| !gone[i]).map(|i| c.dims[i]).collect())
        }
        _ => {
            let Some(axes) = l.int_list(node, "axes", 1)? else {
                return Err(graph_error(node, "has no axes".into()));
            };
            let mut old = c.dims.iter();
            let new = inserted(node, &axes, c.dims.len())?;
            Ok(new.iter().map(|&one| if one { 1 } else { old.next().copied().unwrap_or(1) }).collect())
        }
    }
}

fn arithmetic<'a>(l: &Lowering<'a>, node: &Node<'a>, a: &Constant, b: &Constant) -> Lowered<Constant> {
    let name = output_name(node);
    let (long, short) = if b.dims.len() > a.dims.len() || a.len() == 1 { (b, a) } else { (a, b) };
    if long.dims != short.dims && short.len() != 1 {
        return unsupported(format!("constants of {:?} and {:?}", a.dims, b.dims));
    }
    if long.len() > MOST_INTS {
        return unsupported(format!("arithmetic on constants of {} numbers", long.len()));
    }
    let dims = if short.dims.len() > long.dims.len() { short.dims.clone() } else { long.dims.clone() };
    let at = |c: &Constant, i: usize| if c.len() == 1 { 0 } else { i };
    if a.is_float() || b.is_float() {
        let (x, y) = (l.floats(node, a)?, l.floats(node, b)?);
        let numbers = (0..long.len()).map(|i| {
            let (x, y) = (x[at(a, i)], y[at(b, i)]);
            match node.op {
                "Add" => x + y,
                "Sub" => x - y,
                "Mul" => x * y,
                _ => x / y,
            }
        });
        return Ok(Constant::floats(name, dims, numbers.collect()));
    }
    let (x, y) = (ints(node, a)?, ints(node, b)?);
    let mut numbers = Vec::with_capacity(long.len());
    for i in 0..long.len() {
        let (x, y) = (x[at(a, i)], y[at(b, i)]);
        match symbolic(node.op, x, y) {
            Some(n) => numbers.push(n),
            None => return unsupported(format!("{x:?} and {y:?} give no multiple of the number of pictures")),
        }
    }
    Ok(Constant::ints(name, dims, numbers))
}

/// `x op y` in numbers and multiples of N; `None` where the result is neither, overflows or divides by zero.
fn symbolic(op: &str, x: Sym, y: Sym) -> Option<Sym> {
    use Sym::{Batch, Int};
    let result = match (op, x, y) {
        ("Add", Int(a), Int(b)) => Int(a.checked_add(b)?),
        ("Add", Batch(a), Batch(b)) => Batch(a.checked_add(b)?),
        ("Sub", Int(a), Int(b)) => Int(a.checked_sub(b)?),
        ("Sub", Batch(a), Batch(b)) => Batch(a.checked_sub(b)?),
        ("Add" | "Sub", _, Int(0)) => x,
        ("Add", Int(0), _) => y,
        ("Mul", Int(a), Int(b)) => Int(a.checked_mul(b)?),
        ("Mul", Int(a), Batch(b)) | ("Mul", Batch(a), Int(b)) => Batch(a.checked_mul(b)?),
        ("Div", Int(a), Int(b)) => Int(a.checked_div(b)?),
        ("Div", Batch(a), Int(b)) if a.checked_rem(b)? == 0 => Batch(a.checked_div(b)?),
        ("Div", Batch(a), Batch(b)) if a.checked_rem(b)? == 0 => Int(a.checked_div(b)?),
        _ => return None,
    };
    Some(if result == Batch(0) { Int(0) } else { result })
}

pub(super) fn ints<'c>(node: &Node<'_>, c: &'c Constant) -> Lowered<&'c [Sym]> {
    match &c.data {
        Data::Ints(data) => Ok(data),
        _ => unsupported(format!("{} of the float constant \"{}\"", node.op, c.name)),
    }
}

/// The integers of a constant of one axis.
fn list<'c>(node: &Node<'_>, c: &'c Constant) -> Lowered<&'c [Sym]> {
    match c.dims.len() {
        1 => ints(node, c),
        _ => unsupported(format!("{} of a constant of {:?}; only lists are folded", node.op, c.dims)),
    }
}

#[cfg(test)]
mod tests {
    use super::Sym::{Batch, Int};
    use super::symbolic;

    #[test]
    fn the_batch_is_carried_as_a_symbol() {
        assert_eq!(symbolic("Mul", Batch(1), Int(4)), Some(Batch(4)));
        assert_eq!(symbolic("Div", Batch(4), Int(2)), Some(Batch(2)));
        assert_eq!(symbolic("Div", Batch(4), Batch(2)), Some(Int(2)));
        assert_eq!(symbolic("Sub", Batch(2), Batch(2)), Some(Int(0)));
        assert_eq!(symbolic("Add", Int(0), Batch(1)), Some(Batch(1)));
        assert_eq!(symbolic("Mul", Batch(1), Int(0)), Some(Int(0)));
        for (op, x, y) in [("Add", Batch(1), Int(1)), ("Mul", Batch(1), Batch(1)), ("Div", Batch(3), Int(2))] {
            assert_eq!(symbolic(op, x, y), None);
        }
    }

    #[test]
    fn arithmetic_that_overflows_is_no_number() {
        for (op, x, y) in [("Add", i64::MAX, 1), ("Mul", i64::MIN, -1), ("Div", i64::MIN, -1), ("Div", 1, 0)] {
            assert_eq!(symbolic(op, Int(x), Int(y)), None, "{op}");
            assert_eq!(symbolic(op, Batch(x), Int(y)), None, "{op}");
        }
    }
}
