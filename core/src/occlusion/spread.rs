//! From squares to scores: node by node, only the window that each square can change is computed anew.
//!
//! ```text
//! square ─▶ window ─▶ conv ─▶ window ─▶ pool ─▶ window ─▶ … ─▶ scores
//!             │ cut to what really differs from the clean maps; empty: nothing changes from here on
//! ```
//! Squares run in chunks, one chunk a thread. In a chunk, equal windows of a convolution are one batch, wherever they
//! lie: the piece of the map that each reads is copied with the padding that it meets, so place no longer matters, and
//! the matrix product is as wide as the batch.
//!
//! im2col gives bit for bit the numbers of a full pass up to the linear layers. Winograd's tiles round their outputs
//! with all inputs of the tile in view: outputs that a square cannot reach stay the clean ones here, where a full pass
//! would move them by its rounding.

mod convolve;

use std::time::Instant;

use switchback_kernels::overlay::{Frame, overlay};
use switchback_kernels::pointwise::{Pointwise, add_assign, affine, pointwise};
use switchback_kernels::{Cpu, Maps, MapsMut, Window, avg_pool2d, conv_transpose2d, global_pool, lrn, max_pool2d};

use super::clean::Clean;
use super::patch::{NOTHING, Patch, Patches};
use crate::error::Result;
use crate::forward::normalise;
use crate::network::{Layer, NodeId};
use crate::plan::Step;
use crate::pool::Pool;
use crate::session::packed;
use crate::tensor::{Shape, Tensor};

/// Some squares on their way through the network.
pub(super) struct Spread<'a> {
    clean: &'a Clean<'a>,
    cpu: &'a Cpu,
    squares: usize,
    nodes: Vec<Patches>,
    pool: &'a mut Pool,
    /// What the squares do to the activity of the map that is watched.
    activity: Vec<f64>,
}

impl<'a> Spread<'a> {
    /// Squares with their top left corners at `corners`, before the first step.
    pub(super) fn new(clean: &'a Clean<'a>, cpu: &'a Cpu, corners: &[[usize; 2]], pool: &'a mut Pool) -> Self {
        let nodes = (0..clean.network().nodes().len()).map(|_| Patches::default()).collect();
        let squares = corners.len();
        let mut spread = Self { clean, cpu, squares, nodes, pool, activity: vec![0.0; squares] };
        let [height, width] = clean.occluder.size;
        let fixed = clean.occluder.is_fixed();
        let patch = |(s, &[y0, x0]): (usize, &[usize; 2])| {
            let held = Window { y0, x0, y1: y0 + height, x1: x0 + width };
            Patch { buffer: if fixed { 0 } else { s }, offset: 0, held, window: held }
        };
        let patches = corners.iter().enumerate().map(patch).collect();
        let distinct = if fixed { &corners[..1] } else { corners };
        let buffers = distinct.iter().map(|&corner| clean.occluder.at(clean.picture, corner)).collect();
        spread.finish(0, Patches { buffers, patches });
        spread
    }

    /// Squares that went this far elsewhere: the patches of the nodes that the next steps read, and their activities.
    pub(super) fn resume(
        clean: &'a Clean<'a>,
        cpu: &'a Cpu,
        carried: Vec<(NodeId, Patches)>,
        activity: Vec<f64>,
        pool: &'a mut Pool,
    ) -> Self {
        let mut nodes: Vec<_> = (0..clean.network().nodes().len()).map(|_| Patches::default()).collect();
        for (id, patches) in carried {
            nodes[id] = patches;
        }
        Self { clean, cpu, squares: activity.len(), nodes, pool, activity }
    }

    /// Runs the steps of `range`.
    pub(super) fn run(&mut self, range: std::ops::Range<usize>) -> Result<()> {
        for at in range {
            let step = &self.clean.steps[at];
            let start = Instant::now();
            if !matches!(self.clean.network().node(step.node).layer, Layer::Identity) {
                let patches = self.step(step)?;
                self.finish(step.output, patches);
            }
            for &id in &self.clean.free[at] {
                self.nodes[id].release(self.pool);
            }
            self.clean.spend(at, start.elapsed());
        }
        Ok(())
    }

    /// The patches of `ids`, each square's on its own, without what equals the clean maps; and the activities.
    pub(super) fn carry(&self, ids: &[NodeId]) -> (Vec<(NodeId, Patches)>, Vec<f64>) {
        let alone = |id: NodeId| {
            let shape = self.clean.network().node(id).shape;
            let mut carried = Patches::default();
            for s in 0..self.squares {
                let Some(maps) = self.nodes[id].maps(s, shape) else {
                    carried.patches.push(Patch::NONE);
                    continue;
                };
                let window = maps.window();
                let mut data = vec![0.0; shape.c * window.area()];
                overlay(self.cpu, self.clean.tensor(id).maps(), Some(maps), window.into(), &mut data);
                carried.patches.push(Patch { buffer: carried.buffers.len(), offset: 0, held: window, window });
                carried.buffers.push(data);
            }
            carried
        };
        (ids.iter().map(|&id| (id, alone(id))).collect(), self.activity.clone())
    }

    /// All numbers of node `id` at square `s`.
    pub(super) fn numbers(&self, id: NodeId, s: usize) -> Vec<f32> {
        let mut out = vec![0.0; self.clean.network().node(id).shape.len()];
        self.whole(self.clean.source(id), s, &mut out);
        out
    }

    /// The sum over the map that is watched, at square `s`.
    pub(super) fn activity(&self, s: usize) -> f32 {
        (self.clean.activity + self.activity[s]) as f32
    }

    /// Gives all memory back to the pool.
    pub(super) fn release(&mut self) {
        for patches in &mut self.nodes {
            patches.release(self.pool);
        }
    }

    fn finish(&mut self, id: NodeId, mut patches: Patches) {
        let clean = self.clean.tensor(id);
        for s in 0..self.squares {
            patches.trim(s, clean);
            if self.clean.watches(id) {
                let maps = patches.maps(s, clean.shape);
                self.activity[s] = maps.map_or(0.0, |maps| difference(&maps, clean, self.clean.channel));
            }
        }
        self.nodes[id] = patches;
    }

    fn shape(&self, id: NodeId) -> Shape {
        self.clean.network().node(id).shape
    }

    /// What differs at `id`, which is not another name, at square `s`.
    fn patch(&self, id: NodeId, s: usize) -> Option<Maps<'_>> {
        self.nodes[id].maps(s, self.shape(id))
    }

    fn window(&self, id: NodeId, s: usize) -> Window {
        self.nodes[id].patches[s].window
    }

    fn gather(&self, id: NodeId, s: usize, frame: Frame, out: &mut [f32]) {
        overlay(self.cpu, self.clean.tensor(id).maps(), self.patch(id, s), frame, out);
    }

    fn whole(&self, id: NodeId, s: usize, out: &mut [f32]) {
        self.gather(id, s, Window::full(self.shape(id).size()).into(), out);
    }

    /// What the outputs of `step` are at every square.
    fn step(&mut self, step: &Step) -> Result<Patches> {
        let network = self.clean.network();
        let node = network.node(step.node);
        let inputs: Vec<NodeId> = node.inputs.iter().map(|&i| self.clean.source(i)).collect();
        let shape = self.shape(step.output);
        match &node.layer {
            Layer::Conv2d { .. } => return self.convolve(step, inputs[0]),
            Layer::Linear { .. } => return super::columns::linear(self.clean, self.cpu, step, &self.nodes[inputs[0]]),
            _ => {}
        }
        let windows: Vec<Window> = (0..self.squares)
            .map(|s| {
                inputs.iter().map(|&i| changes(&node.layer, self.window(i, s), shape)).fold(NOTHING, Window::union)
            })
            .collect();
        let mut patches = Patches::default();
        let mut len = 0;
        for &held in &windows {
            patches.patches.push(Patch { buffer: 0, offset: len, held, window: held });
            len += shape.c * held.area();
        }
        if len == 0 {
            return Ok(patches);
        }
        let mut buffer = self.pool.take(len);
        for (s, &window) in windows.iter().enumerate().filter(|(_, w)| !w.is_empty()) {
            let start = patches.patches[s].offset;
            let out = &mut buffer[start..start + shape.c * window.area()];
            self.compute(step, &inputs, s, window, out)?;
        }
        patches.buffers.push(buffer);
        Ok(patches)
    }

    /// Computes `window` of the step's output at square `s` into `data`.
    fn compute(&mut self, step: &Step, inputs: &[NodeId], s: usize, window: Window, data: &mut [f32]) -> Result<()> {
        let clean = self.clean;
        let cpu = self.cpu;
        let network = clean.network();
        let layer = &network.node(step.node).layer;
        let shape = self.shape(step.output);
        let first = inputs[0];
        let source = self.shape(first);
        match layer {
            Layer::Input { .. } | Layer::Identity | Layer::Conv2d { .. } | Layer::Linear { .. } => {
                unreachable!("computed elsewhere")
            }
            Layer::MaxPool2d { .. } | Layer::AvgPool2d { .. } | Layer::ConvTranspose2d { .. } => {
                let reads = crate::receptive::reads(layer, window, source);
                let mut buffer = self.pool.take(source.c * reads.area());
                let part = &mut buffer[..source.c * reads.area()];
                self.gather(first, s, reads.into(), part);
                let input = Maps::windowed(part, 1, source.c, source.size(), reads);
                let out = MapsMut::windowed(data, 1, shape.c, shape.size(), window);
                match layer {
                    Layer::MaxPool2d { geometry, .. } => max_pool2d::max_pool2d(cpu, geometry, input, out, None),
                    Layer::AvgPool2d { geometry, count_include_pad, .. } => {
                        avg_pool2d::avg_pool2d(cpu, geometry, *count_include_pad, input, out);
                    }
                    _ => {
                        let conv = packed::conv(network, step.node);
                        let packed = clean.session.packed();
                        let (filters, bias) = (packed.conv_transpose2d(step.node, None)?, packed.bias(step.node)?);
                        conv_transpose2d::conv_transpose2d(cpu, &conv, filters, bias, input, out);
                    }
                }
                self.pool.give(buffer);
            }
            Layer::Affine { .. } => {
                let (scale, shift) = clean.session.packed().affine(step.node)?;
                let out = MapsMut::windowed(data, 1, shape.c, shape.size(), window);
                affine(cpu, scale, Some(shift), self.patch(first, s).expect("differs"), out);
            }
            Layer::Relu => self.pointwise(Pointwise::Relu, first, s, window, data),
            Layer::LeakyRelu { slope } => self.pointwise(Pointwise::LeakyRelu(*slope), first, s, window, data),
            Layer::Clip { min, max } => self.pointwise(Pointwise::Clip(*min, *max), first, s, window, data),
            Layer::Lrn { .. } => {
                let constants = packed::lrn(network, step.node);
                let out = MapsMut::windowed(data, 1, shape.c, shape.size(), window);
                lrn::lrn(cpu, &constants, self.patch(first, s).expect("differs"), out);
            }
            Layer::Pad { .. } => {
                let patch = self.patch(first, s).expect("differs");
                for c in 0..shape.c {
                    for (y, row) in
                        data[c * window.area()..].chunks_exact_mut(window.width()).take(window.height()).enumerate()
                    {
                        row.copy_from_slice(patch.row(0, c, patch.window().y0 + y));
                    }
                }
            }
            Layer::Concat => {
                let mut rest = data;
                for &input in inputs {
                    let (part, after) = rest.split_at_mut(self.shape(input).c * window.area());
                    self.gather(input, s, window.into(), part);
                    rest = after;
                }
            }
            Layer::Add => {
                self.gather(first, s, window.into(), data);
                let mut buffer = self.pool.take(data.len());
                for &input in &inputs[1..] {
                    let part = &mut buffer[..data.len()];
                    self.gather(input, s, window.into(), part);
                    let maps = |data| Maps::windowed(data, 1, shape.c, shape.size(), window);
                    add_assign(cpu, maps(part), MapsMut::windowed(data, 1, shape.c, shape.size(), window));
                }
                self.pool.give(buffer);
            }
            Layer::GlobalAvgPool => {
                data.copy_from_slice(&clean.tensor(step.output).data);
                if let Some(patch) = self.patch(first, s) {
                    let cells = source.size().iter().product::<usize>() as f64;
                    for (c, mean) in data.iter_mut().enumerate() {
                        *mean = (f64::from(*mean) + difference(&patch, clean.tensor(first), c) / cells) as f32;
                    }
                }
            }
            Layer::GlobalMaxPool => {
                let mut buffer = self.pool.take(source.len());
                let part = &mut buffer[..source.len()];
                self.whole(first, s, part);
                global_pool::global_max_pool(cpu, Maps::new(part, 1, source.c, source.size()), data, None);
                self.pool.give(buffer);
            }
            Layer::Flatten => self.whole(first, s, data),
            Layer::Softmax { flat } | Layer::LogSoftmax { flat } => {
                self.whole(first, s, data);
                normalise(cpu, layer, *flat, shape, data);
            }
        }
        Ok(())
    }

    fn pointwise(&self, f: Pointwise, input: NodeId, s: usize, window: Window, data: &mut [f32]) {
        let Shape { c, h, w } = self.shape(input);
        let patch = self.patch(input, s).expect("differs");
        if self.nodes[input].patches[s].held == window {
            // Without gaps, as vectors are: one long row.
            let row = [1, data.len()];
            let from = Maps::new(&patch.data()[..data.len()], 1, 1, row);
            return pointwise(self.cpu, f, from, MapsMut::new(data, 1, 1, row));
        }
        pointwise(self.cpu, f, patch, MapsMut::windowed(data, 1, c, [h, w], window));
    }
}

/// The outputs of a layer, of `shape`, that a change in `window` of an input can reach.
pub(super) fn changes(layer: &Layer, window: Window, shape: Shape) -> Window {
    if window.is_empty() {
        return NOTHING;
    }
    match layer {
        Layer::Conv2d { geometry, .. } | Layer::MaxPool2d { geometry, .. } | Layer::AvgPool2d { geometry, .. } => {
            geometry.output_window(window, shape.size())
        }
        Layer::ConvTranspose2d { geometry, .. } => geometry.input_window(window, shape.size()),
        Layer::Pad { pads: [top, left, ..], .. } => {
            Window { y0: window.y0 + top, x0: window.x0 + left, y1: window.y1 + top, x1: window.x1 + left }
        }
        Layer::Affine { .. }
        | Layer::Relu
        | Layer::LeakyRelu { .. }
        | Layer::Clip { .. }
        | Layer::Lrn { .. }
        | Layer::Identity
        | Layer::Concat
        | Layer::Add => window,
        Layer::Input { .. }
        | Layer::Linear { .. }
        | Layer::GlobalAvgPool
        | Layer::GlobalMaxPool
        | Layer::Flatten
        | Layer::Softmax { .. }
        | Layer::LogSoftmax { .. } => Window::full(shape.size()),
    }
}

/// Σ (changed − clean) over channel `c`.
fn difference(patch: &Maps<'_>, clean: &Tensor, c: usize) -> f64 {
    let w = patch.window();
    let clean = clean.maps();
    // Chains side by side: one alone waits for each of its sums.
    let mut sums = [0.0; 8];
    for y in w.y0..w.y1 {
        let (new, old) = (patch.row(0, c, y), &clean.row(0, c, y)[w.x0..w.x1]);
        for (new, old) in new.chunks(sums.len()).zip(old.chunks(sums.len())) {
            for ((sum, new), old) in sums.iter_mut().zip(new).zip(old) {
                *sum += f64::from(*new) - f64::from(*old);
            }
        }
    }
    sums.iter().sum()
}
