//! The tour's pictures: the real program, driven by keys, its screens as SVG. `docs/tour.sh` writes them.

use std::path::Path;
use std::time::Duration;

use crate::stage::Stage;
use crate::svg;

/// A picture, and how to come to it.
struct Stop {
    name: &'static str,
    size: [u16; 2],
    color: &'static str,
    keys: &'static [&'static str],
    /// What must then be on the screen.
    shows: &'static str,
}

const fn stop(
    name: &'static str,
    size: [u16; 2],
    color: &'static str,
    keys: &'static [&'static str],
    shows: &'static str,
) -> Stop {
    Stop { name, size, color, keys, shows }
}

const STOPS: [Stop; 6] = [
    stop("browse", [120, 40], "truecolor", &["/fire6/concat_1\r", "a", "a"], "fire6/concat_1 ·"),
    stop("projection", [120, 40], "truecolor", &["/fire4/concat_1\r", "a", "a", "2"], "guided"),
    stop("occlusion", [120, 40], "truecolor", &["3", "jjjjjjjjllllllll"], "whole picture: "),
    stop("help", [120, 40], "truecolor", &["?", "pict"], "Keys"),
    stop("colours-256", [80, 24], "256", &["/fire6/concat_1\r", "a", "a"], "fire6/concat_1 ·"),
    stop("no-colours", [80, 24], "none", &["/fire6/concat_1\r", "a", "a"], "fire6/concat_1 ·"),
];

#[test]
fn the_tour() {
    let folder = std::env::var_os("SWITCHBACK_TOUR");
    let Some(stage) = Stage::real() else {
        assert!(folder.is_none(), "the tour's pictures are those of the real network");
        return;
    };
    for Stop { name, size, color, keys, shows } in STOPS {
        let mut terminal = stage.browse(size, &["--color", color]);
        // A picture that is kept waits for all that a slow machine may still owe.
        let quiet = Duration::from_millis(if folder.is_some() { 700 } else { 170 });
        for part in keys {
            terminal.send(part.as_bytes());
            terminal.settle(quiet);
        }
        terminal.shows(&[shows]);
        let picture = svg::picture(terminal.parser.screen());
        assert!(picture.starts_with("<svg") && picture.matches("<text").count() > 20 && picture.len() < 120_000);
        if let Some(folder) = &folder {
            std::fs::write(Path::new(folder).join(format!("{name}.svg")), picture).expect("it is written");
        }
        // Out of what may lie on top.
        terminal.send(b"\x1bq");
        terminal.ends_with(0);
    }
}
