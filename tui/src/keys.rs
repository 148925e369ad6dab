//! The one table of actions and keys: help, hints, palette and the overrides of the configuration come from it.
//!
//! ```text
//! key event → Key → KeyMap (table, overridden by [keys]) → Action → update
//! ```

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::str::FromStr;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Left,
    Right,
    Up,
    Down,
    First,
    Last,
    PageUp,
    PageDown,
    Enter,
    Back,
    NextView,
    PreviousView,
    /// The view of this number, from 1.
    View(u8),
    NextPane,
    PreviousPane,
    Expand,
    NextLayer,
    PreviousLayer,
    NextUnit,
    PreviousUnit,
    Strongest,
    Method,
    Colormap,
    Range,
    NextPicture,
    PreviousPicture,
    Open,
    Model,
    Pin,
    Find,
    FindNext,
    FindPrevious,
    Palette,
    Help,
    Save,
    Copy,
    Freeze,
    Cancel,
    Theme,
    Mouse,
    Hints,
    Redraw,
    Interrupt,
    Suspend,
    Quit,
}

/// Where the help lists an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Move,
    Views,
    Look,
    Input,
    Find,
    Work,
}

impl Group {
    /// As the help calls it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Group::Move => "Move",
            Group::Views => "Views and panes",
            Group::Look => "What is shown",
            Group::Input => "Pictures and models",
            Group::Find => "Find and ask",
            Group::Work => "Work",
        }
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding {
    pub(crate) action: Action,
    /// In the palette and in the configuration.
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [&'static str],
    pub(crate) group: Group,
    pub(crate) what: &'static str,
    /// One or two words for the bar at the bottom.
    pub(crate) hint: &'static str,
}

const fn row(
    action: Action,
    name: &'static str,
    keys: &'static [&'static str],
    group: Group,
    what: &'static str,
    hint: &'static str,
) -> Binding {
    Binding { action, name, keys, group, what, hint }
}

/// Every action, in the order of the help.
pub(crate) const TABLE: &[Binding] = &[
    row(Action::Left, "left", &["h", "left"], Group::Move, "left: the unit, place or square before", ""),
    row(Action::Down, "down", &["j", "down"], Group::Move, "down: the layer, row of units, place or square below", ""),
    row(Action::Up, "up", &["k", "up"], Group::Move, "up: the layer, row of units, place or square above", ""),
    row(Action::Right, "right", &["l", "right"], Group::Move, "right: the unit, place or square after", ""),
    row(Action::First, "first", &["g", "home"], Group::Move, "the first layer, unit, place or square", ""),
    row(Action::Last, "last", &["G", "end"], Group::Move, "the last layer, unit, place or square", ""),
    row(Action::PageUp, "page-up", &["pgup", "ctrl-u"], Group::Move, "a page up", ""),
    row(Action::PageDown, "page-down", &["pgdn", "ctrl-d"], Group::Move, "a page down", ""),
    row(Action::NextLayer, "next-layer", &["J", ">"], Group::Move, "the next layer, from any pane", ""),
    row(Action::PreviousLayer, "previous-layer", &["K", "<"], Group::Move, "the layer before, from any pane", ""),
    row(Action::NextUnit, "next-unit", &["."], Group::Move, "the next unit at the same place", ""),
    row(Action::PreviousUnit, "previous-unit", &[","], Group::Move, "the unit before at the same place", ""),
    row(
        Action::Strongest,
        "strongest",
        &["a"],
        Group::Move,
        "the strongest place of the unit, again its strongest unit",
        "",
    ),
    row(Action::Enter, "enter", &["enter"], Group::Views, "in: layers, maps, one map; a class becomes the unit", "in"),
    row(
        Action::Back,
        "back",
        &["esc", "backspace"],
        Group::Views,
        "out again, one level; closes what lies on top",
        "out",
    ),
    row(Action::NextView, "next-view", &["tab"], Group::Views, "the next view", ""),
    row(Action::PreviousView, "previous-view", &["backtab"], Group::Views, "the view before", ""),
    row(Action::View(1), "browse", &["1"], Group::Views, "Browse: layers, maps, input, projection, classes", ""),
    row(Action::View(2), "projection", &["2"], Group::Views, "Projection: the unit's crop under all three rules", ""),
    row(Action::View(3), "occlusion", &["3"], Group::Views, "Occlusion: what a square over the picture takes away", ""),
    row(Action::View(4), "top-9", &["4"], Group::Views, "Top-9: the strongest patches of a folder", ""),
    row(Action::View(5), "evolution", &["5"], Group::Views, "Evolution: features during training", ""),
    row(Action::View(6), "filters", &["6"], Group::Views, "Filters: the first layer's weights", ""),
    row(Action::View(7), "invariance", &["7"], Group::Views, "Invariance: shifted, scaled and turned pictures", ""),
    row(
        Action::View(8),
        "correspondence",
        &["8"],
        Group::Views,
        "Correspondence: the same part in several pictures",
        "",
    ),
    row(Action::View(9), "bench", &["9"], Group::Views, "Bench: what each layer costs", ""),
    row(Action::NextPane, "next-pane", &["w"], Group::Views, "the next pane", "pane"),
    row(Action::PreviousPane, "previous-pane", &["W"], Group::Views, "the pane before", ""),
    row(Action::Expand, "expand", &["e", "z"], Group::Views, "the pane on the whole screen, and back", "expand"),
    row(
        Action::Method,
        "method",
        &["b"],
        Group::Look,
        "how the signal passes a ReLU: deconv, gradient, guided",
        "rule",
    ),
    row(Action::Colormap, "colormap", &["c"], Group::Look, "the next colour map", ""),
    row(Action::Range, "range", &["r"], Group::Look, "what the colours span: each map, the layer, fixed", "range"),
    row(Action::Theme, "theme", &["T"], Group::Look, "the next theme", ""),
    row(Action::Hints, "hints", &["H"], Group::Look, "this line of keys on or off", ""),
    row(Action::Freeze, "freeze", &["f"], Group::Look, "nothing new is computed until pressed again", ""),
    row(Action::Pin, "pin", &["p"], Group::Look, "keeps unit and picture to compare with, or lets go", "pin"),
    row(Action::PreviousPicture, "previous-picture", &["["], Group::Input, "the picture before", ""),
    row(Action::NextPicture, "next-picture", &["]"], Group::Input, "the next picture", "picture"),
    row(Action::Open, "open", &["o"], Group::Input, "opens pictures and folders", "open"),
    row(Action::Model, "model", &["m"], Group::Input, "opens another model", "model"),
    row(Action::Find, "find", &["/"], Group::Find, "finds a layer, a class or a unit", "find"),
    row(Action::FindNext, "find-next", &["n"], Group::Find, "the next that was found", ""),
    row(Action::FindPrevious, "find-previous", &["N"], Group::Find, "the one before", ""),
    row(Action::Palette, "palette", &[":"], Group::Find, "every action by name, some with a value", "command"),
    row(Action::Help, "help", &["?", "f1"], Group::Find, "this list; type to search it", "help"),
    row(Action::Save, "save", &["s"], Group::Work, "saves what is shown: PNG, npy, JSON and the command", "save"),
    row(Action::Copy, "copy", &["y"], Group::Work, "copies the command that reproduces what is shown", ""),
    row(Action::Cancel, "cancel", &["x"], Group::Work, "cancels what is being computed", ""),
    row(Action::Mouse, "mouse", &["M"], Group::Work, "the mouse on or off (off: the terminal selects text)", ""),
    row(Action::Redraw, "redraw", &["ctrl-l"], Group::Work, "paints the whole screen again", ""),
    row(Action::Interrupt, "interrupt", &["ctrl-c"], Group::Work, "cancels what is being computed, else quits", ""),
    row(Action::Suspend, "suspend", &["ctrl-z"], Group::Work, "back to the shell; fg returns", ""),
    row(Action::Quit, "quit", &["q"], Group::Work, "quits", "quit"),
];

/// The row of an action's name.
pub(crate) fn named(name: &str) -> Option<&'static Binding> {
    TABLE.iter().find(|b| b.name == name)
}

/// A key as it is pressed. Shift is part of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    code: KeyCode,
    ctrl: bool,
    alt: bool,
}

impl Key {
    /// Esc.
    pub(crate) const ESCAPE: Self = Self { code: KeyCode::Esc, ctrl: false, alt: false };

    /// The key alone, where Alt is held.
    pub(crate) fn without_alt(self) -> Option<Self> {
        self.alt.then_some(Self { alt: false, ..self })
    }

    pub(crate) fn code(self) -> KeyCode {
        self.code
    }

    pub(crate) fn ctrl(self) -> bool {
        self.ctrl
    }
}

impl From<KeyEvent> for Key {
    fn from(event: KeyEvent) -> Self {
        let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
        let code = match event.code {
            KeyCode::Char(c) if ctrl => KeyCode::Char(c.to_ascii_lowercase()),
            KeyCode::Tab if event.modifiers.contains(KeyModifiers::SHIFT) => KeyCode::BackTab,
            code => code,
        };
        Self { code, ctrl, alt: event.modifiers.contains(KeyModifiers::ALT) }
    }
}

const NAMES: &[(&str, KeyCode)] = &[
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pgup", KeyCode::PageUp),
    ("pgdn", KeyCode::PageDown),
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("insert", KeyCode::Insert),
    ("tab", KeyCode::Tab),
    ("backtab", KeyCode::BackTab),
    ("space", KeyCode::Char(' ')),
];

impl FromStr for Key {
    type Err = String;

    /// `h`, `G`, `?`, `left`, `f1`, `space`, `ctrl-c`, `alt-x`
    fn from_str(text: &str) -> Result<Self, String> {
        let (mut rest, mut ctrl, mut alt) = (text, false, false);
        loop {
            match rest {
                r if r.len() > 5 && r.starts_with("ctrl-") => (rest, ctrl) = (&r[5..], true),
                r if r.len() > 4 && r.starts_with("alt-") => (rest, alt) = (&r[4..], true),
                _ => break,
            }
        }
        let mut letters = rest.chars();
        let code = match (letters.next(), letters.next()) {
            (Some(c), None) if !c.is_control() => KeyCode::Char(if ctrl { c.to_ascii_lowercase() } else { c }),
            _ => match NAMES.iter().find(|n| n.0 == rest) {
                Some(&(_, code)) => code,
                None => rest
                    .strip_prefix('f')
                    .and_then(|n| n.parse().ok())
                    .filter(|n| (1..=12).contains(n))
                    .map(KeyCode::F)
                    .ok_or_else(|| "a key: a character, left, pgup, f1, space, ctrl-c, alt-x, …".to_owned())?,
            },
        };
        Ok(Self { code, ctrl, alt })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ctrl {
            f.write_str("ctrl-")?;
        }
        if self.alt {
            f.write_str("alt-")?;
        }
        match self.code {
            KeyCode::F(n) => write!(f, "f{n}"),
            code => match (NAMES.iter().find(|n| n.1 == code), code) {
                (Some((name, _)), _) => f.write_str(name),
                (None, KeyCode::Char(c)) => write!(f, "{c}"),
                (None, other) => write!(f, "{other:?}"),
            },
        }
    }
}

/// Which key does what.
#[derive(Clone, Debug)]
pub(crate) struct KeyMap {
    actions: HashMap<Key, Action>,
    keys: HashMap<Action, Vec<Key>>,
}

impl Default for KeyMap {
    fn default() -> Self {
        Self::new(&HashMap::new()).expect("the table binds no key twice")
    }
}

impl KeyMap {
    /// The table, where an action in `overrides` has those keys instead.
    ///
    /// # Errors
    /// A key that two actions want.
    pub(crate) fn new(overrides: &HashMap<Action, Vec<Key>>) -> Result<Self, String> {
        let mut map = Self { actions: HashMap::new(), keys: HashMap::new() };
        let name = |action: Action| TABLE.iter().find(|b| b.action == action).map_or("", |b| b.name);
        // A key that the user gives to an action is taken from the action that had it by default.
        for (&action, keys) in overrides {
            for &key in keys {
                if let Some(other) = map.actions.insert(key, action).filter(|&other| other != action) {
                    let mut both = [name(action), name(other)];
                    both.sort_unstable();
                    return Err(format!("the key {key} is given to both {} and {}", both[0], both[1]));
                }
                map.keys.entry(action).or_default().push(key);
            }
        }
        for binding in TABLE.iter().filter(|b| !overrides.contains_key(&b.action)) {
            for key in binding.keys.iter().map(|k| k.parse::<Key>().expect("a key of the table")) {
                if let Entry::Vacant(free) = map.actions.entry(key) {
                    free.insert(binding.action);
                    map.keys.entry(binding.action).or_default().push(key);
                }
            }
        }
        Ok(map)
    }

    /// What `key` asks for.
    pub(crate) fn action(&self, key: Key) -> Option<Action> {
        self.actions.get(&key).copied()
    }

    /// The keys of an action, in the order of table or configuration.
    pub(crate) fn keys(&self, action: Action) -> &[Key] {
        self.keys.get(&action).map_or(&[], |k| k)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_action_once_and_binds_no_key_twice() {
        let mut names: Vec<_> = TABLE.iter().map(|b| b.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
        let keys: usize = TABLE.iter().map(|b| b.keys.len()).sum();
        assert_eq!(KeyMap::default().actions.len(), keys);
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        for text in ["h", "G", "?", "left", "f1", "space", "ctrl-c", "alt-x", "ctrl-alt-pgup", "-", "backtab"] {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
        for wrong in ["", "hh", "f13", "ctrl-", "shift-a", "\u{1b}"] {
            assert!(wrong.parse::<Key>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn overrides_take_keys_away() {
        let key = |k: &str| k.parse::<Key>().unwrap();
        let map = KeyMap::new(&HashMap::from([(Action::Quit, vec![key("s"), key("ctrl-q")])])).unwrap();
        assert_eq!(map.action(key("s")), Some(Action::Quit));
        assert_eq!(map.action(key("q")), None);
        assert!(map.keys(Action::Save).is_empty());
        let both = HashMap::from([(Action::Quit, vec![key("s")]), (Action::Help, vec![key("s")])]);
        assert_eq!(KeyMap::new(&both).unwrap_err(), "the key s is given to both help and quit");
    }
}
