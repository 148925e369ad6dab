//! The command line: one clap definition, from which help, man pages and completions are made, and the way from
//! arguments to an exit status.
//!
//! ```text
//! arguments → Cli → Context (options, warnings, cancel flag) → a subcommand → Outcome | error → exit status
//! ```
//! stdout is data, stderr is talk. Exit status: 0 done, 1 a negative answer, 2 could not run, 130 interrupted;
//! a reader that closes the pipe early is no failure.

pub(crate) mod ahead;
mod arguments;
mod bench;
mod browse;
mod classify;
mod config;
pub(crate) mod context;
mod convert;
mod doctor;
pub(crate) mod draw;
pub(crate) mod failure;
pub(crate) mod features;
mod generate;
mod guide;
pub(crate) mod input;
mod json;
mod layers;
mod machine;
mod memory;
pub(crate) mod model;
mod models;
pub(crate) mod occlude;
mod output;
mod progress;
pub(crate) mod project;
pub(crate) mod sweep;
pub(crate) mod table;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use arguments::Options;
use context::Context;

const EXAMPLES: &str = "\
Examples:
  switchback          -m squeezenet1.1.onnx cat.jpg      # the browser; ? lists its keys
  switchback layers   -m squeezenet1.1.onnx
  switchback classify -m squeezenet1.1.onnx cat.jpg
  switchback project  -m squeezenet1.1.onnx cat.jpg -l fire9/concat_1 --top 9 -o cat.png
  switchback occlude  -m squeezenet1.1.onnx cat.jpg --class 'Egyptian cat' -o heat.png

`switchback models` says where public models live. Every command has its own --help.";

/// Look inside a convolutional network from a terminal.
///
/// Switchback runs a network on a picture, keeps the switches of its max-pooling, and walks back from any unit to the
/// pixels that it answers to (Zeiler & Fergus 2013). It also slides a square over the picture and maps what the network
/// then loses. Everything runs on the CPU; nothing but a model file is needed.
#[derive(Debug, Parser)]
#[command(
    name = "switchback",
    version,
    after_help = EXAMPLES,
    max_term_width = 100,
    disable_help_subcommand = true,
    override_usage = "switchback [OPTIONS] [INPUT]...\n       switchback [OPTIONS] COMMAND [INPUT]..."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    options: Options,

    /// Without a command, the browser opens: pictures, folders of pictures, .npy tensors, or - for stdin
    #[arg(value_name = "INPUT")]
    words: Vec<OsString>,

    #[command(flatten)]
    browser: browse::Settings,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Browse(browse::Arguments),
    Layers(layers::Arguments),
    Classify(classify::Arguments),
    Features(features::Arguments),
    Project(project::Arguments),
    Occlude(occlude::Arguments),
    Convert(convert::Arguments),
    Models(models::Arguments),
    Bench(bench::Arguments),
    Config(config::Arguments),
    Doctor(doctor::Arguments),
    Completions(generate::Completions),
    Man(generate::Man),
}

/// How a command that could run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything was done.
    Done,
    /// A negative answer: an input failed, a model is damaged.
    Negative,
    /// The user said stop, and what was there until then is kept.
    Interrupted,
}

/// Parses the arguments, runs the command, reports. The process's exit status.
pub(crate) fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return failure::usage(&error, &arguments),
    };
    let context = Context::new(cli.options);
    let result = match &cli.command {
        None => browse::without_a_command(&cli.words, &cli.browser, &context),
        Some(_) if cli.browser.is_given() => Err(guide::browser_options_before_command()),
        Some(_) if !cli.words.is_empty() => Err(guide::inputs_before_command(&cli.words)),
        Some(command) => run(command, &context),
    };
    context.finish(result)
}

fn run(command: &Command, context: &Context) -> anyhow::Result<Outcome> {
    if !matches!(command, Command::Bench(_)) {
        context.options.refuse_lists()?;
    }
    match command {
        Command::Browse(a) => browse::run(a, context),
        Command::Layers(a) => layers::run(a, context),
        Command::Classify(a) => classify::run(a, context),
        Command::Features(a) => features::run(a, context),
        Command::Project(a) => project::run(a, context),
        Command::Occlude(a) => occlude::run(a, context),
        Command::Convert(a) => convert::run(a, context),
        Command::Models(a) => models::run(a, context),
        Command::Bench(a) => bench::run(a, context),
        Command::Config(a) => config::run(a, context),
        Command::Doctor(a) => doctor::run(a, context),
        Command::Completions(a) => generate::completions(a),
        Command::Man(a) => generate::man(a),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_and_command_is_documented() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} says nothing of itself", command.get_name());
            for argument in command.get_arguments().filter(|a| !a.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{} {} has no help", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        let mut command = Cli::command();
        command.build();
        check(&command);
    }

    #[test]
    fn shared_options_stand_before_and_after_the_command() {
        for line in [["switchback", "-m", "a.onnx", "layers"], ["switchback", "layers", "-m", "a.onnx"]] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.options.model, [std::path::PathBuf::from("a.onnx")]);
        }
    }
}
