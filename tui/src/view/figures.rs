//! The Projection and Occlusion views: figures in a grid, as large as they fit, and what the cursor is on.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use switchback_core::Window;

use super::browse;
use super::layout::{Layout, grid};
use super::mosaic;
use super::picture::{Canvas, Place};
use super::text::{self, number, percent};
use crate::color::{CATEGORIES, ColorMode, category_color, category_letter};
use crate::job::Occlusion;
use crate::state::{RULES, State, View, rule_index, rule_meaning, rule_name};
use crate::theme::Role;

/// What a figure shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Input,
    Crop,
    /// By place in [`RULES`].
    Rule(usize),
    Probability,
    Labels,
    Activity,
    PinCrop,
    PinRule,
    PinProbability,
}

/// A figure and its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) what: What,
    pub(crate) area: Rect,
    /// Of a map whose cells can be pointed at.
    pub(crate) place: Option<Place>,
}

/// Rows of text below the figures.
const BELOW: u16 = 2;

/// Every figure of the view.
pub(crate) fn all(state: &State, layout: &Layout) -> Vec<Figure> {
    let body = layout.body;
    let pinned = |what: &'static [What]| if state.pin.is_some() { what } else { &[] };
    let (kinds, side) = match state.view {
        View::Occlusion => {
            let side = if body.width >= 100 { 34 } else { 0 };
            let mut kinds = vec![What::Input, What::Probability, What::Labels, What::Activity];
            kinds.extend(pinned(&[What::PinProbability]));
            (kinds, side)
        }
        _ => {
            let mut kinds = vec![What::Input, What::Crop, What::Rule(0), What::Rule(1), What::Rule(2)];
            kinds.extend(pinned(&[What::PinCrop, What::PinRule]));
            (kinds, 0)
        }
    };
    let kinds = match state.expanded {
        true if state.view == View::Occlusion => vec![What::Probability],
        true => vec![What::Rule(rule_index(state.selection.rule))],
        false => kinds,
    };
    let area = Rect { width: body.width.saturating_sub(side), height: body.height.saturating_sub(BELOW), ..body };
    let around = if state.view == View::Occlusion { 2 } else { 1 };
    let cells = grid(area, kinds.len(), around, state.aspect);
    let size = state.occlusion().map(|o| [o.map.rows, o.map.columns]);
    kinds
        .into_iter()
        .zip(cells)
        .map(|(what, area)| {
            let map = matches!(what, What::Probability | What::Labels | What::Activity);
            let place = size.filter(|_| map).map(|size| Place::fit(inside(area, around), size, state.aspect));
            Figure { what, area, place }
        })
        .collect()
}

fn inside(area: Rect, around: u16) -> Rect {
    Rect { y: area.y + 1, height: area.height.saturating_sub(around), ..area }
}

pub(super) fn draw(state: &State, buffer: &mut Buffer, layout: &Layout) {
    for figure in all(state, layout) {
        match state.view {
            View::Occlusion => occlusion(state, buffer, &figure),
            _ => projection(state, buffer, &figure),
        }
    }
    let body = layout.body;
    let below = Rect { y: body.bottom().saturating_sub(BELOW), height: BELOW, ..body };
    if state.view == View::Occlusion {
        legend(state, buffer, below);
        if body.width >= 100 && !state.expanded {
            let side = Rect { x: body.right() - 32, width: 32, height: body.height.saturating_sub(BELOW), ..body };
            text::title(state, buffer, side, "Classes of the whole picture", "", false);
            let bars = Rect { y: side.y + 1, height: side.height.saturating_sub(1).min(12), ..side };
            browse::class_bars(state, buffer, bars, false);
        }
    } else {
        text::put(state, buffer, below, 1, rule_meaning(state.selection.rule), Role::Dim);
    }
}

fn projection(state: &State, buffer: &mut Buffer, figure: &Figure) {
    let Some(subject) = state.subject() else { return };
    let area = figure.area;
    let picture = inside(area, 1);
    let chosen = rule_index(state.selection.rule);
    let shown = |rule: usize| state.shown.projections[rule].as_ref().filter(|s| s.model == subject.id);
    let pin = state.pin.as_ref();
    match figure.what {
        What::Input => {
            let name = state.picture_name(state.selection.picture);
            text::title(state, buffer, area, "Input", &name, false);
            if let Some((_, loaded)) = &state.shown.loaded {
                browse::whole_input(state, buffer, picture, subject, loaded, Some(state.cursor()));
            }
        }
        What::Crop => {
            let note = shown(chosen).map(browse::unit_text).unwrap_or_default();
            text::title(state, buffer, area, "What it sees", &note, false);
            if let Some(seen) = shown(chosen) {
                browse::crops(state, buffer, subject, seen, [Some(picture), None]);
            }
        }
        What::Rule(rule) => {
            let seen = shown(rule);
            let peak = seen.map(|s| s.projection.tensor.data.iter().fold(0.0, |m: f32, v| m.max(v.abs())));
            let stale = if seen.is_some_and(|s| !state.is_current(s)) { "…" } else { "" };
            let note = peak.map(|p| format!("±{}{stale}", number(p))).unwrap_or_default();
            text::title(state, buffer, area, rule_name(RULES[rule]), &note, rule == chosen);
            match seen {
                Some(seen) => browse::crops(state, buffer, subject, seen, [None, Some(picture)]),
                None if !subject.projects(state.selection.layer) => {
                    text::put(state, buffer, picture, 0, "above the softmax: not projected", Role::Dim);
                }
                None => {}
            }
        }
        What::PinCrop | What::PinRule => {
            let Some(pin) = pin else { return };
            let head = if figure.what == What::PinCrop { "Pinned" } else { "Pinned, projected" };
            text::title(state, buffer, area, head, &pin.title, false);
            if let Some(seen) = &pin.seen {
                let areas = if figure.what == What::PinCrop { [Some(picture), None] } else { [None, Some(picture)] };
                browse::crops(state, buffer, subject, seen, areas);
            }
        }
        What::Probability | What::Labels | What::Activity | What::PinProbability => {}
    }
}

/// The labels of a map, the whole picture's first, then by how many places they win; with their counts.
fn label_order(map: &Occlusion) -> Vec<(usize, usize)> {
    let mut counts: Vec<(usize, usize)> = Vec::new();
    for &label in &map.map.label {
        match counts.iter_mut().find(|c| c.0 == label) {
            Some(c) => c.1 += 1,
            None => counts.push((label, 1)),
        }
    }
    counts.sort_by_key(|&(label, n)| (label != map.map.baseline_label, std::cmp::Reverse(n), label));
    counts
}

fn occlusion(state: &State, buffer: &mut Buffer, figure: &Figure) {
    let Some(subject) = state.subject() else { return };
    let area = figure.area;
    let picture = inside(area, 2);
    let bar = Rect { y: area.bottom().saturating_sub(1), height: 1, ..area };
    let map = state.occlusion();
    let pinned = state.pin.as_ref().and_then(|p| p.occlusion.as_ref());
    match figure.what {
        What::Input => {
            let name = state.picture_name(state.selection.picture);
            text::title(state, buffer, area, "Input", &name, false);
            let Some((_, loaded)) = &state.shown.loaded else { return };
            let size = subject.opened.input_shape().size();
            let place = Place::fit(picture, size, state.aspect);
            let mut canvas = Canvas::picture(place, &browse::seen_picture(subject, loaded, Window::full(size)));
            if let Some(o) = map {
                let [y, x] = state.selection.square.map(|n| n * o.settings.stride);
                let side = o.settings.size;
                canvas.outline(place.window(Window { y0: y, x0: x, y1: y + side, x1: x + side }), state.cursor());
                let what = format!("{side}×{side} px, every {} px", o.settings.stride);
                text::put(state, buffer, bar, 0, &what, Role::Dim);
            }
            canvas.put(buffer, state.mode);
        }
        What::Probability | What::PinProbability => {
            let pin = figure.what == What::PinProbability;
            let Some(o) = (if pin { pinned } else { map }) else {
                let what = if pin { "no occlusion map was pinned" } else { "coming…" };
                text::title(state, buffer, area, if pin { "Pinned" } else { "Probability" }, "", false);
                text::put(state, buffer, picture, 0, what, Role::Dim);
                return;
            };
            let class = o.map.classes.first().map_or("", |&c| subject.class(c));
            let head = if pin { "Pinned" } else { "Probability" };
            text::title(state, buffer, area, head, class, !pin);
            if let Some(values) = o.map.probability.first() {
                heat(state, buffer, picture, o, values, !pin);
                browse::color_bar(state, buffer, bar, mosaic::range(values), "", percent);
            }
        }
        What::Activity => {
            let Some(o) = map else { return text::title(state, buffer, area, "Activity", "", false) };
            let note = format!("{} · {}", subject.layers[o.map.layer].name, o.map.channel);
            text::title(state, buffer, area, "Activity", &note, false);
            heat(state, buffer, picture, o, &o.map.activity, true);
            browse::color_bar(state, buffer, bar, mosaic::range(&o.map.activity), "", number);
        }
        What::Labels => {
            text::title(state, buffer, area, "Most probable label", "", false);
            let Some(o) = map else { return };
            labels(state, buffer, picture, o);
            let other = o.map.label.iter().filter(|&&l| l != o.map.baseline_label).count();
            let what = format!("another wins at {other} of {}", o.map.label.len());
            text::put(state, buffer, bar, 0, &what, Role::Dim);
        }
        What::Crop | What::Rule(_) | What::PinCrop | What::PinRule => {}
    }
}

fn heat(state: &State, buffer: &mut Buffer, area: Rect, o: &Occlusion, values: &[f32], cursor: bool) {
    let place = Place::fit(area, [o.map.rows, o.map.columns], state.aspect);
    let mut canvas = Canvas::map(place, values, state.colormap(), mosaic::range(values));
    if cursor {
        canvas.outline(place.window(Window::cell(state.selection.square)), state.cursor());
    }
    canvas.put(buffer, state.mode);
}

fn labels(state: &State, buffer: &mut Buffer, area: Rect, o: &Occlusion) {
    let place = Place::fit(area, [o.map.rows, o.map.columns], state.aspect);
    let order = label_order(o);
    let category = |label: usize| order.iter().position(|c| c.0 == label).unwrap_or(CATEGORIES);
    let mut canvas = Canvas::plain(place.area, [0; 3]);
    for y in 0..o.map.rows {
        for x in 0..o.map.columns {
            let label = o.map.label[y * o.map.columns + x];
            canvas.fill(place.window(Window::cell([y, x])), category_color(category(label), state.mode));
        }
    }
    canvas.outline(place.window(Window::cell(state.selection.square)), state.cursor());
    canvas.put(buffer, state.mode);
    if state.mode == ColorMode::None {
        for row in place.area.top()..place.area.bottom() {
            for column in place.area.left()..place.area.right() {
                let Some([y, x]) = place.at([column, row]) else { continue };
                let letter = category_letter(category(o.map.label[y * o.map.columns + x]));
                // The cursor's outline alone is bold.
                if let Some(cell) = buffer.cell_mut((column, row)).filter(|c| !c.modifier.contains(Modifier::BOLD)) {
                    cell.set_char(char::from(letter));
                }
            }
        }
    }
}

/// The names of the label map's colours, and under them what the cursor is on.
fn legend(state: &State, buffer: &mut Buffer, area: Rect) {
    let (Some(subject), Some(o)) = (state.subject(), state.occlusion()) else { return };
    let mut x = 0;
    for (i, (label, n)) in label_order(o).into_iter().enumerate().take(CATEGORIES) {
        let name = format!("{} ({n})", subject.class(label));
        if x + text::width(&name) + 3 > area.width {
            break;
        }
        let swatch = Rect { x: area.x + x, width: 2, height: 1, ..area };
        Canvas::plain(swatch, category_color(i, state.mode)).put(buffer, state.mode);
        if state.mode == ColorMode::None {
            let letter = char::from(category_letter(i)).to_string().repeat(2);
            text::at(state, buffer, area, x, 0, &letter, Role::Strong);
        }
        x = text::at(state, buffer, area, x + 3, 0, &name, Role::Text) + 2;
    }
    if !o.whole {
        let known = o.map.known.iter().filter(|&&k| k).count();
        let what = format!("coarse: {known} of {} places computed, the others lie between", o.map.known.len());
        text::put(state, buffer, area, 1, &what, Role::Warn);
    } else {
        let what = format!(
            "whole picture: {} {}, {}",
            subject.class(o.map.baseline_label),
            o.map.baseline_probability.first().map_or_else(String::new, |&p| percent(p)),
            format_args!("activity {} · {:.2} s", number(o.map.baseline_activity), o.seconds)
        );
        text::put(state, buffer, area, 1, &what, Role::Dim);
    }
}

fn at_square(state: &State, [row, column]: [usize; 2]) -> Option<String> {
    let (subject, o) = (state.subject()?, state.occlusion()?);
    let at = row * o.map.columns + column;
    let p = o.map.probability.first()?.get(at)?;
    let class = o.map.classes.first().map_or("", |&c| subject.class(c));
    let [y, x] = [row, column].map(|n| n * o.settings.stride);
    let between = if o.map.known[at] { "" } else { " (between)" };
    Some(format!(
        "square at {y},{x}: {class} {}{between} · label {} · activity {}",
        percent(*p),
        subject.class(o.map.label[at]),
        number(o.map.activity[at])
    ))
}

/// What the cursor of the occlusion maps is on.
pub(super) fn at_cursor(state: &State) -> Option<String> {
    at_square(state, state.selection.square)
}

/// What lies under the mouse.
pub(super) fn hovered(state: &State, layout: &Layout, at: [u16; 2]) -> Option<String> {
    all(state, layout).into_iter().find_map(|f| f.place?.at(at)).and_then(|square| at_square(state, square))
}
