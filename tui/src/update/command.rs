//! The palette's commands, and the command line that reproduces what is shown.

use std::path::{Path, PathBuf};

use switchback_core::projection::Seed;

use super::{act, answers, moves, open_model, overlays};
use crate::colormap::MapName;
use crate::keys::{TABLE, named};
use crate::message::Effect;
use crate::state::{Hit, Pane, RULES, Range, State, View, rule_index, rule_name};

/// A command that takes a value.
pub(crate) struct WithValue {
    pub(crate) name: &'static str,
    pub(crate) value: &'static str,
    pub(crate) what: &'static str,
}

/// All of them; the others are the actions of the key table.
pub(crate) const WITH_VALUE: &[WithValue] = &[
    WithValue { name: "layer", value: "NAME", what: "selects a layer: a name, #INDEX, or part of a name" },
    WithValue { name: "unit", value: "N", what: "selects a unit of the layer" },
    WithValue { name: "place", value: "Y,X", what: "selects a place of the unit's map" },
    WithValue { name: "class", value: "N|NAME", what: "whose probability is mapped" },
    WithValue { name: "method", value: "deconv|gradient|guided", what: "how the signal passes a ReLU" },
    WithValue { name: "colormap", value: "ember|ice|moss|grey", what: "the colour map" },
    WithValue { name: "range", value: "picture|layer|LOW,HIGH", what: "what the colours span" },
    WithValue { name: "theme", value: "NAME", what: "a theme by name" },
    WithValue { name: "picture", value: "N", what: "the picture of this number" },
    WithValue { name: "open", value: "PATH", what: "opens a picture or a folder's listing" },
    WithValue { name: "model", value: "PATH", what: "opens a model" },
];

/// Does what was typed into the palette.
pub(super) fn run(state: &mut State, text: &str, effects: &mut Vec<Effect>) {
    let text = text.trim();
    let (name, value) = text.split_once(char::is_whitespace).map_or((text, ""), |(n, v)| (n, v.trim()));
    if value.is_empty()
        && let Some(binding) = named(name)
    {
        return act(state, binding.action, effects);
    }
    if let Err(what) = with_value(state, name, value, effects) {
        state.say(true, what);
    }
}

fn with_value(state: &mut State, name: &str, value: &str, effects: &mut Vec<Effect>) -> Result<(), String> {
    let subject = state.subject().cloned();
    let subject = || subject.clone().ok_or_else(|| "no model is open".to_owned());
    let number = |text: &str| text.trim().parse::<usize>().map_err(|_| format!("{text}: a whole number was expected"));
    let known = WITH_VALUE.iter().find(|c| c.name == name);
    if let Some(command) = known.filter(|_| value.is_empty()) {
        return Err(format!("{name} needs a value: {name} {}", command.value));
    }
    match name {
        "layer" => {
            let layer = subject()?.network().find(value).map_err(|e| e.to_string())?;
            moves::select_layer(state, layer);
        }
        "unit" => {
            let (n, count) = (number(value)?, subject()?.shape(state.selection.layer).c);
            if n >= count {
                return Err(format!("unit {n}: the layer has {count} (0–{})", count - 1));
            }
            moves::select_unit(state, n);
        }
        "place" => {
            let (y, x) = value.split_once(',').ok_or("a row and a column: place 6,6")?;
            let ([y, x], shape) = ([number(y)?, number(x)?], subject()?.shape(state.selection.layer));
            if y >= shape.h || x >= shape.w {
                return Err(format!("place {y},{x}: the maps are {}×{}", shape.h, shape.w));
            }
            state.selection.place = Some([y, x]);
        }
        "class" => {
            let class = answers::class_named(&*subject()?, value)?;
            moves::go_to(state, Hit::Class(class));
        }
        "method" => {
            let rule = RULES.into_iter().find(|&r| rule_name(r) == value);
            state.selection.rule = rule.ok_or("a rule: deconv, gradient or guided")?;
        }
        "colormap" => state.look.colormap = MapName::named(value).ok_or("a colour map: ember, ice, moss or grey")?,
        "range" => state.look.range = span(value)?,
        "theme" => {
            let at = state.look.themes.iter().position(|t| t.name == value);
            state.look.theme = at.ok_or_else(|| {
                let names: Vec<&str> = state.look.themes.iter().map(|t| &t.name[..]).collect();
                format!("themes are {}", names.join(", "))
            })?;
            state.look.theme_follows = false;
        }
        "picture" => {
            let n = number(value)?;
            if n == 0 || n > state.pictures.len() {
                return Err(format!("pictures are numbered 1 to {}", state.pictures.len()));
            }
            state.selection.picture = n - 1;
        }
        "open" => overlays::open_path(state, PathBuf::from(value), effects),
        "model" => open_model(state, Some(PathBuf::from(value)), effects),
        "" => {}
        other => return Err(format!("{other}: no such command; ? lists them")),
    }
    Ok(())
}

/// `picture`, `layer`, or two numbers.
pub(crate) fn span(text: &str) -> Result<Range, String> {
    match text {
        "picture" => Ok(Range::Picture),
        "layer" => Ok(Range::Layer),
        _ => text
            .split_once(',')
            .and_then(|(low, high)| Some([low.trim().parse::<f32>().ok()?, high.trim().parse().ok()?]))
            .filter(|[low, high]| low.is_finite() && high.is_finite() && low < high)
            .map(Range::Fixed)
            .ok_or_else(|| "picture, layer, or two numbers such as 0,12.5".into()),
    }
}

/// Whether the maps of a layer alone are on the screen.
pub(super) fn shows_features(state: &State) -> bool {
    state.view == View::Browse && state.expanded && state.pane == Pane::Maps
}

/// The subcommand that makes what is shown.
pub(crate) fn reproduce(state: &State) -> Option<String> {
    let subject = state.subject()?;
    let source = state.pictures.get(state.selection.picture)?;
    let mut words = vec!["switchback".to_owned()];
    let verb = match state.view {
        View::Occlusion => "occlude",
        View::Browse if shows_features(state) => "features",
        _ => "project",
    };
    words.push(verb.to_owned());
    if let Some(path) = &subject.path {
        words.extend(["-m".to_owned(), quote_path(path)]);
    }
    words.extend(state.options.iter().map(|o| quote(o)));
    words.push(quote(&source.name()));
    let layer = |id: usize| quote(&subject.network().node(id).name);
    match state.view {
        View::Occlusion => {
            let class = state.occlusion().and_then(|o| o.map.classes.first().copied()).or_else(|| state.class())?;
            words.extend(["--class".into(), class.to_string()]);
            if let Some((id, channel)) = state.sweep().unit {
                words.extend(["-l".into(), layer(id), "-c".into(), channel.to_string()]);
            }
        }
        View::Browse if shows_features(state) => words.extend(["-l".into(), layer(state.selection.layer)]),
        _ => {
            let unit = state.shown.projections[rule_index(state.selection.rule)]
                .as_ref()
                .map_or_else(|| state.unit(state.selection.rule), |seen| seen.unit);
            let Seed::Unit { channel, at: [y, x] } = unit.seed else { return None };
            words.extend(["-l".into(), layer(unit.layer), "-c".into(), channel.to_string()]);
            words.extend(["--at".into(), format!("{y},{x}"), "--rule".into(), rule_name(unit.rule).into()]);
        }
    }
    Some(words.join(" "))
}

/// A path as a word for a POSIX shell.
pub(crate) fn quote_path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

/// For a POSIX shell; control characters by their escapes.
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%#".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('#') {
        return text.to_owned();
    }
    if text.chars().any(char::is_control) {
        let escaped: String = text
            .chars()
            .map(|c| match c {
                '\'' | '\\' => format!("\\{c}"),
                c if c.is_control() => c.to_string().bytes().map(|b| format!("\\x{b:02x}")).collect(),
                c => c.to_string(),
            })
            .collect();
        return format!("$'{escaped}'");
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Names for the palette's completion, with what they do.
pub(crate) fn completions(typed: &str) -> Vec<(&'static str, &'static str, &'static str)> {
    let wanted = typed.trim_start().split(char::is_whitespace).next().unwrap_or("").to_lowercase();
    let actions = TABLE.iter().map(|b| (b.name, "", b.what));
    let values = WITH_VALUE.iter().map(|c| (c.name, c.value, c.what));
    let mut all: Vec<_> = values.chain(actions).filter(|c| c.0.contains(&wanted)).collect();
    all.sort_by_key(|c| (c.0 != wanted, !c.0.starts_with(&wanted)));
    all
}
