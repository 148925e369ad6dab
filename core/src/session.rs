//! A model made ready to run on one machine: packed weights (lazily), a plan, threads and a level.

use std::sync::Arc;

use switchback_kernels::Cpu;

use crate::error::Result;
use crate::model::Model;
use crate::tensor::Tensor;
use crate::trace::{Keep, Trace};

/// A model ready to run. Shared freely between threads.
#[derive(Debug)]
pub struct Session {
    model: Arc<Model>,
    cpu: Cpu,
}

impl Session {
    /// Nothing is read or packed before the first run needs it. `max_memory` in bytes.
    pub fn new(model: Arc<Model>, cpu: Cpu, _max_memory: Option<u64>) -> Result<Self> {
        Ok(Self { model, cpu })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Level and threads.
    pub fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// Runs `input` (any batch) as far as `keep` asks.
    ///
    /// # Errors
    /// `Error::Input` for another shape; `Error::NonFinite`, `Error::Overflow` where weights or activations are not finite.
    pub fn run(&self, _input: &Tensor, _keep: &Keep) -> Result<Trace> {
        todo!()
    }

    /// Class scores and probabilities of every picture of `input`, `[batch][class]` each: the network's own softmax,
    /// or ours over its scores when it has none.
    pub fn classify(&self, _input: &Tensor) -> Result<Scores> {
        todo!()
    }
}

/// Scores before the softmax and probabilities after it, `[batch][class]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Before the softmax.
    pub scores: Vec<Vec<f32>>,
    /// After it.
    pub probabilities: Vec<Vec<f32>>,
}
