//! The command line and browser of Switchback.
fn main() {}
