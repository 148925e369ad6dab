//! Switchback: look inside a convolutional network from a terminal.
//!
//! ```text
//! cli                            the command line: one definition, one file per subcommand
//! sheet                          titled panels, laid out for a terminal and for a PNG file
//! halfblock color colormap       pixels as text · light and palettes · numbers as colours
//! terminal                       what the terminal can show
//! ```

#![forbid(unsafe_code)]

mod cli;
mod color;
mod colormap;
mod halfblock;
mod sheet;
mod terminal;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
