//! Known public models: facts about files that people hold, so that a bare ONNX file is preprocessed as it was trained.
//!
//! `zoo.tsv` beside this file has a row a model: name, size in bytes, SHA-256, opset, input, preprocessing preset
//! (`?` where nobody recorded it), kind, output, where it lives, notes; `-` is unknown.

use std::fmt::Write;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

static TABLE: &str = include_str!("zoo.tsv");

/// Where paths of the table that are no addresses begin.
const ARCHIVE: &str = "https://huggingface.co/onnxmodelzoo/legacy_models/resolve/main/";

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The file's usual name without its extension.
    pub name: &'static str,
    /// Bytes of the file.
    pub size: Option<u64>,
    /// Of the file, in lower-case hexadecimal digits; of some files only the first eight are known, of some none.
    pub sha256: &'static str,
    /// ONNX operator set.
    pub opset: Option<u32>,
    /// Name and shape of the input.
    pub input: &'static str,
    /// Name of the preset that it was trained or measured with.
    pub preset: Option<&'static str>,
    /// `fp32`, `fp16`; `int8` and `qdq` are quantised, `pth` and `weights` hold no graph.
    pub kind: &'static str,
    /// Name and shape of the output.
    pub output: Option<&'static str>,
    /// What is worth knowing.
    pub notes: Option<&'static str>,
    place: Option<&'static str>,
}

impl Known {
    /// Whether this program can open the file.
    pub fn is_supported(&self) -> bool {
        matches!(self.kind, "fp32" | "fp16")
    }

    /// Where it lives.
    pub fn url(&self) -> Option<String> {
        let place = self.place?;
        Some(if place.contains("://") { place.to_owned() } else { format!("{ARCHIVE}{place}") })
    }

    fn parse(row: &'static str) -> Option<Self> {
        let cells: Vec<&'static str> = row.split('\t').collect();
        let [name, size, sha256, opset, input, preset, kind, output, place, notes] = cells[..] else { return None };
        let some = |cell: &'static str| (cell != "-" && cell != "?").then_some(cell);
        Some(Self {
            name,
            size: some(size).map(str::parse).transpose().ok()?,
            sha256: some(sha256).unwrap_or(""),
            opset: some(opset).map(str::parse).transpose().ok()?,
            input,
            preset: some(preset),
            kind,
            output: some(output),
            notes: some(notes),
            place: some(place),
        })
    }
}

/// Every known model.
pub fn known() -> &'static [Known] {
    static KNOWN: OnceLock<Vec<Known>> = OnceLock::new();
    KNOWN.get_or_init(|| TABLE.lines().skip(1).filter_map(Known::parse).collect())
}

/// The known model that `bytes` are, by digest. They are read only when a row has their length.
pub fn recognise(bytes: &[u8]) -> Option<&'static Known> {
    let of_size = |k: &&Known| k.size == Some(bytes.len() as u64) && k.sha256.len() == 64;
    known().iter().find(of_size)?;
    let digest = sha256(bytes);
    known().iter().filter(of_size).find(|k| k.sha256 == digest)
}

/// The SHA-256 digest of `bytes` in lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::Preprocess;
    use switchback_testdata as testdata;

    #[test]
    fn every_row_is_sound() {
        assert_eq!(known().len(), TABLE.lines().count() - 1, "a row does not parse");
        for k in known() {
            assert!(k.sha256.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{}", k.name);
            assert!([0, 8, 64].contains(&k.sha256.len()), "{}: digest of {}", k.name, k.sha256.len());
            assert!(["fp32", "fp16", "int8", "qdq", "pth", "weights"].contains(&k.kind), "{}: {}", k.name, k.kind);
            assert!(!k.is_supported() || (k.size.is_some() && k.sha256.len() == 64), "{}", k.name);
            if let Some(preset) = k.preset {
                assert!(Preprocess::preset(preset).is_some(), "{}: {preset}", k.name);
            }
        }
        let mut names: Vec<_> = known().iter().map(|k| k.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), known().len());
    }

    #[test]
    fn rows_hold_what_they_should() {
        let find = |name: &str| known().iter().find(|k| k.name == name).unwrap();
        let zfnet = find("zfnet512-12");
        assert_eq!((zfnet.size, zfnet.opset, zfnet.preset), (Some(349_005_501), Some(12), Some("caffe-squash")));
        assert!(zfnet.url().unwrap().ends_with("/zfnet-512/model/zfnet512-12.onnx") && zfnet.is_supported());
        assert!(find("torchvision-alexnet").url().unwrap().starts_with("https://download.pytorch.org/"));
        assert!(!find("resnet50-v1-12-int8").is_supported());
        assert_eq!(find("inception-v2-9").preset, None);
    }

    #[test]
    fn digests_are_sha256() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn recognises_by_content_alone() {
        let Some(path) = testdata::shared("models/squeezenet1.1.onnx") else { return };
        let mut bytes = std::fs::read(path).unwrap();
        let found = recognise(&bytes).unwrap();
        assert_eq!((found.name, found.preset), ("squeezenet1.1-caffe2", Some("caffe")));
        bytes[1000] ^= 1;
        assert_eq!(recognise(&bytes), None);
        assert_eq!(recognise(&bytes[1..]), None);
    }
}
