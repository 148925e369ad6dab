//! Random numbers that are the same on every machine.

/// SplitMix64 (Steele, Lea, Flood 2014): the state is a counter, so a seed is all there is to it.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Uniform in 0..1, of 24 bits.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in (−1, 1), never nearer to 0 than 2⁻²³.
    pub(crate) fn signed(&mut self) -> f32 {
        const STEP: f32 = 1.0 / (1 << 22) as f32;
        let steps = (self.next() >> 41) as f32 + 0.5;
        steps * STEP - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_uniform_and_never_tiny() {
        let mut random = Random::new(7);
        let numbers: Vec<f32> = (0..100_000).map(|_| random.signed()).collect();
        let mean = numbers.iter().sum::<f32>() / numbers.len() as f32;
        let square = numbers.iter().map(|x| x * x).sum::<f32>() / numbers.len() as f32;
        assert!(mean.abs() < 0.01 && (square - 1.0 / 3.0).abs() < 0.01, "mean {mean}, mean square {square}");
        assert!(numbers.iter().all(|x| x.abs() < 1.0 && x.abs() >= 1.0 / (1 << 23) as f32));
        let extremes = [0u64, u64::MAX >> 41].map(|n| (n as f32 + 0.5) / (1 << 22) as f32 - 1.0);
        assert!(extremes[0] > -1.0 && extremes[1] < 1.0, "{extremes:?}");
    }
}
