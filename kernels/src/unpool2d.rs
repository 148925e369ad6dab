//! Unpooling: every value goes to the place its switch names. Where windows overlap values add up, so that unpool is
//! the adjoint of the selection (Zeiler & Fergus 2013, section 2.1, where windows do not overlap).
//!
//! Each cell gathers from the windows that cover it, in their row-major order: the sum that scattering would give.

use crate::Cpu;
use crate::geometry::{Geometry, Window};
use crate::rows::{
    Landing, Ring, WayBack, by_block, check_pool, for_groups, present_rows, store_block, vectors, weave_row,
};
use crate::simd::{Simd, SimdOp};
use crate::view::{Maps, MapsMut, PlaneMut};

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

impl SimdOp for Unpool<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { geometry, signal, switches, window, planes } = self;
        let Geometry { kernel, stride, dilation, pads } = *geometry;
        let way = WayBack::new(simd, geometry, window.x0, window.x1);
        let (line, present) = (way.line(), present_rows(signal));
        let (inside, from) = way.present(present);
        let skipped = present.x0.saturating_sub(switches.window().x0);
        // A slot holds a row of values, then one of switches as numbers; beside the signal's window zeros.
        let mut ring = Ring::new((geometry.extent()[0] - 1) / stride[0] + 1, 2 * line, 0.0);
        let mut phases = vec![0.0; stride[1] * way.pitch];
        let landings = way.landings(geometry);
        let names: Vec<f32> = (0..kernel[0] * kernel[1]).map(|offset| offset as f32).collect();
        let mut rows = Vec::with_capacity(kernel[0]);
        for mut plane in planes {
            let (n, c) = (plane.image, plane.channel);
            ring.clear();
            for y in window.y0..window.y1 {
                rows.clear();
                // From the last tap down, outputs come in rising order.
                for ky in (0..kernel[0]).rev() {
                    let Some(t) = (y + pads[0]).checked_sub(ky * dilation[0]) else { continue };
                    let oy = t / stride[0];
                    if t != oy * stride[0] || !(present.y0..present.y1).contains(&oy) {
                        continue;
                    }
                    let (_, start, held) = ring.claim(oy);
                    if !held {
                        let (values, switched) = ring.line_mut(start).split_at_mut(line);
                        values[inside.clone()].copy_from_slice(&signal.row(n, c, oy)[from..from + inside.len()]);
                        let bytes = &switches.row(n, c, oy)[skipped + from..skipped + from + inside.len()];
                        widen_row(simd, bytes, &mut switched[inside.clone()]);
                    }
                    rows.push((start, ky * kernel[1]));
                }
                let out = plane.row_mut(y);
                if rows.is_empty() {
                    out.fill(0.0);
                    continue;
                }
                for (phase, landing) in phases.chunks_exact_mut(way.pitch).zip(&landings) {
                    gather(simd, &Lines { lines: &ring.lines, line, rows: &rows, names: &names }, landing, phase);
                }
                weave_row(simd, &phases, way.pitch, stride[1], way.q0, out);
            }
        }
    }
}

/// dst\[i\] = bytes\[i\] as numbers
#[inline(always)]
fn widen_row<S: Simd>(simd: S, bytes: &[u8], dst: &mut [f32]) {
    for at in vectors(simd, dst.len()) {
        simd.store(simd.load_u8(&bytes[at..]), &mut dst[at..]);
    }
    if dst.len() < S::LANES {
        for (x, &byte) in dst.iter_mut().zip(bytes) {
            *x = f32::from(byte);
        }
    }
}

/// The rows of the signal that cover a row of cells.
struct Lines<'a> {
    lines: &'a [f32],
    /// From a row's values to its switches.
    line: usize,
    /// Where each row begins in `lines`, and the first switch that means the row of cells.
    rows: &'a [(usize, usize)],
    /// The switches as numbers.
    names: &'a [f32],
}

/// dst\[i\] = Σ value\[i\] over the taps, in their order, that switch\[i\] names.
#[inline(always)]
fn gather<S: Simd>(simd: S, signal: &Lines<'_>, landing: &Landing, dst: &mut [f32]) {
    #[inline(always)]
    fn block<S: Simd, const N: usize>(simd: S, signal: &Lines<'_>, landing: &Landing, at: usize, dst: &mut [f32]) {
        let zero = simd.splat(0.0);
        let mut sum = [zero; N];
        for &(row, name) in signal.rows {
            for (start, tap) in landing.starts.iter().zip(&landing.taps) {
                let values = &signal.lines[row + start + at..][..N * S::LANES];
                let switches = &signal.lines[row + start + at + signal.line..][..N * S::LANES];
                let name = simd.splat(signal.names[name + tap]);
                for i in 0..N {
                    let named = simd.eq(simd.load(&switches[i * S::LANES..]), name);
                    sum[i] = simd.add(sum[i], simd.select(named, simd.load(&values[i * S::LANES..]), zero));
                }
            }
        }
        store_block(simd, sum, dst);
    }
    let mut at = 0;
    while at < dst.len() {
        let left = (dst.len() - at) / S::LANES;
        let dst = &mut dst[at..];
        at += S::LANES * by_block!(left, N => { block::<S, N>(simd, signal, landing, at, dst); N });
    }
}
