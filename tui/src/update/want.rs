//! What the selection needs that is not there: first from the cache, else from the worker.

use std::sync::Arc;

use super::{cancel, submit};
use crate::job::{Job, Kind, Run, Scope};
use crate::message::Effect;
use crate::state::{CacheKey, RULES, State, Value, View, rule_index};
use crate::subject::Subject;

pub(super) fn want(state: &mut State, effects: &mut Vec<Effect>) {
    super::settle(state);
    let Some(subject) = state.subject().cloned() else { return };
    if state.pictures.is_empty() {
        return;
    }
    let (model, picture) = (subject.id, state.selection.picture);
    let Some(run) = run(state, &subject, effects) else { return };
    if subject.projects(state.selection.layer) {
        projections(state, model, effects, |unit| Job::Project {
            subject: Arc::clone(&subject),
            run: Arc::clone(&run),
            unit,
        });
    }
    if state.view == View::Occlusion {
        let sweep = state.sweep();
        let key = CacheKey::Occlude { model, picture, sweep };
        let shown = state.occlusion().is_some_and(|o| o.sweep == sweep && o.whole);
        if shown {
            stop_other(state, Kind::Occlude, &key, effects);
        } else if let Some(Value::Occlude(map)) = state.cache.get(&key) {
            stop_other(state, Kind::Occlude, &key, effects);
            state.shown.occlusion = Some((picture, model, map));
        } else {
            ask(state, Kind::Occlude, key, || Job::Occlude { subject, run, sweep }, effects);
        }
    } else {
        cancel(state, Kind::Occlude, effects);
        if matches!(run.scope, Scope::Glimpse { .. }) && !state.flights.contains_key(&Kind::Project) {
            ask_run(state, &subject, Scope::Whole, effects);
        }
    }
}

/// A run of the selected picture that has what the screen shows; where there is none, the worker is asked for one.
fn run(state: &mut State, subject: &Arc<Subject>, effects: &mut Vec<Effect>) -> Option<Arc<Run>> {
    let (model, picture, layer) = (subject.id, state.selection.picture, state.selection.layer);
    let glimpse = Scope::Glimpse { layer, rule: state.selection.rule };
    // The whole trace, unless it would crowd out everything else.
    let whole = subject.activation_bytes as usize <= state.cache.budget() / 2;
    let enough: &[Scope] = match state.view {
        _ if !whole => &[Scope::Layer(layer)],
        View::Browse => &[Scope::Whole, glimpse],
        _ => &[Scope::Whole],
    };
    let key = |scope| CacheKey::Run { model, picture, scope };
    let shown = state.run().filter(|r| r.picture == picture).map(|r| r.scope);
    for &scope in enough {
        if shown != Some(scope) {
            let Some(Value::Run(run)) = state.cache.get(&key(scope)) else { continue };
            state.shown.loaded = Some((picture, Arc::clone(&run.loaded)));
            state.shown.run = Some(run);
        }
        if state.flights.get(&Kind::Run).is_some_and(|f| f.key != key(Scope::Whole)) {
            cancel(state, Kind::Run, effects);
        }
        return state.run().cloned();
    }
    // Of a picture that is not known yet the screen comes first; so it does where the whole trace cannot be had.
    let no_whole = state.failed.get(&Kind::Run).is_some_and(|f| f.0 == key(Scope::Whole));
    let scope = if shown.is_none() || no_whole { enough[enough.len() - 1] } else { enough[0] };
    ask_run(state, subject, scope, effects);
    None
}

fn ask_run(state: &mut State, subject: &Arc<Subject>, scope: Scope, effects: &mut Vec<Effect>) {
    let picture = state.selection.picture;
    let (subject, source) = (Arc::clone(subject), state.pictures[picture].clone());
    let loaded = state.run().filter(|r| r.picture == picture).map(|r| Arc::clone(&r.loaded));
    let key = CacheKey::Run { model: subject.id, picture, scope };
    ask(state, Kind::Run, key, || Job::Run { subject, picture, source, scope, loaded }, effects);
}

fn projections(state: &mut State, model: u32, effects: &mut Vec<Effect>, job: impl Fn(crate::job::Unit) -> Job) {
    let picture = state.selection.picture;
    let chosen = state.selection.rule;
    let others = RULES.into_iter().filter(|&r| r != chosen && state.view == View::Projection);
    let rules: Vec<_> = std::iter::once(chosen).chain(others).collect();
    for rule in rules {
        let unit = state.unit(rule);
        let slot = rule_index(rule);
        if state.shown.projections[slot].as_ref().is_some_and(|s| state.is_current(s)) {
            continue;
        }
        let key = CacheKey::Project { model, picture, unit };
        match state.cache.get(&key) {
            Some(Value::Project(seen)) => state.shown.projections[slot] = Some(seen),
            _ => {
                if ask(state, Kind::Project, key, || job(unit), effects) {
                    return;
                }
            }
        }
    }
    cancel(state, Kind::Project, effects);
}

/// Sends the job, unless it is under way, has failed, or nothing new is to be computed. Whether it is under way.
fn ask(state: &mut State, kind: Kind, key: CacheKey, job: impl FnOnce() -> Job, effects: &mut Vec<Effect>) -> bool {
    if state.flights.get(&kind).is_some_and(|f| f.key == key) {
        return true;
    }
    if state.frozen || state.failed.get(&kind).is_some_and(|f| f.0 == key) {
        cancel(state, kind, effects);
        return false;
    }
    state.failed.remove(&kind);
    submit(state, kind, key, job(), effects);
    true
}

/// Cancels what is under way for something else than `key`.
fn stop_other(state: &mut State, kind: Kind, key: &CacheKey, effects: &mut Vec<Effect>) {
    if state.flights.get(&kind).is_some_and(|f| f.key != *key) {
        cancel(state, kind, effects);
    }
}
