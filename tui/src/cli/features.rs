//! `features`: the feature maps of a layer, as they are.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use switchback_core::projection::strongest_place;
use switchback_core::text::escape;
use switchback_core::trace::{Keep, Trace};
use switchback_core::{NodeId, Shape, Tensor};

use super::Outcome;
use super::arguments::{Channels, Output};
use super::context::Context;
use super::draw::{self, Sheet};
use super::input::Loaded;
use super::model::{self, Opened};
use super::output::{Array, Format};
use super::project::check_channels;
use super::sweep::{Artefact, Plan};
use super::table::{Align, Table};

/// The feature maps of a layer as a mosaic
///
/// All maps share one scale, printed with them. -o F.npy writes the numbers as they are, float32 (C, H, W).
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  switchback features -m squeezenet1.1.onnx cat.jpg -l conv1_1\n  switchback features -m squeezenet1.1.onnx cat.jpg -l fire9/concat_1 -c 0-63 -o maps.png\n  switchback features -m squeezenet1.1.onnx cat.jpg -l '#2' -o maps.npy"
)]
pub(crate) struct Arguments {
    /// Pictures, folders of pictures, .npy tensors, or - for stdin
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,

    /// The layer: a name, #INDEX, or an unambiguous part of a name
    #[arg(short, long, value_name = "LAYER")]
    layer: String,

    /// Channels: numbers and ranges, such as 0,4,8-15; default: all
    #[arg(short, long, value_name = "CHANNELS")]
    channel: Option<Channels>,

    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    let formats = [Format::Png, Format::Npy, Format::Safetensors, Format::Json, Format::Csv];
    let plan = Plan::new(context, &arguments.inputs, &arguments.output, &formats, "features")?;
    let opened = model::open(context, model::path(context)?)?;
    let network = opened.network();
    let layer = network.find(&arguments.layer)?;
    let node = network.node(layer);
    let channels = match &arguments.channel {
        Some(channels) => channels.0.clone(),
        None => (0..node.shape.c).collect(),
    };
    check_channels(&channels, node.shape, || format!("layer \"{}\"", node.name))?;
    plan.run(context, &opened, |loaded| {
        let trace = opened.session.run(&loaded.tensor, &Keep::nodes(network, &[layer]))?;
        let maps = trace.tensor(layer).expect("the layer's tensor was asked for");
        let data: Vec<f32> = channels.iter().flat_map(|&c| maps.channel(0, c).iter().copied()).collect();
        let maps = Tensor::single(Shape { c: channels.len(), ..maps.shape }, data);
        Ok(Features { opened: &opened, input: loaded.name.clone(), layer, channels: channels.clone(), maps })
    })
}

/// Chosen maps of one picture.
pub(crate) struct Features<'a> {
    opened: &'a Opened,
    input: String,
    layer: NodeId,
    channels: Vec<usize>,
    maps: Tensor,
}

#[derive(Serialize)]
pub(crate) struct Document {
    #[serde(flatten)]
    record: Record,
    channels: Vec<Map>,
    output: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Record {
    input: String,
    layer: String,
    layer_index: usize,
    shape: Shape,
}

#[derive(Serialize)]
pub(crate) struct Map {
    channel: usize,
    max: f32,
    at: [usize; 2],
    min: f32,
    mean: f32,
    /// Share of the map above zero.
    active: f32,
}

impl<'a> Features<'a> {
    /// All maps of a layer that `trace` kept.
    pub(crate) fn of(opened: &'a Opened, loaded: &Loaded, layer: NodeId, trace: &Trace) -> Self {
        let maps = trace.tensor(layer).expect("the run kept the layer that is shown").clone();
        Self { opened, input: loaded.name.clone(), layer, channels: (0..maps.shape.c).collect(), maps }
    }
}

impl Features<'_> {
    fn maps(&self) -> Vec<Map> {
        let map = |(i, &channel): (usize, &usize)| {
            let map = self.maps.channel(0, i);
            let (at, max) = strongest_place(map, self.maps.shape.w);
            Map {
                channel,
                max,
                at,
                min: map.iter().copied().fold(f32::INFINITY, f32::min),
                mean: (map.iter().map(|&x| f64::from(x)).sum::<f64>() / map.len() as f64) as f32,
                active: map.iter().filter(|&&x| x > 0.0).count() as f32 / map.len() as f32,
            }
        };
        self.channels.iter().enumerate().map(map).collect()
    }
}

impl Artefact for Features<'_> {
    type Document = Document;
    type Record = Record;

    fn document(&self, output: Option<&Path>) -> Document {
        let output = output.map(|o| o.to_string_lossy().into_owned());
        Document { record: self.record(), channels: self.maps(), output }
    }

    fn record(&self) -> Record {
        Record {
            input: self.input.clone(),
            layer: self.opened.network().node(self.layer).name.clone(),
            layer_index: self.layer,
            shape: self.opened.network().node(self.layer).shape,
        }
    }

    fn summary(&self) -> String {
        let node = self.opened.network().node(self.layer);
        let mut maps = self.maps();
        maps.sort_by(|a, b| b.max.total_cmp(&a.max));
        let columns = [
            ("channel", Align::Right),
            ("max", Align::Right),
            ("at", Align::Left),
            ("min", Align::Right),
            ("mean", Align::Right),
            ("active", Align::Right),
        ];
        const STRONGEST: usize = 9;
        let mut table = Table::new(&columns);
        for m in maps.iter().take(STRONGEST) {
            table.row(vec![
                m.channel.to_string(),
                format!("{:.4}", m.max),
                m.at.map(|n| n.to_string()).join(","),
                format!("{:.4}", m.min),
                format!("{:.4}", m.mean),
                format!("{:.0} %", 100.0 * m.active),
            ]);
        }
        let shown = match maps.len() {
            n if n > STRONGEST => format!("the {STRONGEST} strongest of {n} maps"),
            n => format!("{n} maps"),
        };
        format!(
            "{}: layer {} (#{}, {}), {}; {shown}\n{}",
            escape(&self.input),
            escape(&node.name),
            self.layer,
            node.shape,
            self.opened.caption(),
            table.text()
        )
    }

    fn table(&self) -> Table {
        let names = ["channel", "max", "y", "x", "min", "mean", "active"];
        let mut table = Table::new(&names.map(|n| (n, Align::Right)));
        for m in self.maps() {
            let [y, x] = m.at.map(|n| n.to_string());
            let [max, min, mean, active] = [m.max, m.min, m.mean, m.active].map(|n| n.to_string());
            table.row(vec![m.channel.to_string(), max, y, x, min, mean, active]);
        }
        table
    }

    fn arrays(&self) -> Vec<Array> {
        let Shape { c, h, w } = self.maps.shape;
        let channels = self.channels.iter().map(|&c| c as i32).collect();
        vec![
            Array::f32("features", &[c, h, w], self.maps.data.clone()),
            Array::i32("channels", &[self.channels.len()], channels),
        ]
    }

    fn sheet(&self) -> anyhow::Result<Sheet> {
        draw::features(self.opened, &self.input, self.layer, &self.channels, &self.maps)
    }
}
