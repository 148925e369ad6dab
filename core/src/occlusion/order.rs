//! In which order places are visited: a coarse lattice first, then what lies between, each stage a usable map.
//!
//! ```text
//! 1 3 2 3 1      1  every fourth row and column: one place in sixteen
//! 3 3 3 3 3      2  every second: one in four
//! 2 3 2 3 2      3  the rest
//! 3 3 3 3 3      what is not yet known is interpolated between the places around it
//! 1 3 2 3 1
//! ```

use super::Heatmap;

/// Steps of the lattice, in places, stage by stage.
pub(super) const STEPS: [usize; 3] = [4, 2, 1];

/// The places of stage `step`, row by row.
pub(super) fn places(rows: usize, columns: usize, step: usize) -> impl Iterator<Item = usize> {
    let before = if step == STEPS[0] { usize::MAX } else { 2 * step };
    let new = move |&(row, column): &(usize, usize)| row % before != 0 || column % before != 0 || before == usize::MAX;
    let lattice = move |row: usize| (0..columns).step_by(step).map(move |column| (row, column));
    (0..rows).step_by(step).flat_map(lattice).filter(new).map(move |(row, column)| row * columns + column)
}

/// Up to four places of the lattice of `step` around `place`, and their bilinear weights.
fn around(rows: usize, columns: usize, step: usize, place: usize) -> [(usize, f32); 4] {
    let axis = |at: usize, count: usize| {
        let low = at / step * step;
        match low + step < count {
            true => [(low, 1.0 - (at - low) as f32 / step as f32), (low + step, (at - low) as f32 / step as f32)],
            false => [(low, 1.0), (low, 0.0)],
        }
    };
    let (ys, xs) = (axis(place / columns, rows), axis(place % columns, columns));
    [0, 1, 2, 3].map(|i| {
        let ((y, v), (x, w)) = (ys[i / 2], xs[i % 2]);
        (y * columns + x, v * w)
    })
}

/// Whether a probability or the label moves by more than `threshold` among the places of the lattice of `step` around
/// `place`, on both sides of it.
pub(super) fn moves(map: &Heatmap, step: usize, place: usize, threshold: f32) -> bool {
    let places = around(map.rows, map.columns, step, place).map(|p| p.0);
    let differs = |values: &[f32]| {
        let (low, high) = places
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &p| (low.min(values[p]), high.max(values[p])));
        let moved = high - low;
        moved > threshold || moved.is_nan()
    };
    map.probability.iter().any(|p| differs(p)) || places.iter().any(|&p| map.label[p] != map.label[places[0]])
}

/// Gives every place that is not known what the lattice of `step` says: numbers are interpolated, the label is that of
/// the nearest.
pub(super) fn fill(map: &mut Heatmap, step: usize) {
    for place in (0..map.known.len()).filter(|&p| !map.known[p]) {
        let around = around(map.rows, map.columns, step, place);
        let between = |values: &[f32]| around.iter().filter(|a| a.1 > 0.0).map(|&(p, w)| w * values[p]).sum::<f32>();
        for values in &mut map.probability {
            values[place] = between(values);
        }
        map.activity[place] = between(&map.activity);
        let nearest = around.iter().fold(around[0], |best, a| if a.1 > best.1 { *a } else { best });
        map.label[place] = map.label[nearest.0];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_visited_once_the_coarse_ones_first() {
        for (rows, columns) in [(25, 25), (1, 1), (3, 7), (9, 4)] {
            let stages: Vec<Vec<usize>> = STEPS.iter().map(|&s| places(rows, columns, s).collect()).collect();
            let mut all = stages.concat();
            assert_eq!(all.len(), rows * columns);
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), rows * columns);
            assert!(stages[0].iter().all(|p| p / columns % 4 == 0 && p % columns % 4 == 0));
        }
        assert_eq!(places(25, 25, 4).count(), 49);
        assert_eq!(places(25, 25, 2).count(), 169 - 49);
    }

    #[test]
    fn what_lies_between_is_interpolated() {
        let ramp: Vec<f32> = (0..35).map(|p| (p / 7 * 10 + p % 7) as f32).collect();
        let mut map = Heatmap::blank(5, 7, vec![3]);
        for p in places(5, 7, 4) {
            map.probability[0][p] = ramp[p];
            map.activity[p] = -ramp[p];
            map.known[p] = true;
        }
        fill(&mut map, 4);
        // Around place 8: 0, 4, 40 and 44.
        assert!(moves(&map, 4, 8, 43.0) && !moves(&map, 4, 8, 45.0));
        map.label[4] = 1;
        assert!(moves(&map, 4, 8, 45.0), "labels differ");
        fill(&mut map, 4);
        // Beyond the last column of the lattice the ramp goes on level.
        let level = |p: usize| ramp[p / 7 * 7 + (p % 7).min(4)];
        for p in 0..35 {
            assert!((map.probability[0][p] - level(p)).abs() < 1e-4, "place {p}: {}", map.probability[0][p]);
            assert!((map.activity[p] + level(p)).abs() < 1e-4);
        }
        assert_eq!((map.label[8], map.label[3]), (0, 1));
    }
}
