//! The only file that knows threads: a fixed pool that runs independent tasks over disjoint data.
//!
//! What a task computes never depends on how many threads there are, so results are the same bits for any count.

use std::fmt;
use std::sync::Arc;

use rayon::prelude::*;

/// A pool of worker threads; one thread means the caller's own. Cloning shares the pool.
#[derive(Clone)]
pub struct Threads {
    pool: Option<Arc<rayon::ThreadPool>>,
    count: usize,
}

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
        Self { pool, count }
    }

    /// How many threads share the work.
    pub fn count(&self) -> usize {
        self.count
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

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Threads({})", self.count)
    }
}
