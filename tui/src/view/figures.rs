//! The Projection and Occlusion views: figures in a grid, as large as they fit, and what the cursor is on.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use switchback_core::Window;

use super::browse;
use super::layout::{self, Layout, grid};
use super::mosaic;
use super::picture::{Canvas, Place};
use super::text::{self, number, percent};
use crate::color::{CATEGORIES, ColorMode, category_color, category_letter};
use crate::job::Occlusion;
use crate::state::{RULES, SILENT, State, View, rule_index, rule_meaning, rule_name};
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

/// Figures, and what lies in the room that they leave.
struct Arranged {
    figures: Vec<Figure>,
    classes: Option<Rect>,
    /// The names of the label map's colours as a list; else they stand in a row at the foot.
    labels: Option<Rect>,
}

/// Rows that are worth a list: a title and three of it.
const LEAST: u16 = 4;

/// Every figure of the view.
pub(crate) fn all(state: &State, layout: &Layout) -> Vec<Figure> {
    arrange(state, layout).figures
}

fn arrange(state: &State, layout: &Layout) -> Arranged {
    let body = layout.body;
    let pinned = |what: &'static [What]| if state.pin.is_some() { what } else { &[] };
    let (kinds, side) = match state.view {
        View::Occlusion => {
            let side = if body.width >= 100 && !state.expanded { 34 } else { 0 };
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
    let tall = state.subject().map_or(1.0, |s| {
        let [h, w] = s.opened.input_shape().size();
        h as f64 / w as f64
    });
    let layout::Grid { cells, beside, below } = grid(area, kinds.len(), around, tall, state.aspect);
    // A row stays free above what is below.
    let rest = Rect { y: below.y + 1, height: below.height.saturating_sub(1), ..below };
    let rest = (rest.height >= LEAST && !state.expanded).then_some(rest);
    let half = |right: u16| rest.map(|r| Rect { x: r.x + right * (r.width / 2 + 1), width: r.width / 2 - right, ..r });
    let (classes, labels) = match state.view {
        View::Occlusion if side > 0 => {
            let beside = Rect { x: body.right() - 32, width: 32, height: body.height.saturating_sub(BELOW), ..body };
            let classes = Rect { height: beside.height.min(13), ..beside };
            let rest = Rect { y: classes.bottom() + 1, height: beside.height.saturating_sub(14), ..beside };
            (Some(classes), (rest.height > CATEGORIES as u16).then_some(rest))
        }
        View::Occlusion => (half(0), half(1)),
        _ => (beside.filter(|b| b.height >= LEAST && b.width >= 20).or(half(0)), None),
    };
    let size = state.occlusion().map(|o| [o.map.rows, o.map.columns]);
    let figures = kinds
        .into_iter()
        .zip(cells)
        .map(|(what, area)| {
            let map = matches!(what, What::Probability | What::Labels | What::Activity);
            let place = size.filter(|_| map).map(|size| Place::fit(inside(area, around), size, state.aspect));
            Figure { what, area, place }
        })
        .collect();
    Arranged { figures, classes, labels }
}

pub(super) fn inside(area: Rect, around: u16) -> Rect {
    Rect { y: area.y + 1, height: area.height.saturating_sub(around), ..area }
}

pub(super) fn draw(state: &State, buffer: &mut Buffer, layout: &Layout) {
    let Arranged { figures, classes, labels } = arrange(state, layout);
    for figure in figures {
        match state.view {
            View::Occlusion => occlusion(state, buffer, &figure),
            _ => projection(state, buffer, &figure),
        }
    }
    if let Some(area) = classes {
        let head = if state.view == View::Occlusion { "Classes of the whole picture" } else { "Classes" };
        text::title(state, buffer, area, head, "", false);
        browse::class_bars(state, buffer, under_title(area), false);
    }
    let body = layout.body;
    let below = Rect { y: body.bottom().saturating_sub(BELOW), height: BELOW, ..body };
    if state.view == View::Occlusion {
        match labels {
            Some(area) => label_list(state, buffer, area),
            None => label_row(state, buffer, below),
        }
        whole_picture(state, buffer, Rect { y: below.bottom().saturating_sub(1), height: 1, ..below });
    } else {
        let seen = state.shown.projections[rule_index(state.selection.rule)].as_ref();
        let silent = seen.is_some_and(|s| s.projection.activation == 0.0);
        let text = if silent { SILENT } else { rule_meaning(state.selection.rule) };
        text::put(state, buffer, below, 1, text, Role::Dim);
    }
}

fn under_title(area: Rect) -> Rect {
    Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }
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
                browse::crop(state, buffer, subject, seen, picture);
            }
        }
        What::Rule(rule) => {
            let seen = shown(rule);
            let peak = seen.map(|s| browse::projected(state, buffer, subject, s, picture));
            let stale = if seen.is_some_and(|s| !state.is_current(s)) { "…" } else { "" };
            let note = peak.map(|p| format!("±{}{stale}", number(p))).unwrap_or_default();
            text::title(state, buffer, area, rule_name(RULES[rule]), &note, rule == chosen);
            if seen.is_none() && !subject.projects(state.selection.layer) {
                text::put(state, buffer, picture, 0, "above the softmax: not projected", Role::Dim);
            }
        }
        What::PinCrop | What::PinRule => {
            let Some(pin) = pin else { return };
            let head = if figure.what == What::PinCrop { "Pinned" } else { "Pinned, projected" };
            text::title(state, buffer, area, head, &pin.title, false);
            if let Some(seen) = &pin.seen {
                match figure.what {
                    What::PinCrop => browse::crop(state, buffer, subject, seen, picture),
                    _ => drop(browse::projected(state, buffer, subject, seen, picture)),
                }
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
            let mut canvas = browse::seen(state, subject, loaded, Window::full(size), place);
            if let Some(o) = map {
                let [y, x] = state.selection.square.map(|n| n * o.settings.stride);
                let side = o.settings.size;
                canvas.outline(place.window(Window { y0: y, x0: x, y1: y + side, x1: x + side }), state.cursor());
                let what = match area.width {
                    ..20 => format!("{side} px, every {}", o.settings.stride),
                    _ => format!("{side}×{side} px, every {} px", o.settings.stride),
                };
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
            let narrow = area.width < 24;
            text::title(state, buffer, area, if narrow { "Label" } else { "Most probable label" }, "", false);
            let Some(o) = map else { return };
            labels(state, buffer, picture, o);
            let other = o.map.label.iter().filter(|&&l| l != o.map.baseline_label).count();
            let what = match narrow {
                true => format!("other at {other}/{}", o.map.label.len()),
                false => format!("another wins at {other} of {}", o.map.label.len()),
            };
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

/// The colour of category `i` in two cells, or its letter.
fn swatch(state: &State, buffer: &mut Buffer, area: Rect, [x, y]: [u16; 2], i: usize) {
    let at = Rect { x: area.x + x, y: area.y + y, width: 2, height: 1 };
    Canvas::plain(at, category_color(i, state.mode)).put(buffer, state.mode);
    if state.mode == ColorMode::None {
        let letter = char::from(category_letter(i)).to_string().repeat(2);
        text::at(state, buffer, area, x, y, &letter, Role::Strong);
    }
}

/// The names of the label map's colours, one after the other.
fn label_row(state: &State, buffer: &mut Buffer, area: Rect) {
    let (Some(subject), Some(o)) = (state.subject(), state.occlusion()) else { return };
    let mut x = 0;
    for (i, (label, n)) in label_order(o).into_iter().enumerate().take(CATEGORIES) {
        let name = format!("{} ({n})", subject.class(label));
        if x + text::width(&name) + 3 > area.width {
            break;
        }
        swatch(state, buffer, area, [x, 0], i);
        x = text::at(state, buffer, area, x + 3, 0, &name, Role::Text) + 2;
    }
}

/// The same as a list, with the places that each wins.
fn label_list(state: &State, buffer: &mut Buffer, area: Rect) {
    text::title(state, buffer, area, "Labels", "places", false);
    let (Some(subject), Some(o)) = (state.subject(), state.occlusion()) else { return };
    let rows = under_title(area);
    for (i, (label, n)) in label_order(o).into_iter().enumerate().take(CATEGORIES.min(rows.height.into())) {
        let y = i as u16;
        swatch(state, buffer, rows, [0, y], i);
        let name = Rect { width: rows.width.saturating_sub(6), ..rows };
        text::at(state, buffer, name, 3, y, subject.class(label), Role::Text);
        text::right(state, buffer, rows, y, &n.to_string(), Role::Dim);
    }
}

/// How far the map is, or what the network makes of the picture without a square.
fn whole_picture(state: &State, buffer: &mut Buffer, area: Rect) {
    let (Some(subject), Some(o)) = (state.subject(), state.occlusion()) else { return };
    if !o.whole {
        let known = o.map.known.iter().filter(|&&k| k).count();
        let what = format!("coarse: {known} of {} places computed, the others lie between", o.map.known.len());
        text::put(state, buffer, area, 0, &what, Role::Warn);
        return;
    }
    let what = format!(
        "whole picture: {} {}, {}",
        subject.class(o.map.baseline_label),
        o.map.baseline_probability.first().map_or_else(String::new, |&p| percent(p)),
        format_args!("activity {} · {:.2} s", number(o.map.baseline_activity), o.seconds)
    );
    text::put(state, buffer, area, 0, &what, Role::Dim);
}

/// What a square over the input does to the network.
pub(super) fn at_square(state: &State, [row, column]: [usize; 2]) -> Option<String> {
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
