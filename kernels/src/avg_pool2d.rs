//! Average pooling with both counts, and its adjoint.
//!
//! out(o) = Σ input over the window of o / count(o); in-map cells are added in row-major order. The adjoint gathers
//! signal(o) / count(o) from the windows that cover a cell, in their row-major order.

use crate::Cpu;
use crate::geometry::{Geometry, Window};
use crate::groups::for_parts;
use crate::rows::{
    Ring, Split, WayBack, check_pool, present_rows, sum_taps, tap_at, tap_starts, vectors, weave_row,
    whole_cache_lines, whole_vectors,
};
use crate::simd::{Simd, SimdOp};
use crate::view::{Maps, MapsMut, PlanesMut};

/// Computes every cell of `out.window()`. With `count_include_pad` padding counts as cells (of zeros); cells beyond the
/// padding, where a ceil-mode window hangs over, never count (the rule of ONNX and PyTorch). A window without any cell
/// that counts gives 0.
///
/// `input` must hold what the window reads.
///
/// # Example
///
/// ```
/// use switchback_kernels::avg_pool2d::avg_pool2d;
/// use switchback_kernels::{Cpu, Geometry, Maps, MapsMut};
///
/// let x = [1.0, 2.0, 3.0, 4.0]; // a map of 2 × 2
/// let mut y = [0.0; 4];
/// let geometry = Geometry { kernel: [1, 2], stride: [1, 1], dilation: [1, 1], pads: [0, 1, 0, 0] };
/// let (input, out) = (Maps::new(&x, 1, 1, [2, 2]), MapsMut::new(&mut y, 1, 1, [2, 2]));
/// avg_pool2d(&Cpu::new(1), &geometry, false, input, out);
/// assert_eq!(y, [1.0, 1.5, 3.0, 3.5]); // the left column of padding does not count
/// ```
pub fn avg_pool2d(cpu: &Cpu, geometry: &Geometry, count_include_pad: bool, input: Maps<'_>, out: MapsMut<'_>) {
    check_pool(geometry, input.full(), out.full());
    assert_eq!((input.batch(), input.channels()), (out.layout().batch, out.layout().channels), "images, channels");
    let window = out.window();
    input.check_holds(geometry.input_window(window, input.full()));
    let rows = counts(geometry, count_include_pad, 0, input.full()[0], window.y0..window.y1);
    let columns = counts(geometry, count_include_pad, 1, input.full()[1], window.x0..window.x1);
    let cells = window.area() * geometry.stride[0].min(geometry.kernel[0]) * geometry.stride[1].min(geometry.kernel[1]);
    for_parts(cpu, out.planes(), cells, |planes| {
        cpu.level.dispatch(Forward { geometry, input, window, rows: &rows, columns: &columns, planes });
    });
}

/// The adjoint: every cell of `out.window()` (the pool's input side) from `signal` (zero outside its window).
pub fn avg_pool2d_backward(
    cpu: &Cpu,
    geometry: &Geometry,
    count_include_pad: bool,
    signal: Maps<'_>,
    out: MapsMut<'_>,
) {
    check_pool(geometry, out.full(), signal.full());
    assert_eq!((signal.batch(), signal.channels()), (out.layout().batch, out.layout().channels), "images, channels");
    let (window, present, full) = (out.window(), signal.window(), out.full());
    let rows = counts(geometry, count_include_pad, 0, full[0], present.y0..present.y1);
    let columns = counts(geometry, count_include_pad, 1, full[1], present.x0..present.x1);
    for_parts(cpu, out.planes(), window.area(), |planes| {
        cpu.level.dispatch(Backward { geometry, signal, window, rows: &rows, columns: &columns, planes });
    });
}

/// Taps of each output that count along an axis; a window's count is the product over both axes.
///
/// At least 1, so that a window of nothing is 0 / 1.
fn counts(
    geometry: &Geometry,
    count_include_pad: bool,
    axis: usize,
    size: usize,
    outputs: std::ops::Range<usize>,
) -> Vec<f32> {
    let end = geometry.pads[axis] + size + geometry.pads[axis + 2];
    outputs
        .map(|o| {
            let counts = |t: &usize| {
                if count_include_pad {
                    o * geometry.stride[axis] + t * geometry.dilation[axis] < end
                } else {
                    tap_at(geometry, axis, o, *t, size).is_some()
                }
            };
            (0..geometry.kernel[axis]).filter(counts).count().max(1) as f32
        })
        .collect()
}

/// dst\[i\] = src\[i\] / (row · columns\[i\])
#[inline(always)]
fn divide<S: Simd>(simd: S, src: &[f32], row: f32, columns: &[f32], dst: &mut [f32]) {
    let row = simd.splat(row);
    for at in vectors(simd, dst.len()) {
        let count = simd.mul(row, simd.load(&columns[at..]));
        simd.store(simd.div(simd.load(&src[at..]), count), &mut dst[at..]);
    }
    if dst.len() < S::LANES {
        let count = simd.mul(row, simd.load_partial(&columns[..dst.len()], 1.0));
        simd.store_partial(simd.div(simd.load_partial(&src[..dst.len()], 0.0), count), dst);
    }
}

struct Forward<'a> {
    geometry: &'a Geometry,
    input: Maps<'a>,
    window: Window,
    rows: &'a [f32],
    columns: &'a [f32],
    planes: PlanesMut<'a>,
}

impl SimdOp for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { geometry, input, window, rows, columns, planes } = self;
        let Geometry { kernel, stride, pads, .. } = *geometry;
        let extent = geometry.extent();
        let phases = stride[1].min(extent[1]);
        let width = whole_vectors(simd, window.width());
        let pitch = whole_cache_lines(width + (extent[1] - 1) / stride[1]);
        let first = (window.x0 * stride[1]) as isize - pads[1] as isize - input.window().x0 as isize;
        let split = Split::new(first, input.window().width(), stride[1], phases, pitch);
        let mut ring = Ring::new(extent[0], phases * pitch, 0.0);
        let taps = tap_starts(geometry, pitch);
        let mut starts = Vec::with_capacity(kernel[0]);
        let mut sums = vec![0.0; width];
        for mut plane in planes {
            let (n, c) = (plane.image, plane.channel);
            ring.clear();
            for oy in window.y0..window.y1 {
                starts.clear();
                for ky in 0..kernel[0] {
                    let Some(iy) = tap_at(geometry, 0, oy, ky, input.full()[0]) else { continue };
                    let (_, start, present) = ring.claim(iy);
                    if !present {
                        split.row(simd, input.row(n, c, iy), ring.line_mut(start));
                    }
                    starts.push(start);
                }
                sum_taps(simd, &ring.lines, &starts, &taps, &mut sums);
                divide(simd, &sums, rows[oy - window.y0], columns, plane.row_mut(oy));
            }
        }
    }
}

struct Backward<'a> {
    geometry: &'a Geometry,
    signal: Maps<'a>,
    window: Window,
    rows: &'a [f32],
    columns: &'a [f32],
    planes: PlanesMut<'a>,
}

impl SimdOp for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { geometry, signal, window, rows, columns, planes } = self;
        let Geometry { kernel, stride, dilation, pads } = *geometry;
        let way = WayBack::new(simd, geometry, window.x0, window.x1);
        let (line, present) = (way.line(), present_rows(signal));
        let (inside, from) = way.present(present);
        let mut ring = Ring::new((geometry.extent()[0] - 1) / stride[0] + 1, line, 0.0);
        let mut phases = vec![0.0; stride[1] * way.pitch];
        let landings = way.landings(geometry);
        let mut starts = Vec::with_capacity(kernel[0]);
        for mut plane in planes {
            let (n, c) = (plane.image, plane.channel);
            ring.clear();
            for y in window.y0..window.y1 {
                starts.clear();
                // From the last tap down, outputs come in rising order.
                for ky in (0..kernel[0]).rev() {
                    let Some(t) = (y + pads[0]).checked_sub(ky * dilation[0]) else { continue };
                    let oy = t / stride[0];
                    if t != oy * stride[0] || !(present.y0..present.y1).contains(&oy) {
                        continue;
                    }
                    let (_, start, held) = ring.claim(oy);
                    if !held {
                        let shares = &mut ring.line_mut(start)[inside.clone()];
                        let row = &signal.row(n, c, oy)[from..];
                        divide(simd, row, rows[oy - present.y0], &columns[from..], shares);
                    }
                    starts.push(start);
                }
                for (phase, landing) in phases.chunks_exact_mut(way.pitch).zip(&landings) {
                    sum_taps(simd, &ring.lines, &starts, &landing.starts, phase);
                }
                weave_row(simd, &phases, way.pitch, stride[1], way.q0, plane.row_mut(y));
            }
        }
    }
}
