//! `doctor`: what this machine and terminal offer, and whether a model is sound.

mod surroundings;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use switchback_core::network::{count, zoo};
use switchback_core::session::Session;
use switchback_core::text::escape;
use switchback_core::trace::Keep;
use switchback_core::weights::WeightStore;
use switchback_core::{Dtype, Model, Progress};

use super::Outcome;
use super::context::Context;
use super::memory::Memory;
use super::model::{self, Header};
use super::output::print;
use super::progress::Meter;
use super::sweep::print_json;
use super::table::{bytes, grouped};
use surroundings::Surroundings;

/// What this machine and terminal offer; with MODEL, whether it is sound
///
/// Opens the model, checks every weight for NaN and infinity, and estimates the memory that runs need. Exit status 1
/// where a weight is damaged.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  switchback doctor\n  switchback doctor squeezenet1.1.onnx --json")]
pub(crate) struct Arguments {
    /// The model to check
    #[arg(value_name = "MODEL")]
    source: Option<PathBuf>,
}

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    header: Option<Header>,
    version: &'static str,
    #[serde(flatten)]
    surroundings: Surroundings,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Check>,
}

/// What was found of a model.
#[derive(Serialize)]
struct Check {
    bytes: u64,
    sha256: String,
    known: Option<&'static str>,
    layers: usize,
    weight_tensors: usize,
    weight_types: Vec<&'static str>,
    weight_bytes: u64,
    macs: u64,
    damaged: Vec<Damage>,
    memory: Estimates,
}

/// The first number of a weight that is not finite.
#[derive(Serialize)]
struct Damage {
    weight: String,
    index: usize,
    value: String,
}

/// Estimates in bytes, beside the model file.
#[derive(Serialize)]
struct Estimates {
    classify: u64,
    /// What `classify` is made of.
    classify_parts: Memory,
    /// A run that keeps every layer of one picture.
    everything: u64,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    let path = model::positional(context, arguments.source.as_ref())?;
    let surroundings = Surroundings::look(context);
    let Some(path) = path else {
        if context.options.json {
            let document = Document { header: None, version: env!("CARGO_PKG_VERSION"), surroundings, check: None };
            print_json(&document)?;
        } else {
            print(surroundings.text().as_bytes())?;
        }
        return Ok(Outcome::Done);
    };
    let opened = model::open(context, Some(path))?;
    let check = check(context, opened.model(), &opened.session)?;
    let outcome = if check.damaged.is_empty() { Outcome::Done } else { Outcome::Negative };
    if context.options.json {
        let (header, version) = (Some(opened.header()), env!("CARGO_PKG_VERSION"));
        print_json(&Document { header, version, surroundings, check: Some(check) })?;
    } else {
        print(format!("{}\n{}", surroundings.text(), text(&opened, &check)).as_bytes())?;
    }
    Ok(outcome)
}

fn check(context: &Context, model: &Model, session: &Session) -> anyhow::Result<Check> {
    let network = &model.network;
    let everything: Vec<usize> = (0..network.nodes().len()).collect();
    let mut types: Vec<&'static str> = model
        .weights
        .ids()
        .map(|id| if model.weights.view(id).dtype() == Dtype::F16 { "f16" } else { "f32" })
        .collect();
    types.sort_unstable();
    types.dedup();
    Ok(Check {
        bytes: model.bytes.len() as u64,
        sha256: zoo::sha256(&model.bytes),
        known: zoo::recognise(&model.bytes).map(|k| k.name),
        layers: network.nodes().len(),
        weight_tensors: model.weights.len(),
        weight_types: types,
        weight_bytes: model.weights.total_bytes() as u64,
        macs: count::total_macs(network),
        damaged: damaged(context, &model.weights)?,
        memory: Estimates {
            classify: session.memory(&session.keep_scores(), 1),
            classify_parts: Memory::to_classify(session),
            everything: session.memory(&Keep::nodes(network, &everything), 1),
        },
    })
}

/// Reads every weight.
fn damaged(context: &Context, weights: &WeightStore) -> anyhow::Result<Vec<Damage>> {
    // A piece at a time, so that a large model can be checked where it hardly fits.
    const PIECE: usize = 1 << 20;
    let mut found = Vec::new();
    let mut meter = Meter::new(context, "check");
    for (done, id) in weights.ids().enumerate() {
        let view = weights.view(id);
        for from in (0..view.len()).step_by(PIECE) {
            let piece = view.range(from, (from + PIECE).min(view.len())).to_vec();
            if let Some(i) = piece.iter().position(|x| !x.is_finite()) {
                let (weight, value) = (weights.name(id).to_owned(), piece[i].to_string());
                found.push(Damage { weight, index: from + i, value });
                break;
            }
            context.check()?;
        }
        if meter.step(Progress { what: "weights", done: done + 1, total: weights.len() }).is_break() {
            context.check()?;
        }
    }
    Ok(found)
}

fn text(opened: &model::Opened, check: &Check) -> String {
    let model = opened.model();
    let network = &model.network;
    let known = check.known.map_or("not a known public model".to_owned(), |k| format!("known as {k}"));
    let mut lines = vec![
        format!("{} ({})", escape(&model.path.to_string_lossy()), model.format),
        format!("  file         {}, sha256 {}, {known}", bytes(check.bytes), check.sha256),
        format!(
            "  network      {} layers, {} → {} classes, {} parameters, {} MACs a picture",
            check.layers,
            network.input_shape(),
            network.classes(),
            grouped(count::parameters(network)),
            grouped(check.macs)
        ),
        format!(
            "  weights      {} tensors, {}, {}",
            check.weight_tensors,
            bytes(check.weight_bytes),
            check.weight_types.join(" and ")
        ),
        format!("  preprocess   {}", model::record(&opened.preprocess)),
        format!(
            "  memory       about {} to classify ({}), {} to keep every layer of one picture, beside the file",
            bytes(check.memory.classify),
            check.memory.classify_parts.text(),
            bytes(check.memory.everything)
        ),
    ];
    if check.damaged.is_empty() {
        lines.push("  sound        every weight is finite".into());
    }
    for d in &check.damaged {
        lines.push(format!("  DAMAGED      weight \"{}\" holds {} at element {}", escape(&d.weight), d.value, d.index));
    }
    lines.join("\n") + "\n"
}
