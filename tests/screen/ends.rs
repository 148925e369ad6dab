//! How the browser ends, stops and comes back, and how the terminal is left.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::stage::Stage;
use crate::terminal::Terminal;

#[test]
fn keys_end_it() {
    for keys in [&b"q"[..], b"\x03", b"\x1bq", b"?\x1b\x1bq", b":\x03\x03", b"3q"] {
        let mut terminal = Stage::drawn().browse([80, 24], &[]);
        terminal.send(keys);
        terminal.ends_with(0);
    }
}

#[test]
fn signals_end_it() {
    for (signal, status) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 143)] {
        let mut terminal = Stage::drawn().browse([80, 24], &[]);
        // While something is computed.
        terminal.send(b"3");
        terminal.signal(signal);
        terminal.ends_with(status);
    }
}

#[test]
fn a_broken_link_ends_it() {
    let mut terminal = Stage::drawn().browse([80, 24], &[]);
    terminal.unplug();
    let end = Instant::now() + Duration::from_secs(5);
    while !terminal.is_gone() {
        assert!(Instant::now() < end, "it goes on without a terminal");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_stops_and_comes_back() {
    let mut terminal = Stage::drawn().browse_as_job([120, 40]);
    let before = terminal.picture(38);
    for _ in 0..2 {
        terminal.send(b"\x1a");
        let stopped = |t: &Terminal| t.status("State").starts_with('T') && !t.parser.screen().alternate_screen();
        assert!(terminal.within(Duration::from_secs(5), stopped), "it does not stop:\n{}", terminal.text());
        assert!(!terminal.parser.screen().hide_cursor());
        terminal.send(b"\r");
        terminal.shows(&["Layers", "Classes"]);
        terminal.rest();
        assert!(terminal.parser.screen().alternate_screen());
        assert!(terminal.picture(38) == before, "it comes back otherwise:\n{}", terminal.text());
    }
    terminal.send(b"q");
    terminal.ends_with(0);
}

/// As under `ssh -t HOST switchback`.
#[test]
fn where_no_shell_waits_it_does_not_stop() {
    let mut terminal = Stage::drawn().browse([120, 40], &[]);
    terminal.send(b"\x1a");
    terminal.shows(&["cannot be suspended: no shell waits"]);
    assert!(!terminal.status("State").starts_with('T') && terminal.parser.screen().alternate_screen());
    terminal.send(b"q");
    terminal.ends_with(0);
}

/// As a debugger or a batch system does it: nobody asked the browser.
#[test]
fn stopped_from_outside_it_comes_back_and_leaves_the_terminal_as_it_was() {
    let mut terminal = Stage::drawn().browse([80, 24], &[]);
    for _ in 0..3 {
        terminal.signal(Signal::STOP);
        assert!(terminal.within(Duration::from_secs(5), |t| t.status("State").starts_with('T')), "it does not stop");
        terminal.signal(Signal::CONT);
        terminal.send(b"l");
        terminal.rest();
    }
    terminal.send(b"q");
    terminal.ends_with(0);
}

#[test]
fn what_was_looked_at_comes_back_with_resume() {
    let mut terminal = Stage::drawn().browse([120, 40], &[]);
    terminal.send(b"/fire5/concat\r");
    terminal.shows(&["256×27²", "fire5/concat ·"]);
    terminal.send(b"2b]");
    terminal.shows(&["2/2"]);
    terminal.rest();
    terminal.send(b"q");
    terminal.ends_with(0);
    let mut terminal = Terminal::start(terminal.home.clone(), [120, 40], &["browse", "--resume"]);
    terminal.shows(&["rings.png", "2/2", "fire5/concat", "gradient"]);
    terminal.send(b"q");
    terminal.ends_with(0);
}
