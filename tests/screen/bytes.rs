//! Bytes on the line, counted where the terminal reads them: 120 × 40 cells of 24-bit colours.

use std::time::Duration;

use crate::stage::Stage;

#[test]
fn a_step_an_idle_screen_and_a_whole_repaint_are_light() {
    for stage in Stage::all() {
        let mut terminal = stage.browse([120, 40], &[]);
        // On a busy machine the last job may be slow to end; after a whole second of silence nothing is left to come.
        terminal.settle(Duration::from_secs(1));
        let start = terminal.bytes;
        terminal.watch(Duration::from_secs(2));
        assert_eq!(terminal.bytes - start, 0, "an idle screen sends something:\n{}", terminal.text());

        terminal.send(b"\x0c");
        terminal.rest();
        let repaint = terminal.bytes - start;
        assert!((10_000..120_000).contains(&repaint), "{repaint} bytes repaint the screen");

        // Over edges of rows and pages of the mosaic.
        terminal.send(b"g");
        terminal.rest();
        let start = terminal.bytes;
        const STEPS: usize = 25;
        for _ in 0..STEPS {
            terminal.send(b"l");
            terminal.rest();
        }
        let step = (terminal.bytes - start) / STEPS;
        assert!((50..25_000).contains(&step), "{step} bytes a step");
        terminal.send(b"q");
        terminal.ends_with(0);
    }
}
