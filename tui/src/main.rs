//! Switchback: look inside a convolutional network from a terminal.
//!
//! ```text
//! cli        the command line: one definition, one file per subcommand
//! app        the browser's loop;  state, message, update: what it knows, what happens, what follows;  view: the screen
//! worker     its jobs, off the screen's thread;  job: questions and answers;  cache: results within a budget
//! config     the configuration file and the last session
//! keys       the one table of keys;  theme: styles of text;  subject: the model under study
//! sheet      results laid out as panels, for the terminal and for PNG
//! signed     projections around mid-grey;
//! halfblock  pictures as cells of two pixels;  color, colormap: their colours;  terminal: what it can show
//! screen     the terminal as the browser's screen: frames out in few bytes, events in;  probe: what it says of itself
//! ```

#![forbid(unsafe_code)]

mod app;
mod cache;
mod cli;
mod color;
mod colormap;
mod config;
mod halfblock;
mod job;
mod keys;
mod message;
mod probe;
mod screen;
mod sheet;
mod signed;
#[cfg(test)]
mod stage;
mod state;
mod subject;
mod terminal;
mod theme;
mod update;
mod view;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
