//! The output of a GEMM, parted into rectangles that threads own alone, and the tiles that they store.
//!
//! ```text
//! row r, column j of C  ⟶  data[r·row + image·(j / cells) + line·(j % cells / width) + j % width]
//! ```
//! For a matrix one line holds all columns. For maps a column is a cell of a window of a batch of images: a tile that
//! lies in one line is stored in place, any other goes through a small buffer and is copied run by run.

mod transposed;

use std::marker::PhantomData;
use std::ops::Range;

use super::MatrixMut;
use super::ahead::Ahead;
use super::micro::{Carry, MAX_MR, MAX_NR, Table, Tile, WIDE};
use super::pack::{Left, Straight};
use crate::simd::Simd;
use crate::view::MapsMut;

/// Where the columns of a row lie.
#[derive(Clone, Copy, Debug)]
struct Places {
    /// From row to row of C.
    row: usize,
    /// From image to image.
    image: usize,
    /// From line to line of an image.
    line: usize,
    /// Adjacent cells of a line.
    width: usize,
    /// Lines of an image.
    lines: usize,
}

impl Places {
    /// Offset of column `j` from its row's start, and how many columns from there on are adjacent.
    #[inline(always)]
    fn locate(&self, j: usize) -> (usize, usize) {
        let (line, x) = (j / self.width, j % self.width);
        let offset = line / self.lines * self.image + line % self.lines * self.line + x;
        (offset, self.width - x)
    }

    /// The runs of at most `N` columns `j`, at most `most` cells each, and how many.
    #[inline(always)]
    fn runs<const N: usize>(&self, j: &Range<usize>, most: usize) -> ([Run; N], usize) {
        let mut runs = [Run::default(); N];
        let (mut at, mut count) = (0, 0);
        while at < j.len() {
            let (offset, run) = self.locate(j.start + at);
            let len = run.min(j.len() - at).min(most);
            runs[count] = Run { at, offset, len };
            count += 1;
            at += len;
        }
        (runs, count)
    }
}

/// C as a whole: a unique borrow of all its elements.
pub(crate) struct Output<'a> {
    data: *mut f32,
    places: Places,
    rows: usize,
    columns: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

impl<'a> Output<'a> {
    /// A row-major matrix.
    pub(crate) fn matrix(c: MatrixMut<'a>) -> Self {
        let (rows, columns) = (c.rows(), c.columns());
        let places = Places { row: c.stride(), image: 0, line: 0, width: columns.max(1), lines: 1 };
        Self { data: c.into_data().as_mut_ptr(), places, rows, columns, borrow: PhantomData }
    }

    /// The channels of `maps` as rows, the cells of its window, image by image, as columns.
    pub(crate) fn maps(mut maps: MapsMut<'a>) -> Self {
        let layout = maps.layout();
        let [image, row, line] = layout.strides;
        let (height, width) = (layout.window.height(), layout.window.width());
        let columns = layout.batch * height * width;
        let rows = if columns == 0 { 0 } else { layout.channels };
        assert!(rows == 0 || layout.span() <= maps.data_mut().len(), "the layout spans more than its data");
        let adjacent = line == width || height == 1;
        let (width, lines) = if adjacent { (width * height, 1) } else { (width, height) };
        let places = Places { row, image, line, width: width.max(1), lines: lines.max(1) };
        Self { data: maps.data_mut().as_mut_ptr(), places, rows, columns, borrow: PhantomData }
    }

    /// Rows of C.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of C.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// One block for each range of rows and each of columns, row by row. Both must ascend without overlap.
    pub(crate) fn into_blocks(self, rows: &[Range<usize>], columns: &[Range<usize>]) -> Vec<Block<'a>> {
        for (ranges, end, what) in [(rows, self.rows, "rows"), (columns, self.columns, "columns")] {
            let mut at = 0;
            for r in ranges {
                assert!(at <= r.start && r.start <= r.end, "{what} {r:?} begin before {at}");
                at = r.end;
            }
            assert!(at <= end, "{what} reach {at} of {end}");
        }
        let (data, places) = (self.data, self.places);
        rows.iter()
            .flat_map(|r| columns.iter().map(move |c| (r.clone(), c.clone())))
            .map(|(rows, columns)| Block { data, places, rows, columns, borrow: PhantomData })
            .collect()
    }
}

/// A rectangle of C that nobody else holds.
pub(crate) struct Block<'a> {
    data: *mut f32,
    places: Places,
    rows: Range<usize>,
    columns: Range<usize>,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: a block stands for a unique borrow of its cells: `into_blocks` consumes the one `Output` and checks that no
// two blocks share a row and a column, and `MapsMut` and `MatrixMut` give every row and column a cell of its own.
unsafe impl Send for Block<'_> {}

/// A tile's place in C, its operands and what is fused into its store.
pub(super) struct Operands<'a> {
    /// First row of the tile in C.
    pub(super) row: usize,
    /// Rows of a tile.
    pub(super) rows: usize,
    /// Tiles, one below the other; more than one only where the place is whole vectors of adjacent cells.
    pub(super) count: usize,
    /// Steps of the kc block.
    pub(super) k: usize,
    /// The rows of the tiles.
    pub(super) a: Left<'a>,
    /// The B panel, `k × vectors · LANES`.
    pub(super) b: &'a [f32],
    /// From step to step of it.
    pub(super) b_step: usize,
    /// Add to what C holds.
    pub(super) add: bool,
    /// One number a row.
    pub(super) bias: Option<&'a [f32]>,
    /// max(x, 0) at last.
    pub(super) relu: bool,
    /// What will be read later.
    pub(super) ahead: &'a [Ahead; 2],
    /// What is packed meanwhile, during a single tile.
    pub(super) carry: &'a Carry<'a>,
    /// The row of the tile that comes next, and how many columns further it lies, if C is to be asked for so early.
    pub(super) soon: Option<(usize, usize)>,
}

/// c = a·b, or c += a·b where `add`, for one tile that lies without gaps: `a` has `rows` rows, `b` `width` columns, whole
/// vectors; both have `k` steps. `c` is row-major.
#[inline(always)]
pub(crate) fn multiply<S: Simd>(
    simd: S,
    [rows, k, width]: [usize; 3],
    a: &Straight<'_>,
    b: &Straight<'_>,
    c: &mut [f32],
    add: bool,
    ahead: [Ahead; 2],
) {
    let soon = c.as_ptr();
    multiply_along(simd, [rows, k, width], a, b, Along { count: 1, c: 0, soon }, c, add, &ahead);
}

/// How the tiles of [`multiply_along`] follow each other.
#[derive(Clone, Copy)]
pub(crate) struct Along {
    /// Tiles.
    pub(crate) count: usize,
    /// From tile to tile of C.
    pub(crate) c: usize,
    /// The tile of C that comes after them; any address will do.
    pub(crate) soon: *const f32,
}

/// The same for several panels of B, one after the other, and as many tiles of C.
#[expect(clippy::too_many_arguments, reason = "a product's, and how it goes on")]
#[inline(always)]
pub(crate) fn multiply_along<S: Simd>(
    simd: S,
    [rows, k, width]: [usize; 3],
    a: &Straight<'_>,
    b: &Straight<'_>,
    along: Along,
    c: &mut [f32],
    add: bool,
    ahead: &[Ahead; 2],
) {
    let Along { count, soon, .. } = along;
    assert!(count > 0, "no tile");
    let panel = k * b.step;
    let [last_b, last_c] = [panel, along.c].map(|further| (count - 1).saturating_mul(further));
    assert!(a.reaches(k, rows), "the A panel has {} floats, its steps are {} apart", a.data.len(), a.step);
    let last = b.data.get(last_b..).map(|data| Straight { data, step: b.step });
    assert!(last.is_some_and(|b| b.reaches(k, width)), "{count} B panels have {} floats", b.data.len());
    assert!(c.len() >= last_c.saturating_add(rows * width), "{count} tiles have {} floats", c.len());
    let kernel = Table::<S>::KERNELS[rows - 1][width / S::LANES - 1];
    // SAFETY: operands and tiles, of which the last one reaches furthest, are as long as `Tile` asks (above); `c` is borrowed
    // uniquely.
    unsafe {
        kernel(
            simd,
            &Tile {
                k,
                a: a.data.as_ptr(),
                a_step: a.step,
                b: b.data.as_ptr(),
                b_step: b.step,
                c: c.as_mut_ptr(),
                stride: width,
                soon,
                count,
                next: [0, panel, along.c],
                add,
                bias: std::ptr::null(),
                relu: false,
                ahead,
                carry: &Carry::NONE,
            },
        )
    };
}

/// Room for a tile that does not lie in one line, and for a vector past its end.
pub(super) type Spill = [f32; MAX_MR * MAX_NR + MAX_NR];

/// Adjacent cells of C.
#[derive(Clone, Copy, Default)]
struct Run {
    /// First column in the tile.
    at: usize,
    /// From the row's start.
    offset: usize,
    /// Cells.
    len: usize,
}

/// Where the columns of a tile lie, the same for every row; made by [`Block::place`] for that block alone.
pub(super) struct Place {
    /// Columns, rounded up to whole vectors.
    width: usize,
    /// The offset from the row's start, where the tile is whole vectors of adjacent cells.
    direct: Option<usize>,
    /// Else its runs, the first `count`.
    runs: [Run; MAX_NR],
    count: usize,
}

impl Place {
    /// Whether it is whole vectors of adjacent cells.
    pub(super) fn is_whole(&self) -> bool {
        self.direct.is_some()
    }
}

impl Block<'_> {
    /// The columns of C that it covers.
    pub(super) fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// Where columns `j` of this block lie.
    #[inline(always)]
    pub(super) fn place(&self, j: &Range<usize>, lanes: usize) -> Place {
        assert!(self.columns.start <= j.start && j.end <= self.columns.end, "columns {j:?} of {:?}", self.columns);
        let width = j.len().div_ceil(lanes) * lanes;
        assert!(width <= MAX_NR, "a tile of {width} columns");
        let mut place = Place { width, direct: None, runs: [Run::default(); MAX_NR], count: 0 };
        let (offset, run) = self.places.locate(j.start);
        if run >= j.len() && j.len() == width {
            place.direct = Some(offset);
            return place;
        }
        (place.runs, place.count) = self.places.runs(j, lanes);
        place
    }

    /// Runs the micro-kernel of the tile's size.
    #[inline(always)]
    pub(super) fn tile<S: Simd>(&mut self, simd: S, place: &Place, operands: &Operands<'_>, spill: &mut Spill) {
        let &Operands { row, rows, count, k, a, b, b_step, add, bias, relu, ahead, carry, soon } = operands;
        let (width, all) = (place.width, rows * count);
        assert!(all > 0, "no tile");
        assert!(count == 1 || place.direct.is_some() && soon.is_some(), "{count} tiles in pieces, or in chunks");
        assert!(self.rows.start <= row && row + all <= self.rows.end, "rows {row}+{all} of {:?}", self.rows);
        let (in_rows, a, reaches) = match a {
            Left::Panels(data) => (false, Straight { data, step: rows }, data.len() >= k * all),
            Left::Rows(a) => (true, a, a.reaches(all, k)),
        };
        assert!(reaches, "the left operand has {} floats, {} apart", a.data.len(), a.step);
        let reach = k.saturating_sub(1) * b_step + width;
        assert!(k == 0 || b.len() >= reach, "the B panel has {} floats of {reach}", b.len());
        assert!(bias.is_none_or(|bias| bias.len() >= all), "a bias too short for {all} rows");
        assert!(carry.is_for::<S>(), "what is carried goes to panels of another level");
        let kernels = match (const { S::LANES < WIDE } || soon.is_some(), in_rows) {
            (true, false) => Table::<S>::KERNELS,
            (true, true) => Table::<S>::ROWS,
            (false, false) => Table::<S>::CHUNKS,
            (false, true) => Table::<S>::ROWS_CHUNKS,
        };
        let kernel = kernels[rows - 1][width / S::LANES - 1];
        let bias = bias.map_or(std::ptr::null(), <[f32]>::as_ptr);
        let runs = &place.runs[..place.count];
        let (c, stride) = match place.direct {
            // SAFETY: the rows are this block's (above), the columns too (`place` of this block), hence inside C.
            Some(offset) => (unsafe { self.data.add(row * self.places.row + offset) }, self.places.row),
            None => {
                // In ascending order: what a vector writes past its run, the next one sets right.
                for i in 0..if add { rows } else { 0 } {
                    for run in runs {
                        let cells = self.cells(row + i, run.offset, run.len);
                        let v = simd.load_some(cells, 0.0);
                        simd.store(v, &mut spill[i * width + run.at..]);
                    }
                }
                (spill.as_mut_ptr(), width)
            }
        };
        let soon = match soon {
            Some((row, further)) if place.direct.is_some() => {
                c.wrapping_add(row * self.places.row + further).wrapping_sub(operands.row * self.places.row)
            }
            _ => c,
        };
        let (a_step, a, b) = (a.step, a.data.as_ptr(), b.as_ptr());
        let next = [if in_rows { a_step } else { k } * rows, 0, rows * stride];
        // Made once, where the kernel reads it: copied, its parts would have to wait for each other.
        let tile = Tile { k, count, next, a, a_step, b, b_step, c, stride, soon, add, bias, relu, ahead, carry };
        // SAFETY: operands checked above; the `all × width` cells at `c` are adjacent in each row, either inside this
        // block, which is borrowed uniquely, or, of one tile, in `spill`, which holds MAX_MR × MAX_NR floats, at least as many.
        unsafe { kernel(simd, &tile) };
        if place.direct.is_some() {
            return;
        }
        for i in 0..rows {
            for run in runs {
                let cells = self.cells(row + i, run.offset, run.len);
                let from = &spill[i * width + run.at..];
                if run.len == S::LANES {
                    simd.store(simd.load(from), cells);
                } else {
                    for (c, x) in cells.iter_mut().zip(from) {
                        *c = *x;
                    }
                }
            }
        }
    }

    /// Memory of its cells.
    pub(super) fn bytes(&self) -> usize {
        self.rows.len() * self.columns.len() * size_of::<f32>()
    }

    /// `len` adjacent cells of `row` from `offset` on, which callers have found to be this block's.
    #[inline(always)]
    fn cells(&mut self, row: usize, offset: usize, len: usize) -> &mut [f32] {
        // SAFETY: row and columns are this block's (callers check: `tile` and `place`, `store_transposed`), so these are cells of
        // C that the block alone holds, and `&mut self` makes the borrow unique.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(row * self.places.row + offset), len) }
    }
}
