//! The pointer forms of loads and stores; what is safe to call is tested from outside the crate.

use super::{Level, Simd, SimdOp};

struct Pointers;

impl SimdOp for Pointers {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let x: Vec<f32> = (0..S::LANES + 1).map(|i| i as f32 - 3.5).collect();
        for shift in 0..=1 {
            let mut out = vec![9.0; S::LANES + 1];
            // SAFETY: both vectors hold `LANES` floats from `shift` on.
            unsafe { simd.store_ptr(simd.load_ptr(x[shift..].as_ptr()), out[shift..].as_mut_ptr()) };
            assert_eq!(out[shift..shift + S::LANES], x[shift..shift + S::LANES]);
            assert_eq!(out[(1 - shift) * S::LANES], 9.0);
        }
    }
}

#[test]
fn pointers_touch_one_vector_at_any_alignment_of_a_float() {
    for level in Level::available() {
        level.dispatch(Pointers);
    }
}
