//! Switchback: look inside a convolutional network from a terminal.
//!
//! ```text
//! cli        the command line: one definition, one file per subcommand
//! sheet      results laid out as panels, for the terminal and for PNG
//! halfblock  pictures as cells of two pixels;  color, colormap: their colours;  terminal: what it can show
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
