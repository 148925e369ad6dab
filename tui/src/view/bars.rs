//! The header with its tabs, the status line, and the line of keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::layout::Layout;
use super::text::{self, number};
use crate::job::Kind;
use crate::keys::TABLE;
use crate::state::{State, View};
use crate::theme::Role;

/// `1 Browse  2 Projection …`: names where there is room, digits where there is not.
fn tabs(state: &State, width: u16) -> Vec<(View, u16, String)> {
    let long: usize = View::ALL.iter().map(|v| v.name().len() + 4).sum();
    let all = long + 30 < usize::from(width);
    let mut x = 1;
    View::ALL
        .into_iter()
        .map(|view| {
            let named = all || view == state.view || view.digit() <= 3;
            let label = if named { format!("{} {}", view.digit(), view.name()) } else { view.digit().to_string() };
            let at = x;
            x += text::width(&label) + 2;
            (view, at, label)
        })
        .collect()
}

/// The view whose tab is at this column of a header.
pub(crate) fn tab_at(state: &State, header: Rect, column: u16) -> Option<View> {
    let tabs = tabs(state, header.width);
    tabs.iter().find(|(_, x, label)| (*x..*x + text::width(label)).contains(&column)).map(|t| t.0)
}

pub(super) fn header(state: &State, buffer: &mut Buffer, area: Rect) {
    let mut end = 0;
    for (view, x, label) in tabs(state, area.width) {
        let role = if view == state.view { Role::Focus } else { Role::Dim };
        end = text::at(state, buffer, area, x, 0, &label, role);
    }
    let model = match (&state.model.opening, state.subject()) {
        (Some((_, path)), _) => {
            let name = path.as_ref().and_then(|p| p.file_name()).map_or("builtin".into(), |n| n.to_string_lossy());
            format!("opening {}…", switchback_core::text::escape(&name))
        }
        (None, Some(subject)) => subject.name.clone(),
        (None, None) => "no model".into(),
    };
    let picture = match state.pictures.len() {
        0 => String::new(),
        1 => format!(" · {}", state.picture_name(0)),
        n => format!(" · {} {}/{n}", state.picture_name(state.selection.picture), state.selection.picture + 1),
    };
    let room = Rect { x: area.x + end + 2, width: area.width.saturating_sub(end + 3), ..area };
    text::right(state, buffer, room, 0, &format!("{model}{picture}"), Role::Text);
}

/// What is selected, in words and numbers.
fn selected(state: &State) -> String {
    let Some(subject) = state.subject() else { return String::new() };
    let s = &state.selection;
    let layer = &subject.layers[s.layer];
    if state.view == View::Occlusion {
        return super::figures::at_cursor(state).unwrap_or_default();
    }
    let value = state.activation().map(|v| format!(" = {}", number(v))).unwrap_or_default();
    if !subject.shape(s.layer).is_spatial() {
        return format!("{} · unit {}{value}", layer.name, s.channel);
    }
    let [y, x] = state.place();
    let how = if s.place.is_none() { "strongest at" } else { "at" };
    let window = subject.window(s.layer, [y, x]);
    format!("{} · unit {} {how} {y},{x}{value} · sees {}×{} px", layer.name, s.channel, window.height(), window.width())
}

/// `|||` a spinner's turn, without a clock of its own.
fn spinner(state: &State) -> &'static str {
    const TURNS: [&str; 4] = ["◐", "◓", "◑", "◒"];
    TURNS[(state.now.as_millis() / 120) as usize % TURNS.len()]
}

/// What is being computed and how long it will take; `None` where nothing has taken long enough to be worth a word.
fn work(state: &State) -> Option<String> {
    let (kind, flight) = Kind::ALL.iter().find_map(|k| Some((*k, state.flights.get(k)?)))?;
    let took = state.now.saturating_sub(flight.since).as_secs_f64();
    if took < 0.15 {
        return None;
    }
    let share = flight.progress.map(|[done, total]| {
        let share = done as f64 / total.max(1) as f64;
        let left = if share > 0.02 { format!(", {:.1} s left", took * (1.0 - share) / share) } else { String::new() };
        format!(" {:.0} %{left}", 100.0 * share)
    });
    Some(format!("{} {}{} · x cancels", spinner(state), kind.verb(), share.unwrap_or_default()))
}

pub(super) fn status(state: &State, buffer: &mut Buffer, layout: &Layout) {
    let row = layout.status;
    let area = Rect { x: row.x + 1, width: row.width.saturating_sub(2), ..row };
    let mut flags = Vec::new();
    if let Some(work) = work(state) {
        flags.push((work, Role::Warn));
    }
    if state.frozen {
        flags.push(("frozen".to_owned(), Role::Warn));
    }
    if state.pin.is_some() {
        flags.push(("pinned".to_owned(), Role::Good));
    }
    let mut room = area;
    for (flag, role) in flags.iter().rev() {
        text::right(state, buffer, room, 0, flag, *role);
        room.width = room.width.saturating_sub(text::width(flag) + 2);
    }
    match &state.notice {
        Some(notice) => {
            let role = if notice.bad { Role::Bad } else { Role::Good };
            text::put(state, buffer, room, 0, &notice.text, role);
        }
        None => {
            let hover = super::hover::hovered(state, layout);
            text::put(state, buffer, room, 0, &hover.unwrap_or_else(|| selected(state)), Role::Text);
        }
    }
}

pub(super) fn hints(state: &State, buffer: &mut Buffer, area: Rect) {
    let area = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let mut x = 0;
    let known = TABLE.iter().filter(|b| !b.hint.is_empty());
    for binding in known {
        let Some(key) = state.keys.keys(binding.action).first() else { continue };
        let key = key.to_string();
        let hint = match binding.hint {
            "rule" => crate::state::rule_name(state.selection.rule),
            hint => hint,
        };
        if x + text::width(&key) + 1 + text::width(hint) > area.width {
            break;
        }
        x = text::at(state, buffer, area, x, 0, &key, Role::Key);
        x = text::at(state, buffer, area, x + 1, 0, hint, Role::Dim) + 2;
    }
}
