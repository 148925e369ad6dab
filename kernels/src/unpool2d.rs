//! Unpooling: every value goes to the place its switch names. Where windows overlap values add up, so that unpool is
//! the adjoint of the selection (Zeiler & Fergus 2013, section 2.1, where windows do not overlap).
//!
//! Each cell gathers from the windows that cover it, in their row-major order: the sum that scattering would give.

mod pairs;

use crate::Cpu;
use crate::geometry::{Geometry, Window};
use crate::groups::for_parts;
use crate::rows::{Ring, WayBack, by_block, check_pool, present_rows, store_block, vectors, weave_row};
use crate::simd::{Simd, SimdOp};
use crate::view::{Maps, MapsMut, PlanesMut};
use pairs::Paired;

/// Computes every cell of `out.window()` (the pool's input side). `signal` (the pool's output side) is zero outside its
/// window; `switches` must be present wherever `signal` is.
///
/// A value whose switch names padding, or a cell outside of `out.window()`, is dropped.
///
/// # Example
///
/// ```
/// use switchback_kernels::unpool2d::unpool2d;
/// use switchback_kernels::{Cpu, Geometry, Maps, MapsMut};
///
/// let (signal, switches) = ([4.0, 5.0], [1u8, 3]);
/// let mut x = [0.0; 8];
/// let (signal, switches) = (Maps::new(&signal, 1, 1, [1, 2]), Maps::new(&switches, 1, 1, [1, 2]));
/// unpool2d(&Cpu::new(1), &Geometry::square(2, 2, 0), signal, switches, MapsMut::new(&mut x, 1, 1, [2, 4]));
/// assert_eq!(x, [0.0, 4.0, 0.0, 0.0,
///                0.0, 0.0, 0.0, 5.0]);
/// ```
pub fn unpool2d(cpu: &Cpu, geometry: &Geometry, signal: Maps<'_>, switches: Maps<'_, u8>, out: MapsMut<'_>) {
    check_pool(geometry, out.full(), signal.full());
    let extents = (signal.batch(), signal.channels());
    assert_eq!(extents, (out.layout().batch, out.layout().channels), "images, channels");
    assert_eq!(extents, (switches.batch(), switches.channels()), "images, channels of the switches");
    assert_eq!(signal.full(), switches.full(), "signal and switches");
    let (present, named) = (signal.window(), switches.window());
    assert!(named.contains(present), "the signal has {present:?}, the switches {named:?}");
    let window = out.window();
    for_parts(cpu, out.planes(), window.area(), |planes| {
        cpu.level.dispatch(Unpool { geometry, signal, switches, window, planes });
    });
}

/// A group of maps, one after the other.
struct Unpool<'a> {
    geometry: &'a Geometry,
    signal: Maps<'a>,
    switches: Maps<'a, u8>,
    window: Window,
    planes: PlanesMut<'a>,
}

impl SimdOp for Unpool<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Geometry { kernel, stride, dilation, .. } = *self.geometry;
        match stride[1] {
            2 if stride[0] == 2 && dilation == [1, 1] && kernel == [3, 3] => simd.vectorize(Paired::<3>(self)),
            2 if stride[0] == 2 && dilation == [1, 1] && kernel == [2, 2] => simd.vectorize(Paired::<2>(self)),
            1 => simd.vectorize(Spaced::<1>(self)),
            2 => simd.vectorize(Spaced::<2>(self)),
            _ => simd.vectorize(Spaced::<0>(self)),
        }
    }
}

/// A pool whose stride along a row is known when this is compiled, or any where it is 0.
struct Spaced<'a, const STRIDE: usize>(Unpool<'a>);

impl<const STRIDE: usize> SimdOp for Spaced<'_, STRIDE> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Unpool { geometry, signal, switches, window, planes } = self.0;
        let Geometry { kernel, stride, dilation, pads } = *geometry;
        let way = WayBack::new(simd, geometry, window.x0, window.x1);
        let (line, present) = (way.line(), present_rows(signal));
        let (inside, from) = way.present(present);
        let skipped = present.x0.saturating_sub(switches.window().x0);
        // A slot holds a row of values, then one of switches as numbers; beside the signal's window zeros.
        let mut ring = Ring::new((geometry.extent()[0] - 1) / stride[0] + 1, 2 * line, 0.0);
        let mut phases = vec![0.0; if STRIDE == 0 { stride[1] * way.pitch } else { 0 }];
        let landings = way.landings(geometry);
        let mut taps: Vec<Vec<(usize, f32)>> = vec![Vec::with_capacity(kernel[0] * kernel[1]); landings.len()];
        for mut plane in planes {
            let (n, c) = (plane.image, plane.channel);
            ring.clear();
            for y in window.y0..window.y1 {
                taps.iter_mut().for_each(Vec::clear);
                // From the last tap down, outputs come in rising order.
                for ky in (0..kernel[0]).rev() {
                    let Some(t) = (y + pads[0]).checked_sub(ky * dilation[0]) else { continue };
                    let oy = t / stride[0];
                    if t != oy * stride[0] || !(present.y0..present.y1).contains(&oy) {
                        continue;
                    }
                    let (_, start, held) = ring.claim(oy);
                    if !held {
                        let (values, named) = ring.line_mut(start).split_at_mut(line);
                        let row = &signal.row(n, c, oy)[from..from + inside.len()];
                        let bytes = &switches.row(n, c, oy)[skipped + from..skipped + from + inside.len()];
                        hold_row(simd, row, bytes, &mut values[inside.clone()], &mut named[inside.clone()]);
                    }
                    for (taps, landing) in taps.iter_mut().zip(&landings) {
                        for (at, tap) in landing.starts.iter().zip(&landing.taps) {
                            taps.push((start + at, (ky * kernel[1] + tap) as f32));
                        }
                    }
                }
                let (lines, out) = (Lines { lines: &ring.lines, line }, plane.row_mut(y));
                match STRIDE {
                    1 => lines.gather(simd, &taps[0], out),
                    2 if way.q0 == 0 => lines.gather_pairs(simd, [&taps[0], &taps[1]], 0, out),
                    2 => lines.gather_pairs(simd, [&taps[1], &taps[0]], 1, out),
                    _ => {
                        for (phase, taps) in phases.chunks_exact_mut(way.pitch).zip(&taps) {
                            lines.gather(simd, taps, phase);
                        }
                        weave_row(simd, &phases, way.pitch, stride[1], way.q0, out);
                    }
                }
            }
        }
    }
}

/// Copies a row of values and, as numbers, its switches.
#[inline(always)]
fn hold_row<S: Simd>(simd: S, row: &[f32], bytes: &[u8], values: &mut [f32], named: &mut [f32]) {
    for at in vectors(simd, row.len()) {
        simd.store(simd.load(&row[at..]), &mut values[at..]);
        simd.store(simd.load_u8(&bytes[at..]), &mut named[at..]);
    }
    if row.len() < S::LANES {
        for i in 0..row.len() {
            (values[i], named[i]) = (row[i], f32::from(bytes[i]));
        }
    }
}

/// The rows of the signal: values, and `line` further on their switches.
///
/// A tap is where the values begin that it may bring to cell 0, and the switch that says it does.
struct Lines<'a> {
    lines: &'a [f32],
    line: usize,
}

impl Lines<'_> {
    /// out\[i\] = Σ value\[i\] over the taps, in their order, that switch\[i\] names.
    #[inline(always)]
    fn gather<S: Simd>(&self, simd: S, taps: &[(usize, f32)], out: &mut [f32]) {
        let mut at = 0;
        while at < out.len() {
            let left = (out.len() - at).div_ceil(S::LANES);
            let out = &mut out[at..];
            at += S::LANES * by_block!(left, N => { store_block(simd, self.sums::<S, N>(simd, taps, at), out); N });
        }
    }

    /// The same for two phases at once: cells 0, 2, 4 … of `out` from the first, cells 1, 3, 5 … from the second, whose
    /// values lie `ahead` further on.
    #[inline(always)]
    fn gather_pairs<S: Simd>(&self, simd: S, taps: [&[(usize, f32)]; 2], ahead: usize, out: &mut [f32]) {
        let mut at = 0;
        while 2 * at < out.len() {
            let left = (out.len() - 2 * at).div_ceil(2 * S::LANES);
            let out = &mut out[2 * at..];
            at += S::LANES
                * by_block!(left, N => {
                    let even = self.sums::<S, N>(simd, taps[0], at);
                    let odd = self.sums::<S, N>(simd, taps[1], at + ahead);
                    for i in 0..N {
                        let (a, b) = simd.interleave(even[i], odd[i]);
                        store_block(simd, [a, b], &mut out[2 * i * S::LANES..]);
                    }
                    N
                });
        }
    }

    /// `N` vectors of cells from `at` on.
    #[inline(always)]
    fn sums<S: Simd, const N: usize>(&self, simd: S, taps: &[(usize, f32)], at: usize) -> [S::F32; N] {
        let mut sum = [simd.splat(0.0); N];
        for &(start, name) in taps {
            let values = &self.lines[start + at..][..N * S::LANES];
            let switches = &self.lines[start + at + self.line..][..N * S::LANES];
            let name = simd.splat(name);
            for i in 0..N {
                let named = simd.eq(simd.load(&switches[i * S::LANES..]), name);
                sum[i] = simd.add_where(named, sum[i], simd.load(&values[i * S::LANES..]));
            }
        }
        sum
    }
}
