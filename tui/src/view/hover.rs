//! What lies under the mouse, in words and numbers.

use ratatui::layout::Rect;
use switchback_core::Window;

use super::browse;
use super::figures::{self, What};
use super::layout::Layout;
use super::mosaic::{self, Grid};
use super::picture::Place;
use super::text::{number, percent};
use crate::cli::draw::channels;
use crate::cli::input::Loaded;
use crate::state::{Pane, Seen, State, View, rule_index, rule_name};

/// What lies under the mouse, with its value.
pub(super) fn hovered(state: &State, layout: &Layout) -> Option<String> {
    let at = state.hover.filter(|_| state.look.mouse && state.overlay.is_none())?;
    let subject = state.subject()?;
    if state.view == View::Occlusion {
        return in_occlusion(state, layout, at);
    }
    if state.view == View::Projection {
        return in_projection(state, layout, at);
    }
    if state.view != View::Browse {
        return None;
    }
    let inside =
        |pane| layout.pane(pane).map(|a| layout.inside(pane, a)).filter(|a| a.contains(<(u16, u16)>::from(at).into()));
    if let Some(area) = inside(Pane::Maps) {
        let maps = state.maps()?;
        if state.zoomed {
            let [y, x] = browse::map_place(state, area)?.at(at)?;
            let value = maps.channel(0, state.selection.channel)[y * maps.shape.w + x];
            return Some(format!("unit {} at {y},{x} = {}", state.selection.channel, number(value)));
        }
        let channel = Grid::new(area, maps.shape).at(at, state.selection.channel)?;
        let [low, high] = mosaic::range(maps.channel(0, channel));
        return Some(format!("unit {channel}: {} to {}", number(low), number(high)));
    }
    if let Some(area) = inside(Pane::Input) {
        return pixel_at(
            state,
            &state.shown.loaded.as_ref()?.1,
            area,
            Window::full(subject.opened.input_shape().size()),
            at,
        );
    }
    if let Some(area) = inside(Pane::Projection) {
        let seen =
            state.shown.projections[rule_index(state.selection.rule)].as_ref().filter(|s| s.model == subject.id)?;
        let [left, right] = browse::halves(area);
        return pixel_at(state, &seen.loaded, left, seen.projection.window, at)
            .or_else(|| projected_at(state, seen, right, at));
    }
    if let Some(area) = inside(Pane::Classes) {
        let class = browse::class_at(state, area, at)?;
        let p = state.run()?.classes.iter().find(|c| c.0 == class)?.1;
        return Some(format!("class {class}: {} {}", subject.class(class), percent(p)));
    }
    let area = inside(Pane::Layers)?;
    let layer = browse::first_layer_row(state, area) + usize::from(at[1] - area.y);
    let (node, text) = (subject.network().nodes().get(layer)?, subject.layers.get(layer)?);
    let field = subject.fields[layer];
    Some(format!(
        "#{layer} {} · {} · {} · sees {}×{} px",
        text.name, text.kind, node.shape, field.size[0], field.size[1]
    ))
}

/// What lies under the mouse in the Projection view.
fn in_projection(state: &State, layout: &Layout, at: [u16; 2]) -> Option<String> {
    let subject = state.subject()?;
    let figure = figures::all(state, layout).into_iter().find(|f| f.area.contains(<(u16, u16)>::from(at).into()))?;
    let area = figures::inside(figure.area, 1);
    let chosen = state.shown.projections[rule_index(state.selection.rule)].as_ref();
    let pinned = state.pin.as_ref().and_then(|p| p.seen.as_ref());
    let of = |seen: Option<&'_ Seen>| seen.filter(|s| s.model == subject.id).cloned();
    match figure.what {
        What::Input => {
            let whole = Window::full(subject.opened.input_shape().size());
            pixel_at(state, &state.shown.loaded.as_ref()?.1, area, whole, at)
        }
        What::Crop | What::PinCrop => {
            let seen = of(if figure.what == What::Crop { chosen } else { pinned })?;
            pixel_at(state, &seen.loaded, area, seen.projection.window, at)
        }
        What::Rule(rule) => projected_at(state, &of(state.shown.projections[rule].as_ref())?, area, at),
        What::PinRule => projected_at(state, &of(pinned)?, area, at),
        What::Probability | What::Labels | What::Activity | What::PinProbability => None,
    }
}

/// Which square of the occlusion maps.
fn in_occlusion(state: &State, layout: &Layout, at: [u16; 2]) -> Option<String> {
    figures::all(state, layout)
        .into_iter()
        .find_map(|f| f.place?.at(at))
        .and_then(|square| figures::at_square(state, square))
}

/// The pixel of the input that is shown at a place of the screen, where `window` of it lies in `area`.
fn pixel_at(state: &State, loaded: &Loaded, area: Rect, window: Window, at: [u16; 2]) -> Option<String> {
    let [y, x] = Place::fit(area, [window.height(), window.width()], state.aspect).at(at)?;
    let [y, x] = [window.y0 + y, window.x0 + x];
    let placed = loaded.placed.as_ref().filter(|p| y < p.height && x < p.width)?;
    let [r, g, b] = placed.pixel(y, x);
    Some(format!("pixel {y},{x}: red {r}, green {g}, blue {b}"))
}

/// The numbers of the projection that is shown there.
fn projected_at(state: &State, of: &Seen, area: Rect, at: [u16; 2]) -> Option<String> {
    let window = of.projection.window;
    let [y, x] = Place::fit(area, [window.height(), window.width()], state.aspect).at(at)?;
    let [y, x] = [window.y0 + y, window.x0 + x];
    let tensor = &of.projection.tensor;
    let value = |c: usize| number(tensor.channel(0, c)[y * tensor.shape.w + x]);
    let numbers = match channels(&state.subject()?.opened, tensor.shape.c)[..] {
        [r, g, b] => format!("red {}, green {}, blue {}", value(r), value(g), value(b)),
        _ => value(0),
    };
    Some(format!("{} at {y},{x}: {numbers}", rule_name(of.unit.rule)))
}
