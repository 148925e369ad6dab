//! The browser as its users meet it: the real program in a pseudo-terminal, whose other end is another terminal's parser.
//!
//! ```text
//! keys, sizes, signals ─▶ pty ─▶ sh ─▶ switchback browse        sh tells how it ended and how the line was left
//! vt100's screen       ◀─ pty ◀─ frames
//! ```
//! The network is SqueezeNet with random weights, made here; with `SWITCHBACK_TEST_DATA` also the real one and a photograph.
#![cfg(target_os = "linux")]

#[path = "screen/bytes.rs"]
mod bytes;
#[path = "screen/ends.rs"]
mod ends;
#[path = "screen/every_key.rs"]
mod every_key;
#[path = "screen/stage.rs"]
mod stage;
#[path = "screen/storms.rs"]
mod storms;
#[path = "screen/svg.rs"]
mod svg;
#[path = "screen/terminal.rs"]
mod terminal;
#[path = "screen/tour.rs"]
mod tour;
#[path = "../tui/src/color/xterm.rs"]
mod xterm;
