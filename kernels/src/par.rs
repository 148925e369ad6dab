//! The only file that knows threads: a fixed pool that runs independent tasks over disjoint data.
//!
//! What a task computes never depends on how many threads there are, so results are the same bits for any count.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;

/// A pool of worker threads; one thread means the caller's own. Cloning shares the pool.
#[derive(Clone)]
pub struct Threads {
    pool: Option<Arc<rayon::ThreadPool>>,
    count: usize,
    /// Runs that began to keep the pool's threads awake, and those that ended: odd while one does.
    runs: Arc<AtomicUsize>,
}

/// How long threads wait for the next run before they sleep: runs that follow each other find them awake.
const LINGER: Duration = Duration::from_millis(1);

impl Threads {
    /// A pool of `count` threads (0 counts as 1). Falls back to the calling thread where the system refuses threads.
    pub fn new(count: usize) -> Self {
        let count = count.max(1);
        let pool = (count > 1)
            .then(|| {
                rayon::ThreadPoolBuilder::new().num_threads(count).thread_name(|i| format!("kernel-{i}")).build().ok()
            })
            .flatten()
            .map(Arc::new);
        let count = if pool.is_some() { count } else { 1 };
        Self { pool, count, runs: Arc::default() }
    }

    /// How many threads share the work.
    pub fn count(&self) -> usize {
        self.count
    }

    /// `f` on one of the pool's threads, with the others kept awake until it returns: a run of many short kernels
    /// otherwise spends its time on putting threads to sleep and waking them up. They stay awake for a millisecond longer.
    pub fn inside<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        let Some(pool) = &self.pool else { return f() };
        if pool.current_thread_index().is_some() {
            return f();
        }
        // One run at a time keeps the threads awake: two that wait for each other's keepers would wait for ever.
        let before = self.runs.load(Ordering::Relaxed);
        let run = before.wrapping_add(1);
        let (now, not) = (Ordering::Acquire, Ordering::Relaxed);
        if before % 2 == 1 || self.runs.compare_exchange(before, run, now, not).is_err() {
            return pool.install(f);
        }
        let _ended = AtEnd(|| self.runs.store(run.wrapping_add(1), Ordering::Release));
        pool.install(|| {
            let owner = rayon::current_thread_index();
            let done = AtomicBool::new(false);
            let result = rayon::scope(|scope| {
                let _done = AtEnd(|| done.store(true, Ordering::Release));
                for _ in 1..self.count {
                    scope.spawn(|_| keep_awake(owner, || done.load(Ordering::Acquire)));
                }
                f()
            });
            let (runs, end) = (self.runs.clone(), Instant::now() + LINGER);
            // The next run ends it. Nothing waits for it, but that another caller's fork, while it waits for its own tasks, may
            // sit through it.
            rayon::spawn_broadcast(move |_| {
                let next = || runs.load(Ordering::Relaxed).wrapping_sub(run) > 1;
                keep_awake(None, || next() || Instant::now() > end);
            });
            result
        })
    }

    /// `f` for every item, in any order and on any thread.
    pub fn for_each<T: Send>(&self, items: Vec<T>, f: impl Fn(T) + Send + Sync) {
        match &self.pool {
            Some(pool) if items.len() > 1 => pool.install(|| items.into_par_iter().with_max_len(1).for_each(f)),
            _ => items.into_iter().for_each(f),
        }
    }

    /// `f` for every number below `n`, in any order and on any thread.
    pub fn for_range(&self, n: usize, f: impl Fn(usize) + Send + Sync) {
        match &self.pool {
            Some(pool) if n > 1 => pool.install(|| (0..n).into_par_iter().with_max_len(1).for_each(f)),
            _ => (0..n).for_each(f),
        }
    }

    /// `f` of every item, in the items' order.
    pub fn map<T: Send, R: Send>(&self, items: Vec<T>, f: impl Fn(T) -> R + Send + Sync) -> Vec<R> {
        match &self.pool {
            Some(pool) if items.len() > 1 => pool.install(|| items.into_par_iter().with_max_len(1).map(f).collect()),
            _ => items.into_iter().map(f).collect(),
        }
    }

    /// `f(i, chunk)` for every `len` elements of `data` (the last chunk may be shorter).
    pub fn chunks_mut<T: Send>(&self, data: &mut [T], len: usize, f: impl Fn(usize, &mut [T]) + Send + Sync) {
        match &self.pool {
            Some(pool) if data.len() > len => {
                pool.install(|| data.par_chunks_mut(len).enumerate().for_each(|(i, chunk)| f(i, chunk)));
            }
            _ => data.chunks_mut(len).enumerate().for_each(|(i, chunk)| f(i, chunk)),
        }
    }
}

/// Calls its function when it goes, also on the way out of a panic.
struct AtEnd<F: Fn()>(F);

impl<F: Fn()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Takes tasks until it is `done`. The thread that will say so, `owner`, must not wait here for itself.
fn keep_awake(owner: Option<usize>, done: impl Fn() -> bool) {
    /// Looks for work before the thread offers its core to others.
    const PATIENCE: usize = 64;
    let mut idle = 0;
    while !done() && rayon::current_thread_index() != owner {
        match rayon::yield_now() {
            Some(rayon::Yield::Executed) => idle = 0,
            _ if idle < PATIENCE => {
                idle += 1;
                std::hint::spin_loop();
            }
            _ => std::thread::yield_now(),
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Threads({})", self.count)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn sum(threads: &Threads, n: usize) -> usize {
        threads.map((0..n).collect(), |i| i).into_iter().sum()
    }

    #[test]
    fn work_inside_is_done_by_all_and_nested_calls_end() {
        for count in [1, 2, 3, 8] {
            let threads = Threads::new(count);
            for _ in 0..200 {
                let found = threads.inside(|| {
                    let nested: Vec<usize> = threads.map(vec![10, 20, 30], |n| threads.inside(|| sum(&threads, n)));
                    sum(&threads, 100) + nested.iter().sum::<usize>()
                });
                assert_eq!(found, 4950 + 45 + 190 + 435, "{count} threads");
            }
        }
    }

    #[test]
    fn callers_on_several_threads_do_not_wait_for_each_other_for_ever() {
        let threads = Threads::new(3);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..200).for_each(|_| assert_eq!(threads.inside(|| sum(&threads, 50)), 1225)));
            }
        });
    }

    #[test]
    fn a_panic_inside_comes_out_and_leaves_the_pool_whole() {
        let threads = Threads::new(2);
        let panicked = catch_unwind(AssertUnwindSafe(|| threads.inside(|| panic!("on purpose"))));
        assert!(panicked.is_err());
        assert_eq!(threads.runs.load(Ordering::Acquire), 2, "begun and ended");
        assert_eq!(threads.inside(|| sum(&threads, 10)), 45);
    }

    #[test]
    fn runs_that_follow_each_other_or_others_forks_are_done() {
        let threads = Threads::new(3);
        std::thread::scope(|scope| {
            scope.spawn(|| (0..300).for_each(|_| assert_eq!(threads.inside(|| sum(&threads, 40)), 780)));
            scope.spawn(|| (0..300).for_each(|_| assert_eq!(sum(&threads, 30), 435)));
        });
        // Threads that still wait for a next run do not outlive the pool.
        for _ in 0..20 {
            let threads = Threads::new(2);
            assert_eq!(threads.inside(|| sum(&threads, 10)), 45);
        }
    }
}
