//! Max-pooling that records switches: the offset `ky · kernel_w + kx` of the winner inside its window, one byte an output.
//!
//! The first maximum in row-major order wins, a NaN wins over all (the first NaN), padding never wins; a maximum of zero
//! is +0, whatever its sign. A window that reads padding alone (it hangs over a far border in ceil mode, or its dilation
//! steps over the map) gives −∞ and switch 0, which then lies outside the map, so that unpooling drops it.
//!
//! ```text
//! rows of the input ─▶ maxima of each output's taps in the row, and which taps ─┐ kept while output rows share them
//!                                                     outputs, switches ◀───────┘ the maxima of those maxima
//! ```
//! Vectors take finite numbers for granted: there the padding is −∞, which no strict comparison lets win. A map that
//! holds anything else is pooled once more, cell by cell.

mod pairs;
mod planes;
mod strips;

use std::ops::Range;

use crate::Cpu;
use crate::aligned::AlignedBuf;
use crate::geometry::{Geometry, Window};
use crate::groups::for_parts;
use crate::rows::{Ring, Split, check_pool, tap_at, tap_starts, whole_cache_lines, whole_vectors};
use crate::simd::{Simd, SimdOp};
use crate::view::{Maps, MapsMut, PlaneMut};
use pairs::{MAX_ROWS, Paired};
use planes::Planes;

/// Computes every cell of `out.window()` and, where asked, its switch (`switches` has `out`'s extents and window).
///
/// `input` must hold what the window reads. A window of more than 256 cells has no switches.
///
/// # Example
///
/// ```
/// use switchback_kernels::max_pool2d::max_pool2d;
/// use switchback_kernels::{Cpu, Geometry, Maps, MapsMut};
///
/// let x = [1.0, 4.0, 2.0, 0.0,
///          3.0, 2.0, 1.0, 5.0];
/// let (mut y, mut switches) = ([0.0; 2], [0u8; 2]);
/// let (input, out) = (Maps::new(&x, 1, 1, [2, 4]), MapsMut::new(&mut y, 1, 1, [1, 2]));
/// let places = MapsMut::new(&mut switches, 1, 1, [1, 2]);
/// max_pool2d(&Cpu::new(1), &Geometry::square(2, 2, 0), input, out, Some(places));
/// assert_eq!(y, [4.0, 5.0]);
/// assert_eq!(switches, [1, 3]); // top right, bottom right
/// ```
pub fn max_pool2d(
    cpu: &Cpu,
    geometry: &Geometry,
    input: Maps<'_>,
    out: MapsMut<'_>,
    switches: Option<MapsMut<'_, u8>>,
) {
    check_pool(geometry, input.full(), out.full());
    assert_eq!((input.batch(), input.channels()), (out.layout().batch, out.layout().channels), "images, channels");
    let window = out.window();
    input.check_holds(geometry.input_window(window, input.full()));
    if let Some(switches) = &switches {
        let cells = geometry.kernel[0] * geometry.kernel[1];
        assert!(cells <= 256, "a switch names one of 256 cells, the window has {cells}");
        let extents = |l: crate::view::Layout| (l.batch, l.channels, l.full, l.window);
        assert_eq!(extents(switches.layout()), extents(out.layout()), "switches and outputs");
    }
    let planes = Planes { values: out.planes(), switches: switches.map(MapsMut::planes) };
    let cells = window.area() * geometry.stride[0].min(geometry.kernel[0]) * geometry.stride[1].min(geometry.kernel[1]);
    for_parts(cpu, planes, cells, |planes| cpu.level.dispatch(Pool { geometry, input, window, planes }));
}

/// A group of maps, pooled one after the other.
struct Pool<'a> {
    geometry: &'a Geometry,
    input: Maps<'a>,
    window: Window,
    planes: Planes<'a>,
}

impl SimdOp for Pool<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Geometry { kernel, stride, dilation, .. } = *self.geometry;
        let switches = self.planes.switches.is_some();
        let few = kernel[0] <= MAX_ROWS;
        match (stride[1], kernel[1], dilation[1], switches) {
            (2, 3, 1, true) if few => simd.vectorize(Paired::<3, true>(self)),
            (2, 3, 1, false) if few => simd.vectorize(Paired::<3, false>(self)),
            (2, 2, 1, true) if few => simd.vectorize(Paired::<2, true>(self)),
            (2, 2, 1, false) if few => simd.vectorize(Paired::<2, false>(self)),
            (1, 3, 1, true) => simd.vectorize(Spaced::<3, true>(self)),
            (1, 3, 1, false) => simd.vectorize(Spaced::<3, false>(self)),
            (_, _, _, true) => simd.vectorize(Spaced::<0, true>(self)),
            (_, _, _, false) => simd.vectorize(Spaced::<0, false>(self)),
        }
    }
}

/// A pool at a stride of 1 of `TAPS` columns, or any where that is 0.
struct Spaced<'a, const TAPS: usize, const SWITCHES: bool>(Pool<'a>);

impl<const TAPS: usize, const SWITCHES: bool> SimdOp for Spaced<'_, TAPS, SWITCHES> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Pool { geometry, input, window, planes } = self.0;
        let Geometry { kernel, stride, pads, .. } = *geometry;
        let width = whole_vectors(simd, window.width());
        let first = (window.x0 * stride[1]) as isize - pads[1] as isize - input.window().x0 as isize;
        let scan = Scan::<TAPS>::new::<S>(first, input.window().width(), window.width());
        let mut parted = Parted::new(geometry, first, input.window().width(), width);
        // A slot holds the maxima of a row, then their taps.
        let pitch = whole_cache_lines(width);
        let mut ring = Ring::new(geometry.extent()[0], 2 * pitch, f32::NEG_INFINITY);
        let mut rows: Vec<(usize, f32)> = Vec::with_capacity(kernel[0]);
        let tapless = tapless(geometry, window, input.full()[1]);
        for (mut values, mut switches) in planes {
            let (n, c) = (values.image, values.channel);
            ring.clear();
            let mut special = simd.splat(0.0);
            for oy in window.y0..window.y1 {
                rows.clear();
                for ky in 0..kernel[0] {
                    let Some(iy) = tap_at(geometry, 0, oy, ky, input.full()[0]) else { continue };
                    let (_, start, present) = ring.claim(iy);
                    if !present {
                        let row = input.row(n, c, iy);
                        for at in (0..row.len()).step_by(16) {
                            simd.prefetch(row, at + AHEAD);
                        }
                        let (maxima, taps) = ring.line_mut(start).split_at_mut(pitch);
                        let not_finite = if TAPS == 0 {
                            parted.row::<S, SWITCHES>(simd, row, &mut maxima[..width], taps)
                        } else {
                            scan.row::<S, SWITCHES>(simd, row, &mut maxima[..window.width()], taps)
                        };
                        special = simd.add(special, not_finite);
                    }
                    rows.push((start, (ky * kernel[1]) as f32));
                }
                let values = values.row_mut(oy);
                let switches = switches.as_mut().map_or(&mut [][..], |s| s.row_mut(oy));
                if tapless || rows.is_empty() {
                    values.fill(f32::NEG_INFINITY);
                    switches.fill(0);
                }
                let lines = Lines { lines: &ring.lines, pitch };
                match rows[..] {
                    [a, b] if !tapless => lines.maxima::<S, 2, SWITCHES>(simd, [a, b], values, switches),
                    [a, b, c] if !tapless => lines.maxima::<S, 3, SWITCHES>(simd, [a, b, c], values, switches),
                    _ => {
                        for (i, &row) in rows.iter().enumerate() {
                            lines.raise::<S, SWITCHES>(simd, row, i == 0 && !tapless, values, switches);
                        }
                    }
                }
            }
            if simd.reduce_sum(special).is_nan() {
                pool_any_rows(geometry, input, window, &mut values, switches.as_mut());
            }
        }
    }
}

/// Elements from what is read to what is asked for.
const AHEAD: usize = 512;

/// What stands beyond the end of a row: nothing finite is less, and it is finite itself, so that a row is judged by its
/// own elements.
const BEYOND: f32 = f32::MIN;

/// Whether all taps of some column of outputs lie in padding: its switch is 0, whatever the row.
pub(crate) fn tapless(geometry: &Geometry, window: Window, width: usize) -> bool {
    let none = |ox| (0..geometry.kernel[1]).all(|kx| tap_at(geometry, 1, ox, kx, width).is_none());
    (window.x0..window.x1).any(none)
}

/// The larger of each lane and, with `SWITCHES`, its name; the earlier one where both are equal.
#[inline(always)]
fn contest<S: Simd, const SWITCHES: bool>(
    simd: S,
    (best, winner): (S::F32, S::F32),
    v: S::F32,
    name: S::F32,
) -> (S::F32, S::F32) {
    (simd.max(v, best), if SWITCHES { simd.select(simd.gt(v, best), name, winner) } else { winner })
}

/// How the maxima of a row's taps are found straight from the row, at a stride of 1.
struct Scan<const TAPS: usize> {
    /// Where in the row output 0 begins.
    first: isize,
    /// Outputs that vectors take: they read no padding. None, or at least a vector.
    inside: Range<usize>,
    /// Where in the row they begin.
    from: usize,
}

impl<const TAPS: usize> Scan<TAPS> {
    /// Elements that a vector of outputs reads.
    const fn reads<S: Simd>() -> usize {
        S::LANES + TAPS.saturating_sub(1)
    }

    /// For rows of `len` elements and `count` outputs.
    fn new<S: Simd>(first: isize, len: usize, count: usize) -> Self {
        let lo = first.min(0).unsigned_abs();
        let from = (first + lo as isize) as usize;
        let inside = match len.checked_sub(from + Self::reads::<S>()) {
            Some(left) if lo + S::LANES <= count => lo..(lo + left + S::LANES).min(count),
            _ => 0..0,
        };
        Self { first, inside, from }
    }

    /// The maxima of each output's taps in one row of the input, and which taps they are. Some lane of what it gives is
    /// NaN where the taps read a NaN or an infinity.
    #[inline(always)]
    fn row<S: Simd, const SWITCHES: bool>(&self, simd: S, row: &[f32], maxima: &mut [f32], taps: &mut [f32]) -> S::F32 {
        let zero = simd.splat(0.0);
        let (mut special, mut special_odd) = (zero, zero);
        let (lo, hi) = (self.inside.start, self.inside.end);
        let mut at = lo;
        while at < hi {
            // The last vector overlaps the one before it.
            at = at.min(hi - S::LANES);
            let start = self.from + at - lo;
            let row = &row[start..start + Self::reads::<S>()];
            let mut loads = [zero; TAPS];
            for tap in 0..TAPS {
                loads[tap] = simd.load(&row[tap..]);
            }
            special = simd.fma(loads[0], zero, special);
            special_odd = simd.fma(loads[TAPS - 1], zero, special_odd);
            store_maxima::<S, TAPS, SWITCHES>(simd, loads, &mut maxima[at..], &mut taps[at..]);
            at += S::LANES;
        }
        let beside = self.beside::<SWITCHES>(row, 0..lo, maxima, taps)
            + self.beside::<SWITCHES>(row, hi..maxima.len(), maxima, taps);
        simd.add(simd.add(special, special_odd), simd.splat(beside))
    }

    /// The same for outputs that may read padding; gives a NaN where they read one or an infinity, else a zero.
    #[inline(always)]
    fn beside<const SWITCHES: bool>(
        &self,
        row: &[f32],
        outputs: Range<usize>,
        maxima: &mut [f32],
        taps: &mut [f32],
    ) -> f32 {
        let mut special = 0.0;
        for o in outputs {
            let start = self.first + o as isize;
            let mut best = (f32::NEG_INFINITY, 0.0);
            for tap in 0..TAPS {
                if let Some(&v) = row.get((start + tap as isize) as usize) {
                    special += 0.0 * v;
                    if v > best.0 {
                        best = (v, tap as f32);
                    }
                }
            }
            maxima[o] = best.0;
            if SWITCHES {
                taps[o] = best.1;
            }
        }
        special
    }
}

/// Stores the maxima of `taps` and, with `SWITCHES`, which ones they are.
#[inline(always)]
fn store_maxima<S: Simd, const TAPS: usize, const SWITCHES: bool>(
    simd: S,
    loads: [S::F32; TAPS],
    maxima: &mut [f32],
    taps: &mut [f32],
) {
    let mut best = (loads[0], simd.splat(0.0));
    for tap in 1..TAPS {
        best = contest::<S, SWITCHES>(simd, best, loads[tap], simd.splat(tap as f32));
    }
    simd.store(best.0, maxima);
    if SWITCHES {
        simd.store(best.1, taps);
    }
}

/// Rows of any stride and dilation: parted into phases first.
struct Parted {
    split: Split,
    line: AlignedBuf,
    /// Where each tap of a row begins in its line.
    starts: Vec<usize>,
}

impl Parted {
    fn new(geometry: &Geometry, first: isize, len: usize, width: usize) -> Self {
        let (stride, extent) = (geometry.stride[1], geometry.extent()[1]);
        let phases = stride.min(extent);
        let pitch = whole_cache_lines(width + (extent - 1) / stride);
        let mut line = AlignedBuf::zeroed(phases * pitch);
        line.fill(f32::NEG_INFINITY);
        Self { split: Split::new(first, len, stride, phases, pitch), line, starts: tap_starts(geometry, pitch) }
    }

    /// What [`Scan::row`] does.
    #[inline(always)]
    fn row<S: Simd, const SWITCHES: bool>(
        &mut self,
        simd: S,
        row: &[f32],
        maxima: &mut [f32],
        taps: &mut [f32],
    ) -> S::F32 {
        let zero = simd.splat(0.0);
        let finite = self.split.row(simd, row, &mut self.line);
        for at in (0..maxima.len()).step_by(S::LANES) {
            let mut best = (simd.load(&self.line[self.starts[0] + at..]), simd.splat(0.0));
            for tap in 1..self.starts.len() {
                let v = simd.load(&self.line[self.starts[tap] + at..]);
                best = contest::<S, SWITCHES>(simd, best, v, simd.splat(tap as f32));
            }
            simd.store(best.0, &mut maxima[at..]);
            if SWITCHES {
                simd.store(best.1, &mut taps[at..]);
            }
        }
        if finite { zero } else { simd.splat(f32::NAN) }
    }
}

/// What has been found of rows: a row is where its line begins, and the switch of its first tap.
struct Lines<'a> {
    lines: &'a [f32],
    /// From a row's maxima to their taps.
    pitch: usize,
}

impl Lines<'_> {
    /// The maxima of `ROWS` rows, at least one and each with a tap in the map for each output, and their switches.
    #[inline(always)]
    fn maxima<S: Simd, const ROWS: usize, const SWITCHES: bool>(
        &self,
        simd: S,
        rows: [(usize, f32); ROWS],
        values: &mut [f32],
        switches: &mut [u8],
    ) {
        let mut lines: [(&[f32], &[f32], S::F32); ROWS] = [(&[], &[], simd.splat(0.0)); ROWS];
        for i in 0..ROWS {
            let (maxima, taps) = self.lines[rows[i].0..rows[i].0 + 2 * self.pitch].split_at(self.pitch);
            lines[i] = (maxima, taps, simd.splat(rows[i].1));
        }
        let len = values.len();
        let mut at = 0;
        while at < len {
            let mut best = (simd.load(&lines[0].0[at..]), lines[0].2);
            if SWITCHES {
                best.1 = simd.add(simd.load(&lines[0].1[at..]), best.1);
            }
            for i in 1..ROWS {
                let mut name = lines[i].2;
                if SWITCHES {
                    name = simd.add(simd.load(&lines[i].1[at..]), name);
                }
                best = contest::<S, SWITCHES>(simd, best, simd.load(&lines[i].0[at..]), name);
            }
            store::<S, SWITCHES>(simd, best, &mut values[at..], if SWITCHES { &mut switches[at..] } else { &mut [] });
            at += S::LANES;
        }
    }

    /// Raises `values` where the row has more, or, with `first`, sets them to what the row has.
    #[inline(always)]
    fn raise<S: Simd, const SWITCHES: bool>(
        &self,
        simd: S,
        (row, name): (usize, f32),
        first: bool,
        values: &mut [f32],
        switches: &mut [u8],
    ) {
        let mut at = 0;
        while at < values.len() {
            let values = &mut values[at..];
            let switches = if SWITCHES { &mut switches[at..] } else { &mut [] };
            let mut best = (simd.load(&self.lines[row + at..]), simd.splat(name));
            if SWITCHES {
                best.1 = simd.add(simd.load(&self.lines[row + self.pitch + at..]), best.1);
            }
            if !first {
                let (mut old, mut names) = ([0.0; 64], [0; 64]);
                let len = values.len().min(S::LANES);
                old[..len].copy_from_slice(&values[..len]);
                if SWITCHES {
                    names[..len].copy_from_slice(&switches[..len]);
                }
                best = contest::<S, SWITCHES>(simd, (simd.load(&old), simd.load_u8(&names)), best.0, best.1);
            }
            store::<S, SWITCHES>(simd, best, values, switches);
            at += S::LANES;
        }
    }
}

/// Stores a vector, or as much of it as there is room for.
#[inline(always)]
fn store<S: Simd, const SWITCHES: bool>(
    simd: S,
    (best, winner): (S::F32, S::F32),
    values: &mut [f32],
    switches: &mut [u8],
) {
    // −0 becomes +0.
    let best = simd.add(best, simd.splat(0.0));
    if values.len() >= S::LANES {
        simd.store(best, values);
        if SWITCHES {
            simd.store_u8(winner, switches);
        }
        return;
    }
    simd.store_partial(best, values);
    if SWITCHES {
        simd.store_u8_partial(winner, switches);
    }
}

/// A map that may hold anything, one cell at a time.
fn pool_any_rows(
    geometry: &Geometry,
    input: Maps<'_>,
    window: Window,
    values: &mut PlaneMut<'_>,
    mut switches: Option<&mut PlaneMut<'_, u8>>,
) {
    let (n, c) = (values.image, values.channel);
    for oy in window.y0..window.y1 {
        let switches = switches.as_mut().map(|s| s.row_mut(oy));
        pool_any_row(geometry, input, [n, c, oy, window.x0], values.row_mut(oy), switches);
    }
}

/// One row of it.
fn pool_any_row(
    geometry: &Geometry,
    input: Maps<'_>,
    [n, c, oy, x0]: [usize; 4],
    values: &mut [f32],
    mut switches: Option<&mut [u8]>,
) {
    for (i, value) in values.iter_mut().enumerate() {
        let mut best: Option<(f32, usize)> = None;
        for ky in 0..geometry.kernel[0] {
            let Some(iy) = tap_at(geometry, 0, oy, ky, input.full()[0]) else { continue };
            let row = input.row(n, c, iy);
            for kx in 0..geometry.kernel[1] {
                let Some(ix) = tap_at(geometry, 1, x0 + i, kx, input.full()[1]) else { continue };
                let v = row[ix - input.window().x0];
                if best.is_none_or(|(m, _)| v > m || v.is_nan() && !m.is_nan()) {
                    best = Some((v, ky * geometry.kernel[1] + kx));
                }
            }
        }
        let (max, switch) = best.unwrap_or((f32::NEG_INFINITY, 0));
        *value = max + 0.0;
        if let Some(switches) = &mut switches {
            switches[i] = switch as u8;
        }
    }
}
