//! JSON for stdout and files: serde's, except that no control or reordering character leaves as it is.
//!
//! JSON allows C1 control characters and bidirectional marks inside strings; a terminal that a document is printed on
//! may obey them, so they become `\u0080`-style escapes, which every parser reads back as the same text.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};
use switchback_core::text::is_unsafe;

/// The document on one line, without a line break at its end.
pub(crate) fn text<T: Serialize + ?Sized>(document: &T) -> String {
    let mut out = Vec::new();
    document
        .serialize(&mut Serializer::with_formatter(&mut out, Safe))
        .expect("documents have text keys, and writing to memory succeeds");
    String::from_utf8(out).expect("JSON is UTF-8")
}

struct Safe;

impl Formatter for Safe {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| is_unsafe(c)) {
            CompactFormatter.write_string_fragment(writer, &rest[..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_leave_as_they_are() {
        let name = "é \u{1b}[2J\u{9b}31m \u{202e}gpj \u{e0041} \"q\" \n";
        let json = text(&[name]);
        assert_eq!(json, "[\"é \\u001b[2J\\u009b31m \\u202egpj \\udb40\\udc41 \\\"q\\\" \\n\"]");
        assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap()[0], name);
    }

    #[test]
    fn single_precision_stays_short() {
        assert_eq!(text(&[0.1_f32, f32::NAN]), "[0.1,null]");
    }
}
