//! Weights as rows of inputs: each output is a dot product, whose vectors run along the inputs.
//!
//! ```text
//! inputs      block 0 │ block 1 │ …        images of the batch: x(n)
//! row 0..R   ─────────▶         │             every tile of R rows × B images holds R · B chains in registers;
//! row R..2R  ─────────▶         │             between blocks they wait in a buffer, so that a block of the rows is
//! …                                           read from memory once and of the images from the first cache
//! ```

use super::{Part, rest, widen};
use crate::aligned::{AlignedBuf, LINE};
use crate::simd::{Simd, SimdOp};
use crate::view::Weights;

/// Inputs of a block where there are several images.
const BLOCK: usize = 1024;
/// Rows that take turns in a block.
const TURN: usize = 48;
/// Vectors of a tile's inner loop.
const UNROLL: usize = 2;
/// Rows that are read side by side where there is one image: what hides the latency of a sum and still leaves each row a
/// stream that the processor recognises by itself. Asking for more than its first lines only gets in its way.
const STREAMS: usize = 8;
/// Vectors of each row in turn.
const STRETCH: usize = 4;

/// Lines that each of the rows that follow is asked for, so many turns before the end: until the processor knows a stream, it
/// waits for each line.
const FIRST: usize = 4;
const BEFORE: usize = 8;

/// Outputs from `first` on: `y` is `outputs × batch`.
pub(super) struct Rows<'a, 'y, const HALF: bool> {
    pub(super) part: Part<'a>,
    pub(super) first: usize,
    pub(super) y: &'y mut [f32],
}

impl<const HALF: bool> SimdOp for Rows<'_, '_, HALF> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { part, first, y } = self;
        if part.batch == 1 {
            simd.vectorize(One::<HALF> { part, first, y });
        } else {
            simd.vectorize(Many::<HALF> { part, first, y });
        }
    }
}

/// One image: the rows are read as fast as memory gives them.
struct One<'a, 'y, const HALF: bool> {
    part: Part<'a>,
    first: usize,
    y: &'y mut [f32],
}

impl<const HALF: bool> SimdOp for One<'_, '_, HALF> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { part, first, y } = self;
        let mut r = 0;
        while r < y.len() {
            let mut chains = [0.0; STREAMS * 16];
            let rows = match y.len() - r {
                STREAMS.. => stream::<S, HALF, STREAMS>(simd, &part, first + r, &mut chains),
                _ => stream::<S, HALF, 1>(simd, &part, first + r, &mut chains),
            };
            for i in 0..rows {
                y[r + i] = part.finish(first + r + i, simd.reduce_sum(simd.load(&chains[i * S::LANES..])));
            }
            r += rows;
        }
    }
}

/// The chains of `R` rows from `row` on, of one image; that of row r begins at `chains[r · LANES]`. Gives `R`.
#[inline(always)]
fn stream<S: Simd, const HALF: bool, const R: usize>(
    simd: S,
    part: &Part<'_>,
    row: usize,
    chains: &mut [f32],
) -> usize {
    let inputs = part.linear.inputs;
    let size = if HALF { 2 } else { 4 };
    let step = STRETCH * S::LANES;
    let whole = inputs / step * step;
    let rows: [&[u8]; R] = std::array::from_fn(|r| &part.weights.bytes()[(row + r) * inputs * size..][..whole * size]);
    let mut acc = [simd.splat(0.0); R];
    let early = (whole / step).saturating_sub(BEFORE);
    for (i, x) in part.x[..whole].chunks_exact(step).enumerate() {
        if i == early {
            for row in rows {
                let next = row.as_ptr().wrapping_add(R * inputs * size);
                for line in 0..FIRST {
                    simd.prefetch_far(next.cast::<f32>().wrapping_add(line * LINE));
                }
            }
        }
        let rows: [&[u8]; R] = std::array::from_fn(|r| &rows[r][i * step * size..][..step * size]);
        for v in 0..STRETCH {
            let x = simd.load(&x[v * S::LANES..]);
            for r in 0..R {
                acc[r] = simd.fma(widen::<S, HALF>(simd, &rows[r][v * S::LANES * size..]), x, acc[r]);
            }
        }
    }
    for r in 0..R {
        simd.store(acc[r], &mut chains[r * S::LANES..]);
    }
    tile::<S, HALF, R, 1>(simd, part, (row, 0), (whole, inputs), chains, 0);
    R
}

/// A batch.
struct Many<'a, 'y, const HALF: bool> {
    part: Part<'a>,
    first: usize,
    y: &'y mut [f32],
}

impl<const HALF: bool> SimdOp for Many<'_, '_, HALF> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { part, first, y } = self;
        let (batch, inputs) = (part.batch, part.linear.inputs);
        let mut chains = AlignedBuf::zeroed(TURN * batch * S::LANES);
        for (turn, y) in y.chunks_mut(TURN * batch).enumerate() {
            let (first, count) = (first + turn * TURN, y.len() / batch);
            chains.fill(0.0);
            for from in (0..inputs).step_by(BLOCK) {
                let span = (from, (from + BLOCK).min(inputs));
                let mut r = 0;
                while r < count {
                    let row = first + r;
                    let chains = &mut chains[r * batch * S::LANES..];
                    r += match (S::REGISTERS, count - r) {
                        (32.., 4..) => images::<S, HALF, 4>(simd, &part, row, span, chains),
                        (_, 3..) => images::<S, HALF, 3>(simd, &part, row, span, chains),
                        _ => images::<S, HALF, 1>(simd, &part, row, span, chains),
                    };
                }
            }
            for (i, y) in y.iter_mut().enumerate() {
                let sum = simd.reduce_sum(simd.load(&chains[i * S::LANES..]));
                *y = part.finish(first + i / batch, sum);
            }
        }
    }
}

/// `R` rows from `row` on with all images; `chains` is `rows × batch × LANES`.
#[inline(always)]
fn images<S: Simd, const HALF: bool, const R: usize>(
    simd: S,
    part: &Part<'_>,
    row: usize,
    span: (usize, usize),
    chains: &mut [f32],
) -> usize {
    let pitch = part.batch * S::LANES;
    let mut n = 0;
    while n < part.batch {
        let (at, chains) = ((row, n), &mut chains[n * S::LANES..]);
        n += match part.batch - n {
            1 => tile::<S, HALF, R, 1>(simd, part, at, span, chains, pitch),
            2 => tile::<S, HALF, R, 2>(simd, part, at, span, chains, pitch),
            3 => tile::<S, HALF, R, 3>(simd, part, at, span, chains, pitch),
            _ => tile::<S, HALF, R, 4>(simd, part, at, span, chains, pitch),
        };
    }
    R
}

/// Goes on with the chains of `R` rows and `B` images over the inputs of `span`. The chain of row r and image b begins at
/// `chains[r · pitch + b · LANES]`, or at `chains[r · LANES]` where there is one image. Gives `B`.
#[inline(always)]
fn tile<S: Simd, const HALF: bool, const R: usize, const B: usize>(
    simd: S,
    part: &Part<'_>,
    (row, n): (usize, usize),
    (from, to): (usize, usize),
    chains: &mut [f32],
    pitch: usize,
) -> usize {
    let inputs = part.linear.inputs;
    let size = if HALF { 2 } else { 4 };
    let pitch = if pitch == 0 { S::LANES } else { pitch };
    let rows: [&[u8]; R] = std::array::from_fn(|r| {
        let start = (row + r) * inputs;
        &part.weights.bytes()[(start + from) * size..(start + to) * size]
    });
    let images: [&[f32]; B] = std::array::from_fn(|b| {
        let start = (n + b) * inputs;
        &part.x[start + from..start + to]
    });
    // The same block of the rows that follow.
    let ahead = R * inputs * size;
    let mut acc = [[simd.splat(0.0); B]; R];
    for r in 0..R {
        for b in 0..B {
            acc[r][b] = simd.load(&chains[r * pitch + b * S::LANES..]);
        }
    }
    let step = UNROLL * S::LANES;
    let whole = (to - from) / step * step;
    let mut at = 0;
    while at < whole {
        let rows: [&[u8]; R] = std::array::from_fn(|r| &rows[r][at * size..(at + step) * size]);
        let images: [&[f32]; B] = std::array::from_fn(|b| &images[b][at..at + step]);
        for v in 0..UNROLL {
            let mut x = [simd.splat(0.0); B];
            for b in 0..B {
                x[b] = simd.load(&images[b][v * S::LANES..(v + 1) * S::LANES]);
            }
            for r in 0..R {
                let bytes = v * S::LANES * size;
                if B > 1 && n == 0 && bytes % 64 == 0 {
                    simd.prefetch(rows[r], bytes + ahead);
                }
                let w = widen::<S, HALF>(simd, &rows[r][bytes..bytes + S::LANES * size]);
                for b in 0..B {
                    acc[r][b] = simd.fma(w, x[b], acc[r][b]);
                }
            }
        }
        at += step;
    }
    while at < to - from {
        let len = (to - from - at).min(S::LANES);
        for r in 0..R {
            let bytes = &rows[r][at * size..(at + len) * size];
            let w = if len == S::LANES {
                widen::<S, HALF>(simd, bytes)
            } else {
                rest(simd, Weights::new(bytes, part.weights.dtype()))
            };
            for b in 0..B {
                acc[r][b] = simd.fma(w, simd.load_partial(&images[b][at..at + len], 0.0), acc[r][b]);
            }
        }
        at += S::LANES;
    }
    for r in 0..R {
        for b in 0..B {
            simd.store(acc[r][b], &mut chains[r * pitch + b * S::LANES..]);
        }
    }
    B
}
