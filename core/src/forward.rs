//! One run through a plan: every step in order, from and to the places that the plan chose ahead.
//!
//! ```text
//! input ─▶ step ─▶ storage ─▶ step ─▶ … ─▶ kept tensors and switches = Trace
//!                   └ in the arena, or by itself where it is kept
//! ```
//! The arena outlives the run: kernels need initialised memory, and zeroing it anew for every layer would cost more
//! than many layers do. What stands in it is left over from before.

use std::time::Instant;

use switchback_kernels::conv_pool2d::{ConvPool2d, Filters, conv_pool2d};
use switchback_kernels::conv2d::{Activation, conv2d_add};
use switchback_kernels::pointwise::{Pointwise, add_assign, affine, pointwise, pointwise_in_place};
use switchback_kernels::view::Layout;
use switchback_kernels::{
    Cpu, Maps, MapsMut, avg_pool2d, conv_transpose2d, global_pool, linear, lrn, max_pool2d, softmax,
};

use crate::error::{Error, Result};
use crate::network::{Layer, Network, NodeId};
use crate::observe::{IN_PLACE, Observed, Observer, algorithm};
use crate::plan::{Plan, Step};
use crate::session::Session;
use crate::session::packed;
use crate::tensor::{Shape, Tensor};
use crate::trace::{Keep, Switches, Trace};

/// Runs `input` through `plan`; `observer` hears of every step. `arena` holds at least `plan.arena` numbers a picture.
pub(crate) fn run(
    session: &Session,
    input: &Tensor,
    keep: &Keep,
    plan: &Plan,
    arena: &mut [f32],
    mut observer: Option<&mut Observer<'_>>,
) -> Result<Trace> {
    let network = session.network();
    let mut kept: Vec<Option<Vec<f32>>> = plan.storages.iter().map(|_| None).collect();
    let mut switches: Vec<Option<Switches>> = network.nodes().iter().map(|_| None).collect();
    for step in &plan.steps {
        let start = observer.is_some().then(Instant::now);
        if !matches!(network.node(step.node).layer, Layer::Identity | Layer::Flatten) {
            let place = plan.place(step.output);
            let storage = &plan.storages[place.storage];
            let len = input.batch * storage.len;
            let base = Run { session, network, plan, keep, input, kept: &[], arena: [&[], &[]], cut: 0 };
            switches[step.node] = match storage.offset {
                Some(offset) => {
                    let (below, rest) = arena.split_at_mut(input.batch * offset);
                    let (out, above) = rest.split_at_mut(len);
                    let cut = below.len() + len;
                    let run = Run { kept: &kept, arena: [below, above], cut, ..base };
                    run.compute(step, &mut out[place.offset..])?
                }
                None => {
                    let mut out = kept[place.storage].take().unwrap_or_else(|| vec![0.0; len]);
                    let run = Run { kept: &kept, arena: [arena, &[]], cut: arena.len(), ..base };
                    let switches = run.compute(step, &mut out[place.offset..])?;
                    kept[place.storage] = Some(out);
                    switches
                }
            };
        }
        if let (Some(observer), Some(start)) = (observer.as_deref_mut(), start) {
            let Step { node, output, add, .. } = *step;
            let duration = start.elapsed();
            observer(Observed { node, output, add, algorithm: how(network, plan, step), duration });
        }
    }
    if let Some(step) = plan.steps.last() {
        let cut = arena.len();
        Run { session, network, plan, keep, input, kept: &kept, arena: [arena, &[]], cut }.check_last(step)?;
    }
    Ok(into_trace(network, plan, input, kept, switches))
}

/// What a step sees.
struct Run<'a> {
    session: &'a Session,
    network: &'a Network,
    plan: &'a Plan,
    keep: &'a Keep,
    input: &'a Tensor,
    /// The storages that the caller keeps, but for the one that is written to.
    kept: &'a [Option<Vec<f32>>],
    /// The arena below and above what is written to.
    arena: [&'a [f32]; 2],
    /// Where in the arena the upper part begins.
    cut: usize,
}

impl Run<'_> {
    /// The storage that holds `id`, from the node's first number on.
    fn data(&self, id: NodeId) -> &[f32] {
        let place = self.plan.place(id);
        let storage = &self.plan.storages[place.storage];
        let numbers = match storage.offset {
            Some(offset) => {
                let (from, len) = (self.input.batch * offset, self.input.batch * storage.len);
                match from.checked_sub(self.cut) {
                    Some(from) => &self.arena[1][from..from + len],
                    None => &self.arena[0][from..from + len],
                }
            }
            None if place.storage == 0 => &self.input.data,
            None => self.kept[place.storage].as_deref().expect("inputs were computed"),
        };
        &numbers[place.offset..]
    }

    fn layout(&self, id: NodeId) -> Layout {
        self.plan.layout(self.network, id, self.input.batch)
    }

    fn maps(&self, id: NodeId) -> Maps<'_> {
        Maps::with_layout(self.data(id), self.layout(id))
    }

    /// All numbers of `id`, pictures one after the other. Never a part of a concatenation: those only it reads.
    fn numbers(&self, id: NodeId) -> &[f32] {
        &self.data(id)[..self.input.batch * self.network.node(id).shape.len()]
    }

    /// Runs the step's layer into `data`, which begins with the output's first number.
    fn compute(&self, step: &Step, data: &mut [f32]) -> Result<Option<Switches>> {
        let cpu = self.session.cpu();
        let packed = self.session.packed();
        let node = self.network.node(step.node);
        let batch = self.input.batch;
        let shape = self.network.node(step.output).shape;
        let layout = self.layout(step.output);
        let from = |i: usize| node.inputs[i];
        let activation = if step.relu { Activation::Relu } else { Activation::None };
        match &node.layer {
            Layer::Input { .. } | Layer::Identity | Layer::Flatten => unreachable!("computes nothing"),
            Layer::Conv2d { .. } => {
                let conv = packed::conv(self.network, step.node);
                let (filters, bias) = packed.filters(step)?;
                let (input, out) = (self.maps(from(0)), MapsMut::with_layout(data, layout));
                match step.pool.map(|pool| &self.network.node(pool).layer) {
                    Some(&Layer::MaxPool2d { geometry: pool, .. }) => {
                        let size = node.shape.size();
                        let work = ConvPool2d { conv, filters, bias, activation, size, pool };
                        conv_pool2d(cpu, &work, input, out);
                    }
                    _ => match (step.add, filters) {
                        (Some(other), Filters::Gemm(filters)) => {
                            let mut out = out;
                            if step.in_place.is_none() {
                                pointwise(cpu, Pointwise::Copy, self.maps(other), out.reborrow());
                            }
                            conv2d_add(cpu, &conv, filters, bias, activation, input, out);
                        }
                        (Some(_), Filters::Winograd(_)) => unreachable!("plans fuse no sum with it"),
                        (None, filters) => filters.conv2d(cpu, &conv, bias, activation, input, out),
                    },
                }
            }
            Layer::ConvTranspose2d { .. } => {
                let conv = packed::conv(self.network, step.node);
                let (filters, bias) = (packed.conv_transpose2d(step.node, None)?, packed.bias(step.node)?);
                let out = MapsMut::with_layout(data, layout);
                conv_transpose2d::conv_transpose2d(cpu, &conv, filters, bias, self.maps(from(0)), out);
            }
            Layer::Linear { .. } => {
                let linear = packed::linear(self.network, step.node);
                let (weights, bias) = (packed.linear(step.node)?, packed.bias(step.node)?);
                let y = &mut data[..batch * shape.len()];
                linear::linear(cpu, &linear, weights, bias, activation, self.numbers(from(0)), y);
                if !is_finite(y) {
                    return Err(self.why_not_finite(step));
                }
            }
            Layer::Affine { .. } => {
                let (scale, shift) = packed.affine(step.node)?;
                affine(cpu, scale, Some(shift), self.maps(from(0)), MapsMut::with_layout(data, layout));
            }
            Layer::Relu => self.pointwise(step, Pointwise::Relu, data, layout),
            Layer::LeakyRelu { slope } => self.pointwise(step, Pointwise::LeakyRelu(*slope), data, layout),
            Layer::Clip { min, max } => self.pointwise(step, Pointwise::Clip(*min, *max), data, layout),
            Layer::MaxPool2d { geometry, .. } => {
                let mut switches = self.keep.switches[step.node].then(|| vec![0u8; batch * shape.len()]);
                let maps = switches.as_mut().map(|s| MapsMut::new(s, batch, shape.c, shape.size()));
                let out = MapsMut::with_layout(data, layout);
                max_pool2d::max_pool2d(cpu, geometry, self.maps(from(0)), out, maps);
                return Ok(switches.map(Switches::Window));
            }
            Layer::AvgPool2d { geometry, count_include_pad, .. } => {
                let out = MapsMut::with_layout(data, layout);
                avg_pool2d::avg_pool2d(cpu, geometry, *count_include_pad, self.maps(from(0)), out);
            }
            Layer::GlobalAvgPool => {
                global_pool::global_avg_pool(cpu, self.maps(from(0)), &mut data[..batch * shape.len()]);
            }
            Layer::GlobalMaxPool => {
                let mut places = self.keep.switches[step.node].then(|| vec![0u32; batch * shape.len()]);
                let out = &mut data[..batch * shape.len()];
                global_pool::global_max_pool(cpu, self.maps(from(0)), out, places.as_deref_mut());
                return Ok(places.map(Switches::Global));
            }
            Layer::Lrn { .. } => {
                let constants = packed::lrn(self.network, step.node);
                lrn::lrn(cpu, &constants, self.maps(from(0)), MapsMut::with_layout(data, layout));
            }
            Layer::Concat => self.concat(step, data, layout),
            Layer::Add => {
                let mut out = MapsMut::with_layout(data, layout);
                let first = match step.in_place {
                    Some(input) => input,
                    None => {
                        pointwise(cpu, Pointwise::Copy, self.maps(from(0)), out.reborrow());
                        from(0)
                    }
                };
                let at = node.inputs.iter().position(|&i| i == first).expect("one of the inputs");
                for (_, &input) in node.inputs.iter().enumerate().filter(|&(i, _)| i != at) {
                    add_assign(cpu, self.maps(input), out.reborrow());
                }
            }
            Layer::Pad { pads, value } => pad(*pads, *value, self.maps(from(0)), MapsMut::with_layout(data, layout)),
            Layer::Softmax { flat } | Layer::LogSoftmax { flat } => {
                let data = &mut data[..batch * shape.len()];
                if step.in_place.is_none() {
                    data.copy_from_slice(self.numbers(from(0)));
                }
                normalise(cpu, &node.layer, *flat, shape, data);
            }
        }
        Ok(None)
    }

    fn pointwise(&self, step: &Step, f: Pointwise, data: &mut [f32], layout: Layout) {
        let out = MapsMut::with_layout(data, layout);
        match step.in_place {
            Some(_) => pointwise_in_place(self.session.cpu(), f, out),
            None => {
                let input = self.network.node(step.node).inputs[0];
                pointwise(self.session.cpu(), f, self.maps(input), out);
            }
        }
    }

    /// Copies those inputs that were not written in place.
    fn concat(&self, step: &Step, data: &mut [f32], layout: Layout) {
        let mut out = MapsMut::with_layout(data, layout);
        let mut channel = 0;
        for &input in &self.network.node(step.node).inputs {
            let to = channel + self.network.node(input).shape.c;
            if self.plan.place(input).storage != self.plan.place(step.output).storage {
                let part = out.reborrow().channel_range(channel, to);
                pointwise(self.session.cpu(), Pointwise::Copy, self.maps(input), part);
            }
            channel = to;
        }
    }

    /// The furthest result must be finite. Only linear layers are looked at before it: their weights are never packed,
    /// hence never checked, and whatever else is not finite reaches the last node.
    fn check_last(&self, step: &Step) -> Result<()> {
        let shape = self.network.node(step.output).shape;
        // A part of nothing: the last step's output has a storage of its own, unless only its switches are wanted.
        let padded = matches!(self.network.node(step.node).layer, Layer::Pad { value, .. } if !value.is_finite());
        let kept = !self.plan.storages[self.plan.place(step.output).storage].kept.is_empty();
        if self.plan.place(step.output).storage == 0 || padded || !kept {
            return Ok(());
        }
        let data = &self.data(step.output)[..self.input.batch * shape.len()];
        if is_finite(data) { Ok(()) } else { Err(self.why_not_finite(step)) }
    }

    /// Why `step` gave NaN or infinity: its weights, the input, or sheer size.
    fn why_not_finite(&self, step: &Step) -> Error {
        let packed = self.session.packed();
        let node = self.network.node(step.node);
        if let Err(e) = node.layer.weights().into_iter().try_for_each(|w| packed.check_finite(step.node, w)) {
            return e;
        }
        let input = &self.input.data;
        if let Some(i) = input.iter().position(|x| !x.is_finite()) {
            return Error::Invalid(format!("the input holds {} at element {i}", input[i]));
        }
        Error::Overflow {
            node: self.network.node(step.output).name.clone(),
            why: "weights and input are finite but too large; is the preprocessing the one that the network was trained with?"
                .into(),
        }
    }
}

/// The word for how `step` is computed, for an observer.
fn how(network: &Network, plan: &Plan, step: &Step) -> &'static str {
    let node = network.node(step.node);
    let storage = |id: NodeId| plan.place(id).storage;
    match &node.layer {
        Layer::Concat if node.inputs.iter().all(|&i| storage(i) == storage(step.output)) => IN_PLACE,
        Layer::Conv2d { .. } if packed::conv(network, step.node).is_depthwise() => "depthwise",
        layer => algorithm(layer, step.tile),
    }
}

/// What the caller keeps, by its names.
fn into_trace(
    network: &Network,
    plan: &Plan,
    input: &Tensor,
    mut kept: Vec<Option<Vec<f32>>>,
    switches: Vec<Option<Switches>>,
) -> Trace {
    let batch = input.batch;
    let mut tensors: Vec<Option<Tensor>> = network.nodes().iter().map(|_| None).collect();
    for (s, storage) in plan.storages.iter().enumerate() {
        let Some((&last, others)) = storage.kept.split_last() else { continue };
        let data = kept[s].take().unwrap_or_else(|| input.data.clone());
        for &id in others {
            tensors[id] = Some(Tensor { batch, shape: network.node(id).shape, data: data.clone() });
        }
        tensors[last] = Some(Tensor { batch, shape: network.node(last).shape, data });
    }
    Trace { batch, tensors, switches }
}

/// The softmax or its logarithm that `layer` is, over the whole of each picture where `flat`, else over its channels.
pub(crate) fn normalise(cpu: &Cpu, layer: &Layer, flat: bool, shape: Shape, data: &mut [f32]) {
    let (len, stride) = if flat { (shape.len(), 1) } else { (shape.c, shape.h * shape.w) };
    match layer {
        Layer::Softmax { .. } => softmax::softmax(cpu, data, len, stride),
        _ => softmax::log_softmax(cpu, data, len, stride),
    }
}

/// `value` around `input`.
fn pad(pads: [usize; 4], value: f32, input: Maps<'_>, mut out: MapsMut<'_>) {
    let [height, width] = input.full();
    let [full_height, _] = out.full();
    for n in 0..input.batch() {
        for c in 0..input.channels() {
            for y in 0..full_height {
                let row = out.row_mut(n, c, y);
                match y.checked_sub(pads[0]).filter(|&y| y < height) {
                    None => row.fill(value),
                    Some(y) => {
                        row[..pads[1]].fill(value);
                        row[pads[1]..pads[1] + width].copy_from_slice(input.row(n, c, y));
                        row[pads[1] + width..].fill(value);
                    }
                }
            }
        }
    }
}

/// Neither NaN nor infinity among `data`; without an early exit, so that it runs on vectors.
pub(crate) fn is_finite(data: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    data.chunks(4096).all(|chunk| !chunk.iter().fold(false, |bad, x| bad | (x.to_bits() & EXPONENT == EXPONENT)))
}

/// Bytes that the kept switches of one picture take.
pub(crate) fn switch_bytes(network: &Network, keep: &Keep) -> usize {
    let bytes = |id: NodeId, shape: Shape| match network.node(id).layer {
        Layer::MaxPool2d { .. } => shape.len(),
        Layer::GlobalMaxPool => shape.len() * size_of::<u32>(),
        _ => 0,
    };
    (0..network.nodes().len()).filter(|&id| keep.switches[id]).map(|id| bytes(id, network.node(id).shape)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_not_finite() {
        let mut data = vec![1.0f32; 10_000];
        data[3] = f32::MAX;
        assert!(is_finite(&data));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            data[9_999] = bad;
            assert!(!is_finite(&data));
        }
    }
}
