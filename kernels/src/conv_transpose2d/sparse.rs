//! Transposed convolution of a signal that is zero at most places, as it is after unpooling and rectifiers.
//!
//! ```text
//! signal, as lists       filters, packed once            a row of out, channels adjacent
//!  cell ─▶ (o, value)…    [ky][o] ─▶ kw × C/G adjacent    row[x·s ..] += Σ value · filters[ky][o]
//! ```
//! Only what is not zero is multiplied, and a filter's taps of one row, times all channels, are added at once: a sum is kept in
//! registers over the list of a cell. A task makes some rows of one group of channels, each from the rows of the signal
//! that reach it, from the top; within one cell by filter. So a cell is the same sum for any window and number of threads.

use std::fmt;
use std::ops::Range;

use crate::Cpu;
use crate::aligned::AlignedBuf;
use crate::conv2d::Conv2d;
use crate::geometry::Window;
use crate::simd::{Level, Simd, SimdOp};
use crate::view::{Maps, MapsMut, PlaneMut, Weights};

/// Filters packed for one level; see [`pack_sparse`].
pub struct PackedSparse {
    conv: Conv2d,
    level: Level,
    /// Floats from filter to filter of a row of taps: whole vectors.
    line: usize,
    data: AlignedBuf,
}

impl fmt::Debug for PackedSparse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedSparse({:?}, {})", self.conv, self.level)
    }
}

impl PackedSparse {
    /// Memory that the packed filters take.
    pub fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }
}

/// Whether the way back of `conv` can run so: taps of a row must be adjacent cells.
pub fn can_be_sparse(conv: &Conv2d) -> bool {
    conv.geometry.dilation[1] == 1
}

/// Packs the filters `(out_channels, in_channels / groups, kernel)` of `conv`. Panics unless [`can_be_sparse`].
pub fn pack_sparse(cpu: &Cpu, conv: &Conv2d, weights: Weights<'_>) -> PackedSparse {
    conv.check(weights);
    assert!(can_be_sparse(conv), "the taps of {conv:?} are not adjacent");
    let [kh, kw] = conv.geometry.kernel;
    let ins = conv.in_channels / conv.groups;
    let line = (kw * ins).next_multiple_of(cpu.level.lanes());
    let mut data = AlignedBuf::zeroed(kh * conv.out_channels * line);
    cpu.threads.chunks_mut(&mut data, line.max(1), |i, to| {
        let (ky, o) = (i / conv.out_channels, i % conv.out_channels);
        for (at, to) in to[..kw * ins].iter_mut().enumerate() {
            let (kx, c) = (at / ins, at % ins);
            *to = weights.get(((o * ins + c) * kh + ky) * kw + kx);
        }
    });
    PackedSparse { conv: *conv, level: cpu.level, line, data }
}

/// Computes every cell of `out.window()` as [`conv_transpose2d`](super::conv_transpose2d()) does, up to rounding. Zeros of
/// `signal` are skipped; what is not finite spreads over whole rows of taps.
///
/// # Example
///
/// ```
/// use switchback_kernels::conv2d::Conv2d;
/// use switchback_kernels::conv_transpose2d::{conv_transpose2d_sparse, pack_sparse};
/// use switchback_kernels::{Cpu, Dtype, Geometry, Maps, MapsMut, Weights};
///
/// let cpu = Cpu::new(1);
/// let geometry = Geometry { kernel: [1, 2], stride: [1, 1], dilation: [1, 1], pads: [0; 4] };
/// let conv = Conv2d { in_channels: 1, out_channels: 1, groups: 1, geometry };
/// let filters: Vec<u8> = [1.0f32, 10.0].iter().flat_map(|w| w.to_le_bytes()).collect();
/// let packed = pack_sparse(&cpu, &conv, Weights::new(&filters, Dtype::F32));
///
/// let mut x = [9.0; 4];
/// let (signal, out) = (Maps::new(&[0.0, 2.0, 0.0], 1, 1, [1, 3]), MapsMut::new(&mut x, 1, 1, [1, 4]));
/// conv_transpose2d_sparse(&cpu, &conv, &packed, signal, out);
/// assert_eq!(x, [0.0, 2.0, 20.0, 0.0]);
/// ```
pub fn conv_transpose2d_sparse(cpu: &Cpu, conv: &Conv2d, packed: &PackedSparse, signal: Maps<'_>, out: MapsMut<'_>) {
    assert_eq!(*conv, packed.conv, "the filters were packed for another convolution");
    assert_eq!(cpu.level, packed.level, "the filters were packed for another level");
    assert_eq!(signal.batch(), out.batch(), "images in and out");
    assert_eq!(signal.channels(), conv.out_channels, "channels of the signal");
    assert_eq!(out.channels(), conv.in_channels, "channels out");
    let window = out.window();
    if window.is_empty() || out.batch() == 0 || out.channels() == 0 {
        return;
    }
    let needed = conv.geometry.output_window(window, signal.full()).intersect(signal.window());
    let ins = conv.in_channels / conv.groups;
    // Rows of a task: a few tasks a thread, and not less than the taps, since each makes the lists of the rows it reads.
    let least = conv.geometry.extent()[0];
    let rows = window.height().div_ceil(4 * cpu.threads.count()).max(least);
    let bands = window.height().div_ceil(rows);
    let mut tasks: Vec<Band<'_>> = Vec::with_capacity(out.batch() * conv.groups * bands);
    for (i, mut plane) in out.into_planes().into_iter().enumerate() {
        let first = i / ins * bands;
        for b in 0..bands {
            if i % ins == 0 {
                let (image, group) = (i / ins / conv.groups, i / ins % conv.groups);
                tasks.push(Band { packed, signal, needed, image, group, planes: Vec::with_capacity(ins) });
            }
            let end = (window.y0 + (b + 1) * rows).min(window.y1);
            let (band, rest) = plane.split_at(end);
            tasks[first + b].planes.push(band);
            plane = rest;
        }
    }
    cpu.threads.for_each(tasks, |task| cpu.level.dispatch(task));
}

/// What is not zero at a cell.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// Channel of the signal.
    o: u32,
    value: f32,
}

/// The cells of some rows of the signal, row by row, each with its list.
struct Lists {
    window: Window,
    /// Where each cell's list begins; one more at the end.
    starts: Vec<u32>,
    entries: Vec<Entry>,
}

impl Lists {
    /// Of `channels` of image `n` in `window`.
    #[inline(always)]
    fn new(signal: &Maps<'_>, n: usize, channels: Range<usize>, window: Window) -> Self {
        let signal = signal.crop(window);
        let (width, area) = (window.width().max(1), window.area());
        let mut starts = vec![0u32; area + 1];
        for c in channels.clone() {
            for (y, counts) in (window.y0..).zip(starts[1..].chunks_exact_mut(width)) {
                counts.iter_mut().zip(signal.row(n, c, y)).for_each(|(count, &x)| *count += u32::from(x != 0.0));
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut entries = vec![Entry::default(); sum as usize];
        let mut ends = starts.clone();
        for c in channels {
            for (y, ends) in (window.y0..).zip(ends[..area].chunks_exact_mut(width)) {
                let row = signal.row(n, c, y);
                let mut keep = |x: usize, end: &mut u32| {
                    entries[*end as usize] = Entry { o: c as u32, value: row[x] };
                    *end += 1;
                };
                if width < 32 {
                    ends.iter_mut().enumerate().filter(|(x, _)| row[*x] != 0.0).for_each(|(x, end)| keep(x, end));
                    continue;
                }
                // From one that is not zero to the next, without a guess at each cell.
                for from in (0..width).step_by(64) {
                    let mut left = not_zero(&row[from..width.min(from + 64)]);
                    while left != 0 {
                        let x = from + left.trailing_zeros() as usize;
                        keep(x, &mut ends[x]);
                        left &= left - 1;
                    }
                }
            }
        }
        Self { window, starts, entries }
    }

    fn cell(&self, y: usize, x: usize) -> &[Entry] {
        let at = (y - self.window.y0) * self.window.width() + x - self.window.x0;
        &self.entries[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

/// A bit for each of at most 64 numbers that is not zero.
#[inline(always)]
fn not_zero(row: &[f32]) -> u64 {
    let mut bits = 0;
    for (i, eight) in row.chunks(8).enumerate() {
        let byte = eight.iter().enumerate().fold(0, |byte, (l, &x)| byte | u8::from(x != 0.0) << l);
        bits |= u64::from(byte) << (8 * i);
    }
    bits
}

/// Some rows of one group of channels of one image.
struct Band<'a> {
    packed: &'a PackedSparse,
    signal: Maps<'a>,
    /// The cells of the signal that reach `out`.
    needed: Window,
    image: usize,
    group: usize,
    planes: Vec<PlaneMut<'a>>,
}

/// The most vectors of sums at a time.
const MOST: usize = 8;

/// `with_count!(n, f(args))` is `f::<S, n>(args)`.
macro_rules! with_count {
    ($n:expr, $f:ident($($arg:expr),*)) => {
        match $n {
            1 => $f::<S, 1>($($arg),*),
            2 => $f::<S, 2>($($arg),*),
            3 => $f::<S, 3>($($arg),*),
            4 => $f::<S, 4>($($arg),*),
            5 => $f::<S, 5>($($arg),*),
            6 => $f::<S, 6>($($arg),*),
            7 => $f::<S, 7>($($arg),*),
            _ => $f::<S, MOST>($($arg),*),
        }
    };
}

impl SimdOp for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let PackedSparse { conv, line, data, .. } = self.packed;
        let g = &conv.geometry;
        let (ins, outs) = (conv.in_channels / conv.groups, conv.out_channels / conv.groups);
        let window = self.planes[0].window;
        let full = self.signal.full();
        let needed = g.output_window(window, full).intersect(self.needed);
        let lists = Lists::new(&self.signal, self.image, self.group * outs..(self.group + 1) * outs, needed);
        // Columns from the first tap of the first cell on: `before` of them come before the window.
        let first = (needed.x0 * g.stride[1]) as isize - g.pads[1] as isize;
        let columns = match needed.is_empty() {
            true => 0,
            false => (needed.width() - 1) * g.stride[1] + g.kernel[1],
        };
        // Whole vectors of taps reach beyond the last.
        let mut sums = vec![0.0; columns * ins + line + 8];
        let vectors = line / S::LANES;
        // Each at least as long as the next, none too long.
        let parts = vectors.div_ceil(MOST);
        for y in window.y0..window.y1 {
            sums.fill(0.0);
            for oy in needed.y0..needed.y1 {
                let Some(tap) = (y + g.pads[0]).checked_sub(oy * g.stride[0]) else { break };
                let ky = tap / g.dilation[0];
                if tap != ky * g.dilation[0] || ky >= g.kernel[0] {
                    continue;
                }
                let filters = &data[ky * conv.out_channels * line..(ky + 1) * conv.out_channels * line];
                for ox in needed.x0..needed.x1 {
                    let list = lists.cell(oy, ox);
                    if list.is_empty() {
                        continue;
                    }
                    let to = &mut sums[(ox - needed.x0) * g.stride[1] * ins..][..*line];
                    for part in 0..parts {
                        let range = vectors * part / parts..vectors * (part + 1) / parts;
                        let at = range.start * S::LANES;
                        with_count!(range.len(), add(simd, list, filters, *line, at, &mut to[at..]));
                    }
                }
            }
            part_channels(simd, &sums[..columns * ins + 8], first, columns, &mut self.planes, y);
        }
    }
}

/// Adds `N` vectors of every filter of `list`, from float `at` of its line on, times its value, to `to`: those at even
/// and at odd places in sums of their own, since each waits for the one before.
#[inline(always)]
fn add<S: Simd, const N: usize>(simd: S, list: &[Entry], filters: &[f32], line: usize, at: usize, to: &mut [f32]) {
    let to = &mut to[..N * S::LANES];
    let zero = simd.splat(0.0);
    let (mut even, mut odd) = ([zero; N], [zero; N]);
    for (i, sum) in even.iter_mut().enumerate() {
        *sum = simd.load(&to[i * S::LANES..]);
    }
    let pairs = list.chunks_exact(2);
    let last = pairs.remainder();
    for pair in pairs {
        add_one(simd, pair[0], &filters[at..], line, &mut even);
        add_one(simd, pair[1], &filters[at..], line, &mut odd);
    }
    for &entry in last {
        add_one(simd, entry, &filters[at..], line, &mut even);
    }
    for (i, (even, odd)) in even.iter().zip(odd.iter()).enumerate() {
        simd.store(simd.add(*even, *odd), &mut to[i * S::LANES..]);
    }
}

/// Adds `N` vectors of one filter, times its value.
#[inline(always)]
fn add_one<S: Simd, const N: usize>(simd: S, entry: Entry, filters: &[f32], line: usize, sums: &mut [S::F32; N]) {
    let taps = &filters[entry.o as usize * line..][..N * S::LANES];
    let value = simd.splat(entry.value);
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum = simd.fma(value, simd.load(&taps[i * S::LANES..]), *sum);
    }
}

/// Row `y` of every plane from `sums`, column after column with the channels adjacent, the first of them column `first`
/// of the map; zero beside them. Eight floats may be read after the last column.
#[inline(always)]
fn part_channels<S: Simd>(simd: S, sums: &[f32], first: isize, columns: usize, planes: &mut [PlaneMut<'_>], y: usize) {
    let ins = planes.len();
    let window = planes[0].window;
    let place = |x: isize| (x - window.x0 as isize).clamp(0, window.width() as isize) as usize;
    let (from, to) = (place(first), place(first + columns as isize));
    for plane in &mut *planes {
        let row = plane.row_mut(y);
        row[..from].fill(0.0);
        row[to..].fill(0.0);
    }
    let skipped = (window.x0 as isize + from as isize - first) as usize;
    for x in (from..to).step_by(S::LANES) {
        let count = S::LANES.min(to - x);
        let mut at = [0; 16];
        for (l, at) in at.iter_mut().enumerate().take(S::LANES) {
            *at = (skipped + x - from + l.min(count - 1)) * ins;
        }
        for (c, planes) in planes.chunks_mut(8).enumerate() {
            let vectors = simd.load_columns(&sums[8 * c..], &at);
            for (plane, v) in planes.iter_mut().zip(vectors) {
                simd.store_partial(v, &mut plane.row_mut(y)[x..x + count]);
            }
        }
    }
}
