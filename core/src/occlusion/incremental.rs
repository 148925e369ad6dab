//! Many squares from one clean run: chunks of them side by side on the threads, then the linear layers for all at once.
//!
//! ```text
//! corners ─▶ chunk ─ Spread up to the cut ─┐
//!            chunk ─ …                     ├─ waiting ─▶ Spread from the cut on ─▶ answers
//!            chunk ─ …                     ┘   the weights of linear layers are read once for all that wait
//! ```

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use switchback_kernels::Cpu;

use super::Answer;
use super::clean::Clean;
use super::patch::{Patch, Patches};
use super::spread::Spread;
use super::whole::Whole;
use crate::error::Result;
use crate::forward::is_finite;
use crate::network::NodeId;
use crate::pool::Pool;

/// Bytes that a chunk may take. Filters are streamed once a chunk and layer, so larger is faster, up to a point.
const CHUNK_BYTES: u64 = 64 << 20;
/// The most squares of a chunk.
const MOST_IN_CHUNK: u64 = 32;
/// Chunks for each thread between two looks at the callback.
const CHUNKS_A_THREAD: usize = 4;
/// The most squares that wait for the linear layers.
const MOST_WAITING: u64 = 640;

/// What waits for the steps from the cut on.
#[derive(Default)]
struct Waiting {
    corners: Vec<[usize; 2]>,
    carried: Vec<(NodeId, Patches)>,
    activity: Vec<f64>,
}

/// A sweep by windows.
pub(super) struct Incremental<'a> {
    clean: Clean<'a>,
    /// For what is not finite: a full pass says why.
    whole: Whole<'a>,
    single: Cpu,
    /// Squares of a chunk, of a round of chunks, and that may wait.
    chunk: usize,
    round: usize,
    room: usize,
    waiting: Waiting,
    /// One a thread.
    pools: Mutex<Vec<Pool>>,
    /// Bytes beside what waits, and the most squares that waited.
    base: u64,
    most: u64,
}

impl<'a> Incremental<'a> {
    /// `base` is what the clean run takes with its filters. `None` where no square fits the memory that is allowed.
    pub(super) fn new(clean: Clean<'a>, whole: Whole<'a>, base: u64) -> Option<Self> {
        let session = clean.session;
        let threads = session.cpu().threads.count();
        let (before, after) = (clean.bytes_a_square().max(1), clean.bytes_after().max(1));
        let room = session.max_memory().map_or(Some(u64::MAX), |limit| limit.checked_sub(base))?;
        if threads as u64 * before + after > room {
            return None;
        }
        // Half of the room for chunks, the rest for what waits.
        let chunk = (CHUNK_BYTES.min(room / 2 / threads as u64) / before).clamp(1, MOST_IN_CHUNK) as usize;
        let chunks = (chunk * threads) as u64 * before;
        let room = ((room - chunks) / after).clamp(1, MOST_WAITING) as usize;
        let round = (chunk * threads * CHUNKS_A_THREAD).min(room);
        let single = Cpu::single(session.cpu().level);
        let (waiting, pools) = (Waiting::default(), Mutex::new(session.take_pools()));
        Some(Self { clean, whole, single, chunk, round, room, waiting, pools, most: 0, base: base + chunks })
    }

    /// Squares that are best handed over together.
    pub(super) fn batch(&self) -> usize {
        self.round.min(self.room - self.waiting.corners.len())
    }

    /// Whether no more squares may wait.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.corners.len() >= self.room
    }

    /// The most bytes at one time so far, by count.
    pub(super) fn peak(&self) -> u64 {
        self.base + self.most * self.clean.bytes_after()
    }

    /// The time of every step so far.
    pub(super) fn spent(&self) -> Vec<(NodeId, Duration)> {
        self.clean.spent()
    }

    /// Takes squares as far as the cut.
    pub(super) fn push(&mut self, corners: &[[usize; 2]]) -> Result<()> {
        let threads = &self.clean.session.cpu().threads;
        let (clean, single, pools) = (&self.clean, &self.single, &self.pools);
        let lock = || pools.lock().unwrap_or_else(PoisonError::into_inner);
        let run = |corners: &[[usize; 2]]| {
            let mut pool = lock().pop().unwrap_or_default();
            let mut spread = Spread::new(clean, single, corners, &mut pool);
            let result = spread.run(0..clean.cut).map(|()| spread.carry(&clean.carried));
            spread.release();
            lock().push(pool);
            result
        };
        let chunks = shares(corners, self.chunk, threads.count());
        let next = AtomicUsize::new(0);
        // In this order whichever thread is free, so that the last ones are short.
        let take = |_| {
            let next = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&i| i < chunks.len());
            std::iter::from_fn(next).map(|i| (i, run(chunks[i]))).collect::<Vec<_>>()
        };
        let mut done: Vec<_> = threads.map((0..threads.count()).collect(), take).into_iter().flatten().collect();
        done.sort_by_key(|(i, _)| *i);
        for (_, done) in done {
            let (carried, activity) = done.map_err(|e| e.in_model(&clean.session.model().path))?;
            self.waiting.take(carried, activity);
        }
        self.waiting.corners.extend_from_slice(corners);
        Ok(())
    }

    /// Takes all that wait to the end; answers in the order in which they came.
    pub(super) fn flush(&mut self) -> Result<Vec<Answer>> {
        let Waiting { corners, carried, activity } = std::mem::take(&mut self.waiting);
        if corners.is_empty() {
            return Ok(Vec::new());
        }
        let clean = &self.clean;
        let session = clean.session;
        let network = session.network();
        self.most = self.most.max(corners.len() as u64);
        let mut pool = Pool::default();
        let mut spread = Spread::resume(clean, session.cpu(), carried, activity, &mut pool);
        let last = clean.cut..clean.steps.len();
        session.cpu().threads.inside(|| spread.run(last)).map_err(|e| e.in_model(&session.model().path))?;
        let mut answers = Vec::with_capacity(corners.len());
        for (s, &corner) in corners.iter().enumerate() {
            let scores = spread.numbers(network.scores(), s);
            if !is_finite(&scores) {
                answers.extend(self.whole.answers(&[corner])?);
                continue;
            }
            let after = network.softmax().map(|id| spread.numbers(id, s));
            let probabilities = session.probabilities(&scores, after.as_deref());
            answers.push(Answer { probabilities, activity: spread.activity(s) });
        }
        Ok(answers)
    }
}

/// Chunks of at most `most` squares, shorter and shorter towards the end: no thread waits long for the last.
fn shares<T>(squares: &[T], most: usize, threads: usize) -> Vec<&[T]> {
    let (mut rest, mut shares) = (squares, Vec::new());
    while !rest.is_empty() {
        let share = (rest.len() / (2 * threads)).clamp((most / 4).max(1), most).min(rest.len());
        let (now, later) = rest.split_at(share);
        shares.push(now);
        rest = later;
    }
    shares
}

impl Drop for Incremental<'_> {
    fn drop(&mut self) {
        let pools = std::mem::take(self.pools.get_mut().unwrap_or_else(PoisonError::into_inner));
        self.clean.session.give_pools(pools);
    }
}

impl Waiting {
    fn take(&mut self, carried: Vec<(NodeId, Patches)>, activity: Vec<f64>) {
        self.activity.extend(activity);
        for (id, patches) in carried {
            let at = match self.carried.iter().position(|(i, _)| *i == id) {
                Some(at) => at,
                None => {
                    self.carried.push((id, Patches::default()));
                    self.carried.len() - 1
                }
            };
            let all = &mut self.carried[at].1;
            let first = all.buffers.len();
            all.buffers.extend(patches.buffers);
            all.patches.extend(patches.patches.iter().map(|p| Patch { buffer: p.buffer + first, ..*p }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn shares_are_all_and_end_short() {
        for (count, most, threads) in [(0, 32, 2), (1, 32, 2), (49, 32, 2), (456, 32, 2), (49, 1, 3), (1000, 13, 1)] {
            let squares: Vec<usize> = (0..count).collect();
            let shares = shares(&squares, most, threads);
            assert_eq!(shares.concat(), squares);
            let lengths: Vec<usize> = shares.iter().map(|s| s.len()).collect();
            assert!(
                lengths.iter().all(|l| (1..=most).contains(l)) && lengths.is_sorted_by(|a, b| a >= b),
                "{lengths:?}"
            );
        }
    }
}
