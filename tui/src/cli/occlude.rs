//! `occlude`: a square slides over the picture; what the network then loses is mapped.

mod beside;
mod document;
mod occluder;
mod result;

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use switchback_core::occlusion::{self, Fill, Heatmap, Method, Settings, default_size, default_stride};

use super::Outcome;
use super::arguments::{Output, at_least_one};
use super::context::Context;
use super::failure::{Failure, is_cancelled};
use super::input::Loaded;
use super::model::{self, Opened};
use super::output::Format;
use super::progress::Meter;
use super::project::check_channels;
use super::sweep::Plan;
use beside::Beside;
use document::Verified;
pub(crate) use occluder::mean_fill;
use occluder::{FillName, ShapeName, Size, cover, fill};
pub(crate) use result::Occluded;

/// Occlusion sensitivity: slide a square over the picture and map what is lost
///
/// For every place of the square: the probability of the class, the most probable class, and the activity (sum) of one
/// feature map. Row i, column j is the square with its top left corner at (i·stride, j·stride). Several --class share
/// one sweep. Places are visited from a coarse lattice to the full one; Ctrl-C ends with the map as it then is, labelled
/// as partial (exit status 130). Folders filled with --out-dir hold whole maps only; the same command goes on with the rest.
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

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    let formats = [Format::Png, Format::Npy, Format::Safetensors, Format::Json, Format::Csv];
    let plan = Plan::new(context, &arguments.inputs, &arguments.output, &formats, "occlude")?;
    let opened = model::open(context, model::path(context)?)?;
    let settings = settings(arguments, &opened)?;
    let mut beside = Beside::new(context, &arguments.beside)?;
    let panels = plan.shows_panels(context);
    let (mut wrong, mut interrupted) = (false, None);
    let outcome = plan.run(context, &opened, |loaded| {
        let settings = settings(fill(arguments.fill, context.options.seed, &opened.preprocess.record, loaded)?);
        let start = Instant::now();
        let sweep = match plan.fills_folder() {
            // What lies in a folder counts as done when the run goes on.
            true => occlusion::occlude,
            false => occlusion::occlude_or_keep,
        };
        let mut meter = Meter::new(context, "occlude");
        let map = sweep(&opened.session, &loaded.tensor, &settings, &mut |p| meter.step(p))?;
        drop(meter);
        let seconds = start.elapsed().as_secs_f64();
        let mut verified = None;
        if !map.complete {
            interrupted = Some("the map is partial, what was not computed lies between what was");
        } else if arguments.verify {
            match verify(context, &opened, loaded, &settings, &map) {
                Ok(v) => verified = Some(v),
                Err(e) if is_cancelled(&e) && !plan.fills_folder() => interrupted = Some("the map is not verified"),
                Err(e) => return Err(e),
            }
        }
        wrong |= verified.is_some_and(|v| !v.equal);
        let mut occluded = Occluded::numbers(&opened, loaded, settings, map, seconds);
        occluded.verified = verified;
        (occluded.fill, occluded.seed) = (arguments.fill, context.options.seed);
        if panels {
            occluded.add_panels()?;
        }
        if panels && interrupted.is_none() {
            occluded.projections.extend(beside.projections(context, &opened, &occluded.map)?);
        }
        Ok(occluded)
    })?;
    if let Some(why) = interrupted {
        context.warn(format!("interrupted: {why}"));
        return Ok(Outcome::Interrupted);
    }
    Ok(if wrong { Outcome::Negative } else { outcome })
}

/// What the arguments mean for this network; everything that can be wrong without a picture is found here.
fn settings(arguments: &Arguments, opened: &Opened) -> anyhow::Result<impl Fn(Fill) -> Settings + use<>> {
    let network = opened.network();
    let input = network.input_shape();
    let side = input.h.min(input.w);
    let Size([size, width]) = arguments.size.unwrap_or_else(|| Size([default_size(side); 2]));
    let stride = arguments.stride.unwrap_or_else(|| default_stride(side));
    let cover = cover(arguments, [size, width])?;
    let [height, width] = cover.size(size);
    if height > input.h || width > input.w {
        let what = format!("a square of {height}×{width} does not fit the input of {}×{}", input.h, input.w);
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
    let (channel, adaptive) = (arguments.channel, arguments.adaptive.then_some(occlusion::ADAPTIVE));
    Ok(move |fill| Settings {
        size,
        cover: cover.clone(),
        stride,
        fill,
        classes: classes.clone(),
        layer,
        channel,
        adaptive,
    })
}

/// How far `map` is off full passes.
fn verify(
    context: &Context,
    opened: &Opened,
    loaded: &Loaded,
    settings: &Settings,
    map: &Heatmap,
) -> anyhow::Result<Verified> {
    let start = Instant::now();
    let mut meter = Meter::new(context, "verify");
    let whole = Method::Whole;
    let oracle = occlusion::occlude_by(&opened.session, &loaded.tensor, settings, whole, &mut |p| meter.step(p))?;
    let apart = oracle.apart(map);
    let equal = apart.probability <= TOLERANCE && apart.activity <= TOLERANCE;
    Ok(Verified { apart, equal, seconds: start.elapsed().as_secs_f64() })
}
