//! What happens (messages) and what is to be done about it (effects). `update` turns the one into the other.

use std::time::Duration;

use crossterm::event::MouseEvent;

use crate::color::ColorMode;
use crate::job::{Answer, Kind, Request};
use crate::keys::Key;

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Key(Key),
    Mouse(MouseEvent),
    Paste(String),
    Resize([u16; 2]),
    /// The terminal told, late, what it can show.
    Mode(ColorMode),
    /// Whether the terminal's ground is light.
    Background {
        light: bool,
    },
    /// Height of a cell over its width.
    Aspect(f64),
    /// Time since the start; comes before what happened then.
    Clock(Duration),
    Job {
        kind: Kind,
        generation: u64,
        answer: Answer,
    },
}

/// Something to do.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Submit(Request),
    /// Whatever of this kind waits or runs.
    Cancel(Kind),
    Copy(String),
    /// Mouse events on or off.
    Mouse(bool),
    Redraw,
    Suspend,
    Quit,
}
