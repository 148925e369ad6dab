//! `models`: public models that are known by digest, and where they live.

use clap::Args;
use serde::Serialize;
use switchback_core::network::zoo::{self, Known};

use super::Outcome;
use super::context::Context;
use super::output::print;
use super::sweep::print_json;
use super::table::{Align, Table, bytes};

/// Known public models: size, digest, preprocessing, where they live
///
/// A file that is one of them is recognised by its digest, whatever its name, and gets its preprocessing.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  switchback models\n  switchback models squeezenet\n  switchback models --all --json"
)]
pub(crate) struct Arguments {
    /// Only those whose name or note contains this
    #[arg(value_name = "PART")]
    part: Option<String>,

    /// Also those that cannot be opened: quantised ones, and files without a graph
    #[arg(long)]
    all: bool,
}

#[derive(Serialize)]
struct Document {
    models: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    supported: bool,
    kind: &'static str,
    bytes: Option<u64>,
    sha256: &'static str,
    opset: Option<u32>,
    input: &'static str,
    output: Option<&'static str>,
    preprocess: Option<&'static str>,
    url: Option<String>,
    notes: Option<&'static str>,
}

impl Row {
    fn new(known: &Known) -> Self {
        let Known { name, size, sha256, opset, input, preset, kind, output, notes, .. } = *known;
        let (supported, url) = (known.is_supported(), known.url());
        Row { name, supported, kind, bytes: size, sha256, opset, input, output, preprocess: preset, url, notes }
    }
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    let part = arguments.part.as_deref().unwrap_or("").to_lowercase();
    let holds = |text: &str| text.to_lowercase().contains(&part);
    let wanted: Vec<&Known> = zoo::known().iter().filter(|k| holds(k.name) || k.notes.is_some_and(holds)).collect();
    let rows: Vec<Row> = wanted.iter().filter(|k| arguments.all || k.is_supported()).map(|k| Row::new(k)).collect();
    let hidden = wanted.len() - rows.len();
    if context.options.json {
        print_json(&Document { models: rows })?;
        return Ok(Outcome::Done);
    }
    let columns = [
        ("name", Align::Left),
        ("size", Align::Right),
        ("sha256", Align::Left),
        ("preprocess", Align::Left),
        ("where", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for row in &rows {
        table.row(vec![
            row.name.into(),
            row.bytes.map_or("?".into(), bytes),
            row.sha256.get(..12).unwrap_or(row.sha256).into(),
            row.preprocess.unwrap_or("?").into(),
            row.url.clone().unwrap_or_else(|| "not public".into()),
        ]);
    }
    print(table.text().as_bytes())?;
    if hidden > 0 {
        context.note(format!("{hidden} more cannot be opened (quantised, or without a graph); --all lists them"));
    }
    context.note("whole digests, shapes and notes: --json");
    Ok(Outcome::Done)
}
