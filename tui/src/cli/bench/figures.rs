//! Measured times as documents and table cells.

use serde::Serialize;
use switchback_core::bench::{Measured, Samples};

use crate::cli::table::Align;

/// Quantiles of samples and the samples themselves, in the unit of the field that holds them.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    pub(super) median: f64,
    pub(super) p10: f64,
    pub(super) p90: f64,
    pub(super) min: f64,
    pub(super) samples: Vec<f64>,
}

impl Figures {
    /// `scale` times each sample.
    pub(super) fn of(samples: &Samples, scale: f64) -> Self {
        let q = |q: f64| scale * samples.quantile(q);
        Self {
            median: q(0.5),
            p10: q(0.1),
            p90: q(0.9),
            min: q(0.0),
            samples: samples.seconds.iter().map(|s| scale * s).collect(),
        }
    }

    pub(super) fn milliseconds(samples: &Samples) -> Self {
        Self::of(samples, 1e3)
    }
}

/// Of a run's preparation.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct WarmUp {
    runs: usize,
    /// Times had settled before the counting began.
    pub(super) stable: bool,
}

impl WarmUp {
    pub(super) fn of(measured: &Measured) -> Self {
        Self { runs: measured.warm_up, stable: measured.stable }
    }
}

/// Columns of a time: median, p10, p90, min, number of runs.
pub(super) const TIMES: [(&str, Align); 5] =
    [("ms", Align::Right), ("p10", Align::Right), ("p90", Align::Right), ("min", Align::Right), ("runs", Align::Right)];

/// Cells for [`TIMES`].
pub(super) fn times(f: &Figures) -> Vec<String> {
    let mut cells: Vec<String> = [f.median, f.p10, f.p90, f.min].iter().map(|&x| significant(x)).collect();
    cells.push(f.samples.len().to_string());
    cells
}

/// Four significant digits, and no more than four after the point.
pub(super) fn significant(x: f64) -> String {
    match x.abs() {
        1000.0.. => format!("{x:.0}"),
        100.0.. => format!("{x:.1}"),
        10.0.. => format!("{x:.2}"),
        1.0.. => format!("{x:.3}"),
        _ => format!("{x:.4}"),
    }
}

/// A cell for what may be missing.
pub(super) fn optional(x: Option<f64>, digits: usize) -> String {
    x.map_or("–".to_owned(), |x| format!("{x:.digits$}"))
}
