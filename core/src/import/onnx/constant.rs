//! Constants: initialisers and what is folded from them.
//!
//! ```text
//! float32 raw or packed, float16 raw ──▶ a view of the file, never copied
//! float16 in int32_data, double, bfloat16, unpacked floats ──▶ numbers of our own
//! integers ──▶ shape arithmetic, in which the batch is a symbol N
//! ```

use std::ops::Range;
use std::rc::Rc;

use switchback_kernels::view::f16_to_f32;
use switchback_kernels::{Dtype, Weights};

use crate::error::Error;
use crate::import::protobuf::{Malformed, Message};

use super::external::Sources;
use super::lower::{Lowered, Stop};
use super::proto::{Tensor, Typed, format_error};

/// Shapes, axes and indices are short: longer integer tensors are no shape arithmetic.
pub(super) const MOST_INTS: usize = 1 << 16;

/// An integer of shape arithmetic, where the number of pictures is a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sym {
    Int(i64),
    /// That many times N.
    Batch(i64),
}

/// A tensor that does not depend on the input.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    /// Of the tensor that it was first.
    pub(super) name: Rc<str>,
    pub(super) dims: Vec<usize>,
    pub(super) data: Data,
}

/// The numbers of a [`Constant`].
#[derive(Clone, Debug)]
pub(super) enum Data {
    /// Bytes of a file.
    View {
        source: usize,
        range: Range<usize>,
        dtype: Dtype,
    },
    Floats(Rc<[f32]>),
    Ints(Rc<[Sym]>),
}

/// `TensorProto.DataType`
pub(super) mod dtype {
    pub(in super::super) const FLOAT: i64 = 1;
    pub(in super::super) const UINT8: i64 = 2;
    pub(in super::super) const INT8: i64 = 3;
    pub(in super::super) const UINT16: i64 = 4;
    pub(in super::super) const INT16: i64 = 5;
    pub(in super::super) const INT32: i64 = 6;
    pub(in super::super) const INT64: i64 = 7;
    pub(in super::super) const BOOL: i64 = 9;
    pub(in super::super) const FLOAT16: i64 = 10;
    pub(in super::super) const DOUBLE: i64 = 11;
    pub(in super::super) const UINT32: i64 = 12;
    pub(in super::super) const UINT64: i64 = 13;
    pub(in super::super) const BFLOAT16: i64 = 16;

    pub(in super::super) fn is_float(dtype: i64) -> bool {
        matches!(dtype, FLOAT | FLOAT16 | DOUBLE | BFLOAT16)
    }

    pub(in super::super) fn is_int(dtype: i64) -> bool {
        matches!(dtype, UINT8 | INT8 | UINT16 | INT16 | INT32 | INT64 | BOOL | UINT32 | UINT64)
    }

    /// Bytes of an element; `None` for types that this program does not read.
    pub(in super::super) fn size(dtype: i64) -> Option<usize> {
        Some(match dtype {
            UINT8 | INT8 | BOOL => 1,
            UINT16 | INT16 | FLOAT16 | BFLOAT16 => 2,
            FLOAT | INT32 | UINT32 => 4,
            INT64 | UINT64 | DOUBLE => 8,
            _ => return None,
        })
    }

    pub(in super::super) fn name(dtype: i64) -> String {
        let names = [
            "no tensor",
            "float32",
            "uint8",
            "int8",
            "uint16",
            "int16",
            "int32",
            "int64",
            "string",
            "bool",
            "float16",
            "double",
            "uint32",
            "uint64",
            "complex64",
            "complex128",
            "bfloat16",
        ];
        match usize::try_from(dtype).ok().and_then(|i| names.get(i)) {
            Some(name) => (*name).to_owned(),
            None => format!("data type {dtype}"),
        }
    }
}

impl Constant {
    pub(super) fn floats(name: &str, dims: Vec<usize>, data: Vec<f32>) -> Self {
        Self { name: name.into(), dims, data: Data::Floats(data.into()) }
    }

    pub(super) fn ints(name: &str, dims: Vec<usize>, data: Vec<Sym>) -> Self {
        Self { name: name.into(), dims, data: Data::Ints(data.into()) }
    }

    /// Reads tensor `name`. Short or long data are [`Error::Shape`]; bytes that are no tensor [`Error::Format`].
    pub(super) fn read(name: &str, message: Message<'_>, sources: &mut Sources) -> Lowered<Self> {
        let path = sources.path(0).to_owned();
        let damaged = |e: Malformed| Stop::Hard(format_error(&path, e));
        let tensor = Tensor::parse(message).map_err(damaged)?;
        let Some(size) = dtype::size(tensor.dtype) else {
            return Err(Stop::Unsupported(format!("tensor \"{name}\" is of {}", dtype::name(tensor.dtype))));
        };
        let (dims, count) = extents(name, &tensor.dims, size)?;
        let wrong = |found: usize, unit: &str| {
            Stop::Hard(Error::Shape {
                node: name.to_owned(),
                expected: format!("{dims:?} {}: {count} numbers", dtype::name(tensor.dtype)),
                found: format!("{found} {unit}"),
            })
        };
        let (source, range) = if let Some(entries) = &tensor.external {
            external(name, entries, count * size, sources)?
        } else if let Some(raw) = &tensor.raw {
            (0, raw.range())
        } else {
            let data = typed(&tensor, count).map_err(damaged)?;
            let found = match &data {
                Data::View { range, .. } => range.len() / size,
                Data::Floats(data) => data.len(),
                Data::Ints(data) => data.len(),
            };
            return match found == count {
                true if dtype::is_int(tensor.dtype) && count > MOST_INTS => Err(too_many(name, count)),
                true => Ok(Self { name: name.into(), dims, data }),
                false => Err(wrong(found, "numbers")),
            };
        };
        if range.len() != count * size {
            return Err(wrong(range.len(), "bytes"));
        }
        let data = match tensor.dtype {
            dtype::FLOAT => Data::View { source, range, dtype: Dtype::F32 },
            dtype::FLOAT16 => Data::View { source, range, dtype: Dtype::F16 },
            dtype if dtype::is_int(dtype) && count > MOST_INTS => return Err(too_many(name, count)),
            dtype => converted(&sources.bytes(source)[range], dtype, size),
        };
        Ok(Self { name: name.into(), dims, data })
    }

    pub(super) fn len(&self) -> usize {
        self.dims.iter().product()
    }

    pub(super) fn is_float(&self) -> bool {
        !matches!(self.data, Data::Ints(_))
    }

    /// All numbers as floats; `None` where one is a multiple of N.
    pub(super) fn to_floats(&self, sources: &Sources) -> Option<Vec<f32>> {
        match &self.data {
            Data::View { source, range, dtype } => {
                Some(Weights::new(&sources.bytes(*source)[range.clone()], *dtype).to_vec())
            }
            Data::Floats(data) => Some(data.to_vec()),
            Data::Ints(data) => data.iter().map(|s| if let Sym::Int(i) = s { Some(*i as f32) } else { None }).collect(),
        }
    }

    /// The number that all elements are equal to, if there is one.
    pub(super) fn uniform(&self, sources: &Sources) -> Option<f32> {
        let first = match &self.data {
            Data::View { source, range, dtype } => {
                let weights = Weights::new(&sources.bytes(*source)[range.clone()], *dtype);
                let first = if weights.is_empty() { return None } else { weights.get(0) };
                return (1..weights.len()).all(|i| weights.get(i) == first).then_some(first);
            }
            Data::Floats(data) => *data.first()?,
            Data::Ints(data) => match data.first()? {
                Sym::Int(i) => *i as f32,
                Sym::Batch(_) => return None,
            },
        };
        self.to_floats(sources)?.iter().all(|&x| x == first).then_some(first)
    }
}

fn too_many(name: &str, count: usize) -> Stop {
    Stop::Unsupported(format!(
        "tensor \"{name}\" holds {count} integers; only shapes, axes and pads are read from integers"
    ))
}

/// Dimensions and their product, so that `product · size` bytes are a number that exists.
fn extents(name: &str, dims: &[i64], size: usize) -> Lowered<(Vec<usize>, usize)> {
    let wrong = || {
        let expected = "dimensions whose product is a size in memory".to_owned();
        Stop::Hard(Error::Shape { node: name.to_owned(), expected, found: format!("{dims:?}") })
    };
    let dims: Vec<usize> = dims.iter().map(|&d| usize::try_from(d)).collect::<Result<_, _>>().map_err(|_| wrong())?;
    // Zeros do not excuse a product of the others that overflows: strides are computed from them.
    let whole = dims.iter().try_fold(size, |n, &d| n.checked_mul(d.max(1))).filter(|&n| n <= isize::MAX as usize);
    if whole.is_none() {
        return Err(wrong());
    }
    let count = dims.iter().product();
    Ok((dims, count))
}

fn external(
    name: &str,
    entries: &std::collections::HashMap<&str, &str>,
    expected: usize,
    sources: &mut Sources,
) -> Lowered<(usize, Range<usize>)> {
    let bad = |path: &std::path::Path, what: String| {
        Stop::Hard(Error::format(path, format!("external data of tensor \"{name}\": {what}")))
    };
    let number = |key: &str, absent: usize| match entries.get(key) {
        None => Ok(absent),
        Some(text) => {
            text.parse::<usize>().map_err(|_| bad(sources.path(0), format!("{key} \"{text}\" is no number of bytes")))
        }
    };
    let (offset, length) = (number("offset", 0)?, number("length", expected)?);
    let location = entries.get("location").ok_or_else(|| bad(sources.path(0), "it has no location".into()))?;
    let source = sources.open(name, location)?;
    let size = sources.bytes(source).len();
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok((source, offset..end)),
        _ => Err(bad(sources.path(source), format!("{length} bytes at {offset} expected, the file ends at {size}"))),
    }
}

/// Data from the typed fields. Fields after the first `count` integers are not read: one too many is wrong already.
fn typed(tensor: &Tensor<'_>, count: usize) -> Result<Data, Malformed> {
    let mut ints = Vec::new();
    let mut varints =
        |kind: Typed| tensor.typed(kind, |field| if ints.len() <= count { field.ints(&mut ints) } else { Ok(()) });
    match tensor.dtype {
        dtype::FLOAT => {
            if let Some(span) = tensor.packed(Typed::Float)?
                && span.bytes().len().is_multiple_of(4)
            {
                return Ok(Data::View { source: 0, range: span.range(), dtype: Dtype::F32 });
            }
            let mut bytes = Vec::new();
            tensor.typed(Typed::Float, |field| field.fixed(4, &mut bytes))?;
            return Ok(converted(&bytes, dtype::FLOAT, 4));
        }
        dtype::DOUBLE => {
            let mut bytes = Vec::new();
            tensor.typed(Typed::Double, |field| field.fixed(8, &mut bytes))?;
            return Ok(converted(&bytes, dtype::DOUBLE, 8));
        }
        dtype::INT64 => varints(Typed::Int64)?,
        dtype::UINT32 | dtype::UINT64 => varints(Typed::Uint64)?,
        _ => varints(Typed::Int32)?,
    }
    Ok(match tensor.dtype {
        dtype::FLOAT16 => Data::Floats(ints.iter().map(|&bits| f16_to_f32(bits as u16)).collect()),
        dtype::BFLOAT16 => {
            Data::Floats(ints.iter().map(|&bits| f32::from_bits(u32::from(bits as u16) << 16)).collect())
        }
        _ => Data::Ints(ints.into_iter().map(Sym::Int).collect()),
    })
}

/// Little-endian elements of `size` bytes as numbers of our own.
fn converted(bytes: &[u8], dtype: i64, size: usize) -> Data {
    let int = |b: &[u8]| {
        let mut wide = [0; 8];
        wide[..size].copy_from_slice(b);
        let value = u64::from_le_bytes(wide);
        let shift = 64 - 8 * size as u32;
        match dtype {
            dtype::INT8 | dtype::INT16 | dtype::INT32 | dtype::INT64 => ((value << shift) as i64) >> shift,
            // Beyond i64 stands no size of anything: the largest is as wrong as the true one.
            _ => i64::try_from(value).unwrap_or(i64::MAX),
        }
    };
    let elements = bytes.chunks_exact(size);
    match dtype {
        dtype::FLOAT => Data::Floats(elements.map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect()),
        dtype::DOUBLE => {
            Data::Floats(elements.map(|b| f64::from_le_bytes(b.try_into().expect("eight bytes")) as f32).collect())
        }
        dtype::BFLOAT16 => Data::Floats(elements.map(|b| f32::from_le_bytes([0, 0, b[0], b[1]])).collect()),
        _ => Data::Ints(elements.map(|b| Sym::Int(int(b))).collect()),
    }
}
