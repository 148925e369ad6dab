//! How much may be on its way: frames wait here, not in the buffers of a slow link, so that the newest can overtake.
//!
//! ```text
//! frame, CSI 5 n ──▶ pty ─▶ ssh ─▶ terminal      every frame ends with a question that is answered when it is shown
//!        CSI 0 n ◀──────────────────┘            bytes without an answer ≤ budget; a frame may always go when there are none
//! ```
//! The budget follows the delay of the answers: while they come soon it grows, where they queue up it is halved.
//! A terminal that does not answer is not waited for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Budgets: to begin with, least, most.
const FIRST: usize = 24 << 10;
const LEAST: usize = 2 << 10;
const MOST: usize = 1 << 20;
/// So much later than the quickest answer is a queue.
const QUEUE: Duration = Duration::from_millis(150);
/// An answer that late is lost.
const LOST: Duration = Duration::from_secs(3);

/// Questions under way.
#[derive(Debug)]
pub(crate) struct Pace {
    asked: VecDeque<(Instant, usize)>,
    under_way: usize,
    budget: usize,
    quickest: Duration,
    /// Whether any answer ever came, and none was lost since.
    answers: bool,
}

impl Pace {
    /// Nothing is known.
    pub(crate) fn new() -> Self {
        Self { asked: VecDeque::new(), under_way: 0, budget: FIRST, quickest: LOST, answers: false }
    }

    /// A question was sent after `bytes`.
    pub(crate) fn sent(&mut self, bytes: usize, now: Instant) {
        self.asked.push_back((now, bytes));
        self.under_way += bytes;
    }

    /// An answer came; the delay of what it answers.
    pub(crate) fn answered(&mut self, now: Instant) -> Option<Duration> {
        self.answers = true;
        let (at, bytes) = self.asked.pop_front()?;
        self.under_way -= bytes;
        let delay = now.saturating_duration_since(at);
        self.quickest = self.quickest.min(delay);
        self.budget = match delay > self.quickest + QUEUE {
            true => (self.budget / 2).max(LEAST),
            false => (self.budget + bytes).min(MOST),
        };
        Some(delay)
    }

    /// Whether a frame may go, else how long at most to wait before asking again.
    pub(crate) fn room(&mut self, now: Instant) -> Result<(), Duration> {
        let Some(&(oldest, _)) = self.asked.front() else { return Ok(()) };
        if !self.answers || self.under_way < self.budget {
            return Ok(());
        }
        let waited = now.saturating_duration_since(oldest);
        if waited < LOST {
            return Err(LOST - waited);
        }
        self.forget();
        Ok(())
    }

    /// Whether to end a frame with a question: not to a terminal that leaves them without answers.
    pub(crate) fn asks(&self) -> bool {
        self.answers
    }

    /// Answers still to come.
    pub(crate) fn awaited(&self) -> usize {
        self.asked.len()
    }

    /// Awaits nothing of what was sent. Answers that come all the same count for later questions: early, never late.
    pub(crate) fn forget(&mut self) {
        self.asked.clear();
        self.under_way = 0;
        self.answers = false;
        self.quickest = LOST;
    }
}

/// So many frames may follow each other at once after a rest: what a key changes, and what was computed for it.
const BURST: u32 = 2;

/// Frames a second: on average no more than asked for.
#[derive(Debug)]
pub(crate) struct Rate {
    between: Duration,
    /// When the next frame would go, were all evenly spaced.
    due: Instant,
}

impl Rate {
    /// One frame each `between`.
    pub(crate) fn new(between: Duration, now: Instant) -> Self {
        Self { between, due: now }
    }

    /// Whether a frame may go, else how long to wait.
    pub(crate) fn room(&self, now: Instant) -> Result<(), Duration> {
        let early = self.due.saturating_duration_since(now).saturating_sub(BURST * self.between);
        if early.is_zero() { Ok(()) } else { Err(early) }
    }

    /// A frame went.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.due = self.due.max(now) + self.between;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_at_their_rate_and_after_a_rest_at_once() {
        let start = Instant::now();
        let mut rate = Rate::new(Duration::from_millis(100), start);
        let mut times = Vec::new();
        for now in 0..2000 {
            if rate.room(at(start, now)).is_ok() {
                rate.sent(at(start, now));
                times.push(now);
            }
        }
        assert_eq!(times[..5], [0, 1, 2, 100, 200]);
        assert_eq!(times.len(), 22);
        assert_eq!(rate.room(at(start, 2000)), Ok(()));
        rate.sent(at(start, 2000));
        assert_eq!(rate.room(at(start, 2010)), Err(Duration::from_millis(90)));
    }

    fn at(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_silent_terminal_is_not_waited_for() {
        let (mut pace, start) = (Pace::new(), Instant::now());
        pace.sent(1_000_000, start);
        assert_eq!(pace.room(start), Ok(()));
        assert!(!pace.asks());
    }

    #[test]
    fn a_full_link_holds_frames_back_until_an_answer_or_long_silence() {
        let (mut pace, start) = (Pace::new(), Instant::now());
        pace.sent(10, start);
        assert_eq!(pace.answered(at(start, 100)), Some(Duration::from_millis(100)));
        pace.sent(100_000, at(start, 100));
        assert!(pace.room(at(start, 200)).is_err());
        assert!(pace.answered(at(start, 900)).is_some());
        assert_eq!(pace.room(at(start, 900)), Ok(()));
        pace.sent(100_000, at(start, 900));
        assert_eq!(pace.room(at(start, 1000)), Err(Duration::from_millis(2900)));
        assert_eq!(pace.room(at(start, 3900)), Ok(()));
        assert!(!pace.asks() && pace.awaited() == 0);
    }

    #[test]
    fn the_budget_falls_with_queues_and_grows_without() {
        let (mut pace, start) = (Pace::new(), Instant::now());
        let mut now = 0;
        let mut turn = |pace: &mut Pace, delay: u64| {
            pace.sent(4000, at(start, now));
            now += delay;
            pace.answered(at(start, now));
            pace.budget
        };
        assert_eq!(turn(&mut pace, 100), FIRST + 4000);
        assert_eq!(turn(&mut pace, 120), FIRST + 8000);
        assert_eq!(turn(&mut pace, 600), (FIRST + 8000) / 2);
        for _ in 0..20 {
            turn(&mut pace, 600);
        }
        assert_eq!(pace.budget, LEAST);
    }

    #[test]
    fn answers_to_nothing_are_nothing() {
        assert_eq!(Pace::new().answered(Instant::now()), None);
    }
}
