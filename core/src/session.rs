//! A model made ready to run on one machine: packed weights (lazily), a plan a run, threads and a level.

pub(crate) mod packed;
mod prepare;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use switchback_kernels::aligned::AlignedBuf;
use switchback_kernels::{Cpu, Dtype, softmax};

use crate::error::{Error, Result};
use crate::forward;
use crate::model::Model;
use crate::network::{Layer, Network, NodeId};
use crate::observe::Observer;
use crate::plan::Plan;
use crate::plan::algorithm::{self, Tiles};
use crate::pool::Pool;
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

/// Bytes that a run takes beside the model file and the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// The arena: the activations that nobody keeps, each in the place of others before and after it.
    pub activations: u64,
    /// Tensors and switches that the caller keeps.
    pub kept: u64,
    /// Packed filters of convolutions.
    pub filters: u64,
    /// Linear weights as halves, beside those of the file.
    pub halves: u64,
}

impl MemoryUse {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.activations + self.kept + self.filters + self.halves
    }
}

/// Numbers in buffers that wait for the next walk: 32 MiB.
const KEPT: usize = (32 << 20) / size_of::<f32>();

/// A model ready to run. Shared freely between threads.
pub struct Session {
    model: Arc<Model>,
    cpu: Cpu,
    options: Options,
    /// Which convolutions may run as Winograd's.
    tiles: Tiles,
    /// The same where many little windows run together, whose tiles share what the filters cost.
    together: Tiles,
    packed: Packed,
    /// One for each run at a time; the next run of the same size finds it ready.
    arenas: Mutex<Vec<AlignedBuf>>,
    /// One for each walk back at a time, likewise.
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
        let [tiles, together] = algorithm::choose(&model, &cpu, options.algorithm, usize::MAX);
        let (arenas, pools) = (Mutex::default(), Mutex::default());
        let mut session = Self { model, cpu, options, tiles, together, packed, arenas, pools };
        session.make_room();
        Ok(session)
    }

    /// Gives up transformed filters that nobody asked for where they would leave no room for a run of one picture that keeps its
    /// last maps, as for occlusion.
    fn make_room(&mut self) {
        let (Some(limit), Algorithm::Auto) = (self.options.max_memory, self.options.algorithm) else { return };
        let maps: Vec<NodeId> = self.network().last_spatial().into_iter().collect();
        // Where windows run together, no fewer are transformed.
        let keep = Keep { plain: true, ..self.keep_scores().and(&Keep::nodes(self.network(), &maps)) };
        loop {
            let over = self.memory(&keep, 1).saturating_sub(limit);
            let used = algorithm::transformed(self.network(), &self.together);
            if over == 0 || used == 0 {
                return;
            }
            let room = usize::try_from(over).map_or(0, |over| used.saturating_sub(over));
            [self.tiles, self.together] = algorithm::choose(&self.model, &self.cpu, Algorithm::Auto, room);
        }
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

    /// How convolutions run.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.options.algorithm
    }

    /// What linear layers run from.
    pub fn weights(&self) -> LinearWeights {
        self.options.weights
    }

    /// The steps of a run that keeps `keep`.
    pub(crate) fn plan(&self, keep: &Keep) -> Plan {
        Plan::new(self.network(), keep, if keep.plain { &self.together } else { &self.tiles })
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
            let need = self.plan_memory(&plan, keep, input.batch).total();
            if need > limit {
                return Err(Error::Memory { what: format!("a run of {} picture(s)", input.batch), need, limit });
            }
        }
        let mut arena = self.arena(input.batch * plan.arena);
        let trace = self.cpu.threads.inside(|| forward::run(self, input, keep, &plan, &mut arena, observer));
        self.arenas.lock().unwrap_or_else(PoisonError::into_inner).push(arena);
        trace.map_err(|e| e.in_model(&self.model.path))
    }

    /// At least `len` numbers; one that an earlier run left, unless that is too small or far too large.
    fn arena(&self, len: usize) -> AlignedBuf {
        let left = self.arenas.lock().unwrap_or_else(PoisonError::into_inner).pop();
        left.filter(|arena| (len..=len.saturating_mul(4)).contains(&arena.len()))
            .unwrap_or_else(|| AlignedBuf::zeroed(len))
    }

    /// `f` with buffers that earlier walks left, of which no more than 32 MiB wait for the next.
    pub(crate) fn with_pool<R>(&self, f: impl FnOnce(&mut Pool) -> R) -> R {
        let lock = || self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pool = lock().pop().unwrap_or_default();
        let result = f(&mut pool);
        pool.trim(KEPT);
        lock().push(pool);
        result
    }

    /// Such buffers for a run of many walks: they go back by [`Session::give_pools`].
    pub(crate) fn take_pools(&self) -> Vec<Pool> {
        std::mem::take(&mut self.pools.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// No more of them waits for the next than [`Session::with_pool`] leaves.
    pub(crate) fn give_pools(&self, mut pools: Vec<Pool>) {
        let each = KEPT / pools.len().max(1);
        pools.iter_mut().for_each(|pool| pool.trim(each));
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).append(&mut pools);
    }

    /// Estimate of the bytes that running `batch` pictures as far as `keep` asks takes beside the model file and the
    /// input.
    pub fn memory(&self, keep: &Keep, batch: usize) -> u64 {
        self.memory_use(keep, batch).total()
    }

    /// What [`Session::memory`] is made of.
    pub fn memory_use(&self, keep: &Keep, batch: usize) -> MemoryUse {
        self.plan_memory(&self.plan(keep), keep, batch)
    }

    fn plan_memory(&self, plan: &Plan, keep: &Keep, batch: usize) -> MemoryUse {
        let network = self.network();
        let (mut filters, mut halves) = (0, 0);
        for step in &plan.steps {
            match network.node(step.node).layer {
                Layer::Conv2d { weight, .. } | Layer::ConvTranspose2d { weight, .. } => {
                    let packed = self.packed.view(weight).len() * size_of::<f32>();
                    let transformed =
                        |tile| switchback_kernels::winograd::bytes(&packed::conv(network, step.node), tile);
                    filters += step.tile.map_or(packed, transformed);
                }
                Layer::Linear { weight, .. } if self.packed.halves(weight) => {
                    halves += self.packed.view(weight).len() * Dtype::F16.size();
                }
                _ => {}
            }
        }
        MemoryUse {
            activations: (batch * plan.arena * size_of::<f32>()) as u64,
            kept: (batch * (plan.kept() * size_of::<f32>() + forward::switch_bytes(network, keep))) as u64,
            filters: filters as u64,
            halves: halves as u64,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::{Name, build};
    use crate::tensor::Shape;

    fn picture(shape: Shape, batch: usize, seed: usize) -> Tensor {
        let data = (0..batch * shape.len()).map(|i| ((i * 37 + seed) % 255) as f32 / 127.0 - 1.0).collect();
        Tensor { batch, shape, data }
    }

    #[test]
    fn what_an_arena_held_before_changes_nothing() {
        for name in [Name::GoogLeNet, Name::ResNet18] {
            let session = Session::new(Arc::new(build(name, 1)), Cpu::new(2), None).unwrap();
            let keep = session.keep_scores();
            let scores = |batch: usize, seed: usize| {
                let trace = session.run(&picture(session.network().input_shape(), batch, seed), &keep).unwrap();
                trace.tensor(session.network().scores()).unwrap().data.clone()
            };
            let want = scores(1, 1);
            assert_ne!(scores(2, 5), want);
            // A step that read what no step of this run wrote would find NaN.
            session.arenas.lock().unwrap().iter_mut().for_each(|arena| arena.fill(f32::NAN));
            assert_eq!(scores(1, 1), want, "{name:?}");
            let held: Vec<_> = session.arenas.lock().unwrap().iter().map(|arena| arena.as_ptr()).collect();
            assert_eq!(scores(1, 1), want, "{name:?}");
            let again: Vec<_> = session.arenas.lock().unwrap().iter().map(|arena| arena.as_ptr()).collect();
            assert_eq!(held, again, "{name:?}: the arena is used again");
        }
    }

    #[test]
    fn the_arena_is_as_large_as_what_lives_at_one_time() {
        let squeeze = Session::new(Arc::new(build(Name::SqueezeNet11, 1)), Cpu::new(1), None).unwrap();
        let used = |batch| squeeze.memory_use(&squeeze.keep_scores(), batch);
        // At least two squeezed and expanded maps of 55 × 55, at most the first convolution and its pool.
        let (least, most) = (4 * (128 + 16) * 55 * 55, 4 * 64 * (111 * 111 + 55 * 55));
        assert!((least..=most).contains(&used(1).activations), "{:?}", used(1));
        assert_eq!((used(3).activations, used(3).filters), (3 * used(1).activations, used(1).filters));
        assert_eq!(used(1).kept, 4 * 1000, "the scores alone: this network has no softmax");
        // Everything kept: nothing is left for the arena.
        let everything: Vec<NodeId> = (0..squeeze.network().nodes().len()).collect();
        let used = squeeze.memory_use(&Keep::nodes(squeeze.network(), &everything), 1);
        assert_eq!(used.activations, 0);
    }
}
