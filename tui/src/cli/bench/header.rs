//! What every report begins with: the machine, how the program was built, and whether the figures can be trusted.

use serde::Serialize;
use switchback_core::text::escape;

use crate::cli::context::Context;
use crate::cli::machine::{Load, Machine};

/// Begins every document.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Header {
    #[serde(flatten)]
    pub(super) machine: Machine,
    load: Load,
    build: &'static str,
    version: &'static str,
    /// Why figures may be wrong.
    warnings: Vec<String>,
}

impl Header {
    /// Looks at the machine, and says aloud what spoils figures.
    pub(super) fn look(context: &Context) -> Self {
        let machine = Machine::look(context);
        let load = Load::look();
        let build = if cfg!(debug_assertions) { "debug" } else { "release" };
        let warnings = warnings(build, &machine, &load);
        for warning in &warnings {
            context.warn(warning);
        }
        Self { machine, load, build, version: env!("CARGO_PKG_VERSION"), warnings }
    }

    /// Safe to show.
    pub(super) fn lines(&self, threads: &[usize], levels: &[&str]) -> Vec<String> {
        let Self { machine, load, build, version, .. } = self;
        let list = |items: Vec<String>| items.join(", ");
        let mut lines = vec![
            format!("switchback {version}, {build} build"),
            format!("processor: {}", machine.processor_line()),
            format!("levels: {} (this machine can run {})", levels.join(", "), machine.processor.levels.join(", ")),
            format!("caches: {}", machine.caches_line()),
            format!("threads: {}{}", list(threads.iter().map(usize::to_string).collect()), machine.limits()),
            format!("clock governor: {}", machine.processor.governor.as_deref().unwrap_or("not said")),
        ];
        if let Some(average) = load.average {
            lines.push(format!("load before the run: {average:.2} over the last minute"));
        }
        lines.iter().map(|l| escape(l).into_owned()).collect()
    }

    /// Safe to show.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// What spoils figures; safe to show.
fn warnings(build: &str, machine: &Machine, load: &Load) -> Vec<String> {
    let mut found = Vec::new();
    if build == "debug" {
        found.push("THIS IS A DEBUG BUILD: its figures mean nothing; build with --release".to_owned());
    }
    let average = load.average.filter(|&a| a > 0.5);
    if !load.others.is_empty() {
        let names: Vec<String> =
            load.others.iter().map(|o| format!("{} ({}, {:.0} %)", escape(&o.name), o.id, 100.0 * o.share)).collect();
        found.push(format!("THE MACHINE IS BUSY with {}: figures will be too slow and scatter", names.join(", ")));
    } else if let Some(average) = average {
        found.push(format!(
            "the machine was busy (load average {average:.2}): figures may be too slow; wait until it is quiet"
        ));
    }
    if machine.threads.used > machine.threads.default {
        found.push(format!("{} threads where only {} can run at once", machine.threads.used, machine.threads.default));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::machine::{Other, Processor, ThreadsFound};

    fn machine(used: usize) -> Machine {
        Machine {
            processor: Processor { name: None, architecture: "x", level: "portable", levels: vec![], governor: None },
            caches: Vec::new(),
            threads: ThreadsFound { used, default: 2, affinity: None, cgroup: None },
            memory: Default::default(),
        }
    }

    #[test]
    fn what_spoils_figures_is_said() {
        let quiet = Load { average: Some(0.1), others: Vec::new() };
        assert!(warnings("release", &machine(2), &quiet).is_empty());
        assert!(warnings("debug", &machine(2), &quiet)[0].contains("DEBUG"));
        let was = Load { average: Some(1.7), others: Vec::new() };
        assert!(warnings("release", &machine(2), &was)[0].contains("1.70"));
        let others = vec![Other { id: 7, name: "a\u{1b}[2J".into(), share: 0.97 }];
        let busy = warnings("release", &machine(3), &Load { average: None, others });
        assert!(busy[0].contains("BUSY with a\\u{1b}[2J (7, 97 %)") && busy[1].contains("3 threads"), "{busy:?}");
    }
}
