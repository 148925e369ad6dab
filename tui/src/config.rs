//! The configuration: TOML in the XDG place, checked whole, errors with line and key; and the last session.
//!
//! ```text
//! $XDG_CONFIG_HOME/switchback/config.toml   (else ~/.config)       what the user wants
//! $XDG_STATE_HOME/switchback/session.toml   (else ~/.local/state)  where the last session ended, for --resume
//! ```

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use switchback_core::Error;
use toml::Spanned;

use crate::color::ColorMode;
use crate::colormap::MapName;
use crate::keys::{Key, KeyMap, named};
use crate::state::{Look, Range};
use crate::terminal::Environment;
use crate::theme::Theme;
use crate::update::command::span;

/// The keys of an action: one, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a key such as \"q\", or a list of keys, was expected")]
enum Keys {
    One(String),
    Several(Vec<String>),
}

impl Keys {
    fn all(&self) -> &[String] {
        match self {
            Keys::One(key) => std::slice::from_ref(key),
            Keys::Several(keys) => keys,
        }
    }
}

/// What the file may hold; everything may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    model: Option<PathBuf>,
    color: Option<Spanned<String>>,
    theme: Option<Spanned<String>>,
    colormap: Option<Spanned<String>>,
    range: Option<Spanned<String>>,
    mouse: Option<bool>,
    hints: Option<bool>,
    fps: Option<Spanned<u32>>,
    cache_megabytes: Option<Spanned<u32>>,
    #[serde(default)]
    keys: BTreeMap<Spanned<String>, Spanned<Keys>>,
    #[serde(default)]
    themes: BTreeMap<String, BTreeMap<String, Spanned<String>>>,
}

/// What the browser makes of it.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) model: Option<PathBuf>,
    pub(crate) color: Option<ColorMode>,
    pub(crate) look: Look,
    pub(crate) keys: KeyMap,
    pub(crate) frames_per_second: u32,
    pub(crate) cache: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model: None,
            color: None,
            look: Look::default(),
            keys: KeyMap::default(),
            frames_per_second: 60,
            cache: 512 << 20,
        }
    }
}

/// What `config default` prints: every setting with its default, as a file that can be used.
pub(crate) fn default_text() -> String {
    let mut text = String::from(
        "# Switchback's configuration. Everything may be left out; these are the defaults.\n\n\
         # model = \"squeezenet1.1.onnx\"      opened when -m is not given\n\
         color = \"auto\"              # auto, truecolor, 256, 16, none; --color stands above it\n\
         theme = \"auto\"              # auto (by the terminal's ground), dark, light, contrast, or one of [themes]\n\
         colormap = \"ember\"          # ember, ice, moss, grey\n\
         range = \"picture\"           # picture (each map its own), layer, or two numbers: \"0,12.5\"\n\
         mouse = true\n\
         hints = true                # the line of keys at the bottom\n\
         fps = 60                    # frames a second at most\n\
         cache_megabytes = 512       # of results\n\n\
         # A theme of your own: a base and what differs from it. Colours: text, dim, title, accent, strong, selected,\n\
         # bar, good, warn, bad, cursor, gap.\n\
         # [themes.sea]\n\
         # base = \"dark\"\n\
         # accent = \"#40c0ff\"\n\n\
         # Keys: characters, left, pgup, enter, esc, tab, f1, space, ctrl-c, alt-x, … A key given to one action is taken\n\
         # from the action that has it by default.\n\
         [keys]\n",
    );
    for binding in crate::keys::TABLE {
        let keys: Vec<String> = binding.keys.iter().map(|k| format!("\"{k}\"")).collect();
        text += &format!("{} = [{}]\n", binding.name, keys.join(", "));
    }
    text
}

/// `#40c0ff`
fn rgb(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#').filter(|d| d.len() == 6 && d.is_ascii())?;
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
    Some([byte(0)?, byte(2)?, byte(4)?])
}

/// A value that is wrong, by where it stands.
struct Wrong {
    span: std::ops::Range<usize>,
    what: String,
}

fn wrong<T>(value: &Spanned<T>, what: impl Into<String>) -> Wrong {
    Wrong { span: value.span(), what: what.into() }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] with line and key.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Self::parse(&text).map_err(|what| Error::format(path, what))
    }

    /// From the text of a file.
    ///
    /// # Errors
    /// What is wrong, with line and key.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|e| in_line(text, e.span(), e.message()))?;
        file.take().map_err(|w| in_line(text, Some(w.span), &w.what))
    }
}

/// `line 3 `fps = "x"`: what`
fn in_line(text: &str, span: Option<std::ops::Range<usize>>, what: &str) -> String {
    let Some(before) = span.and_then(|s| text.get(..s.start)) else { return what.trim().to_owned() };
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or("").trim();
    format!("line {} `{line}`: {}", number + 1, what.trim().replace('\n', "; "))
}

impl File {
    fn take(self) -> Result<Config, Wrong> {
        let mut config = Config { model: self.model, ..Config::default() };
        let one_of = |value: &Spanned<String>, names: &str| wrong(value, format!("one of {names} was expected"));
        if let Some(color) = &self.color {
            config.color = match &color.get_ref()[..] {
                "auto" => None,
                "truecolor" => Some(ColorMode::TrueColor),
                "256" => Some(ColorMode::Ansi256),
                "16" => Some(ColorMode::Ansi16),
                "none" => Some(ColorMode::None),
                _ => return Err(one_of(color, "auto, truecolor, 256, 16, none")),
            };
        }
        let look = &mut config.look;
        for (name, table) in self.themes {
            look.themes.push(own_theme(name, table, &look.themes)?);
        }
        if let Some(theme) = self.theme.filter(|t| t.get_ref() != "auto") {
            let at = look.themes.iter().position(|t| t.name == *theme.get_ref());
            let names: Vec<&str> = look.themes.iter().map(|t| &t.name[..]).collect();
            look.theme = at.ok_or_else(|| one_of(&theme, &format!("auto, {}", names.join(", "))))?;
            look.theme_follows = false;
        }
        if let Some(map) = &self.colormap {
            look.colormap = MapName::named(map.get_ref()).ok_or_else(|| one_of(map, "ember, ice, moss, grey"))?;
        }
        if let Some(range) = &self.range {
            look.range = span(range.get_ref()).map_err(|what| wrong(range, what))?;
        }
        look.mouse = self.mouse.unwrap_or(look.mouse);
        look.hints = self.hints.unwrap_or(look.hints);
        let within = |value: &Spanned<u32>, range: std::ops::RangeInclusive<u32>| match range.contains(value.get_ref())
        {
            true => Ok(*value.get_ref()),
            false => Err(wrong(value, format!("{} to {} was expected", range.start(), range.end()))),
        };
        if let Some(fps) = &self.fps {
            config.frames_per_second = within(fps, 1..=240)?;
        }
        if let Some(cache) = &self.cache_megabytes {
            config.cache = (within(cache, 16..=65_536)? as usize) << 20;
        }
        let mut overrides = HashMap::new();
        let mut last = None;
        for (name, keys) in &self.keys {
            let binding = named(name.get_ref()).ok_or_else(|| {
                let names = crate::keys::TABLE.iter().map(|b| b.name);
                let near = switchback_core::text::near(name.get_ref(), names, 3).join(", ");
                wrong(name, format!("no action of this name; near names: {near}"))
            })?;
            let mut parsed = Vec::new();
            for key in keys.get_ref().all() {
                parsed.push(key.parse::<Key>().map_err(|what| wrong(keys, format!("not a key: {what}")))?);
            }
            overrides.insert(binding.action, parsed);
            last = last.max(Some(keys.span().start));
        }
        config.keys = KeyMap::new(&overrides).map_err(|what| {
            // The later of the two is as good a place to tell as any.
            let at = last.unwrap_or(0);
            Wrong { span: at..at, what }
        })?;
        Ok(config)
    }
}

/// A theme of one's own: a base, and the colours that differ from it.
fn own_theme(name: String, parts: BTreeMap<String, Spanned<String>>, known: &[Theme]) -> Result<Theme, Wrong> {
    let mut theme = match parts.get("base") {
        None => Theme::dark(),
        Some(base) => known
            .iter()
            .find(|t| t.name == *base.get_ref())
            .cloned()
            .ok_or_else(|| wrong(base, "no theme of this name"))?,
    };
    theme.name = name;
    for (part, value) in parts.iter().filter(|p| p.0 != "base") {
        let color = rgb(value.get_ref()).ok_or_else(|| wrong(value, "a colour such as \"#40c0ff\" was expected"))?;
        let slot = match &part[..] {
            "text" => theme.text.insert(color),
            "dim" => &mut theme.dim,
            "title" => &mut theme.title,
            "accent" => &mut theme.accent,
            "strong" => &mut theme.strong,
            "selected" => &mut theme.selected,
            "bar" => &mut theme.bar,
            "good" => &mut theme.good,
            "warn" => &mut theme.warn,
            "bad" => &mut theme.bad,
            "cursor" => &mut theme.cursor,
            "gap" => &mut theme.gap,
            _ => return Err(wrong(value, format!("{part} is no part of a theme"))),
        };
        *slot = color;
    }
    Ok(theme)
}

/// `$NAME/switchback/file`, else `~/fallback/switchback/file`; a relative `$NAME` does not count (XDG).
fn place(env: &impl Environment, name: &str, fallback: &str, file: &str) -> Option<PathBuf> {
    let named = env.var(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || env.var("HOME").filter(|h| !h.is_empty()).map(|h| Path::new(&h).join(fallback));
    Some(named.or_else(home)?.join("switchback").join(file))
}

/// Where the configuration is looked for: `$SWITCHBACK_CONFIG`, else the XDG place.
pub(crate) fn path(env: &impl Environment) -> Option<PathBuf> {
    let named = env.var("SWITCHBACK_CONFIG").filter(|p| !p.is_empty()).map(PathBuf::from);
    named.or_else(|| place(env, "XDG_CONFIG_HOME", ".config", "config.toml"))
}

/// Where the last session is kept.
pub(crate) fn session_path(env: &impl Environment) -> Option<PathBuf> {
    place(env, "XDG_STATE_HOME", ".local/state", "session.toml")
}

/// Where a session ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) model: Option<PathBuf>,
    pub(crate) pictures: Vec<PathBuf>,
    /// Which of the pictures, from 0.
    pub(crate) picture: usize,
    pub(crate) layer: Option<String>,
    pub(crate) channel: Option<usize>,
    pub(crate) place: Option<[usize; 2]>,
    pub(crate) class: Option<usize>,
    pub(crate) rule: String,
    pub(crate) view: usize,
    pub(crate) colormap: String,
    pub(crate) range: String,
}

impl Session {
    /// As it is written down.
    pub(crate) fn range_text(range: Range) -> String {
        match range {
            Range::Picture => "picture".into(),
            Range::Layer => "layer".into(),
            Range::Fixed([low, high]) => format!("{low},{high}"),
        }
    }

    /// Reads the last session.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] with the line.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        toml::from_str(&text).map_err(|e| Error::format(path, in_line(&text, e.span(), e.message())))
    }

    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let text = toml::to_string(self).map_err(|e| Error::Invalid(e.to_string()))?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        switchback_core::atomic::write_bytes(path, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Action;

    #[test]
    fn the_default_text_is_the_default() {
        let config = Config::parse(&default_text()).unwrap();
        assert_eq!((config.frames_per_second, config.cache), (60, 512 << 20));
        for binding in crate::keys::TABLE {
            assert_eq!(config.keys.keys(binding.action), KeyMap::default().keys(binding.action), "{}", binding.name);
        }
        assert_eq!(config.look.themes, Theme::built_in());
    }

    #[test]
    fn settings_are_taken() {
        let text = "color = \"256\"\ntheme = \"sea\"\nrange = \"0,2.5\"\nmouse = false\n[keys]\nquit = [\"Q\", \"ctrl-q\"]\n\
                    [themes.sea]\nbase = \"light\"\naccent = \"#40c0ff\"\n";
        let config = Config::parse(text).unwrap();
        assert_eq!((config.color, config.look.range), (Some(ColorMode::Ansi256), Range::Fixed([0.0, 2.5])));
        let theme = &config.look.themes[config.look.theme];
        assert_eq!((&theme.name[..], theme.accent, theme.light), ("sea", [0x40, 0xc0, 0xff], true));
        assert_eq!(config.keys.action("Q".parse().unwrap()), Some(Action::Quit));
        assert_eq!(config.keys.action("q".parse().unwrap()), None);
        assert!(!config.look.mouse && !config.look.theme_follows);
    }

    #[test]
    fn errors_tell_line_and_key() {
        for (text, line, words) in [
            ("fps = 60\ncolour = \"256\"", 2, "colour"),
            ("color = \"rainbow\"", 1, "auto, truecolor"),
            ("\n\nfps = 0", 3, "1 to 240"),
            ("fps = \"x\"", 1, "fps"),
            ("[keys]\nquti = [\"q\"]", 2, "quit"),
            ("[keys]\nquit = [\"qq\"]", 2, "not a key"),
            ("[keys]\nquit = \"qq\"", 2, "not a key"),
            ("[keys]\nquit = 3", 2, "a key such as \"q\", or a list of keys, was expected"),
            ("[keys]\nquit = [\"s\"]\nhelp = [\"s\"]", 3, "both help and quit"),
            ("[themes.a]\naccent = \"blue\"", 2, "#40c0ff"),
            ("[themes.a]\nacent = \"#000000\"", 2, "no part of a theme"),
            ("theme = \"sea\"", 1, "contrast"),
            ("range = \"5,1\"", 1, "two numbers"),
            ("mouse = maybe", 1, "mouse"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert!(error.starts_with(&format!("line {line} ")) && error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn places_follow_xdg() {
        let both: &[(&str, &str)] = &[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")];
        assert_eq!(path(&both), Some("/c/switchback/config.toml".into()));
        let home: &[(&str, &str)] = &[("HOME", "/h"), ("XDG_CONFIG_HOME", "relative")];
        assert_eq!(path(&home), Some("/h/.config/switchback/config.toml".into()));
        assert_eq!(session_path(&home), Some("/h/.local/state/switchback/session.toml".into()));
        let none: &[(&str, &str)] = &[];
        assert_eq!(path(&none), None);
        let named: &[(&str, &str)] = &[("SWITCHBACK_CONFIG", "x.toml")];
        assert_eq!(path(&named), Some("x.toml".into()));
    }

    #[test]
    fn sessions_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/session.toml");
        let session = Session {
            pictures: vec!["a b.png".into()],
            layer: Some("fire9/\u{1b}".into()),
            place: Some([3, 4]),
            rule: "guided".into(),
            ..Session::default()
        };
        session.write(&path).unwrap();
        assert_eq!(Session::read(&path).unwrap(), session);
        std::fs::write(&path, "picture = -1").unwrap();
        assert!(Session::read(&path).unwrap_err().to_string().contains("line 1"));
    }
}
