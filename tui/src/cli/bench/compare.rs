//! Kept figures beside new ones: what became slower by more than noise.
//!
//! Runs are matched by what they measured: bench, network or shape, engine, level, threads, batch. A run's figure is its
//! median time; where it has none, the reciprocal of its median rate.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use switchback_core::Error;
use switchback_core::text::escape;

use super::figures::significant;
use super::report::Section;
use crate::cli::failure::Failure;
use crate::cli::table::{Align, Table};

/// What runs are matched by.
const KEYS: [&str; 8] = ["network", "what", "shape", "engine", "level", "threads", "batch", "bytes"];

/// Every run that both have.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Comparison {
    noise_percent: f64,
    runs: Vec<Change>,
    /// Runs that the kept figures do not have.
    unmatched: usize,
    /// What makes the two not comparable; safe to show.
    warnings: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Change {
    /// Not safe to show.
    run: String,
    /// New time over old time, less one, in percent: positive is slower.
    percent: f64,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Faster,
    Same,
    Slower,
}

/// Reads a file that `--save` wrote.
///
/// # Errors
/// A file that cannot be read or holds something else.
pub(super) fn read(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|e| Failure::at("format", path, format!("not a file that --save wrote: {e}")))?;
    if value["bench"].is_string() && runs(&value).iter().any(|r| figure(r).is_some()) {
        Ok(value)
    } else {
        Err(Failure::at("format", path, "holds no figures of a bench: --save writes such files"))
    }
}

/// `now` beside `before`.
///
/// # Errors
/// Where they have no run in common.
pub(super) fn compare(before: &Value, now: &Value, noise: f64) -> anyhow::Result<Comparison> {
    let old = runs(before);
    let same_bench = before["bench"] == now["bench"];
    let mut found = Comparison { noise_percent: noise, runs: Vec::new(), unmatched: 0, warnings: Vec::new() };
    for run in runs(now) {
        let matching = old.iter().find(|o| same_bench && key(o) == key(run));
        let (Some(now), Some(was)) = (figure(run), matching.and_then(|o| figure(o))) else {
            found.unmatched += 1;
            continue;
        };
        let percent = 100.0 * (now / was - 1.0);
        let verdict = match percent {
            p if p > noise => Verdict::Slower,
            p if p < -noise => Verdict::Faster,
            _ => Verdict::Same,
        };
        found.runs.push(Change { run: key(run).join(" "), percent, verdict });
    }
    if found.runs.is_empty() {
        return Err(Failure::usage(
            "the kept figures and these have no run in common: compare with the same bench, networks, levels, threads \
             and batches",
        ));
    }
    for (what, field) in [("processor", "/machine/processor/name"), ("build", "/machine/build")] {
        let text =
            |v: &Value| v.pointer(field).and_then(Value::as_str).map_or("unknown".into(), |t| escape(t).into_owned());
        if text(before) != text(now) {
            found.warnings.push(format!("another {what}: {} then, {} now", text(before), text(now)));
        }
    }
    Ok(found)
}

/// A sweep's runs; a document without a sweep is a run itself.
fn runs(document: &Value) -> Vec<&Value> {
    match document["runs"].as_array() {
        Some(runs) => runs.iter().collect(),
        None => vec![document],
    }
}

fn key(run: &Value) -> Vec<String> {
    KEYS.iter()
        .filter_map(|k| match &run[*k] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(format!("{k} {other}")),
        })
        .collect()
}

/// A time, in whatever unit.
fn figure(run: &Value) -> Option<f64> {
    let median = |field: &str| run[field]["median"].as_f64().filter(|&x| x > 0.0);
    median("milliseconds")
        .or_else(|| median("gflops").map(|x| 1.0 / x))
        .or_else(|| median("gigabytes_per_second").map(|x| 1.0 / x))
}

impl Comparison {
    /// Runs that became slower.
    pub(super) fn slower(&self) -> usize {
        self.runs.iter().filter(|r| r.verdict == Verdict::Slower).count()
    }

    pub(super) fn section(&self) -> Section {
        let mut table = Table::new(&[("run", Align::Left), ("change", Align::Right), ("verdict", Align::Left)]);
        for Change { run, percent, verdict } in &self.runs {
            let word = match verdict {
                Verdict::Faster => "faster",
                Verdict::Same => "same",
                Verdict::Slower => "SLOWER",
            };
            table.row(vec![run.clone(), format!("{percent:+.1} %"), word.into()]);
        }
        let mut notes = vec![format!(
            "{} of {} became slower by more than {} %{}",
            self.slower(),
            self.runs.len(),
            significant(self.noise_percent).trim_end_matches('0').trim_end_matches('.'),
            if self.unmatched > 0 { format!("; {} had no counterpart", self.unmatched) } else { String::new() }
        )];
        notes.extend(self.warnings.iter().cloned());
        Section { title: "compared with what was kept".into(), table, notes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(ms: f64) -> Value {
        json!({
            "bench": "net", "network": "alexnet", "level": "avx2", "threads": 1, "batch": 1,
            "milliseconds": {"median": ms}, "machine": {"processor": {"name": "A"}, "build": "release"}
        })
    }

    #[test]
    fn slower_than_noise_is_a_regression() {
        for (now, slower) in [(10.4, 0), (10.6, 1), (9.0, 0), (30.0, 1)] {
            assert_eq!(compare(&document(10.0), &document(now), 5.0).unwrap().slower(), slower, "{now}");
        }
    }

    #[test]
    fn only_like_is_compared_with_like() {
        let mut other = document(10.0);
        other["threads"] = json!(2);
        assert!(compare(&other, &document(10.0), 5.0).unwrap_err().to_string().contains("no run in common"));
        let sweep = json!({"bench": "net", "runs": [other, document(5.0)], "machine": {}});
        let found = compare(&sweep, &document(10.0), 5.0).unwrap();
        assert_eq!((found.slower(), found.runs[0].percent), (1, 100.0));
        assert_eq!(found.warnings.len(), 2, "{:?}", found.warnings);
        assert_eq!(compare(&document(5.0), &sweep, 5.0).unwrap().unmatched, 1);
    }

    #[test]
    fn rates_count_the_other_way() {
        let peak = |rate: f64| json!({"bench": "peak", "what": "fma", "gflops": {"median": rate}});
        assert_eq!(compare(&peak(100.0), &peak(80.0), 5.0).unwrap().slower(), 1);
        assert_eq!(compare(&peak(80.0), &peak(100.0), 5.0).unwrap().slower(), 0);
    }
}
