//! Repeating a piece of work until its time is known.
//!
//! ```text
//! warm-up   |·····|·····|·····|   until the medians of two neighbouring windows agree, or the time is up
//! runs      |||||||||||||||||||   for some seconds, at least and at most so many
//! ```

use std::ops::ControlFlow;
use std::time::Instant;

use crate::error::{Error, Result};

/// Runs of a window of the warm-up.
const WINDOW: usize = 5;
/// Two windows agree within this share.
const STABLE: f64 = 0.02;

/// How much is spent on one measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// Of the runs that count; the warm-up takes at most as long again.
    pub seconds: f64,
    /// Runs, even where they take longer.
    pub least: usize,
    /// Runs, even where they take less.
    pub most: usize,
}

/// Seconds of every run, in the order of the runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// As measured.
    pub seconds: Vec<f64>,
}

impl Samples {
    /// The value that a share `q` of the runs stays below, between neighbours in proportion; NaN without runs.
    pub fn quantile(&self, q: f64) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
        let at = q.clamp(0.0, 1.0) * last as f64;
        let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
        low + (high - low) * at.fract()
    }

    /// Half of the runs take no longer.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The shortest run.
    pub fn min(&self) -> f64 {
        self.quantile(0.0)
    }
}

/// What came of a measurement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// The runs that count.
    pub samples: Samples,
    /// Runs before them.
    pub warm_up: usize,
    /// Whether the times had settled when the counting began.
    pub stable: bool,
}

/// Seconds that `work` takes.
pub fn timed<E>(work: impl FnOnce() -> std::result::Result<(), E>) -> std::result::Result<f64, E> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Runs `work`, which gives the seconds that it took (so that it may do more than what is timed), until its time is
/// known. `progress` hears, after every run, which share of the effort is spent.
///
/// # Errors
/// Those of `work`; [`Error::Cancelled`] where `progress` says stop.
pub fn measure(
    effort: &Effort,
    mut work: impl FnMut() -> Result<f64>,
    mut progress: impl FnMut(f64) -> ControlFlow<()>,
) -> Result<Measured> {
    let mut run = |share: f64| -> Result<f64> {
        let seconds = work()?;
        if progress(share.clamp(0.0, 1.0)).is_break() { Err(Error::Cancelled) } else { Ok(seconds) }
    };
    let most = effort.seconds.max(f64::MIN_POSITIVE);
    let mut warm = Samples::default();
    let mut stable = false;
    let start = Instant::now();
    while !stable && (warm.seconds.len() < 2 || start.elapsed().as_secs_f64() < most) {
        warm.seconds.push(run(0.0)?);
        stable = settled(&warm.seconds);
    }
    let mut samples = Samples::default();
    let start = Instant::now();
    loop {
        let (runs, spent) = (samples.seconds.len(), start.elapsed().as_secs_f64());
        if runs >= effort.most.max(1) || (runs >= effort.least.max(1) && spent >= most) {
            return Ok(Measured { samples, warm_up: warm.seconds.len(), stable });
        }
        samples.seconds.push(run(spent / most)?);
    }
}

/// Whether the last window's median is that of the window before.
fn settled(seconds: &[f64]) -> bool {
    let Some(from) = seconds.len().checked_sub(2 * WINDOW) else { return false };
    let median = |s: &[f64]| Samples { seconds: s.to_vec() }.median();
    let (before, last) = (median(&seconds[from..from + WINDOW]), median(&seconds[from + WINDOW..]));
    (last - before).abs() <= STABLE * before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let samples = Samples { seconds: vec![5.0, 1.0, 3.0, 2.0, 4.0] };
        assert_eq!((samples.min(), samples.median(), samples.quantile(1.0)), (1.0, 3.0, 5.0));
        assert!((samples.quantile(0.1) - 1.4).abs() < 1e-12);
        assert!(Samples::default().median().is_nan());
        assert_eq!(Samples { seconds: vec![7.0] }.quantile(0.9), 7.0);
    }

    #[test]
    fn settles_when_two_windows_agree() {
        assert!(!settled(&[1.0; 9]));
        assert!(settled(&[1.0; 10]));
        assert!(!settled(&[2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0]));
        assert!(settled(&[9.0, 9.0, 1.0, 1.0, 1.0, 9.0, 1.0, 1.01, 1.01, 1.0, 1.01, 9.0]));
    }

    #[test]
    fn runs_as_often_as_asked_and_stops_when_told() {
        let mut runs = 0;
        let effort = Effort { seconds: 0.0, least: 7, most: 100 };
        let measured = measure(
            &effort,
            || {
                runs += 1;
                Ok(1.0)
            },
            |_| ControlFlow::Continue(()),
        )
        .unwrap();
        assert_eq!((measured.samples.seconds.len(), measured.warm_up, runs), (7, 2, 9));
        let most = Effort { seconds: 10.0, least: 1, most: 3 };
        let measured = measure(&most, || Ok(1.0), |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(measured.samples.seconds.len(), 3);
        let stopped = measure(&effort, || Ok(1.0), |_| ControlFlow::Break(()));
        assert!(matches!(stopped, Err(Error::Cancelled)));
        let failed = measure(&effort, || Err(Error::Invalid("no".into())), |_| ControlFlow::Continue(()));
        assert!(matches!(failed, Err(Error::Invalid(_))));
    }
}
