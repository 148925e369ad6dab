//! Local response normalisation across channels (Krizhevsky et al. 2012, ONNX `LRN`), and its Jacobian.
//!
//! ```text
//! out(c) = x(c) · s(c)^−beta,  s(c) = k + alpha / size · Σ_{i=c−⌊(size−1)/2⌋}^{c+⌈(size−1)/2⌉} x(i)²
//!
//! ∂out(i)/∂x(j) = [i = j] s(i)^−beta − 2 · beta · alpha / size · x(i) · x(j) · s(i)^(−beta−1)   where s(i) holds x(j)
//! ```
//! Vectors run along columns. Every s is summed afresh in the order of channels: a running sum would carry one
//! channel's rounding, or its infinity, into the others.

use std::ops::Range;

use crate::Cpu;
use crate::groups::for_parts;
use crate::rows::{join_rows, whole_vectors};
use crate::simd::{Simd, SimdOp};
use crate::view::{Layout, Maps, MapsMut, PlaneMut};

/// The constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lrn {
    /// Channels of the sum.
    pub size: usize,
    /// Weight of the sum.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// Constant.
    pub k: f32,
}

impl Lrn {
    /// Channels before and after one that its sum reads.
    fn reach(&self) -> [usize; 2] {
        assert!(self.size > 0, "a sum over {} channels", self.size);
        [(self.size - 1) / 2, self.size / 2]
    }
}

/// Computes every cell of `out.window()`; `input` must hold it.
///
/// # Example
///
/// ```
/// use switchback_kernels::lrn::{Lrn, lrn};
/// use switchback_kernels::{Cpu, Maps, MapsMut};
///
/// let x = [3.0, 0.0, 4.0]; // three maps of one cell
/// let mut y = [0.0; 3];
/// let rule = Lrn { size: 3, alpha: 3.0, beta: 0.5, k: 0.0 };
/// lrn(&Cpu::new(1), &rule, Maps::new(&x, 1, 3, [1, 1]), MapsMut::new(&mut y, 1, 3, [1, 1]));
/// assert_eq!(y, [1.0, 0.0, 1.0]); // 3 / √(3² + 0²), 0 / √(3² + 0² + 4²), 4 / √(0² + 4²)
/// ```
pub fn lrn(cpu: &Cpu, lrn: &Lrn, input: Maps<'_>, mut out: MapsMut<'_>) {
    let layout = out.layout();
    let input = cover(input, layout);
    let cells = layout.window.area() * lrn.size;
    let (input, layout) = match join_rows([input.layout(), layout]) {
        Some([joined, layout]) => (Maps::with_layout(input.data(), joined), layout),
        None => (input, layout),
    };
    let planes = MapsMut::with_layout(out.data_mut(), layout).into_planes();
    for_parts(cpu, planes, cells, |planes| cpu.level.dispatch(Forward { lrn, input, planes }));
}

/// The transposed Jacobian at `input`, applied to `signal` (zero outside its window).
///
/// Computes every cell of `out.window()`; `input` must hold it.
pub fn lrn_backward(cpu: &Cpu, lrn: &Lrn, input: Maps<'_>, signal: Maps<'_>, mut out: MapsMut<'_>) {
    let layout = out.layout();
    let input = cover(input, layout);
    same_maps(signal, layout);
    let cells = layout.window.area() * lrn.size * 2;
    let (mut views, mut target) = ((input, signal), layout);
    if signal.window().contains(layout.window) {
        let signal = signal.crop(layout.window);
        if let Some([a, b, c]) = join_rows([input.layout(), signal.layout(), layout]) {
            views = (Maps::with_layout(input.data(), a), Maps::with_layout(signal.data(), b));
            target = c;
        }
    }
    let (input, signal) = views;
    let planes = MapsMut::with_layout(out.data_mut(), target).into_planes();
    for_parts(cpu, planes, cells, |planes| cpu.level.dispatch(Backward { lrn, input, signal, planes }));
}

fn same_maps(input: Maps<'_>, out: Layout) {
    let extents = |l: Layout| (l.batch, l.channels, l.full);
    assert_eq!(extents(input.layout()), extents(out), "(images, channels, size) of input and output");
}

/// `input` at the cells of `out` alone.
fn cover<'a>(input: Maps<'a>, out: Layout) -> Maps<'a> {
    same_maps(input, out);
    input.check_holds(out.window);
    input.crop(out.window)
}

/// s^−beta, by square roots where beta allows.
#[derive(Clone, Copy)]
enum Power {
    Half,
    ThreeQuarters,
    /// The same by estimates of 1 / √s, which hold for s > 0.
    ThreeQuartersOfPositive,
    One,
    Any(f32),
}

impl Power {
    fn new<S: Simd>(_: S, lrn: &Lrn) -> Self {
        // Far enough from where estimates end, and s is never below k.
        let positive = S::CHEAP_RSQRT && lrn.k >= 1e-30 && lrn.alpha >= 0.0;
        match lrn.beta {
            0.5 => Power::Half,
            0.75 if positive => Power::ThreeQuartersOfPositive,
            0.75 => Power::ThreeQuarters,
            1.0 => Power::One,
            _ => Power::Any(lrn.beta),
        }
    }

    /// x · s^−beta
    #[inline(always)]
    fn scale<S: Simd>(self, simd: S, x: S::F32, s: S::F32) -> S::F32 {
        match self {
            Power::Half => simd.div(x, simd.sqrt(s)),
            Power::ThreeQuarters => {
                let root = simd.sqrt(s);
                simd.div(x, simd.mul(root, simd.sqrt(root)))
            }
            Power::ThreeQuartersOfPositive => {
                // r = s^−½, and r · √r = r · r · (1 / √r); estimates do not hold for infinity.
                let r = simd.rsqrt(s);
                let factor = simd.mul(simd.mul(r, r), simd.rsqrt(r));
                let infinite = simd.gt(s, simd.splat(f32::MAX));
                simd.mul(x, simd.select(infinite, simd.splat(0.0), factor))
            }
            Power::One => simd.div(x, s),
            Power::Any(beta) => {
                let mut lanes = [0.0; 64];
                simd.store(s, &mut lanes);
                for s in &mut lanes[..S::LANES] {
                    *s = s.powf(beta);
                }
                simd.div(x, simd.load(&lanes))
            }
        }
    }
}

/// The runs of planes of one image with adjacent channels.
fn runs<'p, 'a>(planes: &'p mut [PlaneMut<'a>]) -> impl Iterator<Item = &'p mut [PlaneMut<'a>]> {
    planes.chunk_by_mut(|a, b| a.image == b.image)
}

/// k + alpha / size · Σ x² over `rows`, one vector from column `at` on.
#[inline(always)]
fn scale<S: Simd>(simd: S, lrn: &Lrn, rows: &[&[f32]], at: usize) -> S::F32 {
    let mut sum = simd.splat(0.0);
    for row in rows {
        let x = simd.load_some(&row[at..], 0.0);
        sum = simd.fma(x, x, sum);
    }
    simd.fma(simd.splat(lrn.alpha / lrn.size as f32), sum, simd.splat(lrn.k))
}

struct Forward<'a> {
    lrn: &'a Lrn,
    input: Maps<'a>,
    planes: Vec<PlaneMut<'a>>,
}

impl SimdOp for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { lrn, input, mut planes } = self;
        let [before, after] = lrn.reach();
        let power = Power::new(simd, lrn);
        let mut rows: Vec<&[f32]> = Vec::new();
        for run in runs(&mut planes) {
            let (n, first) = (run[0].image, run[0].channel);
            let from = first.saturating_sub(before);
            let to = (first + run.len() + after).min(input.channels());
            for y in input.window().y0..input.window().y1 {
                rows.clear();
                rows.extend((from..to).map(|c| input.row(n, c, y)));
                let width = input.window().width();
                for x0 in (0..width).step_by(AHEAD) {
                    let x1 = (x0 + AHEAD).min(width);
                    for plane in run.iter_mut() {
                        let c = plane.channel;
                        let summed = c.saturating_sub(before) - from..(c + after + 1).min(input.channels()) - from;
                        let tile = Tile { lrn, power, rows: &rows[summed], x: rows[c - from], x0 };
                        let out = &mut plane.row_mut(y)[x0..x1];
                        if lrn.size == 5 && tile.rows.len() == 5 {
                            tile.forward::<S, 5>(simd, out);
                        } else {
                            tile.forward::<S, 0>(simd, out);
                        }
                    }
                }
            }
        }
    }
}

/// Columns of one channel.
struct Tile<'a> {
    lrn: &'a Lrn,
    power: Power,
    /// The channels of the sum.
    rows: &'a [&'a [f32]],
    /// The channel itself.
    x: &'a [f32],
    /// The first column.
    x0: usize,
}

impl Tile<'_> {
    /// With a sum over `SIZE` channels, or any where it is 0.
    #[inline(always)]
    fn forward<S: Simd, const SIZE: usize>(&self, simd: S, out: &mut [f32]) {
        let end = self.x0 + out.len();
        let x = &self.x[self.x0..end];
        let mut held: [&[f32]; SIZE] = [&[]; SIZE];
        for (held, row) in held.iter_mut().zip(self.rows) {
            *held = &row[self.x0..end];
        }
        for at in (0..out.len()).step_by(S::LANES) {
            let s = if SIZE == 0 {
                scale(simd, self.lrn, self.rows, self.x0 + at)
            } else {
                scale(simd, self.lrn, &held, at)
            };
            simd.store_some(self.power.scale(simd, simd.load_some(&x[at..], 0.0), s), &mut out[at..]);
        }
    }
}

/// Columns that the way up takes at a time: those of a sum's channels stay in the first cache.
const AHEAD: usize = 1024;

/// Columns that the way back takes at a time: its lines of all channels of a run stay near.
const TILE: usize = 128;

struct Backward<'a> {
    lrn: &'a Lrn,
    input: Maps<'a>,
    signal: Maps<'a>,
    planes: Vec<PlaneMut<'a>>,
}

impl SimdOp for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { lrn, input, signal, mut planes } = self;
        let [before, after] = lrn.reach();
        let power = Power::new(simd, lrn);
        let channels = input.channels();
        let coefficient = simd.splat(-2.0 * lrn.beta * lrn.alpha / lrn.size as f32);
        let pitch = whole_vectors(simd, TILE);
        let (mut direct, mut shared) = (Vec::new(), Vec::new());
        let mut rows: Vec<&[f32]> = Vec::new();
        for run in runs(&mut planes) {
            let (n, first) = (run[0].image, run[0].channel);
            // The outputs whose sums hold a channel of the run, and all that these sums read.
            let (from, to) = (first.saturating_sub(after), (first + run.len() + before).min(channels));
            let (low, high) = (from.saturating_sub(before), (to + after).min(channels));
            direct.resize((to - from) * pitch, 0.0);
            shared.resize((to - from) * pitch, 0.0);
            let window = input.window();
            for y in window.y0..window.y1 {
                rows.clear();
                rows.extend((low..high).map(|c| input.row(n, c, y)));
                for x0 in (0..window.width()).step_by(TILE) {
                    let x1 = (x0 + TILE).min(window.width());
                    for i in from..to {
                        let g = signal_row(signal, [n, i, y], window.x0 + x0..window.x0 + x1);
                        let (direct, shared) = (&mut direct[(i - from) * pitch..], &mut shared[(i - from) * pitch..]);
                        let sum = i.saturating_sub(before) - low..(i + after + 1).min(channels) - low;
                        for at in (0..x1 - x0).step_by(S::LANES) {
                            // direct = g · s^−beta, shared = g · x · s^(−beta−1)
                            let s = scale(simd, lrn, &rows[sum.clone()], x0 + at);
                            let passed = power.scale(simd, g.load(simd, at), s);
                            let x = simd.load_some(&rows[i - low][x0 + at..], 0.0);
                            simd.store(passed, &mut direct[at..]);
                            simd.store(simd.div(simd.mul(passed, x), s), &mut shared[at..]);
                        }
                    }
                    for plane in run.iter_mut() {
                        let j = plane.channel;
                        let (x, out) = (rows[j - low], &mut plane.row_mut(y)[x0..x1]);
                        let outputs = j.saturating_sub(after)..(j + before + 1).min(channels);
                        for at in (0..out.len()).step_by(S::LANES) {
                            let mut sum = simd.splat(0.0);
                            for i in outputs.clone() {
                                sum = simd.add(sum, simd.load(&shared[(i - from) * pitch + at..]));
                            }
                            let x = simd.mul(coefficient, simd.load_some(&x[x0 + at..], 0.0));
                            let passed = simd.load(&direct[(j - from) * pitch + at..]);
                            simd.store_some(simd.fma(x, sum, passed), &mut out[at..]);
                        }
                    }
                }
            }
        }
    }
}

/// A stretch of a signal's row, zero where the signal is absent.
struct Stretch<'a> {
    present: &'a [f32],
    /// Zeros before it.
    skip: usize,
}

impl Stretch<'_> {
    #[inline(always)]
    fn load<S: Simd>(&self, simd: S, at: usize) -> S::F32 {
        if at >= self.skip && at - self.skip + S::LANES <= self.present.len() {
            return simd.load(&self.present[at - self.skip..]);
        }
        let mut lanes = [0.0; 64];
        let lanes = &mut lanes[..S::LANES];
        for (i, lane) in lanes.iter_mut().enumerate() {
            *lane = (at + i).checked_sub(self.skip).and_then(|i| self.present.get(i)).copied().unwrap_or(0.0);
        }
        simd.load(lanes)
    }
}

fn signal_row<'a>(signal: Maps<'a>, [n, c, y]: [usize; 3], columns: Range<usize>) -> Stretch<'a> {
    let window = signal.window();
    let (x0, x1) = (window.x0.max(columns.start), window.x1.min(columns.end));
    if !(window.y0..window.y1).contains(&y) || x0 >= x1 {
        return Stretch { present: &[], skip: 0 };
    }
    Stretch { present: &signal.row(n, c, y)[x0 - window.x0..x1 - window.x0], skip: x0 - columns.start }
}
