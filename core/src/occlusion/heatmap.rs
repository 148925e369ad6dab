//! The maps that a sweep makes, and how far two of them are apart.

use serde::Serialize;

use super::{Answer, argmax};
use crate::network::NodeId;

/// The maps of one sweep: row i, column j is the square with its top left corner at (i·stride, j·stride).
#[derive(Clone, Debug, PartialEq)]
pub struct Heatmap {
    /// Positions down.
    pub rows: usize,
    /// Positions across.
    pub columns: usize,
    /// As asked for, or found.
    pub classes: Vec<usize>,
    /// Whose activity.
    pub layer: NodeId,
    /// Which map.
    pub channel: usize,
    /// `[class][row · columns + column]`
    pub probability: Vec<Vec<f32>>,
    /// The most probable class at each position.
    pub label: Vec<usize>,
    /// The sum over the map at each position.
    pub activity: Vec<f32>,
    /// Without a square: probability a class.
    pub baseline_probability: Vec<f32>,
    /// Without a square: the most probable class.
    pub baseline_label: usize,
    /// Without a square: the sum over the map.
    pub baseline_activity: f32,
    /// Whether each place was computed; the others are interpolated between those around them.
    pub known: Vec<bool>,
    /// Whether the sweep came to its end; false: a cancel left what is there.
    pub complete: bool,
    /// The most bytes that the sweep took at one time beside the model file, by count.
    pub peak_memory: u64,
}

/// How far two maps of the same sweep are apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Apart {
    /// The largest difference of a probability.
    pub probability: f32,
    /// The largest difference of an activity, relative to the largest activity.
    pub activity: f32,
    /// Places with another most probable class.
    pub labels: usize,
}

impl Heatmap {
    /// Nothing known yet.
    pub(super) fn blank(rows: usize, columns: usize, classes: Vec<usize>) -> Self {
        let total = rows * columns;
        Self {
            rows,
            columns,
            probability: vec![vec![f32::NAN; total]; classes.len()],
            baseline_probability: vec![f32::NAN; classes.len()],
            classes,
            layer: 0,
            channel: 0,
            label: vec![0; total],
            activity: vec![f32::NAN; total],
            baseline_label: 0,
            baseline_activity: f32::NAN,
            known: vec![false; total],
            complete: false,
            peak_memory: 0,
        }
    }

    /// The share of places that were not computed but interpolated.
    pub fn skipped(&self) -> f64 {
        self.known.iter().filter(|&&k| !k).count() as f64 / self.known.len() as f64
    }

    /// How far `other` is from this map; panics where the places are not the same.
    pub fn apart(&self, other: &Heatmap) -> Apart {
        assert_eq!(
            (self.rows, self.columns, &self.classes),
            (other.rows, other.columns, &other.classes),
            "other sweeps"
        );
        let most = |a: &[f32], b: &[f32]| {
            let difference = |(a, b): (&f32, &f32)| if a.to_bits() == b.to_bits() { 0.0 } else { (a - b).abs() };
            // Not `max` alone: NaN must not pass for 0.
            a.iter().zip(b).map(difference).fold(0.0, |m: f32, d| if d.is_nan() { f32::INFINITY } else { m.max(d) })
        };
        let probabilities = self.probability.iter().zip(&other.probability).map(|(a, b)| most(a, b));
        let largest = self.activity.iter().fold(self.baseline_activity.abs(), |m, x| m.max(x.abs()));
        Apart {
            probability: probabilities.fold(0.0, f32::max),
            activity: most(&self.activity, &other.activity) / if largest > 0.0 { largest } else { 1.0 },
            labels: self.label.iter().zip(&other.label).filter(|(a, b)| a != b).count(),
        }
    }

    /// The answer at a place.
    pub(super) fn put(&mut self, position: usize, answer: &Answer) {
        for (map, &class) in self.probability.iter_mut().zip(&self.classes) {
            map[position] = answer.probabilities[class];
        }
        self.label[position] = argmax(&answer.probabilities);
        self.activity[position] = answer.activity;
        self.known[position] = true;
    }
}
