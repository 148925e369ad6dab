//! Depthwise convolution: each filter sees one map, so there is no matrix to multiply by, and a map is read as it lies.
//!
//! out(n, o, y, x) = act(bias(o) + Σ_{ky,kx} w(o, ky, kx) · in(n, o / m, y·s − p + ky·d, x·s − p + kx·d), m filters a map
//!
//! ```text
//! a map, padded and its rows parted by stride ─▶ every tap of a row of outputs is a row of adjacent cells
//! block of rows × vectors of outputs           = Σ over taps: one weight × the same block, moved
//! ```
//! Each output is one chain of multiply-adds in the order of the taps, here with the zeros of the padding. The usual square kernels
//! need no copy: see `strips`.

mod strips;

use crate::Cpu;
use crate::aligned::AlignedBuf;
use crate::conv2d::Conv2d;
use crate::gemm::Epilogue;
use crate::geometry::{Geometry, Window};
use crate::groups::for_parts;
use crate::rows::{Split, by_block, store_block, tap_starts, whole_cache_lines, whole_vectors};
use crate::simd::{Simd, SimdOp};
use crate::view::{Maps, MapsMut, PlaneMut, PlanesMut};

/// Every cell of `out.window()`, which is not empty, by `filters` `(out_channels, kernel)`.
pub(crate) fn run(
    cpu: &Cpu,
    conv: &Conv2d,
    filters: &[f32],
    epilogue: &Epilogue<'_>,
    input: Maps<'_>,
    out: MapsMut<'_>,
) {
    let window = out.window();
    input.check_holds(conv.geometry.input_window(window, input.full()));
    let cells = window.area() * conv.geometry.stride[0] * conv.geometry.stride[1];
    for_parts(cpu, out.planes(), cells, |planes| {
        cpu.level.dispatch(Planes { conv, filters, epilogue, input, window, planes });
    });
}

/// A group of output maps.
struct Planes<'a> {
    conv: &'a Conv2d,
    filters: &'a [f32],
    epilogue: &'a Epilogue<'a>,
    input: Maps<'a>,
    window: Window,
    planes: PlanesMut<'a>,
}

impl SimdOp for Planes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if strips::fit(&self.conv.geometry) && !self.epilogue.accumulate {
            return strips::run(simd, self);
        }
        let Self { conv, filters, epilogue, input, window, planes } = self;
        let geometry @ Geometry { kernel, stride, dilation, pads } = &conv.geometry;
        let extent = geometry.extent();
        let phases = stride[1].min(extent[1]);
        let pitch = whole_cache_lines(whole_vectors(simd, window.width()) + (extent[1] - 1) / stride[1]);
        let first = |axis: usize, at: usize| (at * stride[axis]) as isize - pads[axis] as isize;
        let left = first(1, window.x0) - input.window().x0 as isize;
        let split = Split::new(left, input.window().width(), stride[1], phases, pitch);
        let line = phases * pitch;
        let rows = (window.height() - 1) * stride[0] + extent[0];
        // The padding stays as it is.
        let mut cells = AlignedBuf::zeroed(rows * line);
        let columns = tap_starts(geometry, pitch);
        let taps: Vec<usize> =
            (0..kernel[0]).flat_map(|ky| columns.iter().map(move |x| ky * dilation[0] * line + x)).collect();
        let mut held = None;
        for mut plane in planes {
            let map = (plane.image, plane.channel / (conv.out_channels / conv.in_channels));
            if held.replace(map) != Some(map) {
                for (y, line) in (first(0, window.y0)..).zip(cells.chunks_exact_mut(line)) {
                    if (0..input.full()[0] as isize).contains(&y) {
                        split.row(simd, input.row(map.0, map.1, y as usize), line);
                    }
                }
            }
            let weights = &filters[plane.channel * taps.len()..][..taps.len()];
            let bias = epilogue.bias.map_or(0.0, |bias| bias[plane.channel]);
            let map = Map { weights, taps: &taps, cells: &cells, line: line * stride[0], bias, epilogue };
            simd.vectorize(Plane { map, window, out: &mut plane });
        }
    }
}

/// One map of outputs: what its blocks share.
#[derive(Clone, Copy)]
struct Map<'a> {
    weights: &'a [f32],
    /// Where in `cells` each tap of output (0, 0) stands.
    taps: &'a [usize],
    cells: &'a [f32],
    /// From what a row of outputs reads to what the next does.
    line: usize,
    bias: f32,
    epilogue: &'a Epilogue<'a>,
}

struct Plane<'a, 'b> {
    map: Map<'a>,
    window: Window,
    out: &'a mut PlaneMut<'b>,
}

impl SimdOp for Plane<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { map, window, out } = self;
        let mut x = 0;
        while x < window.width() {
            let left = (window.width() - x).div_ceil(S::LANES);
            x += S::LANES
                * by_block!(left, N => {
                    const ROWS: usize = CHAINS / N;
                    columns::<S, N, ROWS>(simd, &map, window, x, out);
                    N
                });
        }
    }
}

/// Sums that are under way together: enough that none waits for its last multiply-add.
const CHAINS: usize = 8;

/// `N` vectors of columns, from column `x` of the window on.
#[inline(always)]
fn columns<S: Simd, const N: usize, const ROWS: usize>(
    simd: S,
    map: &Map<'_>,
    window: Window,
    x: usize,
    out: &mut PlaneMut<'_>,
) {
    let height = window.height();
    let mut y = 0;
    while y < height {
        // The last block begins earlier, so as not to hang over; without accumulation it writes the same once more.
        if height >= ROWS && !(map.epilogue.accumulate && y + ROWS > height) {
            let first = y.min(height - ROWS);
            block::<S, N, ROWS>(simd, map, [first, x], window, out);
            y = first + ROWS;
        } else {
            block::<S, N, 1>(simd, map, [y, x], window, out);
            y += 1;
        }
    }
}

#[inline(always)]
fn block<S: Simd, const N: usize, const ROWS: usize>(
    simd: S,
    map: &Map<'_>,
    [y, x]: [usize; 2],
    window: Window,
    out: &mut PlaneMut<'_>,
) {
    let mut sums = [[simd.splat(0.0); N]; ROWS];
    let cells = &map.cells[y * map.line + x..];
    for (tap, weight) in map.taps.iter().zip(map.weights) {
        let weight = simd.splat(*weight);
        let cells = &cells[*tap..];
        for r in 0..ROWS {
            let cells = &cells[r * map.line..][..N * S::LANES];
            for n in 0..N {
                sums[r][n] = simd.fma(weight, simd.load(&cells[n * S::LANES..]), sums[r][n]);
            }
        }
    }
    for r in 0..ROWS {
        finish(simd, sums[r], map.bias, map.epilogue, &mut out.row_mut(window.y0 + y + r)[x..]);
    }
}

/// Stores a block of sums to as many cells as `row` has.
#[inline(always)]
fn finish<S: Simd, const N: usize>(simd: S, mut sum: [S::F32; N], bias: f32, epilogue: &Epilogue<'_>, row: &mut [f32]) {
    let (zero, bias) = (simd.splat(0.0), simd.splat(bias));
    for n in 0..N {
        if epilogue.accumulate {
            let before = &row[n * S::LANES..];
            sum[n] = simd.add(simd.load_some(before, 0.0), sum[n]);
        }
        sum[n] = simd.add(sum[n], bias);
        if epilogue.relu {
            // The second where either is NaN.
            sum[n] = simd.max(zero, sum[n]);
        }
    }
    store_block(simd, sum, row);
}
