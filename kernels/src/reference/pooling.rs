//! Naive loops of the kernels with windows: pooling over places, the ways back, normalisation over channels.
//!
//! Arguments and results are those of the kernels of the same names.

use crate::geometry::Geometry;
use crate::lrn::Lrn;
use crate::view::{Maps, MapsMut};

/// The cells of an input of `size` that output (`oy`, `ox`) reads: offset in the window, row, column; in row-major order.
fn cells(
    geometry: &Geometry,
    [oy, ox]: [usize; 2],
    size: [usize; 2],
) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
    let Geometry { kernel, stride, dilation, pads } = *geometry;
    (0..kernel[0] * kernel[1]).filter_map(move |offset| {
        let y = (oy * stride[0] + offset / kernel[1] * dilation[0]).checked_sub(pads[0])?;
        let x = (ox * stride[1] + offset % kernel[1] * dilation[1]).checked_sub(pads[1])?;
        (y < size[0] && x < size[1]).then_some((offset, y, x))
    })
}

/// The number at a place that must be present.
fn at<T: Copy>(maps: Maps<'_, T>, n: usize, c: usize, y: usize, x: usize) -> T {
    maps.row(n, c, y)[x - maps.window().x0]
}

/// The number at a place, 0 where it is absent.
fn or_zero(maps: Maps<'_>, n: usize, c: usize, y: usize, x: usize) -> f32 {
    let w = maps.window();
    if (w.y0..w.y1).contains(&y) && (w.x0..w.x1).contains(&x) { at(maps, n, c, y, x) } else { 0.0 }
}

/// `f(n, c, y, x)` for every cell of the window.
fn fill<T>(mut out: MapsMut<'_, T>, mut f: impl FnMut(usize, usize, usize, usize) -> T) {
    let l = out.layout();
    for n in 0..l.batch {
        for c in 0..l.channels {
            for y in l.window.y0..l.window.y1 {
                for x in l.window.x0..l.window.x1 {
                    out.row_mut(n, c, y)[x - l.window.x0] = f(n, c, y, x);
                }
            }
        }
    }
}

/// See [`crate::max_pool2d::max_pool2d`].
pub fn max_pool2d(geometry: &Geometry, input: Maps<'_>, out: MapsMut<'_>, switches: Option<MapsMut<'_, u8>>) {
    let winner = |n, c, y, x| {
        let mut best: Option<(f32, usize)> = None;
        for (offset, y, x) in cells(geometry, [y, x], input.full()) {
            let v = at(input, n, c, y, x);
            let wins = match best {
                None => true,
                Some((m, _)) => !m.is_nan() && (v.is_nan() || v > m),
            };
            if wins {
                best = Some((v, offset));
            }
        }
        best.unwrap_or((f32::NEG_INFINITY, 0))
    };
    // −0 becomes +0.
    fill(out, |n, c, y, x| winner(n, c, y, x).0 + 0.0);
    if let Some(switches) = switches {
        fill(switches, |n, c, y, x| winner(n, c, y, x).1 as u8);
    }
}

/// See [`crate::unpool2d::unpool2d`]; scatters in row-major order of the signal.
pub fn unpool2d(geometry: &Geometry, signal: Maps<'_>, switches: Maps<'_, u8>, mut out: MapsMut<'_>) {
    fill(out.reborrow(), |_, _, _, _| 0.0);
    let (l, w) = (out.layout(), signal.window());
    for n in 0..l.batch {
        for c in 0..l.channels {
            for (oy, ox) in (w.y0..w.y1).flat_map(|oy| (w.x0..w.x1).map(move |ox| (oy, ox))) {
                let switch = usize::from(at(switches, n, c, oy, ox));
                let target = cells(geometry, [oy, ox], l.full).find(|cell| cell.0 == switch);
                if let Some((_, y, x)) = target
                    && (l.window.y0..l.window.y1).contains(&y)
                    && (l.window.x0..l.window.x1).contains(&x)
                {
                    out.row_mut(n, c, y)[x - l.window.x0] += at(signal, n, c, oy, ox);
                }
            }
        }
    }
}

/// Cells of the window of output (`oy`, `ox`) that count, at least 1.
fn count(geometry: &Geometry, include_pad: bool, [oy, ox]: [usize; 2], size: [usize; 2]) -> f64 {
    let padded = [0, 1].map(|i| size[i] + geometry.pads[i] + geometry.pads[i + 2]);
    let unpadded = Geometry { pads: [0; 4], ..*geometry };
    let counted =
        if include_pad { cells(&unpadded, [oy, ox], padded).count() } else { cells(geometry, [oy, ox], size).count() };
    counted.max(1) as f64
}

/// See [`crate::avg_pool2d::avg_pool2d`].
pub fn avg_pool2d(geometry: &Geometry, count_include_pad: bool, input: Maps<'_>, out: MapsMut<'_>) {
    fill(out, |n, c, oy, ox| {
        let sum: f64 = cells(geometry, [oy, ox], input.full()).map(|(_, y, x)| f64::from(at(input, n, c, y, x))).sum();
        (sum / count(geometry, count_include_pad, [oy, ox], input.full())) as f32
    });
}

/// See [`crate::avg_pool2d::avg_pool2d_backward`].
pub fn avg_pool2d_backward(geometry: &Geometry, count_include_pad: bool, signal: Maps<'_>, mut out: MapsMut<'_>) {
    let (l, w) = (out.layout(), signal.window());
    let [height, width] = l.full;
    for n in 0..l.batch {
        for c in 0..l.channels {
            let mut sums = vec![0.0; height * width];
            for (oy, ox) in (w.y0..w.y1).flat_map(|oy| (w.x0..w.x1).map(move |ox| (oy, ox))) {
                let share = f64::from(at(signal, n, c, oy, ox)) / count(geometry, count_include_pad, [oy, ox], l.full);
                for (_, y, x) in cells(geometry, [oy, ox], l.full) {
                    sums[y * width + x] += share;
                }
            }
            for y in l.window.y0..l.window.y1 {
                for x in l.window.x0..l.window.x1 {
                    out.row_mut(n, c, y)[x - l.window.x0] = sums[y * width + x] as f32;
                }
            }
        }
    }
}

/// See [`crate::global_pool::global_avg_pool`].
pub fn global_avg_pool(input: Maps<'_>, out: &mut [f32]) {
    for (i, out) in out.iter_mut().enumerate() {
        let (n, c) = (i / input.channels(), i % input.channels());
        let sum: f64 = (0..input.full()[0]).flat_map(|y| input.row(n, c, y)).copied().map(f64::from).sum();
        *out = (sum / input.window().area() as f64) as f32;
    }
}

/// See [`crate::global_pool::global_max_pool`].
pub fn global_max_pool(input: Maps<'_>, out: &mut [f32], mut places: Option<&mut [u32]>) {
    for i in 0..out.len() {
        let (n, c) = (i / input.channels(), i % input.channels());
        let map: Vec<f32> = (0..input.full()[0]).flat_map(|y| input.row(n, c, y)).copied().collect();
        let mut place = 0;
        for (j, &v) in map.iter().enumerate() {
            if !map[place].is_nan() && (v.is_nan() || v > map[place]) {
                place = j;
            }
        }
        out[i] = map[place];
        if let Some(places) = &mut places {
            places[i] = place as u32;
        }
    }
}

/// The channels whose squares the sum of channel `c` adds.
fn summed(lrn: &Lrn, c: usize, channels: usize) -> std::ops::Range<usize> {
    c.saturating_sub((lrn.size - 1) / 2)..(c + lrn.size / 2 + 1).min(channels)
}

/// s of channel `c` at a place.
fn scale(lrn: &Lrn, input: Maps<'_>, [n, c, y, x]: [usize; 4]) -> f64 {
    let squares = summed(lrn, c, input.channels()).map(|i| f64::from(at(input, n, i, y, x)).powi(2));
    f64::from(lrn.k) + f64::from(lrn.alpha) / lrn.size as f64 * squares.sum::<f64>()
}

/// See [`crate::lrn::lrn`].
pub fn lrn(lrn: &Lrn, input: Maps<'_>, out: MapsMut<'_>) {
    fill(out, |n, c, y, x| {
        let s = scale(lrn, input, [n, c, y, x]);
        (f64::from(at(input, n, c, y, x)) * s.powf(-f64::from(lrn.beta))) as f32
    });
}

/// See [`crate::lrn::lrn_backward`].
pub fn lrn_backward(lrn: &Lrn, input: Maps<'_>, signal: Maps<'_>, out: MapsMut<'_>) {
    let beta = f64::from(lrn.beta);
    fill(out, |n, j, y, x| {
        let xj = f64::from(at(input, n, j, y, x));
        let mut sum = 0.0;
        for i in 0..input.channels() {
            let (g, s) = (f64::from(or_zero(signal, n, i, y, x)), scale(lrn, input, [n, i, y, x]));
            if i == j {
                sum += g * s.powf(-beta);
            }
            if summed(lrn, i, input.channels()).contains(&j) {
                let xi = f64::from(at(input, n, i, y, x));
                sum -= g * 2.0 * beta * f64::from(lrn.alpha) / lrn.size as f64 * xi * xj * s.powf(-beta - 1.0);
            }
        }
        sum as f32
    });
}
