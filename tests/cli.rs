//! The real binary, run with real files: help, exit statuses, errors for people and for scripts, and every document.
//!
//! Most tests use a network small enough to reckon by hand (see `cli/tiny.rs`); those of real models skip, saying so,
//! where `SWITCHBACK_TEST_DATA` has none.

#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/command.rs"]
mod command;
#[path = "cli/errors.rs"]
mod errors;
#[path = "cli/halves.rs"]
mod halves;
#[path = "cli/interrupts.rs"]
mod interrupts;
#[path = "cli/methods.rs"]
mod methods;
#[path = "cli/real.rs"]
mod real;
#[path = "cli/streams.rs"]
mod streams;
#[path = "cli/tiny.rs"]
mod tiny;
