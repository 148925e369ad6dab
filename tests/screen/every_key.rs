//! Every view and every key of the table, as `config default` prints it, at three sizes.

use std::process::Command;

use crate::stage::{SIZES, Stage};
use crate::terminal::Terminal;

/// Actions with all their keys.
fn table() -> Vec<(String, Vec<String>)> {
    let printed = Command::new(env!("CARGO_BIN_EXE_switchback")).args(["config", "default"]).output().expect("it runs");
    let file: toml::Table = String::from_utf8(printed.stdout).expect("text").parse().expect("a sound file");
    let keys = file["keys"].as_table().expect("keys");
    let words = |v: &toml::Value| {
        v.as_array().expect("keys").iter().map(|k| k.as_str().expect("a key").to_owned()).collect::<Vec<_>>()
    };
    let table: Vec<_> = keys.iter().map(|(action, keys)| (action.clone(), words(keys))).collect();
    assert!(table.len() > 40, "{} actions", table.len());
    table
}

/// What a terminal sends for a key.
fn bytes(key: &str) -> Vec<u8> {
    match key {
        "left" => b"\x1b[D".into(),
        "right" => b"\x1b[C".into(),
        "up" => b"\x1b[A".into(),
        "down" => b"\x1b[B".into(),
        "home" => b"\x1b[H".into(),
        "end" => b"\x1b[F".into(),
        "pgup" => b"\x1b[5~".into(),
        "pgdn" => b"\x1b[6~".into(),
        "enter" => b"\r".into(),
        "esc" => b"\x1b".into(),
        "backspace" => b"\x7f".into(),
        "tab" => b"\t".into(),
        "backtab" => b"\x1b[Z".into(),
        "f1" => b"\x1bOP".into(),
        _ => match key.strip_prefix("ctrl-") {
            Some(letter) => vec![letter.as_bytes()[0] & 0x1f],
            None => {
                assert_eq!(key.chars().count(), 1, "how is {key} typed?");
                key.into()
            }
        },
    }
}

/// What the screen must show after a key, pressed while the Browse view is looked at.
fn words(action: &str) -> &'static [&'static str] {
    match action {
        "browse" => &["Layers", "Classes"],
        "projection" => &["What it sees", "gradient", "guided"],
        "occlusion" => &["Probability", "whole picture: "],
        "top-9" => &["switchback mine"],
        "evolution" => &["switchback evolve"],
        "filters" => &["switchback filters"],
        "invariance" => &["switchback invariance"],
        "correspondence" => &["switchback correspond"],
        "bench" => &["switchback bench net"],
        "next-view" => &["What it sees"],
        "previous-view" => &["switchback bench net"],
        "method" => &["gradient: a ReLU"],
        "colormap" => &["colour map ice"],
        "range" => &["colours span the whole layer"],
        "theme" => &["theme light"],
        "freeze" => &["frozen"],
        "pin" => &["pinned"],
        "previous-picture" | "next-picture" => &["2 of 2"],
        "open" => &["Open pictures"],
        "model" => &["Open a model"],
        "find" => &["Find"],
        "find-next" | "find-previous" => &["nothing was looked for"],
        "palette" => &["Command"],
        "help" => &["Keys", "Move"],
        "save" => &["wrote "],
        "copy" => &["copied: switchback "],
        "cancel" => &["nothing is being computed"],
        "mouse" => &["mouse off"],
        _ => &[],
    }
}

/// Presses one key.
fn press(terminal: &mut Terminal, action: &str, key: &str) {
    terminal.send(&bytes(key));
    terminal.shows(words(action));
    terminal.rest();
    assert!(terminal.parser.screen().alternate_screen(), "{key} ({action}) left the screen:\n{}", terminal.text());
}

/// Every key of the table, each from where it does something.
fn every_key(stage: &Stage, size: [u16; 2], table: &[(String, Vec<String>)]) {
    let mut terminal = stage.browse(size, &[]);
    for (action, keys) in table {
        for key in keys {
            // What comes after the key: out of what lies on top; what is switched is switched back.
            let after: &[u8] = match &action[..] {
                // These end or stop it, and have their own tests.
                "quit" | "interrupt" | "suspend" => continue,
                "open" | "model" | "find" | "palette" | "help" => b"\x1b",
                "hints" | "freeze" | "pin" | "mouse" | "expand" => &bytes(key),
                "method" => b"bb",
                "range" => b"rr",
                "theme" => b"TT",
                "previous-picture" | "next-picture" => b"]",
                "enter" | "back" | "first" => b"ww",
                _ => b"1",
            };
            press(&mut terminal, action, key);
            terminal.send(after);
        }
    }
    terminal.send(b"q");
    terminal.ends_with(0);
}

#[test]
fn every_view_and_every_key_at_three_sizes() {
    let (table, stages) = (table(), Stage::all());
    // Terminals mostly wait: all at once.
    std::thread::scope(|scope| {
        for (i, stage) in stages.iter().enumerate() {
            // What the network is made of changes little: the real one at one size.
            for &size in if i == 0 { &SIZES[..] } else { &SIZES[1..2] } {
                let table = &table;
                scope.spawn(move || every_key(stage, size, table));
            }
        }
    });
}

#[test]
fn copied_commands_reach_the_clipboard_and_saved_files_the_folder() {
    let mut terminal = Stage::drawn().browse([120, 40], &[]);
    terminal.send(b"y");
    terminal.shows(&["copied: "]);
    let copied = String::from_utf8(std::mem::take(&mut terminal.parser.callbacks_mut().0)).expect("text");
    // OSC 52 carries it in base64.
    assert!(copied.starts_with("c3dpdGNoYmFjay"), "{copied}");
    terminal.send(b"s");
    terminal.shows(&["wrote "]);
    let mut ends: Vec<_> = std::fs::read_dir(terminal.home.path())
        .expect("the folder")
        .filter_map(|e| Some(e.ok()?.path().extension()?.to_str()?.to_owned()))
        .collect();
    ends.sort();
    assert_eq!(ends, ["json", "npy", "png", "sh"]);
    terminal.send(b"q");
    terminal.ends_with(0);
}
