//! Layers that look at one number at a time, and the ReLU rules of the way back.

use crate::Cpu;
use crate::groups::for_parts;
use crate::rows::join_rows;
use crate::simd::{Simd, SimdOp};
use crate::view::{Layout, Maps, MapsMut, PlanesMut};

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pointwise {
    /// x
    Copy,
    /// max(x, 0); NaN stays NaN, −0 stays −0.
    Relu,
    /// x where x > 0, else slope · x.
    LeakyRelu(f32),
    /// x within [min, max]; NaN stays NaN.
    Clip(f32, f32),
    /// x · factor
    Scale(f32),
}

/// `out` = f(`input`) over `out.window()`, which `input` must hold.
///
/// # Example
///
/// ```
/// use switchback_kernels::pointwise::{Pointwise, pointwise};
/// use switchback_kernels::{Cpu, Maps, MapsMut};
///
/// let x = [-1.0, 0.0, 2.0];
/// let mut y = [0.0; 3];
/// pointwise(&Cpu::new(1), Pointwise::Relu, Maps::new(&x, 1, 1, [1, 3]), MapsMut::new(&mut y, 1, 1, [1, 3]));
/// assert_eq!(y, [0.0, 0.0, 2.0]);
/// ```
pub fn pointwise(cpu: &Cpu, f: Pointwise, input: Maps<'_>, out: MapsMut<'_>) {
    map_two(cpu, input, out, f);
}

/// `data` = f(`data`), in place.
pub fn pointwise_in_place(cpu: &Cpu, f: Pointwise, data: MapsMut<'_>) {
    if f != Pointwise::Copy {
        map_one(cpu, data, f);
    }
}

/// out = scale(c) · x + shift(c), one pair a channel; `shift` may be left out. `input` must hold `out.window()`.
pub fn affine(cpu: &Cpu, scale: &[f32], shift: Option<&[f32]>, input: Maps<'_>, out: MapsMut<'_>) {
    assert_eq!(scale.len(), input.channels(), "scales and channels");
    if let Some(shift) = shift {
        assert_eq!(shift.len(), input.channels(), "shifts and channels");
    }
    map_two(cpu, input, out, Affine { scale, shift });
}

/// `out` += `input` over `out.window()`; `input` is zero outside its window.
pub fn add_assign(cpu: &Cpu, input: Maps<'_>, mut out: MapsMut<'_>) {
    let layout = out.layout();
    same_maps(input, layout);
    let both = layout.window.intersect(input.window());
    if both.is_empty() {
        return;
    }
    let skip = (both.y0 - layout.window.y0) * layout.strides[2] + both.x0 - layout.window.x0;
    let part = MapsMut::with_layout(&mut out.data_mut()[skip..], Layout { window: both, ..layout });
    map_both(cpu, input, part, Add);
}

/// How a signal passes a rectifier on the way back. `low` and `high` bound where the forward pass let values through
/// unchanged (ReLU: 0 and ∞); outside them it multiplied by `slope` (ReLU and clip: 0).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rectifier {
    /// Keep only the positive part of the signal (deconv, guided); NaN stays NaN.
    pub positive_signal: bool,
    /// Multiply by `slope` where the forward output was not strictly between `low` and `high` (gradient, guided).
    pub by_forward: bool,
    /// Lower bound.
    pub low: f32,
    /// Upper bound.
    pub high: f32,
    /// Beyond the bounds; 0 gives 0 for any signal.
    pub slope: f32,
}

/// Applies `rule` to `signal` in place; `forward` is the layer's output, read only where `rule.by_forward`, and then
/// must hold the signal's window.
pub fn rectify(cpu: &Cpu, rule: &Rectifier, forward: Option<Maps<'_>>, signal: MapsMut<'_>) {
    if rule.by_forward {
        map_both(cpu, forward.expect("the rule reads the layer's output"), signal, *rule);
    } else if rule.positive_signal {
        map_one(cpu, signal, Pointwise::Relu);
    }
}

/// One vector of channel `c`: the new numbers from what was there (`out`) and what is read beside it (`x`).
trait Combine: Copy + Send + Sync {
    /// Implementations must be `#[inline(always)]`.
    fn apply<S: Simd>(&self, simd: S, c: usize, x: S::F32, out: S::F32) -> S::F32;
}

impl Combine for Pointwise {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, _: usize, x: S::F32, _: S::F32) -> S::F32 {
        let zero = simd.splat(0.0);
        match *self {
            Pointwise::Copy => x,
            // The second operand passes where it is NaN.
            Pointwise::Relu => simd.max(zero, x),
            Pointwise::LeakyRelu(slope) => simd.select(simd.gt(x, zero), x, simd.mul(simd.splat(slope), x)),
            Pointwise::Clip(min, max) => simd.min(simd.splat(max), simd.max(simd.splat(min), x)),
            Pointwise::Scale(factor) => simd.mul(x, simd.splat(factor)),
        }
    }
}

#[derive(Clone, Copy)]
struct Affine<'a> {
    scale: &'a [f32],
    shift: Option<&'a [f32]>,
}

impl Combine for Affine<'_> {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, c: usize, x: S::F32, _: S::F32) -> S::F32 {
        let scale = simd.splat(self.scale[c]);
        match self.shift {
            Some(shift) => simd.fma(scale, x, simd.splat(shift[c])),
            None => simd.mul(scale, x),
        }
    }
}

#[derive(Clone, Copy)]
struct Add;

impl Combine for Add {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, _: usize, x: S::F32, out: S::F32) -> S::F32 {
        simd.add(out, x)
    }
}

impl Combine for Rectifier {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, _: usize, forward: S::F32, signal: S::F32) -> S::F32 {
        let zero = simd.splat(0.0);
        let signal = if self.positive_signal { simd.max(zero, signal) } else { signal };
        let beyond = if self.slope == 0.0 { zero } else { simd.mul(signal, simd.splat(self.slope)) };
        let above = simd.gt(forward, simd.splat(self.low));
        let between = simd.select(simd.gt(simd.splat(self.high), forward), signal, beyond);
        simd.select(above, between, beyond)
    }
}

fn same_maps(input: Maps<'_>, out: Layout) {
    let extents = |l: Layout| (l.batch, l.channels, l.full);
    assert_eq!(extents(input.layout()), extents(out), "(images, channels, size) of input and output");
}

/// `out` = f(`input`, `out`)
fn map_both(cpu: &Cpu, input: Maps<'_>, out: MapsMut<'_>, f: impl Combine) {
    run::<true>(cpu, Some(input), out, f);
}

/// `out` = f(`input`, anything)
fn map_two(cpu: &Cpu, input: Maps<'_>, out: MapsMut<'_>, f: impl Combine) {
    run::<false>(cpu, Some(input), out, f);
}

/// `data` = f(`data`, anything)
fn map_one(cpu: &Cpu, data: MapsMut<'_>, f: impl Combine) {
    run::<true>(cpu, None, data, f);
}

/// Without `input`, f looks at `out` in its place; `READ` says whether `out` is read at all.
fn run<const READ: bool>(cpu: &Cpu, input: Option<Maps<'_>>, mut out: MapsMut<'_>, f: impl Combine) {
    let mut layout = out.layout();
    let cells = layout.window.area();
    let input = match input {
        Some(input) => {
            same_maps(input, layout);
            input.check_holds(layout.window);
            let mut input = input.crop(layout.window);
            if let Some([a, b]) = join_rows([input.layout(), layout]) {
                (input, layout) = (Maps::with_layout(input.data(), a), b);
            }
            Some(input)
        }
        None => {
            [layout] = join_rows([layout]).unwrap_or([layout]);
            None
        }
    };
    let planes = MapsMut::with_layout(out.data_mut(), layout).planes();
    for_parts(cpu, planes, cells, |planes| cpu.level.dispatch(Rows::<_, READ> { input, planes, f }));
}

struct Rows<'a, F, const READ: bool> {
    input: Option<Maps<'a>>,
    planes: PlanesMut<'a>,
    f: F,
}

impl<F: Combine, const READ: bool> SimdOp for Rows<'_, F, READ> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { input, planes, f } = self;
        let none = simd.splat(0.0);
        for mut plane in planes {
            let (n, c) = (plane.image, plane.channel);
            for y in plane.window.y0..plane.window.y1 {
                let out = plane.row_mut(y);
                let Some(input) = input else {
                    let mut outs = out.chunks_exact_mut(S::LANES);
                    for out in outs.by_ref() {
                        simd.store(f.apply(simd, c, simd.load(out), none), out);
                    }
                    let out = outs.into_remainder();
                    if !out.is_empty() {
                        simd.store_partial(f.apply(simd, c, simd.load_partial(out, 0.0), none), out);
                    }
                    continue;
                };
                let row = input.row(n, c, y);
                let (mut outs, mut xs) = (out.chunks_exact_mut(S::LANES), row.chunks_exact(S::LANES));
                for (out, x) in outs.by_ref().zip(xs.by_ref()) {
                    let old = if READ { simd.load(out) } else { none };
                    simd.store(f.apply(simd, c, simd.load(x), old), out);
                }
                let (out, x) = (outs.into_remainder(), xs.remainder());
                if !out.is_empty() {
                    let old = if READ { simd.load_partial(out, 0.0) } else { none };
                    simd.store_partial(f.apply(simd, c, simd.load_partial(x, 0.0), old), out);
                }
            }
        }
    }
}
