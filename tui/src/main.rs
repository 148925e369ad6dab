//! Switchback: look inside a convolutional network from a terminal.
//!
//! ```text
//! cli        the command line: one definition, one file per subcommand
//! sheet      results laid out as panels, for the terminal and for PNG
//! halfblock  pictures as cells of two pixels;  color, colormap: their colours;  terminal: what it can show
//! screen     the terminal as the browser's screen: frames out in few bytes, events in;  probe: what it says of itself
//! ```

#![forbid(unsafe_code)]

mod cli;
mod color;
mod colormap;
mod halfblock;
#[allow(dead_code)]
mod probe;
#[allow(dead_code)]
mod screen;
mod sheet;
mod terminal;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
