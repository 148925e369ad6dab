//! Deconvnet projection (Zeiler & Fergus 2013, section 2.1): from one unit back to the pixels, through the switches.

use serde::{Deserialize, Serialize};
use switchback_kernels::Window;

use crate::error::Result;
use crate::network::{Network, NodeId};
use crate::session::Session;
use crate::tensor::Tensor;
use crate::trace::{Keep, Trace};

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

/// What a run must keep so that `layer` can be projected under `settings`.
pub fn keep(_network: &Network, _layer: NodeId, _settings: &Settings) -> Keep {
    todo!()
}

/// Walks back from `seed` of `layer`, for picture `n` of the trace.
pub fn project(
    _session: &Session,
    _trace: &Trace,
    _n: usize,
    _layer: NodeId,
    _seed: Seed,
    _settings: &Settings,
) -> Result<Projection> {
    todo!()
}

/// The strongest place of a map `[y, x]` and its activation; the first of equals.
pub fn strongest_place(_map: &[f32], _width: usize) -> ([usize; 2], f32) {
    todo!()
}

/// The `k` strongest places of one map, strongest first.
pub fn top_places(_map: &[f32], _width: usize, _k: usize) -> Vec<([usize; 2], f32)> {
    todo!()
}

/// The `k` channels with the strongest activations, strongest first, each with its strongest place.
pub fn top_channels(_maps: &Tensor, _n: usize, _k: usize) -> Vec<(usize, [usize; 2], f32)> {
    todo!()
}
