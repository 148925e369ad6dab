//! `--weights f16`, from the outside.

use std::path::{Path, PathBuf};

use serde_json::json;
use switchback_core::import::native;
use switchback_core::network::{Layer, Network, NodeSpec};
use switchback_core::weights::WeightStore;
use switchback_core::weights::mmap::Bytes;
use switchback_core::{Dtype, Model, Shape};

use crate::command::run_in;
use crate::tiny::folder;

/// Three classes, of which each adds up one channel with weights of `weight`, which no half holds exactly.
fn write(path: &Path, weight: f32) {
    let mut weights = WeightStore::new();
    let numbers: Vec<f32> = (0..3 * 192).map(|i| if i / 192 == i % 192 / 64 { weight } else { 0.001 }).collect();
    let weight = weights.add_f32("fc.weight", &[3, 192], &numbers);
    let layers = [
        ("input", Layer::Input { shape: Shape::new(3, 8, 8) }),
        ("relu", Layer::Relu),
        ("fc", Layer::Linear { outputs: 3, transposed: true, weight, bias: None }),
        ("prob", Layer::Softmax { flat: true }),
    ];
    let node = |(i, (name, layer)): (usize, (&str, Layer))| NodeSpec {
        name: name.into(),
        layer,
        inputs: i.checked_sub(1).into_iter().collect(),
    };
    let network = Network::new(layers.into_iter().enumerate().map(node).collect(), vec![3]).expect("a sound network");
    let model = Model {
        network,
        weights,
        preprocess: None,
        labels: None,
        path: PathBuf::from("linear"),
        bytes: Bytes::owned(Vec::new()),
        format: "safetensors",
    };
    native::write(path, &model, None, None, Dtype::F32).expect("it is written");
}

#[test]
fn linear_layers_run_from_halves() {
    let folder = folder();
    write(&folder.path().join("linear.safetensors"), 0.1);
    let run = |words: &[&str], weights: &str| {
        let end = ["-m", "linear.safetensors", "--preprocess", "unit", "--weights", weights, "--json"];
        run_in(folder.path(), &[words, &end].concat()).json()
    };
    for words in [
        &["classify", "red.png"][..],
        &["features", "red.png", "-l", "relu"],
        &["project", "red.png", "--class", "0"],
        &["occlude", "red.png", "-l", "relu", "--class", "0"],
        &["layers"],
    ] {
        assert_eq!(run(words, "f16")["weights"], json!("f16"), "{words:?}");
        assert_eq!(run(words, "f32").get("weights"), None, "{words:?}");
    }
    let score =
        |weights| run(&["classify", "red.png"], weights)["results"][0]["top"][0]["score"].as_f64().expect("a score");
    let (single, half) = (score("f32"), score("f16"));
    // The half next to 0.1 is 0.0999755859375.
    assert!((single - 6.4).abs() < 1e-4 && (half - 64.0 * 0.099_975_585_937_5).abs() < 1e-4, "{single} {half}");
}

#[test]
fn a_weight_beyond_halves_names_its_node() {
    let folder = folder();
    write(&folder.path().join("linear.safetensors"), 1e5);
    let words = ["classify", "red.png", "-m", "linear.safetensors", "--preprocess", "unit"];
    let ran = run_in(folder.path(), &[&words[..], &["--weights", "f16"]].concat());
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("fc.weight") && ran.stderr.contains("65504"), "{}", ran.stderr);
    assert_eq!(run_in(folder.path(), &words).status, Some(0));
}
