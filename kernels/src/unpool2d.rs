//! Unpooling: every value goes to the place its switch names. Where windows overlap values add up, so that unpool is
//! the adjoint of the selection (Zeiler & Fergus 2013, section 2.1, where windows do not overlap).
//!
//! Each cell gathers from the windows that cover it, in their row-major order: the sum that scattering would give.

use crate::Cpu;
use crate::geometry::{Geometry, Window};
use crate::rows::{Ring, WayBack, by_block, check_pool, for_groups, present_rows, split_row, store_block, weave_row};
use crate::simd::{Simd, SimdOp};
use crate::view::{Maps, MapsMut, PlaneMut};

/// Computes every cell of `out.window()` (the pool's input side). `signal` (the pool's output side) is zero outside its
/// window; `switches` must be present wherever `signal` is.
///
/// A value whose switch names padding, or a cell outside of `out.window()`, is dropped.
pub fn unpool2d(cpu: &Cpu, geometry: &Geometry, signal: Maps<'_>, switches: Maps<'_, u8>, out: MapsMut<'_>) {
    check_pool(geometry, out.full(), signal.full());
    let extents = (signal.batch(), signal.channels());
    assert_eq!(extents, (out.layout().batch, out.layout().channels), "images, channels");
    assert_eq!(extents, (switches.batch(), switches.channels()), "images, channels of the switches");
    assert_eq!(signal.full(), switches.full(), "signal and switches");
    let (present, named) = (signal.window(), switches.window());
    assert!(named.contains(present), "the signal has {present:?}, the switches {named:?}");
    let window = out.window();
    for_groups(cpu, out.into_planes(), window.area(), |planes| {
        cpu.level.dispatch(Unpool { geometry, signal, switches, window, planes });
    });
}

/// A group of maps, one after the other.
struct Unpool<'a> {
    geometry: &'a Geometry,
    signal: Maps<'a>,
    switches: Maps<'a, u8>,
    window: Window,
    planes: Vec<PlaneMut<'a>>,
}

/// Which tap of which line: where it begins in the values, where in the switches, and the switch that names it.
#[derive(Clone, Copy)]
struct Tap {
    value: usize,
    switch: usize,
    name: f32,
}

impl SimdOp for Unpool<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { geometry, signal, switches, window, planes } = self;
        let Geometry { kernel, stride, dilation, pads } = *geometry;
        let way = WayBack::new(simd, geometry, window.x0, window.x1);
        let (line, present) = (way.line(), present_rows(signal));
        let skipped = present.x0.saturating_sub(switches.window().x0);
        // A slot holds a row of values, then one of switches as numbers.
        let mut ring = Ring::new((geometry.extent()[0] - 1) / stride[0] + 1, 2 * line);
        let mut phases = vec![0.0; stride[1] * way.pitch];
        let landing = way.taps(geometry);
        let mut rows = Vec::with_capacity(kernel[0]);
        let mut taps = Vec::with_capacity(kernel[0] * kernel[1]);
        for mut plane in planes {
            let (n, c) = (plane.image, plane.channel);
            ring.clear();
            for y in window.y0..window.y1 {
                rows.clear();
                // From the last tap down, outputs come in rising order.
                for ky in (0..kernel[0]).rev() {
                    let Some(t) = (y + pads[0]).checked_sub(ky * dilation[0]) else { continue };
                    let oy = t / stride[0];
                    if !t.is_multiple_of(stride[0]) || !(present.y0..present.y1).contains(&oy) {
                        continue;
                    }
                    let (_, start, held) = ring.claim(oy);
                    if !held {
                        let (values, names) = ring.line_mut(start).split_at_mut(line);
                        let first = way.start(present.x0);
                        split_row(simd, signal.row(n, c, oy), first, 1, line, 0.0, values);
                        let bytes = &switches.row(n, c, oy)[skipped..skipped + present.width()];
                        widen_row(simd, bytes, first, names);
                    }
                    rows.push((start, ky * kernel[1]));
                }
                let out = plane.row_mut(y);
                if rows.is_empty() {
                    out.fill(0.0);
                    continue;
                }
                for (phase, landing) in phases.chunks_exact_mut(way.pitch).zip(&landing) {
                    taps.clear();
                    for &(start, name) in &rows {
                        taps.extend(landing.iter().map(|(kx, tap)| Tap {
                            value: start + tap,
                            switch: start + line + tap,
                            name: (name + kx) as f32,
                        }));
                    }
                    gather(simd, &ring.lines, &taps, phase);
                }
                weave_row(simd, &phases, way.pitch, stride[1], way.q0, out);
            }
        }
    }
}

/// dst\[i\] = bytes\[first + i\] as numbers; −1, which is no switch, outside.
#[inline(always)]
fn widen_row<S: Simd>(simd: S, bytes: &[u8], first: isize, dst: &mut [f32]) {
    let lo = (-first).clamp(0, dst.len() as isize);
    let hi = (bytes.len() as isize - first).clamp(lo, dst.len() as isize) as usize;
    let lo = lo as usize;
    dst[..lo].fill(-1.0);
    dst[hi..].fill(-1.0);
    if lo == hi {
        return;
    }
    let bytes = &bytes[(first + lo as isize) as usize..][..hi - lo];
    let dst = &mut dst[lo..hi];
    let mut i = 0;
    while i < dst.len() && dst.len() >= S::LANES {
        // The last vector overlaps the one before it.
        let at = i.min(dst.len() - S::LANES);
        simd.store(simd.load_u8(&bytes[at..]), &mut dst[at..]);
        i = at + S::LANES;
    }
    for (x, &byte) in dst[i..].iter_mut().zip(&bytes[i..]) {
        *x = f32::from(byte);
    }
}

/// dst\[i\] = Σ value\[i\] over the taps, in their order, that switch\[i\] names.
#[inline(always)]
fn gather<S: Simd>(simd: S, lines: &[f32], taps: &[Tap], dst: &mut [f32]) {
    #[inline(always)]
    fn block<S: Simd, const N: usize>(simd: S, lines: &[f32], taps: &[Tap], dst: &mut [f32]) {
        let zero = simd.splat(0.0);
        let mut sum = [zero; N];
        for tap in taps {
            let values = &lines[tap.value..tap.value + N * S::LANES];
            let switches = &lines[tap.switch..tap.switch + N * S::LANES];
            let name = simd.splat(tap.name);
            for i in 0..N {
                let named = simd.eq(simd.load(&switches[i * S::LANES..]), name);
                sum[i] = simd.add(sum[i], simd.select(named, simd.load(&values[i * S::LANES..]), zero));
            }
        }
        store_block(simd, sum, dst);
    }
    let mut at = 0;
    while at < dst.len() {
        let left = (dst.len() - at) / S::LANES;
        let (lines, dst) = (&lines[at..], &mut dst[at..]);
        at += S::LANES * by_block!(left, N => { block::<S, N>(simd, lines, taps, &mut dst[..N * S::LANES]); N });
    }
}
