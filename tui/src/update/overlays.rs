//! Keys for what lies on top: help, palette, finder, file picker.

use std::path::{Path, PathBuf};

use crossterm::event::KeyCode;

use super::{command, moves, open_model, submit};
use crate::cli::input::{Source, is_input, is_model};
use crate::job::{Job, Kind, Listed};
use crate::keys::Key;
use crate::message::Effect;
use crate::state::{CacheKey, Found, Hit, Line, Overlay, Picker, State};
use crate::view::overlay as drawn;

/// Hits shown and kept at most.
const MOST_HITS: usize = 500;

pub(super) fn press(state: &mut State, key: Key, effects: &mut Vec<Effect>) {
    match key.code() {
        KeyCode::Esc => state.overlay = None,
        KeyCode::Up => scroll(state, -1),
        KeyCode::Down => scroll(state, 1),
        KeyCode::Char('p') if key.ctrl() => scroll(state, -1),
        KeyCode::Char('n') if key.ctrl() => scroll(state, 1),
        KeyCode::PageUp => scroll(state, -10),
        KeyCode::PageDown => scroll(state, 10),
        KeyCode::Enter => enter(state, effects),
        KeyCode::Tab => complete(state),
        KeyCode::F(1) => state.overlay = None,
        KeyCode::Backspace | KeyCode::Left if line_is_empty(state) => match &state.overlay {
            Some(Overlay::Picker(picker)) => {
                let picker = picker.clone();
                up(state, picker, effects);
            }
            _ if key.code() == KeyCode::Backspace => state.overlay = None,
            _ => {}
        },
        _ => {
            if let Some(overlay) = &mut state.overlay
                && overlay.line().press(key)
            {
                typed(state);
            }
        }
    }
}

fn line_is_empty(state: &mut State) -> bool {
    state.overlay.as_mut().is_some_and(|o| o.line().text.is_empty())
}

/// The line changed: the best match is chosen again.
pub(super) fn typed(state: &mut State) {
    match &mut state.overlay {
        Some(Overlay::Help { scroll, .. }) => *scroll = 0,
        Some(Overlay::Palette { chosen, .. } | Overlay::Find { chosen, .. }) => *chosen = 0,
        Some(Overlay::Picker(picker)) => picker.chosen = 0,
        None => {}
    }
}

/// Moves the choice, or the page of the help.
pub(super) fn scroll(state: &mut State, by: isize) {
    let most = match &state.overlay {
        Some(Overlay::Help { line, .. }) => drawn::help_lines(state, &line.text).len(),
        Some(Overlay::Palette { line, .. }) => command::completions(&line.text).len(),
        Some(Overlay::Find { line, .. }) => search(state, &line.text).len(),
        Some(Overlay::Picker(picker)) => picker.matches().len(),
        None => return,
    };
    let moved = |at: usize| at.saturating_add_signed(by).min(most.saturating_sub(1));
    match &mut state.overlay {
        Some(Overlay::Help { scroll, .. }) => *scroll = moved(*scroll),
        Some(Overlay::Palette { chosen, .. } | Overlay::Find { chosen, .. }) => *chosen = moved(*chosen),
        Some(Overlay::Picker(picker)) => picker.chosen = moved(picker.chosen),
        None => {}
    }
}

/// A click on a line of a list chooses and takes it; a click outside closes.
pub(super) fn click(state: &mut State, at: [u16; 2], effects: &mut Vec<Effect>) {
    let Some(row) = drawn::row_at(state, at) else {
        state.overlay = None;
        return;
    };
    let Some(row) = row else { return };
    match &mut state.overlay {
        Some(Overlay::Palette { chosen, .. } | Overlay::Find { chosen, .. }) => *chosen = row,
        Some(Overlay::Picker(picker)) => picker.chosen = row,
        _ => return,
    }
    enter(state, effects);
}

fn enter(state: &mut State, effects: &mut Vec<Effect>) {
    match state.overlay.take() {
        Some(Overlay::Palette { line, chosen }) => {
            let completions = command::completions(&line.text);
            let exact = line.text.trim().contains(char::is_whitespace)
                || chosen == 0 && completions.iter().any(|c| c.0 == line.text.trim() && c.1.is_empty());
            match completions.get(chosen) {
                _ if exact => command::run(state, &line.text, effects),
                // It waits for its value.
                Some((name, value, _)) if !value.is_empty() => {
                    state.overlay = Some(Overlay::Palette { line: Line::of(&format!("{name} ")), chosen: 0 });
                }
                Some((name, ..)) => command::run(state, name, effects),
                None => command::run(state, &line.text, effects),
            }
        }
        Some(Overlay::Find { line, chosen }) => {
            let hits = search(state, &line.text);
            match hits.get(chosen).copied() {
                Some(hit) => {
                    state.found = Found { query: line.text, hits, at: chosen };
                    moves::go_to(state, hit);
                }
                None => state.say(true, format!("{}: no layer, class or unit", line.text)),
            }
        }
        Some(Overlay::Picker(picker)) => take(state, picker, effects),
        Some(Overlay::Help { .. }) | None => {}
    }
}

/// Tab: what is chosen goes into the line; of the picker, the whole folder is opened.
fn complete(state: &mut State) {
    match &mut state.overlay {
        Some(Overlay::Palette { line, chosen }) => {
            if let Some((name, value, _)) = command::completions(&line.text).get(*chosen) {
                *line = Line::of(&if value.is_empty() { (*name).to_owned() } else { format!("{name} ") });
                *chosen = 0;
            }
        }
        Some(Overlay::Picker(picker)) if picker.what == Listed::Pictures => {
            let files: Vec<PathBuf> = picker
                .matches()
                .into_iter()
                .map(|i| &picker.entries[i])
                .filter(|e| !e.folder)
                .map(|e| e.path.clone())
                .collect();
            let folder = picker.folder.clone();
            if files.is_empty() {
                return state.say(true, "no pictures in this folder");
            }
            state.overlay = None;
            add(state, &files);
            state.folder = folder;
        }
        _ => {}
    }
}

/// Shows a picker and asks for what is in its folder.
pub(super) fn list(state: &mut State, picker: Picker, effects: &mut Vec<Effect>) {
    let (path, what) = (picker.folder.clone(), picker.what);
    state.overlay = Some(Overlay::Picker(Picker { waiting: true, line: Line::default(), ..picker }));
    submit(state, Kind::List, CacheKey::List(path.clone()), Job::List { path, what }, effects);
}

fn up(state: &mut State, picker: Picker, effects: &mut Vec<Effect>) {
    let parent = match picker.folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        // A relative path goes up by dots.
        _ if picker.folder.is_absolute() => return,
        _ if picker.folder == Path::new(".") => PathBuf::from(".."),
        _ if picker.folder.ends_with("..") => picker.folder.join(".."),
        _ => PathBuf::from("."),
    };
    list(state, Picker { folder: parent, entries: Vec::new(), ..picker }, effects);
}

fn take(state: &mut State, picker: Picker, effects: &mut Vec<Effect>) {
    let Some(entry) = picker.matches().get(picker.chosen).map(|&i| picker.entries[i].clone()) else {
        state.overlay = Some(Overlay::Picker(picker));
        return;
    };
    if entry.folder {
        return list(state, Picker { folder: entry.path, entries: Vec::new(), ..picker }, effects);
    }
    match picker.what {
        Listed::Models => open_model(state, Some(entry.path), effects),
        Listed::Pictures => {
            add(state, &[entry.path]);
            state.folder = picker.folder;
        }
    }
}

/// Takes pictures in, each once, and goes to the first of them.
fn add(state: &mut State, paths: &[PathBuf]) {
    let mut first = None;
    let before = state.pictures.len();
    for path in paths {
        let source = Source::of(path);
        let at = state.pictures.iter().position(|s| *s == source).unwrap_or_else(|| {
            state.pictures.push(source);
            state.pictures.len() - 1
        });
        first.get_or_insert(at);
    }
    if let Some(at) = first {
        state.selection.picture = at;
    }
    match state.pictures.len() - before {
        0 | 1 => {}
        n => state.say(false, format!("{n} pictures opened; [ and ] go through them")),
    }
}

/// A path from the palette: by its name a picture, a model, or else a folder to be listed.
pub(super) fn open_path(state: &mut State, path: PathBuf, effects: &mut Vec<Effect>) {
    if is_input(&path) {
        add(state, &[path]);
    } else if is_model(&path) {
        open_model(state, Some(path), effects);
    } else {
        let picker = Picker {
            what: Listed::Pictures,
            folder: path,
            entries: Vec::new(),
            waiting: true,
            line: Line::default(),
            chosen: 0,
        };
        list(state, picker, effects);
    }
}

/// Layers, units and classes that the words mean, best first.
pub(crate) fn search(state: &State, query: &str) -> Vec<Hit> {
    let Some(subject) = state.subject() else { return Vec::new() };
    let query = query.trim().to_lowercase();
    if query.is_empty() {
        return Vec::new();
    }
    let mut hits = Vec::new();
    let number = query.trim_start_matches('#').parse::<usize>().ok();
    if let Some(n) = number {
        if query.starts_with('#') && n < subject.layers.len() {
            hits.push(Hit::Layer(n));
        } else if !query.starts_with('#') && n < subject.shape(state.selection.layer).c {
            hits.push(Hit::Unit(n));
        }
    }
    let layers = (0..subject.layers.len()).filter(|&id| subject.layers[id].name.to_lowercase().contains(&query));
    hits.extend(layers.map(Hit::Layer));
    // Beginnings of words before what lies within them, and then the likelier class.
    let begins = |name: &str| {
        let mut places = name.match_indices(&query[..]).map(|(at, _)| at);
        places.any(|at| !name[..at].ends_with(char::is_alphanumeric))
    };
    let mut classes: Vec<(bool, usize, usize)> = (0..subject.classes.len())
        .filter_map(|class| {
            let name = subject.classes[class].to_lowercase();
            let likely = || state.run().and_then(|r| r.classes.iter().position(|c| c.0 == class)).unwrap_or(class);
            let hit = name.contains(&query) || number == Some(class);
            hit.then(|| (!begins(&name) && number != Some(class), likely(), class))
        })
        .collect();
    classes.sort_unstable();
    hits.extend(classes.into_iter().map(|(_, _, class)| Hit::Class(class)));
    hits.truncate(MOST_HITS);
    hits
}

/// `n` and `N`.
pub(super) fn find_again(state: &mut State, steps: isize) {
    let count = state.found.hits.len() as isize;
    if count == 0 {
        return state.say(true, "nothing was looked for: / finds layers, classes and units");
    }
    let at = (state.found.at as isize + steps).rem_euclid(count) as usize;
    state.found.at = at;
    let (hit, query) = (state.found.hits[at], state.found.query.clone());
    moves::go_to(state, hit);
    let name = drawn::hit_name(state, hit);
    state.say(false, format!("{query}: {} of {count}: {name}", at + 1));
}
