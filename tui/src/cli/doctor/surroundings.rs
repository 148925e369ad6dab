//! The program's surroundings: terminal, environment and paths, beside the machine itself.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, IsTerminal};

use serde::Serialize;
use switchback_core::text::escape;

use crate::cli::context::Context;
use crate::cli::machine::Machine;
use crate::cli::table::bytes;

/// Everything but the model.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Surroundings {
    terminal: Terminal,
    #[serde(flatten)]
    machine: Machine,
    paths: Paths,
}

#[derive(Clone, Debug, Serialize)]
struct Terminal {
    stdout: bool,
    stderr: bool,
    /// Columns and rows.
    size: Option<[u16; 2]>,
    environment: BTreeMap<&'static str, String>,
}

#[derive(Clone, Debug, Serialize)]
struct Paths {
    program: Option<String>,
    temporary: String,
}

impl Surroundings {
    pub(super) fn look(context: &Context) -> Self {
        let variables = ["TERM", "COLORTERM", "TERM_PROGRAM", "NO_COLOR", "TMUX", "SSH_TTY", "LANG", "LC_ALL"];
        let environment = variables
            .into_iter()
            .filter_map(|name| Some((name, env::var_os(name)?.to_string_lossy().into_owned())))
            .collect();
        Surroundings {
            terminal: Terminal {
                stdout: io::stdout().is_terminal(),
                stderr: io::stderr().is_terminal(),
                size: crossterm::terminal::size().ok().map(|(columns, rows)| [columns, rows]),
                environment,
            },
            machine: Machine::look(context),
            paths: Paths {
                program: env::current_exe().ok().map(|p| p.to_string_lossy().into_owned()),
                temporary: env::temp_dir().to_string_lossy().into_owned(),
            },
        }
    }

    /// Safe to show.
    pub(super) fn text(&self) -> String {
        let Surroundings { terminal, machine, paths } = self;
        let Machine { processor, threads, memory, .. } = machine;
        let mut lines = vec![format!("switchback {}", env!("CARGO_PKG_VERSION"))];
        let mut line = |name: &str, text: String| lines.push(format!("  {name:<12} {}", escape(&text)));
        let size = terminal.size.map_or("size unknown".into(), |[c, r]| format!("{c}×{r}"));
        let is = |yes: bool| if yes { "a terminal" } else { "no terminal" };
        line("terminal", format!("stdout is {}, stderr is {}, {size}", is(terminal.stdout), is(terminal.stderr)));
        let variables: Vec<String> = terminal.environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
        line("environment", if variables.is_empty() { "nothing said".into() } else { variables.join(" ") });
        line("processor", machine.processor_line());
        line("kernels", format!("{}; this machine can run {}", processor.level, processor.levels.join(", ")));
        line("caches", machine.caches_line());
        line("threads", format!("{} used, {} by default{}", threads.used, threads.default, machine.limits()));
        if let Some(governor) = &processor.governor {
            line("governor", governor.clone());
        }
        if !memory.is_empty() {
            line("memory", memory.iter().map(|(k, &v)| format!("{} {k}", bytes(v))).collect::<Vec<_>>().join(", "));
        }
        line("program", paths.program.clone().unwrap_or_else(|| "unknown".into()));
        line("temporary", paths.temporary.clone());
        let builtin = if switchback_weights::builtin().is_some() { "yes" } else { "none in this version" };
        line("built-in", format!("model: {builtin}"));
        lines.join("\n") + "\n"
    }
}
