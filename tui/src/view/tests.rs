//! Whole screens, without colours: what every view and overlay shows at three sizes, from a network of random weights.

mod snapshots;

use std::time::Duration;

use crate::color::ColorMode;
use crate::job::{Answer, Kind};
use crate::message::{Effect, Message};
use crate::stage::{Stage, squeezenet};
use crate::state::{Overlay, Pane, State, View};
use crate::update::update;

const SIZES: [[u16; 2]; 3] = [[80, 24], [120, 40], [200, 60]];

#[test]
fn browse_shows_every_pane() {
    for size in SIZES {
        let mut stage = Stage::new(size, ColorMode::None).open(squeezenet(1));
        stage.shows(&["1 Browse", "Layers", "Input", "Projection deconv", "Classes", "enter in", " %", "squeeze"]);
        let screen = stage.screen();
        assert!(screen[1].contains("cat\\u{1b}") || size[0] < 100, "{}", screen[1]);
        // The cursor of the mosaic moves, and with it the selection in words.
        let before = stage.state.selection.channel;
        stage.press(&["l"]);
        assert!(stage.state.selection.channel == before + 1 || before == 511);
        stage.shows(&[&format!("unit {}", stage.state.selection.channel)]);
        // In and out.
        stage.press(&["enter"]);
        assert!(stage.state.zoomed && stage.state.selection.place.is_some());
        stage.shows(&["unit "]);
        stage.press(&["esc", "esc"]);
        assert_eq!((stage.state.zoomed, stage.state.pane), (false, Pane::Layers));
        // One pane alone.
        stage.press(&["e"]);
        stage.shows(&["Layers ", "conv1"]);
        assert!(!stage.screen().join("\n").contains("Classes"));
    }
}

#[test]
fn projection_shows_all_rules_and_what_is_pinned() {
    for size in SIZES {
        let mut stage = Stage::new(size, ColorMode::None).open(squeezenet(1));
        stage.press(&["2"]);
        stage.shows(&["Input", "What it sees", "deconv", "gradient", "guided", "Zeiler"]);
        stage.press(&["p", ".", "b"]);
        stage.shows(&["Pinned", "pinned", "gradient: a ReLU"]);
    }
}

#[test]
fn views_without_data_say_how_to_make_them() {
    let mut stage = Stage::new([80, 24], ColorMode::None).open(squeezenet(1));
    for (view, word) in
        View::ALL[3..].iter().zip(["mine", "evolve", "filters", "invariance", "correspond", "bench net"])
    {
        stage.press(&["tab"]);
        stage.press(&[&view.digit().to_string()[..]]);
        assert_eq!(stage.state.view, *view);
        stage.shows(&["no data yet", &format!("switchback {word}")]);
    }
}

#[test]
fn without_a_model_or_picture_the_screen_says_what_to_bring() {
    for size in SIZES {
        let stage = Stage::new(size, ColorMode::None);
        stage.shows(&["No model is open", "switchback models", "squeezenet1.1.onnx"]);
    }
    let mut stage = Stage::new([80, 24], ColorMode::None);
    stage.state.pictures.clear();
    let mut stage = stage.open(squeezenet(1));
    stage.shows(&["No picture: o opens"]);
    stage.press(&["3"]);
    stage.shows(&["No picture is open"]);
}

#[test]
fn a_small_terminal_says_so() {
    for size in [[59, 30], [80, 17], [20, 3], [1, 1]] {
        let stage = Stage::new(size, ColorMode::None).open(squeezenet(1));
        if size[0] > 40 && size[1] > 3 {
            stage.shows(&["too small", "60×18"]);
        }
        stage.screen();
    }
}

#[test]
fn help_lists_the_table_and_can_be_searched() {
    let mut stage = Stage::new([120, 40], ColorMode::None).open(squeezenet(1));
    stage.press(&["?"]);
    stage.shows(&["Keys", "h left", "Move"]);
    stage.press(&["s", "u", "s", "p"]);
    stage.shows(&["ctrl-z", "back to the shell"]);
    assert!(!stage.screen().join("\n").contains("the next colour map"));
    stage.press(&["esc"]);
    assert!(stage.state.overlay.is_none());
}

#[test]
fn the_palette_completes_and_obeys() {
    let mut stage = Stage::new([120, 40], ColorMode::None).open(squeezenet(1));
    stage.press(&[":", "l", "a", "y"]);
    stage.shows(&["Command", "layer NAME"]);
    stage.press(&["tab"]);
    stage.tell(Message::Paste("fire2/concat".into()));
    stage.press(&["enter"]);
    let layer = &stage.state.subject().unwrap().layers[stage.state.selection.layer].name;
    assert_eq!(layer, "fire2/concat");
    for (command, words) in [
        ("unit 9999", "the layer has"),
        ("place 999,0", "the maps are"),
        ("nonsense", "no such command"),
        ("unit x", "whole"),
    ] {
        stage.press(&[":"]);
        stage.tell(Message::Paste(command.into()));
        stage.press(&["enter"]);
        let notice = stage.state.notice.clone().unwrap();
        assert!(notice.bad && notice.text.contains(words), "{command}: {notice:?}");
    }
    stage.press(&[":"]);
    stage.tell(Message::Paste("theme contrast".into()));
    stage.press(&["enter"]);
    assert_eq!(stage.state.theme().name, "contrast");
}

#[test]
fn the_finder_goes_there_and_goes_on() {
    let mut stage = Stage::new([120, 40], ColorMode::None).open(squeezenet(1));
    stage.press(&["/"]);
    stage.tell(Message::Paste("concat".into()));
    stage.shows(&["Find", "layer #"]);
    stage.press(&["enter"]);
    let first = stage.state.selection.layer;
    stage.press(&["n"]);
    assert!(stage.state.selection.layer > first);
    stage.press(&["N"]);
    assert_eq!(stage.state.selection.layer, first);
    stage.press(&["/"]);
    stage.tell(Message::Paste("husky".into()));
    stage.press(&["enter"]);
    assert!(stage.state.subject().unwrap().class(stage.state.class().unwrap()).contains("husky"));
    stage.press(&["/", "1", "7", "enter"]);
    assert_eq!(stage.state.selection.channel, 17);
}

#[test]
fn every_mode_draws_pictures() {
    for mode in [ColorMode::TrueColor, ColorMode::Ansi256, ColorMode::Ansi16, ColorMode::None] {
        let stage = Stage::new([120, 40], mode).open(squeezenet(1));
        let screen = stage.screen().join("");
        let drawn = match mode {
            ColorMode::None => screen.matches(|c: char| ".:-=+*#%@".contains(c)).count(),
            _ => screen.matches('▀').count(),
        };
        assert!(drawn > 400, "{mode:?}: {drawn}");
    }
}

#[test]
fn time_passes_without_work() {
    let mut stage = Stage::new([120, 40], ColorMode::None).open(squeezenet(1));
    let before = stage.screen();
    stage.tell(Message::Clock(Duration::from_secs(100)));
    assert_eq!(stage.screen(), before, "an idle screen does not change");
    stage.press(&["f"]);
    stage.tell(Message::Clock(Duration::from_secs(200)));
    stage.shows(&["frozen"]);
    let seen = stage.state.shown.projections[0].as_ref().unwrap().unit;
    stage.press(&["."]);
    assert_eq!(stage.state.shown.projections[0].as_ref().unwrap().unit, seen, "nothing is computed");
    assert!(stage.state.flights.is_empty());
    stage.press(&["f"]);
    assert_ne!(stage.state.shown.projections[0].as_ref().unwrap().unit, seen);
}

#[test]
fn cancelling_comes_before_quitting() {
    let mut stage = Stage::new([80, 24], ColorMode::None).open(squeezenet(1));
    stage.press(&["3"]);
    assert!(stage.state.flights.contains_key(&Kind::Occlude));
    let quits = |state: &mut State| {
        let effects = update(state, Message::Key("ctrl-c".parse().unwrap()));
        effects.iter().any(|e| matches!(e, Effect::Quit))
    };
    assert!(!quits(&mut stage.state));
    assert!(stage.state.flights.is_empty(), "cancelled, and not asked for again");
    assert!(quits(&mut stage.state));
    stage.press(&["?"]);
    assert!(!quits(&mut stage.state) && stage.state.overlay.is_none());
}

#[test]
fn the_picker_lists_goes_up_and_opens() {
    let mut stage = Stage::new([80, 24], ColorMode::None).open(squeezenet(1));
    stage.press(&["o"]);
    let entry = |name: &str, folder: bool| crate::job::Entry {
        name: name.into(),
        path: format!("x/{name}").into(),
        folder,
        bytes: 2048,
    };
    let entries = vec![entry("sub", true), entry("a\u{1b}[2J.png", false), entry("b.png", false)];
    let generation = stage.state.flights[&Kind::List].generation;
    let Some(Overlay::Picker(picker)) = &stage.state.overlay else { panic!() };
    let (path, what) = (picker.folder.clone(), picker.what);
    stage.tell(Message::Job { kind: Kind::List, generation, answer: Answer::Listed { path, what, entries } });
    stage.shows(&["Open pictures", "sub/", "a\\u{1b}[2J.png", "2.0 KiB"]);
    stage.press(&["tab"]);
    assert_eq!((stage.state.pictures.len(), stage.state.selection.picture), (4, 2));
    assert!(stage.state.overlay.is_none());
}
