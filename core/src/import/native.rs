//! Our own format: safetensors with the network, preprocessing and labels as JSON texts in `__metadata__`.
//!
//! ```text
//! format      "switchback"
//! version     "1"
//! network     {"nodes": [NodeSpec…], "outputs": [NodeId…], "weights": [tensor name by WeightId…]}
//! preprocess  the record, where it is known
//! labels      ["tench", …], where they are known
//! ```
//! Any safetensors reader can read the tensors; shapes of layers are worked out and checked anew at opening, and no
//! weight is read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use switchback_kernels::{Cpu, Dtype, Level, half};

use crate::atomic;
use crate::error::{Error, Result};
use crate::import::safetensors::{self, Outgoing};
use crate::model::Model;
use crate::network::{Network, NodeId, NodeSpec, WeightId};
use crate::preprocess::Preprocess;
use crate::session::packed;
use crate::weights::WeightStore;
use crate::weights::mmap::Bytes;

const FORMAT: &str = "switchback";
const VERSION: &str = "1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Graph {
    nodes: Vec<NodeSpec>,
    outputs: Vec<NodeId>,
    weights: Vec<String>,
}

/// Opens a file that [`write()`] made.
///
/// # Errors
/// [`Error::Format`] for a damaged file, another version, or a safetensors file without a network; [`Error::Graph`] and
/// [`Error::Shape`] for a network that does not chain.
pub fn open(path: &Path, bytes: Bytes) -> Result<Model> {
    let file = safetensors::parse(path, &bytes)?;
    let text = |key: &str| file.metadata.get(key).map(String::as_str);
    if text("format") != Some(FORMAT) {
        return Err(Error::format(
            path,
            "weights without a network: only .safetensors files made by `switchback convert` say how the weights are \
             wired; convert the model's ONNX file",
        ));
    }
    match text("version") {
        Some(VERSION) => {}
        Some(other) => {
            let what =
                format!("version {other} of the format; this program reads version {VERSION}: convert the model again");
            return Err(Error::format(path, what));
        }
        None => return Err(Error::format(path, "the format's version is missing")),
    }
    let graph: Graph = json(path, "network", text("network").unwrap_or_default())?;
    let preprocess = text("preprocess").map(|t| json(path, "preprocess", t)).transpose()?;
    let labels = text("labels").map(|t| json(path, "labels", t)).transpose()?;

    let mut weights = WeightStore::new();
    let source = weights.add_source(bytes.clone());
    let by_name: HashMap<&str, &safetensors::Stored> = file.tensors.iter().map(|t| (t.name.as_str(), t)).collect();
    for name in &graph.weights {
        let wrong = |what: &str| Error::format(path, format!("weight \"{name}\" {what}"));
        let stored = by_name.get(name.as_str()).ok_or_else(|| wrong("is named by the network but not in the file"))?;
        let dtype = match stored.dtype.as_str() {
            "F32" => Dtype::F32,
            "F16" => Dtype::F16,
            other => return Err(wrong(&format!("has type {other}; F32 and F16 are supported"))),
        };
        weights
            .add_view(name, &stored.shape, dtype, source, stored.bytes.clone())
            .ok_or_else(|| wrong("does not fill its place"))?;
    }
    let network = Network::new(graph.nodes, graph.outputs)?;
    let model = Model { network, weights, preprocess, labels, path: path.to_owned(), bytes, format: "safetensors" };
    packed::check_sizes(&model)?;
    Ok(model)
}

fn json<'a, T: Deserialize<'a>>(path: &Path, key: &str, text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::format(path, format!("\"{key}\" in the metadata is damaged: {e}")))
}

/// Writes `model` to `out`, atomically: an interrupted run leaves either the old file or the new one.
///
/// With [`Dtype::F16`] weights are rounded to the nearest half float, ties to even.
///
/// # Errors
/// [`Error::Invalid`] for a weight beyond the range of half floats; [`Error::Io`] where `out` cannot be written.
pub fn write(
    out: &Path,
    model: &Model,
    preprocess: Option<&Preprocess>,
    labels: Option<&[String]>,
    dtype: Dtype,
) -> Result<()> {
    let names = unique_names(&model.weights);
    let graph =
        Graph { nodes: model.network.specs(), outputs: model.network.outputs().to_vec(), weights: names.clone() };
    let text = |value: Result<String, serde_json::Error>| value.expect("plain data turn into JSON");
    let mut metadata = BTreeMap::from([
        ("format".to_owned(), FORMAT.to_owned()),
        ("version".to_owned(), VERSION.to_owned()),
        ("network".to_owned(), text(serde_json::to_string(&graph))),
    ]);
    if let Some(record) = preprocess {
        metadata.insert("preprocess".into(), text(serde_json::to_string(record)));
    }
    if let Some(labels) = labels {
        metadata.insert("labels".into(), text(serde_json::to_string(labels)));
    }
    let ids: Vec<WeightId> = model.weights.ids().collect();
    let tensors: Vec<Outgoing> = ids
        .iter()
        .map(|&id| {
            let dtype = if dtype == Dtype::F16 { "F16" } else { "F32" };
            Outgoing { name: names[id.0].clone(), dtype, shape: model.weights.dims(id).to_vec() }
        })
        .collect();
    atomic::write(out, |file| {
        safetensors::write(out, file, &metadata, &tensors, |i, file| write_weight(out, file, model, ids[i], dtype))
    })
}

fn write_weight(path: &Path, file: &mut dyn Write, model: &Model, id: WeightId, dtype: Dtype) -> Result<()> {
    let view = model.weights.view(id);
    if let Some((index, value)) = model.weights.first_not_finite(id) {
        let name = model.weights.name(id);
        let what = format!("weight \"{name}\" holds {value} at element {index}: the file is damaged");
        return Err(Error::format(&model.path, what));
    }
    if view.dtype() == dtype {
        return file.write_all(view.bytes()).map_err(Error::io("write", path));
    }
    let cpu = Cpu::single(Level::best());
    // A piece at a time: a model may be larger than the memory that is free.
    const PIECE: usize = 1 << 16;
    for from in (0..view.len()).step_by(PIECE) {
        let piece = view.range(from, (from + PIECE).min(view.len()));
        let bytes: Vec<u8> = match dtype {
            Dtype::F32 => piece.to_vec().iter().flat_map(|x| x.to_le_bytes()).collect(),
            Dtype::F16 => {
                let mut halves = vec![0; 2 * piece.len()];
                half::to_f16(&cpu, piece, &mut halves).map_err(|i| {
                    Error::Invalid(format!(
                        "weight \"{}\" holds {} at element {}, beyond the largest half float 65504: convert with --dtype f32",
                        model.weights.name(id),
                        piece.get(i),
                        from + i
                    ))
                })?;
                halves
            }
        };
        file.write_all(&bytes).map_err(Error::io("write", path))?;
    }
    Ok(())
}

/// The weights' names, those given twice told apart by a number.
fn unique_names(weights: &WeightStore) -> Vec<String> {
    let mut taken = HashSet::new();
    taken.insert("__metadata__".to_owned());
    weights
        .ids()
        .map(|id| {
            let base = weights.name(id);
            let mut name = base.to_owned();
            let mut n = 1;
            while !taken.insert(name.clone()) {
                n += 1;
                name = format!("{base}.{n}");
            }
            name
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Layer;
    use crate::tensor::Shape;
    use switchback_kernels::Geometry;

    fn model() -> Model {
        let mut weights = WeightStore::new();
        let w = weights.add_f32("w", &[2, 1, 3, 3], &[0.1; 18]);
        let b = weights.add_f32("w", &[2], &[65504.0, -0.333]);
        let spec = |name: &str, layer, inputs: &[usize]| NodeSpec { name: name.into(), layer, inputs: inputs.to_vec() };
        let geometry = Geometry::square(3, 1, 1);
        let conv = Layer::Conv2d { geometry, out_channels: 2, groups: 1, weight: w, bias: Some(b) };
        let nodes = vec![
            spec("in", Layer::Input { shape: Shape::new(1, 5, 7) }, &[]),
            spec("conv", conv, &[0]),
            spec("clip", Layer::Clip { min: 0.0, max: f32::INFINITY }, &[1]),
        ];
        let network = Network::new(nodes, vec![2]).unwrap();
        let bytes = Bytes::owned(Vec::new());
        Model { network, weights, preprocess: None, labels: None, path: "x".into(), bytes, format: "onnx" }
    }

    #[test]
    fn round_trip_in_both_types() {
        let folder = tempfile::tempdir().unwrap();
        let model = model();
        for dtype in [Dtype::F32, Dtype::F16] {
            let path = folder.path().join("m.safetensors");
            let labels = vec!["cat".to_owned(), "dog\u{1b}".to_owned()];
            let preprocess = Preprocess::preset("caffe");
            write(&path, &model, preprocess.as_ref(), Some(&labels), dtype).unwrap();
            let back = Model::open(&path, true).unwrap();
            assert_eq!(back.network, model.network);
            assert_eq!((back.labels, back.preprocess), (Some(labels), preprocess));
            let bias = back.weights.view(WeightId(1));
            assert_eq!((bias.dtype(), bias.get(0)), (dtype, 65504.0));
            assert!((bias.get(1) + 0.333).abs() < if dtype == Dtype::F32 { 1e-9 } else { 2e-4 });
            assert_eq!(back.weights.name(WeightId(1)), "w.2");
        }
    }

    #[test]
    fn weights_that_are_not_finite_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut model = model();
        model.weights.add_f32("torn", &[3], &[0.0, 1.0, f32::NAN]);
        for dtype in [Dtype::F32, Dtype::F16] {
            let error = write(&folder.path().join("m.safetensors"), &model, None, None, dtype).unwrap_err().to_string();
            assert!(error.contains("\"torn\" holds NaN at element 2"), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn numbers_beyond_half_are_refused_and_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let mut model = model();
        model.weights.add_f32("large", &[1], &[70000.0]);
        let error = write(&path, &model, None, None, Dtype::F16).unwrap_err().to_string();
        assert!(error.contains("large") && error.contains("70000"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn damaged_headers_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        write(&path, &model(), None, None, Dtype::F32).unwrap();
        let file = std::fs::read(&path).unwrap();
        let data = safetensors::parse(&path, &file).unwrap().tensors[0].bytes.start;
        for cut in 0..file.len() {
            assert!(Model::from_bytes(&path, Bytes::owned(file[..cut].to_vec()), false).is_err(), "cut at {cut}");
        }
        for at in 0..data {
            let mut bad = file.clone();
            bad[at] = bad[at].wrapping_add(1);
            let _ = Model::from_bytes(&path, Bytes::owned(bad), false);
        }
        let text = String::from_utf8_lossy(&file).into_owned();
        for (from, to, word) in [
            ("switchback", "somebodies", "without a network"),
            (r#""version":"1""#, r#""version":"9""#, "version 9"),
            (r#"\"weight\":0"#, r#"\"weight\":7"#, "reads weight"),
            (r#"\"weight\":0"#, r#"\"weight\":1"#, "numbers in weight"),
        ] {
            assert!(text.contains(from), "{from} is not in the header");
            let at = file.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
            let mut bad = file.clone();
            bad[at..at + to.len()].copy_from_slice(to.as_bytes());
            let error = Model::from_bytes(&path, Bytes::owned(bad), false).unwrap_err().to_string();
            assert!(error.contains(word), "{to}: {error}");
        }
    }
}
