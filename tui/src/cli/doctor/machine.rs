//! The machine as the program sees it: terminal, processor, caches, threads, memory, paths.
//!
//! On Linux caches come from `/sys`, affinity and limits from `/proc` and the cgroup; elsewhere those lines are missing.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;

use serde::Serialize;
use switchback_core::Level;
use switchback_core::text::escape;

use crate::cli::context::Context;
use crate::cli::model::{cpu, default_threads};
use crate::cli::table::bytes;

/// Everything but the model.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    terminal: Terminal,
    processor: Processor,
    caches: Vec<Cache>,
    threads: ThreadsFound,
    memory: BTreeMap<&'static str, u64>,
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
struct Processor {
    name: Option<String>,
    architecture: &'static str,
    level: &'static str,
    levels: Vec<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
struct Cache {
    level: u32,
    kind: String,
    bytes: u64,
    shared_by: String,
}

#[derive(Clone, Debug, Serialize)]
struct ThreadsFound {
    used: usize,
    default: usize,
    affinity: Option<String>,
    cgroup: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
struct Paths {
    program: Option<String>,
    temporary: String,
}

impl Machine {
    pub(super) fn look(context: &Context) -> Self {
        let variables = ["TERM", "COLORTERM", "TERM_PROGRAM", "NO_COLOR", "TMUX", "SSH_TTY", "LANG", "LC_ALL"];
        let environment = variables
            .into_iter()
            .filter_map(|name| Some((name, env::var_os(name)?.to_string_lossy().into_owned())))
            .collect();
        let cpu = cpu(context);
        Machine {
            terminal: Terminal {
                stdout: io::stdout().is_terminal(),
                stderr: io::stderr().is_terminal(),
                size: crossterm::terminal::size().ok().map(|(columns, rows)| [columns, rows]),
                environment,
            },
            processor: Processor {
                name: processor_name(&read("/proc/cpuinfo")),
                architecture: env::consts::ARCH,
                level: cpu.level.name(),
                levels: Level::available().iter().map(|l| l.name()).collect(),
            },
            caches: caches(Path::new("/sys/devices/system/cpu/cpu0/cache")),
            threads: ThreadsFound {
                used: cpu.threads.count(),
                default: default_threads(),
                affinity: value_of(&read("/proc/self/status"), "Cpus_allowed_list"),
                cgroup: cgroup(),
            },
            memory: memory(&read("/proc/meminfo")),
            paths: Paths {
                program: env::current_exe().ok().map(|p| p.to_string_lossy().into_owned()),
                temporary: env::temp_dir().to_string_lossy().into_owned(),
            },
        }
    }

    /// Safe to show.
    pub(super) fn text(&self) -> String {
        let Machine { terminal, processor, caches, threads, memory, paths } = self;
        let mut lines = vec![format!("switchback {}", env!("CARGO_PKG_VERSION"))];
        let mut line = |name: &str, text: String| lines.push(format!("  {name:<12} {}", escape(&text)));
        let size = terminal.size.map_or("size unknown".into(), |[c, r]| format!("{c}×{r}"));
        let is = |yes: bool| if yes { "a terminal" } else { "no terminal" };
        line("terminal", format!("stdout is {}, stderr is {}, {size}", is(terminal.stdout), is(terminal.stderr)));
        let variables: Vec<String> = terminal.environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
        line("environment", if variables.is_empty() { "nothing said".into() } else { variables.join(" ") });
        line("processor", format!("{} ({})", processor.name.as_deref().unwrap_or("unknown"), processor.architecture));
        line("kernels", format!("{}; this machine can run {}", processor.level, processor.levels.join(", ")));
        let caches: Vec<String> =
            caches.iter().map(|c| format!("L{} {} {}", c.level, c.kind.to_lowercase(), bytes(c.bytes))).collect();
        line("caches", if caches.is_empty() { "unknown".into() } else { caches.join(", ") });
        let mut text = format!("{} used, {} by default", threads.used, threads.default);
        if let Some(list) = &threads.affinity {
            text += &format!("; may run on CPUs {list}");
        }
        text += &threads.cgroup.map_or(String::new(), |n| format!("; cgroup allows {n:.2} CPUs"));
        line("threads", text);
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

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line `key: value`.
fn value_of(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|l| {
        let (name, value) = l.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

fn processor_name(cpuinfo: &str) -> Option<String> {
    ["model name", "Model", "Hardware"].into_iter().find_map(|key| value_of(cpuinfo, key))
}

/// `index0`, `index1`, … below `folder`.
fn caches(folder: &Path) -> Vec<Cache> {
    let cache = |i: usize| {
        let file = |name: &str| read(folder.join(format!("index{i}/{name}"))).trim().to_owned();
        let size = file("size");
        let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &size[digits.len()..] {
            "K" => 1 << 10,
            "M" => 1 << 20,
            _ => 1,
        };
        let bytes = digits.parse::<u64>().ok()? * unit;
        Some(Cache {
            level: file("level").parse().ok()?,
            kind: file("type"),
            bytes,
            shared_by: file("shared_cpu_list"),
        })
    };
    (0..).map_while(cache).collect()
}

/// CPUs that the cgroup of this process allows, version 2 or 1.
fn cgroup() -> Option<f64> {
    let of_process = read("/proc/self/cgroup");
    let own = of_process.lines().find_map(|l| l.strip_prefix("0::")).unwrap_or("/");
    let folder = Path::new("/sys/fs/cgroup").join(own.trim_start_matches('/'));
    let version_2 = [folder.as_path(), Path::new("/sys/fs/cgroup")];
    version_2.iter().find_map(|f| quota(&read(f.join("cpu.max")))).or_else(|| {
        let one = Path::new("/sys/fs/cgroup/cpu");
        let pair =
            format!("{} {}", read(one.join("cpu.cfs_quota_us")).trim(), read(one.join("cpu.cfs_period_us")).trim());
        quota(&pair)
    })
}

/// `QUOTA PERIOD`; `max` and −1 are no limit.
fn quota(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period) = (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

/// Bytes, from `/proc/meminfo`.
fn memory(meminfo: &str) -> BTreeMap<&'static str, u64> {
    [("available", "MemAvailable"), ("total", "MemTotal")]
        .into_iter()
        .filter_map(|(name, key)| {
            let value = value_of(meminfo, key)?;
            Some((name, 1024 * value.trim_end_matches("kB").trim().parse::<u64>().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas() {
        assert_eq!(quota("150000 100000\n"), Some(1.5));
        assert_eq!(quota("max 100000\n"), None);
        assert_eq!(quota("-1 100000"), None);
        assert_eq!(quota(""), None);
    }

    #[test]
    fn system_files() {
        let meminfo = "MemTotal:        2048 kB\nMemFree: 1 kB\nMemAvailable:    1024 kB\n";
        assert_eq!(memory(meminfo), BTreeMap::from([("available", 1 << 20), ("total", 2 << 20)]));
        assert_eq!(
            processor_name("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n").as_deref(),
            Some("Some CPU @ 2 GHz")
        );
        assert_eq!(memory(""), BTreeMap::new());
    }

    #[test]
    fn caches_from_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        for (i, (level, size)) in [("1", "48K"), ("3", "32M")].into_iter().enumerate() {
            let index = folder.path().join(format!("index{i}"));
            fs::create_dir(&index).unwrap();
            fs::write(index.join("level"), level).unwrap();
            fs::write(index.join("size"), format!("{size}\n")).unwrap();
            fs::write(index.join("type"), "Data\n").unwrap();
        }
        let found: Vec<_> = caches(folder.path()).iter().map(|c| (c.level, c.bytes)).collect();
        assert_eq!(found, [(1, 48 << 10), (3, 32 << 20)]);
        assert!(caches(Path::new("/nowhere")).is_empty());
    }
}
