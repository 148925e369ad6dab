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

mod carry;

use std::marker::PhantomData;

use super::Steps;
use super::ahead::{Ahead, CHUNK};
use crate::aligned::AlignedBuf;
use crate::simd::{Level, Simd, SimdOp};
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
/// A caller of a [`Kernel`] of `MR` rows and `NV` vectors promises, for `n = MR · count` rows: `a + i · a_step` for `i < k`
/// begins `MR` floats; where `count` is not one, `a_step` is `MR` and `a` holds `k · n` floats; `b + i · b_step` for `i < k`
/// begins `NV · LANES` floats; `c + i · stride` for `i < n` begins `NV · LANES` floats that nobody else touches meanwhile;
/// `bias` is null or holds `n`; `carry` is for the kernel's level, `count` one where there is any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile<'a> {
    /// Steps of the kc block.
    pub(super) k: usize,
    /// Tiles, one below the other; more than one not in chunks.
    pub(super) count: usize,
    /// `k` times `MR` floats, for each.
    pub(super) a: *const f32,
    /// From step to step of A.
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
    ($chunks:literal $($mr:literal)*) => {
        [$([kernel::<S, $mr, 1, $chunks> as Kernel<S>, kernel::<S, $mr, 2, $chunks>]),*]
    };
}

impl<S: Simd> Table<S> {
    /// By rows − 1 and vectors − 1. Those beyond the level's [`Shape`] panic.
    pub(super) const KERNELS: [[Kernel<S>; MAX_VECTORS]; MAX_MR] = rows!(false 1 2 3 4 5 6 7 8 9 10 11 12 13 14);

    /// The same, with other work between chunks of their steps.
    pub(super) const CHUNKS: [[Kernel<S>; MAX_VECTORS]; MAX_MR] = rows!(true 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}

/// # Safety
/// The promises of [`Tile`].
unsafe fn kernel<S: Simd, const MR: usize, const NV: usize, const CHUNKS: bool>(simd: S, tile: &Tile<'_>) {
    struct Run<'a, const MR: usize, const NV: usize, const CHUNKS: bool>(&'a Tile<'a>);
    impl<const MR: usize, const NV: usize, const CHUNKS: bool> SimdOp for Run<'_, MR, NV, CHUNKS> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let shape = const { Shape::of::<S>() };
            assert!(MR <= shape.mr && NV <= shape.vectors, "no {MR} × {NV} tile at this level");
            let mut tile = *self.0;
            let mut skip = [0; 2];
            loop {
                let next = tile.c.wrapping_add(MR * tile.stride);
                let soon = if tile.count > 1 { next.cast_const() } else { tile.soon };
                // SAFETY: `Run` is made in `kernel` alone, whose caller keeps the promises of `Tile`; what is left are `count`
                // tiles from these operands on.
                unsafe { body::<S, MR, NV, CHUNKS>(simd, &tile, soon, skip) };
                tile.count -= 1;
                if CHUNKS || tile.count == 0 {
                    return;
                }
                for i in 0..2 {
                    skip[i] += tile.ahead[i].tile;
                }
                tile.c = next;
                tile.a = tile.a.wrapping_add(tile.k * MR);
                if !tile.bias.is_null() {
                    tile.bias = tile.bias.wrapping_add(MR);
                }
            }
        }
    }
    simd.vectorize(Run::<MR, NV, CHUNKS>(tile));
}

/// One tile, the first of `tile`; asks for C at `soon`, and for what will be read later `skip` floats further.
///
/// # Safety
/// The promises of [`Tile`].
#[inline(always)]
unsafe fn body<S: Simd, const MR: usize, const NV: usize, const CHUNKS: bool>(
    simd: S,
    tile: &Tile<'_>,
    soon: *const f32,
    skip: [usize; 2],
) {
    let zero = simd.splat(0.0);
    let mut acc = [[zero; NV]; MR];
    let a_ahead = if tile.a_step == MR { AHEAD } else { STEPS * tile.a_step };
    // A macro, for a closure would not be compiled with the level's instructions.
    macro_rules! step {
        ($k:expr) => {{
            let k = $k;
            // SAFETY: `a` has `k` steps `a_step` apart, and `b` as many `b_step` apart, as the caller promised.
            let (a, b) = unsafe { (tile.a.add(k * tile.a_step), tile.b.add(k * tile.b_step)) };
            simd.prefetch_ptr(a.wrapping_add(a_ahead));
            let mut bv = [zero; NV];
            for v in 0..NV {
                // SAFETY: within step `k` of the B panel.
                bv[v] = unsafe { simd.load_ptr(b.add(v * S::LANES)) };
            }
            for i in 0..MR {
                // SAFETY: within step `k` of the A panel.
                let x = simd.splat(unsafe { *a.add(i) });
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

/// Rows and columns of a register tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileSize {
    /// Of A and C.
    pub rows: usize,
    /// Of B and C: whole vectors.
    pub columns: usize,
}

/// The tiles that `level` has a micro-kernel for, the largest last: into that one products are cut.
pub fn micro_kernels(level: Level) -> Vec<TileSize> {
    let shape = Shape::at(level);
    let of = |vectors: usize| (1..=shape.mr).map(move |rows| TileSize { rows, columns: vectors * shape.lanes });
    (1..=shape.vectors).flat_map(of).collect()
}

/// Runs the micro-kernel for `tile` alone, `rounds` times over the same panels, as deep as stays in the first cache; the
/// floating-point operations that were done, two a multiply-add. Panics unless `level` has such a micro-kernel.
pub fn micro_kernel(level: Level, tile: TileSize, rounds: usize) -> u64 {
    assert!(micro_kernels(level).contains(&tile), "no micro-kernel for {tile:?} at {level}");
    level.dispatch(Alone { tile, rounds })
}

/// One micro-kernel over panels of its own.
struct Alone {
    tile: TileSize,
    rounds: usize,
}

impl SimdOp for Alone {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> u64 {
        let TileSize { rows, columns } = self.tile;
        let k = Steps::new(usize::MAX / 2, Shape::of::<S>()).longest();
        let (mut a, mut b) = (AlignedBuf::zeroed(k * rows), AlignedBuf::zeroed(k * columns));
        let mut c = AlignedBuf::zeroed(rows * columns);
        a.fill(0.5);
        b.fill(0.5);
        let tile = Tile {
            k,
            a: a.as_ptr(),
            a_step: rows,
            b: b.as_ptr(),
            b_step: columns,
            c: c.as_mut_ptr(),
            stride: columns,
            soon: c.as_ptr(),
            count: 1,
            add: false,
            bias: std::ptr::null(),
            relu: false,
            ahead: &[Ahead::nothing(); 2],
            carry: &Carry::NONE,
        };
        let kernel = Table::<S>::KERNELS[rows - 1][columns / S::LANES - 1];
        for _ in 0..self.rounds {
            // SAFETY: the kernel is that of `rows` and `columns`; `a`, `b` and `c` were made `k · rows`, `k · columns` and
            // `rows · columns` floats long, outlive the call and nobody else has them; rows of C are `columns` apart.
            unsafe { kernel(simd, std::hint::black_box(&tile)) };
        }
        (2 * k * rows * columns * self.rounds) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_micro_kernel_runs_alone() {
        for level in Level::available() {
            let tiles = micro_kernels(level);
            let largest = Shape::at(level);
            assert_eq!(tiles.last(), Some(&TileSize { rows: largest.mr, columns: largest.nr() }));
            for tile in tiles {
                let once = micro_kernel(level, tile, 1);
                assert!(once > 0 && once.is_multiple_of(2 * (tile.rows * tile.columns) as u64), "{tile:?}");
                assert_eq!(micro_kernel(level, tile, 3), 3 * once);
            }
        }
    }

    #[test]
    #[should_panic(expected = "no micro-kernel")]
    fn other_tiles_are_refused() {
        micro_kernel(Level::PORTABLE, TileSize { rows: 1, columns: 3 }, 1);
    }
}
