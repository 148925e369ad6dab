//! The Browse view: layers, feature maps, the input with the receptive field, the projection, the classes.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use switchback_core::Window;

use super::layout::Layout;
use super::mosaic::{self, Colors, Grid};
use super::picture::{Canvas, Place};
use super::text::{self, number, percent};
use crate::cli::draw::signed_crop;
use crate::cli::input::Loaded;
use crate::state::{Pane, Range, SILENT, Seen, State, rule_index, rule_meaning, rule_name};
use crate::subject::Subject;
use crate::theme::Role;

pub(super) fn draw(state: &State, buffer: &mut Buffer, layout: &Layout) {
    for pane in Pane::ALL {
        let Some(area) = layout.pane(pane) else { continue };
        let inside = layout.inside(pane, area);
        match pane {
            Pane::Layers => layers(state, buffer, area, inside),
            Pane::Maps => maps(state, buffer, area, inside),
            Pane::Input => input(state, buffer, area, inside),
            Pane::Projection => projection(state, buffer, area, inside),
            Pane::Classes => classes(state, buffer, area, inside),
        }
    }
}

/// The first row of the list where the selected one is in the middle.
pub(crate) fn first_layer_row(state: &State, inside: Rect) -> usize {
    let (count, height) = (state.subject().map_or(0, |s| s.layers.len()), usize::from(inside.height));
    state.selection.layer.saturating_sub(height / 2).min(count.saturating_sub(height))
}

fn layers(state: &State, buffer: &mut Buffer, area: Rect, inside: Rect) {
    let focus = state.pane == Pane::Layers;
    let count = state.subject().map_or(0, |s| s.layers.len());
    let note = format!("{}/{count}", state.selection.layer);
    text::title(state, buffer, area, "Layers", &note, focus);
    let Some(subject) = state.subject() else { return };
    let first = first_layer_row(state, inside);
    let rows = subject.layers.iter().enumerate().skip(first).take(inside.height.into());
    let shown: Vec<_> = rows.collect();
    let lanes = shown.iter().map(|(_, l)| text::width(&l.graph)).max().unwrap_or(0);
    let shapes = shown.iter().map(|(_, l)| text::width(&l.shape)).max().unwrap_or(0);
    for (row, (id, layer)) in shown.into_iter().enumerate() {
        let y = row as u16;
        let selected = id == state.selection.layer;
        let role = match (selected, focus) {
            (true, true) => Role::Selected,
            (true, false) => Role::Mark,
            _ => Role::Text,
        };
        if selected && focus {
            text::put(state, buffer, inside, y, &" ".repeat(inside.width.into()), role);
        }
        text::put(state, buffer, inside, y, &layer.graph, if selected { role } else { Role::Dim });
        if inside.width >= WIDE {
            wide_layer(state, buffer, Rect { y: inside.y + y, height: 1, ..inside }, lanes + 1, id, role);
            continue;
        }
        // Where there is little room, a whole name tells more than its shape, which stands above the maps.
        let whole = text::width(&layer.name) + lanes + 1;
        let fits = whole + 1 + text::width(&layer.shape) <= inside.width;
        let alone = !fits && inside.width < 28;
        let room = if alone { inside.width } else { inside.width.saturating_sub(if fits { 0 } else { shapes + 1 }) };
        let name = Rect { width: room, ..inside };
        let short = text::middle(&layer.name, name.width.saturating_sub(lanes + 1));
        text::at(state, buffer, name, lanes + 1, y, &short, role);
        if !alone {
            let shape = if selected { role } else { Role::Dim };
            text::right(state, buffer, inside, y, &layer.shape, shape);
        }
    }
}

/// From so many columns on, a row of the list has room for all that is known of a layer.
const WIDE: u16 = 76;

/// A layer's name, kind, shape, and what one of its units sees.
fn wide_layer(state: &State, buffer: &mut Buffer, row: Rect, x: u16, id: usize, role: Role) {
    let Some(subject) = state.subject() else { return };
    let layer = &subject.layers[id];
    let dim = if role == Role::Text { Role::Dim } else { role };
    let column = |from: u16, to: u16| Rect { x: row.x + from, width: to.saturating_sub(from), ..row };
    let names = row.width.saturating_sub(x + 46).min(40) + x;
    let name = column(x, names);
    text::put(state, buffer, name, 0, &text::middle(&layer.name, name.width), role);
    text::put(state, buffer, column(names + 2, names + 18), 0, layer.kind, dim);
    text::right(state, buffer, column(names + 18, names + 28), 0, &layer.shape, dim);
    let [h, w] = subject.fields[id].size;
    text::right(state, buffer, column(names + 28, names + 46), 0, &format!("sees {h}×{w} px"), dim);
}

fn maps(state: &State, buffer: &mut Buffer, area: Rect, inside: Rect) {
    let focus = state.pane == Pane::Maps;
    let Some(subject) = state.subject() else { return text::title(state, buffer, area, "Maps", "", focus) };
    let layer = &subject.layers[state.selection.layer];
    let shape = subject.shape(state.selection.layer);
    let grid = Grid::new(inside, shape);
    let [pages, page] = grid.pages(state.selection.channel);
    let note = match (state.zoomed, pages) {
        (true, _) => format!("unit {} of {}", state.selection.channel, shape.c),
        (false, 1) => layer.shape.clone(),
        (false, n) => format!("{} · page {}/{n}", layer.shape, page + 1),
    };
    text::title(state, buffer, area, &layer.name, &note, focus);
    let Some(maps) = state.maps() else { return waiting(state, buffer, inside) };
    let selected = state.selection.channel.min(shape.c - 1);
    if state.zoomed {
        let place = Place::fit(inside, shape.size(), state.aspect);
        let values = maps.channel(0, selected);
        let range = match state.look.range {
            Range::Picture => mosaic::lit(mosaic::range(values)),
            other => mosaic::shared_range(maps, other),
        };
        let mut canvas = Canvas::map(place, values, state.colormap(), range);
        canvas.outline(place.window(Window::cell(state.place())), state.cursor());
        canvas.put(buffer, state.mode);
    } else {
        let colors = Colors {
            map: state.colormap(),
            range: state.look.range,
            cursor: state.cursor(),
            gap: state.theme().gap(state.mode),
            mode: state.mode,
        };
        mosaic::draw(buffer, &grid, maps, selected, &colors);
    }
    let bar = Rect { y: area.bottom().saturating_sub(1), height: 1, ..area };
    let range = match state.look.range {
        Range::Picture => mosaic::range(maps.channel(0, selected)),
        other => mosaic::shared_range(maps, other),
    };
    let what = match state.look.range {
        Range::Picture if shape.is_spatial() => format!("unit {selected}"),
        Range::Fixed(_) => "fixed".into(),
        _ => "layer".into(),
    };
    color_bar(state, buffer, bar, range, &what, number);
}

/// `unit 12  0.00 ▁▂▃▄▅ 12.3`
pub(super) fn color_bar(
    state: &State,
    buffer: &mut Buffer,
    area: Rect,
    range: [f32; 2],
    what: &str,
    show: impl Fn(f32) -> String,
) {
    let [low, high] = range.map(show);
    let lead = if what.is_empty() { String::new() } else { format!("{what} ") };
    let x = text::put(state, buffer, area, 0, &format!("{lead}{low} "), Role::Dim);
    let room = area.width.saturating_sub(x + text::width(&high) + 1).min(24);
    if room >= 3 {
        let strip = Rect { x: area.x + x, width: room, height: 1, ..area };
        let mut canvas = Canvas::plain(strip, [0; 3]);
        let values: Vec<f32> = (0..2 * room).map(|i| f32::from(i % room) / f32::from(room - 1)).collect();
        canvas.tile([0, 0], [room.into(), 2], &values, state.colormap(), [0.0, 1.0]);
        canvas.put(buffer, state.mode);
        text::at(state, buffer, area, x + room + 1, 0, &high, Role::Dim);
    } else {
        text::at(state, buffer, area, x, 0, &format!("– {high}"), Role::Dim);
    }
}

fn waiting(state: &State, buffer: &mut Buffer, inside: Rect) {
    let what = match (state.pictures.is_empty(), state.failed.get(&crate::job::Kind::Run)) {
        (true, _) => "No picture: o opens some.".to_owned(),
        (_, Some((_, why))) => why.clone(),
        _ => String::new(),
    };
    for (y, line) in text::wrap(&what, inside.width.into()).iter().enumerate() {
        text::put(state, buffer, inside, y as u16, line, Role::Dim);
    }
}

/// What the network sees of the input in `window`: what was placed, or the tensor's own numbers around grey.
pub(super) fn seen(state: &State, subject: &Subject, loaded: &Loaded, window: Window, place: Place) -> Canvas {
    match &loaded.placed {
        Some(picture) => Canvas::picture(place, &picture.crop(window), state.dark_letters()),
        None => Canvas::signed(place, &signed_crop(&subject.opened, &loaded.tensor, window), state.dark_letters()).0,
    }
}

/// Where the map or the whole input lies in its pane.
pub(crate) fn map_place(state: &State, inside: Rect) -> Option<Place> {
    let subject = state.subject()?;
    Some(Place::fit(inside, subject.shape(state.selection.layer).size(), state.aspect))
}

fn input(state: &State, buffer: &mut Buffer, area: Rect, inside: Rect) {
    let focus = state.pane == Pane::Input;
    let name = match &state.shown.loaded {
        Some((picture, _)) => state.picture_name(*picture),
        None => state.picture_name(state.selection.picture),
    };
    text::title(state, buffer, area, "Input", &name, focus);
    let (Some(subject), Some((_, loaded))) = (state.subject(), &state.shown.loaded) else { return };
    whole_input(state, buffer, inside, subject, loaded, Some(state.cursor()));
}

/// The input with the selected unit's receptive field, if a colour is given for it. Where it lies.
pub(super) fn whole_input(
    state: &State,
    buffer: &mut Buffer,
    inside: Rect,
    subject: &Subject,
    loaded: &Loaded,
    outline: Option<[u8; 3]>,
) -> Option<Place> {
    let size = subject.opened.input_shape().size();
    // A picture of another model's size is on its way.
    if loaded.tensor.shape.size() != size {
        return None;
    }
    let place = Place::fit(inside, size, state.aspect);
    let mut canvas = seen(state, subject, loaded, Window::full(size), place);
    if let Some(rgb) = outline {
        canvas.outline(place.window(subject.window(state.selection.layer, state.place())), rgb);
    }
    canvas.put(buffer, state.mode);
    Some(place)
}

/// What the unit of `of` looks at.
pub(super) fn crop(state: &State, buffer: &mut Buffer, subject: &Subject, of: &Seen, area: Rect) {
    let window = of.projection.window;
    let place = Place::fit(area, [window.height(), window.width()], state.aspect);
    seen(state, subject, &of.loaded, window, place).put(buffer, state.mode);
}

/// What it makes of it, and the number that is as bright or dark as can be.
pub(super) fn projected(state: &State, buffer: &mut Buffer, subject: &Subject, of: &Seen, area: Rect) -> f32 {
    let window = of.projection.window;
    let place = Place::fit(area, [window.height(), window.width()], state.aspect);
    let signed = signed_crop(&subject.opened, &of.projection.tensor, window);
    let (canvas, peak) = Canvas::signed(place, &signed, state.dark_letters());
    canvas.put(buffer, state.mode);
    peak
}

/// `unit 12 at 6,7 = 12.3`
pub(super) fn unit_text(seen: &Seen) -> String {
    let at = match seen.unit.seed {
        switchback_core::projection::Seed::Unit { channel, at: [y, x] } => format!("{channel} at {y},{x}"),
        switchback_core::projection::Seed::Map { channel } => format!("map {channel}"),
    };
    format!("{at} = {}", number(seen.projection.activation))
}

fn projection(state: &State, buffer: &mut Buffer, area: Rect, inside: Rect) {
    let focus = state.pane == Pane::Projection;
    let rule = state.selection.rule;
    let seen = state.shown.projections[rule_index(rule)].as_ref();
    let note = match seen {
        Some(seen) if state.is_current(seen) => unit_text(seen),
        Some(seen) => format!("{}…", unit_text(seen)),
        None => String::new(),
    };
    text::title(state, buffer, area, &format!("Projection {}", rule_name(rule)), &note, focus);
    let Some(subject) = state.subject() else { return };
    if !subject.projects(state.selection.layer) {
        let what = "Layers above the softmax are not projected. Enter on a class below projects its score.";
        for (y, line) in text::wrap(what, inside.width.into()).iter().enumerate() {
            text::put(state, buffer, inside, y as u16, line, Role::Dim);
        }
        return;
    }
    let Some(seen) = seen.filter(|s| s.model == subject.id) else { return };
    let [left, right] = halves(inside);
    crop(state, buffer, subject, seen, left);
    projected(state, buffer, subject, seen, right);
    if inside.bottom() < area.bottom() {
        let below = Rect { y: inside.bottom(), height: 1, ..area };
        let silent = seen.projection.activation == 0.0;
        let text = if silent { SILENT } else { rule_meaning(rule) };
        text::put(state, buffer, below, 0, text, Role::Dim);
    }
}

/// Of the crop and of what is projected.
pub(super) fn halves(inside: Rect) -> [Rect; 2] {
    let half = inside.width.saturating_sub(1) / 2;
    [Rect { width: half, ..inside }, Rect { x: inside.x + half + 1, width: half, ..inside }]
}

/// Classes from the top, such that the chosen one is among them.
fn class_rows(state: &State, inside: Rect) -> Vec<(usize, f32)> {
    let Some(run) = state.run() else { return Vec::new() };
    let height = usize::from(inside.height).max(1);
    let mut rows: Vec<_> = run.classes.iter().take(height).copied().collect();
    if let Some(class) = state.selection.class
        && !rows.iter().any(|r| r.0 == class)
        && let Some(&chosen) = run.classes.iter().find(|c| c.0 == class)
        && let Some(last) = rows.last_mut()
    {
        *last = chosen;
    }
    rows
}

/// The class whose row is at a place of the screen.
pub(crate) fn class_at(state: &State, inside: Rect, at: [u16; 2]) -> Option<usize> {
    let row = usize::from(at[1].checked_sub(inside.y)?);
    class_rows(state, inside).get(row).map(|r| r.0)
}

fn classes(state: &State, buffer: &mut Buffer, area: Rect, inside: Rect) {
    let focus = state.pane == Pane::Classes;
    let stale = if state.run().is_some() && !state.run_is_current() { "…" } else { "" };
    text::title(state, buffer, area, "Classes", stale, focus);
    class_bars(state, buffer, inside, focus);
}

/// Names, probabilities and bars.
pub(super) fn class_bars(state: &State, buffer: &mut Buffer, inside: Rect, focus: bool) {
    let Some(subject) = state.subject() else { return };
    for (row, (class, p)) in class_rows(state, inside).into_iter().enumerate() {
        let y = row as u16;
        let chosen = state.class() == Some(class);
        let role = match (chosen, focus) {
            (true, true) => Role::Selected,
            (true, false) => Role::Mark,
            _ => Role::Text,
        };
        let names = (inside.width * 11 / 20).min(30);
        let name = Rect { width: names, ..inside };
        text::put(state, buffer, name, y, subject.class(class), role);
        let number = percent(p);
        text::right(state, buffer, inside, y, &number, if chosen { Role::Strong } else { Role::Dim });
        let room = inside.width.saturating_sub(names + 9);
        bar(state, buffer, Rect { x: inside.x + names + 1, y: inside.y + y, width: room, height: 1 }, p);
    }
}

/// A bar in eighths of a cell.
fn bar(state: &State, buffer: &mut Buffer, area: Rect, share: f32) {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (f32::from(area.width) * 8.0 * share.clamp(0.0, 1.0)).round() as usize;
    let bar = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
    text::put(state, buffer, area, 0, &bar, Role::Bar);
}
