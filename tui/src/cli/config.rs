//! `config`: where the browser's configuration lies, what its defaults are, whether it is sound.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Outcome;
use super::context::Context;
use super::failure::{Failure, show};
use super::output::print;
use super::sweep::print_json;
use crate::config::{self, Config};
use crate::terminal::Process;

/// The browser's configuration: its place, its defaults, whether it is sound
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  switchback config default > \"$(switchback config path)\"\n  switchback config check"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Where it is looked for
    Path,
    /// Every setting with its default, as a file that can be used
    Default,
    /// Whether it is sound; errors tell line and key
    Check {
        /// The file; default: where it is looked for
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// Where the configuration is looked for.
pub(crate) fn path() -> anyhow::Result<PathBuf> {
    config::path(&Process)
        .ok_or_else(|| Failure::usage("no place for a configuration: set HOME, XDG_CONFIG_HOME or SWITCHBACK_CONFIG"))
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Outcome> {
    match &arguments.what {
        What::Path => {
            let path = path()?;
            match context.options.json {
                true => print_json(&serde_json::json!({ "path": path.to_string_lossy(), "exists": path.exists() }))?,
                false => print(format!("{}\n", path.display()).as_bytes())?,
            }
        }
        What::Default => print(config::default_text().as_bytes())?,
        What::Check { file } => {
            let path = file.clone().map_or_else(path, Ok)?;
            if file.is_none() && !path.exists() {
                context.note(format!("{}: not there, so the defaults are used", show(&path)));
                return Ok(Outcome::Done);
            }
            Config::read(&path)?;
            context.note(format!("{}: sound", show(&path)));
        }
    }
    Ok(Outcome::Done)
}
