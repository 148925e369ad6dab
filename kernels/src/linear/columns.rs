//! Weights as rows of outputs: each input adds its row, times itself, to all sums.
//!
//! ```text
//! sums, image × outputs of the task      += x(n, i)   · row i    of the weights, outputs of the task
//!   (stay in the caches)                  + x(n, i+1) · row i+1  (each read from memory once)
//! ```

use super::{Part, rest, widen};
use crate::aligned::AlignedBuf;
use crate::simd::{Simd, SimdOp};
use crate::view::Weights;

/// Bytes from what is read of a row to what is asked for.
const AHEAD: usize = 2048;
/// Outputs of a pass over all inputs.
const PASS: usize = 4096;
/// Rows that are added side by side where there is one image: each a stream that the processor recognises by itself, as long
/// as nobody asks for lines ahead.
const STREAMS: usize = 8;
/// Vectors of each row in turn.
const STRETCH: usize = 4;

/// Outputs from `first` on: `y` is `outputs × batch`.
pub(super) struct Columns<'a, 'y, const HALF: bool> {
    pub(super) part: Part<'a>,
    pub(super) first: usize,
    pub(super) y: &'y mut [f32],
}

impl<const HALF: bool> SimdOp for Columns<'_, '_, HALF> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { part, first, y } = self;
        let batch = part.batch;
        let pitch = (y.len() / batch).min(PASS).next_multiple_of(S::LANES);
        let mut sums = AlignedBuf::zeroed(batch * pitch);
        for (pass, y) in y.chunks_mut(PASS * batch).enumerate() {
            let (first, count) = (first + pass * PASS, y.len() / batch);
            sums.fill(0.0);
            simd.vectorize(Pass::<HALF> { part: &part, outputs: (first, first + count), sums: &mut sums, pitch });
            for (i, y) in y.iter_mut().enumerate() {
                *y = part.finish(first + i / batch, sums[i % batch * pitch + i / batch]);
            }
        }
    }
}

/// The sums of `outputs`: `batch × pitch`.
struct Pass<'a, 's, const HALF: bool> {
    part: &'s Part<'a>,
    outputs: (usize, usize),
    sums: &'s mut [f32],
    pitch: usize,
}

impl<const HALF: bool> SimdOp for Pass<'_, '_, HALF> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (inputs, batch) = (self.part.linear.inputs, self.part.batch);
        let mut i = 0;
        while i < inputs {
            let left = inputs - i;
            if batch == 1 {
                i += match left {
                    STREAMS.. => self.stream::<S, STREAMS>(simd, i),
                    _ => self.stream::<S, 1>(simd, i),
                };
                continue;
            }
            let rows = if left >= 4 { 4 } else { 1 };
            let mut n = 0;
            while n < batch {
                let images = if batch - n >= 4 { 4 } else { 1 };
                match (rows, images) {
                    (4, 4) => self.add::<S, 4, 4>(simd, i, n, 0),
                    (4, _) => self.add::<S, 4, 1>(simd, i, n, 0),
                    (_, 4) => self.add::<S, 1, 4>(simd, i, n, 0),
                    _ => self.add::<S, 1, 1>(simd, i, n, 0),
                };
                n += images;
            }
            i += rows;
        }
    }
}

impl<const HALF: bool> Pass<'_, '_, HALF> {
    /// Adds `I` rows from input `i` on to the sums of the one image; gives `I`.
    #[inline(always)]
    fn stream<S: Simd, const I: usize>(&mut self, simd: S, i: usize) -> usize {
        let part = self.part;
        let size = if HALF { 2 } else { 4 };
        let (from, to) = self.outputs;
        let step = STRETCH * S::LANES;
        let whole = (to - from) / step * step;
        let rows: [&[u8]; I] = std::array::from_fn(|j| {
            let start = (i + j) * part.linear.outputs + from;
            &part.weights.bytes()[start * size..(start + whole) * size]
        });
        let mut x = [simd.splat(0.0); I];
        for j in 0..I {
            x[j] = simd.splat(part.x[i + j]);
        }
        for (n, sums) in self.sums[..whole].chunks_exact_mut(step).enumerate() {
            let rows: [&[u8]; I] = std::array::from_fn(|j| &rows[j][n * step * size..][..step * size]);
            let mut acc = [simd.splat(0.0); STRETCH];
            for v in 0..STRETCH {
                acc[v] = simd.load(&sums[v * S::LANES..]);
            }
            for j in 0..I {
                for v in 0..STRETCH {
                    acc[v] = simd.fma(widen::<S, HALF>(simd, &rows[j][v * S::LANES * size..]), x[j], acc[v]);
                }
            }
            for v in 0..STRETCH {
                simd.store(acc[v], &mut sums[v * S::LANES..]);
            }
        }
        self.add::<S, I, 1>(simd, i, 0, whole)
    }

    /// Adds `I` rows from input `i` on to the sums of `B` images from `n` on, those of outputs from the `at`-th on; gives `I`.
    #[inline(always)]
    fn add<S: Simd, const I: usize, const B: usize>(&mut self, simd: S, i: usize, n: usize, mut at: usize) -> usize {
        let part = self.part;
        let (inputs, outputs) = (part.linear.inputs, part.linear.outputs);
        let size = if HALF { 2 } else { 4 };
        let (from, to) = self.outputs;
        let rows: [&[u8]; I] = std::array::from_fn(|j| {
            let start = (i + j) * outputs;
            &part.weights.bytes()[(start + from) * size..(start + to) * size]
        });
        let mut x = [[simd.splat(0.0); I]; B];
        for b in 0..B {
            for j in 0..I {
                x[b][j] = simd.splat(part.x[(n + b) * inputs + i + j]);
            }
        }
        let sums = &mut self.sums[n * self.pitch..];
        while at < to - from {
            let len = (to - from - at).min(S::LANES);
            let mut acc = [simd.splat(0.0); B];
            for b in 0..B {
                acc[b] = simd.load(&sums[b * self.pitch + at..]);
            }
            // Further on in the row, and from its end on in the row that follows the block.
            let ahead = at * size + AHEAD;
            let ahead = if ahead < rows[0].len() { ahead } else { ahead - rows[0].len() + I * outputs * size };
            for j in 0..I {
                if n == 0 && (at * size).is_multiple_of(64) {
                    simd.prefetch(rows[j], ahead);
                }
                let bytes = &rows[j][at * size..(at + len) * size];
                let w = if len == S::LANES {
                    widen::<S, HALF>(simd, bytes)
                } else {
                    rest(simd, Weights::new(bytes, part.weights.dtype()))
                };
                for b in 0..B {
                    acc[b] = simd.fma(w, x[b][j], acc[b]);
                }
            }
            for b in 0..B {
                simd.store(acc[b], &mut sums[b * self.pitch + at..]);
            }
            at += S::LANES;
        }
        I
    }
}
