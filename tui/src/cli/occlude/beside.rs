//! `--beside`: what the watched map projects from other pictures, each read and run once however many maps are made.

use std::path::PathBuf;

use switchback_core::NodeId;
use switchback_core::occlusion::Heatmap;
use switchback_core::projection::{self, Projection, Seed, Settings};
use switchback_core::session::Session;
use switchback_core::trace::Trace;

use crate::cli::context::Context;
use crate::cli::input::{self, Loaded, Source};
use crate::cli::model::Opened;

/// The other pictures.
pub(super) struct Beside {
    sources: Vec<Source>,
    /// Filled at the first use.
    runs: Vec<(Loaded, Trace)>,
}

impl Beside {
    pub(super) fn new(context: &Context, words: &[PathBuf]) -> anyhow::Result<Self> {
        let sources = if words.is_empty() { Vec::new() } else { input::expand(context, words)? };
        Ok(Self { sources, runs: Vec::new() })
    }

    /// The projections of the map that `map` watches; none where its layer comes after the softmax. The layer must be
    /// the same each time.
    pub(super) fn projections(
        &mut self,
        context: &Context,
        opened: &Opened,
        map: &Heatmap,
    ) -> anyhow::Result<Vec<(Loaded, Projection)>> {
        let session = &opened.session;
        if projection::softmax_below(session.network(), map.layer).is_some() {
            return Ok(Vec::new());
        }
        for source in &self.sources[self.runs.len()..] {
            context.check()?;
            let loaded = input::load(context, source, &opened.preprocess.record, opened.input_shape())?;
            let trace = trace(session, &loaded, map.layer)?;
            self.runs.push((loaded, trace));
        }
        let project = |(loaded, trace): &(Loaded, Trace)| {
            Ok((loaded.clone(), strongest(session, trace, map.layer, map.channel)?))
        };
        self.runs.iter().map(project).collect()
    }
}

/// What projections of `layer` look at.
pub(super) fn trace(session: &Session, loaded: &Loaded, layer: NodeId) -> anyhow::Result<Trace> {
    let keep = projection::keep(session.network(), layer, &Settings::default());
    Ok(session.run(&loaded.tensor, &keep)?)
}

/// The projection of the strongest unit of a map.
pub(super) fn strongest(session: &Session, trace: &Trace, layer: NodeId, channel: usize) -> anyhow::Result<Projection> {
    let maps = trace.tensor(layer).expect("kept");
    let (at, _) = projection::strongest_place(maps.channel(0, channel), maps.shape.w);
    Ok(projection::project(session, trace, 0, layer, Seed::Unit { channel, at }, &Settings::default())?)
}
