//! Whether the numbers of a run are right: sampled cells of every layer against naive sums in f64, from the inputs that
//! the layer really had.

use switchback_kernels::Geometry;
use switchback_kernels::half::f32_to_f16;
use switchback_kernels::view::f16_to_f32;

use crate::error::Result;
use crate::network::{Layer, Network, NodeId, WeightId};
use crate::observe::Observed;
use crate::session::Session;
use crate::tensor::{Shape, Tensor};
use crate::trace::{Keep, Trace};

/// Largest relative L2 error that is right: sums in another order; Winograd's transforms lose some digits more.
const EXACT: f64 = 1e-5;
const WINOGRAD: f64 = 1e-4;

/// One layer's sampled cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checked {
    /// The node whose layer ran.
    pub node: NodeId,
    /// Sampled.
    pub cells: usize,
    /// √(Σ (found − naive)² / Σ naive²)
    pub error: f64,
    /// What `error` may be.
    pub tolerance: f64,
}

impl Checked {
    /// Within its tolerance. NaN is not.
    pub fn passed(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// Runs `input` once more, keeping every step's tensor, and checks `cells` cells of each convolution, linear layer,
/// max-pooling and LRN among `steps`. Kept tensors are those that steps write anyway, so the run is the one that was timed.
///
/// # Errors
/// Those of [`Session::run`].
pub fn check(session: &Session, input: &Tensor, steps: &[Observed], cells: usize) -> Result<Vec<Checked>> {
    let network = session.network();
    let outputs: Vec<NodeId> = steps.iter().map(|s| s.output).collect();
    let keep = Keep { plain: true, ..Keep::nodes(network, &outputs) };
    let trace = session.run(input, &keep)?;
    let mut checked = Vec::new();
    for step in steps {
        let node = network.node(step.node);
        let Some(&from) = node.inputs.first() else { continue };
        let x = tensor(network, &trace, input, from);
        let out = trace.tensor(step.output).expect("every step's tensor is kept");
        let add = step.add.map(|other| tensor(network, &trace, input, other));
        let Some(naive) = Naive::new(session, step, x, add) else { continue };
        let (mut apart, mut whole) = (0.0, 0.0);
        for cell in sample(out.data.len(), cells) {
            let want = naive.cell(cell / out.shape.len(), place(out.shape, cell % out.shape.len()));
            apart += (f64::from(out.data[cell]) - want).powi(2);
            whole += want * want;
        }
        let error = if apart == 0.0 { 0.0 } else { (apart / whole).sqrt() };
        let tolerance = if step.algorithm.starts_with("winograd") { WINOGRAD } else { EXACT };
        checked.push(Checked { node: step.node, cells: cells.min(out.data.len()), error, tolerance });
    }
    Ok(checked)
}

/// The tensor of `id`, which may be another name of the node before it.
fn tensor<'a>(network: &Network, trace: &'a Trace, input: &'a Tensor, id: NodeId) -> &'a Tensor {
    match trace.tensor(id) {
        Some(tensor) => tensor,
        None if id == 0 => input,
        None => tensor(network, trace, input, network.node(id).inputs[0]),
    }
}

/// `count` cells of `len`, spread by the golden ratio, so that every channel and border has its chance; all cells where
/// there are no more.
pub(super) fn sample(len: usize, count: usize) -> impl Iterator<Item = usize> {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let spread = move |i: usize| ((i as f64 * GOLDEN).fract() * len as f64) as usize;
    (0..count.min(len)).map(move |i| if count < len { spread(i) } else { i })
}

/// Channel, row and column of number `i`.
fn place(shape: Shape, i: usize) -> [usize; 3] {
    [i / (shape.h * shape.w), i / shape.w % shape.h, i % shape.w]
}

/// One step's sums, cell by cell.
struct Naive<'a> {
    session: &'a Session,
    layer: &'a Layer,
    affine: Option<&'a Layer>,
    relu: bool,
    /// What a sum that was fused with the layer added.
    add: Option<&'a Tensor>,
    /// A pool that was fused with the layer, and the size of the maps that it reads.
    pool: Option<(&'a Geometry, [usize; 2])>,
    x: &'a Tensor,
}

impl<'a> Naive<'a> {
    /// `None` for layers that are not checked.
    fn new(session: &'a Session, step: &Observed, x: &'a Tensor, add: Option<&'a Tensor>) -> Option<Self> {
        let network = session.network();
        let layer = &network.node(step.node).layer;
        if !matches!(layer, Layer::Conv2d { .. } | Layer::Linear { .. } | Layer::MaxPool2d { .. } | Layer::Lrn { .. }) {
            return None;
        }
        let (mut affine, mut relu, mut pool) = (None, false, None);
        for id in step.chain(network).into_iter().skip(1) {
            match &network.node(id).layer {
                Layer::Add => {}
                Layer::Relu => relu = true,
                fused @ Layer::Affine { .. } => affine = Some(fused),
                Layer::MaxPool2d { geometry, .. } => pool = Some((geometry, network.node(step.node).shape.size())),
                _ => return None,
            }
        }
        Some(Self { session, layer, affine, relu, add, pool, x })
    }

    fn weight(&self, id: WeightId, i: usize) -> f64 {
        f64::from(self.session.model().weights.view(id).get(i))
    }

    /// Of a linear layer, as it is held.
    fn linear_weight(&self, id: WeightId, i: usize) -> f64 {
        let weight = self.session.model().weights.view(id).get(i);
        f64::from(if self.session.packed().halves(id) { f16_to_f32(f32_to_f16(weight)) } else { weight })
    }

    /// The value at channel `c`, row and column of picture `n`.
    fn cell(&self, n: usize, at: [usize; 3]) -> f64 {
        match self.pool {
            Some((geometry, size)) => taps(geometry, size, [at[1], at[2]])
                .map(|(_, [y, x])| self.unpooled(n, [at[0], y, x]))
                .fold(f64::NEG_INFINITY, f64::max),
            None => self.unpooled(n, at),
        }
    }

    fn unpooled(&self, n: usize, at: [usize; 3]) -> f64 {
        let mut sum = match self.layer {
            Layer::Conv2d { geometry, out_channels, groups, weight, bias } => {
                let each = self.x.shape.c / groups;
                let first = at[0] / (out_channels / groups) * each;
                let [kh, kw] = geometry.kernel;
                let mut sum = bias.map_or(0.0, |b| self.weight(b, at[0]));
                for (tap, [y, x]) in taps(geometry, self.x.shape.size(), [at[1], at[2]]) {
                    for c in 0..each {
                        let w = self.weight(*weight, (at[0] * each + c) * kh * kw + tap);
                        sum += w * self.at(n, first + c, y, x);
                    }
                }
                sum
            }
            Layer::Linear { outputs, transposed, weight, bias } => {
                let x = self.x.picture(n);
                let index = |i: usize| if *transposed { at[0] * x.len() + i } else { i * outputs + at[0] };
                let products = x.iter().enumerate().map(|(i, &x)| self.linear_weight(*weight, index(i)) * f64::from(x));
                products.sum::<f64>() + bias.map_or(0.0, |b| self.weight(b, at[0]))
            }
            Layer::MaxPool2d { geometry, .. } => taps(geometry, self.x.shape.size(), [at[1], at[2]])
                .map(|(_, [y, x])| self.at(n, at[0], y, x))
                .fold(f64::NEG_INFINITY, f64::max),
            Layer::Lrn { size, alpha, beta, k } => {
                let channels = at[0].saturating_sub((size - 1) / 2)..(at[0] + size / 2 + 1).min(self.x.shape.c);
                let squares: f64 = channels.map(|c| self.at(n, c, at[1], at[2]).powi(2)).sum();
                let base = f64::from(*k) + f64::from(*alpha) / *size as f64 * squares;
                self.at(n, at[0], at[1], at[2]) / base.powf(f64::from(*beta))
            }
            _ => unreachable!("refused when it was made"),
        };
        if let Some(Layer::Affine { scale, shift }) = self.affine {
            sum = sum * self.weight(*scale, at[0]) + self.weight(*shift, at[0]);
        }
        sum += self.add.map_or(0.0, |add| value(add, n, at));
        if self.relu { sum.max(0.0) } else { sum }
    }

    fn at(&self, n: usize, c: usize, y: usize, x: usize) -> f64 {
        value(self.x, n, [c, y, x])
    }
}

fn value(tensor: &Tensor, n: usize, [c, y, x]: [usize; 3]) -> f64 {
    let Shape { h, w, .. } = tensor.shape;
    f64::from(tensor.picture(n)[(c * h + y) * w + x])
}

/// The taps of output `at` that lie on an input of `size`, and where.
fn taps(g: &Geometry, size: [usize; 2], at: [usize; 2]) -> impl Iterator<Item = (usize, [usize; 2])> {
    let Geometry { kernel, stride, dilation, pads } = *g;
    (0..kernel[0] * kernel[1]).filter_map(move |tap| {
        let t = [tap / kernel[1], tap % kernel[1]];
        let place = [0, 1].map(|i| (at[i] * stride[i] + t[i] * dilation[i]).wrapping_sub(pads[i]));
        (place[0] < size[0] && place[1] < size[1]).then_some((tap, place))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use switchback_kernels::Cpu;

    use super::*;
    use crate::architecture::{Name, build};
    use crate::session::Options;

    fn run(name: Name, algorithm: &str, cells: usize) -> Vec<Checked> {
        let options = Options { algorithm: algorithm.parse().unwrap(), ..Options::default() };
        let session = Session::with(Arc::new(build(name, 2)), Cpu::new(2), options).unwrap();
        let shape = session.network().input_shape();
        let data = (0..2 * shape.len()).map(|i| ((i * 37) % 255) as f32 / 127.0 - 1.0).collect();
        let input = Tensor { batch: 2, shape, data };
        let mut steps = Vec::new();
        session.run_observed(&input, &session.keep_scores(), &mut |o| steps.push(o)).unwrap();
        check(&session, &input, &steps, cells).unwrap()
    }

    #[test]
    fn sound_runs_pass_layer_by_layer() {
        // The first convolution, a large one, runs fused with its pool.
        let cases = [(Name::ZfNet, 5 + 3 + 3 + 2), (Name::ResNet18, 20 + 1 + 1)]
            .into_iter()
            .flat_map(|(name, layers)| ["im2col", "winograd"].map(|algorithm| (name, algorithm, layers - 1)));
        for (name, algorithm, layers) in cases {
            let checked = run(name, algorithm, 24);
            assert_eq!(checked.len(), layers, "{name} {algorithm}");
            for c in &checked {
                assert!(c.passed() && c.cells == 24, "{name}: {c:?}");
            }
            assert!(checked.iter().any(|c| c.error > 0.0), "sums in f32 differ from sums in f64");
        }
    }

    #[test]
    fn a_wrong_number_is_seen() {
        let session = Session::new(Arc::new(build(Name::SqueezeNet11, 2)), Cpu::new(1), None).unwrap();
        let network = session.network();
        let node = network.find("conv1").unwrap();
        let output = network.find("conv1/relu").unwrap();
        let x = Tensor { batch: 1, shape: network.input_shape(), data: vec![0.5; network.input_shape().len()] };
        let step = Observed { node, output, add: None, algorithm: "im2col", duration: Default::default() };
        let naive = Naive::new(&session, &step, &x, None).unwrap();
        let trace = session.run(&x, &Keep::nodes(network, &[output])).unwrap();
        let found = trace.tensor(output).unwrap();
        // A place whose neighbour differs: channel 3 is not channel 4.
        let at = |c: usize| f64::from(found.data[(c * 111 + 5) * 111 + 5]);
        let right = (0..64).filter(|&c| (naive.cell(0, [c, 5, 5]) - at(c)).abs() < 1e-5).count();
        let wrong = (0..64).filter(|&c| (naive.cell(0, [c, 5, 5]) - at((c + 1) % 64)).abs() < 1e-5).count();
        assert!(right == 64 && wrong < 32, "{right} right, {wrong} by chance");
        assert!(!Checked { node, cells: 1, error: f64::NAN, tolerance: 1.0 }.passed());
    }

    #[test]
    fn samples_are_spread() {
        let cells: Vec<usize> = sample(1000, 50).collect();
        assert!(cells.iter().all(|&c| c < 1000) && cells.iter().any(|&c| c > 900) && cells.iter().any(|&c| c < 20));
        assert!(sample(300, 300).eq(0..300) && sample(3, 50).eq(0..3));
    }
}
