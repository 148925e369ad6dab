//! The screen, drawn from the state alone.
//!
//! ```text
//! bars: tabs ───────────────────────────────┐
//! │ browse │ figures │ empty (what to bring) │   layout says where; picture and mosaic paint; overlay lies on top
//! bars: status, keys ───────────────────────┘
//! ```

pub(crate) mod bars;
pub(crate) mod browse;
mod empty;
pub(crate) mod figures;
mod hover;
pub(crate) mod layout;
pub(crate) mod mosaic;
pub(crate) mod overlay;
pub(crate) mod picture;
#[cfg(test)]
mod tests;
mod text;

use ratatui::Frame;

use crate::state::{State, View};
use layout::Layout;

/// The smallest screen that shows anything.
pub(crate) const LEAST: [u16; 2] = [60, 18];

/// Draws everything.
pub(crate) fn draw(state: &State, frame: &mut Frame<'_>) {
    let buffer = frame.buffer_mut();
    let area = buffer.area;
    if area.width < LEAST[0] || area.height < LEAST[1] {
        return empty::too_small(state, buffer, area);
    }
    // The window may have changed since the state heard of it; the frame has the size of now.
    let layout = Layout::within(state, area);
    bars::header(state, buffer, layout.header);
    match state.view {
        View::Browse | View::Projection | View::Occlusion if state.subject().is_none() => {
            empty::no_model(state, buffer, layout.body);
        }
        View::Browse => browse::draw(state, buffer, &layout),
        View::Projection | View::Occlusion if state.pictures.is_empty() => {
            empty::no_picture(state, buffer, layout.body);
        }
        View::Projection | View::Occlusion => figures::draw(state, buffer, &layout),
        view => empty::no_data(state, buffer, layout.body, view),
    }
    bars::status(state, buffer, &layout);
    if let Some(hints) = layout.hints {
        bars::hints(state, buffer, hints);
    }
    overlay::draw(state, buffer, &layout);
}
