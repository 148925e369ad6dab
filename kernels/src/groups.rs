//! Maps handed to threads, a few at a time.

use crate::Cpu;
use crate::view::PlanesMut;

/// Cells of a task below which a fork costs more than it gains.
const GRAIN: usize = 1 << 15;

/// Things in an order, which can be handed out by parts.
pub(crate) trait Parts: Send + Sized {
    /// How many.
    fn size(&self) -> usize;

    /// The first `n`, which must be there, and those behind them, which alone are moved.
    fn parted_at(self, n: usize) -> (Self, Self);
}

impl<T: Send> Parts for Vec<T> {
    fn size(&self) -> usize {
        self.len()
    }

    fn parted_at(mut self, n: usize) -> (Self, Self) {
        let behind = self.split_off(n);
        (self, behind)
    }
}

impl<T: Send> Parts for PlanesMut<'_, T> {
    fn size(&self) -> usize {
        self.len()
    }

    fn parted_at(self, n: usize) -> (Self, Self) {
        self.split_at(n)
    }
}

/// Hands `all` things, each as much work as `cells` cells, to the threads in parts that keep their order. What a part gives
/// must not depend on what else is in it.
pub(crate) fn for_parts<P: Parts>(cpu: &Cpu, all: P, cells: usize, f: impl Fn(P) + Send + Sync) {
    let (count, threads) = (all.size(), cpu.threads.count());
    if count == 0 {
        return;
    }
    let least = GRAIN.div_ceil(cells.max(1)).max(count.div_ceil(8 * threads));
    if threads == 1 || count <= least {
        return f(all);
    }
    // As many parts for each thread.
    let each = count.div_ceil(count.div_ceil(least).next_multiple_of(threads));
    let mut parts = Vec::with_capacity(count.div_ceil(each));
    let mut rest = all;
    // The last first, so that none is moved twice.
    while rest.size() > each {
        let last = (rest.size() - 1) / each * each;
        let (before, part) = rest.parted_at(last);
        parts.push(part);
        rest = before;
    }
    parts.push(rest);
    parts.reverse();
    cpu.threads.for_each(parts, f);
}
