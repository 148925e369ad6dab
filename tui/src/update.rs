//! `update(state, message) → effects`: the only place where the state changes. It never blocks, reads files or draws.
//!
//! ```text
//! keys, mouse ─▶ moves · overlay · command        answers ─▶ cache, shown        then want: what is still missing?
//! ```

mod answers;
pub(crate) mod command;
mod mouse;
mod moves;
pub(crate) mod overlays;
mod save;
#[cfg(test)]
mod tests;
mod want;

use crossterm::event::KeyCode;

use crate::job::{Job, Kind, Listed, Request};
use crate::keys::{Action, Key};
use crate::message::{Effect, Message};
use crate::state::{
    CacheKey, Flight, Line, Overlay, Pane, Picker, Pin, RULES, Range, State, View, rule_index, rule_meaning,
};
use crate::view::mosaic;

/// Takes one message.
pub(crate) fn update(state: &mut State, message: Message) -> Vec<Effect> {
    let mut effects = Vec::new();
    match message {
        Message::Clock(now) => {
            state.now = now;
            if state.notice.as_ref().is_some_and(|n| n.until <= now) {
                state.notice = None;
            }
            return effects;
        }
        Message::Key(key) => {
            state.fresh = false;
            // Whoever types has read it; what went wrong stays for its time.
            state.notice.take_if(|notice| !notice.bad);
            press(state, key, &mut effects);
        }
        Message::Mouse(event) => mouse::mouse(state, event, &mut effects),
        Message::Paste(text) => {
            if let Some(overlay) = &mut state.overlay {
                overlay.line().insert(&text);
                overlays::typed(state);
            }
        }
        Message::Resize(size) => state.size = size,
        Message::Mode(mode) => state.mode = mode,
        Message::Background { light } => {
            if state.look.theme_follows {
                state.look.theme = usize::from(light);
            }
        }
        Message::Aspect(aspect) => state.aspect = aspect,
        Message::Job { kind, generation, answer } => answers::take(state, kind, generation, answer),
    }
    want::want(state, &mut effects);
    effects
}

/// Opens a model; what was shown stays until it is there.
pub(crate) fn open_model(state: &mut State, path: Option<std::path::PathBuf>, effects: &mut Vec<Effect>) {
    state.model.count += 1;
    let id = state.model.count;
    state.model.opening = Some((id, path.clone()));
    state.model.failed = None;
    submit(state, Kind::Open, CacheKey::Open(id), Job::Open { id, path }, effects);
}

/// Sends a job into its slot.
fn submit(state: &mut State, kind: Kind, key: CacheKey, job: Job, effects: &mut Vec<Effect>) {
    state.generation += 1;
    let generation = state.generation;
    state.flights.insert(kind, Flight { generation, key, since: state.now, progress: None });
    effects.push(Effect::Submit(Request { kind, generation, job }));
}

/// Cancels what is under way of a kind. Whether there was anything.
fn cancel(state: &mut State, kind: Kind, effects: &mut Vec<Effect>) -> bool {
    let was = state.flights.remove(&kind);
    if was.is_some() {
        effects.push(Effect::Cancel(kind));
    }
    was.is_some()
}

fn press(state: &mut State, key: Key, effects: &mut Vec<Effect>) {
    // A terminal sends the same bytes for Alt and a key as for Esc and the key, where they come in one burst.
    if let Some(plain) = key.without_alt().filter(|_| state.overlay.is_some() || state.keys.action(key).is_none()) {
        press(state, Key::ESCAPE, effects);
        return press(state, plain, effects);
    }
    // Ctrl-C and Ctrl-Z work everywhere, whatever they are bound to.
    let interrupts = key.ctrl() && matches!(key.code(), KeyCode::Char('c' | 'z'));
    if state.overlay.is_some() && !interrupts {
        return overlays::press(state, key, effects);
    }
    if let Some(action) = state.keys.action(key) {
        act(state, action, effects);
    }
}

/// Does what a key, the palette or the mouse asks for.
pub(crate) fn act(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    match action {
        Action::Left
        | Action::Right
        | Action::Up
        | Action::Down
        | Action::First
        | Action::Last
        | Action::PageUp
        | Action::PageDown => moves::go(state, action),
        Action::Enter => moves::enter(state),
        Action::Back => moves::back(state),
        Action::NextLayer => moves::layer(state, 1),
        Action::PreviousLayer => moves::layer(state, -1),
        Action::NextUnit => moves::unit(state, 1),
        Action::PreviousUnit => moves::unit(state, -1),
        Action::Strongest => moves::strongest(state),
        Action::NextView => open_view(state, state.view.step(1)),
        Action::PreviousView => open_view(state, state.view.step(-1)),
        Action::View(digit) => {
            if let Some(view) = View::of_digit(digit.into()) {
                open_view(state, view);
            }
        }
        Action::NextPane => state.pane = state.pane.step(1),
        Action::PreviousPane => state.pane = state.pane.step(-1),
        Action::Expand => state.expanded = !state.expanded,
        Action::Method => {
            let next = RULES[(rule_index(state.selection.rule) + 1) % RULES.len()];
            state.selection.rule = next;
            state.say(false, rule_meaning(next));
        }
        Action::Colormap => {
            state.look.colormap = state.look.colormap.next();
            state.say(false, format!("colour map {}", state.look.colormap.name()));
        }
        Action::Range => range(state),
        Action::Theme => {
            state.look.theme = (state.look.theme + 1) % state.look.themes.len();
            state.look.theme_follows = false;
            let name = state.theme().name.clone();
            state.say(false, format!("theme {name}"));
        }
        Action::Hints => state.look.hints = !state.look.hints,
        Action::Freeze => {
            state.frozen = !state.frozen;
            let text = if state.frozen { "frozen: nothing new is computed until f" } else { "computing again" };
            state.say(false, text);
        }
        Action::Pin => pin(state),
        Action::NextPicture => picture(state, 1),
        Action::PreviousPicture => picture(state, -1),
        Action::Open => pick(state, Listed::Pictures, effects),
        Action::Model => pick(state, Listed::Models, effects),
        Action::Find => state.overlay = Some(Overlay::Find { line: Line::default(), chosen: 0 }),
        Action::FindNext => overlays::find_again(state, 1),
        Action::FindPrevious => overlays::find_again(state, -1),
        Action::Palette => state.overlay = Some(Overlay::Palette { line: Line::default(), chosen: 0 }),
        Action::Help => state.overlay = Some(Overlay::Help { line: Line::default(), scroll: 0 }),
        Action::Save => save::save(state, effects),
        Action::Copy => match command::reproduce(state) {
            Some(command) => {
                state.say(false, format!("copied: {command}"));
                effects.push(Effect::Copy(command));
            }
            None => state.say(true, "nothing to reproduce yet"),
        },
        Action::Cancel => {
            if !cancel_all(state, effects) {
                state.say(false, "nothing is being computed");
            }
        }
        Action::Mouse => {
            state.look.mouse = !state.look.mouse;
            state.hover = None;
            effects.push(Effect::Mouse(state.look.mouse));
            let text = if state.look.mouse { "mouse on" } else { "mouse off: the terminal selects text" };
            state.say(false, text);
        }
        Action::Redraw => effects.push(Effect::Redraw),
        Action::Interrupt => {
            if state.overlay.take().is_none() && !cancel_all(state, effects) {
                effects.push(Effect::Quit);
            }
        }
        Action::Suspend => effects.push(Effect::Suspend),
        Action::Quit => effects.push(Effect::Quit),
    }
}

/// Cancels all that is under way and does not ask for it again until the selection changes. Whether there was anything.
fn cancel_all(state: &mut State, effects: &mut Vec<Effect>) -> bool {
    let mut any = false;
    for kind in Kind::ALL {
        let key = state.flights.get(&kind).map(|f| f.key.clone());
        if cancel(state, kind, effects) {
            any = true;
            state.failed.insert(kind, (key.expect("it was under way"), "cancelled".into()));
            if kind == Kind::Open {
                state.model.opening = None;
            }
            state.say(false, format!("cancelled {}", kind.verb()));
        }
    }
    any
}

fn open_view(state: &mut State, view: View) {
    state.view = view;
    state.expanded = false;
    if view == View::Occlusion {
        // A cancelled map may be asked for again by coming back.
        state.failed.remove(&Kind::Occlude);
    }
}

fn range(state: &mut State) {
    let layer = state.maps().map(|maps| mosaic::range(maps.picture(0)));
    let (range, text) = match (state.look.range, layer) {
        (Range::Picture, _) => (Range::Layer, "colours span the whole layer: maps can be compared".to_owned()),
        (Range::Layer, Some([low, high])) => {
            (Range::Fixed([low, high]), format!("colours span {low:.2} to {high:.2}: pictures can be compared"))
        }
        _ => (Range::Picture, "colours span each map's own numbers".to_owned()),
    };
    state.look.range = range;
    state.say(false, text);
}

fn pin(state: &mut State) {
    if state.pin.take().is_some() {
        return state.say(false, "let go of what was pinned");
    }
    let seen = state.shown.projections[rule_index(state.selection.rule)].clone();
    let occlusion = state.occlusion().filter(|o| o.whole).cloned();
    let Some(picture) = state.run().map(|r| r.picture) else { return state.say(true, "nothing to pin yet") };
    let picture = state.picture_name(picture);
    let layer = state.subject().map(|s| s.layers[state.selection.layer].name.clone()).unwrap_or_default();
    let title = format!("{} of {layer} · {picture}", state.selection.channel);
    state.say(false, format!("pinned {title}"));
    state.pin = Some(Pin { seen, occlusion, title });
}

fn picture(state: &mut State, steps: isize) {
    let count = state.pictures.len() as isize;
    if count == 0 {
        return state.say(true, "no pictures: o opens some");
    }
    let next = (state.selection.picture as isize + steps).rem_euclid(count) as usize;
    state.selection.picture = next;
    let name = state.picture_name(next);
    state.say(false, format!("{name} · {} of {count}", next + 1));
}

/// Opens the picker; the listing comes from the worker.
fn pick(state: &mut State, what: Listed, effects: &mut Vec<Effect>) {
    let model = state.subject().and_then(|s| s.path.as_ref()?.parent().map(std::path::Path::to_owned));
    let folder = match what {
        Listed::Models => model.filter(|f| !f.as_os_str().is_empty()).unwrap_or_else(|| state.folder.clone()),
        Listed::Pictures => state.folder.clone(),
    };
    overlays::list(
        state,
        Picker { what, folder, entries: Vec::new(), waiting: true, line: Line::default(), chosen: 0 },
        effects,
    );
}

/// Everything that a new selection of pictures or panes may leave out of bounds is brought back.
fn settle(state: &mut State) {
    let Some(subject) = state.subject().cloned() else { return };
    let s = &mut state.selection;
    s.layer = s.layer.min(subject.layers.len() - 1);
    s.channel = s.channel.min(subject.shape(s.layer).c - 1);
    if state.pane == Pane::Classes && state.run().is_none() {
        state.pane = Pane::Maps;
    }
}
