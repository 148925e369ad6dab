//! The walk back: every node's signal is a window of all its channels, handed from consumers to inputs.

use switchback_kernels::conv_transpose2d::conv_transpose2d;
use switchback_kernels::conv2d::{Activation, Conv2d, conv2d};
use switchback_kernels::linear::linear_backward;
use switchback_kernels::lrn::lrn_backward;
use switchback_kernels::pointwise::{Rectifier, add_assign, affine, rectify};
use switchback_kernels::unpool2d::unpool2d;
use switchback_kernels::{Cpu, Geometry, Maps, MapsMut, Window, avg_pool2d::avg_pool2d_backward};

use super::{Extent, LrnRule, Rule, Settings};
use crate::error::Result;
use crate::network::{Layer, Network, NodeId};
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

/// What arrives at a node: `channels × window`, zero outside.
struct Signal {
    shape: Shape,
    window: Window,
    data: Vec<f32>,
}

impl Signal {
    fn zeros(shape: Shape, window: Window) -> Self {
        Self { shape, window, data: vec![0.0; shape.c * window.area()] }
    }

    fn maps(&self) -> Maps<'_> {
        Maps::windowed(&self.data, 1, self.shape.c, self.shape.size(), self.window)
    }

    fn maps_mut(&mut self) -> MapsMut<'_> {
        MapsMut::windowed(&mut self.data, 1, self.shape.c, self.shape.size(), self.window)
    }

    /// Without the rows and columns at its borders that are zero; `None` where all is.
    fn shrunk(self) -> Option<Self> {
        let maps = self.maps();
        let mut w = self.window;
        let row = |w: &Window, y: usize| {
            let zeros = |c| maps.row(0, c, y)[w.x0 - self.window.x0..][..w.width()].iter().all(|&x| x == 0.0);
            (0..self.shape.c).all(zeros)
        };
        let column = |w: &Window, x: usize| {
            let zeros = |c| (w.y0..w.y1).all(|y| maps.row(0, c, y)[x - self.window.x0] == 0.0);
            (0..self.shape.c).all(zeros)
        };
        while w.y0 < w.y1 && row(&w, w.y0) {
            w.y0 += 1;
        }
        if w.is_empty() {
            return None;
        }
        while row(&w, w.y1 - 1) {
            w.y1 -= 1;
        }
        while column(&w, w.x0) {
            w.x0 += 1;
        }
        while column(&w, w.x1 - 1) {
            w.x1 -= 1;
        }
        if w == self.window {
            return Some(self);
        }
        let mut data = Vec::with_capacity(self.shape.c * w.area());
        for c in 0..self.shape.c {
            for y in w.y0..w.y1 {
                data.extend_from_slice(&maps.row(0, c, y)[w.x0 - self.window.x0..][..w.width()]);
            }
        }
        Some(Self { shape: self.shape, window: w, data })
    }

    /// Channel and value of the one number that is not zero, where the window is one cell and there is only one.
    fn lone(&self) -> Option<(usize, f32)> {
        let mut some = self.data.iter().enumerate().filter(|(_, x)| **x != 0.0);
        let (channel, &value) = some.next().filter(|_| self.window.area() == 1)?;
        some.next().is_none().then_some((channel, value))
    }
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
        let network = self.network();
        let mut signals: Vec<Option<Signal>> = (0..=layer).map(|_| None).collect();
        let mut seed = Signal::zeros(network.node(layer).shape, window);
        let area = window.area();
        seed.data[channel * area..(channel + 1) * area].copy_from_slice(values);
        if windows[layer] != window {
            seed = widened(&seed, windows[layer]);
        }
        signals[layer] = Some(seed);
        for id in (1..=layer).rev() {
            let signal = match self.extent {
                // Unpooled signals are zero at most places.
                Extent::Field => signals[id].take().and_then(Signal::shrunk),
                Extent::Whole => signals[id].take(),
            };
            if let Some(signal) = signal {
                for (input, below) in self.back(id, signal, windows)? {
                    match &mut signals[input] {
                        Some(sum) => add_assign(self.cpu, below.maps(), sum.maps_mut()),
                        none => *none = Some(below),
                    }
                }
            }
        }
        let shape = network.input_shape();
        let mut tensor = Tensor::zeros(1, shape);
        let pixels = windows[0];
        if let Some(signal) = &signals[0] {
            let mut maps = tensor.maps_mut();
            for c in 0..shape.c {
                for y in pixels.y0..pixels.y1 {
                    maps.row_mut(0, c, y)[pixels.x0..pixels.x1].copy_from_slice(signal.maps().row(0, c, y));
                }
            }
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

    /// What the signal at node `id` gives each of its inputs, over the whole of their windows.
    fn back(&self, id: NodeId, mut signal: Signal, windows: &[Window]) -> Result<Vec<(NodeId, Signal)>> {
        let node = self.network().node(id);
        let Some(&input) = node.inputs.first() else { return Ok(Vec::new()) };
        let packed = self.session.packed();
        let shape = self.network().node(input).shape;
        let blank = || Signal::zeros(shape, windows[input]);
        let below = match &node.layer {
            Layer::Input { .. } => return Ok(Vec::new()),
            Layer::Conv2d { .. } => {
                let mut below = blank();
                let conv = packed::conv(self.network(), id);
                match signal.lone() {
                    Some(unit) => self.spread(id, &conv, (signal.window, unit), &mut below),
                    None => {
                        let filters = packed.conv_transpose2d(id)?;
                        conv_transpose2d(self.cpu, &conv, filters, None, signal.maps(), below.maps_mut());
                    }
                }
                below
            }
            Layer::ConvTranspose2d { .. } => {
                let mut below = blank();
                let (conv, filters) = (packed::conv(self.network(), id), packed.conv2d(id, None)?);
                // The way back is a forward convolution, which reads every cell under its taps.
                let reach = conv.geometry.input_window(below.window, signal.shape.size()).union(signal.window);
                let signal = widened(&signal, reach);
                conv2d(self.cpu, &conv, filters, None, Activation::None, signal.maps(), below.maps_mut());
                below
            }
            Layer::Linear { .. } => {
                let mut below = blank();
                let linear = packed::linear(self.network(), id);
                linear_backward(self.cpu, &linear, packed.linear(id)?, &signal.data, &mut below.data);
                below
            }
            Layer::Affine { .. } => {
                let mut below = Signal::zeros(shape, signal.window);
                affine(self.cpu, packed.affine(id)?.0, None, signal.maps(), below.maps_mut());
                below
            }
            Layer::Relu => self.rectified(id, signal, [0.0, f32::INFINITY], 0.0),
            Layer::LeakyRelu { slope } => self.rectified(id, signal, [0.0, f32::INFINITY], *slope),
            Layer::Clip { min, max } => self.rectified(id, signal, [*min, *max], 0.0),
            Layer::MaxPool2d { geometry, .. } => {
                let mut below = blank();
                let switches = self.trace.switch_maps(id, node.shape).expect("the run kept the switches");
                let switches = switches.image_range(self.n, self.n + 1).crop(signal.window);
                unpool2d(self.cpu, geometry, signal.maps(), switches, below.maps_mut());
                below
            }
            Layer::AvgPool2d { geometry, count_include_pad, .. } => {
                let mut below = blank();
                avg_pool2d_backward(self.cpu, geometry, *count_include_pad, signal.maps(), below.maps_mut());
                below
            }
            Layer::GlobalAvgPool => {
                let mut below = blank();
                let cells = shape.h * shape.w;
                for (map, s) in below.data.chunks_mut(cells).zip(&signal.data) {
                    map.fill(s / cells as f32);
                }
                below
            }
            Layer::GlobalMaxPool => {
                let mut below = blank();
                let Some(Switches::Global(places)) = self.trace.switches(id) else {
                    panic!("the run kept the places of the maxima")
                };
                let places = &places[self.n * shape.c..(self.n + 1) * shape.c];
                for ((map, s), &place) in below.data.chunks_mut(shape.h * shape.w).zip(&signal.data).zip(places) {
                    map[place as usize] = *s;
                }
                below
            }
            Layer::Lrn { .. } => match self.settings.lrn() {
                LrnRule::Identity => signal,
                LrnRule::Jacobian => {
                    let mut below = blank();
                    let lrn = packed::lrn(self.network(), id);
                    let x = self.forward(input).crop(below.window);
                    lrn_backward(self.cpu, &lrn, x, signal.maps(), below.maps_mut());
                    below
                }
            },
            Layer::Flatten => Signal { shape, window: Window::full(shape.size()), data: signal.data },
            Layer::Identity => signal,
            Layer::Concat => {
                let mut from = 0;
                let mut parts = Vec::with_capacity(node.inputs.len());
                let area = signal.window.area();
                for &input in &node.inputs {
                    let shape = self.network().node(input).shape;
                    let data = signal.data[from * area..(from + shape.c) * area].to_vec();
                    parts.push((input, Signal { shape, window: signal.window, data }));
                    from += shape.c;
                }
                return Ok(cover(parts, windows));
            }
            Layer::Add => {
                let copy =
                    |&input| (input, Signal { shape: signal.shape, window: signal.window, data: signal.data.clone() });
                return Ok(cover(node.inputs.iter().map(copy).collect(), windows));
            }
            Layer::Pad { pads, .. } => {
                let mut below = blank();
                let w = below.window;
                for c in 0..shape.c {
                    for y in w.y0..w.y1 {
                        let Some(from) = cells(&signal, c, y + pads[0], w.x0 + pads[1]..w.x1 + pads[1]) else {
                            continue;
                        };
                        let at = (c * w.height() + y - w.y0) * w.width() + from.0 - w.x0 - pads[1];
                        below.data[at..at + from.1.len()].copy_from_slice(from.1);
                    }
                }
                below
            }
            Layer::Softmax { .. } | Layer::LogSoftmax { .. } => unreachable!("refused before the walk"),
        };
        signal = below;
        Ok(cover(vec![(input, signal)], windows))
    }

    /// A convolution's way back from one unit: its filter, times its value. The same bits as the sum over all units.
    fn spread(&self, id: NodeId, conv: &Conv2d, (cell, (o, value)): (Window, (usize, f32)), below: &mut Signal) {
        let Layer::Conv2d { weight, .. } = self.network().node(id).layer else { unreachable!("asked of convolutions") };
        let weights = self.session.packed().view(weight);
        let Geometry { kernel: [kh, kw], stride, dilation, pads, .. } = conv.geometry;
        let (ins, outs) = (conv.in_channels / conv.groups, conv.out_channels / conv.groups);
        let window = below.window;
        // Where in the window a tap lands, if it does.
        let land = |at: usize, tap: usize, axis: usize, pad: usize, range: [usize; 2]| {
            let place = (at * stride[axis] + tap * dilation[axis]).checked_sub(pad)?;
            (range[0]..range[1]).contains(&place).then(|| place - range[0])
        };
        for i in 0..ins {
            let c = o / outs * ins + i;
            for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                let y = land(cell.y0, ky, 0, pads[0], [window.y0, window.y1]);
                let x = land(cell.x0, kx, 1, pads[1], [window.x0, window.x1]);
                if let (Some(y), Some(x)) = (y, x) {
                    let weight = weights.get(((o * ins + i) * kh + ky) * kw + kx);
                    below.data[(c * window.height() + y) * window.width() + x] = value * weight;
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
        let gate = self.settings.gate(self.network(), id).map(|id| self.forward(id).crop(signal.window));
        rectify(self.cpu, &rectifier, gate, signal.maps_mut());
        signal
    }
}

/// Signals widened to their nodes' whole windows, where another consumer may add to cells that this one leaves alone.
fn cover(parts: Vec<(NodeId, Signal)>, windows: &[Window]) -> Vec<(NodeId, Signal)> {
    let widen = |(input, signal): (NodeId, Signal)| match windows[input] == signal.window {
        true => (input, signal),
        false => (input, widened(&signal, windows[input])),
    };
    parts.into_iter().map(widen).collect()
}

/// The same signal over a larger window.
fn widened(signal: &Signal, window: Window) -> Signal {
    assert!(window.contains(signal.window), "{window:?} does not hold {:?}", signal.window);
    let mut wide = Signal::zeros(signal.shape, window);
    for c in 0..signal.shape.c {
        for y in signal.window.y0..signal.window.y1 {
            let at = (c * window.height() + y - window.y0) * window.width() + signal.window.x0 - window.x0;
            wide.data[at..at + signal.window.width()].copy_from_slice(signal.maps().row(0, c, y));
        }
    }
    wide
}

/// Those cells of row `y` and the given columns that the signal has, and the first of their columns.
fn cells(signal: &Signal, c: usize, y: usize, columns: std::ops::Range<usize>) -> Option<(usize, &[f32])> {
    let w = signal.window;
    let (from, to) = (columns.start.max(w.x0), columns.end.min(w.x1));
    if !(w.y0..w.y1).contains(&y) || from >= to {
        return None;
    }
    let start = (c * w.height() + y - w.y0) * w.width() + from - w.x0;
    Some((from, &signal.data[start..start + to - from]))
}
