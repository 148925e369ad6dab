//! The machine that runs: processor, caches, threads, memory, clock governor, and who else is busy on it.
//!
//! On Linux caches and the governor come from `/sys`, affinity, load and limits from `/proc` and the cgroup; elsewhere
//! those are missing.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde::Serialize;
use switchback_core::Level;

use super::context::Context;
use super::model::{cpu, default_threads};
use super::table::bytes;

/// What the kernels have to work with.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: Processor,
    pub(crate) caches: Vec<Cache>,
    pub(crate) threads: ThreadsFound,
    /// Bytes.
    pub(crate) memory: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Processor {
    pub(crate) name: Option<String>,
    pub(crate) architecture: &'static str,
    pub(crate) level: &'static str,
    pub(crate) levels: Vec<&'static str>,
    /// Of the clock: `performance`, `powersave`, …
    pub(crate) governor: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cache {
    pub(crate) level: u32,
    pub(crate) kind: String,
    pub(crate) bytes: u64,
    pub(crate) shared_by: String,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ThreadsFound {
    pub(crate) used: usize,
    pub(crate) default: usize,
    pub(crate) affinity: Option<String>,
    pub(crate) cgroup: Option<f64>,
}

impl Machine {
    pub(crate) fn look(context: &Context) -> Self {
        let cpu = cpu(context);
        Machine {
            processor: Processor {
                name: processor_name(&read("/proc/cpuinfo")),
                architecture: env::consts::ARCH,
                level: cpu.level.name(),
                levels: Level::available().iter().map(|l| l.name()).collect(),
                governor: some(read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
            },
            caches: caches(Path::new("/sys/devices/system/cpu/cpu0/cache")),
            threads: ThreadsFound {
                used: cpu.threads.count(),
                default: default_threads(),
                affinity: value_of(&read("/proc/self/status"), "Cpus_allowed_list"),
                cgroup: cgroup(),
            },
            memory: memory(&read("/proc/meminfo")),
        }
    }

    /// Bytes of the data cache of `level`.
    pub(crate) fn data_cache(&self, level: u32) -> Option<u64> {
        self.caches.iter().find(|c| c.level == level && c.kind != "Instruction").map(|c| c.bytes)
    }

    /// `name (architecture)`; not safe to show.
    pub(crate) fn processor_line(&self) -> String {
        let Processor { name, architecture, .. } = &self.processor;
        format!("{} ({architecture})", name.as_deref().unwrap_or("unknown"))
    }

    /// Every cache in one line; not safe to show.
    pub(crate) fn caches_line(&self) -> String {
        let line: Vec<String> =
            self.caches.iter().map(|c| format!("L{} {} {}", c.level, c.kind.to_lowercase(), bytes(c.bytes))).collect();
        if line.is_empty() { "unknown".into() } else { line.join(", ") }
    }

    /// Affinity and limits, each after a semicolon; not safe to show.
    pub(crate) fn limits(&self) -> String {
        let affinity = self.threads.affinity.as_ref().map(|list| format!("; may run on CPUs {list}"));
        let cgroup = self.threads.cgroup.map(|n| format!("; cgroup allows {n:.2} CPUs"));
        affinity.into_iter().chain(cgroup).collect()
    }
}

/// What else the machine is doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Load {
    /// Mean number of running tasks over the last minute.
    pub(crate) average: Option<f64>,
    /// Other processes that were running while we looked, busiest first.
    pub(crate) others: Vec<Other>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Other {
    pub(crate) id: u32,
    /// Not safe to show.
    pub(crate) name: String,
    /// Of one CPU.
    pub(crate) share: f64,
}

impl Load {
    /// Looks for a fifth of a second.
    pub(crate) fn look() -> Self {
        /// Of `/proc/*/stat` on every Linux that Rust runs on.
        const TICKS_A_SECOND: f64 = 100.0;
        const WHILE: Duration = Duration::from_millis(200);
        const MOST: usize = 8;
        let average = read("/proc/loadavg").split(' ').next().and_then(|n| n.parse().ok());
        let before = ticks();
        if before.is_empty() {
            return Self { average, others: Vec::new() };
        }
        sleep(WHILE);
        let mut others: Vec<Other> = ticks()
            .into_iter()
            .filter_map(|(id, (name, after))| {
                let share = (after - before.get(&id)?.1) as f64 / TICKS_A_SECOND / WHILE.as_secs_f64();
                (share > 0.2 && id != std::process::id()).then_some(Other { id, name, share })
            })
            .collect();
        others.sort_by(|a, b| b.share.total_cmp(&a.share));
        others.truncate(MOST);
        Self { average, others }
    }
}

/// Name and processor time of every process.
fn ticks() -> BTreeMap<u32, (String, u64)> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .filter_map(|e| {
            let id: u32 = e.ok()?.file_name().to_str()?.parse().ok()?;
            Some((id, stat(&read(format!("/proc/{id}/stat")))?))
        })
        .collect()
}

/// Name, and ticks in user and kernel mode, from `/proc/*/stat`. The name stands in brackets and may hold brackets.
fn stat(text: &str) -> Option<(String, u64)> {
    let (start, end) = (text.find('(')?, text.rfind(')')?);
    let fields: Vec<&str> = text.get(end + 1..)?.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok());
    Some((text.get(start + 1..end)?.to_owned(), ticks(11)? + ticks(12)?))
}

fn some(text: String) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
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

    #[test]
    fn processes_may_have_any_name() {
        let line = "42 (a) b (c) R 1 1 1 0 -1 4194304 0 0 0 0 300 20 0 0 20 0 1 0 100";
        assert_eq!(stat(line), Some(("a) b (c".into(), 320)));
        assert_eq!(stat("42 (cut) R 1"), None);
        assert_eq!(stat(""), None);
    }
}
