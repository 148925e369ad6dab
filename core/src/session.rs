//! A model made ready to run on one machine: packed weights (lazily), a plan a run, threads and a level.

pub(crate) mod packed;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use switchback_kernels::{Cpu, Dtype, softmax};

use crate::error::{Error, Result};
use crate::forward::{self, Pool};
use crate::model::Model;
use crate::network::{Layer, Network, NodeId};
use crate::observe::Observer;
use crate::plan::Plan;
use crate::plan::algorithm::{self, Tiles};
use crate::tensor::Tensor;
use crate::trace::{Keep, Trace};
use packed::Packed;

pub use crate::plan::algorithm::Algorithm;

/// How a session runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Refuse runs that need more bytes.
    pub max_memory: Option<u64>,
    /// How convolutions run where nothing but scores is asked for.
    pub algorithm: Algorithm,
    /// What linear layers run from.
    pub weights: LinearWeights,
}

/// What linear layers run from. They are bound by the memory that their weights are read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinearWeights {
    /// The weights as they lie in the file.
    #[default]
    File,
    /// Half floats: those of the file, or the nearest to its f32, made when they are first needed.
    F16,
}

/// A model ready to run. Shared freely between threads.
pub struct Session {
    model: Arc<Model>,
    cpu: Cpu,
    options: Options,
    /// Which convolutions may run as Winograd's.
    tiles: Tiles,
    packed: Packed,
    pools: Mutex<Vec<Pool>>,
}

impl Session {
    /// With default options but for `max_memory`, in bytes. Nothing is read or packed before the first run needs it.
    ///
    /// # Errors
    /// `Error::Model` where weights are missing or have other sizes than their layers need.
    pub fn new(model: Arc<Model>, cpu: Cpu, max_memory: Option<u64>) -> Result<Self> {
        Self::with(model, cpu, Options { max_memory, ..Options::default() })
    }

    /// With these options.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn with(model: Arc<Model>, cpu: Cpu, options: Options) -> Result<Self> {
        packed::check_sizes(&model).map_err(|e| e.in_model(&model.path))?;
        let packed = Packed::new(Arc::clone(&model), cpu.clone(), options.weights == LinearWeights::F16);
        let tiles = algorithm::choose(&model, &cpu, options.algorithm);
        Ok(Self { model, cpu, options, tiles, packed, pools: Mutex::default() })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The model's network.
    pub fn network(&self) -> &Network {
        &self.model.network
    }

    /// Level and threads.
    pub fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// The limit that runs must stay within, in bytes.
    pub fn max_memory(&self) -> Option<u64> {
        self.options.max_memory
    }

    /// What linear layers run from.
    pub fn weights(&self) -> LinearWeights {
        self.options.weights
    }

    /// The steps of a run that keeps `keep`.
    pub(crate) fn plan(&self, keep: &Keep) -> Plan {
        Plan::new(self.network(), keep, &self.tiles)
    }

    pub(crate) fn packed(&self) -> &Packed {
        &self.packed
    }

    /// Runs `input` (any batch) as far as `keep` asks.
    ///
    /// # Errors
    /// `Error::Input` for another shape; `Error::Memory` before anything is computed; `Error::Model`,
    /// `Error::Invalid` where weights, activations or the input are not finite.
    pub fn run(&self, input: &Tensor, keep: &Keep) -> Result<Trace> {
        self.run_with(input, keep, None)
    }

    /// The same; `observer` hears of every step and how long it took.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_observed(&self, input: &Tensor, keep: &Keep, observer: &mut Observer<'_>) -> Result<Trace> {
        self.run_with(input, keep, Some(observer))
    }

    fn run_with(&self, input: &Tensor, keep: &Keep, observer: Option<&mut Observer<'_>>) -> Result<Trace> {
        let shape = self.network().input_shape();
        let fits = input.shape == shape && input.batch > 0 && input.data.len() == input.batch * shape.len();
        if !fits {
            let found = format!("{} × {} with {} numbers", input.batch, input.shape, input.data.len());
            return Err(Error::Input { input: "input".into(), expected: shape, found });
        }
        let plan = self.plan(keep);
        if let Some(limit) = self.options.max_memory {
            let need = self.bytes(&plan, keep, input.batch);
            if need > limit {
                return Err(Error::Memory { what: format!("a run of {} picture(s)", input.batch), need, limit });
            }
        }
        let mut pool = self.pools.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let trace = self.cpu.threads.inside(|| forward::run(self, input, keep, &plan, &mut pool, observer));
        let trace = trace.map_err(|e| e.in_model(&self.model.path))?;
        pool.end();
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(pool);
        Ok(trace)
    }

    /// Estimate of the bytes that running `batch` pictures as far as `keep` asks takes beside the model file and the
    /// input: packed filters, linear weights as halves, the most activations that live at one time, and kept switches.
    pub fn memory(&self, keep: &Keep, batch: usize) -> u64 {
        self.bytes(&self.plan(keep), keep, batch)
    }

    fn bytes(&self, plan: &Plan, keep: &Keep, batch: usize) -> u64 {
        let network = self.network();
        let filters: usize = plan
            .steps
            .iter()
            .filter_map(|s| match network.node(s.node).layer {
                Layer::Conv2d { weight, .. } | Layer::ConvTranspose2d { weight, .. } => {
                    let packed = self.packed.view(weight).len() * size_of::<f32>();
                    Some(s.tile.map_or(packed, |tile| packed / 9 * tile.alpha() * tile.alpha()))
                }
                Layer::Linear { weight, .. } if self.packed.halves(weight) => {
                    Some(self.packed.view(weight).len() * Dtype::F16.size())
                }
                _ => None,
            })
            .sum();
        let picture = plan.peak() * size_of::<f32>() + forward::switch_bytes(network, keep);
        (filters + batch * picture) as u64
    }

    /// What a run must keep for [`Session::scores`]: the scores, and what the network's own softmax makes of them.
    pub fn keep_scores(&self) -> Keep {
        let nodes: Vec<NodeId> =
            [Some(self.network().scores()), self.network().softmax()].into_iter().flatten().collect();
        Keep::nodes(self.network(), &nodes)
    }

    /// Class scores and probabilities of every picture of `input`, `[batch][class]` each: the network's own softmax,
    /// or ours over its scores when it has none.
    pub fn classify(&self, input: &Tensor) -> Result<Scores> {
        Ok(self.scores(&self.run(input, &self.keep_scores())?))
    }

    /// The same from a trace that holds at least [`Session::keep_scores`]; panics if it does not.
    pub fn scores(&self, trace: &Trace) -> Scores {
        let of = |id: NodeId| trace.tensor(id).expect("the run kept scores and probabilities");
        let rows = |t: &Tensor| (0..t.batch).map(|n| t.picture(n).to_vec()).collect::<Vec<_>>();
        let scores = rows(of(self.network().scores()));
        let softmax = self.network().softmax().map(of);
        let after = |n: usize| softmax.map(|t| t.picture(n));
        let probabilities = scores.iter().enumerate().map(|(n, row)| self.probabilities(row, after(n))).collect();
        Scores { scores, probabilities }
    }

    /// Probabilities from the scores and what the network's own softmax, if it has one, made of them.
    pub(crate) fn probabilities(&self, scores: &[f32], softmax: Option<&[f32]>) -> Vec<f32> {
        let mut row = softmax.unwrap_or(scores).to_vec();
        match self.network().softmax().map(|id| &self.network().node(id).layer) {
            Some(Layer::LogSoftmax { .. }) => row.iter_mut().for_each(|p| *p = p.exp()),
            Some(_) => {}
            None => {
                let len = row.len();
                softmax::softmax(&self.cpu, &mut row, len, 1);
            }
        }
        row
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.model.path;
        f.debug_struct("Session").field("model", name).field("cpu", &self.cpu).field("options", &self.options).finish()
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
