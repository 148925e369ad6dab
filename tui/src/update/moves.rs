//! Moving: through layers, units, places, squares and classes; in and out.

use crate::keys::Action;
use crate::state::{Hit, Pane, State, View};
use crate::view::layout::Layout;
use crate::view::mosaic::Grid;

/// A step on a grid of `[rows, columns]` with this many cells; `page` rows make a page.
fn step(action: Action, at: [usize; 2], size: [usize; 2], page: usize) -> [usize; 2] {
    let [rows, columns] = size.map(|n| n.max(1));
    let [y, x] = at;
    match action {
        Action::Left => [y, x.saturating_sub(1)],
        Action::Right => [y, (x + 1).min(columns - 1)],
        Action::Up => [y.saturating_sub(1), x],
        Action::Down => [(y + 1).min(rows - 1), x],
        Action::PageUp => [y.saturating_sub(page.max(1)), x],
        Action::PageDown => [(y + page.max(1)).min(rows - 1), x],
        Action::First => [0, 0],
        Action::Last => [rows - 1, columns - 1],
        _ => at,
    }
}

/// Moves the cursor of whatever has the keys.
pub(super) fn go(state: &mut State, action: Action) {
    let Some(subject) = state.subject().cloned() else { return };
    let shape = subject.shape(state.selection.layer);
    match (state.view, state.pane) {
        (View::Browse, Pane::Layers) => {
            let at = step(action, [state.selection.layer, 0], [subject.layers.len(), 1], page(state, Pane::Layers));
            match action {
                // From the list into the maps.
                Action::Right => state.pane = Pane::Maps,
                _ => select_layer(state, at[0]),
            }
        }
        (View::Browse, Pane::Maps | Pane::Projection) if !state.zoomed => {
            let grid = grid(state);
            let (c, n) = (state.selection.channel, shape.c);
            let across = grid.across.max(1);
            let rows = grid.down.max(1);
            let to = match action {
                Action::Left => c.saturating_sub(1),
                Action::Right => c + 1,
                Action::Up if c >= across => c - across,
                Action::Down if c + across < n => c + across,
                Action::Up | Action::Down => c,
                Action::PageUp => c.checked_sub(across * rows).unwrap_or(c % across),
                Action::PageDown => {
                    if c + across * rows < n {
                        c + across * rows
                    } else {
                        n - 1
                    }
                }
                Action::First => 0,
                Action::Last => n - 1,
                _ => c,
            };
            select_unit(state, to.min(n - 1));
        }
        (View::Browse, Pane::Classes) => {
            let Some(run) = state.run() else { return };
            let now = state.class().and_then(|c| run.classes.iter().position(|k| k.0 == c)).unwrap_or(0);
            let at = step(action, [now, 0], [run.classes.len(), 1], 10)[0];
            state.selection.class = Some(run.classes[at].0);
        }
        (View::Occlusion, _) => {
            let Some(o) = state.occlusion() else { return };
            let size = [o.map.rows, o.map.columns];
            state.selection.square = step(action, state.selection.square, size, 5);
        }
        (View::Browse | View::Projection, _) => {
            state.selection.place = Some(step(action, state.place(), shape.size(), 5));
        }
        _ => {}
    }
}

/// Rows of a pane.
fn page(state: &State, pane: Pane) -> usize {
    let height = Layout::of(state).pane(pane).map_or(2, |area| area.height);
    usize::from(height.saturating_sub(1)).max(1)
}

/// The mosaic as it is on the screen.
pub(crate) fn grid(state: &State) -> Grid {
    let layout = Layout::of(state);
    let area = layout.pane(Pane::Maps).map(|a| layout.inside(Pane::Maps, a)).unwrap_or(layout.body);
    let shape = state.subject().map_or_else(|| [1, 1, 1].into(), |s| s.shape(state.selection.layer));
    Grid::new(area, shape)
}

/// Selects a layer; a channel beyond its last becomes the last.
pub(super) fn select_layer(state: &mut State, layer: usize) {
    let Some(subject) = state.subject().cloned() else { return };
    if layer != state.selection.layer && layer < subject.layers.len() {
        state.selection.layer = layer;
        state.selection.channel = state.selection.channel.min(subject.shape(layer).c - 1);
        state.selection.place = None;
        state.zoomed &= subject.shape(layer).is_spatial();
    }
}

/// Selects a unit at its strongest place.
pub(super) fn select_unit(state: &mut State, channel: usize) {
    state.selection.channel = channel;
    state.selection.place = None;
}

pub(super) fn layer(state: &mut State, steps: isize) {
    select_layer(state, state.selection.layer.saturating_add_signed(steps));
}

/// The next unit; a place that was chosen stays.
pub(super) fn unit(state: &mut State, steps: isize) {
    let Some(shape) = state.subject().map(|s| s.shape(state.selection.layer)) else { return };
    state.selection.channel = state.selection.channel.saturating_add_signed(steps).min(shape.c - 1);
}

/// The strongest place; where that is selected, the layer's strongest unit.
pub(super) fn strongest(state: &mut State) {
    if state.selection.place.take().is_none()
        && let Some(maps) = state.maps()
        && let Some(&(channel, ..)) = switchback_core::projection::top_channels(maps, 0, 1).first()
    {
        state.selection.channel = channel;
    }
}

/// One level in.
pub(super) fn enter(state: &mut State) {
    let Some(subject) = state.subject().cloned() else { return };
    match (state.view, state.pane) {
        (View::Browse, Pane::Layers) => state.pane = Pane::Maps,
        (View::Browse, Pane::Maps) if !state.zoomed && subject.shape(state.selection.layer).is_spatial() => {
            state.selection.place = Some(state.place());
            state.zoomed = true;
        }
        (View::Browse, Pane::Classes) => {
            if let Some(class) = state.class() {
                go_to(state, Hit::Class(class));
                let scores = subject.network().scores();
                let shape = subject.shape(scores);
                select_layer(state, scores);
                state.selection.channel = class / (shape.h * shape.w);
                state.selection.place = None;
            }
        }
        (View::Browse, Pane::Input | Pane::Projection) => state.view = View::Projection,
        _ => {}
    }
}

/// One level out.
pub(super) fn back(state: &mut State) {
    match state.view {
        _ if state.expanded => state.expanded = false,
        View::Browse if state.zoomed => {
            state.zoomed = false;
            state.selection.place = None;
        }
        View::Browse => {
            state.pane = match state.pane {
                Pane::Maps | Pane::Layers => Pane::Layers,
                _ => Pane::Maps,
            }
        }
        _ => state.view = View::Browse,
    }
}

/// Selects what was found.
pub(super) fn go_to(state: &mut State, hit: Hit) {
    match hit {
        Hit::Layer(layer) => select_layer(state, layer),
        Hit::Unit(channel) => select_unit(state, channel),
        Hit::Class(class) => state.selection.class = Some(class),
    }
}
