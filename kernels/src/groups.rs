//! Maps handed to threads, a few at a time.

use crate::Cpu;
use crate::view::{MapsMut, PlanesMut};

/// Cells of a task below which a fork costs more than it gains.
const GRAIN: usize = 1 << 15;

/// How many of `planes`, of `cells` each, a thread takes at once: all, if one thread is enough.
fn group(cpu: &Cpu, planes: usize, cells: usize) -> usize {
    let threads = cpu.threads.count();
    let least = GRAIN.div_ceil(cells.max(1)).max(planes.div_ceil(8 * threads));
    // As many groups for each thread.
    let groups = planes.div_ceil(least).next_multiple_of(threads);
    if threads == 1 || planes <= least { planes } else { planes.div_ceil(groups) }
}

/// Hands `planes`, of `cells` each, to the threads in groups; a group keeps its order. A group's result must not
/// depend on what else is in it.
pub(crate) fn for_groups<T: Send>(cpu: &Cpu, planes: Vec<T>, cells: usize, f: impl Fn(Vec<T>) + Send + Sync) {
    let group = group(cpu, planes.len(), cells);
    if planes.is_empty() {
        return;
    }
    if planes.len() == group {
        return f(planes);
    }
    let mut groups = Vec::with_capacity(planes.len().div_ceil(group));
    let mut planes = planes.into_iter().peekable();
    while planes.peek().is_some() {
        groups.push(planes.by_ref().take(group).collect());
    }
    cpu.threads.for_each(groups, f);
}

/// The same for the maps of `out`, which are made when their group takes them.
pub(crate) fn for_planes(cpu: &Cpu, out: MapsMut<'_>, cells: usize, f: impl Fn(PlanesMut<'_>) + Send + Sync) {
    let mut rest = out.planes();
    let group = group(cpu, rest.len(), cells);
    if rest.len() == 0 {
        return;
    }
    if rest.len() == group {
        return f(rest);
    }
    let mut groups = Vec::with_capacity(rest.len().div_ceil(group));
    while rest.len() > group {
        let (planes, behind) = rest.split_at(group);
        groups.push(planes);
        rest = behind;
    }
    groups.push(rest);
    cpu.threads.for_each(groups, f);
}
