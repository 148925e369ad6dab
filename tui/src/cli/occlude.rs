//! `occlude`: a square slides over the picture; what the network then loses is mapped.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;
use switchback_core::occlusion::{self, Apart, Cover, Fill, Heatmap, Method, Settings, default_size, default_stride};
use switchback_core::picture::Picture;
use switchback_core::preprocess::{Order, Preprocess};
use switchback_core::projection::{self, Projection, Seed};
use switchback_core::text::escape;
use switchback_core::{Layer, NodeId, Shape, Tensor};

use super::Outcome;
use super::arguments::{Output, at_least_one};
use super::context::Context;
use super::draw::{self, Sheet};
use super::failure::Failure;
use super::input::{self, Loaded};
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
    after_help = "Examples:\n  switchback occlude -m squeezenet1.1.onnx cat.jpg\n  switchback occlude -m squeezenet1.1.onnx cat.jpg --class 285 --class tabby -o heat.png\n  switchback occlude -m squeezenet1.1.onnx cat.jpg --size 48 --stride 4 --fill grey --json\n  switchback occlude -m squeezenet1.1.onnx photos/ --out-dir maps --format npy\n  switchback occlude -m squeezenet1.1.onnx cat.jpg --beside dog.jpg --shape disc --fill blur -o figure7.png"
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

    /// Side of the square in input pixels, or HxW of a rectangle; default: a seventh of the input's shorter side
    #[arg(long, value_name = "N|HxW")]
    size: Option<Size>,

    /// A square, or the disc in it
    #[arg(long, value_name = "SHAPE", value_enum, default_value_t = ShapeName::Square)]
    shape: ShapeName,

    /// A picture that slides instead of the square, as large as it is: white covers, black leaves, grey mixes
    #[arg(long, value_name = "PICTURE", conflicts_with_all = ["size", "shape"])]
    mask: Option<PathBuf>,

    /// Steps of the square in input pixels; default: a twenty-eighth of the input's shorter side
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    stride: Option<usize>,

    /// What the square is filled with: mean (the preprocessing's mean colour; the picture's own mean where there is
    /// none), grey (RGB 127.5), black, noise (uniform, from --seed), blur (the picture under a Gaussian), or a colour
    /// such as #ff8000
    #[arg(long, value_name = "FILL", default_value = "mean")]
    fill: FillName,

    /// Further pictures: what the same map projects from them is shown beside this picture's projection
    #[arg(long, value_name = "PICTURE")]
    beside: Vec<PathBuf>,

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

/// Sigma of a blur: this part of the input's shorter side.
const BLUR: f32 = 28.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FillName {
    Mean,
    Grey,
    Black,
    Noise,
    Blur,
    Colour([u8; 3]),
}

impl FromStr for FillName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let byte = |hex: &str, i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("two digits");
        Ok(match text {
            "mean" => Self::Mean,
            "grey" | "gray" => Self::Grey,
            "black" => Self::Black,
            "noise" => Self::Noise,
            "blur" => Self::Blur,
            _ => match text.strip_prefix('#').filter(|h| h.len() == 6 && h.bytes().all(|b| b.is_ascii_hexdigit())) {
                Some(hex) => Self::Colour([0, 1, 2].map(|i| byte(hex, i))),
                None => return Err("mean, grey, black, noise, blur, or a colour such as #ff8000".into()),
            },
        })
    }
}

impl fmt::Display for FillName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => f.write_str("mean"),
            Self::Grey => f.write_str("grey"),
            Self::Black => f.write_str("black"),
            Self::Noise => f.write_str("noise"),
            Self::Blur => f.write_str("blur"),
            Self::Colour([r, g, b]) => write!(f, "#{r:02x}{g:02x}{b:02x}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum ShapeName {
    /// All of it
    Square,
    /// The circle that fits
    Disc,
}

/// Height and width; one number gives both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size([usize; 2]);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |t: &str| t.parse::<usize>().ok().filter(|&n| n > 0);
        let both = match text.split_once('x') {
            None => side(text).map(|n| [n, n]),
            Some((h, w)) => side(h).zip(side(w)).map(|(h, w)| [h, w]),
        };
        both.map(Self).ok_or_else(|| "a number from 1, or height and width such as 24x48".into())
    }
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    let formats = [Format::Png, Format::Npy, Format::Safetensors, Format::Json, Format::Csv];
    let plan = Plan::new(context, &arguments.inputs, &arguments.output, &formats, "occlude")?;
    let opened = model::open(context, model::path(context)?)?;
    let network = opened.network();
    let input = network.input_shape();
    let side = input.h.min(input.w);
    let Size([height, width]) = arguments.size.unwrap_or_else(|| Size([default_size(side); 2]));
    let stride = arguments.stride.unwrap_or_else(|| default_stride(side));
    let cover = cover(arguments, [height, width])?;
    let (size, area) = (height, cover.size(height));
    if area[0] > input.h || area[1] > input.w {
        let what = format!("a square of {}×{} does not fit the input of {}×{}", area[0], area[1], input.h, input.w);
        return Err(Failure::usage(what));
    }
    let others = match arguments.beside.is_empty() {
        true => Vec::new(),
        false => input::expand(context, &arguments.beside)?,
    };
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
        let settings = Settings {
            size,
            cover: cover.clone(),
            stride,
            fill,
            classes: classes.clone(),
            layer,
            channel: arguments.channel,
            adaptive,
        };
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
        let telling = extremes(&map.probability[0]).0;
        let corner = [telling / map.columns * stride, telling % map.columns * stride];
        let under = shown(&opened, &occlusion::covered(&loaded.tensor, &settings, corner)?);
        let mut projections = Vec::new();
        for source in &others {
            context.check()?;
            let other = input::load(context, source, &opened.preprocess.record, input)?;
            projections.extend(projected(&opened, &other, &map)?);
        }
        if let Some(own) = projected(&opened, loaded, &map)? {
            projections.insert(0, own);
        }
        Ok(Occluded {
            opened: &opened,
            loaded: loaded.clone(),
            area,
            shape: if arguments.mask.is_some() {
                "mask"
            } else if area[0] != area[1] {
                "rectangle"
            } else {
                arguments.shape.word()
            },
            corner,
            telling,
            under,
            projections,
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

impl ShapeName {
    fn word(self) -> &'static str {
        match self {
            Self::Square => "square",
            Self::Disc => "disc",
        }
    }
}

/// Which cells are covered; a mask picture is read here.
fn cover(arguments: &Arguments, [height, width]: [usize; 2]) -> anyhow::Result<Cover> {
    if let Some(path) = &arguments.mask {
        let picture = Picture::open(path)?;
        let share = |p: &[u8]| (0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2])) / 255.0;
        let shares = picture.rgb.chunks(3).map(|p| share(p).min(1.0)).collect();
        return Ok(Cover::Mask { height: picture.height, width: picture.width, shares });
    }
    match (arguments.shape, height == width) {
        (ShapeName::Square, true) => Ok(Cover::Square),
        (ShapeName::Square, false) => Ok(Cover::Rectangle { height, width }),
        (ShapeName::Disc, true) => Ok(Cover::Disc),
        (ShapeName::Disc, false) => Err(Failure::usage("a disc is as high as it is wide: --size N")),
    }
}

/// What the strongest unit of the watched map projects from a picture; `None` where its layer comes after the softmax.
fn projected(opened: &Opened, loaded: &Loaded, map: &Heatmap) -> anyhow::Result<Option<(Loaded, Projection)>> {
    let (network, settings) = (opened.network(), projection::Settings::default());
    let needed = network.ancestors(map.layer);
    let softmax = |id: NodeId| matches!(network.node(id).layer, Layer::Softmax { .. } | Layer::LogSoftmax { .. });
    if (0..=map.layer).any(|id| needed[id] && softmax(id)) {
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
        (FillName::Colour(rgb), Some(_)) => Fill::Constant(preprocess.colour(rgb.map(f32::from), shape)),
        (FillName::Blur, _) => Fill::Blur { sigma: shape.h.min(shape.w) as f32 / BLUR },
        (FillName::Grey | FillName::Black | FillName::Colour(_), None) => {
            return Err(Failure::usage(
                "a tensor has no grey, no black and no colours: nobody knows its normalisation; try --fill mean (0), blur or noise",
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
    /// Height and width of what slides.
    area: [usize; 2],
    shape: &'static str,
    /// Where the first class loses most: the place, its corner, and the picture there.
    pub(crate) telling: usize,
    pub(crate) corner: [usize; 2],
    pub(crate) under: Option<Picture>,
    /// The watched map's, of this picture and of others.
    pub(crate) projections: Vec<(Loaded, Projection)>,
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
    /// A map that was made elsewhere with the default fill: its square's side and step, and the seconds that it took.
    pub(crate) fn of(
        opened: &'a Opened,
        loaded: &Loaded,
        map: Heatmap,
        ([size, stride], seconds): ([usize; 2], f64),
    ) -> anyhow::Result<Self> {
        let settings = Settings {
            size,
            cover: Cover::Square,
            stride,
            fill: mean_fill(&opened.preprocess.record, loaded)?,
            classes: map.classes.clone(),
            layer: Some(map.layer),
            channel: Some(map.channel),
            adaptive: None,
        };
        let telling = extremes(&map.probability[0]).0;
        let corner = [telling / map.columns * stride, telling % map.columns * stride];
        let under = shown(opened, &occlusion::covered(&loaded.tensor, &settings, corner)?);
        let projections = projected(opened, loaded, &map)?.into_iter().collect();
        Ok(Self {
            opened,
            loaded: loaded.clone(),
            area: [size; 2],
            shape: ShapeName::Square.word(),
            telling,
            corner,
            under,
            projections,
            stride,
            fill: FillName::Mean,
            seed: 0,
            map,
            seconds,
            adaptive: None,
            verified: None,
        })
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
            size: self.area[0],
            height: self.area[0],
            width: self.area[1],
            shape: self.shape,
            stride: self.stride,
            fill: self.fill.to_string(),
            telling: Telling {
                at: self.corner,
                probability: map.probability[0][self.telling],
                label: map.label[self.telling],
            },
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
            "{}: top-1 {} (class {})\n{}\n{}×{} places of a {}×{} {}, stride {}, fill {}\nanother class wins at \
             {other} of {} places · {:.2} s · {}{}\n{verified}{}",
            escape(&self.loaded.name),
            escape(self.opened.class_name(map.baseline_label)),
            map.baseline_label,
            self.opened.caption(),
            map.rows,
            map.columns,
            self.area[0],
            self.area[1],
            self.shape,
            self.stride,
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
