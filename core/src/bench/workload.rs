//! Single kernels to be timed, with operands of their own: products and convolutions.

use std::sync::Arc;

use switchback_kernels::Cpu;
use switchback_kernels::aligned::AlignedBuf;
use switchback_kernels::conv2d::Conv2d;
use switchback_kernels::gemm::{Matrix, MatrixMut, PackedA, gemm, gemm_packed};

use super::check::Checked;
use super::cost::Cost;
use crate::architecture::Random;
use crate::error::Result;
use crate::model::Model;
use crate::network::{Layer, Network, NodeId, NodeSpec, WeightId};
use crate::observe::Observed;
use crate::session::{Options, Session};
use crate::tensor::{Shape, Tensor};
use crate::trace::Keep;
use crate::weights::WeightStore;
use crate::weights::mmap::Bytes;

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

/// C = A·B: A is m × k, B is k × n, all row-major, in buffers as networks have them: aligned, large ones on huge pages.
#[derive(Debug)]
pub struct Gemm {
    size: [usize; 3],
    a: AlignedBuf,
    b: AlignedBuf,
    c: AlignedBuf,
}

impl Gemm {
    /// Of m, k, n, with seeded operands.
    pub fn new(size: [usize; 3], seed: u64) -> Self {
        let [m, k, n] = size;
        let filled = |len: usize, seed: u64| {
            let mut buffer = AlignedBuf::zeroed(len);
            buffer.copy_from_slice(&numbers(len, seed));
            buffer
        };
        Self { size, a: filled(m * k, seed), b: filled(k * n, seed ^ 1), c: AlignedBuf::zeroed(m * n) }
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

/// One convolution with bias and ReLU over a batch, run as networks run theirs.
///
/// ```text
/// input ─ conv ─ relu ─ mean       the mean is small, so that nothing large is handed over; only the convolution is timed
/// ```
#[derive(Debug)]
pub struct Convolution {
    session: Session,
    input: Tensor,
    keep: Keep,
}

impl Convolution {
    const CONV: NodeId = 1;
    const RELU: NodeId = 2;
    const MEAN: NodeId = 3;

    /// Over `batch` inputs of `size`, with seeded weights and input.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where the kernel does not fit or groups do not divide the channels.
    pub fn new(conv: Conv2d, size: [usize; 2], batch: usize, seed: u64, cpu: &Cpu, options: Options) -> Result<Self> {
        let Conv2d { in_channels, out_channels, groups, geometry } = conv;
        let shape = Shape::new(in_channels, size[0], size[1]);
        let spec =
            |name: &str, layer: Layer, inputs: &[NodeId]| NodeSpec { name: name.into(), layer, inputs: inputs.into() };
        let (weight, bias) = (WeightId(0), Some(WeightId(1)));
        let specs = vec![
            spec("input", Layer::Input { shape }, &[]),
            spec("conv", Layer::Conv2d { geometry, out_channels, groups, weight, bias }, &[0]),
            spec("relu", Layer::Relu, &[Self::CONV]),
            spec("mean", Layer::GlobalAvgPool, &[Self::RELU]),
        ];
        let network = Network::new(specs, vec![Self::MEAN])?;
        let mut weights = WeightStore::new();
        let [kh, kw] = geometry.kernel;
        weights.add_f32("weight", &[out_channels, in_channels / groups, kh, kw], &numbers(conv.weights(), seed));
        weights.add_f32("bias", &[out_channels], &numbers(out_channels, seed ^ 1));
        let model = Model {
            network,
            weights,
            preprocess: None,
            labels: None,
            path: "convolution".into(),
            bytes: Bytes::owned(Vec::new()),
            format: "architecture",
        };
        let session = Session::with(Arc::new(model), cpu.clone(), options)?;
        let keep = Keep::nodes(session.network(), &[Self::MEAN]);
        let input = Tensor { batch, shape, data: numbers(batch * shape.len(), seed ^ 2) };
        Ok(Self { session, input, keep })
    }

    /// Of one picture.
    pub fn out_shape(&self) -> Shape {
        self.session.network().node(Self::RELU).shape
    }

    /// Runs the convolution: how, and how long it took.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run(&self) -> Result<Observed> {
        let mut seen = None;
        self.session.run_observed(&self.input, &self.keep, &mut |o| {
            if o.node == Self::CONV {
                seen = Some(o);
            }
        })?;
        Ok(seen.expect("the mean needs the convolution"))
    }

    /// Runs it once more and checks `cells` cells; see [`check`](super::check::check).
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn check(&self, cells: usize) -> Result<Checked> {
        let checked = super::check::check(&self.session, &self.input, &[self.run()?], cells)?;
        Ok(checked[0])
    }

    /// Operations and bytes of the batch.
    pub fn cost(&self, step: &Observed) -> Cost {
        Cost::of_step(&self.session, step, self.input.batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Algorithm;
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
    fn convolutions_run_as_networks_run_them() {
        for (groups, geometry) in [(1, Geometry::square(3, 1, 1)), (2, Geometry::square(3, 2, 0))] {
            let conv = Conv2d { in_channels: 16, out_channels: 32, groups, geometry };
            let with = |algorithm| {
                let options = Options { algorithm, ..Options::default() };
                Convolution::new(conv, [14, 15], 2, 3, &Cpu::new(2), options).unwrap()
            };
            let work = with(Algorithm::Im2col);
            let step = work.run().unwrap();
            assert_eq!((step.algorithm, step.output), ("im2col", Convolution::RELU));
            assert!(work.check(200).unwrap().passed());
            let cells = 2 * work.out_shape().len();
            assert_eq!(work.cost(&step).flops, (2 * cells * 16 / groups * 9) as u64);
            let winograd = with(Algorithm::Winograd(None));
            assert_eq!(winograd.run().unwrap().algorithm.starts_with("winograd"), groups == 1);
            assert!(winograd.check(200).unwrap().passed());
        }
        let conv = Conv2d { in_channels: 1, out_channels: 1, groups: 1, geometry: Geometry::square(5, 1, 0) };
        assert!(Convolution::new(conv, [4, 9], 1, 0, &Cpu::new(1), Options::default()).is_err());
    }
}
