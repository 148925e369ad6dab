//! Lines of text in the buffer: cut to their width, in the style of their role.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use crate::sheet::cut;
use crate::state::State;
use crate::theme::Role;

/// Columns that `text` takes.
pub(super) fn width(text: &str) -> u16 {
    text.width().min(usize::from(u16::MAX)) as u16
}

pub(super) fn style(state: &State, role: Role) -> Style {
    state.theme().style(role, state.mode)
}

/// Writes `text` at the start of row `y` of `area`, at most to its end. The column after it.
pub(super) fn put(state: &State, buffer: &mut Buffer, area: Rect, y: u16, text: &str, role: Role) -> u16 {
    at(state, buffer, area, 0, y, text, role)
}

/// The same from column `x` of `area`.
pub(super) fn at(state: &State, buffer: &mut Buffer, area: Rect, x: u16, y: u16, text: &str, role: Role) -> u16 {
    if y >= area.height || x >= area.width {
        return x;
    }
    let text = cut(text, usize::from(area.width - x));
    // Bold over a faint rule is bold: what lay there before leaves no attribute behind.
    let style = style(state, role);
    let style = style.remove_modifier(!style.add_modifier);
    buffer.set_string(area.x + x, area.y + y, &text, style);
    x + width(&text)
}

/// Writes pieces one after the other. The column after them.
pub(super) fn pieces(state: &State, buffer: &mut Buffer, area: Rect, y: u16, parts: &[(&str, Role)]) -> u16 {
    parts.iter().fold(0, |x, (text, role)| at(state, buffer, area, x, y, text, *role))
}

/// Writes `text` so that it ends with row `y` of `area`.
pub(super) fn right(state: &State, buffer: &mut Buffer, area: Rect, y: u16, text: &str, role: Role) {
    let text = cut(text, usize::from(area.width));
    let x = area.width - width(&text).min(area.width);
    at(state, buffer, area, x, y, &text, role);
}

/// `Title ────── note`, with a heavier line where the pane has the keys.
pub(super) fn title(state: &State, buffer: &mut Buffer, area: Rect, title: &str, note: &str, focus: bool) {
    let line = if focus { "━" } else { "─" };
    let (rule, head) = if focus { (Role::Mark, Role::Focus) } else { (Role::Dim, Role::Title) };
    let fill = line.repeat(usize::from(area.width));
    at(state, buffer, area, 0, 0, &fill, rule);
    let note = if note.is_empty() { String::new() } else { format!(" {note}") };
    let room = usize::from(area.width).saturating_sub(3);
    let title = format!("{} ", cut(title, room));
    let x = put(state, buffer, area, 0, &title, head);
    let note = cut(&note, usize::from(area.width.saturating_sub(x + 1)));
    right(state, buffer, area, 0, &note, Role::Dim);
}

/// `text` in at most `width` columns, the middle left out where it is too long: of layers both ends tell most.
pub(super) fn middle(text: &str, width: u16) -> String {
    let letters: Vec<char> = text.chars().collect();
    let width = usize::from(width);
    if text.width() <= width || width < 4 || text.width() != letters.len() {
        return cut(text, width);
    }
    let left = (width - 1) * 9 / 20;
    let right = width - 1 - left;
    letters[..left].iter().chain(&['…']).chain(&letters[letters.len() - right..]).collect()
}

/// Lines broken at words to `width` columns.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is a line");
        if !last.is_empty() && last.width() + 1 + word.width() > width {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

/// `0.034`, `12.3`, `1234`: three figures that matter.
pub(super) fn number(v: f32) -> String {
    match v.abs() {
        0.0 => "0".into(),
        a if a < 0.01 => format!("{v:.1e}"),
        a if a < 1.0 => format!("{v:.3}"),
        a if a < 10.0 => format!("{v:.2}"),
        a if a < 1000.0 => format!("{v:.1}"),
        _ => format!("{v:.0}"),
    }
}

/// `34.2 %`
pub(super) fn percent(p: f32) -> String {
    format!("{:.1} %", 100.0 * p)
}

#[cfg(test)]
mod tests {
    use ratatui::style::Modifier;

    use super::*;
    use crate::color::ColorMode;

    #[test]
    fn a_title_over_its_rule_is_bold_alone() {
        let state = State::new([80, 24], ColorMode::None, 0);
        let area = Rect::new(0, 0, 20, 1);
        let mut buffer = Buffer::empty(area);
        title(&state, &mut buffer, area, "Layers", "1/2", false);
        assert_eq!((buffer[(0, 0)].modifier, buffer[(10, 0)].modifier), (Modifier::BOLD, Modifier::DIM));
        title(&state, &mut buffer, area, "Layers", "1/2", true);
        assert_eq!(buffer[(0, 0)].modifier, Modifier::BOLD | Modifier::UNDERLINED);
    }
}
