//! Occlusion sensitivity (Zeiler & Fergus 2013, section 4.2): a square slides over the input, and for each place we
//! note the class probability, the most probable label and the activity of one feature map.

use std::ops::ControlFlow;

use crate::error::Result;
use crate::network::NodeId;
use crate::progress::Progress;
use crate::session::Session;
use crate::tensor::Tensor;

/// What the square is filled with, in the network's input space.
#[derive(Clone, Debug, PartialEq)]
pub enum Fill {
    /// One number a channel.
    Constant(Vec<f32>),
    /// Uniform between two numbers a channel, the same noise at every position.
    Noise {
        /// Lower bound a channel.
        low: Vec<f32>,
        /// Upper bound a channel.
        high: Vec<f32>,
        /// Of the generator.
        seed: u64,
    },
}

/// What to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Side of the square in input pixels.
    pub size: usize,
    /// Steps in input pixels.
    pub stride: usize,
    /// What is in the square.
    pub fill: Fill,
    /// Whose probability is mapped; several share one sweep. Empty: the picture's most probable class.
    pub classes: Vec<usize>,
    /// Whose activity is mapped; default [`Network::last_spatial`](crate::Network::last_spatial).
    pub layer: Option<NodeId>,
    /// Which map; default the one with the largest sum on the whole picture.
    pub channel: Option<usize>,
}

/// The maps of one sweep: row i, column j is the square with its top left corner at (i·stride, j·stride).
#[derive(Clone, Debug, PartialEq)]
pub struct Heatmap {
    /// Positions down.
    pub rows: usize,
    /// Positions across.
    pub columns: usize,
    /// As asked for, or found.
    pub classes: Vec<usize>,
    /// Whose activity.
    pub layer: NodeId,
    /// Which map.
    pub channel: usize,
    /// `[class][row · columns + column]`
    pub probability: Vec<Vec<f32>>,
    /// The most probable class at each position.
    pub label: Vec<usize>,
    /// The sum over the map at each position.
    pub activity: Vec<f32>,
    /// Without a square: probability a class.
    pub baseline_probability: Vec<f32>,
    /// Without a square: the most probable class.
    pub baseline_label: usize,
    /// Without a square: the sum over the map.
    pub baseline_activity: f32,
}

/// Default side of the square: round(side / 7) of the shorter input side, 32 at 224.
pub fn default_size(side: usize) -> usize {
    ((side as f64 / 7.0).round() as usize).max(1)
}

/// Default stride: round(side / 28) of the shorter input side, 8 at 224.
pub fn default_stride(side: usize) -> usize {
    ((side as f64 / 28.0).round() as usize).max(1)
}

/// Sweeps the square over picture 0 of `input`. `progress` may cancel.
pub fn occlude(
    _session: &Session,
    _input: &Tensor,
    _settings: &Settings,
    _progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Heatmap> {
    todo!()
}
