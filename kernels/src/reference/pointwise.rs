//! Naive rules of the kernels that look at one number, or one group of numbers, at a time.

use crate::geometry::Window;
use crate::pointwise::{Pointwise, Rectifier};
use crate::view::Maps;

/// What [`crate::pointwise::pointwise`] makes of one number.
pub fn pointwise(f: Pointwise, x: f32) -> f32 {
    match f {
        Pointwise::Copy => x,
        Pointwise::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        Pointwise::LeakyRelu(slope) => {
            if x > 0.0 {
                x
            } else {
                slope * x
            }
        }
        Pointwise::Clip(min, max) => {
            if x < min {
                min
            } else if x > max {
                max
            } else {
                x
            }
        }
        Pointwise::Scale(factor) => x * factor,
    }
}

/// What [`crate::pointwise::rectify`] makes of one number of the signal, `forward` being the layer's output there.
pub fn rectify(rule: &Rectifier, forward: f32, signal: f32) -> f32 {
    let kept = if rule.positive_signal && signal < 0.0 { 0.0 } else { signal };
    if !rule.by_forward || forward > rule.low && forward < rule.high {
        kept
    } else if rule.slope == 0.0 {
        0.0
    } else {
        kept * rule.slope
    }
}

/// What [`crate::overlay::overlay`] puts at row `y`, column `x` of channel `c` of the map, which may lie beyond it.
pub fn overlay(below: &Maps<'_>, above: Option<&Maps<'_>>, c: usize, [y, x]: [isize; 2]) -> f32 {
    let inside = |w: Window| (w.y0 as isize..w.y1 as isize).contains(&y) && (w.x0 as isize..w.x1 as isize).contains(&x);
    let cell = |maps: &Maps<'_>| maps.row(0, c, y as usize)[x as usize - maps.window().x0];
    match above.filter(|above| inside(above.window())) {
        Some(above) => cell(above),
        None if inside(below.window()) => cell(below),
        None => 0.0,
    }
}

/// See [`crate::softmax::softmax`].
pub fn softmax(data: &mut [f32], len: usize, stride: usize) {
    groups(data, len, stride, |x, max, sum| (x - max).exp() / sum);
}

/// See [`crate::softmax::log_softmax`].
pub fn log_softmax(data: &mut [f32], len: usize, stride: usize) {
    groups(data, len, stride, |x, max, sum| x - max - sum.ln());
}

/// `f(x, max, Σ exp(x − max))` for every number of every group.
fn groups(data: &mut [f32], len: usize, stride: usize, f: impl Fn(f64, f64, f64) -> f64) {
    for block in data.chunks_exact_mut(len * stride) {
        for place in 0..stride {
            let group: Vec<f64> = block[place..].iter().step_by(stride).map(|&x| f64::from(x)).collect();
            let max = group.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum = group.iter().map(|x| (x - max).exp()).sum();
            for (i, &x) in group.iter().enumerate() {
                block[place + i * stride] = f(x, max, sum) as f32;
            }
        }
    }
}
