//! A small checked protobuf reader: fields of a message, one after the other, borrowed from the bytes.
//!
//! ```text
//! message = field*                 tag  = number << 3 | wire
//! field   = tag value              wire = 0 varint · 1 eight bytes · 2 length, bytes · 3, 4 group · 5 four bytes
//! ```
//!
//! Every length is compared with what is left before it is used, so a hostile file costs no more than its own size.
//! Positions are offsets in the whole file: spans can be kept as views, and errors say where. Groups (deprecated,
//! never used by ONNX) are stepped over. What the fields mean is left to [`onnx`](super::onnx).

use std::ops::Range;

/// Groups inside groups beyond this are refused.
const NESTING: usize = 32;

/// Bytes that are no protobuf message, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Offset in the file.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// The fields of one message.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    file: &'a [u8],
    at: usize,
    end: usize,
}

/// One field: its number and its value as it is written.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    /// Of the message's definition.
    pub number: u32,
    /// Where its tag stands in the file.
    pub at: usize,
    /// What it holds.
    pub value: Value<'a>,
}

/// A value by its wire type.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// Integers, booleans, enumerations.
    Varint(u64),
    /// `double`, `fixed64`.
    Fixed64([u8; 8]),
    /// Strings, bytes, messages, packed numbers.
    Span(Message<'a>),
    /// `float`, `fixed32`.
    Fixed32([u8; 4]),
}

impl<'a> Message<'a> {
    /// The whole file as one message.
    pub fn new(file: &'a [u8]) -> Self {
        Self { file, at: 0, end: file.len() }
    }

    /// Where it lies in the file.
    pub fn range(&self) -> Range<usize> {
        self.at..self.end
    }

    /// Its bytes.
    pub fn bytes(&self) -> &'a [u8] {
        &self.file[self.at..self.end]
    }

    /// Its bytes as text.
    pub fn text(&self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes())
            .map_err(|e| Malformed { at: self.at + e.valid_up_to(), what: "a name that is not UTF-8" })
    }

    /// The next field that is no group; `None` at the end.
    pub fn next_field(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        let mut groups = [0u32; NESTING];
        let mut depth = 0;
        while self.at < self.end {
            let at = self.at;
            let tag = self.varint()?;
            let number = match u32::try_from(tag >> 3) {
                Ok(n) if n > 0 && n < 1 << 29 => n,
                _ => return Err(Malformed { at, what: "a field number that protobuf does not have" }),
            };
            let value = match tag & 7 {
                0 => Value::Varint(self.varint()?),
                1 => Value::Fixed64(self.take::<8>()?),
                2 => {
                    let length = self.varint()?;
                    let left = self.end - self.at;
                    match usize::try_from(length) {
                        Ok(length) if length <= left => {
                            let span = Message { file: self.file, at: self.at, end: self.at + length };
                            self.at += length;
                            Value::Span(span)
                        }
                        _ => {
                            return Err(Malformed {
                                at,
                                what: "a field that is longer than what is left of its message",
                            });
                        }
                    }
                }
                3 => {
                    *groups.get_mut(depth).ok_or(Malformed { at, what: "groups that nest too deep" })? = number;
                    depth += 1;
                    continue;
                }
                4 => {
                    if depth == 0 || groups[depth - 1] != number {
                        return Err(Malformed { at, what: "the end of a group that was not begun" });
                    }
                    depth -= 1;
                    continue;
                }
                5 => Value::Fixed32(self.take::<4>()?),
                _ => return Err(Malformed { at, what: "a wire type that protobuf does not have" }),
            };
            if depth == 0 {
                return Ok(Some(Field { number, at, value }));
            }
        }
        if depth > 0 {
            return Err(Malformed { at: self.end, what: "a group that does not end" });
        }
        Ok(None)
    }

    /// The next of packed varints; `None` at the end.
    pub fn next_varint(&mut self) -> Result<Option<u64>, Malformed> {
        if self.at == self.end { Ok(None) } else { self.varint().map(Some) }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            if self.at == self.end {
                return Err(Malformed { at: start, what: "a number that is cut off" });
            }
            let byte = self.file[self.at];
            self.at += 1;
            // The tenth byte carries the 64th bit alone.
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed { at: start, what: "a number of more than 64 bits" })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        match self.file[self.at..self.end].first_chunk::<N>() {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => Err(Malformed { at: self.at, what: "a number that is cut off" }),
        }
    }
}

impl<'a> Field<'a> {
    /// As a message, string or bytes.
    pub fn span(&self) -> Result<Message<'a>, Malformed> {
        match &self.value {
            Value::Span(span) => Ok(span.clone()),
            _ => Err(self.other_wire()),
        }
    }

    /// As text.
    pub fn text(&self) -> Result<&'a str, Malformed> {
        self.span()?.text()
    }

    /// As an integer (`int64` is written in two's complement).
    pub fn int(&self) -> Result<i64, Malformed> {
        match self.value {
            Value::Varint(v) => Ok(v as i64),
            _ => Err(self.other_wire()),
        }
    }

    /// As a `float`.
    pub fn float(&self) -> Result<f32, Malformed> {
        match self.value {
            Value::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(self.other_wire()),
        }
    }

    /// Appends one `int64` of a repeated field, or all of a packed one.
    pub fn ints(&self, to: &mut Vec<i64>) -> Result<(), Malformed> {
        match &self.value {
            Value::Varint(v) => to.push(*v as i64),
            Value::Span(span) => {
                let mut span = span.clone();
                while let Some(v) = span.next_varint()? {
                    to.push(v as i64);
                }
            }
            _ => return Err(self.other_wire()),
        }
        Ok(())
    }

    /// Appends one `float` or `double` of a repeated field, or all of a packed one, as the little-endian bytes that
    /// they are; `size` is 4 or 8.
    pub fn fixed(&self, size: usize, to: &mut Vec<u8>) -> Result<(), Malformed> {
        match &self.value {
            Value::Fixed32(bytes) if size == 4 => to.extend_from_slice(bytes),
            Value::Fixed64(bytes) if size == 8 => to.extend_from_slice(bytes),
            Value::Span(span) if span.bytes().len().is_multiple_of(size) => to.extend_from_slice(span.bytes()),
            Value::Span(_) => {
                return Err(Malformed { at: self.at, what: "packed numbers that are no whole number of them" });
            }
            _ => return Err(self.other_wire()),
        }
        Ok(())
    }

    fn other_wire(&self) -> Malformed {
        Malformed { at: self.at, what: "a field of another wire type than its definition" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u32, String)>, Malformed> {
        let mut message = Message::new(bytes);
        let mut fields = Vec::new();
        while let Some(f) = message.next_field()? {
            let value = match f.value {
                Value::Varint(v) => format!("{v}"),
                Value::Fixed32(b) => format!("{b:?}"),
                Value::Fixed64(b) => format!("{b:?}"),
                Value::Span(s) => format!("{:?}", s.range()),
            };
            fields.push((f.number, value));
        }
        Ok(fields)
    }

    #[test]
    fn reads_every_wire_type_and_keeps_file_offsets() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 3, b'a', b'b', b'c', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8];
        let expect = [(1, "150"), (2, "5..8"), (3, "[1, 2, 3, 4]"), (4, "[1, 2, 3, 4, 5, 6, 7, 8]")];
        assert_eq!(all(&bytes).unwrap(), expect.map(|(n, v)| (n, v.to_owned())));
        let ends = [0, 3, 8, 13, 22];
        for end in 0..=bytes.len() {
            assert_eq!(all(&bytes[..end]).is_ok(), ends.contains(&end), "cut at {end}");
        }
    }

    #[test]
    fn negative_numbers_take_ten_bytes_and_eleven_are_too_many() {
        let minus_one = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        let mut message = [&[0x08][..], &minus_one].concat();
        assert_eq!(Message::new(&message).next_field().unwrap().unwrap().int(), Ok(-1));
        message[10] = 0x02;
        assert_eq!(Message::new(&message).next_field().unwrap_err().what, "a number of more than 64 bits");
        let mut packed = Vec::new();
        let bytes = [&[0x0a, 11, 5][..], &minus_one].concat();
        Message::new(&bytes).next_field().unwrap().unwrap().ints(&mut packed).unwrap();
        assert_eq!(packed, [5, -1]);
    }

    #[test]
    fn groups_are_stepped_over_and_must_end() {
        // 1{ 2: 7, 3{ } } 4: 9
        assert_eq!(all(&[0x0b, 0x10, 7, 0x1b, 0x1c, 0x0c, 0x20, 9]).unwrap(), [(4, "9".to_owned())]);
        assert_eq!(all(&[0x0b, 0x10, 7]).unwrap_err().what, "a group that does not end");
        assert_eq!(all(&[0x0c]).unwrap_err(), Malformed { at: 0, what: "the end of a group that was not begun" });
        assert_eq!(all(&[0x0b; 100]).unwrap_err(), Malformed { at: 32, what: "groups that nest too deep" });
    }

    #[test]
    fn hostile_lengths_are_refused_where_they_stand() {
        let long = [0x08, 1, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0];
        assert_eq!(all(&long).unwrap_err().at, 2);
        assert_eq!(all(&[0x12, 5, 0, 0]).unwrap_err().at, 0);
        assert_eq!(all(&[0x00, 0]).unwrap_err().what, "a field number that protobuf does not have");
        assert_eq!(all(&[0x0e, 0]).unwrap_err().what, "a wire type that protobuf does not have");
    }
}
