//! `classify`: the most probable classes of pictures; several models, or ten crops of each picture, are averaged.
//!
//! ```text
//! cover to 256/224 of the input ─ 4 corners + centre, and their mirror images ─ mean of 10 softmaxes
//! ```
//! The ten crops are those of Krizhevsky et al. 2012, which Zeiler & Fergus 2013 use too.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use switchback_core::picture::Picture;
use switchback_core::preprocess::Preprocess;
use switchback_core::session::Session;
use switchback_core::text::escape;
use switchback_core::{Error, Shape, Tensor, Window};

use super::Outcome;
use super::ahead::Ahead;
use super::arguments::at_least_one;
use super::context::Context;
use super::failure::{Failure, show};
use super::input::{self, Input, Source};
use super::json;
use super::model::{self, Header, Opened};
use super::output::{self, Format, Target, print};
use super::progress::Meter;
use super::sweep::{self, Failed, print_json};
use super::table::{Align, Table};

/// The most probable classes of pictures; several models or crops are averaged
///
/// Probabilities are the network's own softmax, or one over its scores where it has none; the score is the value
/// before it. Averages are means of probabilities and of scores.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  switchback classify -m squeezenet1.1.onnx cat.jpg dog.jpg\n  switchback classify -m a.onnx -m b.onnx --crops 10 photos/ --json\n  curl -s https://example.org/cat.jpg | switchback classify -m a.onnx -"
)]
pub(crate) struct Arguments {
    /// Pictures, folders of pictures, .npy tensors, or - for stdin
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,

    /// Average over 10 crops: corners and centre, mirrored too; 1 is the centre alone
    #[arg(long, value_name = "N", default_value = "1", value_parser = ["1", "10"])]
    crops: String,

    /// How many classes to show
    #[arg(short = 'k', long, value_name = "K", default_value = "5", value_parser = at_least_one)]
    top: usize,

    /// Where the table goes instead of stdout: .csv or .json
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    header: Header,
    /// Every model, where several are averaged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    models: Vec<Header>,
    crops: usize,
    results: Vec<Classified>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Failed>,
}

#[derive(Serialize)]
struct Classified {
    input: String,
    top: Vec<Class>,
}

#[derive(Serialize)]
struct Class {
    class: usize,
    name: String,
    probability: f32,
    score: f32,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    let crops = if arguments.crops == "10" { 10 } else { 1 };
    let formats = [Format::Csv, Format::Json];
    if let Some(path) = &arguments.output {
        Target::new(path, &formats, "classify", &[])?;
    }
    let sources = input::expand(context, &arguments.inputs)?;
    let target = arguments
        .output
        .as_deref()
        .map(|o| Target::new(o, &formats, "classify", &output::paths(&sources)))
        .transpose()?;
    let mut ahead = Ahead::default();
    let opened = open_all(context, &mut ahead)?;
    let mut document = Document {
        header: opened[0].header(),
        models: if opened.len() > 1 { opened.iter().map(Opened::header).collect() } else { Vec::new() },
        crops,
        results: Vec::new(),
        failed: Vec::new(),
    };
    let mut first_error = None;
    let mut printed = false;
    let mut meter = (sources.len() > 1).then(|| Meter::new(context, "classify"));
    for (done, source) in sources.iter().enumerate() {
        context.check()?;
        match one(context, source, &opened, &mut ahead, crops) {
            Ok((probabilities, scores)) => {
                let result = top(source, &opened[0], &probabilities, &scores, arguments.top);
                if !context.options.json && target.is_none() {
                    let lead = if printed { "\n" } else { "" };
                    print(format!("{lead}{}", text(&result)).as_bytes())?;
                    printed = true;
                }
                document.results.push(result);
            }
            Err(error) => {
                document.failed.push(Failed::new(source, &error));
                first_error.get_or_insert(error);
            }
        }
        if let Some(meter) = &mut meter {
            let progress = switchback_core::Progress { what: "inputs", done: done + 1, total: sources.len() };
            if meter.step(progress).is_break() {
                return Err(Error::Cancelled.into());
            }
        }
    }
    drop(meter);
    let outcome = sweep::outcome(context, &document.failed, first_error, document.results.len())?;
    if let Some(target) = &target {
        let bytes = match target.format {
            Format::Csv => table(&document).csv(),
            _ => json::text(&document) + "\n",
        };
        target.write(bytes.as_bytes())?;
        context.note(format!("wrote {}", show(&target.path)));
    }
    if context.options.json {
        print_json(&document)?;
    }
    Ok(outcome)
}

/// The models, on one pool of threads.
fn open_all(context: &Context, ahead: &mut Ahead) -> anyhow::Result<Vec<Opened>> {
    let paths = &context.options.model;
    let cpu = model::cpu(context);
    let mut open = |path: Option<&Path>, cpu| {
        let pack = |session: &Session| session.prepare(&session.keep_scores());
        model::open_while(context, path, cpu, |session| ahead.begin(session, pack))
    };
    if paths.is_empty() {
        return Ok(vec![open(None, cpu)?]);
    }
    let opened: Vec<Opened> = paths.iter().map(|p| open(Some(p), cpu.clone())).collect::<Result<_, _>>()?;
    let classes: Vec<usize> = opened.iter().map(|o| o.network().classes()).collect();
    if let Some(i) = classes.iter().position(|&c| c != classes[0]) {
        return Err(Failure::usage(format!(
            "{} has {} classes and {} has {}: only models of the same classes can be averaged",
            show(&paths[0]),
            classes[0],
            show(&paths[i]),
            classes[i]
        )));
    }
    Ok(opened)
}

/// Mean probabilities and scores over models and crops.
fn one(
    context: &Context,
    source: &Source,
    opened: &[Opened],
    ahead: &mut Ahead,
    crops: usize,
) -> anyhow::Result<(Vec<f32>, Vec<f32>)> {
    let input = input::read(context, source, opened[0].input_shape())?;
    let classes = opened[0].network().classes();
    let (mut probabilities, mut scores) = (vec![0.0_f64; classes], vec![0.0_f64; classes]);
    let mut runs = 0;
    for model in opened {
        let tensor = tensor(&input, source, model, crops)?;
        ahead.end();
        let result = model.session.classify(&tensor)?;
        for (p, s) in result.probabilities.iter().zip(&result.scores) {
            probabilities.iter_mut().zip(p).for_each(|(sum, &x)| *sum += f64::from(x));
            scores.iter_mut().zip(s).for_each(|(sum, &x)| *sum += f64::from(x));
            runs += 1;
        }
    }
    let mean = |sums: Vec<f64>| sums.into_iter().map(|x| (x / f64::from(runs)) as f32).collect();
    Ok((mean(probabilities), mean(scores)))
}

/// The input as a batch of `crops`.
fn tensor(input: &Input, source: &Source, opened: &Opened, crops: usize) -> anyhow::Result<Tensor> {
    let shape = opened.input_shape();
    let preprocess = &opened.preprocess.record;
    let placed = match (input, crops) {
        (Input::Tensor(tensor), 1) if tensor.shape == shape => return Ok(tensor.clone()),
        (Input::Tensor(tensor), 1) => {
            let found = tensor.shape.to_string();
            return Err(Error::Input { input: source.name(), expected: shape, found }.into());
        }
        (Input::Tensor(_), _) => return Err(Failure::usage("--crops 10 needs pictures; a tensor is taken as it is")),
        (Input::Picture(picture), 1) => vec![preprocess.place(picture, shape)?],
        (Input::Picture(picture), _) => ten_crops(picture, preprocess, shape)?,
    };
    let mut batch = Tensor { batch: 0, shape, data: Vec::with_capacity(placed.len() * shape.len()) };
    for picture in &placed {
        batch.data.extend(preprocess.normalise(picture, shape)?.data);
        batch.batch += 1;
    }
    Ok(batch)
}

/// Corners and centre of the picture at 256/224 of the network's size, then the same mirrored.
fn ten_crops(picture: &Picture, preprocess: &Preprocess, shape: Shape) -> anyhow::Result<Vec<Picture>> {
    let larger = |side: usize| (side as f64 * 256.0 / 224.0).round() as usize;
    let whole = Shape::new(shape.c, larger(shape.h), larger(shape.w));
    let placed = Preprocess { crop_ratio: 1.0, ..preprocess.clone() }.place(picture, whole)?;
    let (down, across) = (whole.h - shape.h, whole.w - shape.w);
    let corners = [(0, 0), (0, across), (down, 0), (down, across), (down / 2, across / 2)];
    let mut crops: Vec<Picture> =
        corners.iter().map(|&(y0, x0)| placed.crop(Window { y0, x0, y1: y0 + shape.h, x1: x0 + shape.w })).collect();
    crops.extend(crops.clone().iter().map(mirrored));
    Ok(crops)
}

fn mirrored(picture: &Picture) -> Picture {
    let rows = picture.rgb.chunks_exact(3 * picture.width);
    let rgb = rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect();
    Picture { rgb, ..*picture }
}

/// The `k` most probable classes; the lower index first among equals.
fn top(source: &Source, opened: &Opened, probabilities: &[f32], scores: &[f32], k: usize) -> Classified {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    // Far below the winner probabilities round to zero, where scores still tell classes apart.
    order.sort_by(|&a, &b| {
        probabilities[b].total_cmp(&probabilities[a]).then(scores[b].total_cmp(&scores[a])).then(a.cmp(&b))
    });
    let class = |&c: &usize| Class {
        class: c,
        name: opened.class_name(c).to_owned(),
        probability: probabilities[c],
        score: scores[c],
    };
    Classified { input: source.name(), top: order.iter().take(k).map(class).collect() }
}

fn text(result: &Classified) -> String {
    let columns = [
        ("probability", Align::Right),
        ("", Align::Left),
        ("score", Align::Right),
        ("class", Align::Right),
        ("name", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for c in &result.top {
        table.row(vec![
            format!("{:.2} %", 100.0 * c.probability),
            bar(c.probability),
            format!("{:.2}", c.score),
            c.class.to_string(),
            c.name.clone(),
        ]);
    }
    format!("{}\n{}", escape(&result.input), table.text())
}

/// `p` as a bar of at most 20 columns, in eighths.
fn bar(p: f32) -> String {
    let eighths = (p.clamp(0.0, 1.0) * 160.0).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    bar.push_str(["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8]);
    bar
}

fn table(document: &Document) -> Table {
    let columns = [
        ("input", Align::Left),
        ("rank", Align::Right),
        ("class", Align::Right),
        ("name", Align::Left),
        ("probability", Align::Right),
        ("score", Align::Right),
    ];
    let mut table = Table::new(&columns);
    for result in &document.results {
        for (rank, c) in (1..).zip(&result.top) {
            let (probability, score) = (c.probability.to_string(), c.score.to_string());
            let rank: usize = rank;
            table.row(vec![
                result.input.clone(),
                rank.to_string(),
                c.class.to_string(),
                c.name.clone(),
                probability,
                score,
            ]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirror_images() {
        let picture = Picture { width: 2, height: 2, rgb: vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] };
        assert_eq!(mirrored(&picture).rgb, [4, 5, 6, 1, 2, 3, 10, 11, 12, 7, 8, 9]);
        assert_eq!(mirrored(&mirrored(&picture)), picture);
    }

    #[test]
    fn bars_have_eighths() {
        assert_eq!((bar(0.0), bar(1.0).chars().count()), (String::new(), 20));
        assert_eq!(bar(1.0 / 160.0), "▏");
        assert_eq!(bar(0.525), "██████████▌");
    }
}
