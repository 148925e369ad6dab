//! C = A·B (+ C): matrices, operands packed for a register tile, and the tasks that C is cut into.
//!
//! `strips` has the loops of a product whose sums are short enough, `blocks` those of any other, `panels` those for small
//! tiles, `cells` those of the product with its operands exchanged. kc follows from K and the caches alone. Hence every
//! element of C is the same chain of operations whatever M, N, its place, its tile and the number of threads: the sums over
//! each kc block, one after the other, each one chain in the order of k.

mod ahead;
mod blocks;
mod cells;
mod fill;
mod micro;
mod pack;
mod panels;
mod strips;
mod tiles;

use std::cell::Cell;
use std::ops::Range;

use crate::Cpu;
use crate::aligned::AlignedBuf;
use crate::caches::Caches;
use crate::simd::{Level, fma_rate};
use tiles::Block;

pub(crate) use ahead::Ahead;
pub(crate) use blocks::run;
pub(crate) use cells::run_cells;
pub(crate) use micro::{MAX_MR as MAX_PANEL_HEIGHT, MAX_NR as MAX_PANEL_WIDTH, Shape};
pub use micro::{TileSize, micro_kernel, micro_kernels};
use pack::InPlace;
pub use pack::PackedA;
pub(crate) use pack::{Cells, Columns, PackedB, Panels, Straight, TILES};
pub(crate) use tiles::{Along, Output, multiply, multiply_along};

/// A read-only matrix with any strides.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    data: &'a [f32],
    size: [usize; 2],
    strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// Row-major without gaps.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, [rows, columns], [columns, 1])
    }

    /// Element (i, j) is `data[i · strides[0] + j · strides[1]]`.
    pub fn strided(data: &'a [f32], size: [usize; 2], strides: [usize; 2]) -> Self {
        if size[0] > 0 && size[1] > 0 {
            let last = [0, 1].map(|i| (size[i] - 1).saturating_mul(strides[i]));
            let last = last[0].saturating_add(last[1]);
            assert!(last < data.len(), "the last element is number {last}, the slice has {}", data.len());
        }
        Self { data, size, strides }
    }

    /// Rows and columns exchanged.
    pub fn transposed(self) -> Self {
        let ([m, n], [r, c]) = (self.size, self.strides);
        Self { data: self.data, size: [n, m], strides: [c, r] }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.size[0]
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.size[1]
    }

    fn strides(&self) -> [usize; 2] {
        self.strides
    }

    fn data(&self) -> &'a [f32] {
        self.data
    }

    #[inline(always)]
    fn offset(&self, i: usize, j: usize) -> usize {
        i * self.strides[0] + j * self.strides[1]
    }
}

/// A writable row-major matrix.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    data: &'a mut [f32],
    size: [usize; 2],
    stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// Without gaps.
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, [rows, columns], columns)
    }

    /// Rows are `stride` elements apart.
    pub fn strided(data: &'a mut [f32], size: [usize; 2], stride: usize) -> Self {
        if size[0] > 0 && size[1] > 0 {
            assert!(stride >= size[1] || size[0] == 1, "rows of {} columns overlap: stride {stride}", size[1]);
            let span = (size[0] - 1).saturating_mul(stride).saturating_add(size[1]);
            assert!(span <= data.len(), "a matrix of {span} elements, the slice has {}", data.len());
        }
        Self { data, size, stride }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.size[0]
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.size[1]
    }

    fn stride(&self) -> usize {
        self.stride
    }

    fn into_data(self) -> &'a mut [f32] {
        self.data
    }
}

thread_local! {
    /// The left operand of this thread's last [`gemm`] that packed one.
    static PACKED: Cell<Option<AlignedBuf>> = const { Cell::new(None) };
}

/// c = a·b, or c += a·b where `accumulate`.
///
/// # Example
///
/// ```
/// use switchback_kernels::Cpu;
/// use switchback_kernels::gemm::{Matrix, MatrixMut, gemm};
///
/// let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // 2 × 3
/// let b = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]; // 3 × 2
/// let mut c = [0.0; 4];
/// gemm(&Cpu::new(1), Matrix::new(&a, 2, 3), Matrix::new(&b, 3, 2), MatrixMut::new(&mut c, 2, 2), false);
/// assert_eq!(c, [4.0, 5.0, 10.0, 11.0]);
/// ```
pub fn gemm(cpu: &Cpu, a: Matrix<'_>, b: Matrix<'_>, c: MatrixMut<'_>, accumulate: bool) {
    if let Some(a) = InPlace::of(cpu, a, b.columns()) {
        return product(cpu, &a, b, c, accumulate);
    }
    let packed = PackedA::of(cpu, a, PACKED.take());
    product(cpu, &packed, b, c, accumulate);
    PACKED.set(Some(packed.into_buffer()));
}

/// [`gemm`] with a left operand packed before.
pub fn gemm_packed(cpu: &Cpu, a: &PackedA, b: Matrix<'_>, c: MatrixMut<'_>, accumulate: bool) {
    product(cpu, a, b, c, accumulate);
}

fn product<A: Panels>(cpu: &Cpu, a: &A, b: Matrix<'_>, c: MatrixMut<'_>, accumulate: bool) {
    let epilogue = Epilogue { accumulate, ..Epilogue::default() };
    run(cpu, &[Product { a, b }], Output::matrix(c), &epilogue);
}

/// Steps of the longest chain of sums.
pub(crate) const LONGEST: usize = 768;

/// Steps of the longest sums that narrow tiles make at a stretch.
const WHOLE: usize = 640;

/// The kc blocks of a sum: `k` steps in as few equal blocks as keep a B panel in L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    k: usize,
    count: usize,
}

impl Steps {
    /// For the tiles of `shape`: a B panel takes at most half of L1, past which A streams.
    pub(crate) fn new(k: usize, shape: Shape) -> Self {
        Self::at_most(k, (Caches::get().l1 / 2 / (shape.nr() * size_of::<f32>())).clamp(64, 384))
    }

    /// The same where every block reads and writes C, which may lie beyond L2: where multiply-adds are slow enough for L2
    /// to feed both, a B panel takes an eighth of it, or all of L1 where there are few registers. Where they are not and
    /// tiles narrow, sums that one block can hold at all are not cut: C once from L2 is less than C again and again.
    pub(crate) fn long(k: usize, shape: Shape) -> Self {
        let most = Self::new(usize::MAX / 2, shape).longest();
        let panel = shape.nr() * size_of::<f32>();
        Self::at_most(
            k,
            match fma_rate(shape.lanes) {
                1 if shape.lanes >= micro::WIDE => (Caches::get().l2 / 8 / panel).clamp(64, LONGEST),
                1 => (2 * most).min(384),
                _ if shape.lanes < micro::WIDE && k <= (Caches::get().l2 / 24 / panel).min(WHOLE) => WHOLE,
                _ => most,
            },
        )
    }

    /// As few equal blocks as have no more than `most` steps each.
    pub(crate) fn at_most(k: usize, most: usize) -> Self {
        // At least one, so that an empty sum is stored too.
        Self { k, count: k.div_ceil(most).max(1) }
    }

    /// `n` times these blocks, one after the other.
    pub(crate) fn times(self, n: usize) -> Self {
        Self { k: n * self.k, count: n * self.count }
    }

    /// Steps of all blocks.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// Blocks.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Block `i`.
    pub(crate) fn range(&self, i: usize) -> Range<usize> {
        let kc = self.k.div_ceil(self.count);
        (i * kc).min(self.k)..((i + 1) * kc).min(self.k)
    }

    /// Steps of the longest block.
    pub(crate) fn longest(&self) -> usize {
        self.range(0).len()
    }
}

/// The operand that is packed once: filters, as the rows or the columns of tiles, which are the rows of C either way.
pub(crate) trait Packed: Sync {
    /// The level that can run it.
    fn level(&self) -> Level;

    /// Rows of C.
    fn rows(&self) -> usize;

    /// Length of the sums.
    fn k(&self) -> usize;

    /// The rows of panel `p`.
    fn panel_rows(&self, p: usize) -> Range<usize>;
}

/// One product; several together (groups of a convolution) fill the rows of one C.
pub(crate) struct Product<'a, A, B> {
    pub(crate) a: &'a A,
    pub(crate) b: B,
}

/// What happens to a sum on its way to C.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Epilogue<'a> {
    /// Add to what C holds.
    pub(crate) accumulate: bool,
    /// One number a row of C, added last.
    pub(crate) bias: Option<&'a [f32]>,
    /// max(x, 0) after that; NaN stays NaN.
    pub(crate) relu: bool,
}

/// Rows of C of each product, steps and columns of `products`, which must have one size and fill `out`; nothing where
/// there is nothing to compute.
fn sizes<A: Packed, B: Columns>(
    cpu: &Cpu,
    products: &[Product<'_, A, B>],
    out: &Output<'_>,
    epilogue: &Epilogue<'_>,
) -> Option<[usize; 3]> {
    let Product { a, b } = products.first()?;
    let (m, k, n) = (a.rows(), a.k(), b.count());
    for p in products {
        assert_eq!(p.a.level(), cpu.level, "an operand was packed for another level");
        assert_eq!((p.a.rows(), p.a.k()), (m, k), "products differ in size");
        assert_eq!((p.b.k(), p.b.count()), (k, n), "sums of {k} steps meet (steps, columns)");
    }
    if out.rows() * out.columns() == 0 && m * products.len() * n == 0 {
        return None;
    }
    assert_eq!([out.rows(), out.columns()], [m * products.len(), n], "the output's rows and columns");
    if let Some(bias) = epilogue.bias {
        assert_eq!(bias.len(), out.rows(), "one bias a row");
    }
    Some([m, k, n])
}

/// One task for each product, each of its `panels`' ranges and each range of `columns`.
fn tasks<'a, A: Packed, B>(
    products: &'a [Product<'a, A, B>],
    out: Output<'a>,
    panels: &[Range<usize>],
    columns: &[Range<usize>],
    epilogue: &'a Epilogue<'a>,
) -> Vec<Task<'a, A, B>> {
    let m = products[0].a.rows();
    let rows = |g: usize, p: &Range<usize>| {
        let a = products[g].a;
        g * m + a.panel_rows(p.start).start..g * m + a.panel_rows(p.end - 1).end
    };
    let rows: Vec<_> = (0..products.len()).flat_map(|g| panels.iter().map(move |p| rows(g, p))).collect();
    let per_product = panels.len() * columns.len();
    let task = |(i, block): (usize, Block<'a>)| {
        let g = i / per_product;
        let panels = panels[i % per_product / columns.len()].clone();
        Task { product: &products[g], panels, first_row: g * m, block, epilogue }
    };
    out.into_blocks(&rows, columns).into_iter().enumerate().map(task).collect()
}

/// Part `i` of `n` things dealt evenly to `parts`.
#[inline(always)]
pub(crate) fn share(n: usize, parts: usize, i: usize) -> Range<usize> {
    n * i / parts..n * (i + 1) / parts
}

/// One rectangle of C.
struct Task<'a, A, B> {
    product: &'a Product<'a, A, B>,
    panels: Range<usize>,
    /// Of the product, in C.
    first_row: usize,
    block: Block<'a>,
    epilogue: &'a Epilogue<'a>,
}
