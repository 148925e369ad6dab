//! Half floats from singles: nearest, ties to even, as IEEE 754 and the F16C instructions have it.

use crate::Cpu;
use crate::simd::{Simd, SimdOp};
use crate::view::{Dtype, Weights};

/// The least magnitude that rounds to infinity: halfway from 65504, the largest half, to 65536.
const BEYOND: f32 = 65520.0;

/// An IEEE half float, the nearest to `x`; NaN stays NaN.
pub fn f32_to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    let half = match magnitude {
        // A quiet NaN with the upper bits of what it carried.
        0x7f80_0001.. => 0x7e00 | (magnitude >> 13) as u16 & 0x3ff,
        0x4780_0000.. => 0x7c00,
        // Beside ½ floats lie 2⁻²⁴ apart, as subnormal halves do: the addition rounds.
        ..0x3880_0000 => ((f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits()) as u16,
        // The exponent's bias from 127 to 15; half of what is dropped, less one unless the rest is odd, carries.
        _ => ((magnitude - (112 << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13) as u16,
    };
    sign | half
}

/// `out`, two bytes an element, becomes the nearest halves of `source`.
///
/// # Errors
/// The first finite element that no finite half is near to (`|x| ≥ 65520`); `out` is then of no use.
///
/// ```
/// use switchback_kernels::{Cpu, Dtype, Weights, half};
///
/// let bytes: Vec<u8> = [1.0f32, -2.5, 1e-9].iter().flat_map(|x| x.to_le_bytes()).collect();
/// let mut halves = [0; 6];
/// half::to_f16(&Cpu::new(1), Weights::new(&bytes, Dtype::F32), &mut halves).unwrap();
/// assert_eq!(Weights::new(&halves, Dtype::F16).to_vec(), [1.0, -2.5, 0.0]);
/// ```
pub fn to_f16(cpu: &Cpu, source: Weights<'_>, out: &mut [u8]) -> Result<(), usize> {
    /// Elements of a task.
    const TASK: usize = 1 << 18;
    assert_eq!(out.len(), 2 * source.len(), "two bytes for each of {} elements", source.len());
    if source.dtype() == Dtype::F16 {
        out.copy_from_slice(source.bytes());
        return Ok(());
    }
    let tasks: Vec<_> = source.bytes().chunks(4 * TASK).zip(out.chunks_mut(2 * TASK)).enumerate().collect();
    let beyond = cpu.threads.map(tasks, |(i, (source, out))| {
        let element = cpu.level.dispatch(Narrow { source, out })?;
        Some(i * TASK + element)
    });
    beyond.into_iter().flatten().next().map_or(Ok(()), Err)
}

/// Gives the first finite element beyond halves.
struct Narrow<'a> {
    source: &'a [u8],
    out: &'a mut [u8],
}

impl SimdOp for Narrow<'_> {
    type Output = Option<usize>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Option<usize> {
        let Self { source, out } = self;
        let zero = simd.splat(0.0);
        let mut largest = zero;
        let whole = source.len() / (4 * S::LANES);
        for i in 0..whole {
            let x = simd.load_f32_bytes(&source[4 * i * S::LANES..]);
            // The second operand passes where either is NaN: a NaN among `x` changes nothing.
            largest = simd.max(simd.max(x, simd.sub(zero, x)), largest);
            simd.store_f16_bytes(x, &mut out[2 * i * S::LANES..]);
        }
        let mut beyond = simd.reduce_max(largest) >= BEYOND;
        let rest = Weights::new(&source[4 * whole * S::LANES..], Dtype::F32);
        for (i, out) in out[2 * whole * S::LANES..].chunks_exact_mut(2).enumerate() {
            beyond |= rest.get(i).abs() >= BEYOND;
            out.copy_from_slice(&f32_to_f16(rest.get(i)).to_le_bytes());
        }
        let all = Weights::new(source, Dtype::F32);
        if beyond { (0..all.len()).find(|&i| all.get(i).is_finite() && all.get(i).abs() >= BEYOND) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::f16_to_f32;

    #[test]
    fn every_half_comes_back_and_every_middle_goes_to_the_even_one() {
        for bits in 0..=0xffff_u16 {
            let x = f16_to_f32(bits);
            if x.is_nan() {
                assert!(f16_to_f32(f32_to_f16(x)).is_nan(), "{bits:#x}");
                continue;
            }
            assert_eq!(f32_to_f16(x), bits, "{x:e}");
            let magnitude = bits & 0x7fff;
            if magnitude < 0x7bff {
                let middle = (x + f16_to_f32(bits + 1)) / 2.0;
                assert_eq!(f32_to_f16(middle), bits + (bits & 1), "{middle:e}");
                let (toward, away) = if x.is_sign_negative() {
                    (middle.next_up(), middle.next_down())
                } else {
                    (middle.next_down(), middle.next_up())
                };
                assert_eq!((f32_to_f16(toward), f32_to_f16(away)), (bits, bits + 1), "{middle:e}");
            }
        }
        for (x, bits) in
            [(65519.996, 0x7bff), (65520.0, 0x7c00), (1e9, 0x7c00), (-1e9, 0xfc00), (2e-8, 0), (-0.0, 0x8000)]
        {
            assert_eq!(f32_to_f16(x), bits, "{x:e}");
        }
    }
}
