//! Screens held against text files, character for character: from the network that can be reckoned by hand, so that they
//! are the same on every machine. With `SWITCHBACK_BLESS=1` the files are written anew; look at what `git diff` says then.

use std::path::{Path, PathBuf};

use crate::color::ColorMode;
use crate::job::{Answer, Entry, Kind};
use crate::message::Message;
use crate::stage::{Stage, tiny};
use crate::state::Overlay;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/screens").join(name)
}

/// The difference between a screen and its file, where there is one.
fn differs(stage: &Stage, name: &str) -> Option<String> {
    let [columns, rows] = stage.state.size;
    let name = format!("{name}-{columns}x{rows}.txt");
    let lines: Vec<String> = stage.screen().iter().map(|row| row.trim_end().to_owned()).collect();
    let text = lines.join("\n") + "\n";
    if std::env::var_os("SWITCHBACK_BLESS").is_some() {
        std::fs::write(file(&name), text).unwrap();
        return None;
    }
    let wanted = std::fs::read_to_string(file(&name)).unwrap_or_default();
    let row = wanted.lines().zip(&lines).position(|(a, b)| a != b).unwrap_or(wanted.lines().count().min(lines.len()));
    (wanted != text).then(|| format!("{name}, row {row}:\n{}\n", text))
}

fn stage(size: [u16; 2]) -> Stage {
    let mut stage = Stage::new(size, ColorMode::None).open(tiny(1));
    stage.sweeps = true;
    stage
}

#[test]
fn screens_are_as_they_were() {
    let mut differences = Vec::new();
    for size in [[80, 24], [120, 40], [200, 60]] {
        for (name, keys) in [("browse", &[][..]), ("projection", &["2"]), ("occlusion", &["3", "l", "j"])] {
            let mut stage = stage(size);
            stage.press(keys);
            differences.extend(differs(&stage, name));
        }
    }
    for (name, keys) in [
        ("classes", &["w", "w", "w", "j"][..]),
        ("map", &["g", "enter", "l"]),
        ("maps-alone", &["e"]),
        ("pinned", &["p", ".", "2"]),
        ("top", &["4"]),
        ("help", &["?", "p", "i", "c", "t"]),
        ("palette", &[":", "l", "a"]),
        ("find", &["/", "c", "o", "n", "v"]),
        ("last-layer", &["esc", "G"]),
        ("notice", &["b"]),
        ("frozen", &["f", "."]),
    ] {
        let mut stage = stage([80, 24]);
        stage.press(keys);
        differences.extend(differs(&stage, name));
    }
    differences.extend(differs(&picker(), "picker"));
    differences.extend(differs(&Stage::new([80, 24], ColorMode::None), "no-model"));
    let mut without = Stage::new([80, 24], ColorMode::None);
    without.state.pictures.clear();
    differences.extend(differs(&without.open(tiny(1)), "no-picture"));
    differences.extend(differs(&stage([50, 12]), "too-small"));
    assert!(differences.is_empty(), "{} screens differ:\n{}", differences.len(), differences.join("\n"));
}

fn picker() -> Stage {
    let mut stage = stage([80, 24]);
    stage.press(&["o"]);
    let entry = |name: &str, folder: bool| Entry { name: name.into(), path: name.into(), folder, bytes: 2048 };
    let entries = vec![entry("sub", true), entry("a\u{1b}[2J.png", false), entry("b.png", false)];
    let generation = stage.state.flights[&Kind::List].generation;
    let Some(Overlay::Picker(picker)) = &stage.state.overlay else { panic!("no picker") };
    let (path, what) = (picker.folder.clone(), picker.what);
    stage.tell(Message::Job { kind: Kind::List, generation, answer: Answer::Listed { path, what, entries } });
    stage
}
