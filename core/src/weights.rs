//! The weights of a model: named tensors that are views into mapped or owned bytes.
//!
//! Nothing is copied at opening. Weights are loaded unaligned, since ONNX data are not aligned.

pub mod mmap;

use std::ops::Range;

use switchback_kernels::{Dtype, Weights};

pub use crate::network::WeightId;
use mmap::Bytes;

/// Named tensors over one or more byte sources.
#[derive(Debug, Default)]
pub struct WeightStore {
    sources: Vec<Bytes>,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    dims: Vec<usize>,
    dtype: Dtype,
    source: usize,
    bytes: Range<usize>,
}

/// Which of the store's byte sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceId(usize);

impl WeightStore {
    /// No weights yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a file's bytes, for tensors to point into.
    pub fn add_source(&mut self, bytes: Bytes) -> SourceId {
        self.sources.push(bytes);
        SourceId(self.sources.len() - 1)
    }

    /// A tensor that lies in `source` at `range`; `None` unless the range is inside and holds exactly `dims`.
    pub fn add_view(
        &mut self,
        name: &str,
        dims: &[usize],
        dtype: Dtype,
        source: SourceId,
        range: Range<usize>,
    ) -> Option<WeightId> {
        let len = dims.iter().try_fold(dtype.size(), |n, &d| n.checked_mul(d))?;
        let inside = range.start <= range.end && range.end <= self.sources[source.0].len();
        if !inside || range.len() != len {
            return None;
        }
        self.entries.push(Entry { name: name.to_owned(), dims: dims.to_vec(), dtype, source: source.0, bytes: range });
        Some(WeightId(self.entries.len() - 1))
    }

    /// A tensor that this program computed (a folded constant).
    pub fn add_f32(&mut self, name: &str, dims: &[usize], data: &[f32]) -> WeightId {
        assert_eq!(dims.iter().product::<usize>(), data.len(), "dims {dims:?} for {} numbers", data.len());
        let bytes: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        let range = 0..bytes.len();
        let source = self.add_source(Bytes::owned(bytes));
        self.add_view(name, dims, Dtype::F32, source, range).expect("the bytes were made to fit")
    }

    /// How many tensors.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Has no tensors.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All tensors.
    pub fn ids(&self) -> impl Iterator<Item = WeightId> + use<> {
        (0..self.entries.len()).map(WeightId)
    }

    /// The numbers of tensor `id`, as they lie.
    pub fn view(&self, id: WeightId) -> Weights<'_> {
        let entry = &self.entries[id.0];
        Weights::new(&self.sources[entry.source][entry.bytes.clone()], entry.dtype)
    }

    /// Where the first NaN or infinity of tensor `id` stands, and which it is. Reads all of the tensor.
    pub fn first_not_finite(&self, id: WeightId) -> Option<(usize, f32)> {
        let view = self.view(id);
        // All exponent bits set: bits 30–23 of a single, bits 14–10 of a half.
        let found = match view.dtype() {
            Dtype::F32 => first(view.bytes(), |b| u32::from_le_bytes(b) & 0x7f80_0000 == 0x7f80_0000),
            Dtype::F16 => first(view.bytes(), |b| u16::from_le_bytes(b) & 0x7c00 == 0x7c00),
        };
        found.map(|index| (index, view.get(index)))
    }

    /// The name in the file.
    pub fn name(&self, id: WeightId) -> &str {
        &self.entries[id.0].name
    }

    /// Outermost first.
    pub fn dims(&self, id: WeightId) -> &[usize] {
        &self.entries[id.0].dims
    }

    /// All tensors' bytes together.
    pub fn total_bytes(&self) -> usize {
        self.entries.iter().map(|e| e.bytes.len()).sum()
    }
}

/// The first of the numbers of `N` bytes of which `is` holds. Whole blocks are asked without a way out, which vectors do.
#[inline(always)]
fn first<const N: usize>(bytes: &[u8], is: impl Fn([u8; N]) -> bool) -> Option<usize> {
    const BLOCK: usize = 1024;
    let numbers = bytes.as_chunks::<N>().0;
    let block = numbers.chunks(BLOCK).position(|block| block.iter().fold(false, |any, b| any | is(*b)))?;
    let inside = numbers[block * BLOCK..].iter().position(|b| is(*b))?;
    Some(block * BLOCK + inside)
}
