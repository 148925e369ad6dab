//! Where results go: stdout, or a file in the format that its extension names, written whole or not at all.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use switchback_core::import::safetensors::{self as container, Outgoing};
use switchback_core::text::escape;
use switchback_core::{Error, atomic, npy};

use super::failure::Failure;
use super::input::Source;

/// What a file may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Png,
    Npy,
    Safetensors,
    Json,
    Csv,
    Md,
    Svg,
}

impl Format {
    const ALL: [Format; 7] =
        [Format::Png, Format::Npy, Format::Safetensors, Format::Json, Format::Csv, Format::Md, Format::Svg];

    /// Without the dot.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Format::Png => "png",
            Format::Npy => "npy",
            Format::Safetensors => "safetensors",
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Md => "md",
            Format::Svg => "svg",
        }
    }

    /// The format that `extension` names, if `command` writes it.
    pub(crate) fn named(extension: &str, allowed: &[Format], command: &str) -> anyhow::Result<Self> {
        let found = Self::ALL.into_iter().find(|f| extension.eq_ignore_ascii_case(f.extension()));
        if let Some(format) = found.filter(|f| allowed.contains(f)) {
            return Ok(format);
        }
        let names: Vec<String> = allowed.iter().map(|f| format!(".{}", f.extension())).collect();
        let what = match extension {
            "" => "the extension of the output picks its format, and there is none".to_owned(),
            other => format!("{command} does not write .{}", escape(other)),
        };
        Err(Failure::usage(format!("{what}; it writes {}", names.join(", "))))
    }

    fn of(path: &Path, allowed: &[Format], command: &str) -> anyhow::Result<Self> {
        Self::named(&path.extension().unwrap_or_default().to_string_lossy(), allowed, command)
    }
}

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
}

impl Target {
    /// Checked before the work starts: a format that `command` writes, a place that can be written, none of `inputs`.
    pub(crate) fn new(path: &Path, allowed: &[Format], command: &str, inputs: &[&Path]) -> anyhow::Result<Self> {
        let format = Format::of(path, allowed, command)?;
        refuse_overwriting(path, inputs)?;
        atomic::check_writable(path)?;
        Ok(Self { path: path.to_owned(), format })
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(atomic::write_bytes(&self.path, bytes)?)
    }
}

/// The paths of `sources` that are files.
pub(crate) fn paths(sources: &[Source]) -> Vec<&Path> {
    sources.iter().filter_map(Source::path).collect()
}

/// A result must not replace what it was made from.
pub(crate) fn refuse_overwriting(output: &Path, inputs: &[&Path]) -> anyhow::Result<()> {
    let Ok(real) = output.canonicalize() else { return Ok(()) };
    match inputs.iter().any(|i| i.canonicalize().is_ok_and(|i| i == real)) {
        true => Err(Failure::at("usage", output, "the output would replace an input")),
        false => Ok(()),
    }
}

/// Bytes to stdout, flushed. A reader that went away ends the process quietly (see `Context::finish`).
pub(crate) fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).context("cannot write to stdout")
}

/// A named array of a result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) name: String,
    pub(crate) dims: Vec<usize>,
    pub(crate) numbers: Numbers,
}

/// What an array holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Numbers {
    F32(Vec<f32>),
    I32(Vec<i32>),
}

impl Array {
    pub(crate) fn f32(name: impl Into<String>, dims: &[usize], data: Vec<f32>) -> Self {
        Self { name: name.into(), dims: dims.to_vec(), numbers: Numbers::F32(data) }
    }

    pub(crate) fn i32(name: impl Into<String>, dims: &[usize], data: Vec<i32>) -> Self {
        Self { name: name.into(), dims: dims.to_vec(), numbers: Numbers::I32(data) }
    }

    /// As an `.npy` file; whole numbers become floats.
    pub(crate) fn to_npy(&self) -> Vec<u8> {
        match &self.numbers {
            Numbers::F32(data) => npy::encode(&self.dims, data),
            Numbers::I32(data) => npy::encode(&self.dims, &data.iter().map(|&n| n as f32).collect::<Vec<_>>()),
        }
    }
}

/// A safetensors file of `arrays`, with `metadata` as its texts.
pub(crate) fn safetensors(arrays: &[Array], metadata: &[(&str, String)]) -> anyhow::Result<Vec<u8>> {
    let texts: BTreeMap<String, String> = metadata.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    let outgoing: Vec<Outgoing> = arrays
        .iter()
        .map(|a| {
            let dtype = match a.numbers {
                Numbers::F32(_) => "F32",
                Numbers::I32(_) => "I32",
            };
            Outgoing { name: a.name.clone(), dtype, shape: a.dims.clone() }
        })
        .collect();
    let mut file = Vec::new();
    let in_memory = Path::new("");
    container::write(in_memory, &mut file, &texts, &outgoing, |i, out| {
        let bytes: Vec<u8> = match &arrays[i].numbers {
            Numbers::F32(numbers) => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Numbers::I32(numbers) => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        out.write_all(&bytes).map_err(Error::io("write", in_memory))
    })?;
    Ok(file)
}

/// A PNG with `text` under the keyword `switchback` in an `iTXt` chunk right after its header.
pub(crate) fn png_with_text(png: &[u8], text: &str) -> Vec<u8> {
    // Signature 8, then IHDR: length 4, type 4, data 13, CRC 4.
    const AFTER_HEADER: usize = 8 + 25;
    let mut chunk = b"iTXtswitchback\0\0\0\0\0".to_vec();
    chunk.extend(text.as_bytes());
    let mut out = png[..AFTER_HEADER].to_vec();
    out.extend((chunk.len() as u32 - 4).to_be_bytes());
    out.extend(&chunk);
    out.extend(crc32(&chunk).to_be_bytes());
    out.extend(&png[AFTER_HEADER..]);
    out
}

/// Of PNG and zip: polynomial 0xEDB88320, reflected.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_picks_the_format() {
        let allowed = [Format::Png, Format::Csv];
        assert_eq!(Format::of(Path::new("a.PNG"), &allowed, "occlude").unwrap(), Format::Png);
        let message = Format::of(Path::new("a.svg"), &allowed, "occlude").unwrap_err().to_string();
        assert_eq!(message, "occlude does not write .svg; it writes .png, .csv");
        assert!(Format::of(Path::new("a.npy"), &allowed, "occlude").is_err());
        assert!(Format::of(Path::new("png"), &allowed, "occlude").unwrap_err().to_string().contains("there is none"));
    }

    #[test]
    fn arrays_come_back() {
        let arrays = [Array::f32("a", &[2], vec![1.0, -2.5]), Array::i32("b", &[1, 1], vec![7])];
        let file = safetensors(&arrays, &[("record", "{\"é\": 1}".into())]).unwrap();
        let read = container::parse(Path::new("x"), &file).unwrap();
        assert_eq!(read.metadata["record"], "{\"é\": 1}");
        assert_eq!(read.get("a").unwrap().f32(&file), Some(vec![1.0, -2.5]));
        let b = read.get("b").unwrap();
        assert_eq!((b.dtype.as_str(), &b.shape[..], &file[b.bytes.clone()]), ("I32", &[1, 1][..], &[7, 0, 0, 0][..]));
    }

    #[test]
    fn a_png_keeps_its_pixels_and_gains_a_text() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let picture = image::RgbImage::from_fn(3, 2, |x, y| image::Rgb([x as u8, y as u8, 9]));
        let mut png = io::Cursor::new(Vec::new());
        picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let with = png_with_text(png.get_ref(), "{\"k\": \"é\"}");
        assert_eq!(image::load_from_memory(&with).unwrap().to_rgb8(), picture);
        assert!(with.windows(10).any(|w| w == b"switchback"));
    }
}
