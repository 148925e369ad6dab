//! The maps of one picture with their panels, as document, summary, table, arrays and sheet.

use std::path::Path;

use serde::Serialize;
use switchback_core::occlusion::{self, Apart, Cover, Heatmap, Settings};
use switchback_core::picture::Picture;
use switchback_core::preprocess::Order;
use switchback_core::projection::{self, Projection, Seed};
use switchback_core::text::escape;
use switchback_core::{NodeId, Shape, Tensor};

use super::occluder::FillName;
use crate::cli::draw::{self, Sheet};
use crate::cli::input::Loaded;
use crate::cli::model::Opened;
use crate::cli::output::Array;
use crate::cli::sweep::Artefact;
use crate::cli::table::{Align, Table, bytes};

/// The maps of one picture.
pub(crate) struct Occluded<'a> {
    pub(crate) opened: &'a Opened,
    pub(crate) loaded: Loaded,
    settings: Settings,
    /// The picture with the square where it tells most.
    pub(crate) under: Option<Picture>,
    /// The watched map's, of this picture and of others.
    pub(crate) projections: Vec<(Loaded, Projection)>,
    pub(super) fill: FillName,
    pub(super) seed: u64,
    pub(crate) map: Heatmap,
    seconds: f64,
    pub(super) verified: Option<Verified>,
}

/// How far the map is off full passes.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Verified {
    #[serde(flatten)]
    pub(super) apart: Apart,
    pub(super) equal: bool,
    /// Of the full passes.
    pub(super) seconds: f64,
}

/// One number where one class was asked for, a list where several were.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany<T> {
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
    verified: Option<Verified>,
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
pub(crate) struct Baseline {
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

fn grid<T: Copy>(flat: &[T], columns: usize) -> Vec<Vec<T>> {
    flat.chunks(columns).map(<[T]>::to_vec).collect()
}

/// What `--adaptive` left out.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Approximation {
    /// A probability that moves by less between coarser places is not looked at more closely.
    threshold: f32,
    /// The share of places that were not computed but interpolated.
    skipped: f64,
}

impl<'a> Occluded<'a> {
    /// A map, which took `seconds`, with its panels; the fill is called the mean until told otherwise.
    pub(crate) fn new(
        opened: &'a Opened,
        loaded: &Loaded,
        settings: Settings,
        map: Heatmap,
        seconds: f64,
    ) -> anyhow::Result<Self> {
        let (loaded, fill) = (loaded.clone(), FillName::Mean);
        let mut new = Self {
            opened,
            loaded,
            settings,
            under: None,
            projections: Vec::new(),
            fill,
            seed: 0,
            map,
            seconds,
            verified: None,
        };
        new.under = shown(opened, &occlusion::covered(&new.loaded.tensor, &new.settings, new.corner())?);
        new.projections = projected(opened, &new.loaded, &new.map)?.into_iter().collect();
        Ok(new)
    }
}

impl Occluded<'_> {
    /// The place where the first class loses most.
    pub(crate) fn telling(&self) -> usize {
        extremes(&self.map.probability[0]).0
    }

    /// Its top left corner, in input pixels.
    pub(crate) fn corner(&self) -> [usize; 2] {
        let (place, columns) = (self.telling(), self.map.columns);
        [place / columns, place % columns].map(|i| i * self.settings.stride)
    }

    fn area(&self) -> [usize; 2] {
        self.settings.cover.size(self.settings.size)
    }

    fn shape(&self) -> &'static str {
        match self.settings.cover {
            Cover::Square => "square",
            Cover::Disc => "disc",
            Cover::Rectangle { .. } => "rectangle",
            Cover::Mask { .. } => "mask",
        }
    }

    fn approximation(&self) -> Option<Approximation> {
        self.settings.adaptive.map(|threshold| Approximation { threshold, skipped: self.map.skipped() })
    }

    /// ` · approximation, 62 % of places skipped`, or nothing.
    pub(crate) fn approximate(&self) -> String {
        self.approximation()
            .map_or_else(String::new, |a| format!(" · approximation, {:.0} % of places skipped", 100.0 * a.skipped))
    }

    fn names(&self) -> Vec<String> {
        self.map.classes.iter().map(|&c| self.opened.class_name(c).to_owned()).collect()
    }
}

impl Artefact for Occluded<'_> {
    type Document = Document;
    type Record = Record;

    fn document(&self, output: Option<&Path>) -> Document {
        let columns = self.map.columns;
        Document {
            record: self.record(),
            probability: OneOrMany::new(self.map.probability.iter().map(|p| grid(p, columns)).collect()),
            label: grid(&self.map.label, columns),
            activity: grid(&self.map.activity, columns),
            output: output.map(|o| o.to_string_lossy().into_owned()),
        }
    }

    fn record(&self) -> Record {
        let (map, telling, [height, width]) = (&self.map, self.telling(), self.area());
        Record {
            input: self.loaded.name.clone(),
            class: OneOrMany::new(map.classes.clone()),
            class_name: OneOrMany::new(self.names()),
            layer: self.opened.network().node(map.layer).name.clone(),
            layer_index: map.layer,
            channel: map.channel,
            size: height,
            height,
            width,
            shape: self.shape(),
            stride: self.settings.stride,
            fill: self.fill.to_string(),
            telling: Telling { at: self.corner(), probability: map.probability[0][telling], label: map.label[telling] },
            projections: self.projections.iter().map(|(loaded, p)| Projected::new(loaded, p)).collect(),
            seed: self.seed,
            rows: map.rows,
            columns: map.columns,
            baseline: Baseline {
                probability: OneOrMany::new(map.baseline_probability.clone()),
                label: map.baseline_label,
                label_name: self.opened.class_name(map.baseline_label).to_owned(),
                activity: map.baseline_activity,
            },
            seconds: self.seconds,
            peak_memory_bytes: map.peak_memory,
            approximation: self.approximation(),
            verified: self.verified,
        }
    }

    fn summary(&self) -> String {
        let (map, [height, width]) = (&self.map, self.area());
        let node = self.opened.network().node(map.layer);
        let columns = [
            ("map", Align::Left),
            ("whole", Align::Right),
            ("lowest", Align::Right),
            ("at y,x", Align::Left),
            ("highest", Align::Right),
            ("at y,x", Align::Left),
        ];
        let mut table = Table::new(&columns);
        let mut row = |name: String, base: f32, values: &[f32], show: fn(f32) -> String| {
            let (low, high) = extremes(values);
            let place = |i: usize| {
                format!("{},{}", i / map.columns * self.settings.stride, i % map.columns * self.settings.stride)
            };
            table.row(vec![name, show(base), show(values[low]), place(low), show(values[high]), place(high)]);
        };
        let percent = |p: f32| format!("{:.2} %", 100.0 * p);
        for (i, (name, &class)) in self.names().iter().zip(&map.classes).enumerate() {
            row(format!("{name} (class {class})"), map.baseline_probability[i], &map.probability[i], percent);
        }
        let activity = format!("activity of {} · {}", node.name, map.channel);
        row(activity, map.baseline_activity, &map.activity, |x| format!("{x:.2}"));
        let verified = self.verified.map_or_else(String::new, |Verified { apart, equal, seconds }| {
            let verdict = if equal { "equal to" } else { "NOT equal to" };
            let Apart { probability, activity, labels } = apart;
            format!(
                "{verdict} full passes ({seconds:.2} s): probabilities within {probability:.1e}, activities within \
                 {activity:.1e}, {labels} other labels\n"
            )
        });
        let other = map.label.iter().filter(|&&l| l != map.baseline_label).count();
        format!(
            "{}: top-1 {} (class {})\n{}\n{}×{} places of a {}×{} {}, stride {}, fill {}\nanother class wins at \
             {other} of {} places · {:.2} s · {}{}\n{verified}{}",
            escape(&self.loaded.name),
            escape(self.opened.class_name(map.baseline_label)),
            map.baseline_label,
            self.opened.caption(),
            map.rows,
            map.columns,
            height,
            width,
            self.shape(),
            self.settings.stride,
            self.fill,
            map.label.len(),
            self.seconds,
            bytes(map.peak_memory),
            self.approximate(),
            table.text()
        )
    }

    fn table(&self) -> Table {
        let map = &self.map;
        let mut names = vec!["row", "column", "y", "x", "class", "probability", "label", "activity"];
        if self.settings.adaptive.is_some() {
            names.push("computed");
        }
        let names: Vec<_> = names.into_iter().map(|n| (n, Align::Right)).collect();
        let mut table = Table::new(&names);
        for (&class, probability) in map.classes.iter().zip(&map.probability) {
            for i in 0..map.label.len() {
                let (row, column) = (i / map.columns, i % map.columns);
                let numbers = [row, column, row * self.settings.stride, column * self.settings.stride, class];
                let mut cells: Vec<String> = numbers.iter().map(usize::to_string).collect();
                cells.extend([probability[i].to_string(), map.label[i].to_string(), map.activity[i].to_string()]);
                if self.settings.adaptive.is_some() {
                    cells.push(u8::from(map.known[i]).to_string());
                }
                table.row(cells);
            }
        }
        table
    }

    fn arrays(&self) -> Vec<Array> {
        let map = &self.map;
        let dims = [map.classes.len(), map.rows, map.columns];
        let dims = if map.classes.len() == 1 { &dims[1..] } else { &dims[..] };
        let places = [map.rows, map.columns];
        let Shape { c, h, w } = self.loaded.tensor.shape;
        let computed = map.known.iter().map(|&k| i32::from(k)).collect();
        let mut arrays = vec![
            Array::f32("probability", dims, map.probability.concat()),
            Array::i32("label", &places, map.label.iter().map(|&l| l as i32).collect()),
            Array::f32("activity", &places, map.activity.clone()),
            Array::f32("input", &[c, h, w], self.loaded.tensor.data.clone()),
        ];
        if self.settings.adaptive.is_some() {
            arrays.push(Array::i32("computed", &places, computed));
        }
        for (i, (_, projection)) in self.projections.iter().enumerate() {
            let name = if i == 0 { "projection".into() } else { format!("projection.{i}") };
            arrays.push(Array::f32(&name, &[c, h, w], projection.tensor.data.clone()));
        }
        arrays
    }

    fn sheet(&self) -> anyhow::Result<Sheet> {
        draw::occlusion(self)
    }
}

/// What the strongest unit of the watched map projects from a picture; `None` where its layer comes after the softmax.
pub(super) fn projected(
    opened: &Opened,
    loaded: &Loaded,
    map: &Heatmap,
) -> anyhow::Result<Option<(Loaded, Projection)>> {
    let (network, settings) = (opened.network(), projection::Settings::default());
    if projection::softmax_below(network, map.layer).is_some() {
        return Ok(None);
    }
    let trace = opened.session.run(&loaded.tensor, &projection::keep(network, map.layer, &settings))?;
    let maps = trace.tensor(map.layer).expect("kept");
    let (at, _) = projection::strongest_place(maps.channel(0, map.channel), maps.shape.w);
    let seed = Seed::Unit { channel: map.channel, at };
    let projection = projection::project(&opened.session, &trace, 0, map.layer, seed, &settings)?;
    Ok(Some((loaded.clone(), projection)))
}

/// The input's numbers as the colours that they stand for; `None` where there are not three channels.
fn shown(opened: &Opened, tensor: &Tensor) -> Option<Picture> {
    let (record, shape) = (&opened.preprocess.record, tensor.shape);
    if shape.c != 3 {
        return None;
    }
    let (black, white) = (record.colour([0.0; 3], shape), record.colour([255.0; 3], shape));
    let level = |c: usize, i: usize| {
        let x = tensor.channel(0, c)[i];
        (255.0 * (x - black[c]) / (white[c] - black[c])).round().clamp(0.0, 255.0) as u8
    };
    let order = if record.order == Order::Bgr { [2, 1, 0] } else { [0, 1, 2] };
    let rgb = (0..shape.h * shape.w).flat_map(|i| order.map(|c| level(c, i))).collect();
    Some(Picture::new(shape.w, shape.h, rgb))
}

/// Indices of the smallest and the largest; the first of equals.
fn extremes(values: &[f32]) -> (usize, usize) {
    let pick = |better: fn(f32, f32) -> bool| {
        (0..values.len()).fold(0, |best, i| if better(values[i], values[best]) { i } else { best })
    };
    (pick(|a, b| a < b), pick(|a, b| a > b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_the_first_of_equals() {
        assert_eq!(extremes(&[2.0, 1.0, 3.0, 1.0, 3.0]), (1, 2));
    }
}
