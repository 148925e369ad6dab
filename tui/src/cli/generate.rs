//! Completions and man pages, from the one definition of the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::failure::Failure;
use super::guide::near_commands;
use super::output::print;
use super::{Cli, Outcome};
use switchback_core::text::escape;

/// A completion script for a shell, on stdout
///
/// For bash: switchback completions bash > ~/.local/share/bash-completion/completions/switchback
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

/// A man page (roff), on stdout
///
/// Read it with: switchback man | man -l -
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Of this command; default: of switchback itself
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

pub(crate) fn completions(arguments: &Completions) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "switchback", &mut script);
    print(&script)?;
    Ok(Outcome::Done)
}

pub(crate) fn man(arguments: &Man) -> anyhow::Result<Outcome> {
    let mut command = Cli::command();
    command.build();
    if let Some(name) = &arguments.command {
        let Some(found) = command.find_subcommand(name) else {
            let near = near_commands(name);
            let names: Vec<&str> = match near.is_empty() {
                true => command.get_subcommands().map(clap::Command::get_name).collect(),
                false => near.iter().map(String::as_str).collect(),
            };
            return Err(Failure::usage(format!("no command \"{}\"; there are {}", escape(name), names.join(", "))));
        };
        // man pages of subcommands are filed under both words.
        let title = format!("switchback-{name}");
        command = found.clone().display_name(title);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    print(&page)?;
    Ok(Outcome::Done)
}
