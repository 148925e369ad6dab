//! NumPy's `.npy`: float32 arrays in, float32 arrays out.
//!
//! ```text
//! \x93NUMPY  major minor  length (u16; u32 from version 2)  {'descr': '<f4', 'fortran_order': False, 'shape': (3, 224, 224), }␠…\n  data
//! ```
//! Only what a network can take is read: little-endian float32 in C order. For anything else the error says what was
//! found and which NumPy call makes it fit.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};
use crate::tensor::{Shape, Tensor};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longer headers than this are refused; NumPy itself stops at 10,000 bytes.
const LONGEST_HEADER: usize = 1 << 16;

/// A float32 array of shape (C,H,W) or (1,C,H,W), as the network's input tensor. Checks it against `expected`.
///
/// # Errors
/// Another dtype, order or shape; a file cut short or too long; NaN or infinity.
pub fn read_input(path: &Path, expected: Shape) -> Result<Tensor> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    // One byte more than the largest file that can fit tells a file that goes on.
    let most = 12 + LONGEST_HEADER as u64 + 4 * expected.len() as u64 + 1;
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(most).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    decode_input(path, &bytes, expected)
}

/// As [`read_input`], from bytes; `path` is for errors.
///
/// # Errors
/// As [`read_input`].
pub fn decode_input(path: &Path, bytes: &[u8], expected: Shape) -> Result<Tensor> {
    let (header, data) = Header::parse(bytes).map_err(|what| Error::format(path, what))?;
    header.check_dtype().map_err(|what| Error::format(path, what))?;
    let want = [expected.c, expected.h, expected.w];
    let fits = header.shape == want || header.shape.split_first().is_some_and(|(&n, rest)| n == 1 && rest == want);
    if !fits {
        let found = format!("a float32 array of shape {}", tuple(&header.shape));
        return Err(Error::Input { input: path.display().to_string(), expected, found });
    }
    let need = 4 * expected.len();
    if data.len() != need {
        let state = if data.len() < need { "cut short" } else { "too long" };
        let what = format!("the file is {state}: shape {} needs {need} bytes of data", tuple(&header.shape));
        return Err(Error::format(path, what));
    }
    let data: Vec<f32> = data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    if let Some(i) = data.iter().position(|x| !x.is_finite()) {
        let plane = expected.h * expected.w;
        let what = format!(
            "holds {} at [{}, {}, {}]: an input must be finite",
            data[i],
            i / plane,
            i % plane / expected.w,
            i % expected.w
        );
        return Err(Error::format(path, what));
    }
    Ok(Tensor::single(expected, data))
}

/// The bytes of a float32 `.npy` file of shape `dims`; panics unless `data` has that many numbers.
pub fn encode(dims: &[usize], data: &[f32]) -> Vec<u8> {
    assert_eq!(dims.iter().product::<usize>(), data.len(), "dims {dims:?} for {} numbers", data.len());
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {}, }}", tuple(dims));
    // Data begin at a multiple of 64, as NumPy writes them; the header ends in a newline.
    let padded = (10 + text.len() + 1).next_multiple_of(64) - 10;
    let mut out = Vec::with_capacity(10 + padded + 4 * data.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[1, 0]);
    out.extend_from_slice(&u16::try_from(padded).expect("a short header").to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    out.resize(10 + padded - 1, b' ');
    out.push(b'\n');
    out.extend(data.iter().flat_map(|x| x.to_le_bytes()));
    out
}

/// A shape as Python writes it.
fn tuple(dims: &[usize]) -> String {
    match dims {
        [n] => format!("({n},)"),
        _ => format!("({})", dims.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

#[derive(Debug, PartialEq)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl Header {
    /// The header and the data after it.
    fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), String> {
        let short = || "the file is cut short inside its header".to_owned();
        let rest = bytes.strip_prefix(MAGIC).ok_or("no NumPy file: it does not begin with \\x93NUMPY")?;
        let (&[major, minor], rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (length, rest) = match major {
            1 => rest.split_first_chunk().map(|(&n, rest)| (usize::from(u16::from_le_bytes(n)), rest)),
            2 | 3 => rest.split_first_chunk().map(|(&n, rest)| (u32::from_le_bytes(n) as usize, rest)),
            _ => return Err(format!("NumPy format version {major}.{minor} is not known; 1 to 3 are")),
        }
        .ok_or_else(short)?;
        if length > LONGEST_HEADER {
            return Err(format!("a header of {length} bytes; at most {LONGEST_HEADER} are read"));
        }
        let (text, data) = rest.split_at_checked(length).ok_or_else(short)?;
        let text = std::str::from_utf8(text).map_err(|_| "the header is no UTF-8 text")?;
        Ok((Self::from_dict(text)?, data))
    }

    fn from_dict(text: &str) -> Result<Self, String> {
        let mut at = Literal(text);
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        at.expect('{')?;
        while !at.take('}') {
            let key = at.string()?;
            at.expect(':')?;
            let twice = match key {
                "descr" => descr.replace(at.descr()?).is_some(),
                "fortran_order" => fortran_order.replace(at.boolean()?).is_some(),
                "shape" => shape.replace(at.shape()?).is_some(),
                _ => return Err(format!("unknown header key '{key}'")),
            };
            if twice {
                return Err(format!("header key '{key}' is given twice"));
            }
            if !at.take(',') {
                at.expect('}')?;
                break;
            }
        }
        if !at.0.trim().is_empty() {
            return Err("text after the header's dictionary".into());
        }
        let missing = |key: &str| format!("the header has no '{key}'");
        Ok(Self {
            descr: descr.ok_or_else(|| missing("descr"))?,
            fortran_order: fortran_order.ok_or_else(|| missing("fortran_order"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
        })
    }

    fn check_dtype(&self) -> Result<(), String> {
        if self.descr != "<f4" {
            let found = match self.descr.as_str() {
                ">f4" => "big-endian float32".to_owned(),
                "<f8" | ">f8" => "float64".to_owned(),
                "<f2" | ">f2" => "float16".to_owned(),
                "|u1" => "uint8".to_owned(),
                "|b1" => "bool".to_owned(),
                "|O" => "Python objects".to_owned(),
                other => format!("dtype {other}"),
            };
            return Err(format!("holds {found}, not little-endian float32: save it with .astype('float32')"));
        }
        if self.fortran_order {
            return Err("is in Fortran order: save it with numpy.ascontiguousarray(...)".into());
        }
        Ok(())
    }
}

/// What is left of a Python literal.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    fn take(&mut self, c: char) -> bool {
        let rest = self.0.trim_start();
        let found = rest.strip_prefix(c);
        self.0 = found.unwrap_or(rest);
        found.is_some()
    }

    fn expect(&mut self, c: char) -> Result<(), String> {
        if self.take(c) { Ok(()) } else { Err(format!("the header is damaged: expected {c} before {}", self.near())) }
    }

    fn near(&self) -> String {
        if self.0.is_empty() {
            "its end".into()
        } else {
            format!("\"{}\"", self.0.chars().take(16).collect::<String>())
        }
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let quote = if self.take('\'') { '\'' } else { self.expect('"').map(|()| '"')? };
        let end = self.0.find(quote).ok_or("the header is damaged: a text without end")?;
        let text = &self.0[..end];
        self.0 = &self.0[end + 1..];
        Ok(text)
    }

    /// A dtype; a structured one (a list) is returned as it stands.
    fn descr(&mut self) -> Result<String, String> {
        if !self.take('[') {
            return self.string().map(str::to_owned);
        }
        let end = self.0.rfind(']').ok_or("the header is damaged: a list without end")?;
        Err(format!(
            "holds records [{}], not little-endian float32: save one field with .astype('float32')",
            &self.0[..end]
        ))
    }

    fn boolean(&mut self) -> Result<bool, String> {
        let rest = self.0.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(after) = rest.strip_prefix(word) {
                self.0 = after;
                return Ok(value);
            }
        }
        Err(format!("the header is damaged: expected True or False before {}", self.near()))
    }

    fn shape(&mut self) -> Result<Vec<usize>, String> {
        self.expect('(')?;
        let mut dims = Vec::new();
        while !self.take(')') {
            let rest = self.0.trim_start();
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let n = rest[..digits].parse().map_err(|_| format!("the shape is damaged before {}", self.near()))?;
            dims.push(n);
            // Python 2 wrote long integers with an L.
            self.0 = rest[digits..].strip_prefix('L').unwrap_or(&rest[digits..]);
            if !self.take(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(dims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape::new(3, 2, 4);

    fn numbers() -> Vec<f32> {
        (0..24).map(|i| i as f32 - 7.5).collect()
    }

    fn with_header(version: u8, text: &str, data: &[u8]) -> Vec<u8> {
        let mut out = [MAGIC.as_slice(), &[version, 0]].concat();
        if version == 1 {
            out.extend_from_slice(&(text.len() as u16).to_le_bytes());
        } else {
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        }
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(data);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Tensor> {
        decode_input(Path::new("x.npy"), bytes, SHAPE)
    }

    #[test]
    fn what_is_written_is_read() {
        for dims in [&[3, 2, 4][..], &[1, 3, 2, 4]] {
            let bytes = encode(dims, &numbers());
            assert_eq!((bytes.len() - 4 * 24) % 64, 0);
            assert_eq!(decode(&bytes).unwrap(), Tensor::single(SHAPE, numbers()));
        }
        assert!(encode(&[5], &[0.0; 5]).windows(4).any(|w| w == b"(5,)"));
        assert!(encode(&[], &[1.0]).windows(3).any(|w| w == b"()\x2c"));
    }

    #[test]
    fn every_version_and_spelling() {
        let data: Vec<u8> = numbers().iter().flat_map(|x| x.to_le_bytes()).collect();
        for version in 1..=3 {
            for text in [
                "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 4), }\n",
                "{\"shape\":(3L,2L,4L),\"fortran_order\":False,\"descr\":\"<f4\"}",
                " { 'fortran_order' : False , 'descr' : '<f4' , 'shape' : ( 1 , 3 , 2 , 4 , ) }   ",
            ] {
                assert_eq!(decode(&with_header(version, text, &data)).unwrap().data, numbers(), "{version} {text}");
            }
        }
    }

    #[test]
    fn misses_say_what_to_do() {
        let data: Vec<u8> = numbers().iter().flat_map(|x| x.to_le_bytes()).collect();
        let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 4), }";
        let cases: [(&str, &str, &str); 12] = [
            ("'<f4'", "'<f8'", "float64, not little-endian float32: save it with .astype('float32')"),
            ("'<f4'", "'>f4'", "big-endian"),
            ("'<f4'", "'|u1'", "uint8"),
            ("'<f4'", "'|O'", "Python objects"),
            ("'<f4'", "[('a', '<f4'), ('b', '<i4')]", "records"),
            ("False", "True", "Fortran order"),
            ("False", "Maybe", "True or False"),
            ("(3, 2, 4)", "(3, 4, 2)", "takes 3×2×4, this is a float32 array of shape (3, 4, 2)"),
            ("(3, 2, 4)", "(99999999999999999999,)", "the shape is damaged"),
            ("(3, 2, 4)", "(3, -2, 4)", "the shape is damaged"),
            ("'shape'", "'shapes'", "unknown header key"),
            ("'fortran_order': False, ", "", "no 'fortran_order'"),
        ];
        for (from, to, want) in cases {
            let message = decode(&with_header(1, &good.replace(from, to), &data)).unwrap_err().to_string();
            assert!(message.contains(want) && message.contains("x.npy"), "{message}");
        }
        let twice = "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 4), }";
        assert!(decode(&with_header(1, twice, &data)).unwrap_err().to_string().contains("twice"));
        let longer = [data.as_slice(), &[0]].concat();
        assert!(decode(&with_header(1, good, &longer)).unwrap_err().to_string().contains("too long"));
        assert!(decode(&with_header(9, good, &data)).unwrap_err().to_string().contains("version 9.0"));
        assert!(decode(b"PK\x03\x04").unwrap_err().to_string().contains("no NumPy file"));
        let mut nan = numbers();
        nan[13] = f32::NAN;
        assert!(decode(&encode(&[3, 2, 4], &nan)).unwrap_err().to_string().contains("NaN at [1, 1, 1]"));
    }

    #[test]
    fn no_byte_makes_it_panic() {
        let bytes = encode(&[3, 2, 4], &numbers());
        for n in 0..bytes.len() {
            decode(&bytes[..n]).unwrap_err();
        }
        for i in 0..bytes.len() - 96 {
            for flip in [0x01, 0x20, 0x80, 0xff] {
                let mut bad = bytes.clone();
                bad[i] ^= flip;
                let _ = decode(&bad);
            }
        }
        let mut long = MAGIC.to_vec();
        long.extend_from_slice(&[2, 0, 0xff, 0xff, 0xff, 0xff]);
        assert!(decode(&long).unwrap_err().to_string().contains("4294967295"));
    }

    #[test]
    fn files_are_read_with_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        std::fs::write(&path, encode(&[3, 2, 4], &numbers())).unwrap();
        assert_eq!(read_input(&path, SHAPE).unwrap().data, numbers());
        std::fs::write(&path, encode(&[100, 100, 100], &vec![0.0; 1_000_000])).unwrap();
        let message = read_input(&path, SHAPE).unwrap_err().to_string();
        assert!(message.contains("(100, 100, 100)"), "{message}");
        assert!(matches!(read_input(&folder.path().join("none.npy"), SHAPE), Err(Error::Io { .. })));
    }
}
