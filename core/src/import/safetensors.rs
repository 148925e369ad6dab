//! The safetensors container: an 8-byte length, a JSON header, then the data. Everything is checked at opening.
//!
//! ```text
//! ┌────────┬──────────────────────────────────────────────┬─────────────────────┐
//! │ n: u64 │ {"__metadata__":{…},"name":{"dtype","shape", │ tensors, one after  │
//! │        │  "data_offsets":[from, to]},…} + spaces      │ the other, no holes │
//! └────────┴──────────────────────────────────────────────┴─────────────────────┘
//!   8 bytes   n bytes; 8 + n is a multiple of 64 in what we write
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};

/// A header beyond this is no header.
const MOST_HEADER: u64 = 100 << 20;

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// `__metadata__`
    pub metadata: BTreeMap<String, String>,
    /// In the order of their data.
    pub tensors: Vec<Stored>,
}

/// One tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Unique in the file.
    pub name: String,
    /// `F32`, `F16`, `I64`, …
    pub dtype: String,
    /// Outermost first; empty for a single number.
    pub shape: Vec<usize>,
    /// Where its bytes lie in the file.
    pub bytes: Range<usize>,
}

impl Container {
    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Stored> {
        self.tensors.iter().find(|t| t.name == name)
    }
}

impl Stored {
    /// The numbers of an `F32` tensor of `file`; `None` for another type.
    pub fn f32(&self, file: &[u8]) -> Option<Vec<f32>> {
        (self.dtype == "F32").then(|| {
            let words = file[self.bytes.clone()].chunks_exact(4);
            words.map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect()
        })
    }

    /// The numbers of an `I64` tensor of `file`; `None` for another type.
    pub fn i64(&self, file: &[u8]) -> Option<Vec<i64>> {
        (self.dtype == "I64").then(|| {
            let words = file[self.bytes.clone()].chunks_exact(8);
            words.map(|b| i64::from_le_bytes(b.try_into().expect("eight bytes"))).collect()
        })
    }
}

/// Whether the bytes may be a safetensors file: a length, then an opening brace.
pub fn looks_like(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return false };
    u64::from_le_bytes(*length) <= MOST_HEADER && rest.first() == Some(&b'{')
}

/// Reads the header of `file`, the bytes of `path`, and checks every offset; the data are not touched.
///
/// # Errors
/// [`Error::Format`] naming the tensor, what was expected and what was found.
pub fn parse(path: &Path, file: &[u8]) -> Result<Container> {
    let wrong = |what: String| Error::format(path, what);
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return Err(wrong(format!("a safetensors file begins with 8 bytes of length, this has {} bytes", file.len())));
    };
    let length = u64::from_le_bytes(*length);
    if length > MOST_HEADER || length > rest.len() as u64 {
        return Err(wrong(format!("the header should take {length} bytes, {} are left in the file", rest.len())));
    }
    let (header, data) = rest.split_at(length as usize);
    let start = 8 + header.len();
    let header: Header = serde_json::from_slice(header).map_err(|e| wrong(format!("the header is damaged: {e}")))?;
    let mut tensors = Vec::with_capacity(header.tensors.len());
    for (name, Entry { dtype, shape, data_offsets: [from, to] }) in header.tensors {
        let Some(size) = dtype_size(&dtype) else {
            return Err(wrong(format!("tensor \"{name}\" has the unknown type \"{dtype}\"")));
        };
        if from > to || to > data.len() {
            return Err(wrong(format!(
                "tensor \"{name}\" lies at {from}..{to}, the file holds {} bytes of data: it may be cut short",
                data.len()
            )));
        }
        let needed = shape.iter().try_fold(size, |n, &d| n.checked_mul(d));
        if needed != Some(to - from) {
            return Err(wrong(format!(
                "tensor \"{name}\": {dtype} of shape {shape:?} needs {} bytes, the file gives {}",
                needed.map_or("too many".into(), |n| n.to_string()),
                to - from
            )));
        }
        tensors.push(Stored { name, dtype, shape, bytes: start + from..start + to });
    }
    tensors.sort_by_key(|t| (t.bytes.start, t.bytes.end));
    let mut at = start;
    for t in &tensors {
        if t.bytes.start != at {
            return Err(wrong(format!(
                "tensor \"{}\" begins at byte {}, the one before it ends at {at}: tensors must not overlap or leave holes",
                t.name, t.bytes.start
            )));
        }
        at = t.bytes.end;
    }
    if at != file.len() {
        return Err(wrong(format!("the tensors end at byte {at}, the file at {}", file.len())));
    }
    Ok(Container { metadata: header.metadata, tensors })
}

/// A tensor to be written.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Unique in the file.
    pub name: String,
    /// `F32`, `F16`, …
    pub dtype: &'static str,
    /// Outermost first.
    pub shape: Vec<usize>,
}

/// Writes a whole file: header, then whatever `data(i, out)` writes for tensor `i`, which must be its exact bytes.
///
/// Tensors of four bytes should come before those of two, so that all lie aligned.
///
/// # Errors
/// What `data` returns; [`Error::Io`] naming `path`; [`Error::Invalid`] for names given twice.
pub fn write(
    path: &Path,
    out: &mut dyn Write,
    metadata: &BTreeMap<String, String>,
    tensors: &[Outgoing],
    mut data: impl FnMut(usize, &mut dyn Write) -> Result<()>,
) -> Result<()> {
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        let texts = metadata.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
        header.insert("__metadata__".into(), serde_json::Value::Object(texts));
    }
    let mut at = 0;
    for t in tensors {
        let size = dtype_size(t.dtype).expect("we write known types");
        let bytes = t.shape.iter().product::<usize>() * size;
        let entry = serde_json::json!({"dtype": t.dtype, "shape": t.shape, "data_offsets": [at, at + bytes]});
        if t.name == "__metadata__" || header.insert(t.name.clone(), entry).is_some() {
            return Err(Error::Invalid(format!("the tensor name \"{}\" cannot be written: it is taken", t.name)));
        }
        at += bytes;
    }
    let mut header = serde_json::to_vec(&header).expect("a header of texts and numbers");
    header.resize((8 + header.len()).next_multiple_of(64) - 8, b' ');
    let length = (header.len() as u64).to_le_bytes();
    out.write_all(&length).and_then(|()| out.write_all(&header)).map_err(Error::io("write", path))?;
    (0..tensors.len()).try_for_each(|i| data(i, out))
}

fn dtype_size(dtype: &str) -> Option<usize> {
    Some(match dtype {
        "F64" | "I64" | "U64" => 8,
        "F32" | "I32" | "U32" => 4,
        "F16" | "BF16" | "I16" | "U16" => 2,
        "I8" | "U8" | "BOOL" => 1,
        _ => return None,
    })
}

/// The JSON header; a name given twice is an error, not the last one's win.
#[derive(Default)]
struct Header {
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                let mut metadata = false;
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        if std::mem::replace(&mut metadata, true) {
                            return Err(serde::de::Error::custom("__metadata__ is given twice"));
                        }
                        header.metadata = map.next_value()?;
                    } else {
                        let entry = map.next_value()?;
                        if header.tensors.insert(name.clone(), entry).is_some() {
                            return Err(serde::de::Error::custom(format!("tensor \"{name}\" is given twice")));
                        }
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let tensors = [
            Outgoing { name: "a".into(), dtype: "F32", shape: vec![2, 3] },
            Outgoing { name: "b".into(), dtype: "F16", shape: vec![3] },
        ];
        let metadata = BTreeMap::from([("format".to_owned(), "test \"quoted\"".to_owned())]);
        let mut out = Vec::new();
        let data = |i: usize, out: &mut dyn Write| {
            out.write_all(&vec![i as u8 + 1; [24, 6][i]]).map_err(Error::io("write", "x"))
        };
        write(Path::new("x"), &mut out, &metadata, &tensors, data).unwrap();
        out
    }

    #[test]
    fn round_trip_and_alignment() {
        let file = sample();
        assert!(looks_like(&file));
        let c = parse(Path::new("x"), &file).unwrap();
        assert_eq!(c.metadata["format"], "test \"quoted\"");
        let a = c.get("a").unwrap();
        assert!(a.bytes.start.is_multiple_of(64));
        assert_eq!((&a.shape[..], a.f32(&file).unwrap()[0]), (&[2, 3][..], f32::from_le_bytes([1; 4])));
        assert_eq!(c.get("b").unwrap().bytes.end, file.len());
        assert_eq!(c.get("b").unwrap().f32(&file), None);
    }

    #[test]
    fn every_cut_and_flip_is_an_error_or_harmless() {
        let file = sample();
        for cut in 0..file.len() {
            assert!(parse(Path::new("x"), &file[..cut]).is_err(), "cut at {cut}");
        }
        let data = parse(Path::new("x"), &file).unwrap().tensors[0].bytes.start;
        for at in 0..data {
            for bit in 0..8 {
                let mut bad = file.clone();
                bad[at] ^= 1 << bit;
                if let Ok(c) = parse(Path::new("x"), &bad) {
                    assert!(c.tensors.iter().all(|t| t.bytes.end <= bad.len()));
                }
            }
        }
    }

    #[test]
    fn hostile_headers() {
        let with = |json: &str, data: usize| {
            let mut file = (json.len() as u64).to_le_bytes().to_vec();
            file.extend_from_slice(json.as_bytes());
            file.resize(file.len() + data, 0);
            parse(Path::new("x"), &file).map_err(|e| e.to_string())
        };
        let cases = [
            (
                r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
                4,
                "twice",
            ),
            (r#"{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#, 4, "unknown type"),
            (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4, "needs 8"),
            (r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}"#, 4, "too many"),
            (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8, "holes"),
            (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 8, "the file at"),
            (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}"#, 8, "lies at"),
            (r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4, "damaged"),
            (r#"[1,2]"#, 0, "damaged"),
        ];
        for (json, data, word) in cases {
            let error = with(json, data).unwrap_err();
            assert!(error.contains(word), "{json}: {error}");
        }
        let mut huge = u64::MAX.to_le_bytes().to_vec();
        huge.push(b'{');
        assert!(!looks_like(&huge) && parse(Path::new("x"), &huge).is_err());
    }
}
