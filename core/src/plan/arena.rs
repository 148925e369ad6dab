//! Where storages lie in one block of memory, so that those which live at the same time never overlap.
//!
//! ```text
//! offset ▲ ┌─────────────┐      ┌────┐        largest first, each into the tightest gap that its neighbours in
//!        │ │      A      ├──────┤ D  │        time leave, else behind them all
//!        │ └─────┬───────┤  C   ├────┤
//!        │   B   │       └──────┘    │
//!        └────────────────────────────▶ steps
//! ```

/// When something lives, and how much of it there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The step that writes it first.
    pub(crate) first: usize,
    /// The last step that reads or writes it.
    pub(crate) last: usize,
    /// Numbers.
    pub(crate) len: usize,
}

/// Numbers that offsets are whole multiples of: a cache line.
const LINE: usize = 16;

/// The offset of each of `spans`, and how long the block is.
pub(crate) fn pack(spans: &[Span]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|&i| (usize::MAX - spans[i].len, spans[i].first));
    let mut offsets = vec![0; spans.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut end = 0;
    for i in order {
        let span = spans[i];
        let len = span.len.next_multiple_of(LINE);
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&j| spans[j].first <= span.last && span.first <= spans[j].last)
            .map(|&j| (offsets[j], offsets[j] + spans[j].len.next_multiple_of(LINE)))
            .collect();
        taken.sort_unstable();
        let (mut free, mut tightest) = (0, None);
        for (from, to) in taken {
            if from >= free + len && tightest.is_none_or(|(gap, _)| from - free < gap) {
                tightest = Some((from - free, free));
            }
            free = free.max(to);
        }
        offsets[i] = tightest.map_or(free, |(_, offset)| offset);
        end = end.max(offsets[i] + len);
        placed.push(i);
    }
    (offsets, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: usize, last: usize, len: usize) -> Span {
        Span { first, last, len }
    }

    /// Panics where two that live at the same time overlap; gives the most that live at one time.
    fn check(spans: &[Span]) -> (usize, usize) {
        let (offsets, end) = pack(spans);
        for (i, a) in spans.iter().enumerate() {
            assert!(offsets[i].is_multiple_of(LINE) && offsets[i] + a.len <= end);
            for (j, b) in spans.iter().enumerate().skip(i + 1) {
                let apart = a.last < b.first || b.last < a.first;
                let beside = offsets[i] + a.len <= offsets[j] || offsets[j] + b.len <= offsets[i];
                assert!(apart || beside, "{a:?} at {}, {b:?} at {}", offsets[i], offsets[j]);
            }
        }
        let live = |step| spans.iter().filter(move |s| s.first <= step && step <= s.last);
        let most = (0..100).map(|step| live(step).map(|s| s.len.next_multiple_of(LINE)).sum()).max();
        (end, most.unwrap_or(0))
    }

    #[test]
    fn a_chain_needs_its_largest_neighbours() {
        let (end, most) = check(&[span(0, 1, 64), span(1, 2, 128), span(2, 3, 32), span(3, 4, 160), span(4, 4, 16)]);
        assert_eq!((end, most), (192, 192));
        assert_eq!(pack(&[]), (vec![], 0));
    }

    #[test]
    fn a_shortcut_stays_while_others_come_and_go() {
        let (end, most) = check(&[span(0, 4, 48), span(1, 2, 160), span(2, 3, 80), span(3, 4, 160), span(5, 6, 288)]);
        assert_eq!((end, most), (288, 288));
    }

    #[test]
    fn nothing_overlaps_and_little_is_lost() {
        let mut state = 1u32;
        let mut random = |n: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % n
        };
        let (mut ends, mut mosts) = (0, 0);
        for _ in 0..300 {
            let spans: Vec<Span> = (0..1 + random(30))
                .map(|_| {
                    let first = random(60);
                    span(first, first + random(6), 1 + random(1000))
                })
                .collect();
            let (end, most) = check(&spans);
            assert!(end >= most);
            (ends, mosts) = (ends + end, mosts + most);
        }
        assert!(ends as f64 <= 1.1 * mosts as f64, "{ends} numbers where {mosts} live at one time");
    }
}
