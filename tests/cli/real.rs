//! SqueezeNet and photographs, where they are.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::command::run;
use crate::tiny::npy;
use switchback_testdata::golden::{Golden, NAMES};
use switchback_testdata::shared;

/// The model and a photograph of an Egyptian cat.
fn data() -> Option<(String, String)> {
    let text = |p: PathBuf| p.into_os_string().into_string().expect("a path of text");
    Some((text(shared("models/squeezenet1.1.onnx")?), text(shared("photos/n02124075_Egyptian_cat.JPEG")?)))
}

#[test]
fn a_known_model_needs_no_options() {
    let Some((model, photo)) = data() else { return };
    let document = run(&["classify", "-m", &model, &photo, "--json"]).json();
    let top = document["results"][0]["top"].as_array().unwrap();
    assert_eq!(top.len(), 5);
    assert_eq!(top[0]["name"], "Egyptian cat");
    assert_eq!(document["preprocess"]["order"], "BGR");
    assert!(document["preprocess"]["source"].as_str().unwrap().contains("squeezenet1.1"), "{document}");
    assert_eq!((&document["model"]["format"], &document["model"]["classes"]), (&json!("onnx"), &json!(1000)));
    let layers = run(&["layers", "-m", &model, "--json"]).json();
    let sum: u64 = layers["layers"].as_array().unwrap().iter().map(|l| l["parameters"].as_u64().unwrap()).sum();
    assert_eq!(sum, 1_235_496, "SqueezeNet 1.1 has 1.24 million parameters");
}

#[test]
fn every_document_of_a_real_run() {
    let Some((model, photo)) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("unit.npy").into_os_string().into_string().unwrap();
    let words = ["project", "-m", &model, &photo, "-l", "fire5/concat", "--top", "3", "--json", "-o", &file];
    let document = run(&words).json();
    let units = document["units"].as_array().unwrap();
    assert_eq!(units.len(), 3);
    let strength = |u: &Value| u["activation"].as_f64().unwrap();
    assert!(strength(&units[0]) >= strength(&units[1]) && strength(&units[1]) >= strength(&units[2]));
    assert_eq!(document["output"], json!(file));
    let (shape, numbers) = npy(file.as_ref());
    assert_eq!(shape, [3, 3, 224, 224]);
    let [y0, x0, y1, x1] = [0, 1, 2, 3].map(|i| units[0]["window"][i].as_u64().unwrap() as usize);
    for y in 0..224 {
        for x in 0..224 {
            let inside = (y0..y1).contains(&y) && (x0..x1).contains(&x);
            assert!(inside || numbers[y * 224 + x] == 0.0, "({y}, {x}) lies outside {y0},{x0},{y1},{x1}");
        }
    }
    assert!(numbers[..3 * 224 * 224].iter().any(|&n| n != 0.0));

    let words = ["occlude", "-m", &model, &photo, "--class", "Egyptian cat", "--stride", "64", "--json"];
    let document = run(&words).json();
    assert_eq!((&document["class"], &document["size"], &document["rows"]), (&json!(285), &json!(32), &json!(4)));
    assert!(document["layer"].as_str().unwrap().starts_with("fire9/concat"), "{}", document["layer"]);
    let base = document["baseline"]["probability"].as_f64().unwrap();
    let grid = document["probability"].as_array().unwrap();
    assert!(grid.iter().flat_map(|r| r.as_array().unwrap()).any(|p| (p.as_f64().unwrap() - base).abs() > 0.01));
}

#[test]
fn golden_inputs_as_arrays_give_golden_probabilities() {
    let Some((model, _)) = data() else { return };
    let Some(half) = shared("models/squeezenet1.1-fp16.onnx") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input.npy");
    for name in NAMES {
        let Some(golden) = Golden::of(name) else { return };
        std::fs::write(&file, switchback_core::npy::encode(&[1, 3, 224, 224], &golden.floats("input"))).unwrap();
        let want = golden.floats("probabilities");
        for model in [&model, half.to_str().unwrap()] {
            let document = run(&["classify", "-m", model, file.to_str().unwrap(), "--json"]).json();
            let top = document["results"][0]["top"].as_array().unwrap();
            assert_eq!(top.len(), 5);
            for class in top {
                let (index, found) =
                    (class["class"].as_u64().unwrap() as usize, class["probability"].as_f64().unwrap());
                assert!((found - f64::from(want[index])).abs() <= 1e-5, "{model} {name} class {index}: {found}");
            }
        }
    }
}

#[test]
fn a_converted_model_gives_the_same_numbers() {
    let Some((model, photo)) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.safetensors").into_os_string().into_string().unwrap();
    assert_eq!(run(&["convert", &model, "-o", &file]).status, Some(0));
    let classes = |m: &str| run(&["classify", "-m", m, &photo, "--json"]).json()["results"].clone();
    assert_eq!(classes(&file), classes(&model));
    let document = run(&["classify", "-m", &file, &photo, "--json"]).json();
    assert_eq!(document["preprocess"]["order"], "BGR", "the record travels inside the file");
}

#[test]
fn the_layers_of_the_examples_are_those_of_the_model() {
    let Some((model, _)) = data() else { return };
    let document = run(&["layers", "-m", &model, "--json"]).json();
    let names: Vec<&str> = document["layers"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap()).collect();
    let mut found = 0;
    for words in [&["--help"][..], &["project", "--help"], &["features", "--help"], &["occlude", "--help"]] {
        let help = run(words);
        for line in help.text().lines().filter(|l| l.contains("switchback ") && l.contains("squeezenet1.1.onnx")) {
            let mut parts = line.split_whitespace().skip_while(|w| *w != "-l").skip(1);
            let Some(layer) = parts.next().filter(|l| !l.contains('#')) else { continue };
            let exact = names.contains(&layer);
            let holds = names.iter().filter(|n| n.contains(layer)).count();
            assert!(exact || holds == 1, "{layer} is part of {holds} names: {line}");
            found += 1;
        }
    }
    assert!(found >= 5, "{found} examples");
}
