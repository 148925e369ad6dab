//! A micro-kernel by itself, to be timed: how fast its tile is with both operands in the first cache.

use super::{Carry, Shape, Table, Tile};
use crate::aligned::AlignedBuf;
use crate::gemm::Steps;
use crate::gemm::ahead::Ahead;
use crate::simd::{Level, Simd, SimdOp};

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
            next: [0; 3],
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
