//! Bytes from the terminal → keys, mouse, pasted text, and replies to what was asked.
//!
//! ```text
//! j            a key            ESC [ 1 ; 5 C       Ctrl-Right            ESC P 1 $ r … ESC \    a reply
//! ESC          alone: Escape    ESC [ < 0;3;4 M     the mouse             ESC ] 11 ; … BEL       a reply
//! ESC x        Alt-x            ESC [ 200~ … 201~   pasted text           ESC [ ? 2026;1 $ y     a reply
//! ```
//!
//! A reply may come at any time, seconds late and in pieces: its form is always recognised, so it is never taken for keys.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseEvent};

use self::sequence::control_sequence;
use crate::probe::Reply;

mod sequence;

/// How long a lone ESC waits for what would make it a sequence.
const ESCAPE: Duration = Duration::from_millis(40);
/// How long a sequence that has begun waits for its end.
const SEQUENCE: Duration = Duration::from_secs(2);
/// The longest control sequence; more is noise.
const LONGEST: usize = 256;
/// The most pasted text that is kept.
const MOST_PASTED: usize = 1 << 20;

/// What came in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Input {
    /// A key, pressed or repeated.
    Key(KeyEvent),
    /// The mouse.
    Mouse(MouseEvent),
    /// Text pasted, its control characters other than line ends and tabs left out.
    Paste(String),
    /// Focus came or went.
    Focus(bool),
    /// The terminal's answer to a question.
    Reply(Reply),
}

#[derive(Debug, Default)]
enum State {
    /// Between sequences; also the first bytes of a character.
    #[default]
    Ground,
    /// After ESC.
    Escape,
    /// After ESC O.
    Single,
    /// After ESC [.
    Control,
    /// After ESC P, ESC ] and the like: the introducer; whether the last byte was ESC.
    Text(u8, bool),
    /// Between the brackets of a paste.
    Paste,
}

/// The parser. Feed it all bytes; ask [`Parser::patience`] how long to wait before [`Parser::timeout`].
#[derive(Debug, Default)]
pub(crate) struct Parser {
    state: State,
    held: Vec<u8>,
}

impl Parser {
    /// How long to wait for more before what is held counts as it is; `None`: nothing is held.
    pub(crate) fn patience(&self) -> Option<Duration> {
        match self.state {
            State::Ground if self.held.is_empty() => None,
            State::Escape | State::Single => Some(ESCAPE),
            State::Paste => None,
            _ => Some(SEQUENCE),
        }
    }

    /// Nothing more came.
    pub(crate) fn timeout(&mut self, out: &mut Vec<Input>) {
        match std::mem::take(&mut self.state) {
            State::Escape => out.push(key(KeyCode::Esc, KeyModifiers::NONE)),
            State::Single => out.push(key(KeyCode::Char('O'), KeyModifiers::ALT | KeyModifiers::SHIFT)),
            State::Control if self.held.is_empty() => out.push(key(KeyCode::Char('['), KeyModifiers::ALT)),
            State::Paste => self.state = State::Paste,
            _ => {}
        }
        if !matches!(self.state, State::Paste) {
            self.held.clear();
        }
    }

    /// Takes `bytes` in.
    pub(crate) fn feed(&mut self, bytes: &[u8], out: &mut Vec<Input>) {
        for &byte in bytes {
            self.step(byte, out);
        }
    }

    fn step(&mut self, byte: u8, out: &mut Vec<Input>) {
        match self.state {
            State::Ground => self.ground(byte, KeyModifiers::NONE, out),
            State::Escape => {
                self.state = State::Ground;
                match byte {
                    0x1b => {
                        out.push(key(KeyCode::Esc, KeyModifiers::NONE));
                        self.state = State::Escape;
                    }
                    b'[' => self.state = State::Control,
                    b'O' => self.state = State::Single,
                    b'P' | b']' | b'_' | b'^' | b'X' => self.state = State::Text(byte, false),
                    // The end of a string whose beginning was given up.
                    b'\\' => {}
                    _ => self.ground(byte, KeyModifiers::ALT, out),
                }
            }
            State::Single => {
                self.state = State::Ground;
                out.extend(sequence::single_shift(byte));
            }
            State::Control => self.control(byte, out),
            State::Text(introducer, escaped) => self.text(introducer, escaped, byte, out),
            State::Paste => self.paste(byte, out),
        }
    }

    fn ground(&mut self, byte: u8, modifiers: KeyModifiers, out: &mut Vec<Input>) {
        if !self.held.is_empty() || byte >= 0x80 {
            return self.character(byte, modifiers, out);
        }
        let control = modifiers | KeyModifiers::CONTROL;
        out.push(match byte {
            0x1b => return self.state = State::Escape,
            b'\r' | b'\n' => key(KeyCode::Enter, modifiers),
            b'\t' => key(KeyCode::Tab, modifiers),
            0x7f | 0x08 => key(KeyCode::Backspace, modifiers),
            0x00 => key(KeyCode::Char(' '), control),
            0x01..=0x1a => key(KeyCode::Char(char::from(byte - 1 + b'a')), control),
            0x1c..=0x1f => key(KeyCode::Char(char::from(byte - 0x1c + b'4')), control),
            _ => letter(char::from(byte), modifiers),
        });
    }

    /// A byte of a character of several.
    fn character(&mut self, byte: u8, modifiers: KeyModifiers, out: &mut Vec<Input>) {
        if !self.held.is_empty() && !(0x80..0xc0).contains(&byte) {
            // The character was cut; this byte begins anew.
            self.held.clear();
            return self.ground(byte, modifiers, out);
        }
        self.held.push(byte);
        match std::str::from_utf8(&self.held) {
            Ok(text) => {
                out.extend(text.chars().filter(|c| !c.is_control()).map(|c| letter(c, modifiers)));
                self.held.clear();
            }
            Err(error) if error.error_len().is_some() => self.held.clear(),
            Err(_) => {}
        }
    }

    fn control(&mut self, byte: u8, out: &mut Vec<Input>) {
        match byte {
            // Of the oldest mouse protocol, three bytes follow.
            _ if self.held.first() == Some(&b'M') => {
                self.held.push(byte);
                if self.held.len() == 4 {
                    out.extend(sequence::oldest_mouse(&self.held[1..]).map(Input::Mouse));
                    self.finish();
                }
            }
            b'M' if self.held.is_empty() => self.held.push(byte),
            // The Linux console's function keys: ESC [ [ A.
            b'[' if self.held.is_empty() => self.held.push(byte),
            0x1b => {
                self.finish();
                self.state = State::Escape;
            }
            0x20..0x40 => {
                self.held.push(byte);
                if self.held.len() > LONGEST {
                    self.finish();
                }
            }
            0x40..0x7f => {
                let held = std::mem::take(&mut self.held);
                self.state = State::Ground;
                if byte == b'~' && held == b"200" {
                    self.state = State::Paste;
                } else {
                    out.extend(control_sequence(&held, byte));
                }
            }
            _ => {
                self.finish();
                self.ground(byte, KeyModifiers::NONE, out);
            }
        }
    }

    fn text(&mut self, introducer: u8, escaped: bool, byte: u8, out: &mut Vec<Input>) {
        // Replies begin with a number: anything else is Alt and a letter, then more keys.
        let begins = matches!((introducer, byte), (_, b'0'..=b'9' | b'$' | b'>' | b'!' | b'=') | (b'_', b'G'));
        if self.held.is_empty() && !escaped && !begins {
            self.state = State::Ground;
            out.push(letter(char::from(introducer), KeyModifiers::ALT));
            return self.step(byte, out);
        }
        match byte {
            b'\\' if escaped => {
                out.extend(Reply::of_text(introducer, &self.held).map(Input::Reply));
                self.finish();
            }
            _ if escaped => {
                self.finish();
                self.state = State::Escape;
                self.step(byte, out);
            }
            0x1b => self.state = State::Text(introducer, true),
            0x07 if introducer == b']' => {
                out.extend(Reply::of_text(introducer, &self.held).map(Input::Reply));
                self.finish();
            }
            // No reply holds other control characters: keys typed after a reply that was cut.
            0x00..0x20 => {
                self.finish();
                self.ground(byte, KeyModifiers::NONE, out);
            }
            _ => {
                if self.held.len() < 4096 {
                    self.held.push(byte);
                }
            }
        }
    }

    fn paste(&mut self, byte: u8, out: &mut Vec<Input>) {
        const END: &[u8] = b"\x1b[201~";
        self.held.push(byte);
        if self.held.ends_with(END) {
            self.held.truncate(self.held.len() - END.len());
            let text = String::from_utf8_lossy(&self.held).replace("\r\n", "\n").replace('\r', "\n");
            out.push(Input::Paste(text.chars().filter(|&c| !c.is_control() || matches!(c, '\n' | '\t')).collect()));
            self.finish();
        } else if self.held.len() > MOST_PASTED + END.len() {
            // Keeps the first part, and the last bytes that may be the end.
            self.held.remove(MOST_PASTED);
        }
    }

    fn finish(&mut self) {
        self.held.clear();
        self.state = State::Ground;
    }
}

fn key(code: KeyCode, modifiers: KeyModifiers) -> Input {
    Input::Key(KeyEvent::new(code, modifiers))
}

/// A character as a key; capitals carry Shift, as the terminal library has it.
fn letter(c: char, modifiers: KeyModifiers) -> Input {
    let shift = if c.is_uppercase() { KeyModifiers::SHIFT } else { KeyModifiers::NONE };
    key(KeyCode::Char(c), modifiers | shift)
}

#[cfg(test)]
mod tests;
