//! Full passes over occluded pictures: the oracle of the windows, and the way out where there is little memory.

use super::occluder::Occluder;
use super::{Answer, sum};
use crate::error::Result;
use crate::network::NodeId;
use crate::session::Session;
use crate::tensor::Tensor;
use crate::trace::Keep;

/// What full passes need to know.
#[derive(Clone, Copy)]
pub(super) struct Whole<'a> {
    pub(super) session: &'a Session,
    /// Without a square.
    pub(super) picture: &'a Tensor,
    /// The scores and the map that is watched.
    pub(super) keep: &'a Keep,
    /// What is laid over it.
    pub(super) occluder: &'a Occluder,
    pub(super) layer: NodeId,
    pub(super) channel: usize,
}

impl Whole<'_> {
    /// One pass for all squares with their top left corners at `corners`.
    pub(super) fn answers(&self, corners: &[[usize; 2]]) -> Result<Vec<Answer>> {
        let batch = corners.len();
        let mut occluded = Tensor { batch, shape: self.picture.shape, data: self.picture.data.repeat(batch) };
        for (n, &at) in corners.iter().enumerate() {
            self.occluder.paint(&mut occluded, n, self.picture, at);
        }
        let trace = self.session.run(&occluded, self.keep)?;
        let maps = trace.tensor(self.layer).expect("kept");
        let probabilities = self.session.scores(&trace).probabilities.into_iter().enumerate();
        Ok(probabilities
            .map(|(n, p)| Answer { probabilities: p, activity: sum(maps.channel(n, self.channel)) })
            .collect())
    }

    /// Pictures that run together: enough to keep matrix products wide, few enough for the memory that is allowed and
    /// for a cancel to be heard soon.
    pub(super) fn batch(&self) -> usize {
        const MOST: usize = 16;
        let fits = |n: &usize| self.session.max_memory().is_none_or(|m| self.session.memory(self.keep, *n) <= m);
        (1..=MOST).rev().find(fits).unwrap_or(1)
    }
}
