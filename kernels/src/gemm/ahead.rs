//! What a micro-kernel asks memory for while it makes its sums.

use crate::aligned::LINE;
use crate::simd::Simd;

/// Steps of the sums between copies and what is asked for of C.
pub(super) const CHUNK: usize = 16;

/// How far ahead of its use A is asked for, in floats, where it comes from beyond L2: a page.
pub(super) const FAR: usize = 1024;

/// Lines that will be read later: asked for a few at a time while sums are made, each once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead {
    /// The next address; any will do.
    pub(super) from: *const f32,
    /// Floats from address to address along a row.
    along: usize,
    /// Addresses of a row, and those that are left of this one.
    row: usize,
    rest: usize,
    /// Floats from the last address of a row to the first of the next.
    jump: usize,
    /// Addresses left.
    pub(super) left: usize,
    /// Addresses for each chunk of steps.
    each: usize,
    /// Floats for each step, where one address is asked for with each.
    pub(super) pace: usize,
    /// Floats from tile to tile, where a kernel makes several, and from the first to the last that is asked for so.
    pub(super) tile: usize,
    pub(super) most: usize,
}

impl Ahead {
    /// Those of `floats`, spread over `k` steps; one a step of them where there are more lines than steps.
    pub(crate) fn over(floats: &[f32], k: usize) -> Self {
        let pace = floats.len().div_ceil(k.max(1));
        match floats.len() > k * LINE {
            true => Self { left: k, ..Self::stream(floats, 0, pace) },
            false => Self { pace, ..Self::rows(floats, [1, floats.len()], 0, Self::each(1, floats.len(), k)) },
        }
    }

    /// From `distance` floats after the start of `floats` on, `step` floats with each step.
    pub(crate) fn stream(floats: &[f32], distance: usize, step: usize) -> Self {
        let chunk = CHUNK.saturating_mul(step);
        let each = if step >= LINE { CHUNK } else { chunk.div_ceil(LINE) };
        let along = chunk.checked_div(each).unwrap_or(0);
        let from = floats.as_ptr().wrapping_add(distance);
        let endless = usize::MAX;
        Self { from, along, row: endless, rest: endless, left: endless, each, pace: step, ..Self::nothing() }
    }

    /// The same, and `tile` floats further with each tile of a kernel.
    #[inline(always)]
    pub(crate) fn tiles(self, tile: usize) -> Self {
        Self { tile, most: usize::MAX, ..self }
    }

    /// The same no further than `most` floats.
    #[inline(always)]
    pub(crate) fn within(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Goes on to the next tile, made by another call.
    #[inline(always)]
    pub(super) fn advance(&mut self) {
        let skip = self.tile.min(self.most);
        self.from = self.from.wrapping_add(skip);
        self.most -= skip;
    }

    /// Those of the first `len` floats of each of `rows` rows, which begin `step` floats apart; `each` with each chunk.
    #[inline(always)]
    pub(crate) fn rows(floats: &[f32], [rows, len]: [usize; 2], step: usize, each: usize) -> Self {
        let row = Self::lines(len);
        let jump = step.wrapping_sub(row.saturating_sub(1) * LINE);
        let left = rows * row;
        Self { from: floats.as_ptr(), along: LINE, row, rest: row, jump, left, each, ..Self::nothing() }
    }

    /// As many with each chunk as `rows` rows of `len` floats take to be spread over `k` steps.
    pub(crate) fn each(rows: usize, len: usize, k: usize) -> usize {
        (rows * Self::lines(len) * CHUNK).div_ceil(k.max(1))
    }

    /// Lines of `len` floats, which begin anywhere in one.
    fn lines(len: usize) -> usize {
        if len == 0 { 0 } else { (len - 1) / LINE + 2 }
    }

    /// The panels that follow `a`, of `rows` rows, [`FAR`] further on.
    pub(crate) fn panels(a: &[f32], rows: usize) -> Self {
        Self::stream(a, FAR, rows)
    }

    /// Nothing.
    pub(crate) const fn nothing() -> Self {
        Self { from: std::ptr::null(), along: 0, row: 0, rest: 0, jump: 0, left: 0, each: 0, pace: 0, tile: 0, most: 0 }
    }

    /// Asks for those of a chunk.
    #[inline(always)]
    pub(super) fn ask<S: Simd>(&mut self, simd: S) {
        for _ in 0..self.each.min(self.left) {
            simd.prefetch_far(self.from);
            self.left -= 1;
            self.rest -= 1;
            let end = self.rest == 0;
            self.from = self.from.wrapping_add(if end { self.jump } else { self.along });
            self.rest = if end { self.row } else { self.rest };
        }
    }
}
