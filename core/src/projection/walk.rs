//! The walk back: every node's signal is a window of all its channels, handed from consumers to inputs.

use switchback_kernels::conv_transpose2d::{can_be_sparse, conv_transpose2d, conv_transpose2d_sparse};
use switchback_kernels::conv2d::{Activation, Conv2d, conv2d};
use switchback_kernels::linear::linear_backward;
use switchback_kernels::lrn::lrn_backward;
use switchback_kernels::pointwise::{Rectifier, add_assign, affine, rectify};
use switchback_kernels::unpool2d::unpool2d;
use switchback_kernels::{Cpu, Geometry, Maps, Window, avg_pool2d::avg_pool2d_backward};

use super::signal::Signal;
use super::{Extent, LrnRule, Rule, Settings};
use crate::error::Result;
use crate::network::{Layer, Network, NodeId};
use crate::plan::algorithm;
use crate::pool::Pool;
use crate::session::{Session, packed};
use crate::tensor::{Shape, Tensor};
use crate::trace::{Switches, Trace};

/// One walk: what it runs on and what it looks at.
pub(super) struct Walk<'a> {
    pub(super) cpu: &'a Cpu,
    pub(super) session: &'a Session,
    pub(super) trace: &'a Trace,
    /// Which picture of the trace.
    pub(super) n: usize,
    pub(super) settings: &'a Settings,
    pub(super) extent: Extent,
}

impl Walk<'_> {
    /// From `values` in a window of `channel` of `layer` to the pixels: a tensor of the input's shape, zero outside the
    /// input's window. `windows` holds those of every node that the layer reads.
    pub(super) fn run(
        &self,
        layer: NodeId,
        channel: usize,
        (window, values): (Window, &[f32]),
        windows: &[Window],
    ) -> Result<Tensor> {
        self.session.with_pool(|pool| self.run_in(pool, layer, channel, (window, values), windows))
    }

    fn run_in(
        &self,
        pool: &mut Pool,
        layer: NodeId,
        channel: usize,
        (window, values): (Window, &[f32]),
        windows: &[Window],
    ) -> Result<Tensor> {
        let network = self.network();
        let mut signals: Vec<Option<Signal>> = (0..=layer).map(|_| None).collect();
        let mut seed = Signal::zeros(network.node(layer).shape, window, pool);
        let area = window.area();
        seed.numbers_mut()[channel * area..(channel + 1) * area].copy_from_slice(values);
        if windows[layer] != window {
            seed = seed.widened(windows[layer], pool);
        }
        signals[layer] = Some(seed);
        for id in (1..=layer).rev() {
            let Some(mut signal) = signals[id].take() else { continue };
            // Unpooled signals are zero at most places.
            if self.extent == Extent::Field && !signal.shrink() {
                signal.release(pool);
                continue;
            }
            for (input, below) in self.back(id, signal, windows, pool)? {
                match &mut signals[input] {
                    Some(sum) => {
                        if !sum.window().contains(below.window()) {
                            let wide = sum.widened(windows[input], pool);
                            std::mem::replace(sum, wide).release(pool);
                        }
                        add_assign(self.cpu, below.maps(), sum.part_mut(below.window()));
                        below.release(pool);
                    }
                    none => *none = Some(below),
                }
            }
        }
        let mut tensor = Tensor::zeros(1, network.input_shape());
        if let Some(signal) = signals[0].take() {
            let (mut pixels, maps, window) = (tensor.maps_mut(), signal.maps(), signal.window());
            for c in 0..signal.shape.c {
                for y in window.y0..window.y1 {
                    pixels.row_mut(0, c, y)[window.x0..window.x1].copy_from_slice(maps.row(0, c, y));
                }
            }
            signal.release(pool);
        }
        Ok(tensor)
    }

    fn network(&self) -> &Network {
        self.session.network()
    }

    /// Picture `n` of the kept tensor of `id`.
    fn forward(&self, id: NodeId) -> Maps<'_> {
        let tensor = self.trace.tensor(id).expect("the run kept what the rule looks at");
        tensor.maps().image_range(self.n, self.n + 1)
    }

    /// What the signal at node `id` gives each of its inputs: over their whole windows, or what it reaches of them.
    fn back(&self, id: NodeId, signal: Signal, windows: &[Window], pool: &mut Pool) -> Result<Vec<(NodeId, Signal)>> {
        let node = self.network().node(id);
        let Some(&input) = node.inputs.first() else { return Ok(Vec::new()) };
        let packed = self.session.packed();
        let shape = self.network().node(input).shape;
        let window = signal.window();
        // The cells of the input that the signal reaches.
        let reached = |geometry: &Geometry| match self.extent {
            Extent::Field => geometry.input_window(window, shape.size()).intersect(windows[input]),
            Extent::Whole => windows[input],
        };
        let below = match &node.layer {
            Layer::Input { .. } => return Ok(Vec::new()),
            Layer::Conv2d { geometry, .. } => self.deconvolved(id, &signal, (shape, reached(geometry)), pool)?,
            Layer::ConvTranspose2d { .. } => {
                let mut below = Signal::unwritten(shape, windows[input], pool);
                let (conv, filters) = (packed::conv(self.network(), id), packed.conv2d(id, None)?);
                // The way back is a forward convolution, which reads every cell under its taps.
                let reach = conv.geometry.input_window(windows[input], node.shape.size()).union(window);
                let wide = signal.widened(reach, pool);
                conv2d(self.cpu, &conv, filters, None, Activation::None, wide.maps(), below.maps_mut());
                wide.release(pool);
                below
            }
            Layer::Linear { .. } => {
                let mut below = Signal::zeros(shape, windows[input], pool);
                let linear = packed::linear(self.network(), id);
                linear_backward(self.cpu, &linear, packed.linear(id)?, signal.numbers(), below.numbers_mut());
                below
            }
            Layer::Affine { .. } => {
                let mut below = Signal::unwritten(shape, window, pool);
                affine(self.cpu, packed.affine(id)?.0, None, signal.maps(), below.maps_mut());
                below
            }
            Layer::Relu => return Ok(vec![(input, self.rectified(id, signal, [0.0, f32::INFINITY], 0.0))]),
            Layer::LeakyRelu { slope } => {
                return Ok(vec![(input, self.rectified(id, signal, [0.0, f32::INFINITY], *slope))]);
            }
            Layer::Clip { min, max } => return Ok(vec![(input, self.rectified(id, signal, [*min, *max], 0.0))]),
            Layer::MaxPool2d { geometry, .. } => {
                let mut below = Signal::unwritten(shape, reached(geometry), pool);
                let switches = self.trace.switch_maps(id, node.shape).expect("the run kept the switches");
                let switches = switches.image_range(self.n, self.n + 1).crop(window);
                unpool2d(self.cpu, geometry, signal.maps(), switches, below.maps_mut());
                below
            }
            Layer::AvgPool2d { geometry, count_include_pad, .. } => {
                let mut below = Signal::unwritten(shape, reached(geometry), pool);
                avg_pool2d_backward(self.cpu, geometry, *count_include_pad, signal.maps(), below.maps_mut());
                below
            }
            Layer::GlobalAvgPool => {
                let mut below = Signal::unwritten(shape, windows[input], pool);
                let cells = shape.h * shape.w;
                for (map, s) in below.numbers_mut().chunks_mut(cells).zip(signal.numbers()) {
                    map.fill(s / cells as f32);
                }
                below
            }
            Layer::GlobalMaxPool => {
                let mut below = Signal::zeros(shape, windows[input], pool);
                let Some(Switches::Global(places)) = self.trace.switches(id) else {
                    panic!("the run kept the places of the maxima")
                };
                let places = &places[self.n * shape.c..(self.n + 1) * shape.c];
                let maps = below.numbers_mut().chunks_mut(shape.h * shape.w);
                for ((map, s), &place) in maps.zip(signal.numbers()).zip(places) {
                    map[place as usize] = *s;
                }
                below
            }
            Layer::Lrn { .. } => match self.settings.lrn() {
                LrnRule::Identity => return Ok(vec![(input, signal)]),
                LrnRule::Jacobian => {
                    let mut below = Signal::unwritten(shape, windows[input], pool);
                    let lrn = packed::lrn(self.network(), id);
                    let x = self.forward(input).crop(below.window());
                    lrn_backward(self.cpu, &lrn, x, signal.maps(), below.maps_mut());
                    below
                }
            },
            Layer::Flatten => return Ok(vec![(input, signal.reshaped(shape))]),
            Layer::Identity => return Ok(vec![(input, signal)]),
            Layer::Concat => {
                let mut from = 0;
                let mut parts = Vec::with_capacity(node.inputs.len());
                for &input in &node.inputs {
                    let shape = self.network().node(input).shape;
                    parts.push((input, signal.channels(from, shape, pool)));
                    from += shape.c;
                }
                signal.release(pool);
                return Ok(parts);
            }
            Layer::Add => {
                let copies: Vec<_> = node.inputs.iter().map(|&i| (i, signal.channels(0, shape, pool))).collect();
                signal.release(pool);
                return Ok(copies);
            }
            Layer::Pad { pads, .. } => {
                let mut below = Signal::zeros(shape, windows[input], pool);
                // The cells of the padded map that are cells of the input's window, and that the signal has.
                let w = windows[input];
                let inner = Window { y0: w.y0 + pads[0], x0: w.x0 + pads[1], y1: w.y1 + pads[0], x1: w.x1 + pads[1] };
                let part = inner.intersect(window);
                if !part.is_empty() {
                    let from = signal.maps().crop(part);
                    let [y0, x0] = [part.y0 - pads[0], part.x0 - pads[1]];
                    let to = Window { y0, x0, y1: y0 + part.height(), x1: x0 + part.width() };
                    let mut to = below.part_mut(to);
                    for (c, y) in (0..shape.c).flat_map(|c| (part.y0..part.y1).map(move |y| (c, y))) {
                        to.row_mut(0, c, y - pads[0]).copy_from_slice(from.row(0, c, y));
                    }
                }
                below
            }
            Layer::Softmax { .. } | Layer::LogSoftmax { .. } => unreachable!("refused before the walk"),
        };
        signal.release(pool);
        Ok(vec![(input, below)])
    }

    /// A convolution's way back, into `window` of its input, of `shape`: value by value where most are zero. What is counted
    /// does not depend on the windows of the walk.
    fn deconvolved(
        &self,
        id: NodeId,
        signal: &Signal,
        (shape, window): (Shape, Window),
        pool: &mut Pool,
    ) -> Result<Signal> {
        let conv = packed::conv(self.network(), id);
        let packed = self.session.packed();
        if let Some(unit) = signal.lone() {
            let mut below = Signal::zeros(shape, window, pool);
            self.spread(id, &conv, (signal.window(), unit), &mut below);
            return Ok(below);
        }
        let mut below = Signal::unwritten(shape, window, pool);
        let dense = signal.not_zero();
        let tile = algorithm::back(self.session, id);
        // What a multiplication value by value costs beside one of a product, of which a tile saves half.
        let price = if tile.is_some() { 6 } else { 4 };
        let few = |count: usize| price * count <= dense.area() * signal.shape.c;
        // Cut, so that Winograd's rounding stays where the signal reaches.
        let maps = signal.maps().crop(dense);
        if can_be_sparse(&conv) && signal.count(dense).is_some_and(few) {
            conv_transpose2d_sparse(self.cpu, &conv, packed.sparse(id)?, maps, below.maps_mut());
        } else {
            let filters = packed.conv_transpose2d(id, tile)?;
            conv_transpose2d(self.cpu, &conv, filters, None, maps, below.maps_mut());
        }
        Ok(below)
    }

    /// A convolution's way back from one unit: its filter, times its value. The same bits as the sum over all units.
    fn spread(&self, id: NodeId, conv: &Conv2d, (cell, (o, value)): (Window, (usize, f32)), below: &mut Signal) {
        let Layer::Conv2d { weight, .. } = self.network().node(id).layer else { unreachable!("asked of convolutions") };
        let weights = self.session.packed().view(weight);
        let Geometry { kernel: [kh, kw], stride, dilation, pads, .. } = conv.geometry;
        let (ins, outs) = (conv.in_channels / conv.groups, conv.out_channels / conv.groups);
        let window = below.window();
        // Where in the map a tap lands, if in the window.
        let land = |at: usize, tap: usize, axis: usize, pad: usize, range: [usize; 2]| {
            let place = (at * stride[axis] + tap * dilation[axis]).checked_sub(pad)?;
            (range[0]..range[1]).contains(&place).then_some(place)
        };
        let mut maps = below.maps_mut();
        for i in 0..ins {
            let c = o / outs * ins + i;
            for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                let y = land(cell.y0, ky, 0, pads[0], [window.y0, window.y1]);
                let x = land(cell.x0, kx, 1, pads[1], [window.x0, window.x1]);
                if let (Some(y), Some(x)) = (y, x) {
                    let weight = weights.get(((o * ins + i) * kh + ky) * kw + kx);
                    maps.row_mut(0, c, y)[x - window.x0] = value * weight;
                }
            }
        }
    }

    /// The signal past a rectifier that let values strictly between `bounds` through and multiplied others by `slope`.
    fn rectified(&self, id: NodeId, mut signal: Signal, bounds: [f32; 2], slope: f32) -> Signal {
        let rule = self.settings.rule;
        let rectifier = Rectifier {
            positive_signal: rule != Rule::Gradient,
            by_forward: rule != Rule::Deconv,
            low: bounds[0],
            high: bounds[1],
            slope,
        };
        let gate = self.settings.gate(self.network(), id).map(|id| self.forward(id).crop(signal.window()));
        rectify(self.cpu, &rectifier, gate, signal.maps_mut());
        signal
    }
}
