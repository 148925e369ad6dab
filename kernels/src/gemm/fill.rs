//! The next block of B, packed by pieces while the tiles of the block before it are computed.
//!
//! ```text
//! source, rows far apart                 panels, one after the other
//! ┌──────────────────────────┐           ┌───┬───┬───┬─┐
//! │ piece 0                  │  rows     │   │   │   │ │
//! ├──────────────────────────┤     ⟶     ├───┼───┼───┼─┤   piece i: asked for during a tile, packed after the next
//! │ piece 1                  │           │   │   │   │ │
//! └──────────────────────────┘           └───┴───┴───┴─┘
//! ```
//! A piece is a few rows of all columns of the block: each page is visited once a block, and what is asked for is used
//! before anything pushes it out. Where the source has no rows, a piece is a panel.

use std::ops::Range;

use super::ahead::{Ahead, CHUNK};
use super::micro::Carry;
use super::pack::{Columns, Straight};
use crate::aligned::LINE;
use crate::simd::Simd;

/// Rows `k` of columns `j` of B.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Rows: a kc block.
    pub(super) k: Range<usize>,
    /// Columns: a few panels.
    pub(super) j: Range<usize>,
}

impl Part {
    /// Columns of panel `q`.
    #[inline(always)]
    pub(super) fn panel(&self, q: usize, nr: usize) -> Range<usize> {
        self.j.start + q * nr..(self.j.start + (q + 1) * nr).min(self.j.end)
    }

    /// Panels.
    pub(super) fn panels(&self, nr: usize) -> usize {
        self.j.len().div_ceil(nr)
    }

    /// Columns, rounded up to whole vectors.
    fn width(&self, lanes: usize) -> usize {
        self.j.len().next_multiple_of(lanes)
    }

    /// Itself where it is, if whole vectors of it can be read there.
    #[inline(always)]
    pub(super) fn straight<'a, B: Columns>(&self, b: &'a B, lanes: usize) -> Option<Straight<'a>> {
        b.straight(&self.k, &self.j).filter(|s| s.reaches(self.k.len(), self.width(lanes)))
    }
}

/// The packing of one part.
pub(super) struct Fill<'a, B> {
    b: &'a B,
    part: Part,
    straight: Option<Straight<'a>>,
    /// Columns of a panel.
    nr: usize,
    /// Floats from panel to panel.
    stride: usize,
    /// Rows of a piece.
    rows: usize,
    /// Lines that are asked for, and pieces of a panel that are copied, with each chunk of a tile's steps.
    asks: usize,
    copies: usize,
    /// Pieces, and those that are packed.
    pieces: usize,
    done: usize,
}

impl<'a, B: Columns> Fill<'a, B> {
    /// `part`, in panels that begin `stride` floats apart, during `tiles` tiles of `k` steps.
    #[inline(always)]
    pub(super) fn new(b: &'a B, part: Part, [nr, lanes]: [usize; 2], stride: usize, tiles: usize, k: usize) -> Self {
        let straight = part.straight(b, lanes);
        let lines = part.j.len() / LINE + 1;
        // As many as can be asked for during a tile, but no fewer than all tiles need.
        let rows = (k / lines).min(FEWEST).max(part.k.len().div_ceil(tiles.saturating_sub(1).max(1))).max(1);
        let pieces = if straight.is_some() { part.k.len().div_ceil(rows) } else { part.panels(nr) };
        // With each chunk of a tile.
        let asks = Ahead::each(rows, part.j.len(), k);
        let copies = (rows * part.panels(nr)).div_ceil((k / CHUNK).max(1));
        Self { asks, copies, b, part, straight, nr, stride, rows, pieces, done: 0 }
    }

    /// Whether a piece is due after tile `t` of `tiles`.
    #[inline(always)]
    fn due(&self, t: usize, tiles: usize) -> bool {
        self.done < self.pieces && (t + 1 == tiles || self.done * (tiles - 1) < t * self.pieces)
    }

    /// What tile `t` of `tiles` packs while it is computed: the piece that is due, where the panels are whole.
    #[inline(always)]
    pub(super) fn carry<'p, S: Simd>(&mut self, _: S, t: usize, tiles: usize, panels: &'p mut [f32]) -> Carry<'p>
    where
        'a: 'p,
    {
        match self.straight {
            Some(from) if self.part.j.len().is_multiple_of(self.nr) && self.due(t, tiles) => {
                let rows = self.rows(self.done);
                self.done += 1;
                let from = Straight { data: &from.data[rows.start * from.step..], step: from.step };
                let count = [rows.len(), self.part.panels(self.nr)];
                Carry::new::<S>(from, count, &mut panels[rows.start * self.nr..], self.stride, self.copies)
            }
            _ => Carry::NONE,
        }
    }

    /// What tile `t` of `tiles` asks for: the piece that is due with the next tile. Called before the piece
    /// that is due with this one is packed.
    #[inline(always)]
    pub(super) fn ahead(&self, t: usize, tiles: usize) -> Ahead {
        let piece = self.done + usize::from(self.due(t, tiles));
        match self.straight {
            Some(from) if piece < self.pieces && piece * (tiles - 1) < (t + 1) * self.pieces => {
                let rows = self.rows(piece);
                Ahead::rows(&from.data[rows.start * from.step..], [rows.len(), self.part.j.len()], from.step, self.asks)
            }
            _ => Ahead::nothing(),
        }
    }

    /// Packs what is due after tile `t` of `tiles`.
    #[inline(always)]
    pub(super) fn advance<S: Simd>(&mut self, simd: S, t: usize, tiles: usize, panels: &mut [f32]) {
        while self.due(t, tiles) {
            self.pack(simd, panels);
        }
    }

    /// Packs all that is left.
    #[inline(always)]
    pub(super) fn finish<S: Simd>(&mut self, simd: S, panels: &mut [f32]) {
        while self.done < self.pieces {
            self.pack(simd, panels);
        }
    }

    /// Rows of piece `i`.
    #[inline(always)]
    fn rows(&self, i: usize) -> Range<usize> {
        i * self.rows..((i + 1) * self.rows).min(self.part.k.len())
    }

    /// Packs the next piece.
    #[inline(always)]
    fn pack<S: Simd>(&mut self, simd: S, panels: &mut [f32]) {
        let (piece, nr) = (self.done, self.nr);
        self.done += 1;
        let Some(from) = self.straight else {
            let j = self.part.panel(piece, nr);
            let width = j.len().next_multiple_of(S::LANES);
            let panel = &mut panels[piece * self.stride..][..self.part.k.len() * width + S::LANES];
            self.b.pack(simd, self.part.k.clone(), j, width, panel);
            return;
        };
        for q in 0..self.part.panels(nr) {
            let width = self.part.panel(q, nr).len().next_multiple_of(S::LANES);
            let rows = self.rows(piece);
            let panel = &mut panels[q * self.stride + rows.start * width..][..rows.len() * width];
            for (to, row) in panel.chunks_exact_mut(width).zip(rows) {
                let from = &from.data[row * from.step + q * nr..][..width];
                for (to, from) in to.chunks_exact_mut(S::LANES).zip(from.chunks_exact(S::LANES)) {
                    simd.store(simd.load(from), to);
                }
            }
        }
    }
}

/// Rows of a piece, where there are enough tiles for so few.
const FEWEST: usize = 8;
