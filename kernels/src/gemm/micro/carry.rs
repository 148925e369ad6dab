//! Rows of B that a micro-kernel copies to panels while it makes its sums.
//!
//! Multiply-adds leave the ports of loads and stores idle most of the time: what is copied between them costs nothing,
//! not even where panels lie in the second cache, for which a copy alone would wait.

use std::marker::PhantomData;

use super::Shape;
use crate::gemm::pack::Straight;
use crate::simd::Simd;

/// A copy under way: a piece of one panel of each row after another. It stands for a unique borrow of where it goes, and
/// cannot leave its thread.
#[derive(Clone, Copy, Debug)]
pub(in crate::gemm) struct Carry<'a> {
    /// The next piece.
    from: *const f32,
    /// From row to row there.
    from_row: usize,
    /// Where it goes.
    to: *mut f32,
    /// From panel to panel there.
    to_panel: usize,
    /// Panels, and that of the next piece.
    panels: usize,
    panel: usize,
    /// Columns of a panel.
    nr: usize,
    /// Pieces left.
    left: usize,
    /// Pieces for each chunk of the kernel's steps.
    each: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

impl<'a> Carry<'a> {
    /// Nothing.
    pub(in crate::gemm) const NONE: Self = Self {
        from: std::ptr::null(),
        from_row: 0,
        to: std::ptr::null_mut(),
        to_panel: 0,
        panels: 1,
        panel: 0,
        nr: 0,
        left: 0,
        each: 0,
        borrow: PhantomData,
    };

    /// `rows` rows of `from`, at least one, to as many `panels`, at least one, as begin `to_panel` apart in `to`; `each` pieces with
    /// each chunk of the kernel's steps.
    #[inline(always)]
    pub(in crate::gemm) fn new<S: Simd>(
        from: Straight<'a>,
        [rows, panels]: [usize; 2],
        to: &'a mut [f32],
        to_panel: usize,
        each: usize,
    ) -> Self {
        let nr = const { Shape::of::<S>().nr() };
        let end = (rows - 1) * from.step + panels * nr;
        assert!(end <= from.data.len(), "{rows} rows end at {end} of {}", from.data.len());
        let end = (panels - 1) * to_panel + rows * nr;
        assert!(end <= to.len(), "{panels} panels end at {end} of {}", to.len());
        Self {
            from: from.data.as_ptr(),
            from_row: from.step,
            to: to.as_mut_ptr(),
            to_panel,
            panels,
            panel: 0,
            nr,
            left: rows * panels,
            each,
            borrow: PhantomData,
        }
    }

    /// Pieces for a chunk.
    #[inline(always)]
    pub(in crate::gemm) fn each(&self) -> usize {
        self.each.min(self.left)
    }

    /// Whether it was made for the level of `S`.
    pub(in crate::gemm) fn is_for<S: Simd>(&self) -> bool {
        self.left == 0 || self.nr == const { Shape::of::<S>().nr() }
    }

    /// Copies the next piece.
    ///
    /// # Safety
    /// One is left, and [`is_for`](Self::is_for) the level of `S`.
    #[inline(always)]
    pub(in crate::gemm) unsafe fn copy<S: Simd>(&mut self, simd: S) {
        let shape = const { Shape::of::<S>() };
        for v in 0..shape.vectors {
            // SAFETY: this is one of the `rows · panels` pieces of nr floats whose places `new` checked, since one was
            // left; the borrow of where they go is unique.
            unsafe { simd.store_ptr(simd.load_ptr(self.from.add(v * S::LANES)), self.to.add(v * S::LANES)) };
        }
        self.left -= 1;
        if self.panel + 1 == self.panels {
            self.from = self.from.wrapping_sub(self.panel * shape.nr()).wrapping_add(self.from_row);
            self.to = self.to.wrapping_sub(self.panel * self.to_panel).wrapping_add(shape.nr());
            self.panel = 0;
        } else {
            self.from = self.from.wrapping_add(shape.nr());
            self.to = self.to.wrapping_add(self.to_panel);
            self.panel += 1;
        }
    }
}
