//! Floods: of sizes, of keys, of both; and the screen that is left.

use std::time::Duration;

use crate::stage::Stage;
use crate::terminal::Terminal;

/// Numbers without end, the same in every run.
struct Dice(u32);

impl Dice {
    fn below(&mut self, n: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % n
    }
}

/// What the screen shows is what a screen painted anew shows; its last rows speak of what passes.
fn nothing_is_left_over(terminal: &mut Terminal) {
    // On a busy machine a job may say nothing for a while.
    terminal.watch(Duration::from_millis(700));
    terminal.rest();
    let rows = terminal.parser.screen().size().0.get() - 2;
    let before = terminal.picture(rows);
    terminal.send(b"\x0c");
    terminal.rest();
    let differs = before.iter().zip(terminal.picture(rows)).position(|(a, b)| *a != b);
    assert_eq!(differs, None, "the screen was not what it should be:\n{}", terminal.text());
}

#[test]
fn two_hundred_sizes_leave_a_whole_screen() {
    let mut terminal = Stage::drawn().browse([120, 40], &[]);
    let mut dice = Dice(7);
    for turn in 0..200 {
        terminal.resize([1 + dice.below(220), 1 + dice.below(70)].map(|n| n as u16));
        match turn % 10 {
            0 => terminal.rest(),
            3 => terminal.send(b"l"),
            5 => terminal.send(b"j"),
            7 => terminal.send(&[b'1' + (dice.below(3) as u8)]),
            _ => terminal.watch(Duration::from_millis(u64::from(dice.below(20)))),
        }
    }
    terminal.resize([30, 10]);
    terminal.shows(&["too small"]);
    terminal.resize([120, 40]);
    terminal.send(b"1");
    terminal.shows(&["Layers", "Classes"]);
    nothing_is_left_over(&mut terminal);
    // In one burst: out, out, and away.
    terminal.resize([81, 25]);
    terminal.send(b"\x1b\x1bq");
    terminal.ends_with(0);
}

/// As over a slow link: long after they were asked for, in pieces.
#[test]
fn late_replies_are_no_keys() {
    let mut terminal = Stage::drawn().browse([80, 24], &[]);
    let before = terminal.picture(24);
    for part in [
        &b"\x1bP1$r0;48;2;1;"[..],
        b"2;3m\x1b",
        b"\\",
        b"\x1b[?2026;",
        b"2$y",
        b"\x1b]11;rgb:0000/00",
        b"00/0000\x07",
        b"\x1b[0n",
    ] {
        terminal.send(part);
        terminal.watch(Duration::from_millis(60));
    }
    terminal.rest();
    assert!(terminal.picture(24) == before, "a reply was taken for keys:\n{}", terminal.text());
    terminal.send(b"q");
    terminal.ends_with(0);
}

#[test]
fn ten_thousand_keys_are_taken_and_then_it_quits() {
    let mut terminal = Stage::drawn().browse([120, 40], &[]);
    let mut dice = Dice(11);
    let keys = b"hjklJK.,abcrgGeTH[]123456789w\t\r\x7f\x0c";
    let flood: Vec<u8> = (0..10_000).map(|_| keys[dice.below(keys.len() as u32) as usize]).collect();
    terminal.send(&flood);
    terminal.send(b"q");
    terminal.ends_with(0);
}

#[test]
fn after_a_flood_the_screen_is_whole_one_worker_is_left_and_memory_is_bounded() {
    // Thousands of projections of 600 kB each would not fit.
    let config = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&config, "cache_megabytes = 32\n").expect("it is written");
    let mut terminal = Stage::drawn().browse([120, 40], &["--config", config.path().to_str().expect("letters")]);
    let threads = terminal.status("Threads");
    let memory = |t: &Terminal| -> u64 {
        t.status("VmRSS").split_whitespace().next().and_then(|n| n.parse().ok()).expect("kilobytes")
    };
    let mut dice = Dice(13);
    let keys = b"hjklJK.,ab[]123";
    // In handfuls, so that much of it is computed.
    let mut flood = |terminal: &mut Terminal, handfuls: usize| {
        for _ in 0..handfuls {
            let handful: Vec<u8> = (0..10).map(|_| keys[dice.below(keys.len() as u32) as usize]).collect();
            terminal.send(&handful);
            terminal.watch(Duration::from_millis(15));
        }
    };
    // What every filter packed both ways and a full cache take is there before the memory counts.
    flood(&mut terminal, 100);
    let before = memory(&terminal);
    flood(&mut terminal, 300);
    terminal.send(b"1");
    terminal.shows(&["Layers", "Classes"]);
    nothing_is_left_over(&mut terminal);
    assert_eq!(terminal.status("Threads"), threads);
    assert_eq!(terminal.threads().iter().filter(|name| *name == "worker").count(), 1, "{:?}", terminal.threads());
    let grown = memory(&terminal).saturating_sub(before);
    assert!(grown < 100_000, "{grown} kB more than before");
    terminal.send(b"q");
    terminal.ends_with(0);
}
