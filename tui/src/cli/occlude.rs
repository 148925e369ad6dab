//! `occlude`: a square slides over the picture; what the network then loses is mapped.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;
use switchback_core::occlusion::{self, Apart, Fill, Heatmap, Method, Settings, default_size, default_stride};
use switchback_core::preprocess::Preprocess;
use switchback_core::text::escape;
use switchback_core::{NodeId, Shape, Tensor};

use super::Outcome;
use super::arguments::{Output, at_least_one};
use super::context::Context;
use super::draw::{self, Sheet};
use super::failure::Failure;
use super::input::Loaded;
use super::model::{self, Opened};
use super::output::{Array, Format};
use super::progress::Meter;
use super::project::check_channels;
use super::sweep::{Artefact, Plan};
use super::table::{Align, Table, bytes};

/// Occlusion sensitivity: slide a square over the picture and map what is lost
///
/// For every place of the square: the probability of the class, the most probable class, and the activity (sum) of one
/// feature map. Row i, column j is the square with its top left corner at (i·stride, j·stride). Several --class share
/// one sweep.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  switchback occlude -m squeezenet1.1.onnx cat.jpg\n  switchback occlude -m squeezenet1.1.onnx cat.jpg --class 285 --class tabby -o heat.png\n  switchback occlude -m squeezenet1.1.onnx cat.jpg --size 48 --stride 4 --fill grey --json\n  switchback occlude -m squeezenet1.1.onnx photos/ --out-dir maps --format npy"
)]
pub(crate) struct Arguments {
    /// Pictures, folders of pictures, .npy tensors, or - for stdin
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,

    /// Whose probability is mapped: a number, a name or part of a name; default: the picture's most probable class
    #[arg(long, value_name = "N|NAME")]
    class: Vec<String>,

    /// Whose activity is mapped; default: the last spatial activation before the class scores
    #[arg(short, long, value_name = "LAYER")]
    layer: Option<String>,

    /// Which map of the layer; default: the one with the largest sum on the whole picture
    #[arg(short, long, value_name = "CHANNEL", requires = "layer")]
    channel: Option<usize>,

    /// Side of the square in input pixels; default: a seventh of the input's shorter side
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    size: Option<usize>,

    /// Steps of the square in input pixels; default: a twenty-eighth of the input's shorter side
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    stride: Option<usize>,

    /// What the square is filled with
    #[arg(long, value_name = "FILL", value_enum, default_value_t = FillName::Mean)]
    fill: FillName,

    /// Visit finer places only where the probability or the label moves between coarser ones; an approximation
    #[arg(long, conflicts_with = "verify")]
    adaptive: bool,

    /// Also make a full pass for every place, and fail if the map is more than 0.00001 off
    #[arg(long)]
    verify: bool,

    #[command(flatten)]
    output: Output,
}

/// The most that a map may be off the full passes: a probability, and an activity relative to the largest.
const TOLERANCE: f32 = 1e-5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum FillName {
    /// The preprocessing's mean colour; the picture's own mean where there is none
    Mean,
    /// RGB 127.5
    #[value(alias = "gray")]
    Grey,
    /// RGB 0
    Black,
    /// Uniform noise from --seed, the same at every place
    Noise,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    let formats = [Format::Png, Format::Npy, Format::Safetensors, Format::Json, Format::Csv];
    let plan = Plan::new(context, &arguments.inputs, &arguments.output, &formats, "occlude")?;
    let opened = model::open(context, model::path(context)?)?;
    let network = opened.network();
    let input = network.input_shape();
    let side = input.h.min(input.w);
    let size = arguments.size.unwrap_or_else(|| default_size(side));
    let stride = arguments.stride.unwrap_or_else(|| default_stride(side));
    if size > side {
        let what = format!("a square of {size} does not fit the input of {}×{}", input.h, input.w);
        return Err(Failure::usage(what));
    }
    let mut classes = Vec::new();
    for class in &arguments.class {
        let class = opened.class(class)?;
        if !classes.contains(&class) {
            classes.push(class);
        }
    }
    let layer = arguments.layer.as_deref().map(|l| network.find(l)).transpose()?;
    if let (Some(layer), Some(channel)) = (layer, arguments.channel) {
        let node = network.node(layer);
        check_channels(&[channel], node.shape, || format!("layer \"{}\"", node.name))?;
    }
    let adaptive = arguments.adaptive.then_some(occlusion::ADAPTIVE);
    let mut wrong = false;
    let outcome = plan.run(context, &opened, |loaded| {
        let fill = fill(arguments.fill, context.options.seed, &opened.preprocess.record, loaded)?;
        let settings =
            Settings { size, stride, fill, classes: classes.clone(), layer, channel: arguments.channel, adaptive };
        let start = Instant::now();
        let mut meter = Meter::new(context, "occlude");
        let map = occlusion::occlude(&opened.session, &loaded.tensor, &settings, &mut |p| meter.step(p))?;
        drop(meter);
        let seconds = start.elapsed().as_secs_f64();
        let mut verified = None;
        if arguments.verify {
            let start = Instant::now();
            let mut meter = Meter::new(context, "verify");
            let whole = Method::Whole;
            let settings = Settings { adaptive: None, ..settings.clone() };
            let oracle =
                occlusion::occlude_by(&opened.session, &loaded.tensor, &settings, whole, &mut |p| meter.step(p))?;
            let apart = oracle.apart(&map);
            let equal = apart.probability <= TOLERANCE && apart.activity <= TOLERANCE;
            wrong |= !equal;
            verified = Some(Verified { apart, equal, seconds: start.elapsed().as_secs_f64() });
        }
        Ok(Occluded {
            opened: &opened,
            loaded: loaded.clone(),
            size,
            stride,
            fill: arguments.fill,
            seed: context.options.seed,
            map,
            seconds,
            adaptive,
            verified,
        })
    })?;
    Ok(if wrong { Outcome::Negative } else { outcome })
}

/// The square's contents in the network's input space.
fn fill(name: FillName, seed: u64, preprocess: &Preprocess, loaded: &Loaded) -> anyhow::Result<Fill> {
    let shape = loaded.tensor.shape;
    let colour = |rgb: f32| preprocess.colour([rgb; 3], shape);
    Ok(match (name, &loaded.placed) {
        (FillName::Mean, None) => Fill::Constant(vec![0.0; shape.c]),
        // Normalisation takes the mean colour to zero; without a mean there is no such colour.
        (FillName::Mean, Some(_)) if preprocess.mean == [0.0; 3] => Fill::Constant(means(&loaded.tensor)),
        (FillName::Mean, Some(_)) => Fill::Constant(vec![0.0; shape.c]),
        (FillName::Grey, Some(_)) => Fill::Constant(colour(127.5)),
        (FillName::Black, Some(_)) => Fill::Constant(colour(0.0)),
        (FillName::Grey | FillName::Black, None) => {
            return Err(Failure::usage(
                "a tensor has no grey and no black: nobody knows its normalisation; try --fill mean (0) or noise",
            ));
        }
        (FillName::Noise, Some(_)) => {
            let (a, b) = (colour(0.0), colour(255.0));
            let low = a.iter().zip(&b).map(|(x, y)| x.min(*y)).collect();
            let high = a.iter().zip(&b).map(|(x, y)| x.max(*y)).collect();
            Fill::Noise { low, high, seed }
        }
        (FillName::Noise, None) => {
            let channel = |c: usize| loaded.tensor.channel(0, c).iter().copied();
            let low = (0..shape.c).map(|c| channel(c).fold(f32::INFINITY, f32::min)).collect();
            let high = (0..shape.c).map(|c| channel(c).fold(f32::NEG_INFINITY, f32::max)).collect();
            Fill::Noise { low, high, seed }
        }
    })
}

/// The default fill.
pub(crate) fn mean_fill(preprocess: &Preprocess, loaded: &Loaded) -> anyhow::Result<Fill> {
    fill(FillName::Mean, 0, preprocess, loaded)
}

/// Of each channel.
fn means(tensor: &Tensor) -> Vec<f32> {
    let mean = |c: usize| {
        let map = tensor.channel(0, c);
        (map.iter().map(|&x| f64::from(x)).sum::<f64>() / map.len() as f64) as f32
    };
    (0..tensor.shape.c).map(mean).collect()
}

/// The maps of one picture.
pub(crate) struct Occluded<'a> {
    pub(crate) opened: &'a Opened,
    pub(crate) loaded: Loaded,
    pub(crate) size: usize,
    pub(crate) stride: usize,
    fill: FillName,
    seed: u64,
    pub(crate) map: Heatmap,
    seconds: f64,
    adaptive: Option<f32>,
    verified: Option<Verified>,
}

/// How far the map is off full passes.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Verified {
    #[serde(flatten)]
    apart: Apart,
    equal: bool,
    /// Of the full passes.
    seconds: f64,
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
    stride: usize,
    fill: FillName,
    seed: u64,
    rows: usize,
    columns: usize,
    baseline: Baseline,
    seconds: f64,
    peak_memory_bytes: u64,
    approximation: Option<Approximation>,
    verified: Option<Verified>,
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
    /// A map that was made elsewhere with the default fill: its square's side and step, and the seconds that it took.
    pub(crate) fn of(
        opened: &'a Opened,
        loaded: &Loaded,
        map: Heatmap,
        ([size, stride], seconds): ([usize; 2], f64),
    ) -> Self {
        let fill = FillName::Mean;
        let (seed, adaptive, verified) = (0, None, None);
        Self { opened, loaded: loaded.clone(), size, stride, fill, seed, map, seconds, adaptive, verified }
    }
}

impl Occluded<'_> {
    fn approximation(&self) -> Option<Approximation> {
        self.adaptive.map(|threshold| Approximation { threshold, skipped: self.map.skipped() })
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
        let map = &self.map;
        Record {
            input: self.loaded.name.clone(),
            class: OneOrMany::new(map.classes.clone()),
            class_name: OneOrMany::new(self.names()),
            layer: self.opened.network().node(map.layer).name.clone(),
            layer_index: map.layer,
            channel: map.channel,
            size: self.size,
            stride: self.stride,
            fill: self.fill,
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
        let map = &self.map;
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
            let place = |i: usize| format!("{},{}", i / map.columns * self.stride, i % map.columns * self.stride);
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
            "{}: top-1 {} (class {})\n{}\n{}×{} places of a {}×{} square, stride {}, fill {}\nanother class wins at \
             {other} of {} places · {:.2} s · {}{}\n{verified}{}",
            escape(&self.loaded.name),
            escape(self.opened.class_name(map.baseline_label)),
            map.baseline_label,
            self.opened.caption(),
            map.rows,
            map.columns,
            self.size,
            self.size,
            self.stride,
            format!("{:?}", self.fill).to_lowercase(),
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
        if self.adaptive.is_some() {
            names.push("computed");
        }
        let names: Vec<_> = names.into_iter().map(|n| (n, Align::Right)).collect();
        let mut table = Table::new(&names);
        for (&class, probability) in map.classes.iter().zip(&map.probability) {
            for i in 0..map.label.len() {
                let (row, column) = (i / map.columns, i % map.columns);
                let numbers = [row, column, row * self.stride, column * self.stride, class];
                let mut cells: Vec<String> = numbers.iter().map(usize::to_string).collect();
                cells.extend([probability[i].to_string(), map.label[i].to_string(), map.activity[i].to_string()]);
                if self.adaptive.is_some() {
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
        if self.adaptive.is_some() {
            arrays.push(Array::i32("computed", &places, computed));
        }
        arrays
    }

    fn sheet(&self) -> anyhow::Result<Sheet> {
        draw::occlusion(self)
    }
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

    fn loaded(placed: bool) -> Loaded {
        let picture = switchback_core::picture::Picture { width: 1, height: 2, rgb: vec![0; 6] };
        let tensor = Tensor::single(Shape::new(3, 2, 1), vec![1.0, 3.0, -1.0, 1.0, 5.0, 5.0]);
        Loaded { name: "x".into(), tensor, placed: placed.then_some(picture) }
    }

    #[test]
    fn the_mean_is_zero_unless_there_is_none() {
        let raw = Preprocess::preset("raw").unwrap();
        let caffe = Preprocess::preset("caffe").unwrap();
        let mean = |p: &Preprocess, placed| fill(FillName::Mean, 0, p, &loaded(placed)).unwrap();
        assert_eq!(mean(&caffe, true), Fill::Constant(vec![0.0; 3]));
        assert_eq!(mean(&raw, true), Fill::Constant(vec![2.0, 0.0, 5.0]));
        assert_eq!(mean(&raw, false), Fill::Constant(vec![0.0; 3]));
    }

    #[test]
    fn colours_need_a_picture() {
        let caffe = Preprocess::preset("caffe").unwrap();
        assert!(fill(FillName::Black, 0, &caffe, &loaded(false)).is_err());
        let black = fill(FillName::Black, 0, &caffe, &loaded(true)).unwrap();
        assert_eq!(black, Fill::Constant(vec![-104.0, -117.0, -123.0]));
        let noise = fill(FillName::Noise, 7, &caffe, &loaded(false)).unwrap();
        assert_eq!(noise, Fill::Noise { low: vec![1.0, -1.0, 5.0], high: vec![3.0, 1.0, 5.0], seed: 7 });
    }

    #[test]
    fn extremes_are_the_first_of_equals() {
        assert_eq!(extremes(&[2.0, 1.0, 3.0, 1.0, 3.0]), (1, 2));
    }
}
