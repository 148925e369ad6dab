//! Panels: the operands of a GEMM in the order in which the micro-kernel reads them.
//!
//! ```text
//! A, packed once              B, packed block by block, from whatever can give columns
//!      kc        kc                    nr  nr  nr
//!   ┌───────┬───────┐  mr           ┌───┬───┬───┬─┐
//!   │ panel │ panel │            kc │ p │ p │ p │ │  the last: whole vectors, zero beyond the columns
//!   ├───────┼───────┤  mr           └───┴───┴───┴─┘
//!   │ panel │ panel │
//!   └───────┴───────┘           each panel: step k after step k, its mr (nr) elements adjacent
//! ```
//! The rows of A are dealt evenly to as few panels as possible, so no row is padding; a panel of short sums has at most eight.

mod in_place;
mod matrix;

use std::ops::Range;

pub(in crate::gemm) use in_place::InPlace;

use super::ahead::Ahead;
use super::micro::{Shape, WIDE};
use super::{Packed, Steps};
use crate::Cpu;
use crate::aligned::{AlignedBuf, LINE};
use crate::simd::{Level, Simd};

/// Floats behind the last panel: the rows of any step can be read as a whole vector.
const SLACK: usize = 16;

/// The left operand, packed for one level.
pub struct PackedA {
    cut: Cut,
    data: AlignedBuf,
}

impl PackedA {
    /// Packs the `rows × k` matrix whose element (i, k) is `element(i, k)`.
    pub fn new(cpu: &Cpu, rows: usize, k: usize, element: impl Fn(usize, usize) -> f32 + Send + Sync) -> Self {
        Self::fill(cpu, rows, k, AlignedBuf::zeroed(rows * k + SLACK), element)
    }

    /// The same for weights that are kept.
    pub(crate) fn lasting(
        cpu: &Cpu,
        rows: usize,
        k: usize,
        element: impl Fn(usize, usize) -> f32 + Send + Sync,
    ) -> Self {
        Self::fill(cpu, rows, k, AlignedBuf::lasting(rows * k + SLACK), element)
    }

    fn fill(
        cpu: &Cpu,
        rows: usize,
        k: usize,
        data: AlignedBuf,
        element: impl Fn(usize, usize) -> f32 + Send + Sync,
    ) -> Self {
        Self::panel_by_panel(cpu, [rows, k], data, |rows, ks, panel| {
            for (to, k) in panel.chunks_exact_mut(rows.len()).zip(ks) {
                for (x, i) in to.iter_mut().zip(rows.clone()) {
                    *x = element(i, k);
                }
            }
        })
    }

    /// `write` fills each panel, step after step: some rows in the steps of a kc block.
    fn panel_by_panel(
        cpu: &Cpu,
        [rows, k]: [usize; 2],
        mut data: AlignedBuf,
        write: impl Fn(Range<usize>, Range<usize>, &mut [f32]) + Send + Sync,
    ) -> Self {
        let cut = Cut::new(cpu.level, rows, k);
        let mut rest = &mut data[..];
        let mut parts = Vec::with_capacity(cut.panels * cut.steps.count());
        for i in 0..cut.steps.count() {
            let ks = cut.steps.range(i);
            for p in 0..cut.panels {
                let rows = cut.panel_rows(p);
                let panel = rest.split_off_mut(..rows.len() * ks.len()).expect("all there");
                parts.push((rows, ks.clone(), panel));
            }
        }
        cpu.threads.for_each(parts, |(rows, ks, panel)| write(rows, ks, panel));
        Self { cut, data }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.cut.rows
    }

    /// Columns: the length of the sums.
    pub fn k(&self) -> usize {
        self.cut.steps.k()
    }

    /// Memory of the panels.
    pub fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }

    /// Panel `p` of the kc block `k`.
    pub(crate) fn panel(&self, k: &Range<usize>, p: usize) -> &[f32] {
        let rows = self.panel_rows(p);
        let start = self.cut.rows * k.start + rows.start * k.len();
        &self.data[start..start + rows.len() * k.len()]
    }
}

/// The right operand, packed for one level: filters as columns, where the cells of a map are the rows.
///
/// Panels lie in the order in which they are read: by kc block, then by nr columns.
pub(crate) struct PackedB {
    level: Level,
    columns: usize,
    steps: Steps,
    shape: Shape,
    data: AlignedBuf,
}

impl PackedB {
    /// Packs the `k × columns` matrix whose element (k, j) is `element(k, j)`.
    pub(crate) fn new(
        cpu: &Cpu,
        columns: usize,
        k: usize,
        element: impl Fn(usize, usize) -> f32 + Send + Sync,
    ) -> Self {
        let shape = Shape::at(cpu.level);
        let steps = Steps::long(k, shape);
        let data = AlignedBuf::lasting(k * columns.next_multiple_of(shape.lanes));
        let mut packed = Self { level: cpu.level, columns, steps, shape, data };
        let parts: Vec<_> = (0..steps.count())
            .flat_map(|i| (0..packed.panels()).map(move |p| (i, p)))
            .map(|(i, p)| (steps.range(i), packed.panel_rows(p), packed.width(p)))
            .collect();
        let mut rest = &mut packed.data[..];
        let parts: Vec<_> = parts
            .into_iter()
            .map(|(k, j, width)| {
                let panel = rest.split_off_mut(..k.len() * width).expect("all there");
                (k, j, width, panel)
            })
            .collect();
        cpu.threads.for_each(parts, |(k, j, width, panel)| {
            for (step, k) in panel.chunks_exact_mut(width).zip(k) {
                for (x, j) in step.iter_mut().zip(j.clone()) {
                    *x = element(k, j);
                }
            }
        });
        packed
    }

    /// Memory of the panels.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }

    /// The kc blocks that the panels are cut into.
    pub(crate) fn steps(&self) -> Steps {
        self.steps
    }

    /// How many panels share the columns.
    pub(crate) fn panels(&self) -> usize {
        self.columns.div_ceil(self.shape.nr())
    }

    /// Columns of panel `p`, rounded up to whole vectors.
    pub(crate) fn width(&self, p: usize) -> usize {
        self.panel_rows(p).len().next_multiple_of(self.shape.lanes)
    }

    /// Panel `p` of the kc block `k`, and what is read after it.
    pub(crate) fn panel(&self, k: &Range<usize>, p: usize) -> &[f32] {
        let start = k.start * self.columns.next_multiple_of(self.shape.lanes) + p * self.shape.nr() * k.len();
        &self.data[start..]
    }
}

impl Packed for PackedB {
    fn level(&self) -> Level {
        self.level
    }

    fn rows(&self) -> usize {
        self.columns
    }

    fn k(&self) -> usize {
        self.steps.k()
    }

    fn panel_rows(&self, p: usize) -> Range<usize> {
        p * self.shape.nr()..((p + 1) * self.shape.nr()).min(self.columns)
    }
}

impl std::fmt::Debug for PackedB {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedB({} × {}, {})", self.k(), self.columns, self.level)
    }
}

/// How a left operand is cut, packed or not: its rows into panels, its sums into kc blocks.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    level: Level,
    rows: usize,
    steps: Steps,
    panels: usize,
}

impl Cut {
    fn new(level: Level, rows: usize, k: usize) -> Self {
        let shape = Shape::at(level);
        Self { level, rows, steps: Steps::long(k, shape), panels: rows.div_ceil(Self::height(k, shape)) }
    }

    /// The most rows of a panel whose sums have `k` steps. Short sums write C so often that it counts where its rows lie: those
    /// a multiple of 4 KiB apart share one set of the first cache, which holds eight lines.
    fn height(k: usize, shape: Shape) -> usize {
        const SHORT: usize = 96;
        if shape.lanes >= WIDE && k <= SHORT { shape.mr.min(WAYS) } else { shape.mr }
    }

    /// The first panels take one more where they do not divide evenly.
    fn panel_rows(&self, p: usize) -> Range<usize> {
        let (each, more) = (self.rows / self.panels, self.rows % self.panels);
        let start = p * each + p.min(more);
        start..start + each + usize::from(p < more)
    }
}

impl std::fmt::Debug for PackedA {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedA({} × {}, {})", self.rows(), self.k(), self.cut.level)
    }
}

/// Some rows of the left operand, in the steps of a kc block.
#[derive(Clone, Copy)]
pub(crate) enum Left<'a> {
    /// Panel after panel.
    Panels(&'a [f32]),
    /// Where they lie: from the first step of the first on.
    Rows(Straight<'a>),
}

/// A left operand, in panels of rows.
pub(crate) trait Panels: Packed {
    /// Whether each is written as a micro-kernel reads it.
    const PACKED: bool;

    /// How it is cut.
    fn cut(&self) -> &Cut;

    /// The kc blocks that the sums are cut into.
    fn steps(&self) -> Steps {
        self.cut().steps
    }

    /// How many panels share the rows.
    fn panels(&self) -> usize {
        self.cut().panels
    }

    /// The rows of panel `p` and those that follow, in the kc block `k`.
    fn panels_from(&self, k: &Range<usize>, p: usize) -> Left<'_>;

    /// What of panel `p` is asked for with part `part` of the tiles before it.
    fn ahead(&self, k: &Range<usize>, p: usize, part: [usize; 2]) -> Ahead;
}

impl<A: Panels> Packed for A {
    fn level(&self) -> Level {
        self.cut().level
    }

    fn rows(&self) -> usize {
        self.cut().rows
    }

    fn k(&self) -> usize {
        self.cut().steps.k()
    }

    fn panel_rows(&self, p: usize) -> Range<usize> {
        self.cut().panel_rows(p)
    }
}

impl Panels for PackedA {
    const PACKED: bool = true;

    fn cut(&self) -> &Cut {
        &self.cut
    }

    #[inline(always)]
    fn panels_from(&self, k: &Range<usize>, p: usize) -> Left<'_> {
        Left::Panels(&self.data[self.cut.rows * k.start + self.panel_rows(p).start * k.len()..])
    }

    #[inline(always)]
    fn ahead(&self, k: &Range<usize>, p: usize, [part, parts]: [usize; 2]) -> Ahead {
        let panel = self.panel(k, p);
        let each = panel.len().div_ceil(parts).max(1);
        let panel = &panel[(part * each).min(panel.len())..];
        let len = each.min(panel.len());
        Ahead::rows(panel, [1, len], 0, Ahead::each(1, len, k.len()))
    }
}

/// The right operand: whatever can write its columns as panels.
pub(crate) trait Columns: Sync {
    /// Length of the sums.
    fn k(&self) -> usize;

    /// Columns.
    fn count(&self) -> usize;

    /// Writes rows `k` of columns `j` as a panel of `width` (whole vectors) columns, zero beyond `j`.
    ///
    /// `panel` is longer than the panel by a vector, which may be overwritten: stores of whole vectors in ascending
    /// order need no edge.
    fn pack<S: Simd>(&self, simd: S, k: Range<usize>, j: Range<usize>, width: usize, panel: &mut [f32]);

    /// Rows `k` of columns `j` where they are, if the columns are adjacent and the rows at equal distances.
    #[inline(always)]
    fn straight(&self, _k: &Range<usize>, _j: &Range<usize>) -> Option<Straight<'_>> {
        None
    }
}

/// A part of an operand that can be read as it lies.
#[derive(Clone, Copy)]
pub(crate) struct Straight<'a> {
    /// From its first element on.
    pub(crate) data: &'a [f32],
    /// From row to row.
    pub(crate) step: usize,
}

/// Sets of the first cache, and lines of each.
const SETS: usize = 64;
pub(super) const WAYS: usize = 8;

impl Straight<'_> {
    /// Whether `k` rows of `width` elements can be read.
    pub(crate) fn reaches(&self, k: usize, width: usize) -> bool {
        k == 0 || (k - 1) * self.step + width <= self.data.len()
    }

    /// Whether its rows push each other out of the first cache.
    pub(crate) fn collides(&self) -> bool {
        self.sets() == 1
    }

    /// Sets of the first cache that its rows, of a line each, are spread over: few where they lie a multiple of many lines apart.
    pub(crate) fn sets(&self) -> usize {
        let apart = self.step.trailing_zeros().saturating_sub(LINE.trailing_zeros());
        SETS >> apart.min(SETS.trailing_zeros())
    }
}

/// The most tiles that [`Cells::pack_tiles`] takes at once.
pub(crate) const TILES: usize = 4;

/// Columns that are cells of maps, and can be written as the rows of tiles, too.
pub(crate) trait Cells: Columns {
    /// Writes taps `k` of tiles of adjacent cells, at most [`TILES`] of at most a vector each, as panels that begin
    /// `stride` apart and have no gaps. At least a vector must lie between the end of each and the next, and after the
    /// last; it is overwritten.
    fn pack_tiles<S: Simd>(&self, simd: S, k: Range<usize>, tiles: &[Range<usize>], stride: usize, panels: &mut [f32]);

    /// Where `pack_tiles` will read taps `k` of cell `j`, more or less.
    fn ahead(&self, k: &Range<usize>, j: usize) -> Ahead;
}
