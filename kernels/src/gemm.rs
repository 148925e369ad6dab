//! C = A·B (+ C) in five loops around a register tile (the names are BLIS's).
//!
//! ```text
//! for nc columns, for mc rows            tasks: rectangles of C, dealt to the threads
//!   for kc steps                         B block packed, kc × nc, stays in L2
//!     for mr rows                        A panel, mr × kc, stays in L1
//!       for nr columns                   B panels stream from L2
//!         micro-kernel                   C tile, mr × nr, in registers
//! ```
//! kc follows from K alone. Hence every element of C is the same chain of operations whatever M, N, its place, its tile
//! and the number of threads: the sums over each kc block, one after the other, each one chain in the order of k.

mod micro;
mod pack;
mod tiles;

use std::cell::Cell;
use std::ops::Range;

use crate::Cpu;
use crate::aligned::AlignedBuf;
use crate::simd::{Simd, SimdOp};
use micro::{MAX_MR, MAX_NR, Shape};
use tiles::{Block, Operands, Spill};

pub(crate) use micro::MAX_NR as MAX_PANEL_WIDTH;
pub(crate) use pack::Columns;
pub use pack::PackedA;
pub(crate) use tiles::Output;

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
            let last = (size[0] - 1) * strides[0] + (size[1] - 1) * strides[1];
            assert!(last < data.len(), "a matrix of {} elements, the slice has {}", last + 1, data.len());
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
            let span = (size[0] - 1) * stride + size[1];
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

/// c = a·b, or c += a·b where `accumulate`.
pub fn gemm(cpu: &Cpu, a: Matrix<'_>, b: Matrix<'_>, c: MatrixMut<'_>, accumulate: bool) {
    let packed = PackedA::new(cpu, a.rows(), a.columns(), |i, k| a.data()[a.offset(i, k)]);
    gemm_packed(cpu, &packed, b, c, accumulate);
}

/// [`gemm`] with a left operand packed before.
pub fn gemm_packed(cpu: &Cpu, a: &PackedA, b: Matrix<'_>, c: MatrixMut<'_>, accumulate: bool) {
    let epilogue = Epilogue { accumulate, ..Epilogue::default() };
    run(cpu, &[Product { a, b }], Output::matrix(c), &epilogue);
}

/// The kc blocks of a sum.
pub(crate) mod steps {
    use std::ops::Range;

    /// An A panel of 14 rows then takes 21 KiB of L1, a B block of 320 columns 480 KiB of L2.
    const KC: usize = 384;

    /// How many blocks share `k` steps; at least one, so that an empty sum is stored too.
    pub(crate) fn count(k: usize) -> usize {
        k.div_ceil(KC).max(1)
    }

    /// Block `i`.
    pub(crate) fn range(k: usize, i: usize) -> Range<usize> {
        let kc = k.div_ceil(count(k));
        (i * kc).min(k)..((i + 1) * kc).min(k)
    }

    /// Steps of the longest block.
    pub(crate) fn longest(k: usize) -> usize {
        range(k, 0).len()
    }
}

/// Floats of a B block: half of a 1 MiB L2.
const B_BLOCK: usize = 1 << 17;

/// One A·B; several together (groups of a convolution) fill the rows of one C.
pub(crate) struct Product<'a, B> {
    pub(crate) a: &'a PackedA,
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

/// Computes all `products`, which have the same size; the rows of the first come first in `out`.
pub(crate) fn run<B: Columns>(cpu: &Cpu, products: &[Product<'_, B>], out: Output<'_>, epilogue: &Epilogue<'_>) {
    let Some(Product { a, b }) = products.first() else { return };
    let (m, k, n) = (a.rows(), a.k(), b.count());
    for p in products {
        assert_eq!(p.a.level(), cpu.level, "the left operand was packed for another level");
        assert_eq!((p.a.rows(), p.a.k()), (m, k), "products differ in size");
        assert_eq!((p.b.k(), p.b.count()), (k, n), "a left operand of {k} columns meets (rows, columns)");
    }
    if out.rows() * out.columns() == 0 && m * products.len() * n == 0 {
        return;
    }
    assert_eq!([out.rows(), out.columns()], [m * products.len(), n], "the output's rows and columns");
    if let Some(bias) = epilogue.bias {
        assert_eq!(bias.len(), out.rows(), "one bias a row");
    }
    let shape = Shape::at(cpu.level);
    let grid = Grid::best(products.len(), a.panels(), m.div_ceil(a.panels()), n, k, shape, cpu.threads.count());
    let rows: Vec<_> = (0..grid.rows).map(|i| share(a.panels(), grid.rows, i)).collect();
    let blocks_of_rows: Vec<_> = (0..products.len())
        .flat_map(|g| rows.iter().map(move |p| (g, p)))
        .map(|(g, p)| g * m + a.panel_rows(p.start).start..g * m + a.panel_rows(p.end - 1).end)
        .collect();
    let vectors = n.div_ceil(shape.lanes);
    let columns: Vec<_> = (0..grid.columns)
        .map(|i| share(vectors, grid.columns, i))
        .map(|v| v.start * shape.lanes..(v.end * shape.lanes).min(n))
        .collect();
    let per_product = grid.rows * grid.columns;
    let tasks: Vec<_> = out
        .into_blocks(&blocks_of_rows, &columns)
        .into_iter()
        .enumerate()
        .map(|(i, block)| {
            let g = i / per_product;
            let panels = rows[i % per_product / grid.columns].clone();
            Task { product: &products[g], panels, first_row: g * m, block, epilogue }
        })
        .collect();
    cpu.threads.for_each(tasks, |task| cpu.level.dispatch(task));
}

/// Part `i` of `n` things dealt evenly to `parts`.
fn share(n: usize, parts: usize, i: usize) -> Range<usize> {
    n * i / parts..n * (i + 1) / parts
}

/// How C is cut into tasks: parts of the rows of each product, parts of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    rows: usize,
    columns: usize,
}

impl Grid {
    /// The cut whose slowest thread is done first. A task costs its tiles, and packing its columns, as much as a few
    /// rows; so columns are parted first, rows where there are too few columns.
    fn best(products: usize, panels: usize, mr: usize, n: usize, k: usize, shape: Shape, threads: usize) -> Self {
        const PACKING: usize = 8;
        let vectors = n.div_ceil(shape.lanes);
        let block = (B_BLOCK / steps::longest(k).max(1)).clamp(shape.nr(), 2048) / shape.nr() * shape.vectors;
        let least = vectors.div_ceil(block);
        let cost = |grid: Grid| {
            let rounds = (products * grid.rows * grid.columns).div_ceil(threads);
            rounds * vectors.div_ceil(grid.columns) * (panels.div_ceil(grid.rows) * mr + PACKING)
        };
        let most = if threads == 1 { least } else { (least + 2 * threads).min(vectors) };
        (least..=most)
            .flat_map(|columns| (1..=threads.min(panels)).map(move |rows| Grid { rows, columns }))
            .min_by_key(|&grid| (cost(grid), grid.rows * grid.columns))
            .unwrap_or(Grid { rows: 1, columns: least })
    }
}

/// One rectangle of C.
struct Task<'a, B> {
    product: &'a Product<'a, B>,
    panels: Range<usize>,
    /// Of the product, in C.
    first_row: usize,
    block: Block<'a>,
    epilogue: &'a Epilogue<'a>,
}

thread_local! {
    /// The packed B block of this thread, kept from task to task.
    static B_PANELS: Cell<Option<AlignedBuf>> = const { Cell::new(None) };
}

impl<B: Columns> SimdOp for Task<'_, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let Product { a, b } = self.product;
        let nr = const { Shape::of::<S>().nr() };
        let columns = self.block.columns();
        let width = columns.len().div_ceil(S::LANES) * S::LANES;
        let len = steps::longest(a.k()) * width + S::LANES;
        let mut panels = B_PANELS.take().filter(|buf| buf.len() >= len).unwrap_or_else(|| AlignedBuf::zeroed(len));
        let mut spill: Spill = [0.0; MAX_MR * MAX_NR + MAX_NR];
        let count = steps::count(a.k());
        for step in 0..count {
            let k = steps::range(a.k(), step);
            for j in columns.clone().step_by(nr) {
                let j = j..(j + nr).min(columns.end);
                let width = j.len().div_ceil(S::LANES) * S::LANES;
                let at = (j.start - columns.start) * k.len();
                b.pack(simd, k.clone(), j, width, &mut panels[at..at + k.len() * width + S::LANES]);
            }
            let last = step + 1 == count;
            for p in self.panels.clone() {
                let rows = a.panel_rows(p);
                let row = self.first_row + rows.start;
                let bias = self.epilogue.bias.filter(|_| last).map(|bias| &bias[row..row + rows.len()]);
                for j in columns.clone().step_by(nr) {
                    let operands = Operands {
                        at: [row, j],
                        size: [rows.len(), nr.min(columns.end - j)],
                        k: k.len(),
                        a: a.panel(&k, p),
                        b: &panels[(j - columns.start) * k.len()..],
                        add: step > 0 || self.epilogue.accumulate,
                        bias,
                        relu: self.epilogue.relu && last,
                    };
                    self.block.tile(simd, &operands, &mut spill);
                }
            }
        }
        B_PANELS.set(Some(panels));
    }
}
