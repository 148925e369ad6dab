//! `update` by tables: keys that led to a state, a message, what it changed, what was asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::update;
use crate::color::ColorMode;
use crate::job::{Answer, Job, Kind, Scope};
use crate::message::{Effect, Message};
use crate::stage::{Stage, tiny};
use crate::state::{Overlay, Range, State, rule_name};

/// All that a user could tell of a state, by name.
fn told(state: &State) -> BTreeMap<&'static str, String> {
    let s = &state.selection;
    let overlay = match &state.overlay {
        None => "none".to_owned(),
        Some(Overlay::Help { line, .. }) => format!("help '{}'", line.text),
        Some(Overlay::Palette { line, .. }) => format!("palette '{}'", line.text),
        Some(Overlay::Find { line, chosen }) => format!("find '{}' {chosen}", line.text),
        Some(Overlay::Picker(picker)) => format!("{:?}", picker.what),
    };
    let range = match state.look.range {
        Range::Picture => "map".to_owned(),
        Range::Layer => "layer".to_owned(),
        Range::Fixed([low, high]) => format!("{low} to {high}"),
    };
    let mut flights: Vec<_> = state.flights.keys().collect();
    flights.sort();
    let layer = |s: &State| s.subject().map(|m| m.layers[s.selection.layer].name.clone()).unwrap_or_default();
    BTreeMap::from([
        ("picture", s.picture.to_string()),
        ("layer", layer(state)),
        ("unit", s.channel.to_string()),
        ("place", s.place.map_or("strongest".into(), |[y, x]| format!("{y},{x}"))),
        ("rule", rule_name(s.rule).into()),
        ("class", s.class.map_or("likeliest".into(), |c| c.to_string())),
        ("square", format!("{},{}", s.square[0], s.square[1])),
        ("view", state.view.name().into()),
        ("pane", format!("{:?}", state.pane)),
        ("alone", state.expanded.to_string()),
        ("zoomed", state.zoomed.to_string()),
        ("overlay", overlay),
        ("pinned", state.pin.is_some().to_string()),
        ("frozen", state.frozen.to_string()),
        ("colours", state.look.colormap.name().into()),
        ("range", range),
        ("theme", state.theme().name.clone()),
        ("hints", state.look.hints.to_string()),
        ("mouse", state.look.mouse.to_string()),
        ("size", format!("{}×{}", state.size[0], state.size[1])),
        ("mode", format!("{:?}", state.mode)),
        ("hover", state.hover.map_or("none".into(), |[x, y]| format!("{x},{y}"))),
        ("under way", format!("{flights:?}")),
        ("says", state.notice.as_ref().map_or(String::new(), |n| n.text.clone())),
    ])
}

/// `unit 3 → 4; pane Maps → Layers`
fn changes(before: &BTreeMap<&'static str, String>, after: &BTreeMap<&'static str, String>) -> String {
    let changed = |(name, was): (&&str, &String)| {
        let now = &after[*name];
        (was != now).then(|| match *name {
            "says" => format!("says {now}"),
            _ => format!("{name} {was} → {now}"),
        })
    };
    before.iter().filter_map(changed).collect::<Vec<_>>().join("; ")
}

fn asked(effects: &[Effect]) -> String {
    let word = |effect: &Effect| match effect {
        Effect::Submit(request) => match &request.job {
            Job::Open { .. } => "open".to_owned(),
            Job::Run { picture, scope: Scope::Glimpse { .. }, .. } => format!("glimpse {picture}"),
            Job::Run { picture, .. } => format!("run {picture}"),
            Job::Project { unit, .. } => format!("project {}", rule_name(unit.rule)),
            Job::Occlude { .. } => "occlude".to_owned(),
            Job::List { path, .. } => format!("list {}", path.display()),
            Job::Save(save) => format!("save {}", save.stem.display()),
        },
        Effect::Cancel(kind) => format!("cancel {kind:?}"),
        Effect::Copy(text) => format!("copy {text}"),
        Effect::Mouse(on) => format!("mouse {on}"),
        Effect::Redraw => "redraw".to_owned(),
        Effect::Suspend => "suspend".to_owned(),
        Effect::Quit => "quit".to_owned(),
    };
    effects.iter().map(word).collect::<Vec<_>>().join("; ")
}

/// A message from its text: a key, or `click 3,4`, `wheel 3,4`, `move 3,4`, `resize 9x9`, `paste x`, `clock 9`, `mode 256`,
/// `light`, `failed Run`, `panicked Run`.
fn message(text: &str, state: &State) -> Message {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let pair = |c: char| rest.split_once(c).map(|(x, y)| [x.parse().unwrap(), y.parse().unwrap()]).unwrap();
    let mouse =
        |kind, [column, row]: [u16; 2]| Message::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
    let answer = |answer: Answer| {
        let kind = Kind::ALL.into_iter().find(|k| format!("{k:?}") == rest).unwrap();
        let generation = state.flights.get(&kind).map_or(0, |f| f.generation);
        Message::Job { kind, generation, answer }
    };
    match word {
        "click" => mouse(MouseEventKind::Down(MouseButton::Left), pair(',')),
        "wheel" => mouse(MouseEventKind::ScrollDown, pair(',')),
        "move" => mouse(MouseEventKind::Moved, pair(',')),
        "resize" => Message::Resize(pair('x')),
        "paste" => Message::Paste(rest.into()),
        "clock" => Message::Clock(Duration::from_secs(rest.parse().unwrap())),
        "mode" => Message::Mode(ColorMode::Ansi256),
        "light" => Message::Background { light: true },
        "failed" => answer(Answer::Failed("it broke".into())),
        "panicked" => answer(Answer::Panicked("index".into())),
        _ => Message::Key(text.parse().unwrap()),
    }
}

/// Keys before, the message, what changed, what was asked for.
type Row = (&'static str, &'static str, &'static str, &'static str);

/// Runs a table: jobs of the keys before are done, those of the message stay asked for.
fn check(rows: &[Row]) {
    let mut wrong = Vec::new();
    let subject = tiny(1);
    for (before, text, changed, jobs) in rows {
        let mut stage = Stage::new([120, 40], ColorMode::TrueColor).open(subject.clone());
        stage.press(&["g"]);
        stage.press(&before.split_whitespace().collect::<Vec<_>>());
        stage.state.notice = None;
        let old = told(&stage.state);
        let message = message(text, &stage.state);
        let effects = update(&mut stage.state, message);
        let found = (changes(&old, &told(&stage.state)), asked(&effects));
        if found != ((*changed).to_owned(), (*jobs).to_owned()) {
            wrong.push(format!("({before:?}, {text:?}, {:?}, {:?}),", found.0, found.1));
        }
    }
    assert!(wrong.is_empty(), "{} rows are otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn moves_select_and_ask_for_projections() {
    check(&[
        ("", "l", "under way [] → [Project]; unit 0 → 1", "project deconv"),
        ("", "h", "", ""),
        ("", "j", "unit 0 → 2", ""),
        ("", "k", "", ""),
        ("", "J", "layer pool1 → conv2; under way [] → [Project]", "project deconv"),
        ("", "K", "layer pool1 → relu1; under way [] → [Project]", "project deconv"),
        ("", ".", "under way [] → [Project]; unit 0 → 1", "project deconv"),
        ("", ",", "", ""),
        ("", "a", "unit 0 → 2", ""),
        ("", "G", "under way [] → [Project]; unit 0 → 3", "project deconv"),
        ("", "pgdn", "under way [] → [Project]; unit 0 → 3", "project deconv"),
        ("", "pgup", "", ""),
        ("l l", "h", "unit 2 → 1", ""),
        ("l", "a", "unit 1 → 2", ""),
        ("enter", "l", "place 3,2 → 3,3; under way [] → [Project]", "project deconv"),
        ("enter", "G", "place 3,2 → 3,3; under way [] → [Project]", "project deconv"),
        ("enter", ".", "under way [] → [Project]; unit 0 → 1", "project deconv"),
        ("enter", "J", "layer pool1 → conv2; place 3,2 → strongest; under way [] → [Project]", "project deconv"),
        ("b", "l", "under way [] → [Project]; unit 0 → 1", "project gradient"),
        ("esc", "j", "layer pool1 → conv2; under way [] → [Project]", "project deconv"),
        ("esc", "G", "layer pool1 → prob", ""),
        ("esc", "l", "pane Layers → Maps", ""),
        ("2", "j", "place strongest → 3,2", ""),
        ("3", "l", "", ""),
        ("w w w", "j", "class likeliest → 1", ""),
        ("w w w j", "enter", "layer pool1 → mean; under way [] → [Project]; unit 0 → 1", "project deconv"),
        ("K K K K K K K", "K", "", ""),
    ]);
}

#[test]
fn views_panes_and_levels() {
    check(&[
        ("", "enter", "place strongest → 3,2; zoomed false → true", ""),
        ("", "esc", "pane Maps → Layers", ""),
        ("", "tab", "under way [] → [Project]; view Browse → Projection", "project gradient"),
        ("", "backtab", "view Browse → Bench", ""),
        ("", "2", "under way [] → [Project]; view Browse → Projection", "project gradient"),
        ("", "3", "under way [] → [Occlude]; view Browse → Occlusion", "occlude"),
        ("", "4", "view Browse → Top-9", ""),
        ("", "9", "view Browse → Bench", ""),
        ("", "w", "pane Maps → Input", ""),
        ("", "W", "pane Maps → Layers", ""),
        ("", "e", "alone false → true", ""),
        ("enter", "esc", "place 3,2 → strongest; zoomed true → false", ""),
        ("esc", "enter", "pane Layers → Maps", ""),
        ("e", "esc", "alone true → false", ""),
        ("2", "esc", "view Projection → Browse", ""),
        ("3", "1", "under way [Occlude] → []; view Occlusion → Browse", "cancel Occlude"),
        ("e", "2", "alone true → false; under way [] → [Project]; view Browse → Projection", "project gradient"),
        ("w", "enter", "under way [] → [Project]; view Browse → Projection", "project gradient"),
    ]);
}

#[test]
fn how_things_are_shown() {
    check(&[
        (
            "",
            "b",
            "rule deconv → gradient; says gradient: a ReLU passes what it passed on the way up: the true gradient (Simonyan 2013); under way [] → [Project]",
            "project gradient",
        ),
        ("", "c", "colours ember → ice; says colour map ice", ""),
        ("", "r", "range map → layer; says colours span the whole layer: maps can be compared", ""),
        ("", "T", "says theme light; theme dark → light", ""),
        ("", "H", "hints true → false", ""),
        ("", "f", "frozen false → true; says frozen: nothing new is computed until f", ""),
        ("", "p", "pinned false → true; says pinned 0 of pool1 · cat\\u{1b}[31m.png", ""),
        (
            "b b",
            "b",
            "rule guided → deconv; says deconv: a ReLU passes the positive part of the signal (Zeiler & Fergus 2013)",
            "",
        ),
        ("r", "r", "range layer → 0 to 0.94117653; says colours span 0.00 to 0.94: pictures can be compared", ""),
        ("r r", "r", "range 0 to 0.94117653 → map; says colours span each map's own numbers", ""),
        ("f", "l", "unit 0 → 1", ""),
        ("f l", "f", "frozen true → false; says computing again; under way [] → [Project]", "project deconv"),
        ("p", "p", "pinned true → false; says let go of what was pinned", ""),
        ("p", ".", "under way [] → [Project]; unit 0 → 1", "project deconv"),
    ]);
}

#[test]
fn what_lies_on_top_takes_the_keys() {
    check(&[
        ("", "o", "overlay none → Pictures; under way [] → [List]", "list ."),
        ("", "m", "overlay none → Models; under way [] → [List]", "list ."),
        ("", "/", "overlay none → find '' 0", ""),
        ("", ":", "overlay none → palette ''", ""),
        ("", "?", "overlay none → help ''", ""),
        ("?", "q", "overlay help '' → help 'q'", ""),
        ("?", "esc", "overlay help '' → none", ""),
        ("? q", "backspace", "overlay help 'q' → help ''", ""),
        ("/", "c", "overlay find '' 0 → find 'c' 0", ""),
        (
            "/ c o n v",
            "enter",
            "layer pool1 → conv1; overlay find 'conv' 0 → none; under way [] → [Project]",
            "project deconv",
        ),
        (
            "/ c o n v enter",
            "n",
            "layer conv1 → conv2; says conv: 2 of 2: conv2; under way [] → [Project]",
            "project deconv",
        ),
        (
            "/ c o n v enter",
            "N",
            "layer conv1 → conv2; says conv: 2 of 2: conv2; under way [] → [Project]",
            "project deconv",
        ),
        ("/ z z", "enter", "overlay find 'zz' 0 → none; says zz: no layer, class or unit", ""),
        ("", "n", "says nothing was looked for: / finds layers, classes and units", ""),
        (": c l a", "tab", "overlay palette 'cla' → palette 'class '", ""),
        (": q u i t", "enter", "overlay palette 'quit' → none", "quit"),
        (": u n i t space 2", "enter", "overlay palette 'unit 2' → none; unit 0 → 2", ""),
        (": u n i t space 9", "enter", "overlay palette 'unit 9' → none; says unit 9: the layer has 4 (0–3)", ""),
        ("?", "ctrl-c", "overlay help '' → none", ""),
        ("/ a", "alt-q", "overlay find 'a' 0 → none", "quit"),
        ("/", "paste conv2", "overlay find '' 0 → find 'conv2' 0", ""),
    ]);
}

#[test]
fn work_is_cancelled_saved_and_ended() {
    check(&[
        ("", "x", "says nothing is being computed", ""),
        ("", "s", "under way [] → [Save]", "save cat_u_1b__31m-pool1-0-deconv"),
        (
            "",
            "y",
            "says copied: switchback project -m tiny.safetensors $'photos/cat\\x1b[31m.png' -l pool1 -c 0 --at 3,2 --rule deconv",
            "copy switchback project -m tiny.safetensors $'photos/cat\\x1b[31m.png' -l pool1 -c 0 --at 3,2 --rule deconv",
        ),
        ("", "]", "picture 0 → 1; says dog.png · 2 of 2; under way [] → [Run]", "glimpse 1"),
        ("", "[", "picture 0 → 1; says dog.png · 2 of 2; under way [] → [Run]", "glimpse 1"),
        ("2", "]", "picture 0 → 1; says dog.png · 2 of 2; under way [] → [Run]", "run 1"),
        ("", "ctrl-l", "", "redraw"),
        ("", "ctrl-c", "", "quit"),
        ("", "ctrl-z", "", "suspend"),
        ("", "q", "", "quit"),
        ("", "alt-q", "pane Maps → Layers", "quit"),
        ("", "alt-l", "", ""),
        ("", "alt-esc", "pane Maps → Layers", ""),
        ("3", "x", "says cancelled occluding; under way [Occlude] → []", "cancel Occlude"),
        ("3", "ctrl-c", "says cancelled occluding; under way [Occlude] → []", "cancel Occlude"),
        ("3 x", "1", "view Occlusion → Browse", ""),
        ("3", "]", "picture 0 → 1; says dog.png · 2 of 2; under way [Occlude] → [Run, Occlude]", "run 1"),
        ("3", "1", "under way [Occlude] → []; view Occlusion → Browse", "cancel Occlude"),
        ("]", "[", "picture 1 → 0; says cat\\u{1b}[31m.png · 1 of 2", ""),
    ]);
}

/// Presses a key after `answers` jobs of those before it are done; what it asks for.
fn asked_after(stage: &mut Stage, keys: [&str; 2], answers: usize) -> String {
    let key = |stage: &mut Stage, key: &str| update(&mut stage.state, Message::Key(key.parse().unwrap()));
    let mut effects = key(stage, keys[0]);
    for _ in 0..answers {
        effects = stage.perform(effects.pop().unwrap());
    }
    asked(&key(stage, keys[1]))
}

#[test]
fn of_a_new_picture_the_screen_comes_before_the_whole_trace() {
    let subject = tiny(1);
    let open = || Stage::new([120, 40], ColorMode::TrueColor).open(subject.clone());
    let mut stage = open();
    let mut effects = update(&mut stage.state, Message::Key("]".parse().unwrap()));
    let mut seen = Vec::new();
    while let Some(effect) = effects.pop() {
        seen.push(asked(std::slice::from_ref(&effect)));
        effects = stage.perform(effect);
        assert!(stage.state.maps().is_some() && stage.state.run_is_current(), "after {seen:?}");
        // The frame that ends what was waited for is drawn at once.
        assert_eq!(stage.state.awaits(), seen.len() == 1, "after {seen:?}");
    }
    assert_eq!(seen, ["glimpse 1", "project deconv", "run 1"]);
    assert_eq!(stage.state.run().unwrap().scope, Scope::Whole);
    assert!(stage.state.shown.projections[0].as_ref().is_some_and(|s| stage.state.is_current(s)));
    assert!(stage.state.flights.is_empty() && stage.state.failed.is_empty());

    // Whoever moves on meanwhile gets the whole trace, once.
    assert_eq!(asked_after(&mut open(), ["]", "l"], 0), "");
    assert_eq!(asked_after(&mut open(), ["]", "J"], 0), "glimpse 1");
    assert_eq!(asked_after(&mut open(), ["]", "J"], 1), "run 1");
    assert_eq!(asked_after(&mut open(), ["]", "J"], 2), "", "it is under way");
    assert_eq!(asked_after(&mut open(), ["]", "l"], 2), "project deconv", "and goes on");
    assert_eq!(asked_after(&mut open(), ["]", "["], 2), "cancel Run");
    // Where it cannot be had, each layer comes by itself.
    let mut stage = open();
    asked_after(&mut stage, ["]", "x"], 2);
    let generation = stage.state.generation;
    assert_eq!(stage.state.failed[&Kind::Run].1, "cancelled");
    assert_eq!(asked(&update(&mut stage.state, Message::Key("J".parse().unwrap()))), "glimpse 1");
    assert_eq!(stage.state.generation, generation + 1);
}

#[test]
fn mouse_terminal_and_answers() {
    check(&[
        ("", "click 20,0", "hover none → 20,0; under way [] → [Project]; view Browse → Projection", "project gradient"),
        ("", "click 10,5", "hover none → 10,5; pane Maps → Layers", ""),
        ("", "click 45,6", "hover none → 45,6; place strongest → 3,2; zoomed false → true", ""),
        ("", "click 45,30", "hover none → 45,30", ""),
        ("", "wheel 45,6", "hover none → 45,6; unit 0 → 2", ""),
        (
            "",
            "wheel 10,6",
            "hover none → 10,6; layer pool1 → conv2; pane Maps → Layers; under way [] → [Project]",
            "project deconv",
        ),
        ("", "move 45,6", "hover none → 45,6", ""),
        ("", "resize 80x24", "size 120×40 → 80×24", ""),
        ("", "resize 10x3", "size 120×40 → 10×3", ""),
        ("", "paste xyz", "", ""),
        ("", "clock 100", "", ""),
        ("", "mode 256", "mode TrueColor → Ansi256", ""),
        ("", "light", "theme dark → light", ""),
        ("M", "click 10,5", "", ""),
        ("T", "light", "", ""),
        ("3", "failed Occlude", "says it broke; under way [Occlude] → []", ""),
        (
            "3",
            "panicked Occlude",
            "says a fault while occluding: index; please report it; under way [Occlude] → []",
            "",
        ),
        ("", "failed Run", "", ""),
        ("3", "click 90,20", "hover none → 90,20", ""),
    ]);
}
