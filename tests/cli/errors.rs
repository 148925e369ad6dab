//! What goes wrong, and what is said of it.

use std::fs;

use serde_json::json;

use crate::command::{run, run_in};
use crate::tiny::{self, folder};

#[test]
fn the_built_in_model_is_not_there_yet() {
    let error = run(&["layers", "--json"]).error();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("SqueezeNet 1.1") && message.contains("switchback models"), "{message}");
}

#[test]
fn models_that_do_not_open() {
    let folder = folder();
    fs::write(folder.path().join("empty.onnx"), b"").unwrap();
    fs::write(folder.path().join("text.onnx"), "this is a letter, not a network\n").unwrap();
    fs::create_dir(folder.path().join("dir.onnx")).unwrap();
    let whole = fs::read(folder.path().join("tiny.safetensors")).unwrap();
    fs::write(folder.path().join("cut.safetensors"), &whole[..whole.len() - 5]).unwrap();
    for (name, kind) in [
        ("missing.onnx", "io"),
        ("dir.onnx", "io"),
        ("empty.onnx", "format"),
        ("text.onnx", "format"),
        ("cut.safetensors", "format"),
        ("red.png", "format"),
    ] {
        let error = run_in(folder.path(), &["layers", "-m", name, "--json"]).error();
        assert_eq!((&error["kind"], &error["path"]), (&kind.into(), &name.into()), "{error}");
        let people = run_in(folder.path(), &["layers", "-m", name]);
        assert_eq!(people.status, Some(2));
        assert!(people.stderr.starts_with("switchback: ") && people.stderr.contains(name), "{}", people.stderr);
    }
}

#[test]
fn inputs_that_do_not_open() {
    let folder = folder();
    fs::write(folder.path().join("text.jpg"), "a letter").unwrap();
    fs::write(folder.path().join("text.npy"), "a letter").unwrap();
    fs::create_dir(folder.path().join("none")).unwrap();
    for (name, kind) in [
        ("missing.jpg", "io"),
        ("text.jpg", "format"),
        ("text.npy", "format"),
        ("none", "invalid"),
        ("scene:disk", "unsupported"),
    ] {
        let error = run_in(folder.path(), &["classify", "-m", "tiny.safetensors", name, "--json"]).error();
        assert_eq!((&error["kind"], &error["path"]), (&kind.into(), &name.into()), "{error}");
    }
    let slip = run_in(folder.path(), &["classify", "-m", "tiny.safetensors", "project"]);
    assert!(slip.stderr.contains("near commands: project"), "{}", slip.stderr);
    let some = run_in(folder.path(), &["classify", "-m", "tiny.safetensors", "text.jpg", "red.png"]);
    assert_eq!(some.status, Some(1), "one input is enough to be useful: {}", some.stderr);
    assert!(some.text().contains("red.png") && some.stderr.contains("text.jpg"), "{}", some.stderr);
}

#[test]
fn names_cannot_reach_the_terminal() {
    let folder = folder();
    let name = "a\u{1b}[2J\u{9b}31m\u{202e}.png";
    fs::copy(folder.path().join("red.png"), folder.path().join(name)).unwrap();
    let wild = ['\u{1b}', '\u{9b}', '\u{202e}'];
    for words in [
        &["classify", "-m", "tiny.safetensors", name][..],
        &["project", "-m", "tiny.safetensors", name, "-l", "pool1"],
        &["occlude", "-m", "tiny.safetensors", name, "--class", "2"],
        &["features", "-m", "tiny.safetensors", name, "-l", "pool1", "-o", "x.png"],
        &["layers", "-m", name],
        &["classify", name, name],
        &["classify", "-m", "tiny.safetensors", "red.png", "--preprocess", name],
        &["project", "-m", "tiny.safetensors", "red.png", "-l", name],
        &["occlude", "-m", "tiny.safetensors", "red.png", "--class", name],
        &["occlude", "-m", "tiny.safetensors", "red.png", "--fill", name],
        &["occlude", "-m", "tiny.safetensors", "red.png", "-o", name, "--out-dir", name],
        &["classify", "-m", "tiny.safetensors", "red.png", "-o", "no/\u{1b}[2J\u{9b}\u{202e}.csv"],
        &["man", name],
        &[name],
        &["\u{1b}[2J\u{9b}\u{202e}"],
    ] {
        let ran = run_in(folder.path(), words);
        assert!(
            !ran.text().contains(wild) && !ran.stderr.contains(wild),
            "{words:?}: {:?} {:?}",
            ran.text(),
            ran.stderr
        );
        let json = run_in(folder.path(), &[words, &["--json"]].concat());
        assert!(!json.text().contains(wild) && !json.stderr.contains(wild), "{words:?}: {:?}", json.text());
    }
    let document = run_in(folder.path(), &["classify", "-m", "tiny.safetensors", name, "--json"]).json();
    assert_eq!(document["results"][0]["input"], name, "a reader of the JSON gets the name back");
}

#[test]
fn classes_and_layers_name_what_is_near() {
    let folder = folder();
    let class = run_in(folder.path(), &["occlude", "-m", "tiny.safetensors", "red.png", "--class", "gren"]);
    assert!(class.status == Some(2) && class.stderr.contains("green"), "{}", class.stderr);
    let layer = run_in(folder.path(), &["project", "-m", "tiny.safetensors", "red.png", "-l", "pol1"]);
    assert!(layer.status == Some(2) && layer.stderr.contains("pool1"), "{}", layer.stderr);
    let class = run_in(folder.path(), &["occlude", "-m", "tiny.safetensors", "red.png", "--class", "3", "--json"]);
    assert_eq!(class.error()["kind"], "range");
}

#[test]
fn outputs_are_checked_before_the_work() {
    let folder = folder();
    // The input is no picture: were the output looked at later, that would be the error.
    fs::write(folder.path().join("text.jpg"), "a letter").unwrap();
    let occlude = |output: &str| {
        run_in(folder.path(), &["occlude", "-m", "tiny.safetensors", "text.jpg", "-o", output, "--json"]).error()
    };
    assert_eq!(occlude("none/o.png")["path"], "none/o.png");
    for wrong in ["o.svg", "o.html", "o.jpg", "o"] {
        let error = occlude(wrong);
        assert!(error["message"].as_str().unwrap().contains("it writes .png, .npy"), "{wrong}: {error}");
    }
    fs::create_dir(folder.path().join("dir.png")).unwrap();
    assert_eq!(occlude("dir.png")["kind"], "io");
    let over = run_in(folder.path(), &["occlude", "-m", "tiny.safetensors", "red.png", "-o", "red.png", "--json"]);
    assert!(over.error()["message"].as_str().unwrap().contains("replace an input"));
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().all(|n| !n.to_string_lossy().contains("part")), "{names:?}");
}

#[test]
fn options_that_arrive_later_are_refused_by_name() {
    for (words, says) in [
        (&["models", "--algorithm", "fft"][..], "winograd4"),
        (&["models", "--weights", "bf16"], "try f32 or f16"),
        (&["models", "--level", "sse9"], "avx2"),
        (&["models", "--threads", "0"], "at least 1"),
        (&["models", "--max-memory", "lots"], "512M"),
        (&["models", "-q", "-v"], "cannot be used with"),
    ] {
        let ran = run(words);
        assert!(ran.status == Some(2) && ran.stderr.contains(says), "{words:?}: {}", ran.stderr);
        assert_eq!(run(&[words, &["--json"]].concat()).error()["kind"], "usage");
    }
}

#[test]
fn memory_is_shown_and_the_limit_is_that() {
    let folder = folder();
    let model = ["-m", "tiny.safetensors", "--algorithm", "im2col"];
    let run = |words: &[&str]| run_in(folder.path(), &[words, &model].concat());
    // conv1 with its ReLU (4·8·8) beside pool1 (4·4·4), in whose place conv2 follows; three scores and probabilities.
    let (activations, kept, filters) = (4 * (256 + 64), 4 * 6, 4 * (108 + 12));
    let total = activations + kept + filters;
    let memory = run(&["layers", "--json"]).json()["memory"].clone();
    let want = json!({
        "activations": activations, "kept": kept, "filters": filters, "halves": 0, "total": total
    });
    assert_eq!(memory, want);
    assert!(run(&["layers"]).text().contains("of activations"));
    let check = run_in(folder.path(), &["doctor", "tiny.safetensors", "--algorithm", "im2col", "--json"]).json();
    assert_eq!(
        (&check["check"]["memory"]["classify_parts"], &check["check"]["memory"]["classify"]),
        (&want, &json!(total))
    );
    let limited = |limit: i32| run(&["classify", "red.png", "--max-memory", &limit.to_string()]).status;
    assert_eq!((limited(total), limited(total - 1)), (Some(0), Some(2)));
}

#[test]
fn too_little_memory_is_refused_with_the_estimate() {
    let folder = folder();
    let words = ["classify", "-m", "tiny.safetensors", "red.png", "--max-memory", "100", "--json"];
    let error = run_in(folder.path(), &words).error();
    assert_eq!(error["kind"], "memory", "{error}");
    assert!(error["message"].as_str().unwrap().contains("bytes"), "{error}");
}

#[test]
fn damaged_weights_are_found() {
    let folder = folder();
    tiny::write(&folder.path().join("nan.safetensors"), true, true);
    let sick = run_in(folder.path(), &["doctor", "nan.safetensors"]);
    assert_eq!(sick.status, Some(1), "{}", sick.stderr);
    assert!(sick.text().contains("conv1.weight") && sick.text().contains("NaN at element 7"), "{}", sick.text());
    let error = run_in(folder.path(), &["classify", "-m", "nan.safetensors", "red.png", "--json"]).error();
    assert_eq!(error["kind"], "non-finite", "{error}");
    let sound = run_in(folder.path(), &["doctor", "-m", "tiny.safetensors", "--json"]).json();
    assert_eq!(sound["check"]["damaged"].as_array().unwrap().len(), 0);
    assert_eq!(sound["check"]["layers"], 7);
    assert!(sound["check"]["memory"]["classify"].as_u64().unwrap() > 0);
}

#[test]
fn guessed_preprocessing_is_said_aloud() {
    let folder = folder();
    tiny::write(&folder.path().join("bare.safetensors"), false, false);
    let people = run_in(folder.path(), &["classify", "-q", "-m", "bare.safetensors", "red.png"]);
    assert!(people.stderr.contains("torchvision") && people.stderr.contains("--preprocess"), "{}", people.stderr);
    let told = run_in(folder.path(), &["classify", "-m", "bare.safetensors", "red.png", "--preprocess", "unit"]);
    assert!(!told.stderr.contains("torchvision"), "{}", told.stderr);
    // With --json a failure leaves one document, which carries the warning.
    let words = ["occlude", "-m", "bare.safetensors", "red.png", "--class", "none such", "--json"];
    let failed = run_in(folder.path(), &words);
    failed.error();
    assert!(failed.stderr.contains("\"warnings\":["), "{}", failed.stderr);
}
