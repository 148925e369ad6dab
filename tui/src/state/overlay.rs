//! What lies on top of a view: help, palette, finder, file picker; and the line that is typed into them.

use std::path::PathBuf;

use crossterm::event::KeyCode;
use switchback_core::NodeId;

use crate::job::{Entry, Listed};
use crate::keys::Key;

/// One at a time.
#[derive(Clone, Debug)]
pub(crate) enum Overlay {
    Help { line: Line, scroll: usize },
    Palette { line: Line, chosen: usize },
    Find { line: Line, chosen: usize },
    Picker(Picker),
}

impl Overlay {
    /// The line that keys are typed into.
    pub(crate) fn line(&mut self) -> &mut Line {
        match self {
            Overlay::Help { line, .. } | Overlay::Palette { line, .. } | Overlay::Find { line, .. } => line,
            Overlay::Picker(picker) => &mut picker.line,
        }
    }
}

/// Files and folders to choose from.
#[derive(Clone, Debug)]
pub(crate) struct Picker {
    pub(crate) what: Listed,
    pub(crate) folder: PathBuf,
    pub(crate) entries: Vec<Entry>,
    /// The listing is still to come.
    pub(crate) waiting: bool,
    pub(crate) line: Line,
    pub(crate) chosen: usize,
}

impl Picker {
    /// Entries whose name holds what was typed, by index.
    pub(crate) fn matches(&self) -> Vec<usize> {
        let wanted = self.line.text.to_lowercase();
        let holds = |&i: &usize| self.entries[i].name.to_lowercase().contains(&wanted);
        (0..self.entries.len()).filter(holds).collect()
    }
}

/// Something that can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hit {
    Layer(NodeId),
    /// Of the selected layer.
    Unit(usize),
    Class(usize),
}

/// A line of text that is being typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: String,
    /// Characters before the cursor.
    pub(crate) at: usize,
}

/// Longer lines are of no use to anybody.
const LONGEST: usize = 400;

impl Line {
    /// A line that holds `text`, the cursor at its end.
    pub(crate) fn of(text: &str) -> Self {
        Self { at: text.chars().count(), text: text.to_owned() }
    }

    fn byte(&self, characters: usize) -> usize {
        self.text.char_indices().nth(characters).map_or(self.text.len(), |(i, _)| i)
    }

    /// Inserts what was pasted, without control characters.
    pub(crate) fn insert(&mut self, text: &str) {
        for c in text.chars().filter(|&c| !switchback_core::text::is_unsafe(c)) {
            if self.text.len() + c.len_utf8() > LONGEST {
                break;
            }
            self.text.insert(self.byte(self.at), c);
            self.at += 1;
        }
    }

    /// Whether the key was one for a line; the text may have changed.
    pub(crate) fn press(&mut self, key: Key) -> bool {
        match (key.code(), key.ctrl()) {
            (KeyCode::Char('u'), true) => {
                self.text.drain(..self.byte(self.at));
                self.at = 0;
            }
            (KeyCode::Char('w'), true) => {
                let before: Vec<char> = self.text.chars().take(self.at).collect();
                let kept = before
                    .iter()
                    .rposition(|c| *c != ' ')
                    .map_or(0, |end| before[..=end].iter().rposition(|c| *c == ' ').map_or(0, |space| space + 1));
                self.text.drain(self.byte(kept)..self.byte(self.at));
                self.at = kept;
            }
            (KeyCode::Char('a'), true) | (KeyCode::Home, _) => self.at = 0,
            (KeyCode::Char('e'), true) | (KeyCode::End, _) => self.at = self.text.chars().count(),
            (KeyCode::Char(c), false) => self.insert(c.encode_utf8(&mut [0; 4])),
            (KeyCode::Left, _) => self.at = self.at.saturating_sub(1),
            (KeyCode::Right, _) => self.at = (self.at + 1).min(self.text.chars().count()),
            (KeyCode::Backspace, _) | (KeyCode::Char('h'), true) if self.at > 0 => {
                self.at -= 1;
                self.text.remove(self.byte(self.at));
            }
            (KeyCode::Delete, _) if self.byte(self.at) < self.text.len() => {
                self.text.remove(self.byte(self.at));
            }
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_edited() {
        let mut line = Line::default();
        let press = |line: &mut Line, keys: &[&str]| keys.iter().for_each(|k| _ = line.press(k.parse().unwrap()));
        press(&mut line, &["f", "é", "r", "left", "left", "x"]);
        assert_eq!(line, Line { text: "fxér".into(), at: 2 });
        press(&mut line, &["end", "backspace", "backspace", "space", "a", "b"]);
        assert_eq!(line.text, "fx ab");
        press(&mut line, &["ctrl-w"]);
        assert_eq!(line, Line { text: "fx ".into(), at: 3 });
        press(&mut line, &["ctrl-u", "backspace", "delete"]);
        assert_eq!(line, Line::default());
        line.insert("a\u{1b}[31m\nb");
        assert_eq!(line.text, "a[31mb");
        line.insert(&"x".repeat(9999));
        assert!(line.text.len() <= LONGEST);
    }
}
