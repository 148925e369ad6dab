//! How the tiles of maps are cut into blocks, and what of them each thread does.
//!
//! ```text
//! tiles     ┌────┬────┐   filters   half of V ─┐   ┌─ some filters
//!           │ V  │ V  │             the other ─┴─V─┴─ the others
//!           └────┴────┘
//! ```
//! Each block reads all of U, so few tiles make a slow block; V of many leaves the caches. Threads that share nothing but what
//! they read are the fastest: a line that two cores have read costs the one that writes it next six times as much as any
//! other, and far more where the cores have no cache in common. So tiles are dealt where there are enough, else filters.

use std::ops::Range;

use super::block::Block;
use super::{PackedWinograd, tile_bytes};
use crate::Cpu;
use crate::caches::Caches;

/// What threads share out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Blocks: each is one thread's from its inputs to its outputs.
    Tiles,
    /// The inputs of a block, then its filters.
    Filters,
}

/// How tiles are cut into blocks.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) sharing: Sharing,
    /// Images of a block; several only where a block has all tile rows.
    images: usize,
    /// Tile rows of a block.
    rows: usize,
    /// Panels of filters of each thread, where they share them.
    pub(super) shares: Vec<Range<usize>>,
}

/// How many times as long shared filters take as shared tiles, all else being equal.
const APART: f64 = 1.05;

impl Cut {
    /// For `batch` images of `[rows, columns]` tiles.
    pub(super) fn new(cpu: &Cpu, packed: &PackedWinograd, batch: usize, [rows, columns]: [usize; 2]) -> Self {
        let (caches, threads) = (Caches::get(), cpu.threads.count());
        let (a_tile, filters) = (tile_bytes(&packed.conv, packed.tile), packed.conv.out_channels);
        let shares = packed.filters.shares(threads);
        let most = shares.iter().map(|panels| packed.filters.channels(panels).len()).max();
        let share = most.unwrap_or(filters) as f64 / filters.max(1) as f64;
        let l2 = caches.l2 as f64;
        let u = (a_tile * filters) as f64;
        let fits = |tiles: usize| tiles * a_tile <= 2 * caches.share;
        // Time of a tile row in a block of `tiles`, as measured: U is read once a block, and V leaves the caches.
        let row = |tiles: usize| 1.0 + 1.5 * u / (l2 * tiles as f64) + (tiles * a_tile) as f64 / (64.0 * l2);
        // Least time; of equals, the largest block.
        let (mut best, mut least) = ((Sharing::Tiles, 1, 1), f64::INFINITY);
        let mut offer = |sharing: Sharing, images: usize, rows: usize, time: f64| {
            if time <= least {
                (best, least) = ((sharing, images, rows), time);
            }
        };
        for r in (1..rows).filter(|&r| r == 1 || fits(r * columns)) {
            let (blocks, last) = (rows.div_ceil(r), (rows - 1) % r + 1);
            // Of several images each has a short block, which all threads come by.
            let most = match batch {
                1 => busiest(threads, blocks, r, last) as f64,
                _ => (batch * blocks).div_ceil(threads) as f64 * rows as f64 / blocks as f64,
            };
            offer(Sharing::Tiles, 1, r, most * row(r * columns));
        }
        for images in (1..=batch).filter(|images| fits(images * rows * columns)) {
            let time = row(images * rows * columns);
            let last = ((batch - 1) % images + 1) * rows;
            let alone = busiest(threads, batch.div_ceil(images), images * rows, last) as f64 * time;
            offer(Sharing::Tiles, images, rows, alone);
            if threads > 1 {
                offer(Sharing::Filters, images, rows, (batch * rows) as f64 * share * time * APART);
            }
        }
        let (sharing, images, rows) = best;
        Self { sharing, images, rows, shares }
    }

    /// The blocks, in order of images, then rows.
    pub(super) fn blocks(&self, batch: usize, rows: usize) -> Vec<Block> {
        (0..batch)
            .step_by(self.images)
            .flat_map(|n| (0..rows).step_by(self.rows).map(move |y| (n, y)))
            .map(|(n, y)| Block { images: n..(n + self.images).min(batch), rows: y..(y + self.rows).min(rows) })
            .collect()
    }
}

/// Tile rows of the thread that has most, of `blocks` of `rows` each, of which the last has only `last`.
fn busiest(threads: usize, blocks: usize, rows: usize, last: usize) -> usize {
    let whole = blocks - 1;
    match whole % threads {
        // One more than the others have, but a short one.
        0 => whole / threads * rows + last,
        _ => blocks.div_ceil(threads) * rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv2d::Conv2d;
    use crate::view::{Dtype, Weights};
    use crate::winograd::{Tile, pack};
    use crate::{Geometry, Level, Threads};

    #[test]
    fn every_tile_row_of_every_image_is_in_one_block() {
        let conv = Conv2d { in_channels: 40, out_channels: 70, groups: 1, geometry: Geometry::square(3, 1, 1) };
        let weights = vec![0; 4 * conv.weights()];
        let mut kinds = [0; 4];
        for tile in Tile::ALL {
            for threads in [1, 2, 3] {
                let cpu = Cpu { level: Level::best(), threads: Threads::new(threads) };
                let packed = pack(&cpu, &conv, Weights::new(&weights, Dtype::F32), None, tile);
                for (batch, grid) in
                    [(1, [1, 1]), (3, [1, 1]), (1, [4, 4]), (8, [2, 2]), (3, [19, 19]), (2, [600, 500]), (9, [1, 7])]
                {
                    let cut = Cut::new(&cpu, &packed, batch, grid);
                    assert!(threads > 1 || cut.sharing == Sharing::Tiles);
                    kinds[2 * usize::from(cut.sharing == Sharing::Filters) + usize::from(cut.images > 1)] += 1;
                    let mut seen = vec![0; batch * grid[0]];
                    for block in cut.blocks(batch, grid[0]) {
                        let whole = block.rows == (0..grid[0]);
                        assert!(
                            whole || block.images.len() == 1 && cut.sharing == Sharing::Tiles,
                            "{cut:?}: {block:?}"
                        );
                        for n in block.images {
                            block.rows.clone().for_each(|y| seen[n * grid[0] + y] += 1);
                        }
                    }
                    assert!(seen.iter().all(|&times| times == 1), "{cut:?} of {batch} × {grid:?}");
                }
            }
        }
        assert!(kinds.iter().all(|&cuts| cuts > 0), "tiles, filters, of one image and of several: {kinds:?}");
    }

    #[test]
    fn the_busiest_thread_has_what_it_cannot_hand_on() {
        for ([threads, blocks, rows, last], most) in [
            ([1, 3, 4, 2], 10),
            ([2, 2, 5, 5], 5),
            ([2, 5, 2, 2], 6),
            ([2, 7, 3, 1], 10),
            ([2, 4, 3, 1], 6),
            ([3, 2, 2, 1], 2),
        ] {
            assert_eq!(busiest(threads, blocks, rows, last), most, "{blocks} blocks of {rows} for {threads}");
        }
    }
}
