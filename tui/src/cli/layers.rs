//! `layers`: every layer of a model, with what it costs and what it sees.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use switchback_core::network::count::{self, Count};
use switchback_core::preprocess::Chosen;
use switchback_core::receptive::{self, Field};
use switchback_core::text::escape;
use switchback_core::{Model, Shape};

use super::Outcome;
use super::context::Context;
use super::failure::show;
use super::json;
use super::memory::Memory;
use super::model::{self, Opened};
use super::output::{Format, Target, print};
use super::sweep::print_json;
use super::table::{Align, Table, grouped};

/// Every layer: index, name, kind, output shape, parameters, MACs, receptive field
///
/// Names are those of the model file's tensors; -l takes a name, #INDEX or an unambiguous part of a name.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  switchback layers -m squeezenet1.1.onnx\n  switchback layers -m squeezenet1.1.onnx --json | jq '.layers[].name'"
)]
pub(crate) struct Arguments {
    /// Where the table goes instead of stdout: .csv or .json
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    header: model::Header,
    input: Shape,
    memory: Memory,
    layers: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    index: usize,
    name: String,
    kind: &'static str,
    shape: Shape,
    inputs: Vec<usize>,
    parameters: u64,
    macs: u64,
    receptive_field: Field,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    let path = model::path(context)?;
    let inputs: Vec<_> = path.into_iter().collect();
    let target = arguments
        .output
        .as_deref()
        .map(|o| Target::new(o, &[Format::Csv, Format::Json], "layers", &inputs))
        .transpose()?;
    let opened = model::open(context, path)?;
    let document = document(&opened);
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
    } else if target.is_none() {
        print(text(opened.model(), &opened.preprocess, &document).as_bytes())?;
    }
    Ok(Outcome::Done)
}

fn document(opened: &Opened) -> Document {
    let network = opened.network();
    let fields = receptive::fields(network);
    let row = |(index, node): (usize, &switchback_core::Node)| {
        let Count { parameters, macs } = count::count(network, index);
        Row {
            index,
            name: node.name.clone(),
            kind: node.layer.kind(),
            shape: node.shape,
            inputs: node.inputs.clone(),
            parameters,
            macs,
            receptive_field: fields[index],
        }
    };
    let layers = network.nodes().iter().enumerate().map(row).collect();
    let memory = Memory::to_classify(&opened.session);
    Document { header: opened.header(), input: network.input_shape(), memory, layers }
}

fn table(document: &Document) -> Table {
    let columns = [
        ("index", Align::Right),
        ("name", Align::Left),
        ("kind", Align::Left),
        ("channels", Align::Right),
        ("height", Align::Right),
        ("width", Align::Right),
        ("parameters", Align::Right),
        ("macs", Align::Right),
        ("field_height", Align::Right),
        ("field_width", Align::Right),
        ("stride_y", Align::Right),
        ("stride_x", Align::Right),
        ("start_y", Align::Right),
        ("start_x", Align::Right),
    ];
    let mut table = Table::new(&columns);
    for row in &document.layers {
        let Field { size, stride, start } = row.receptive_field;
        let mut cells = vec![row.index.to_string(), row.name.clone(), row.kind.into()];
        cells.extend([row.shape.c, row.shape.h, row.shape.w].map(|n| n.to_string()));
        cells.extend([row.parameters, row.macs].map(|n| n.to_string()));
        cells.extend(size.map(|n| n.to_string()));
        cells.extend([stride, start].concat().iter().map(f64::to_string));
        table.row(cells);
    }
    table
}

fn text(model: &Model, preprocess: &Chosen, document: &Document) -> String {
    let columns = [
        ("#", Align::Right),
        ("name", Align::Left),
        ("kind", Align::Left),
        ("shape", Align::Left),
        ("parameters", Align::Right),
        ("MACs", Align::Right),
        ("sees", Align::Right),
        ("every", Align::Right),
    ];
    let mut table = Table::new(&columns);
    let some = |n: u64| if n == 0 { "–".to_owned() } else { grouped(n) };
    // After a global layer every unit sees the same: there is no step.
    let pair = |[y, x]: [f64; 2]| match (y, x) {
        (0.0, 0.0) => "–".to_owned(),
        _ if y == x => format!("{y}"),
        _ => format!("{y}×{x}"),
    };
    for row in &document.layers {
        let Field { size, stride, .. } = row.receptive_field;
        table.row(vec![
            row.index.to_string(),
            row.name.clone(),
            row.kind.into(),
            row.shape.to_string(),
            some(row.parameters),
            some(row.macs),
            format!("{}×{}", size[0], size[1]),
            pair(stride),
        ]);
    }
    let network = &model.network;
    let mut text = table.text();
    text += &format!(
        "\n{}: {} layers, {} parameters, {} MACs a picture\n",
        escape(&model.path.to_string_lossy()),
        network.nodes().len(),
        grouped(count::parameters(network)),
        grouped(count::total_macs(network))
    );
    text += &format!("memory to classify a picture: {}, beside the file\n", document.memory.text());
    text += &format!("preprocessing: {}\n", model::record(preprocess));
    text
}
