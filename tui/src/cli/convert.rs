//! `convert`: any model that opens, written in our own safetensors format.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use switchback_core::Dtype;
use switchback_core::import::native;
use switchback_core::preprocess::Preprocess;
use switchback_core::text::escape;

use super::Outcome;
use super::context::Context;
use super::failure::{Failure, show};
use super::model::{self, Header};
use super::output::{Format, Target};
use super::sweep::print_json;
use super::table::bytes;

/// Write a model as .safetensors, with its network, preprocessing and labels inside
///
/// The file is readable from Python, opens without parsing a graph, and remembers how pictures are prepared: what
/// --preprocess and --labels say, or what would be chosen without them. A guess is not recorded.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  switchback convert squeezenet1.1.onnx -o squeezenet1.1.safetensors\n  switchback convert caffenet.onnx --preprocess caffe-squash --dtype f16 -o caffenet.safetensors"
)]
pub(crate) struct Arguments {
    /// The model to convert
    #[arg(value_name = "MODEL")]
    source: Option<PathBuf>,

    /// The .safetensors file to write
    #[arg(short, long, value_name = "FILE", required = true)]
    output: PathBuf,

    /// How weights are stored
    #[arg(long, value_name = "TYPE", value_enum, default_value_t = Type::F32)]
    dtype: Type,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    /// 32 bits a number
    F32,
    /// 16 bits a number
    F16,
}

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    header: Header,
    output: String,
    dtype: Type,
    bytes: u64,
    preprocess_recorded: bool,
    labels_recorded: bool,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    let Some(path) = model::positional(context, arguments.source.as_ref())? else {
        return Err(Failure::usage("which model? switchback convert MODEL -o OUT.safetensors"));
    };
    let target = Target::new(&arguments.output, &[Format::Safetensors], "convert", &[path])?;
    let opened = model::open(context, Some(path))?;
    let preprocess: Option<&Preprocess> = (!opened.preprocess.guessed).then_some(&opened.preprocess.record);
    // Placeholders for names that nobody knows say nothing.
    let labels = opened.labels.first().filter(|l| *l != "class 0").map(|_| &opened.labels[..]);
    let dtype = match arguments.dtype {
        Type::F32 => Dtype::F32,
        Type::F16 => Dtype::F16,
    };
    context.check()?;
    native::write(&target.path, opened.model(), preprocess, labels, dtype)?;
    let size = std::fs::metadata(&target.path).map_or(0, |m| m.len());
    if context.options.json {
        print_json(&Document {
            header: opened.header(),
            output: target.path.to_string_lossy().into_owned(),
            dtype: arguments.dtype,
            bytes: size,
            preprocess_recorded: preprocess.is_some(),
            labels_recorded: labels.is_some(),
        })?;
    } else {
        let recorded = match preprocess {
            Some(_) => format!("preprocessing from {}", escape(&opened.preprocess.source)),
            None => "no preprocessing: nobody said which".into(),
        };
        context.note(format!("wrote {}: {}, {recorded}", show(&target.path), bytes(size)));
    }
    Ok(Outcome::Done)
}
