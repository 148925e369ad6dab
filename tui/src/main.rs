//! Switchback: look inside a convolutional network from a terminal.
//!
//! ```text
//! cli        the command line: one definition, one file per subcommand
//! ```

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
