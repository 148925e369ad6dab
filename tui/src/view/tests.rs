//! Whole screens, without colours: what every view and overlay shows at three sizes, from a network of random weights.

mod snapshots;

use std::time::Duration;

use crate::color::ColorMode;
use crate::job::{Answer, Job, Kind, Scope};
use crate::message::{Effect, Message};
use crate::stage::{Stage, squeezenet};
use crate::state::{Hit, Overlay, Pane, State, View};
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
    let Some(Overlay::Picker(picker)) = &stage.state.overlay else { panic!() };
    assert_eq!(picker.chosen, 0, "the picture that is open is not here");
    stage.press(&["tab"]);
    assert_eq!((stage.state.pictures.len(), stage.state.selection.picture), (4, 2));
    assert!(stage.state.overlay.is_none());
    // The list begins at what is open.
    stage.press(&["]", "o"]);
    let generation = stage.state.flights[&Kind::List].generation;
    let Some(Overlay::Picker(picker)) = &stage.state.overlay else { panic!() };
    let (path, what) = (picker.folder.clone(), picker.what);
    let entries = vec![entry("sub", true), entry("a.png", false), entry("b.png", false)];
    assert_eq!(stage.state.pictures[3].path(), Some(&*entries[2].path));
    stage.tell(Message::Job { kind: Kind::List, generation, answer: Answer::Listed { path, what, entries } });
    let Some(Overlay::Picker(picker)) = &stage.state.overlay else { panic!() };
    assert_eq!(picker.chosen, 2);
}

#[test]
fn of_a_picture_that_cannot_be_read_nothing_else_is_shown() {
    let mut stage = Stage::new([120, 40], ColorMode::TrueColor).open(squeezenet(1));
    let fail = |stage: &mut Stage| {
        update(&mut stage.state, Message::Key("]".parse().unwrap()));
        let generation = stage.state.flights[&Kind::Run].generation;
        stage.tell(Message::Job { kind: Kind::Run, generation, answer: Answer::Failed("it is no picture".into()) });
    };
    let drawn = |stage: &Stage| stage.screen().join("").matches('▀').count();
    let before = drawn(&stage);
    fail(&mut stage);
    assert!(stage.state.run().is_none() && before > 400 && drawn(&stage) == 0, "{before}, {}", drawn(&stage));
    // Also when the red line is gone.
    stage.tell(Message::Clock(Duration::from_secs(100)));
    stage.shows(&["it is no picture", "dog.png"]);
    stage.press(&["["]);
    assert_eq!(drawn(&stage), before);
    let mut stage = Stage::new([120, 40], ColorMode::TrueColor).open(squeezenet(1));
    // More of a picture that is shown may fail to come without harm.
    let mut effects = update(&mut stage.state, Message::Key("]".parse().unwrap()));
    while !effects
        .iter()
        .any(|e| matches!(e, Effect::Submit(r) if matches!(&r.job, Job::Run { scope: Scope::Whole, .. })))
    {
        effects = stage.perform(effects.pop().unwrap());
    }
    let generation = stage.state.flights[&Kind::Run].generation;
    stage.tell(Message::Job { kind: Kind::Run, generation, answer: Answer::Failed("too large".into()) });
    assert!(stage.state.run_is_current() && drawn(&stage) > 400);
}

#[test]
fn the_mouse_tells_what_lies_under_it() {
    let mut stage = Stage::new([120, 40], ColorMode::TrueColor).open(squeezenet(1));
    stage.state.look.mouse = true;
    let at = |stage: &mut Stage, [column, row]: [u16; 2]| {
        let kind = crossterm::event::MouseEventKind::Moved;
        stage.tell(Message::Mouse(crossterm::event::MouseEvent {
            kind,
            column,
            row,
            modifiers: crossterm::event::KeyModifiers::NONE,
        }));
        stage.screen()[38].trim().to_owned()
    };
    for (place, begins) in [
        ([10, 10], "#"),
        ([45, 10], "unit "),
        ([95, 10], "pixel "),
        ([90, 28], "pixel "),
        ([110, 28], "deconv at "),
        ([90, 36], "class "),
    ] {
        let text = at(&mut stage, place);
        assert!(text.starts_with(begins), "{place:?}: {text}");
    }
    let seen = stage.state.shown.projections[0].clone().unwrap();
    let (window, tensor) = (seen.projection.window, &seen.projection.tensor);
    let text = at(&mut stage, [110, 28]);
    let place = text["deconv at ".len()..].split(':').next().unwrap();
    let [y, x] = [0, 1].map(|i| place.split(',').nth(i).unwrap().parse::<usize>().unwrap());
    assert!((window.y0..window.y1).contains(&y) && (window.x0..window.x1).contains(&x), "{text} {window:?}");
    // The network takes blue first.
    let red = super::text::number(tensor.channel(0, 2)[y * tensor.shape.w + x]);
    assert!(text.contains(&format!("red {red}, ")), "{text}");
    stage.press(&["2"]);
    for (place, begins) in
        [([10, 10], "pixel "), ([50, 10], "pixel "), ([100, 10], "deconv at "), ([15, 25], "gradient at ")]
    {
        let text = at(&mut stage, place);
        assert!(text.starts_with(begins), "{place:?}: {text}");
    }
}

#[test]
fn words_that_begin_so_are_found_first() {
    let stage = Stage::new([80, 24], ColorMode::None).open(squeezenet(1));
    let subject = stage.state.subject().unwrap();
    let name = |hit: &Hit| match hit {
        Hit::Class(class) => subject.class(*class).to_lowercase(),
        other => panic!("{other:?}"),
    };
    let found: Vec<String> = crate::update::overlays::search(&stage.state, "ret").iter().map(name).collect();
    let begins = |n: &String| n.starts_with("ret") || n.contains(" ret") || n.contains("-ret");
    let first = found.iter().take_while(|n| begins(n)).count();
    assert!(first >= 4 && found.len() > first + 3, "{found:?}");
    assert!(found.contains(&"american egret".to_owned()) && !found[first..].iter().any(begins), "{found:?}");
    let place =
        |n: &String| stage.state.run().unwrap().classes.iter().position(|c| subject.class(c.0).to_lowercase() == *n);
    assert!(found[..first].is_sorted_by_key(place), "the likelier first: {found:?}");
}

#[test]
fn a_unit_of_another_networks_layer_is_not_taken_up() {
    let open = |layer: &str| {
        let mut stage = Stage::new([80, 24], ColorMode::None);
        let wished = crate::state::Wished { layer: Some(layer.into()), channel: Some(3), ..Default::default() };
        stage.state.wished = Some(wished);
        stage.open(crate::stage::tiny(1)).state.selection
    };
    let subject = crate::stage::tiny(1);
    let known = subject.layers[1].name.clone();
    assert_eq!((open(&known).layer, open(&known).channel), (1, 3));
    let other = open("fire5/concat");
    assert_eq!(other.layer, subject.first_layer());
    let stage = Stage::new([80, 24], ColorMode::None).open(subject);
    assert_eq!(other.channel, stage.state.selection.channel, "the strongest, as without a wish");
}
