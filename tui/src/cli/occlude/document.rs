//! The JSON document of a map, and the record of how it was made that every file carries.

use std::path::Path;

use serde::Serialize;
use switchback_core::NodeId;
use switchback_core::occlusion::Apart;
use switchback_core::projection::{Projection, Seed};

use super::result::Occluded;
use crate::cli::input::Loaded;

/// How far the map is off full passes.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Verified {
    #[serde(flatten)]
    pub(super) apart: Apart,
    pub(super) equal: bool,
    /// Of the full passes.
    pub(super) seconds: f64,
}

/// One number where one class was asked for, a list where several were.
#[derive(Serialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn new(mut all: Vec<T>) -> Self {
        match all.len() {
            1 => OneOrMany::One(all.remove(0)),
            _ => OneOrMany::Many(all),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Record {
    input: String,
    class: OneOrMany<usize>,
    class_name: OneOrMany<String>,
    layer: String,
    layer_index: NodeId,
    channel: usize,
    size: usize,
    height: usize,
    width: usize,
    shape: &'static str,
    stride: usize,
    fill: String,
    seed: u64,
    telling: Telling,
    projections: Vec<Projected>,
    rows: usize,
    columns: usize,
    baseline: Baseline,
    seconds: f64,
    peak_memory_bytes: u64,
    approximation: Option<Approximation>,
    partial: Option<Partial>,
    verified: Option<Verified>,
}

impl Record {
    pub(super) fn of(occluded: &Occluded<'_>) -> Self {
        let (map, telling, [height, width]) = (&occluded.map, occluded.telling(), occluded.area());
        Self {
            input: occluded.loaded.name.clone(),
            class: OneOrMany::new(map.classes.clone()),
            class_name: OneOrMany::new(occluded.names()),
            layer: occluded.opened.network().node(map.layer).name.clone(),
            layer_index: map.layer,
            channel: map.channel,
            size: height,
            height,
            width,
            shape: occluded.shape(),
            stride: occluded.settings.stride,
            fill: occluded.fill.to_string(),
            telling: Telling {
                at: occluded.corner(),
                probability: map.probability[0][telling],
                label: map.label[telling],
            },
            projections: occluded.projections.iter().map(|(loaded, p)| Projected::new(loaded, p)).collect(),
            seed: occluded.seed,
            rows: map.rows,
            columns: map.columns,
            baseline: Baseline {
                probability: OneOrMany::new(map.baseline_probability.clone()),
                label: map.baseline_label,
                label_name: occluded.opened.class_name(map.baseline_label).to_owned(),
                activity: map.baseline_activity,
            },
            seconds: occluded.seconds,
            peak_memory_bytes: map.peak_memory,
            approximation: Approximation::of(occluded),
            partial: Partial::of(occluded),
            verified: occluded.verified,
        }
    }
}

/// The place where the first class loses most.
#[derive(Serialize)]
struct Telling {
    at: [usize; 2],
    probability: f32,
    label: usize,
}

/// The watched map's projection from one picture.
#[derive(Serialize)]
struct Projected {
    input: String,
    at: [usize; 2],
    activation: f32,
    window: [usize; 4],
}

impl Projected {
    fn new(loaded: &Loaded, projection: &Projection) -> Self {
        let Seed::Unit { at, .. } = projection.seed else { unreachable!("made from one unit") };
        Self { input: loaded.name.clone(), at, activation: projection.activation, window: projection.window.to_array() }
    }
}

#[derive(Serialize)]
struct Baseline {
    probability: OneOrMany<f32>,
    label: usize,
    label_name: String,
    activity: f32,
}

#[derive(Serialize)]
pub(crate) struct Document {
    #[serde(flatten)]
    record: Record,
    /// `[row][column]`, or `[class][row][column]` for several classes.
    probability: OneOrMany<Vec<Vec<f32>>>,
    label: Vec<Vec<usize>>,
    activity: Vec<Vec<f32>>,
    output: Option<String>,
}

impl Document {
    pub(super) fn of(occluded: &Occluded<'_>, output: Option<&Path>) -> Self {
        let map = &occluded.map;
        let columns = map.columns;
        Self {
            record: Record::of(occluded),
            probability: OneOrMany::new(map.probability.iter().map(|p| grid(p, columns)).collect()),
            label: grid(&map.label, columns),
            activity: grid(&map.activity, columns),
            output: output.map(|o| o.to_string_lossy().into_owned()),
        }
    }
}

fn grid<T: Copy>(flat: &[T], columns: usize) -> Vec<Vec<T>> {
    flat.chunks(columns).map(<[T]>::to_vec).collect()
}

/// What a cancel left.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Partial {
    /// The share of places that were computed; the others are interpolated, in `.npy` they are NaN.
    pub(super) computed: f64,
    places: usize,
    of: usize,
}

impl Partial {
    /// `None` where the sweep came to its end.
    pub(super) fn of(occluded: &Occluded<'_>) -> Option<Self> {
        let known = &occluded.map.known;
        let (places, of) = (known.iter().filter(|&&k| k).count(), known.len());
        (!occluded.map.complete).then(|| Self { computed: places as f64 / of as f64, places, of })
    }
}

/// What `--adaptive` left out.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Approximation {
    /// A probability that moves by less between coarser places is not looked at more closely.
    threshold: f32,
    /// The share of places that were not computed but interpolated.
    pub(super) skipped: f64,
}

impl Approximation {
    pub(super) fn of(occluded: &Occluded<'_>) -> Option<Self> {
        let skipped = occluded.map.skipped();
        occluded.settings.adaptive.map(|threshold| Self { threshold, skipped })
    }
}
