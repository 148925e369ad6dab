//! Single kernels to be timed, with operands of their own: products and convolutions.

use switchback_kernels::conv2d::{Activation, Conv2d, PackedConv2d, conv2d, pack};
use switchback_kernels::gemm::{Matrix, MatrixMut, PackedA, gemm, gemm_packed};
use switchback_kernels::{Cpu, Dtype, Maps, MapsMut, Weights};

use super::cost::Cost;
use crate::architecture::Random;
use crate::tensor::Shape;

/// Numbers in (−1, 1).
fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..len).map(|_| random.signed()).collect()
}

/// √(Σ (found − want)² / Σ want²) over `(found, want)`.
fn relative(pairs: impl Iterator<Item = (f32, f64)>) -> f64 {
    let (apart, whole) =
        pairs.fold((0.0, 0.0), |(a, w), (found, want)| (a + (f64::from(found) - want).powi(2), w + want * want));
    if apart == 0.0 { 0.0 } else { (apart / whole).sqrt() }
}

/// C = A·B: A is m × k, B is k × n, all row-major.
#[derive(Debug)]
pub struct Gemm {
    size: [usize; 3],
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Gemm {
    /// Of m, k, n, with seeded operands.
    pub fn new(size: [usize; 3], seed: u64) -> Self {
        let [m, k, n] = size;
        Self { size, a: numbers(m * k, seed), b: numbers(k * n, seed ^ 1), c: vec![0.0; m * n] }
    }

    /// A and B, and C to be written: for another library's product.
    pub fn operands(&mut self) -> (&[f32], &[f32], &mut [f32]) {
        (&self.a, &self.b, &mut self.c)
    }

    /// The product with A packed on the way.
    pub fn run(&mut self, cpu: &Cpu) {
        let [m, k, n] = self.size;
        gemm(cpu, Matrix::new(&self.a, m, k), Matrix::new(&self.b, k, n), MatrixMut::new(&mut self.c, m, n), false);
    }

    /// A, packed for [`Gemm::run_packed`], as weights are before a network runs.
    pub fn pack(&self, cpu: &Cpu) -> PackedA {
        let [m, k, _] = self.size;
        PackedA::new(cpu, m, k, |i, p| self.a[i * k + p])
    }

    /// The product with A packed before.
    pub fn run_packed(&mut self, cpu: &Cpu, a: &PackedA) {
        let [m, k, n] = self.size;
        gemm_packed(cpu, a, Matrix::new(&self.b, k, n), MatrixMut::new(&mut self.c, m, n), false);
    }

    /// Relative L2 error of `cells` cells of C against sums in f64. C is forgotten, so that the next product must
    /// write it anew.
    pub fn check(&mut self, cells: usize) -> f64 {
        let [_, k, n] = self.size;
        let cell = |i: usize| {
            let (row, column) = (i / n, i % n);
            let products = (0..k).map(|p| f64::from(self.a[row * k + p]) * f64::from(self.b[p * n + column]));
            (self.c[i], products.sum::<f64>())
        };
        let error = relative(super::check::sample(self.c.len(), cells).map(cell));
        self.c.fill(f32::NAN);
        error
    }

    /// Operations and bytes.
    pub fn cost(&self) -> Cost {
        Cost::of_gemm(self.size)
    }
}

/// One convolution with bias and ReLU over a batch.
#[derive(Debug)]
pub struct Convolution {
    conv: Conv2d,
    batch: usize,
    size: [usize; 2],
    out_size: [usize; 2],
    weights: Vec<u8>,
    bias: Vec<f32>,
    input: Vec<f32>,
    out: Vec<f32>,
}

impl Convolution {
    /// Over `batch` inputs of `size`; `None` where the kernel does not fit.
    pub fn new(conv: Conv2d, size: [usize; 2], batch: usize, seed: u64) -> Option<Self> {
        let out_size = conv.geometry.out_size(size, false).filter(|o| o[0] > 0 && o[1] > 0)?;
        let weights = numbers(conv.weights(), seed).iter().flat_map(|w| w.to_le_bytes()).collect();
        Some(Self {
            conv,
            batch,
            size,
            out_size,
            weights,
            bias: numbers(conv.out_channels, seed ^ 1),
            input: numbers(batch * conv.in_channels * size[0] * size[1], seed ^ 2),
            out: vec![0.0; batch * conv.out_channels * out_size[0] * out_size[1]],
        })
    }

    /// Of one picture.
    pub fn out_shape(&self) -> Shape {
        Shape::new(self.conv.out_channels, self.out_size[0], self.out_size[1])
    }

    /// As in [`Observed::algorithm`](crate::observe::Observed).
    pub fn algorithm(&self) -> &'static str {
        if self.conv.geometry.kernel == [1, 1] { "gemm" } else { "im2col" }
    }

    /// The filters, packed as they are before a network runs.
    pub fn pack(&self, cpu: &Cpu) -> PackedConv2d {
        pack(cpu, &self.conv, Weights::new(&self.weights, Dtype::F32), None)
    }

    /// The convolution.
    pub fn run(&mut self, cpu: &Cpu, packed: &PackedConv2d) {
        let input = Maps::new(&self.input, self.batch, self.conv.in_channels, self.size);
        let out = MapsMut::new(&mut self.out, self.batch, self.conv.out_channels, self.out_size);
        let (conv, bias) = (&self.conv, Some(&self.bias[..]));
        cpu.threads.inside(|| conv2d(cpu, conv, packed, bias, Activation::Relu, input, out));
    }

    /// As [`Gemm::check`].
    pub fn check(&mut self, cells: usize) -> f64 {
        let (conv, size, out_size) = (self.conv, self.size, self.out_size);
        let weights = Weights::new(&self.weights, Dtype::F32);
        let (each, plane) = (conv.in_channels / conv.groups, size[0] * size[1]);
        let [kh, kw] = conv.geometry.kernel;
        let cell = |i: usize| {
            let (x, y) = (i % out_size[1], i / out_size[1] % out_size[0]);
            let (o, n) = (i / (out_size[0] * out_size[1]) % conv.out_channels, i / self.out_shape().len());
            let first = n * conv.in_channels + o / (conv.out_channels / conv.groups) * each;
            let mut sum = f64::from(self.bias[o]);
            for (tap, [iy, ix]) in super::check::taps(&conv.geometry, size, [y, x]) {
                for c in 0..each {
                    let w = weights.get((o * each + c) * kh * kw + tap);
                    sum += f64::from(w) * f64::from(self.input[(first + c) * plane + iy * size[1] + ix]);
                }
            }
            (self.out[i], sum.max(0.0))
        };
        let error = relative(super::check::sample(self.out.len(), cells).map(cell));
        self.out.fill(f32::NAN);
        error
    }

    /// Operations and bytes of the batch.
    pub fn cost(&self) -> Cost {
        let cells = self.batch * self.out_shape().len();
        let numbers = self.input.len() + self.out.len() + self.bias.len();
        Cost { flops: (2 * cells * self.conv.taps()) as u64, bytes: (4 * numbers + self.weights.len()) as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchback_kernels::{Geometry, Level};

    #[test]
    fn products_are_right_and_wrong_ones_are_seen() {
        for level in Level::available() {
            let cpu = Cpu::single(level);
            let mut gemm = Gemm::new([17, 33, 29], 5);
            gemm.run(&cpu);
            assert!(gemm.check(1000) < 1e-6);
            assert!(gemm.check(1000).is_nan(), "what was checked is forgotten");
            let a = gemm.pack(&cpu);
            gemm.run_packed(&cpu, &a);
            gemm.c[5 * 29 + 3] += 0.1;
            assert!(gemm.check(17 * 29) > 1e-4);
        }
        assert_eq!(Gemm::new([2, 3, 4], 0).cost(), Cost { flops: 48, bytes: 4 * (6 + 12 + 8) });
    }

    #[test]
    fn convolutions_are_right_and_wrong_ones_are_seen() {
        for (groups, geometry) in [(1, Geometry::square(3, 1, 1)), (2, Geometry::square(3, 2, 0))] {
            let conv = Conv2d { in_channels: 4, out_channels: 6, groups, geometry };
            let cpu = Cpu::new(2);
            let mut work = Convolution::new(conv, [9, 11], 2, 3).unwrap();
            let packed = work.pack(&cpu);
            work.run(&cpu, &packed);
            assert!(work.check(10_000) < 1e-6);
            work.run(&cpu, &packed);
            work.out[7] += 0.5;
            assert!(work.check(10_000) > 1e-3);
            let cells = 2 * work.out_shape().len();
            assert_eq!(work.cost().flops, (2 * cells * 4 / groups * 9) as u64);
        }
        let conv = Conv2d { in_channels: 1, out_channels: 1, groups: 1, geometry: Geometry::square(5, 1, 0) };
        assert!(Convolution::new(conv, [4, 9], 1, 0).is_none());
    }
}
