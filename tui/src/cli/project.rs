//! `project`: from units of a layer back to the pixels that they answer to.
//!
//! ```text
//! -l LAYER ─┬ -c, --at, --top, --whole-map ─→ [Wanted] ─→ [Seed] ─ projection ─→ units
//! --class ──┘ (the score before the softmax)
//! ```

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, ValueEnum};
use serde::Serialize;
use switchback_core::projection::{self, LrnRule, Projection, Rule, Seed, Settings};
use switchback_core::session::Scores;
use switchback_core::text::escape;
use switchback_core::trace::{Keep, Trace};
use switchback_core::{Error, NodeId, Progress, Shape};

use super::Outcome;
use super::arguments::{Channels, Output, Place, at_least_one};
use super::context::Context;
use super::draw::{self, Sheet};
use super::failure::Failure;
use super::input::Loaded;
use super::model::{self, Opened};
use super::output::{Array, Format};
use super::progress::Meter;
use super::sweep::{Artefact, Plan};
use super::table::{Align, Table};

/// Project units back to pixels: what in this picture excites them
///
/// Without -c: the channel of the strongest activation. Without --at: the strongest place of the channel.
/// A projection is shown beside the same crop of the input, in a scale of its own (printed with it).
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("start").args(["layer", "class"]).required(true).multiple(true)),
    after_help = "Examples:\n  switchback project -m squeezenet1.1.onnx cat.jpg -l fire9/concat_1\n  switchback project -m squeezenet1.1.onnx cat.jpg -l pool5 -c 0,4,8-15 -o units.png\n  switchback project -m squeezenet1.1.onnx cat.jpg -l fire5/concat_1 --top 9 --rule guided\n  switchback project -m squeezenet1.1.onnx cat.jpg --class 'Egyptian cat' -o cat.npy\n  switchback project -m squeezenet1.1.onnx photos/ -l fire9/concat_1 --out-dir projections"
)]
pub(crate) struct Arguments {
    /// Pictures, folders of pictures, .npy tensors, or - for stdin
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,

    /// The layer: a name, #INDEX, or an unambiguous part of a name
    #[arg(short, long, value_name = "LAYER")]
    layer: Option<String>,

    /// Channels: numbers and ranges, such as 0,4,8-15
    #[arg(short, long, value_name = "CHANNELS", requires = "layer")]
    channel: Option<Channels>,

    /// The unit at this row and column of the layer's maps
    #[arg(long, value_name = "Y,X", requires = "layer")]
    at: Option<Place>,

    /// The K strongest places of each channel given with -c; without -c the K strongest channels, a place each
    #[arg(long, value_name = "K", requires = "layer", conflicts_with = "at", value_parser = at_least_one)]
    top: Option<usize>,

    /// The whole feature map instead of one unit
    #[arg(long, requires = "layer", conflicts_with_all = ["at", "top"])]
    whole_map: bool,

    /// The score of this class before the softmax: a number, a name or part of a name
    #[arg(long, value_name = "N|NAME", conflicts_with_all = ["channel", "at", "top", "whole_map"])]
    class: Option<String>,

    /// What happens to the signal at a ReLU
    #[arg(long, value_name = "RULE", value_enum, default_value_t = RuleName::Deconv)]
    rule: RuleName,

    /// What happens at local response normalisation; default: identity for deconv, jacobian for the others
    #[arg(long, value_name = "RULE", value_enum)]
    lrn: Option<LrnName>,

    /// What the walk starts with
    #[arg(long, value_name = "VALUE", value_enum, default_value_t = SeedValue::Activation)]
    seed_value: SeedValue,

    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RuleName {
    /// Keeps the positive part of the signal (Zeiler & Fergus 2013)
    Deconv,
    /// Gates by the forward sign: the true gradient (Simonyan et al. 2013)
    Gradient,
    /// Both (Springenberg et al. 2014)
    Guided,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LrnName {
    /// The signal passes
    Identity,
    /// The true Jacobian
    Jacobian,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum SeedValue {
    /// The unit's activation
    Activation,
    /// One
    One,
}

/// Which units, once the layer is known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    layer: NodeId,
    channels: Option<Vec<usize>>,
    places: Places,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Places {
    Strongest,
    At([usize; 2]),
    Top(usize),
    All,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    let formats = [Format::Png, Format::Npy, Format::Safetensors, Format::Json, Format::Csv];
    let plan = Plan::new(context, &arguments.inputs, &arguments.output, &formats, "project")?;
    let opened = model::open(context, model::path(context)?)?;
    let wanted = wanted(arguments, &opened)?;
    let settings = Settings {
        rule: match arguments.rule {
            RuleName::Deconv => Rule::Deconv,
            RuleName::Gradient => Rule::Gradient,
            RuleName::Guided => Rule::Guided,
        },
        lrn: arguments.lrn.map(|l| match l {
            LrnName::Identity => LrnRule::Identity,
            LrnName::Jacobian => LrnRule::Jacobian,
        }),
        seed_one: arguments.seed_value == SeedValue::One,
    };
    plan.run(context, &opened, |loaded| project(context, &opened, &wanted, settings, arguments.seed_value, loaded))
}

/// Everything that can be wrong without a picture is found here.
fn wanted(arguments: &Arguments, opened: &Opened) -> anyhow::Result<Wanted> {
    let network = opened.network();
    if let Some(class) = &arguments.class {
        let (layer, class) = (network.scores(), opened.class(class)?);
        if let Some(name) = &arguments.layer {
            let given = network.find(name)?;
            if given != layer && Some(given) != network.softmax() {
                return Err(Failure::usage(format!(
                    "--class starts from the class scores, layer \"{}\"; leave -l {} out, or leave --class out",
                    escape(&network.node(layer).name),
                    escape(name)
                )));
            }
        }
        let shape = network.node(layer).shape;
        let place = class % (shape.h * shape.w);
        return Ok(Wanted {
            layer,
            channels: Some(vec![class / (shape.h * shape.w)]),
            places: Places::At([place / shape.w, place % shape.w]),
        });
    }
    let name = arguments.layer.as_deref().ok_or_else(|| Failure::usage("-l LAYER or --class is needed"))?;
    let layer = network.find(name)?;
    let shape = network.node(layer).shape;
    let of = || format!("layer \"{}\"", network.node(layer).name);
    let channels = arguments.channel.as_ref().map(|c| c.0.clone());
    check_channels(channels.as_deref().unwrap_or(&[]), shape, of)?;
    if let Some(Place([y, x])) = arguments.at {
        let axes = [("row", y, shape.h, "rows"), ("column", x, shape.w, "columns")];
        if let Some((what, value, count, plural)) = axes.into_iter().find(|a| a.1 >= a.2) {
            let limit = format!("{count} {plural} (0–{})", count - 1);
            return Err(Error::Range { what, value: value.to_string(), of: of(), limit }.into());
        }
    }
    let places = match (arguments.at, arguments.top, arguments.whole_map) {
        (Some(Place(at)), _, _) => Places::At(at),
        (_, Some(k), _) => Places::Top(k),
        (_, _, true) => Places::All,
        _ => Places::Strongest,
    };
    Ok(Wanted { layer, channels, places })
}

/// An error for the first channel beyond the layer's.
pub(crate) fn check_channels(channels: &[usize], shape: Shape, of: impl Fn() -> String) -> anyhow::Result<()> {
    match channels.iter().find(|&&c| c >= shape.c) {
        None => Ok(()),
        Some(c) => {
            let limit = format!("{} channels (0–{})", shape.c, shape.c - 1);
            Err(Error::Range { what: "channel", value: c.to_string(), of: of(), limit }.into())
        }
    }
}

/// The most probable class of a run that kept the scores: index and probability.
pub(crate) fn top_class(scores: &Scores) -> (usize, f32) {
    let p = &scores.probabilities[0];
    let best = (0..p.len()).fold(0, |best, i| if p[i] > p[best] { i } else { best });
    (best, p[best])
}

/// What the picture is taken for: a check on preprocessing that every result carries.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sanity {
    class: usize,
    name: String,
    probability: f32,
}

impl Sanity {
    pub(crate) fn new(opened: &Opened, (class, probability): (usize, f32)) -> Self {
        Self { class, name: opened.class_name(class).to_owned(), probability }
    }

    /// Safe to show.
    pub(crate) fn text(&self) -> String {
        format!("{} {:.1} % (class {})", escape(&self.name), 100.0 * self.probability, self.class)
    }
}

fn project<'a>(
    context: &Context,
    opened: &'a Opened,
    wanted: &Wanted,
    settings: Settings,
    seed_value: SeedValue,
    loaded: &Loaded,
) -> anyhow::Result<Projected<'a>> {
    let network = opened.network();
    let keep = projection::keep(network, wanted.layer, &settings)
        .and(&Keep::nodes(network, &[wanted.layer]))
        .and(&opened.session.keep_scores());
    let trace = opened.session.run(&loaded.tensor, &keep)?;
    let seeds = seeds(&trace, wanted)?;
    let need = 4 * (seeds.len() * opened.input_shape().len()) as u64;
    if let Some(limit) = context.options.max_memory.filter(|&limit| need > limit) {
        return Err(Error::Memory { what: format!("{} projections", seeds.len()), need, limit }.into());
    }
    let mut units = Vec::with_capacity(seeds.len());
    let mut meter = Meter::new(context, "project");
    // A cancel is heard between groups; the units of a group run side by side.
    for group in seeds.chunks(4 * opened.session.cpu().threads.count()) {
        units.extend(projection::project_many(&opened.session, &trace, 0, wanted.layer, group, &settings)?);
        let progress = Progress { what: "units", done: units.len(), total: seeds.len() };
        if meter.step(progress).is_break() && units.len() < seeds.len() {
            return Err(Error::Cancelled.into());
        }
    }
    drop(meter);
    if units.iter().all(|u| u.activation == 0.0) {
        context.warn(format!("{}: the units are silent on this picture, so nothing comes back", escape(&loaded.name)));
    }
    let top = Sanity::new(opened, top_class(&opened.session.scores(&trace)));
    Ok(Projected { opened, loaded: loaded.clone(), layer: wanted.layer, settings, seed_value, units, top })
}

/// The seeds that `wanted` means on this picture.
fn seeds(trace: &Trace, wanted: &Wanted) -> anyhow::Result<Vec<Seed>> {
    let maps = trace.tensor(wanted.layer).expect("the layer's tensor was asked for");
    let width = maps.shape.w;
    let unit = |channel: usize, at: [usize; 2]| Seed::Unit { channel, at };
    let strongest_channel = || projection::top_channels(maps, 0, 1)[0].0;
    let channels = |given: &Option<Vec<usize>>| given.clone().unwrap_or_else(|| vec![strongest_channel()]);
    Ok(match (wanted.places, &wanted.channels) {
        (Places::All, given) => channels(given).into_iter().map(|channel| Seed::Map { channel }).collect(),
        (Places::Top(k), None) => {
            projection::top_channels(maps, 0, k).into_iter().map(|(channel, at, _)| unit(channel, at)).collect()
        }
        (Places::Top(k), Some(channels)) => channels
            .iter()
            .flat_map(|&c| projection::top_places(maps.channel(0, c), width, k).into_iter().map(move |p| unit(c, p.0)))
            .collect(),
        (Places::At(at), Some(channels)) => channels.iter().map(|&c| unit(c, at)).collect(),
        (Places::At(at), None) => {
            let value = |c: usize| maps.channel(0, c)[at[0] * width + at[1]];
            let best = (0..maps.shape.c).fold(0, |best, c| if value(c) > value(best) { c } else { best });
            vec![unit(best, at)]
        }
        (Places::Strongest, given) => channels(given)
            .into_iter()
            .map(|c| unit(c, projection::strongest_place(maps.channel(0, c), width).0))
            .collect(),
    })
}

/// The projections of one picture.
pub(crate) struct Projected<'a> {
    opened: &'a Opened,
    loaded: Loaded,
    layer: NodeId,
    settings: Settings,
    seed_value: SeedValue,
    units: Vec<Projection>,
    top: Sanity,
}

#[derive(Serialize)]
pub(crate) struct Document {
    #[serde(flatten)]
    record: Record,
    output: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Record {
    input: String,
    rule: Rule,
    lrn: LrnRule,
    seed_value: SeedValue,
    top: Sanity,
    units: Vec<UnitRecord>,
}

#[derive(Serialize)]
struct UnitRecord {
    layer: String,
    layer_index: usize,
    channel: usize,
    /// A whole map has no place.
    at: Option<[usize; 2]>,
    activation: f32,
    window: [usize; 4],
    /// Largest magnitude of the projection.
    peak: f32,
}

impl<'a> Projected<'a> {
    /// A projection that was made elsewhere, of a picture whose most probable class is `top`.
    pub(crate) fn of(opened: &'a Opened, loaded: &Loaded, unit: Projection, rule: Rule, top: (usize, f32)) -> Self {
        Self {
            opened,
            loaded: loaded.clone(),
            layer: unit.layer,
            settings: Settings { rule, ..Settings::default() },
            seed_value: SeedValue::Activation,
            units: vec![unit],
            top: Sanity::new(opened, top),
        }
    }
}

impl Projected<'_> {
    fn lrn(&self) -> LrnRule {
        self.settings.lrn.unwrap_or(match self.settings.rule {
            Rule::Deconv => LrnRule::Identity,
            Rule::Gradient | Rule::Guided => LrnRule::Jacobian,
        })
    }

    fn unit_records(&self) -> Vec<UnitRecord> {
        let layer = &self.opened.network().node(self.layer).name;
        let record = |u: &Projection| {
            let (channel, at) = place(u.seed);
            UnitRecord {
                layer: layer.clone(),
                layer_index: self.layer,
                channel,
                at,
                activation: u.activation,
                window: u.window.to_array(),
                peak: u.tensor.data.iter().fold(0.0, |m: f32, x| m.max(x.abs())),
            }
        };
        self.units.iter().map(record).collect()
    }
}

fn place(seed: Seed) -> (usize, Option<[usize; 2]>) {
    match seed {
        Seed::Unit { channel, at } => (channel, Some(at)),
        Seed::Map { channel } => (channel, None),
    }
}

impl Artefact for Projected<'_> {
    type Document = Document;
    type Record = Record;

    fn document(&self, output: Option<&Path>) -> Document {
        Document { record: self.record(), output: output.map(|o| o.to_string_lossy().into_owned()) }
    }

    fn record(&self) -> Record {
        Record {
            input: self.loaded.name.clone(),
            rule: self.settings.rule,
            lrn: self.lrn(),
            seed_value: self.seed_value,
            top: self.top.clone(),
            units: self.unit_records(),
        }
    }

    fn summary(&self) -> String {
        let node = self.opened.network().node(self.layer);
        let columns = [
            ("channel", Align::Right),
            ("at", Align::Left),
            ("activation", Align::Right),
            ("window y0,x0,y1,x1", Align::Left),
            ("peak", Align::Right),
        ];
        let mut table = Table::new(&columns);
        for u in self.unit_records() {
            table.row(vec![
                u.channel.to_string(),
                u.at.map_or("whole map".into(), |[y, x]| format!("{y},{x}")),
                format!("{:.4}", u.activation),
                u.window.map(|n| n.to_string()).join(","),
                format!("{:.4}", u.peak),
            ]);
        }
        let rule = format!("{:?}", self.settings.rule).to_lowercase();
        format!(
            "{}: top-1 {}\nlayer {} (#{}, {}), rule {rule}\n{}\n{}",
            escape(&self.loaded.name),
            self.top.text(),
            escape(&node.name),
            self.layer,
            node.shape,
            self.opened.caption(),
            table.text()
        )
    }

    fn table(&self) -> Table {
        let names = ["layer", "channel", "y", "x", "activation", "y0", "x0", "y1", "x1", "peak"];
        let mut table = Table::new(&names.map(|n| (n, Align::Right)));
        for u in self.unit_records() {
            let [y, x] = u.at.map_or([String::new(), String::new()], |at| at.map(|n| n.to_string()));
            let mut cells = vec![u.layer, u.channel.to_string(), y, x, u.activation.to_string()];
            cells.extend(u.window.map(|n| n.to_string()));
            cells.push(u.peak.to_string());
            table.row(cells);
        }
        table
    }

    fn arrays(&self) -> Vec<Array> {
        let Shape { c, h, w } = self.opened.input_shape();
        let all: Vec<f32> = self.units.iter().flat_map(|u| u.tensor.data.iter().copied()).collect();
        let dims = [self.units.len(), c, h, w];
        let dims = if self.units.len() == 1 { &dims[1..] } else { &dims[..] };
        vec![Array::f32("projection", dims, all), Array::f32("input", &[c, h, w], self.loaded.tensor.data.clone())]
    }

    fn sheet(&self) -> anyhow::Result<Sheet> {
        draw::projections(self.opened, &self.loaded, &self.units)
    }
}
