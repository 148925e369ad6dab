//! What the worker answered: into the cache, and onto the panes where it is still what is looked at.

use std::sync::Arc;

use switchback_core::labels;
use switchback_core::text::escape;

use crate::cli::input::Source;
use crate::job::{Answer, Kind, Listed, Scope};
use crate::state::{CacheKey, Overlay, Seen, Shown, State, Value, Wished, rule_index};
use crate::subject::Subject;

pub(super) fn take(state: &mut State, kind: Kind, generation: u64, answer: Answer) {
    let flight = state.flights.get(&kind).filter(|f| f.generation == generation).cloned();
    if answer.is_last() && flight.is_some() {
        state.flights.remove(&kind);
    }
    match answer {
        Answer::Opened { id, subject, warnings } => {
            if state.model.opening.as_ref().is_some_and(|o| o.0 == id) {
                opened(state, subject);
                if let Some(warning) = warnings.first() {
                    state.say(true, warning.clone());
                }
            }
        }
        Answer::Placed { picture, loaded } => {
            if picture == state.selection.picture && flight.is_some() {
                state.shown.loaded = Some((picture, loaded));
            }
        }
        Answer::Ran(run) => {
            let (model, picture, scope) = (run.model, run.picture, run.scope);
            let key = CacheKey::Run { model, picture, scope };
            if scope == Scope::Whole {
                // It has what glimpses of the picture have.
                let same = |m: u32, p: usize| m == model && p == picture;
                state.cache.retain(|key| match key {
                    CacheKey::Run { model, picture, scope: Scope::Glimpse { .. } } => !same(*model, *picture),
                    _ => true,
                });
            }
            state.cache.put(key, Value::Run(Arc::clone(&run)), run.bytes);
            if flight.is_some() && run.picture == state.selection.picture {
                state.shown.loaded = Some((run.picture, Arc::clone(&run.loaded)));
                state.shown.run = Some(run);
                if std::mem::take(&mut state.fresh) {
                    super::moves::strongest(state);
                }
            }
        }
        Answer::Projected { picture, model, unit, projection } => {
            let bytes = size_of_val(&projection.tensor.data[..]);
            // What it was computed from is what it is shown beside.
            let run = state.shown.run.as_ref().filter(|r| r.picture == picture && r.model == model);
            if let Some(loaded) = run.map(|r| Arc::clone(&r.loaded)) {
                let seen = Seen { model, picture, unit, projection, loaded };
                state.cache.put(CacheKey::Project { model, picture, unit }, Value::Project(seen.clone()), bytes);
                if flight.is_some() {
                    state.shown.projections[rule_index(unit.rule)] = Some(seen);
                }
            }
        }
        Answer::Progress { done, total } => {
            if let Some(flight) = state.flights.get_mut(&kind).filter(|f| f.generation == generation) {
                flight.progress = Some([done, total]);
            }
        }
        Answer::Occluded { picture, model, occlusion } => {
            if occlusion.whole {
                let key = CacheKey::Occlude { model, picture, sweep: occlusion.sweep };
                let bytes = occlusion.map.known.len() * 24;
                state.cache.put(key, Value::Occlude(Arc::clone(&occlusion)), bytes);
            }
            if flight.is_some() {
                let s = &mut state.selection.square;
                *s = [s[0].min(occlusion.map.rows - 1), s[1].min(occlusion.map.columns - 1)];
                state.shown.occlusion = Some((picture, model, occlusion));
            }
        }
        Answer::Listed { path, what, entries } => {
            if let Some(Overlay::Picker(picker)) = &mut state.overlay
                && picker.what == what
                && picker.folder == path
            {
                let open = match what {
                    Listed::Pictures => state.pictures.get(state.selection.picture).and_then(Source::path),
                    Listed::Models => state.model.subject.as_ref().and_then(|s| s.path.as_deref()),
                };
                // The one that is open is where to go on from.
                picker.chosen = entries.iter().position(|e| Some(&*e.path) == open).unwrap_or(0);
                picker.entries = entries;
                picker.waiting = false;
            }
        }
        Answer::Wrote(paths) => {
            let first = paths.first().map(|p| escape(&p.to_string_lossy()).into_owned()).unwrap_or_default();
            let more: Vec<&str> = paths.iter().skip(1).filter_map(|p| p.extension()?.to_str()).collect();
            state.say(false, format!("wrote {first} and .{}", more.join(", .")));
        }
        Answer::Failed(what) => failed(state, kind, flight.map(|f| f.key), what),
        Answer::Panicked(what) => {
            let what = format!("a fault while {}: {what}; please report it", kind.verb());
            failed(state, kind, flight.map(|f| f.key), what);
        }
        Answer::Cancelled => {}
    }
}

fn failed(state: &mut State, kind: Kind, key: Option<CacheKey>, what: String) {
    let Some(key) = key else { return };
    if kind == Kind::Open {
        state.model.opening = None;
        state.model.failed = Some(what.clone());
    }
    if let CacheKey::Run { picture, .. } = key
        && picture == state.selection.picture
        && !state.run_is_current()
    {
        // What is left of the picture before would pass for this one.
        state.shown = Shown::default();
    }
    if kind == Kind::List
        && let Some(Overlay::Picker(picker)) = &mut state.overlay
    {
        picker.waiting = false;
    }
    state.failed.insert(kind, (key, what.clone()));
    state.say(true, what);
}

/// A model is open: names of the old selection are looked for in it.
fn opened(state: &mut State, subject: Arc<Subject>) {
    let old = state.model.subject.take();
    let wished = state.wished.take().unwrap_or_else(|| match &old {
        None => Wished::default(),
        Some(old) => Wished {
            layer: Some(old.network().node(state.selection.layer).name.clone()),
            channel: Some(state.selection.channel),
            place: None,
            class: state.selection.class,
        },
    });
    if let Some(old) = old {
        // What is open no more cannot be shown: let go of it.
        let gone = |m: u32| m == old.id;
        state.cache.retain(|key| match key {
            CacheKey::Run { model, .. } | CacheKey::Project { model, .. } | CacheKey::Occlude { model, .. } => {
                !gone(*model)
            }
            _ => true,
        });
        state.failed.clear();
        state.shown.run = None;
        state.shown.projections = Default::default();
        state.shown.occlusion = None;
        state.pin = None;
    }
    let network = subject.network();
    let layer = wished.layer.and_then(|name| network.find(&name).ok());
    let s = &mut state.selection;
    s.layer = layer.unwrap_or_else(|| subject.first_layer());
    // A unit of another network's layer means nothing here.
    state.fresh = wished.channel.is_none() || layer.is_none();
    s.channel = wished.channel.filter(|&c| layer.is_some() && c < subject.shape(s.layer).c).unwrap_or(0);
    s.place = wished.place.filter(|_| layer.is_some());
    s.class = wished.class.filter(|&c| c < subject.classes.len());
    state.zoomed &= subject.shape(s.layer).is_spatial();
    state.model.opening = None;
    state.model.failed = None;
    state.model.subject = Some(subject);
}

/// The class of a name, for the palette.
pub(super) fn class_named(subject: &Subject, wanted: &str) -> Result<usize, String> {
    labels::find(&subject.opened.labels, wanted).map_err(|e| e.to_string())
}
