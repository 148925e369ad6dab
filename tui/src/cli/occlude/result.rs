//! The maps of one picture with their panels, as document, summary, table, arrays and sheet.

use std::path::Path;

use switchback_core::occlusion::{self, Apart, Cover, Heatmap, Settings};
use switchback_core::picture::Picture;
use switchback_core::preprocess::Order;
use switchback_core::projection::{self, Projection};
use switchback_core::text::escape;
use switchback_core::{Shape, Tensor};

use super::beside;
use super::document::{Approximation, Document, Partial, Record, Verified};
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
    pub(super) settings: Settings,
    /// The picture with the square where it tells most.
    pub(crate) under: Option<Picture>,
    /// The watched map's, of this picture and of others.
    pub(crate) projections: Vec<(Loaded, Projection)>,
    pub(super) fill: FillName,
    pub(super) seed: u64,
    pub(crate) map: Heatmap,
    pub(super) seconds: f64,
    pub(super) verified: Option<Verified>,
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
        let mut new = Self::numbers(opened, loaded, settings, map, seconds);
        new.add_panels()?;
        Ok(new)
    }

    /// The map alone.
    pub(super) fn numbers(opened: &'a Opened, loaded: &Loaded, settings: Settings, map: Heatmap, seconds: f64) -> Self {
        let (loaded, fill) = (loaded.clone(), FillName::Mean);
        let (under, projections, seed, verified) = (None, Vec::new(), 0, None);
        Self { opened, loaded, settings, under, projections, fill, seed, map, seconds, verified }
    }

    /// The picture under the square, and what the watched map's strongest unit projects; nothing of the latter where its
    /// layer comes after the softmax.
    pub(super) fn add_panels(&mut self) -> anyhow::Result<()> {
        let (opened, layer) = (self.opened, self.map.layer);
        self.under = shown(opened, &occlusion::covered(&self.loaded.tensor, &self.settings, self.corner())?);
        if projection::softmax_below(opened.network(), layer).is_none() {
            let trace = beside::trace(&opened.session, &self.loaded, layer)?;
            let projection = beside::strongest(&opened.session, &trace, layer, self.map.channel)?;
            self.projections.push((self.loaded.clone(), projection));
        }
        Ok(())
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

    pub(super) fn area(&self) -> [usize; 2] {
        self.settings.cover.size(self.settings.size)
    }

    pub(super) fn shape(&self) -> &'static str {
        match self.settings.cover {
            Cover::Square => "square",
            Cover::Disc => "disc",
            Cover::Rectangle { .. } => "rectangle",
            Cover::Mask { .. } => "mask",
        }
    }

    /// ` · partial, 27 % of places computed`, ` · approximation, 62 % of places skipped`, or nothing.
    pub(crate) fn caveat(&self) -> String {
        match (Partial::of(self), Approximation::of(self)) {
            (Some(p), _) => format!(" · partial, {:.0} % of places computed", 100.0 * p.computed),
            (_, Some(a)) => format!(" · approximation, {:.0} % of places skipped", 100.0 * a.skipped),
            _ => String::new(),
        }
    }

    /// Whether it must be told which places were computed.
    fn has_gaps(&self) -> bool {
        self.settings.adaptive.is_some() || !self.map.complete
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.map.classes.iter().map(|&c| self.opened.class_name(c).to_owned()).collect()
    }
}

impl Artefact for Occluded<'_> {
    type Document = Document;
    type Record = Record;

    fn document(&self, output: Option<&Path>) -> Document {
        Document::of(self, output)
    }

    fn record(&self) -> Record {
        Record::of(self)
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
            self.caveat(),
            table.text()
        )
    }

    fn table(&self) -> Table {
        let map = &self.map;
        let mut names = vec!["row", "column", "y", "x", "class", "probability", "label", "activity"];
        if self.has_gaps() {
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
                if self.has_gaps() {
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
        // An .npy file has no room for a label: what a cancel left out must not pass for computed.
        let numbers = |values: &[f32]| -> Vec<f32> {
            let holds = |(&x, &known): (&f32, &bool)| if known || map.complete { x } else { f32::NAN };
            values.iter().zip(&map.known).map(holds).collect()
        };
        let probability = map.probability.iter().flat_map(|p| numbers(p)).collect();
        let mut arrays = vec![
            Array::f32("probability", dims, probability),
            Array::i32("label", &places, map.label.iter().map(|&l| l as i32).collect()),
            Array::f32("activity", &places, numbers(&map.activity)),
            Array::f32("input", &[c, h, w], self.loaded.tensor.data.clone()),
        ];
        if self.has_gaps() {
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
