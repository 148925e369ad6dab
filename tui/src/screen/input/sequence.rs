//! What a whole control sequence means: `ESC [ PARAMETERS FINAL` and `ESC O FINAL`.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::{Input, key};
use crate::probe::Reply;

/// The meaning of `ESC [ held last`, if it has one here.
pub(super) fn control_sequence(held: &[u8], last: u8) -> Option<Input> {
    let text = std::str::from_utf8(held).ok()?;
    match (text, last) {
        ("", b'I') => return Some(Input::Focus(true)),
        ("", b'O') => return Some(Input::Focus(false)),
        ("", b'Z') => return Some(key(KeyCode::BackTab, KeyModifiers::SHIFT)),
        ("[", b'A'..=b'E') => return Some(key(KeyCode::F(last - b'A' + 1), KeyModifiers::NONE)),
        _ => {}
    }
    if let Some(report) = text.strip_prefix('<') {
        return mouse(report, last).map(Input::Mouse);
    }
    if let Some(reply) = Reply::of_control(text, last) {
        return Some(Input::Reply(reply));
    }
    // Keys have numbers alone; what else comes is an answer nobody needs.
    let numbers: Vec<Vec<u32>> = match text.is_empty() {
        true => Vec::new(),
        false => text
            .split(';')
            .map(|p| p.split(':').map(|n| if n.is_empty() { Ok(0) } else { n.parse() }).collect::<Result<_, _>>())
            .collect::<Result<_, _>>()
            .ok()?,
    };
    let number = |i: usize| numbers.get(i).and_then(|p| p.first()).copied().unwrap_or(0);
    // A third form of event is the release of a key.
    if numbers.get(1).and_then(|p| p.get(1)) == Some(&3) {
        return None;
    }
    let modifiers = modifiers(number(1));
    let code = match last {
        b'A'..=b'F' | b'H' | b'P' | b'Q' | b'S' if number(0) <= 1 => named(last)?,
        b'R' if number(0) == 1 && numbers.len() == 2 => KeyCode::F(3),
        b'~' => match number(0) {
            1 | 7 => KeyCode::Home,
            2 => KeyCode::Insert,
            3 => KeyCode::Delete,
            4 | 8 => KeyCode::End,
            5 => KeyCode::PageUp,
            6 => KeyCode::PageDown,
            n @ 11..=15 => KeyCode::F(n as u8 - 10),
            n @ 17..=21 => KeyCode::F(n as u8 - 11),
            n @ 23..=26 => KeyCode::F(n as u8 - 12),
            27 if numbers.len() == 3 => from_code(number(2))?,
            _ => return None,
        },
        b'u' => from_code(number(0))?,
        _ => return None,
    };
    let shifted = matches!(code, KeyCode::Char(c) if c.is_uppercase());
    Some(Input::Key(KeyEvent::new(code, if shifted { modifiers | KeyModifiers::SHIFT } else { modifiers })))
}

/// The meaning of `ESC O last`.
pub(super) fn single_shift(last: u8) -> Option<Input> {
    let code = match last {
        b'A'..=b'F' | b'H' | b'P'..=b'S' => named(last)?,
        b'M' => KeyCode::Enter,
        b'j'..=b'y' => KeyCode::Char(char::from(last - b'j' + b'*')),
        _ => return None,
    };
    Some(key(code, KeyModifiers::NONE))
}

fn named(last: u8) -> Option<KeyCode> {
    Some(match last {
        b'A' => KeyCode::Up,
        b'B' => KeyCode::Down,
        b'C' => KeyCode::Right,
        b'D' => KeyCode::Left,
        b'F' => KeyCode::End,
        b'H' => KeyCode::Home,
        b'P'..=b'S' => KeyCode::F(last - b'P' + 1),
        _ => return None,
    })
}

/// The key of a character's number.
fn from_code(code: u32) -> Option<KeyCode> {
    Some(match code {
        8 | 127 => KeyCode::Backspace,
        9 => KeyCode::Tab,
        13 => KeyCode::Enter,
        27 => KeyCode::Esc,
        _ => KeyCode::Char(char::from_u32(code).filter(|c| !c.is_control())?),
    })
}

fn modifiers(parameter: u32) -> KeyModifiers {
    let bits = parameter.saturating_sub(1);
    let of = |bit: u32, modifier| if bits & bit != 0 { modifier } else { KeyModifiers::NONE };
    of(1, KeyModifiers::SHIFT) | of(2, KeyModifiers::ALT) | of(4, KeyModifiers::CONTROL) | of(8, KeyModifiers::SUPER)
}

/// `BUTTON;COLUMN;ROW` of the mouse, counted from 1.
fn mouse(report: &str, last: u8) -> Option<MouseEvent> {
    let numbers: Vec<u16> = report.split(';').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [button, column, row] = numbers[..] else { return None };
    if !matches!(last, b'M' | b'm') {
        return None;
    }
    mouse_event(button, last == b'm', column.checked_sub(1)?, row.checked_sub(1)?)
}

/// The three bytes of the oldest protocol: all counted from 32, places from 1; a release names no button.
pub(super) fn oldest_mouse(bytes: &[u8]) -> Option<MouseEvent> {
    let [button, column, row] = [bytes[0].checked_sub(32)?, bytes[1].checked_sub(33)?, bytes[2].checked_sub(33)?];
    let released = button & 0b1100_0011 == 3 && button & 32 == 0;
    mouse_event(u16::from(if released { button & !3 } else { button }), released, column.into(), row.into())
}

fn mouse_event(code: u16, released: bool, column: u16, row: u16) -> Option<MouseEvent> {
    let button = match code & 3 {
        0 => Some(MouseButton::Left),
        1 => Some(MouseButton::Middle),
        2 => Some(MouseButton::Right),
        _ => None,
    };
    let kind = match (code & 0b1110_0000, button) {
        (64, _) => match code & 3 {
            0 => MouseEventKind::ScrollUp,
            1 => MouseEventKind::ScrollDown,
            2 => MouseEventKind::ScrollLeft,
            _ => MouseEventKind::ScrollRight,
        },
        (32, Some(button)) => MouseEventKind::Drag(button),
        (32, None) => MouseEventKind::Moved,
        (0, Some(button)) if released => MouseEventKind::Up(button),
        (0, Some(button)) => MouseEventKind::Down(button),
        _ => return None,
    };
    let of = |bit: u16, modifier| if code & bit != 0 { modifier } else { KeyModifiers::NONE };
    let modifiers = of(4, KeyModifiers::SHIFT) | of(8, KeyModifiers::ALT) | of(16, KeyModifiers::CONTROL);
    Some(MouseEvent { kind, column, row, modifiers })
}
