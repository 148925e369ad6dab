//! A session's weights as the kernels want them: packed when first needed, checked for NaN and infinity on the way.
//!
//! | what | for | kept at |
//! | --- | --- | --- |
//! | filters as they are | convolution; transposed convolution on the way back | the layer's node |
//! | filters scaled, bias shifted | convolution with a batch normalisation folded in | the normalisation's node |
//! | filters transformed | Winograd's convolution, with or without a normalisation | as the two above |
//! | filters transposed | convolution on the way back; transposed convolution | the layer's node |
//! | filters by tap | convolution on the way back of a signal that is mostly zero | the layer's node |
//! | halves of linear weights | where a session is asked for them | the layer's node |
//! | bias, scale, shift | widened, aligned copies | the node |
//!
//! Matrices of linear layers are never packed: the kernel reads them where they lie.

use std::sync::{Arc, OnceLock};

use switchback_kernels::conv_pool2d::Filters;
use switchback_kernels::conv_transpose2d::{PackedConvTranspose2d, PackedSparse};
use switchback_kernels::conv2d::{Conv2d, PackedConv2d};
use switchback_kernels::linear::Linear;
use switchback_kernels::lrn::Lrn;
use switchback_kernels::winograd::{self, PackedWinograd, Tile};
use switchback_kernels::{Cpu, Dtype, Weights, conv_transpose2d, conv2d, half};

use crate::error::{Error, Result};
use crate::model::Model;
use crate::network::{Layer, Network, NodeId, WeightId};
use crate::plan::Step;

/// What one node has had prepared so far.
#[derive(Default)]
struct Cells {
    plain: OnceLock<PackedConv2d>,
    winograd: OnceLock<PackedWinograd>,
    shifted: OnceLock<Vec<f32>>,
    transposed: OnceLock<PackedConvTranspose2d>,
    sparse: OnceLock<PackedSparse>,
    bias: OnceLock<Vec<f32>>,
    affine: OnceLock<(Vec<f32>, Vec<f32>)>,
    halves: OnceLock<Vec<u8>>,
}

/// The weights of a model, prepared lazily for one level.
pub(crate) struct Packed {
    model: Arc<Model>,
    cpu: Cpu,
    /// Linear layers run from halves, whatever the file holds.
    halve: bool,
    cells: Vec<Cells>,
}

impl Packed {
    pub(crate) fn new(model: Arc<Model>, cpu: Cpu, halve: bool) -> Self {
        let cells = model.network.nodes().iter().map(|_| Cells::default()).collect();
        Self { model, cpu, halve, cells }
    }

    /// Filters of a convolution, or of a transposed one on the way back; scaled by `affine` where that is folded in.
    pub(crate) fn conv2d(&self, id: NodeId, affine: Option<NodeId>) -> Result<&PackedConv2d> {
        once(&self.cells[affine.unwrap_or(id)].plain, || {
            let weights = self.checked(id, filters(&self.model.network, id))?;
            Ok(conv2d::pack(&self.cpu, &conv(&self.model.network, id), weights, self.scale(affine)?))
        })
    }

    /// The same for Winograd's convolution; a session uses one tile for a node.
    pub(crate) fn winograd(&self, id: NodeId, affine: Option<NodeId>, tile: Tile) -> Result<&PackedWinograd> {
        once(&self.cells[affine.unwrap_or(id)].winograd, || {
            let weights = self.checked(id, filters(&self.model.network, id))?;
            Ok(winograd::pack(&self.cpu, &conv(&self.model.network, id), weights, self.scale(affine)?, tile))
        })
    }

    /// What a convolution's step runs from: filters of its algorithm and the bias, with what is folded into them.
    pub(crate) fn filters(&self, step: &Step) -> Result<(Filters<'_>, Option<&[f32]>)> {
        let bias = match step.affine {
            None => self.bias(step.node)?,
            Some(affine) => Some(self.shifted(step.node, affine)?),
        };
        let filters = match step.tile {
            None => Filters::Gemm(self.conv2d(step.node, step.affine)?),
            Some(tile) => Filters::Winograd(self.winograd(step.node, step.affine, tile)?),
        };
        Ok((filters, bias))
    }

    fn scale(&self, affine: Option<NodeId>) -> Result<Option<&[f32]>> {
        affine.map(|affine| Ok(self.affine(affine)?.0)).transpose()
    }

    /// The bias of convolution `id` with `affine` folded in: scale·b + shift.
    pub(crate) fn shifted(&self, id: NodeId, affine: NodeId) -> Result<&[f32]> {
        let bias = once(&self.cells[affine].shifted, || {
            let (scale, shift) = self.affine(affine)?;
            Ok(match self.bias(id)? {
                Some(bias) => bias.iter().zip(scale).zip(shift).map(|((b, k), d)| b * k + d).collect(),
                None => shift.to_vec(),
            })
        })?;
        Ok(bias)
    }

    /// Filters of a transposed convolution, or of a convolution on the way back, by Winograd's with `tile`; a session uses
    /// one for a node.
    pub(crate) fn conv_transpose2d(&self, id: NodeId, tile: Option<Tile>) -> Result<&PackedConvTranspose2d> {
        once(&self.cells[id].transposed, || {
            let weights = self.checked(id, filters(&self.model.network, id))?;
            let conv = conv(&self.model.network, id);
            Ok(match tile {
                None => conv_transpose2d::pack(&self.cpu, &conv, weights),
                Some(tile) => conv_transpose2d::pack_winograd(&self.cpu, &conv, weights, tile),
            })
        })
    }

    /// Filters of a convolution on the way back of a signal that is zero at most places.
    pub(crate) fn sparse(&self, id: NodeId) -> Result<&PackedSparse> {
        once(&self.cells[id].sparse, || {
            let weights = self.checked(id, filters(&self.model.network, id))?;
            Ok(conv_transpose2d::pack_sparse(&self.cpu, &conv(&self.model.network, id), weights))
        })
    }

    /// The bias of a convolution, transposed convolution or linear layer.
    pub(crate) fn bias(&self, id: NodeId) -> Result<Option<&[f32]>> {
        match self.model.network.node(id).layer {
            Layer::Conv2d { bias: Some(bias), .. }
            | Layer::ConvTranspose2d { bias: Some(bias), .. }
            | Layer::Linear { bias: Some(bias), .. } => {
                once(&self.cells[id].bias, || Ok(self.checked(id, bias)?.to_vec())).map(|b| Some(&b[..]))
            }
            _ => Ok(None),
        }
    }

    /// Scale and shift of an affine layer.
    pub(crate) fn affine(&self, id: NodeId) -> Result<(&[f32], &[f32])> {
        let Layer::Affine { scale, shift } = self.model.network.node(id).layer else {
            unreachable!("asked of affine layers only")
        };
        let (scale, shift) = once(&self.cells[id].affine, || {
            Ok((self.checked(id, scale)?.to_vec(), self.checked(id, shift)?.to_vec()))
        })?;
        Ok((scale, shift))
    }

    /// The weights that linear layer `id` runs from: as they lie in the file, or the nearest halves of them.
    pub(crate) fn linear(&self, id: NodeId) -> Result<Weights<'_>> {
        let Layer::Linear { weight, .. } = self.model.network.node(id).layer else {
            unreachable!("asked of linear layers only")
        };
        let view = self.view(weight);
        if !self.halves(weight) {
            return Ok(view);
        }
        let halves = once(&self.cells[id].halves, || {
            let mut halves = vec![0; 2 * view.len()];
            half::to_f16(&self.cpu, view, &mut halves).map_err(|index| Error::Half {
                node: self.model.network.node(id).name.clone(),
                weight: self.model.weights.name(weight).to_owned(),
                index,
                value: view.get(index),
            })?;
            Ok(halves)
        })?;
        Ok(Weights::new(halves, Dtype::F16))
    }

    /// Whether a linear layer's `weight` is held a second time, as halves.
    pub(crate) fn halves(&self, weight: WeightId) -> bool {
        self.halve && self.view(weight).dtype() == Dtype::F32
    }

    /// A weight as it lies in the file.
    pub(crate) fn view(&self, weight: WeightId) -> Weights<'_> {
        self.model.weights.view(weight)
    }

    fn checked(&self, id: NodeId, weight: WeightId) -> Result<Weights<'_>> {
        self.check_finite(id, weight)?;
        Ok(self.view(weight))
    }

    /// `Error::NonFinite` that names the first NaN or infinity of `weight`, which node `id` reads.
    pub(crate) fn check_finite(&self, id: NodeId, weight: WeightId) -> Result<()> {
        match self.model.weights.first_not_finite(weight) {
            None => Ok(()),
            Some((index, value)) => Err(Error::NonFinite {
                node: self.model.network.node(id).name.clone(),
                weight: self.model.weights.name(weight).to_owned(),
                index,
                value,
            }),
        }
    }
}

/// `cell`, made if need be. Two threads may both make it (and one be thrown away): no lock is held while the pool's
/// threads pack, since a worker that waits for a lock while it holds other work could wait for itself.
fn once<T>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(made) = cell.get() {
        return Ok(made);
    }
    let made = make()?;
    Ok(cell.get_or_init(|| made))
}

/// The convolution that node `id` is, or whose adjoint it is.
pub(crate) fn conv(network: &Network, id: NodeId) -> Conv2d {
    let node = network.node(id);
    match node.layer {
        Layer::Conv2d { geometry, out_channels, groups, .. } => {
            Conv2d { in_channels: network.node(node.inputs[0]).shape.c, out_channels, groups, geometry }
        }
        Layer::ConvTranspose2d { geometry, out_channels, groups, .. } => {
            Conv2d { in_channels: out_channels, out_channels: network.node(node.inputs[0]).shape.c, groups, geometry }
        }
        _ => unreachable!("asked of convolutions only"),
    }
}

/// The constants of linear layer `id`.
pub(crate) fn linear(network: &Network, id: NodeId) -> Linear {
    let node = network.node(id);
    let Layer::Linear { outputs, transposed, .. } = node.layer else { unreachable!("asked of linear layers only") };
    Linear { inputs: network.node(node.inputs[0]).shape.len(), outputs, transposed }
}

/// The constants of normalisation `id`.
pub(crate) fn lrn(network: &Network, id: NodeId) -> Lrn {
    let Layer::Lrn { size, alpha, beta, k } = network.node(id).layer else {
        unreachable!("asked of normalisations only")
    };
    Lrn { size, alpha, beta, k }
}

fn filters(network: &Network, id: NodeId) -> WeightId {
    match network.node(id).layer {
        Layer::Conv2d { weight, .. } | Layer::ConvTranspose2d { weight, .. } => weight,
        _ => unreachable!("asked of convolutions only"),
    }
}

/// Every weight that a layer names is there and has as many numbers as the layer needs.
pub(crate) fn check_sizes(model: &Model) -> Result<()> {
    let network = &model.network;
    for (id, node) in network.nodes().iter().enumerate() {
        if let Some(w) = node.layer.weights().into_iter().find(|w| w.0 >= model.weights.len()) {
            let what = format!("reads weight {} of {}", w.0, model.weights.len());
            return Err(Error::Graph { node: node.name.clone(), what });
        }
        let need: Vec<(WeightId, usize)> = match node.layer {
            Layer::Conv2d { weight, bias, out_channels, .. }
            | Layer::ConvTranspose2d { weight, bias, out_channels, .. } => {
                let c = conv(network, id);
                let [kh, kw] = c.geometry.kernel;
                let filters = c.out_channels * (c.in_channels / c.groups) * kh * kw;
                [Some((weight, filters)), bias.map(|b| (b, out_channels))].into_iter().flatten().collect()
            }
            Layer::Linear { weight, bias, outputs, .. } => {
                let inputs = linear(network, id).inputs;
                [Some((weight, inputs * outputs)), bias.map(|b| (b, outputs))].into_iter().flatten().collect()
            }
            Layer::Affine { scale, shift } => vec![(scale, node.shape.c), (shift, node.shape.c)],
            Layer::Input { .. }
            | Layer::Relu
            | Layer::LeakyRelu { .. }
            | Layer::Clip { .. }
            | Layer::MaxPool2d { .. }
            | Layer::AvgPool2d { .. }
            | Layer::GlobalAvgPool
            | Layer::GlobalMaxPool
            | Layer::Lrn { .. }
            | Layer::Flatten
            | Layer::Identity
            | Layer::Concat
            | Layer::Add
            | Layer::Pad { .. }
            | Layer::Softmax { .. }
            | Layer::LogSoftmax { .. } => Vec::new(),
        };
        for (weight, len) in need {
            let found = model.weights.view(weight).len();
            if found != len {
                return Err(Error::Shape {
                    node: node.name.clone(),
                    expected: format!("{len} numbers in weight \"{}\"", model.weights.name(weight)),
                    found: format!("{found}, of shape {:?}", model.weights.dims(weight)),
                });
            }
        }
    }
    Ok(())
}
