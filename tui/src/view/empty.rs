//! Screens without results: no model, no picture, a view whose data are still to be made, a terminal too small.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use switchback_core::text::escape;

use super::LEAST;
use super::text;
use crate::state::{State, View};
use crate::theme::Role;
use crate::update::command::quote_path;

pub(super) fn too_small(state: &State, buffer: &mut Buffer, area: Rect) {
    let lines = [
        "The terminal is too small.".to_owned(),
        format!("It has {}×{}; {}×{} are needed.", area.width, area.height, LEAST[0], LEAST[1]),
        "q quits".to_owned(),
    ];
    for (y, line) in lines.iter().enumerate() {
        text::put(state, buffer, area, y as u16, line, if y == 0 { Role::Strong } else { Role::Text });
    }
}

/// Paragraphs in the middle of the screen; an indented one is a command and is not broken.
fn page(state: &State, buffer: &mut Buffer, area: Rect, title: &str, paragraphs: &[&str]) {
    let width = area.width.saturating_sub(4).min(76);
    let mut lines: Vec<(String, Role)> = vec![(title.to_owned(), Role::Focus), (String::new(), Role::Text)];
    for paragraph in paragraphs {
        match paragraph.strip_prefix("  ") {
            Some(command) => lines.push((format!("  {command}"), Role::Strong)),
            None => lines.extend(text::wrap(paragraph, width.into()).into_iter().map(|l| (l, Role::Text))),
        }
        lines.push((String::new(), Role::Text));
    }
    let x = area.x + (area.width.saturating_sub(width)) / 2;
    let y = area.y + area.height.saturating_sub(lines.len() as u16) / 3;
    let block = Rect { x, y, width, height: area.bottom().saturating_sub(y) };
    for (y, (line, role)) in lines.iter().enumerate() {
        text::put(state, buffer, block, y as u16, line, *role);
    }
}

pub(super) fn no_model(state: &State, buffer: &mut Buffer, area: Rect) {
    if state.model.opening.is_some() {
        let why = if state.now.as_millis() > 400 { "Opening the model…" } else { "" };
        return text_in_middle(state, buffer, area, why);
    }
    let failed = state.model.failed.clone().unwrap_or_default();
    let mut lines = Vec::new();
    if !failed.is_empty() {
        lines.push(&failed[..]);
    }
    lines.extend([
        "Switchback needs a model: a convolutional classifier as .onnx or .safetensors. A good first one is SqueezeNet \
         1.1 (5 MB) from the public zoo.",
        "  switchback models                 where public models live",
        "  switchback -m squeezenet1.1.onnx cat.jpg",
        "m chooses a model file here, o pictures, ? lists the keys, q quits.",
    ]);
    let title = if failed.is_empty() { "No model is open" } else { "The model could not be opened" };
    page(state, buffer, area, title, &lines);
}

fn text_in_middle(state: &State, buffer: &mut Buffer, area: Rect, line: &str) {
    let x = area.width.saturating_sub(text::width(line)) / 2;
    text::at(state, buffer, area, x, area.height / 2, line, Role::Dim);
}

pub(super) fn no_picture(state: &State, buffer: &mut Buffer, area: Rect) {
    page(
        state,
        buffer,
        area,
        "No picture is open",
        &["o opens pictures and folders. From the shell:", "  switchback -m MODEL cat.jpg photos/"],
    );
}

/// What a view shows once its data are there, and how they are made.
pub(super) fn no_data(state: &State, buffer: &mut Buffer, area: Rect, view: View) {
    let path = state.subject().and_then(|s| s.path.as_deref());
    let model = path.map_or_else(|| "MODEL".into(), |path| escape(&quote_path(path)).into_owned());
    let command = |line: &str| format!("  switchback {}", line.replace("MODEL", &model));
    let (what, how, there) = match view {
        View::Top => (
            "The nine strongest patches of a unit over a folder of pictures, beside what the unit projects from each \
             (section 4, figure 2 of the paper).",
            command("mine -m MODEL photos/ -o index"),
            false,
        ),
        View::Evolution => (
            "How the patch that excites a unit most, and its projection, change during training (figure 4).",
            command("evolve run/*.safetensors --over photos/ -l LAYER"),
            false,
        ),
        View::Filters => (
            "The filters of the first layer as pictures, and how healthy they are: dead ones, doubles, high frequencies \
             alone (figure 6).",
            command("filters -m MODEL"),
            false,
        ),
        View::Invariance => (
            "How far features move when the picture is shifted, scaled and turned (figure 5).",
            command("invariance -m MODEL cat.jpg --transform rotate"),
            false,
        ),
        View::Correspondence => (
            "Whether masking the same part in several pictures changes features in the same way (section 4.4).",
            command("correspond -m MODEL --parts parts.csv"),
            false,
        ),
        _ => (
            "What each layer costs: milliseconds, GFLOP/s, share of this machine's peak.",
            command("bench net -m MODEL"),
            true,
        ),
    };
    let note = match there {
        true => "Run it in a shell beside this one, so that nothing here disturbs the measurement.",
        false => "The command comes with a later version; the view will open what it makes.",
    };
    let title = format!("{}: no data yet", view.name());
    page(state, buffer, area, &title, &[what, "Its data are made by", &how, note]);
}
