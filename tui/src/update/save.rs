//! `s`: what is shown, to be written by the worker.

use std::path::PathBuf;
use std::sync::Arc;

use super::{command, submit};
use crate::job::{Job, Kind, Save, Saved};
use crate::message::Effect;
use crate::state::{CacheKey, State, View, rule_index};

pub(super) fn save(state: &mut State, effects: &mut Vec<Effect>) {
    match what(state) {
        Some((what, stem)) => {
            let command = command::reproduce(state).unwrap_or_default();
            let save = Save { what, stem: PathBuf::from(stem), command };
            submit(state, Kind::Save, CacheKey::Save, Job::Save(save), effects);
        }
        None => state.say(true, "nothing to save yet: wait until it is computed"),
    }
}

/// The result that is shown and a name for its files.
fn what(state: &State) -> Option<(Saved, String)> {
    let subject = Arc::clone(state.subject()?);
    let run = Arc::clone(state.run().filter(|_| state.run_is_current())?);
    let picture = file_name(&state.picture_name(run.picture));
    let layer = file_name(&subject.layers[state.selection.layer].name);
    match state.view {
        View::Occlusion => {
            let occlusion = Arc::clone(state.occlusion().filter(|o| o.whole)?);
            let class = occlusion.map.classes.first().copied().unwrap_or(0);
            Some((Saved::Occlusion { subject, run, occlusion }, format!("{picture}-occlusion-{class}")))
        }
        View::Browse if command::shows_features(state) => {
            let layer_id = state.selection.layer;
            run.trace.tensor(layer_id)?;
            Some((Saved::Features { subject, run, layer: layer_id }, format!("{picture}-{layer}-maps")))
        }
        _ => {
            let rule = state.selection.rule;
            let seen = state.shown.projections[rule_index(rule)].as_ref().filter(|s| state.is_current(s))?;
            let name = format!("{picture}-{layer}-{}-{}", state.selection.channel, crate::state::rule_name(rule));
            Some((Saved::Projection { subject, run, projection: Arc::clone(&seen.projection), rule }, name))
        }
    }
}

/// A part of a file name: letters, digits, dots and dashes.
fn file_name(text: &str) -> String {
    let stem = text.rsplit_once('.').map_or(text, |(stem, end)| if end.len() <= 4 { stem } else { text });
    let safe = |c: char| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    stem.chars().map(safe).take(60).collect()
}
