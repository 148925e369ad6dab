//! What lies on top: help, palette, finder, file picker; a box with a line to type into and a list below it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::layout::Layout;
use super::text;
use crate::job::Listed;
use crate::keys::TABLE;
use crate::state::{Hit, Line, Overlay, Picker, State};
use crate::theme::Role;
use crate::update::{command, overlays};

/// A line of a list: what stands left, in the middle and right.
type Row = (String, String, String);

/// The box over `body`.
fn area(state: &State, body: Rect) -> Rect {
    let wide = if matches!(state.overlay, Some(Overlay::Help { .. } | Overlay::Palette { .. })) { 92 } else { 76 };
    // Slivers of text beside the box would only disturb.
    let width = if body.width < wide + 10 { body.width } else { wide };
    let height = body.height.min(34);
    let (x, y) = (body.x + (body.width - width) / 2, body.y + (body.height - height) / 4);
    Rect { x, y, width, height }
}

/// Rows of the list inside the box.
fn list_area(area: Rect) -> Rect {
    Rect { x: area.x + 2, y: area.y + 3, width: area.width.saturating_sub(4), height: area.height.saturating_sub(5) }
}

/// The first row of a list of `count` that shows `chosen`.
fn first(chosen: usize, count: usize, height: u16) -> usize {
    let height = usize::from(height);
    chosen.saturating_sub(height / 2).min(count.saturating_sub(height))
}

/// The row of the list at a place of the screen: none inside the box, or outside of it altogether.
pub(crate) fn row_at(state: &State, at: [u16; 2]) -> Option<Option<usize>> {
    let area = area(state, Layout::of(state).body);
    if !area.contains(<(u16, u16)>::from(at).into()) {
        return None;
    }
    let list = list_area(area);
    let (count, chosen) = match state.overlay.as_ref()? {
        Overlay::Help { .. } => return Some(None),
        Overlay::Palette { line, chosen } => (command::completions(&line.text).len(), *chosen),
        Overlay::Find { line, chosen } => (overlays::search(state, &line.text).len(), *chosen),
        Overlay::Picker(picker) => (picker.matches().len(), picker.chosen),
    };
    let row = first(chosen, count, list.height) + usize::from(at[1].saturating_sub(list.y));
    Some((list.contains(<(u16, u16)>::from(at).into()) && row < count).then_some(row))
}

/// Every action whose keys, name or words hold `wanted`: keys, what they do, and titles between.
pub(crate) fn help_lines(state: &State, wanted: &str) -> Vec<Row> {
    let wanted = wanted.to_lowercase();
    let mut lines = Vec::new();
    let mut group = None;
    for binding in TABLE {
        let keys = state.keys.keys(binding.action).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let holds = [&keys[..], binding.name, binding.what].iter().any(|t| t.to_lowercase().contains(&wanted));
        if !holds {
            continue;
        }
        if group != Some(binding.group) {
            if group.is_some() {
                lines.push(Row::default());
            }
            lines.push((binding.group.title().to_owned(), String::new(), String::new()));
            group = Some(binding.group);
        }
        lines.push((keys, binding.what.to_owned(), binding.name.to_owned()));
    }
    lines
}

/// As the finder names it; safe to show.
pub(crate) fn hit_name(state: &State, hit: Hit) -> String {
    let Some(subject) = state.subject() else { return String::new() };
    match hit {
        Hit::Layer(id) => subject.layers[id].name.clone(),
        Hit::Unit(channel) => format!("unit {channel}"),
        Hit::Class(class) => subject.class(class).to_owned(),
    }
}

pub(super) fn draw(state: &State, buffer: &mut Buffer, layout: &Layout) {
    let Some(overlay) = &state.overlay else { return };
    let area = area(state, layout.body);
    frame(state, buffer, area);
    let list = list_area(area);
    match overlay {
        Overlay::Help { line, scroll } => help(state, buffer, area, line, *scroll),
        Overlay::Palette { line, chosen } => {
            prompt(state, buffer, area, "Command", line, "type a name");
            let rows: Vec<Row> = command::completions(&line.text)
                .into_iter()
                .map(|(name, value, what)| (format!("{name} {value}"), what.to_owned(), String::new()))
                .collect();
            rows_of(state, buffer, list, &rows, *chosen, if list.width < 80 { 28 } else { 34 });
            foot(state, buffer, area, "tab completes · enter does it · esc closes");
        }
        Overlay::Find { line, chosen } => {
            prompt(state, buffer, area, "Find", line, "a layer, a class, a unit's number, #INDEX");
            let hits = overlays::search(state, &line.text);
            let rows: Vec<Row> = hits.iter().map(|&hit| found(state, hit)).collect();
            rows_of(state, buffer, list, &rows, *chosen, 12);
            if rows.is_empty() && !line.text.is_empty() {
                text::put(state, buffer, list, 0, "nothing of this name", Role::Dim);
            }
            foot(state, buffer, area, "enter goes there · n and N go on · esc closes");
        }
        Overlay::Picker(picker) => pick(state, buffer, area, picker),
    }
}

fn help(state: &State, buffer: &mut Buffer, area: Rect, line: &Line, scroll: usize) {
    let list = list_area(area);
    prompt(state, buffer, area, "Keys", line, "type to search");
    for (y, (keys, what, name)) in help_lines(state, &line.text).iter().skip(scroll).enumerate() {
        let y = y as u16;
        if what.is_empty() {
            text::put(state, buffer, list, y, keys, Role::Focus);
            continue;
        }
        text::at(state, buffer, Rect { width: 15, ..list }, 1, y, keys, Role::Key);
        let room = Rect { width: list.width.saturating_sub(text::width(name) + 1), ..list };
        text::at(state, buffer, room, 16, y, what, Role::Text);
        text::right(state, buffer, list, y, name, Role::Dim);
        if y >= list.height {
            break;
        }
    }
    foot(state, buffer, area, "↑ ↓ scroll · esc closes · names on the right are for : and the configuration");
}

fn pick(state: &State, buffer: &mut Buffer, area: Rect, picker: &Picker) {
    let list = list_area(area);
    let title = match picker.what {
        Listed::Pictures => "Open pictures",
        Listed::Models => "Open a model",
    };
    let folder = switchback_core::text::escape(&picker.folder.to_string_lossy()).into_owned();
    prompt(state, buffer, area, title, &picker.line, &folder);
    let rows: Vec<Row> = picker
        .matches()
        .into_iter()
        .map(|i| {
            let entry = &picker.entries[i];
            let name = switchback_core::text::escape(&entry.name).into_owned();
            match entry.folder {
                true => (format!("{name}/"), String::new(), "folder".into()),
                false => (name, String::new(), crate::cli::table::bytes(entry.bytes)),
            }
        })
        .collect();
    let none = if picker.waiting { "reading…" } else { "nothing to open here" };
    if rows.is_empty() {
        text::put(state, buffer, list, 0, none, Role::Dim);
    }
    rows_of(state, buffer, list, &rows, picker.chosen, list.width);
    let all = if picker.what == Listed::Pictures { " · tab opens all" } else { "" };
    foot(state, buffer, area, &format!("enter opens · ← the folder above{all} · esc closes"));
}

fn found(state: &State, hit: Hit) -> Row {
    let name = hit_name(state, hit);
    let Some(subject) = state.subject() else { return Row::default() };
    match hit {
        Hit::Layer(id) => (format!("layer #{id}"), name, subject.layers[id].shape.clone()),
        Hit::Unit(_) => ("unit".into(), name, subject.layers[state.selection.layer].name.clone()),
        Hit::Class(class) => {
            let p = state.run().and_then(|r| r.classes.iter().find(|c| c.0 == class)).map(|c| text::percent(c.1));
            (format!("class {class}"), name, p.unwrap_or_default())
        }
    }
}

fn rows_of(state: &State, buffer: &mut Buffer, list: Rect, rows: &[Row], chosen: usize, column: u16) {
    let start = first(chosen, rows.len(), list.height);
    for (y, (i, (left, middle, right))) in rows.iter().enumerate().skip(start).take(list.height.into()).enumerate() {
        let y = y as u16;
        let selected = i == chosen;
        let role = |role| if selected { Role::Selected } else { role };
        if selected {
            text::put(state, buffer, list, y, &" ".repeat(list.width.into()), Role::Selected);
        }
        let room = Rect { width: column.min(list.width), ..list };
        text::put(state, buffer, room, y, left, role(Role::Text));
        let end = Rect { width: list.width.saturating_sub(text::width(right) + 1), ..list };
        text::at(state, buffer, end, column + 1, y, middle, role(Role::Dim));
        text::right(state, buffer, list, y, right, role(Role::Dim));
    }
}

fn frame(state: &State, buffer: &mut Buffer, area: Rect) {
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            if let Some(cell) = buffer.cell_mut((x, y)) {
                cell.reset();
            }
        }
    }
    let across = "─".repeat(usize::from(area.width.saturating_sub(2)));
    text::put(state, buffer, area, 0, &format!("╭{across}╮"), Role::Dim);
    text::put(state, buffer, area, area.height - 1, &format!("╰{across}╯"), Role::Dim);
    for y in 1..area.height - 1 {
        text::put(state, buffer, area, y, "│", Role::Dim);
        text::right(state, buffer, area, y, "│", Role::Dim);
    }
}

fn prompt(state: &State, buffer: &mut Buffer, area: Rect, title: &str, line: &Line, note: &str) {
    text::at(state, buffer, area, 2, 0, &format!(" {title} "), Role::Focus);
    let inner = Rect { x: area.x + 2, width: area.width.saturating_sub(4), ..area };
    let before: String = line.text.chars().take(line.at).collect();
    let mut after = line.text.chars().skip(line.at);
    let under = after.next().unwrap_or(' ').to_string();
    let rest: String = after.collect();
    let x = text::pieces(state, buffer, inner, 1, &[("› ", Role::Key), (&before, Role::Strong)]);
    let cursor = text::style(state, Role::Strong).add_modifier(ratatui::style::Modifier::REVERSED);
    if x < inner.width {
        buffer.set_string(inner.x + x, inner.y + 1, &under, cursor);
    }
    let x = text::at(state, buffer, inner, x + text::width(&under), 1, &rest, Role::Strong);
    if text::width(note) + x + 2 < inner.width {
        text::right(state, buffer, inner, 1, note, Role::Dim);
    }
    let rule = "─".repeat(inner.width.into());
    text::put(state, buffer, inner, 2, &rule, Role::Dim);
}

fn foot(state: &State, buffer: &mut Buffer, area: Rect, what: &str) {
    let inner = Rect { x: area.x + 2, width: area.width.saturating_sub(4), ..area };
    text::put(state, buffer, inner, area.height - 2, what, Role::Dim);
}
