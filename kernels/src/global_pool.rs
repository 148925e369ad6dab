//! Pooling over whole maps: the mean, and the maximum with its place.

use crate::Cpu;
use crate::geometry::Window;
use crate::groups::for_parts;
use crate::simd::{Simd, SimdOp};
use crate::view::Maps;

/// `out` is `batch × channels`; the sum of each map runs in a fixed order.
///
/// `input` must hold whole maps of at least one cell.
///
/// # Example
///
/// ```
/// use switchback_kernels::global_pool::{global_avg_pool, global_max_pool};
/// use switchback_kernels::{Cpu, Maps};
///
/// let x = [1.0, 2.0, 3.0, 6.0, /* the second map */ 0.0, 0.0, 9.0, 3.0];
/// let (maps, mut y, mut places) = (Maps::new(&x, 1, 2, [2, 2]), [0.0; 2], [0u32; 2]);
/// global_avg_pool(&Cpu::new(1), maps, &mut y);
/// assert_eq!(y, [3.0, 3.0]);
/// global_max_pool(&Cpu::new(1), maps, &mut y, Some(&mut places));
/// assert_eq!((y, places), ([6.0, 9.0], [3, 2]));
/// ```
pub fn global_avg_pool(cpu: &Cpu, input: Maps<'_>, out: &mut [f32]) {
    check(input, out.len());
    let maps: Vec<_> = out.iter_mut().enumerate().collect();
    for_parts(cpu, maps, input.window().area(), |maps| cpu.level.dispatch(Mean { input, maps }));
}

/// `out` and, where asked, `places` (y · width + x of the first maximum; a NaN wins) are `batch × channels`.
///
/// `input` must hold whole maps of at least one cell.
pub fn global_max_pool(cpu: &Cpu, input: Maps<'_>, out: &mut [f32], places: Option<&mut [u32]>) {
    check(input, out.len());
    let area = input.window().area();
    assert!(u32::try_from(area).is_ok(), "a place is a u32, the map has {area} cells");
    let places: Vec<Option<&mut u32>> = match places {
        Some(places) => {
            assert_eq!(places.len(), out.len(), "places and maxima");
            places.iter_mut().map(Some).collect()
        }
        None => out.iter().map(|_| None).collect(),
    };
    let maps: Vec<_> = out.iter_mut().zip(places).enumerate().collect();
    for_parts(cpu, maps, area, |maps| cpu.level.dispatch(Maximum { input, maps }));
}

fn check(input: Maps<'_>, out: usize) {
    let maps = input.batch() * input.channels();
    assert_eq!(out, maps, "outputs and maps");
    let (window, full) = (input.window(), Window::full(input.full()));
    assert!(maps == 0 || window == full && !window.is_empty(), "needs all of {full:?}, the input holds {window:?}");
}

/// Map `i` of all images: its image and channel.
fn place(input: Maps<'_>, i: usize) -> (usize, usize) {
    (i / input.channels(), i % input.channels())
}

struct Mean<'a, 'o> {
    input: Maps<'a>,
    maps: Vec<(usize, &'o mut f32)>,
}

impl SimdOp for Mean<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (i, out) in self.maps {
            let (n, c) = place(self.input, i);
            // Row by row into the same lanes, so that the sum does not depend on how the rows lie.
            let mut sum = simd.splat(0.0);
            for y in 0..self.input.full()[0] {
                let mut vectors = self.input.row(n, c, y).chunks_exact(S::LANES);
                for v in vectors.by_ref() {
                    sum = simd.add(sum, simd.load(v));
                }
                if !vectors.remainder().is_empty() {
                    sum = simd.add(sum, simd.load_partial(vectors.remainder(), 0.0));
                }
            }
            *out = simd.reduce_sum(sum) / self.input.window().area() as f32;
        }
    }
}

struct Maximum<'a, 'o> {
    input: Maps<'a>,
    maps: Vec<(usize, (&'o mut f32, Option<&'o mut u32>))>,
}

impl SimdOp for Maximum<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let [height, width] = self.input.full();
        for (i, (out, at)) in self.maps {
            let (n, c) = place(self.input, i);
            let (lowest, zero) = (simd.splat(f32::NEG_INFINITY), simd.splat(0.0));
            let (mut best, mut special) = (lowest, zero);
            for y in 0..height {
                let mut vectors = self.input.row(n, c, y).chunks_exact(S::LANES);
                for v in vectors.by_ref() {
                    let v = simd.load(v);
                    (best, special) = (simd.max(v, best), simd.fma(v, zero, special));
                }
                if !vectors.remainder().is_empty() {
                    let tail = vectors.remainder();
                    best = simd.max(simd.load_partial(tail, f32::NEG_INFINITY), best);
                    special = simd.fma(simd.load_partial(tail, 0.0), zero, special);
                }
            }
            // 0 · x is NaN for NaN and infinities: only then is it worth while to look for a NaN.
            let holds_nan = simd.reduce_sum(special).is_nan()
                && (0..height).any(|y| self.input.row(n, c, y).iter().any(|x| x.is_nan()));
            let max = simd.reduce_max(best);
            let wins = |x: &f32| if holds_nan { x.is_nan() } else { *x == max };
            let first = (0..height).find_map(|y| {
                let row = self.input.row(n, c, y);
                row.iter().position(wins).map(|x| (y * width + x, row[x]))
            });
            let (place, value) = first.expect("the maximum is one of the cells");
            *out = value;
            if let Some(at) = at {
                *at = place as u32;
            }
        }
    }
}
