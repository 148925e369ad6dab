//! Weights as they lie in a file.

/// How a weight is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE single, little-endian.
    F32,
    /// IEEE half, little-endian.
    F16,
}

impl Dtype {
    /// Bytes of an element.
    pub const fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 => 2,
        }
    }
}

/// Weights as they lie in a file: little-endian bytes at any alignment.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    bytes: &'a [u8],
    dtype: Dtype,
}

impl<'a> Weights<'a> {
    /// `bytes` must be a whole number of elements.
    pub fn new(bytes: &'a [u8], dtype: Dtype) -> Self {
        assert!(bytes.len().is_multiple_of(dtype.size()), "{} bytes are no whole number of {dtype:?}", bytes.len());
        Self { bytes, dtype }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Has no elements.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How they are stored.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The raw bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Elements `from..to` alone.
    pub fn range(&self, from: usize, to: usize) -> Weights<'a> {
        Weights { bytes: &self.bytes[from * self.dtype.size()..to * self.dtype.size()], dtype: self.dtype }
    }

    /// Element `i`, widened.
    #[inline]
    pub fn get(&self, i: usize) -> f32 {
        match self.dtype {
            Dtype::F32 => f32::from_le_bytes(self.bytes[4 * i..4 * i + 4].try_into().expect("four bytes")),
            Dtype::F16 => f16_to_f32(u16::from_le_bytes(self.bytes[2 * i..2 * i + 2].try_into().expect("two bytes"))),
        }
    }

    /// All elements, widened.
    pub fn to_vec(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::F32 => {
                self.bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect()
            }
            Dtype::F16 => self
                .bytes
                .chunks_exact(2)
                .map(|b| f16_to_f32(u16::from_le_bytes(b.try_into().expect("two bytes"))))
                .collect(),
        }
    }
}

/// An IEEE half float, widened exactly (subnormals, infinities and NaN included).
pub fn f16_to_f32(h: u16) -> f32 {
    let sign = u32::from(h & 0x8000) << 16;
    let exponent = u32::from(h >> 10) & 0x1f;
    let mantissa = u32::from(h & 0x3ff);
    match exponent {
        // Subnormal: mantissa · 2⁻²⁴, exact in f32.
        0 => f32::from_bits(sign | (mantissa as f32 * 2f32.powi(-24)).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | mantissa << 13),
        e => f32::from_bits(sign | (e + 112) << 23 | mantissa << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_floats_widen_exactly() {
        for (bits, value) in
            [(0x0000, 0.0), (0x8000, -0.0), (0x3c00, 1.0), (0xc000, -2.0), (0x0001, 5.960_464_5e-8), (0x7bff, 65504.0)]
        {
            assert_eq!(f16_to_f32(bits).to_bits(), f32::to_bits(value), "{bits:#x}");
        }
        assert!(f16_to_f32(0x7e00).is_nan());
        assert_eq!(f16_to_f32(0xfc00), f32::NEG_INFINITY);
    }
}
