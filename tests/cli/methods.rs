//! What the commands compute, on the network of `tiny.rs`.

use std::fs;

use serde_json::{Value, json};

use crate::command::{binary, run_in};
use crate::tiny::{folder, npy, paint};

/// Probability of a class whose score is `score` beside two of zero.
fn softmax(score: f64) -> f64 {
    score.exp() / (score.exp() + 2.0)
}

fn close(value: &Value, expected: f64) {
    let found = value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    assert!((found - expected).abs() < 1e-5, "{found} instead of {expected}");
}

fn has_header(document: &Value) {
    assert_eq!(document["model"]["name"], "tiny");
    assert_eq!(document["model"]["format"], "safetensors");
    assert!(document["model"]["path"].as_str().unwrap().ends_with("tiny.safetensors"));
    assert_eq!(document["preprocess"]["resize"], "cover");
    assert_eq!(document["preprocess"]["order"], "RGB");
    assert_eq!(document["preprocess"]["mean"], json!([0.0, 0.0, 0.0]));
    assert!(document["preprocess"]["source"].is_string());
}

#[test]
fn layers() {
    let folder = folder();
    let document = run_in(folder.path(), &["layers", "-m", "tiny.safetensors", "--json"]).json();
    has_header(&document);
    assert_eq!(document["input"], json!([3, 8, 8]));
    let layers = document["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 7);
    let pool = &layers[3];
    assert_eq!((&pool["index"], &pool["name"], &pool["kind"]), (&json!(3), &json!("pool1"), &json!("max_pool2d")));
    assert_eq!(pool["shape"], json!([4, 4, 4]));
    assert_eq!(pool["receptive_field"], json!({"size": [4, 4], "stride": [2.0, 2.0], "start": [-1.0, -1.0]}));
    assert_eq!((&layers[1]["parameters"], &layers[1]["macs"]), (&json!(108), &json!(108 * 64)));
    assert_eq!(layers[6]["receptive_field"]["size"], json!([8, 8]), "{}", layers[6]);
    let table = run_in(folder.path(), &["-m", "tiny.safetensors", "layers"]);
    assert_eq!(table.text().lines().filter(|l| l.contains("×")).count(), 7, "{}", table.text());
    assert!(table.text().contains("preprocessing: cover"), "{}", table.text());
    assert_eq!(run_in(folder.path(), &["layers", "-m", "tiny.safetensors", "-o", "l.csv"]).status, Some(0));
    let csv = fs::read_to_string(folder.path().join("l.csv")).unwrap();
    assert_eq!(csv.lines().nth(4), Some("3,pool1,max_pool2d,4,4,4,0,0,4,4,2,2,-1,-1"));
}

#[test]
fn classify() {
    let folder = folder();
    let words = ["classify", "-m", "tiny.safetensors", "red.png", "green.png", "--json"];
    let document = run_in(folder.path(), &words).json();
    has_header(&document);
    let results = document["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    assert_eq!(results[0]["input"], "red.png");
    let best = &results[0]["top"][0];
    assert_eq!((&best["class"], &best["name"]), (&json!(0), &json!("red")));
    close(&best["probability"], softmax(4.0));
    close(&best["score"], 4.0);
    assert_eq!(results[1]["top"][0]["name"], "green");
    let text = run_in(folder.path(), &["classify", "-m", "tiny.safetensors", "red.png"]);
    assert!(text.text().contains("red.png\n") && text.text().contains("96.47 %"), "{}", text.text());
    assert!(!text.text().contains(['\u{1b}', '\u{9b}']) && text.text().contains("\\u{1b}[31m"), "{}", text.text());
}

#[test]
fn classify_averages_crops_and_models() {
    let folder = folder();
    // Red only in the leftmost of 9 columns: a crop from column 0 scores 4 · 1/4 for red, one from column 1 nothing.
    // Of top left, top right, bottom left, bottom right and centre (offset ⌊1/2⌋) three begin at column 0.
    paint(&folder.path().join("edge.png"), 9, 9, |x, _| if x == 0 { [255, 0, 0] } else { [0, 255, 0] });
    let base = ["classify", "-m", "tiny.safetensors", "edge.png", "--json"];
    let ten = run_in(folder.path(), &[&base[..], &["--crops", "10"]].concat()).json();
    assert_eq!(ten["crops"], 10);
    let red = ten["results"][0]["top"].as_array().unwrap().iter().find(|c| c["name"] == "red").unwrap();
    close(&red["score"], 0.6);
    close(
        &red["probability"],
        (0.6 * 1.0_f64.exp()) / (1.0_f64.exp() + 4.0_f64.exp() + 1.0) + 0.4 / (4.0_f64.exp() + 2.0),
    );
    let one = run_in(folder.path(), &base).json();
    let twice = run_in(folder.path(), &[&base[..], &["-m", "tiny.safetensors"]].concat()).json();
    assert_eq!(twice["models"].as_array().unwrap().len(), 2);
    assert_eq!(twice["results"], one["results"], "the mean of a network with itself");
    let odd = run_in(folder.path(), &[&base[..], &["--crops", "5"]].concat());
    assert_eq!(odd.error()["kind"], "usage");
}

#[test]
fn project_one_unit() {
    let folder = folder();
    let words = ["project", "-m", "tiny.safetensors", "red.png", "-l", "relu1", "-c", "0", "--at", "2,3", "--json"];
    let document = run_in(folder.path(), &words).json();
    has_header(&document);
    assert_eq!((&document["input"], &document["rule"]), (&json!("red.png"), &json!("deconv")));
    let unit = &document["units"][0];
    assert_eq!((&unit["layer"], &unit["channel"], &unit["at"]), (&json!("relu1"), &json!(0), &json!([2, 3])));
    close(&unit["activation"], 1.0);
    assert_eq!(unit["window"], json!([1, 2, 4, 5]));
    assert_eq!(document["output"], Value::Null);
    assert_eq!(document["top"]["name"], "red");

    let done = run_in(folder.path(), &[&words[..10], &["-o", "unit.npy"]].concat());
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    assert!(done.stdout.is_empty());
    let (shape, numbers) = npy(&folder.path().join("unit.npy"));
    assert_eq!(shape, [3, 8, 8]);
    let mut expected = vec![0.0; 192];
    expected[2 * 8 + 3] = 1.0;
    assert_eq!(numbers, expected);
}

#[test]
fn project_selects_units() {
    let folder = folder();
    let project = |words: &[&str]| {
        let start = ["project", "-m", "tiny.safetensors", "red.png", "--json"];
        run_in(folder.path(), &[&start[..], words].concat()).json()
    };
    let units = |document: &Value| -> Vec<(u64, Value)> {
        let units = document["units"].as_array().unwrap();
        units.iter().map(|u| (u["channel"].as_u64().unwrap(), u["at"].clone())).collect()
    };
    assert_eq!(units(&project(&["-l", "pool1"])), [(0, json!([0, 0]))]);
    assert_eq!(units(&project(&["-l", "#3", "-c", "1-2,0"])).iter().map(|u| u.0).collect::<Vec<_>>(), [1, 2, 0]);
    assert_eq!(units(&project(&["-l", "pool", "--top", "2"])), [(0, json!([0, 0])), (3, json!([0, 0]))]);
    assert_eq!(units(&project(&["-l", "pool", "-c", "3", "--top", "2"])), [(3, json!([0, 0])), (3, json!([0, 1]))]);
    assert_eq!(units(&project(&["-l", "pool", "--whole-map"])), [(0, Value::Null)]);
    let class = project(&["--class", "green", "--rule", "gradient", "--seed-value", "one"]);
    assert_eq!((&class["units"][0]["layer"], &class["units"][0]["channel"]), (&json!("mean"), &json!(1)));
    assert_eq!((&class["rule"], &class["seed_value"]), (&json!("gradient"), &json!("one")));
    // Several units are stacked.
    let words = ["project", "-m", "tiny.safetensors", "red.png", "-l", "pool1", "-c", "0,3", "-o", "two.npy"];
    assert_eq!(run_in(folder.path(), &words).status, Some(0));
    assert_eq!(npy(&folder.path().join("two.npy")).0, [2, 3, 8, 8]);
}

#[test]
fn project_refuses_what_contradicts_itself() {
    let folder = folder();
    for words in [
        &["-l", "pool1", "--at", "0,0", "--top", "3"][..],
        &["-l", "pool1", "--whole-map", "--at", "0,0"],
        &["-l", "pool1", "--class", "red"],
        &["--class", "red", "--top", "2"],
        &["-c", "3"],
        &[],
        &["-l", "pool1", "-c", "5-2"],
        &["-l", "pool1", "--top", "0"],
    ] {
        let start = ["project", "-m", "tiny.safetensors", "red.png", "--json"];
        let error = run_in(folder.path(), &[&start[..], words].concat()).error();
        assert_eq!(error["kind"], "usage", "{words:?}: {error}");
    }
    let kinds = [("-l pool1 -c 4", "range"), ("-l pool1 --at 4,0", "range"), ("-l pol1", "layer"), ("-l o", "layer")];
    for (words, kind) in kinds {
        let words: Vec<&str> = words.split(' ').collect();
        let start = ["project", "-m", "tiny.safetensors", "red.png", "--json"];
        let error = run_in(folder.path(), &[&start[..], &words].concat()).error();
        assert_eq!(error["kind"], kind, "{words:?}: {error}");
    }
}

#[test]
fn occluders_have_shapes_fills_and_panels() {
    let folder = folder();
    let run = |words: &str| {
        let all = format!("occlude -m tiny.safetensors red.png --stride 2 --verify --json {words}");
        run_in(folder.path(), &all.split(' ').collect::<Vec<_>>())
    };
    let document = run("--size 2x4 --fill #00ff00 --beside green.png -o f.safetensors").json();
    assert_eq!(
        (&document["rows"], &document["columns"], &document["shape"]),
        (&json!(4), &json!(3), &json!("rectangle"))
    );
    assert_eq!((&document["fill"], &document["verified"]["equal"]), (&json!("#00ff00"), &json!(true)));
    let projections = document["projections"].as_array().unwrap();
    assert_eq!(projections.iter().map(|p| &p["input"]).collect::<Vec<_>>(), ["red.png", "green.png"]);
    let file = fs::read(folder.path().join("f.safetensors")).unwrap();
    assert!(file.windows(14).any(|w| w == b"\"projection.1\""));

    let disc = run("--size 4 --shape disc --fill black").json();
    let square = run("--size 4 --fill black").json();
    let lowest = |d: &Value| d["telling"]["probability"].as_f64().unwrap();
    assert!(lowest(&disc) > lowest(&square), "a disc covers less: {} and {}", disc["telling"], square["telling"]);
    let mask = run("--mask green.png --fill black").json();
    assert_eq!((&mask["rows"], &mask["shape"], &mask["verified"]["equal"]), (&json!(1), &json!("mask"), &json!(true)));
    // A flat picture is its own blur.
    let blur = run("--size 4 --fill blur").json();
    close(&blur["telling"]["probability"], blur["baseline"]["probability"].as_f64().unwrap());
    for wrong in ["--size 0", "--size 2x", "--fill #12", "--size 2x4 --shape disc", "--size 9"] {
        assert_eq!(run(wrong).status, Some(2), "{wrong}");
    }
}

#[test]
fn the_pictures_beside_are_read_once() {
    let folder = folder();
    let words =
        "occlude -m tiny.safetensors red.png green.png --size 4 --beside - --beside red.png --out-dir maps --format";
    let run = |format: &str| {
        // Whoever reads stdin twice finds nothing there.
        let picture = fs::File::open(folder.path().join("green.png")).unwrap();
        let words = words.split(' ').chain([format]);
        let output = binary().current_dir(folder.path()).args(words).stdin(picture).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run("json");
    for name in ["red", "green"] {
        let text = fs::read_to_string(folder.path().join(format!("maps/{name}.json"))).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        let projections = document["projections"].as_array().unwrap();
        let inputs: Vec<_> = projections.iter().map(|p| p["input"].as_str().unwrap()).collect();
        assert_eq!(inputs, [&format!("{name}.png")[..], "-", "red.png"]);
        // The map that is strongest on one of the pictures is silent on the other.
        assert_eq!(projections[0]["activation"], json!(1.0));
        assert_eq!(projections[1]["activation"], json!(if name == "green" { 1.0 } else { 0.0 }));
    }
    run("csv");
    assert!(folder.path().join("maps/green.csv").exists());
}

#[test]
fn occlude() {
    let folder = folder();
    let words =
        "occlude -m tiny.safetensors red.png --size 4 --stride 2 --fill black --class red --class 1 --json -o o.npy";
    let words: Vec<&str> = words.split(' ').collect();
    let document = run_in(folder.path(), &words).json();
    has_header(&document);
    assert_eq!((&document["rows"], &document["columns"]), (&json!(3), &json!(3)));
    assert_eq!((&document["size"], &document["stride"], &document["fill"]), (&json!(4), &json!(2), &json!("black")));
    assert_eq!((&document["layer"], &document["channel"]), (&json!("pool1"), &json!(0)));
    assert_eq!((&document["class"], &document["label"]), (&json!([0, 1]), &json!([[0, 0, 0], [0, 0, 0], [0, 0, 0]])));
    close(&document["baseline"]["probability"][0], softmax(4.0));
    close(&document["baseline"]["activity"], 16.0);
    assert_eq!(document["baseline"]["label"], 0);
    for i in 0..3 {
        for j in 0..3 {
            close(&document["probability"][0][i][j], softmax(3.0));
            close(&document["activity"][i][j], 12.0);
        }
    }
    assert!(document["seconds"].is_number() && document["output"] == "o.npy");
    assert_eq!(npy(&folder.path().join("o.npy")).0, [2, 3, 3]);

    let one = run_in(folder.path(), &["occlude", "-m", "tiny.safetensors", "red.png", "--json"]).json();
    assert_eq!((&one["size"], &one["stride"], &one["class"]), (&json!(1), &json!(1), &json!(0)));
    assert_eq!((&one["rows"], &one["columns"]), (&json!(8), &json!(8)));
    // Preprocessing without a mean: the picture's own, so a square on a red picture changes nothing.
    close(&one["probability"][3][5], softmax(4.0));

    let csv = run_in(folder.path(), &[&words[..8], &["-o", "o.csv"]].concat());
    assert_eq!(csv.status, Some(0), "{}", csv.stderr);
    let csv = fs::read_to_string(folder.path().join("o.csv")).unwrap();
    assert_eq!(csv.lines().count(), 10);
    assert!(csv.starts_with("row,column,y,x,class,probability,label,activity\r\n"), "{csv}");
    let large = run_in(folder.path(), &["occlude", "-m", "tiny.safetensors", "red.png", "--size", "9", "--json"]);
    assert!(large.error()["message"].as_str().unwrap().contains("does not fit"));
}

#[test]
fn tensors_are_taken_as_they_are() {
    let folder = folder();
    let features = ["features", "-m", "tiny.safetensors", "red.png", "-l", "input", "-o", "in.npy"];
    assert_eq!(run_in(folder.path(), &features).status, Some(0));
    assert_eq!(npy(&folder.path().join("in.npy")).0, [3, 8, 8]);
    let document = run_in(folder.path(), &["classify", "-m", "tiny.safetensors", "in.npy", "--json"]).json();
    close(&document["results"][0]["top"][0]["probability"], softmax(4.0));
    let grey = run_in(folder.path(), &["occlude", "-m", "tiny.safetensors", "in.npy", "--fill", "grey", "--json"]);
    assert_eq!(grey.error()["kind"], "usage");
    let features = ["features", "-m", "tiny.safetensors", "red.png", "-l", "pool1", "-c", "0-1", "-o", "p.npy"];
    assert_eq!(run_in(folder.path(), &features).status, Some(0));
    assert_eq!(npy(&folder.path().join("p.npy")), (vec![2, 4, 4], [[1.0; 16], [0.0; 16]].concat()));
    let wrong = run_in(folder.path(), &["classify", "-m", "tiny.safetensors", "p.npy", "--json"]);
    assert_eq!(wrong.error()["kind"], "input");
}

#[test]
fn pictures_and_arrays_record_how_they_were_made() {
    let folder = folder();
    for (name, words) in [
        ("project", &["-l", "pool1", "--top", "3"][..]),
        ("features", &["-l", "pool1"]),
        ("occlude", &["--size", "2", "--stride", "2"]),
    ] {
        let start = [name, "-m", "tiny.safetensors", "red.png", "-o"];
        let png = format!("{name}.png");
        let done = run_in(folder.path(), &[&start[..], &[&png], words].concat());
        assert_eq!(done.status, Some(0), "{name}: {}", done.stderr);
        let bytes = fs::read(folder.path().join(&png)).unwrap();
        let picture = image::load_from_memory(&bytes).unwrap().to_rgb8();
        assert!(picture.width() >= 16 && picture.pixels().any(|p| p != picture.get_pixel(0, 0)), "{name} is blank");
        let text = b"iTXtswitchback\0\0\0\0\0";
        let at = bytes.windows(text.len()).position(|w| w == text).expect("a record") + text.len();
        let mut values = serde_json::Deserializer::from_slice(&bytes[at..]).into_iter::<Value>();
        has_header(&values.next().unwrap().unwrap());

        let arrays = format!("{name}.safetensors");
        let done = run_in(folder.path(), &[&start[..], &[&arrays], words].concat());
        assert_eq!(done.status, Some(0), "{name}: {}", done.stderr);
        let bytes = fs::read(folder.path().join(&arrays)).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let record: Value = serde_json::from_str(header["__metadata__"]["record"].as_str().unwrap()).unwrap();
        has_header(&record);
        assert_eq!(record["input"], "red.png");
    }
}

#[test]
fn several_inputs_go_to_a_folder() {
    let folder = folder();
    fs::write(folder.path().join("broken.png"), b"no picture").unwrap();
    fs::write(folder.path().join("notes.txt"), b"hello").unwrap();
    let start = ["occlude", "-m", "tiny.safetensors", ".", "--size", "4", "--stride", "4"];
    let refused = run_in(folder.path(), &[&start[..], &["--json"]].concat());
    assert!(refused.error()["message"].as_str().unwrap().contains("--out-dir"));
    let words = [&start[..], &["--out-dir", "maps", "--format", "npy"]].concat();
    let first = run_in(folder.path(), &words);
    assert_eq!(first.status, Some(1), "{}", first.stderr);
    assert_eq!(first.text().lines().count(), 2, "{}", first.text());
    assert!(first.stderr.contains("broken.png") && first.stderr.contains("entries skipped"), "{}", first.stderr);
    assert_eq!(npy(&folder.path().join("maps/red.npy")).0, [2, 2]);
    fs::remove_file(folder.path().join("broken.png")).unwrap();
    fs::write(folder.path().join("maps/red.npy"), b"mine").unwrap();
    let again = run_in(folder.path(), &[&words[..], &["--json"]].concat()).json();
    assert_eq!(again["skipped"].as_array().unwrap().len(), 2);
    assert_eq!(fs::read(folder.path().join("maps/red.npy")).unwrap(), b"mine", "what is there stays");
    has_header(&again);
}

#[test]
fn convert_keeps_what_was_chosen() {
    let folder = folder();
    let words = ["convert", "tiny.safetensors", "-o", "half.safetensors", "--dtype", "f16", "--json"];
    let document = run_in(folder.path(), &[&words[..], &["--preprocess", "raw"]].concat()).json();
    assert_eq!((&document["dtype"], &document["preprocess_recorded"]), (&json!("f16"), &json!(true)));
    let layers = run_in(folder.path(), &["layers", "-m", "half.safetensors", "--json"]).json();
    assert_eq!(layers["preprocess"]["scale"], json!(255.0));
    let class = run_in(folder.path(), &["classify", "-m", "half.safetensors", "red.png", "--json"]).json();
    close(&class["results"][0]["top"][0]["score"], 1020.0);
    assert_eq!(class["results"][0]["top"][0]["name"], "red");
    let check = run_in(folder.path(), &["doctor", "half.safetensors", "--json"]).json();
    assert_eq!(check["check"]["weight_types"], json!(["f16"]));
    let same = run_in(folder.path(), &["convert", "tiny.safetensors", "-o", "./tiny.safetensors", "--json"]);
    assert!(same.error()["message"].as_str().unwrap().contains("replace an input"));
}

#[test]
fn threads_levels_and_algorithms_change_nothing() {
    let folder = folder();
    let run = |words: &[&str]| {
        let start = ["classify", "-m", "tiny.safetensors", "red.png", "--json"];
        run_in(folder.path(), &[&start[..], words].concat()).json()["results"].clone()
    };
    let plain = run(&[]);
    assert_eq!(run(&["-t", "1"]), plain);
    assert_eq!(run(&["-t", "3", "--algorithm", "im2col", "--no-mmap", "--weights", "f32"]), plain);
    let best = &run(&["--level", "portable"])[0]["top"][0];
    close(&best["probability"], softmax(4.0));
}

#[test]
fn colours_that_are_asked_for_are_drawn_without_a_terminal() {
    let folder = folder();
    let words = ["project", "-m", "tiny.safetensors", "red.png", "-l", "pool1"];
    let plain = run_in(folder.path(), &words);
    assert_eq!(plain.status, Some(0), "{}", plain.stderr);
    assert!(!plain.text().contains(['\u{1b}', '▀', '▄']) && plain.text().contains("activation"), "{}", plain.text());
    let drawn = run_in(folder.path(), &[&words[..], &["--color", "truecolor"]].concat());
    assert!(drawn.text().contains("\u{1b}[") && drawn.text().contains(";2;"), "{}", drawn.text());
    let ansi = run_in(folder.path(), &[&words[..], &["--color", "256"]].concat());
    assert!(ansi.text().contains(";5;") && !ansi.text().contains("8;2;"), "{}", ansi.text());
    let ink = run_in(folder.path(), &[&words[..], &["--color", "none"]].concat());
    assert!(!ink.text().contains('\u{1b}') && ink.text().lines().count() > plain.text().lines().count());
}

#[test]
fn a_picture_on_stdin() {
    let folder = folder();
    let picture = fs::File::open(folder.path().join("green.png")).unwrap();
    let output = binary()
        .current_dir(folder.path())
        .args(["classify", "-m", "tiny.safetensors", "-", "--json"])
        .stdin(picture)
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&document["results"][0]["input"], &document["results"][0]["top"][0]["class"]),
        (&json!("-"), &json!(1))
    );
}
