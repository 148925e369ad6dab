//! The mouse: a click selects, the wheel scrolls, hovering shows values.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;

use super::moves;
use super::overlays;
use crate::keys::Action;
use crate::message::Effect;
use crate::state::{Pane, State, View};
use crate::view::figures::{self, What};
use crate::view::layout::Layout;
use crate::view::{bars, browse};

pub(super) fn mouse(state: &mut State, event: MouseEvent, effects: &mut Vec<Effect>) {
    if !state.look.mouse {
        return;
    }
    let at = [event.column, event.row];
    state.hover = Some(at);
    let wheel = match event.kind {
        MouseEventKind::ScrollUp => Some(Action::Up),
        MouseEventKind::ScrollDown => Some(Action::Down),
        _ => None,
    };
    if let Some(action) = wheel {
        if state.overlay.is_some() {
            return overlays::scroll(state, if action == Action::Up { -3 } else { 3 });
        }
        if let (View::Browse, Some(pane)) = (state.view, pane_at(state, at)) {
            state.pane = pane;
        }
        return moves::go(state, action);
    }
    if event.kind != MouseEventKind::Down(MouseButton::Left) {
        return;
    }
    if state.overlay.is_some() {
        return overlays::click(state, at, effects);
    }
    let layout = Layout::of(state);
    if layout.header.contains(<(u16, u16)>::from(at).into()) {
        if let Some(view) = bars::tab_at(state, layout.header, at[0]) {
            super::open_view(state, view);
        }
        return;
    }
    match state.view {
        View::Browse => click(state, &layout, at),
        View::Projection | View::Occlusion => figure(state, at),
        _ => {}
    }
}

fn pane_at(state: &State, at: [u16; 2]) -> Option<Pane> {
    let layout = Layout::of(state);
    Pane::ALL.into_iter().find(|&p| layout.pane(p).is_some_and(|a: Rect| a.contains(<(u16, u16)>::from(at).into())))
}

fn click(state: &mut State, layout: &Layout, at: [u16; 2]) {
    let Some(pane) = pane_at(state, at) else { return };
    state.pane = pane;
    let Some(area) = layout.pane(pane).map(|a| layout.inside(pane, a)) else { return };
    match pane {
        Pane::Layers => {
            let first = browse::first_layer_row(state, area);
            if at[1] >= area.y {
                moves::select_layer(state, first + usize::from(at[1] - area.y));
            }
        }
        Pane::Maps if state.zoomed => {
            if let Some(place) = browse::map_place(state, area).and_then(|p| p.at(at)) {
                state.selection.place = Some(place);
            }
        }
        Pane::Maps => {
            if let Some(channel) = moves::grid(state).at(at, state.selection.channel) {
                match channel == state.selection.channel {
                    true => moves::enter(state),
                    false => moves::select_unit(state, channel),
                }
            }
        }
        Pane::Classes => {
            if let Some(class) = browse::class_at(state, area, at) {
                state.selection.class = Some(class);
            }
        }
        Pane::Input | Pane::Projection => {}
    }
}

/// In the occlusion view a click puts the square there.
fn figure(state: &mut State, at: [u16; 2]) {
    let hit = figures::all(state, &Layout::of(state)).into_iter().find_map(|f| Some((f.what, f.place?.at(at)?)));
    if let Some((What::Probability | What::Labels | What::Activity, square)) = hit {
        state.selection.square = square;
    }
}
