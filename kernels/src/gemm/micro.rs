//! The micro-kernel: one tile of C in registers, over one kc block, written once and instantiated per level and size.
//!
//! ```text
//!            NV vectors                     C tile += A panel · B panel
//!   k ┌──────────────┐ B panel              acc[i][v] = fma(a[k][i], b[k][v], acc[i][v])   for k in order
//!     └──────────────┘
//! ┌─┐ ┌──────────────┐                      then, once:  c = (c +) acc (+ bias)(, ReLU)
//! │ │ │ MR × NV accs │ C tile
//! └─┘ └──────────────┘
//!  A panel, MR rows
//! ```
//! Every size up to the level's largest tile has its kernel, so panels are exactly as high as needed. An element's
//! chain of operations is the same in all of them.

mod alone;
mod carry;

use std::marker::PhantomData;

use super::ahead::{Ahead, CHUNK};
use crate::simd::{Level, Simd, SimdOp};
pub use alone::{TileSize, micro_kernel, micro_kernels};
pub(super) use carry::Carry;

/// The tallest tile of any level.
pub(crate) const MAX_MR: usize = 14;
/// The widest tile of any level, in vectors.
pub(crate) const MAX_VECTORS: usize = 2;
/// The widest tile of any level, in columns.
pub(crate) const MAX_NR: usize = 32;

/// The largest tile of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Rows.
    pub(crate) mr: usize,
    /// Vectors of columns.
    pub(crate) vectors: usize,
    /// Columns of a vector.
    pub(crate) lanes: usize,
}

impl Shape {
    /// Accumulators, the vectors of B and a broadcast element of A fill the registers; eight registers of two halves
    /// each also need room for products, as there is no FMA.
    pub(crate) const fn of<S: Simd>() -> Self {
        let (mr, vectors) = match S::REGISTERS {
            32.. => (14, 2),
            16.. => (6, 2),
            _ => (4, 1),
        };
        Self { mr, vectors, lanes: S::LANES }
    }

    /// The largest tile of `level`.
    pub(crate) fn at(level: Level) -> Self {
        struct Of;
        impl SimdOp for Of {
            type Output = Shape;
            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> Shape {
                Shape::of::<S>()
            }
        }
        level.dispatch(Of)
    }

    /// Columns.
    pub(crate) const fn nr(&self) -> usize {
        self.vectors * self.lanes
    }
}

/// What a micro-kernel reads and writes.
///
/// A caller of a [`Kernel`] of `MR` rows and `NV` vectors promises, for each of `count` tiles, whose A, B and C lie `next`
/// floats after those of the one before: `a + i · a_step` for `i < k` begins `MR` floats, for kernels of rows instead for
/// `i < MR` it begins `k`; `b + i · b_step` for `i < k` begins `NV · LANES` floats; `c + i · stride` for `i < MR` begins
/// `NV · LANES` floats that nobody else touches meanwhile. `bias` is null or holds `MR · count`; `carry` is for the kernel's
/// level, `count` one where there is any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile<'a> {
    /// Steps of the kc block.
    pub(super) k: usize,
    /// Tiles, one after the other; more than one not in chunks.
    pub(super) count: usize,
    /// From tile to tile, of A, B and C.
    pub(super) next: [usize; 3],
    /// `k` times `MR` floats; or the first of its rows, `k` floats each.
    pub(super) a: *const f32,
    /// From step to step of A; or from row to row.
    pub(super) a_step: usize,
    /// `k` times `NV · LANES` floats.
    pub(super) b: *const f32,
    /// From step to step of B.
    pub(super) b_step: usize,
    /// The first element of the tile.
    pub(super) c: *mut f32,
    /// From row to row of C.
    pub(super) stride: usize,
    /// A tile of C that is asked for with the last one: as many rows, as far apart; any address will do.
    pub(super) soon: *const f32,
    /// Add to what C holds.
    pub(super) add: bool,
    /// One number a row, added after the sum; null for none.
    pub(super) bias: *const f32,
    /// max(x, 0) at last; NaN stays NaN.
    pub(super) relu: bool,
    /// What will be read later.
    pub(super) ahead: &'a [Ahead; 2],
    /// What is copied meanwhile.
    pub(super) carry: &'a Carry<'a>,
}

/// Lanes from which on a tile is large enough for its steps to be made in chunks, with other work between them.
pub(super) const WIDE: usize = 16;

/// Rows of C that are asked for after a chunk.
const C_ROWS: usize = 7;

/// How far ahead of its use A is asked for, in floats: the next panels follow, and may still lie beyond L2.
const AHEAD: usize = 64;

/// The same in steps, where they are not one after the other.
const STEPS: usize = 4;

/// Steps from asking for the last row of C to its use.
const LEAD: usize = 32;

/// One entry of the table. Its callers keep the promises of [`Tile`].
pub(super) type Kernel<S> = unsafe fn(S, &Tile<'_>);

/// The micro-kernels of one level.
pub(super) struct Table<S>(PhantomData<S>);

macro_rules! rows {
    ($chunks:literal $rows:literal $($mr:literal)*) => {
        [$([kernel::<S, $mr, 1, $chunks, $rows> as Kernel<S>, kernel::<S, $mr, 2, $chunks, $rows>]),*]
    };
}

impl<S: Simd> Table<S> {
    /// By rows − 1 and vectors − 1. Those beyond the level's [`Shape`] panic.
    pub(super) const KERNELS: [[Kernel<S>; MAX_VECTORS]; MAX_MR] = rows!(false false 1 2 3 4 5 6 7 8 9 10 11 12 13 14);

    /// The same, with other work between chunks of their steps.
    pub(super) const CHUNKS: [[Kernel<S>; MAX_VECTORS]; MAX_MR] = rows!(true false 1 2 3 4 5 6 7 8 9 10 11 12 13 14);

    /// As [`KERNELS`](Self::KERNELS), where A lies in rows.
    pub(super) const ROWS: [[Kernel<S>; MAX_VECTORS]; MAX_MR] = rows!(false true 1 2 3 4 5 6 7 8 9 10 11 12 13 14);

    /// As [`CHUNKS`](Self::CHUNKS), where A lies in rows.
    pub(super) const ROWS_CHUNKS: [[Kernel<S>; MAX_VECTORS]; MAX_MR] =
        rows!(true true 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}

/// # Safety
/// The promises of [`Tile`].
unsafe fn kernel<S: Simd, const MR: usize, const NV: usize, const CHUNKS: bool, const ROWS: bool>(
    simd: S,
    tile: &Tile<'_>,
) {
    struct Run<'a, const MR: usize, const NV: usize, const CHUNKS: bool, const ROWS: bool>(&'a Tile<'a>);
    impl<const MR: usize, const NV: usize, const CHUNKS: bool, const ROWS: bool> SimdOp for Run<'_, MR, NV, CHUNKS, ROWS> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let shape = const { Shape::of::<S>() };
            assert!(MR <= shape.mr && NV <= shape.vectors, "no {MR} × {NV} tile at this level");
            let mut tile = *self.0;
            let mut skip = [0; 2];
            loop {
                let next = tile.c.wrapping_add(tile.next[2]);
                let soon = if tile.count > 1 { next.cast_const() } else { tile.soon };
                // SAFETY: `Run` is made in `kernel` alone, whose caller keeps the promises of `Tile`; what is left are `count`
                // tiles from these operands on.
                unsafe { body::<S, MR, NV, CHUNKS, ROWS>(simd, &tile, soon, skip) };
                tile.count -= 1;
                if CHUNKS || tile.count == 0 {
                    return;
                }
                for i in 0..2 {
                    skip[i] = skip[i].saturating_add(tile.ahead[i].tile).min(tile.ahead[i].most);
                }
                tile.c = next;
                tile.a = tile.a.wrapping_add(tile.next[0]);
                tile.b = tile.b.wrapping_add(tile.next[1]);
                if !tile.bias.is_null() {
                    tile.bias = tile.bias.wrapping_add(MR);
                }
            }
        }
    }
    simd.vectorize(Run::<MR, NV, CHUNKS, ROWS>(tile));
}

/// One tile, the first of `tile`; asks for C at `soon`, and for what will be read later `skip` floats further.
///
/// # Safety
/// The promises of [`Tile`].
#[inline(always)]
unsafe fn body<S: Simd, const MR: usize, const NV: usize, const CHUNKS: bool, const ROWS: bool>(
    simd: S,
    tile: &Tile<'_>,
    soon: *const f32,
    skip: [usize; 2],
) {
    let zero = simd.splat(0.0);
    let mut acc = [[zero; NV]; MR];
    let a_ahead = if ROWS || tile.a_step == MR { AHEAD } else { STEPS * tile.a_step };
    // A macro, for a closure would not be compiled with the level's instructions.
    macro_rules! step {
        ($k:expr) => {{
            let k = $k;
            // SAFETY: `a` has `k` steps `a_step` apart, or side by side in each row, and `b` as many `b_step` apart, as the
            // caller promised.
            let (a, b) = unsafe { (tile.a.add(if ROWS { k } else { k * tile.a_step }), tile.b.add(k * tile.b_step)) };
            if !ROWS {
                simd.prefetch_ptr(a.wrapping_add(a_ahead));
            }
            let mut bv = [zero; NV];
            for v in 0..NV {
                // SAFETY: within step `k` of the B panel.
                bv[v] = unsafe { simd.load_ptr(b.add(v * S::LANES)) };
            }
            for i in 0..MR {
                // SAFETY: within step `k` of the A panel, or of row `i`.
                let x = simd.splat(unsafe { *a.add(if ROWS { i * tile.a_step } else { i }) });
                for v in 0..NV {
                    acc[i][v] = simd.fma(x, bv[v], acc[i][v]);
                }
            }
        }};
    }
    if !CHUNKS || const { S::LANES < WIDE } {
        // C is on its way from memory while the sums are made: where there are cycles to spare, a row with each step, for no
        // more are on their way at once.
        let spread = const { S::LANES >= WIDE };
        for i in 0..if spread { 0 } else { MR } {
            for v in 0..NV {
                simd.prefetch_ptr(soon.wrapping_add(i * tile.stride + v * S::LANES));
            }
        }
        let mut row = soon;
        for k in 0..tile.k {
            if spread {
                for v in 0..NV {
                    simd.prefetch_ptr(row.wrapping_add(v * S::LANES));
                }
                row = if k + 1 < MR { row.wrapping_add(tile.stride) } else { row };
            }
            for (ahead, skip) in tile.ahead.iter().zip(skip) {
                simd.prefetch_far(ahead.from.wrapping_add(skip + k * ahead.pace));
            }
            step!(k);
        }
    } else {
        let mut ahead = *tile.ahead;
        let mut carry = *tile.carry;
        let mut at = 0;
        // C is on its way while the last sums are made: asked for earlier, the operands would push it out of the first cache.
        let first = tile.k.saturating_sub(CHUNK * MR.div_ceil(C_ROWS) + LEAD);
        let mut row = 0;
        loop {
            // Steps between which there is nothing to do are made at a stretch.
            let idle = ahead[0].left | ahead[1].left | carry.each() == 0;
            let to = match idle && (at < first || row == MR) {
                true if at < first => first,
                true => tile.k,
                false => (at + CHUNK).min(tile.k),
            };
            while at < to {
                step!(at);
                at += 1;
            }
            ahead[0].ask(simd);
            ahead[1].ask(simd);
            for _ in 0..carry.each() {
                // SAFETY: one is left, and it is for this level, as the caller promised.
                unsafe { carry.copy(simd) };
            }
            if at >= first {
                let end = if at == tile.k { MR } else { (row + C_ROWS).min(MR) };
                while row < end {
                    for v in 0..NV {
                        simd.prefetch_ptr(tile.c.wrapping_add(row * tile.stride + v * S::LANES));
                    }
                    row += 1;
                }
            }
            if at == tile.k {
                break;
            }
        }
    }
    // Each of these loops is unrolled whole, so that the sums never leave their registers.
    if tile.add {
        for i in 0..MR {
            for v in 0..NV {
                // SAFETY: row `i` of C holds `NV · LANES` floats that are this call's alone.
                let c = unsafe { simd.load_ptr(tile.c.add(i * tile.stride + v * S::LANES)) };
                acc[i][v] = simd.add(c, acc[i][v]);
            }
        }
    }
    if !tile.bias.is_null() {
        for i in 0..MR {
            // SAFETY: `bias` holds `MR` floats unless it is null.
            let bias = simd.splat(unsafe { *tile.bias.add(i) });
            for v in 0..NV {
                acc[i][v] = simd.add(acc[i][v], bias);
            }
        }
    }
    if tile.relu {
        for i in 0..MR {
            for v in 0..NV {
                acc[i][v] = simd.max(zero, acc[i][v]);
            }
        }
    }
    for i in 0..MR {
        for v in 0..NV {
            // SAFETY: row `i` of C holds `NV · LANES` floats that are this call's alone.
            unsafe { simd.store_ptr(acc[i][v], tile.c.add(i * tile.stride + v * S::LANES)) };
        }
    }
}
