//! Deconvnet projection (Zeiler & Fergus 2013, section 2.1): from one unit back to the pixels, through the switches.
//!
//! ```text
//! seed at a layer ─▶ its rule ─▶ signals of its inputs ─▶ … ─▶ pixels
//!                                consumers' signals add up before a node's own rule
//! ```
//! Three rules share the walk and differ at rectifiers only. Signals are windows: nothing outside the receptive field
//! is ever allocated above the pixels.

mod signal;
mod walk;

use serde::{Deserialize, Serialize};
use switchback_kernels::{Cpu, Window};

use crate::error::{Error, Result};
use crate::network::{Layer, Network, NodeId};
use crate::receptive;
use crate::session::Session;
use crate::tensor::Tensor;
use crate::trace::{Keep, Trace};
use walk::Walk;

/// What happens to the signal at a ReLU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Keeps the positive part of the signal (Zeiler & Fergus 2013).
    #[default]
    Deconv,
    /// Gates by the forward sign (Simonyan et al. 2013): the true gradient.
    Gradient,
    /// Both (Springenberg et al. 2014).
    Guided,
}

/// What happens at local response normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LrnRule {
    /// The signal passes: the paper's path has no normalisation.
    Identity,
    /// The true Jacobian.
    Jacobian,
}

/// How to walk back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Settings {
    /// At ReLUs.
    pub rule: Rule,
    /// At LRN; by default identity for `deconv`, the Jacobian for the others.
    pub lrn: Option<LrnRule>,
    /// Seed 1 instead of the activation.
    pub seed_one: bool,
}

/// Where the signal starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seed {
    /// One unit of the layer.
    Unit {
        /// Which map.
        channel: usize,
        /// `[y, x]`
        at: [usize; 2],
    },
    /// A whole feature map.
    Map {
        /// Which map.
        channel: usize,
    },
}

/// A projection in the network's own input space and channel order, not rescaled.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// The layer it starts from.
    pub layer: NodeId,
    /// Where it starts.
    pub seed: Seed,
    /// The unit's activation; for a whole map the largest.
    pub activation: f32,
    /// The receptive field, clipped to the input; zero outside it.
    pub window: Window,
    /// `(C, H, W)` of the input.
    pub tensor: Tensor,
}

impl Settings {
    fn lrn(&self) -> LrnRule {
        self.lrn.unwrap_or(if self.rule == Rule::Deconv { LrnRule::Identity } else { LrnRule::Jacobian })
    }

    /// The node whose tensor says where the forward pass of rectifier `id` let values through, where the rule asks.
    fn gate(&self, network: &Network, id: NodeId) -> Option<NodeId> {
        match network.node(id).layer {
            _ if self.rule == Rule::Deconv => None,
            Layer::Relu | Layer::Clip { .. } => Some(id),
            // A negative slope makes the output positive on both sides.
            Layer::LeakyRelu { slope } if slope < 0.0 => Some(network.node(id).inputs[0]),
            Layer::LeakyRelu { .. } => Some(id),
            _ => None,
        }
    }
}

/// What a run must keep so that `layer` can be projected under `settings`: the layer itself, the switches of the pools
/// below it, and what the rule looks at.
pub fn keep(network: &Network, layer: NodeId, settings: &Settings) -> Keep {
    let mut keep = Keep::nodes(network, &[layer]);
    let needed = network.ancestors(layer);
    for id in (0..=layer).filter(|&id| needed[id]) {
        match network.node(id).layer {
            Layer::MaxPool2d { .. } | Layer::GlobalMaxPool => keep.switches[id] = true,
            Layer::Lrn { .. } if settings.lrn() == LrnRule::Jacobian => {
                keep.tensors[network.node(id).inputs[0]] = true;
            }
            _ => {
                if let Some(gate) = settings.gate(network, id) {
                    keep.tensors[gate] = true;
                }
            }
        }
    }
    keep
}

/// The softmax at or below `layer`: what it would be walked back through, and cannot.
pub fn softmax_below(network: &Network, layer: NodeId) -> Option<NodeId> {
    let needed = network.ancestors(layer);
    let softmax = |id: &NodeId| matches!(network.node(*id).layer, Layer::Softmax { .. } | Layer::LogSoftmax { .. });
    (0..=layer).filter(|&id| needed[id]).find(softmax)
}

/// Walks back from `seed` of `layer`, for picture `n` of the trace, which must hold what [`keep`] asks for.
///
/// # Errors
/// [`Error::Range`] for a channel or place beyond the layer's; [`Error::Invalid`] for a layer at or above the softmax.
pub fn project(
    session: &Session,
    trace: &Trace,
    n: usize,
    layer: NodeId,
    seed: Seed,
    settings: &Settings,
) -> Result<Projection> {
    let extent = Extent::Field;
    project_on(&Walk { cpu: session.cpu(), session, trace, n, settings, extent }, layer, seed)
}

/// [`project`] over whole maps, as if every unit of every layer could matter: the oracle of tests and benches, and what
/// the windows save.
///
/// # Errors
/// As [`project`].
pub fn project_whole(
    session: &Session,
    trace: &Trace,
    n: usize,
    layer: NodeId,
    seed: Seed,
    settings: &Settings,
) -> Result<Projection> {
    let extent = Extent::Whole;
    project_on(&Walk { cpu: session.cpu(), session, trace, n, settings, extent }, layer, seed)
}

/// [`project`] for several seeds of one trace, side by side on the session's threads; the same bits as one by one.
///
/// # Errors
/// As [`project`], for the first seed that fails.
pub fn project_many(
    session: &Session,
    trace: &Trace,
    n: usize,
    layer: NodeId,
    seeds: &[Seed],
    settings: &Settings,
) -> Result<Vec<Projection>> {
    if let [seed] = *seeds {
        return Ok(vec![project(session, trace, n, layer, seed, settings)?]);
    }
    let single = Cpu::single(session.cpu().level);
    let walk = Walk { cpu: &single, session, trace, n, settings, extent: Extent::Field };
    session.cpu().threads.map(seeds.to_vec(), |seed| project_on(&walk, layer, seed)).into_iter().collect()
}

/// How much of each map a walk touches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// What the seed can reach.
    Field,
    /// All of it.
    Whole,
}

fn project_on(walk: &Walk<'_>, layer: NodeId, seed: Seed) -> Result<Projection> {
    let network = walk.session.network();
    let node = network.node(layer);
    if let Some(id) = softmax_below(network, layer) {
        return Err(Error::Invalid(format!(
            "layer \"{}\" is not below the softmax \"{}\": project the class score before it with --class",
            node.name,
            network.node(id).name
        )));
    }
    let maps = walk.trace.tensor(layer).expect("the run kept the layer that is projected");
    let (shape, of) = (node.shape, || format!("layer \"{}\"", node.name));
    let range = |what, value: String, count: usize, unit: &str| Error::Range {
        what,
        value,
        of: of(),
        limit: format!("{count} {unit} (0–{})", count - 1),
    };
    let (Seed::Unit { channel, .. } | Seed::Map { channel }) = seed;
    if channel >= shape.c {
        return Err(range("channel", channel.to_string(), shape.c, "channels"));
    }
    let map = maps.channel(walk.n, channel);
    let (window, mut values) = match seed {
        Seed::Unit { at: [y, x], .. } => {
            if y >= shape.h {
                return Err(range("row", y.to_string(), shape.h, "rows"));
            }
            if x >= shape.w {
                return Err(range("column", x.to_string(), shape.w, "columns"));
            }
            (Window::cell([y, x]), vec![map[y * shape.w + x]])
        }
        Seed::Map { .. } => (Window::full(shape.size()), map.to_vec()),
    };
    let activation = match seed {
        Seed::Unit { .. } => values[0],
        Seed::Map { .. } => strongest_place(map, shape.w).1,
    };
    if walk.settings.seed_one {
        values.fill(1.0);
    }
    let field = receptive::windows(network, layer, window);
    let all: Vec<Window> = match walk.extent {
        Extent::Field => field.clone(),
        Extent::Whole => network.nodes().iter().map(|node| Window::full(node.shape.size())).collect(),
    };
    let tensor = walk.cpu.threads.inside(|| walk.run(layer, channel, (window, &values), &all))?;
    let window = field[0];
    Ok(Projection { layer, seed, activation, window, tensor })
}

/// The strongest place of a map `[y, x]` and its activation; the first of equals, NaN only where there is nothing else.
pub fn strongest_place(map: &[f32], width: usize) -> ([usize; 2], f32) {
    top_places(map, width, 1)[0]
}

/// The `k` strongest places of one map, strongest first, the first of equals before the others.
pub fn top_places(map: &[f32], width: usize, k: usize) -> Vec<([usize; 2], f32)> {
    let mut order: Vec<usize> = (0..map.len()).collect();
    let k = k.min(order.len());
    if k == 0 {
        return Vec::new();
    }
    let stronger = |&a: &usize, &b: &usize| strength(map[b]).total_cmp(&strength(map[a])).then(a.cmp(&b));
    order.select_nth_unstable_by(k - 1, stronger);
    order.truncate(k);
    order.sort_unstable_by(stronger);
    order.into_iter().map(|i| ([i / width, i % width], map[i])).collect()
}

/// The `k` channels of picture `n` with the strongest activations, strongest first, each with its strongest place.
pub fn top_channels(maps: &Tensor, n: usize, k: usize) -> Vec<(usize, [usize; 2], f32)> {
    let strongest = |c| strongest_place(maps.channel(n, c), maps.shape.w);
    let best: Vec<_> = (0..maps.shape.c).map(strongest).collect();
    let activations: Vec<f32> = best.iter().map(|b| b.1).collect();
    top_places(&activations, activations.len(), k).into_iter().map(|([_, c], a)| (c, best[c].0, a)).collect()
}

/// NaN below everything, zeros of both signs equal.
fn strength(x: f32) -> f32 {
    if x.is_nan() { f32::NEG_INFINITY } else { x + 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Shape;

    #[test]
    fn the_first_of_equals_is_the_strongest() {
        let map = [f32::NAN, -0.0, 3.0, 0.0, 3.0, 1.0];
        assert_eq!(strongest_place(&map, 3), ([0, 2], 3.0));
        let places: Vec<_> = top_places(&map, 3, 4).into_iter().map(|p| p.0).collect();
        assert_eq!(places, [[0, 2], [1, 1], [1, 2], [0, 1]]);
        assert_eq!(top_places(&map, 3, 99).len(), 6);
        let maps = Tensor::single(Shape::new(3, 1, 2), vec![1.0, 2.0, 5.0, 5.0, 2.0, 0.0]);
        assert_eq!(top_channels(&maps, 0, 2), [(1, [0, 0], 5.0), (0, [0, 1], 2.0)]);
    }
}
