//! Max-pooling that records switches: the offset `ky · kernel_w + kx` of the winner inside its window, one byte an output.
//!
//! The first maximum in row-major order wins, a NaN wins over all (the first NaN), padding never wins. A window that
//! reads padding alone (it hangs over a far border in ceil mode, or its dilation steps over the map) gives −∞ and
//! switch 0, which then lies outside the map, so that unpooling drops it.
//!
//! Rows whose numbers are all finite run on vectors: there the padding is −∞, which no strict comparison lets win.

use crate::Cpu;
use crate::geometry::{Geometry, Window};
use crate::rows::{
    Ring, Split, by_block, check_pool, for_groups, store_block, tap_at, tap_starts, whole_cache_lines, whole_vectors,
};
use crate::simd::{Simd, SimdOp};
use crate::view::{Maps, MapsMut, PlaneMut};

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
    let needed = geometry.input_window(window, input.full());
    assert!(input.window().contains(needed), "needs {needed:?}, the input holds {:?}", input.window());
    if let Some(switches) = &switches {
        let cells = geometry.kernel[0] * geometry.kernel[1];
        assert!(cells <= 256, "a switch names one of 256 cells, the window has {cells}");
        let extents = |l: crate::view::Layout| (l.batch, l.channels, l.full, l.window);
        assert_eq!(extents(switches.layout()), extents(out.layout()), "switches and outputs");
    }
    let values = out.into_planes();
    let planes: Vec<_> = match switches {
        Some(switches) => values.into_iter().zip(switches.into_planes().into_iter().map(Some)).collect(),
        None => values.into_iter().map(|plane| (plane, None)).collect(),
    };
    let cells = window.area() * geometry.stride[0].min(geometry.kernel[0]) * geometry.stride[1].min(geometry.kernel[1]);
    for_groups(cpu, planes, cells, |planes| cpu.level.dispatch(Pool { geometry, input, window, planes }));
}

/// One output map and its switches.
type Plane<'a> = (PlaneMut<'a>, Option<PlaneMut<'a, u8>>);

/// A group of maps, pooled one after the other.
struct Pool<'a> {
    geometry: &'a Geometry,
    input: Maps<'a>,
    window: Window,
    planes: Vec<Plane<'a>>,
}

impl SimdOp for Pool<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { geometry, input, window, planes } = self;
        let Geometry { kernel, stride, pads, .. } = *geometry;
        let extent = geometry.extent();
        let phases = stride[1].min(extent[1]);
        let pitch = whole_cache_lines(whole_vectors(simd, window.width()) + (extent[1] - 1) / stride[1]);
        let first = (window.x0 * stride[1]) as isize - pads[1] as isize - input.window().x0 as isize;
        let split = Split::new(first, input.window().width(), stride[1], phases, pitch);
        let mut ring = Ring::new(extent[0], phases * pitch, f32::NEG_INFINITY);
        let mut finite = vec![true; extent[0]];
        let mut taps = Taps {
            starts: tap_starts(geometry, pitch),
            names: (0..kernel[0] * kernel[1]).map(|offset| offset as f32).collect(),
            rows: Vec::with_capacity(kernel[0]),
        };
        for (mut values, mut switches) in planes {
            let (n, c) = (values.image, values.channel);
            ring.clear();
            for oy in window.y0..window.y1 {
                taps.rows.clear();
                let mut all_finite = true;
                for ky in 0..kernel[0] {
                    let Some(iy) = tap_at(geometry, 0, oy, ky, input.full()[0]) else { continue };
                    let (slot, start, present) = ring.claim(iy);
                    if !present {
                        finite[slot] = split.row(simd, input.row(n, c, iy), ring.line_mut(start));
                    }
                    all_finite &= finite[slot];
                    taps.rows.push((start, ky * kernel[1]));
                }
                let values = values.row_mut(oy);
                match switches.as_mut().map(|s| s.row_mut(oy)) {
                    Some(switches) if all_finite => pool_row::<S, true>(simd, &ring.lines, &taps, values, switches),
                    None if all_finite => pool_row::<S, false>(simd, &ring.lines, &taps, values, &mut []),
                    switches => pool_any_row(geometry, input, [n, c, oy, window.x0], values, switches),
                }
            }
        }
    }
}

/// What the window of a row of outputs reads.
struct Taps {
    /// Where each tap of a row begins in its line.
    starts: Vec<usize>,
    /// The switches as numbers, 0 to kernel_h · kernel_w − 1.
    names: Vec<f32>,
    /// The rows outside of padding: where their lines begin, and their first switch.
    rows: Vec<(usize, usize)>,
}

/// The maxima of the taps and, with `SWITCHES`, which tap gave them.
#[inline(always)]
fn pool_row<S: Simd, const SWITCHES: bool>(
    simd: S,
    lines: &[f32],
    taps: &Taps,
    values: &mut [f32],
    switches: &mut [u8],
) {
    #[inline(always)]
    fn block<S: Simd, const SWITCHES: bool, const N: usize>(
        simd: S,
        lines: &[f32],
        taps: &Taps,
        values: &mut [f32],
        switches: &mut [u8],
    ) {
        let mut best = [simd.splat(f32::NEG_INFINITY); N];
        let mut winner = [simd.splat(0.0); N];
        for &(row, name) in &taps.rows {
            for (tap, &name) in taps.starts.iter().zip(&taps.names[name..]) {
                let line = &lines[row + tap..][..N * S::LANES];
                let name = simd.splat(name);
                for i in 0..N {
                    let v = simd.load(&line[i * S::LANES..]);
                    if SWITCHES {
                        winner[i] = simd.select(simd.gt(v, best[i]), name, winner[i]);
                    }
                    best[i] = simd.max(v, best[i]);
                }
            }
        }
        store_block(simd, best, values);
        if SWITCHES {
            for (winner, out) in winner.into_iter().zip(switches.chunks_mut(S::LANES)) {
                if out.len() == S::LANES {
                    simd.store_u8(winner, out);
                } else {
                    let mut bytes = [0; 64];
                    simd.store_u8(winner, &mut bytes);
                    out.copy_from_slice(&bytes[..out.len()]);
                }
            }
        }
    }
    let mut at = 0;
    while at < values.len() {
        let left = (values.len() - at).div_ceil(S::LANES);
        let (lines, values) = (&lines[at..], &mut values[at..]);
        let switches = if SWITCHES { &mut switches[at..] } else { &mut [] };
        at += S::LANES * by_block!(left, N => { block::<S, SWITCHES, N>(simd, lines, taps, values, switches); N });
    }
}

/// A row that may hold anything, one cell at a time.
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
        *value = max;
        if let Some(switches) = &mut switches {
            switches[i] = switch as u8;
        }
    }
}
