//! `bench`: its documents, tables and files, and what it answers to a regression. Times themselves are not tested.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::command::{run, run_in};
use crate::tiny::folder;

/// What CLI.md promises of one run.
fn is_a_run(run: &Value) {
    for field in ["network", "level"] {
        assert!(run[field].is_string(), "{field}: {run}");
    }
    assert!(run["threads"].as_u64() > Some(0) && run["batch"].as_u64() > Some(0), "{run}");
    let of = |field: &str| run["milliseconds"][field].as_f64().unwrap();
    assert!(of("min") > 0.0 && of("min") <= of("p10") && of("p10") <= of("median") && of("median") <= of("p90"));
    let samples = run["milliseconds"]["samples"].as_array().unwrap();
    assert!(samples.len() >= 3 && samples.iter().any(|s| s.as_f64() == Some(of("min"))), "{samples:?}");
    let layers = run["layers"].as_array().unwrap();
    assert!(!layers.is_empty());
    for layer in layers {
        for field in ["name", "kind", "algorithm", "bound"] {
            assert!(layer[field].is_string(), "{field}: {layer}");
        }
        assert!(layer["milliseconds"].as_f64() > Some(0.0) && layer["bytes"].is_u64(), "{layer}");
        let works = layer["flops"].as_u64() > Some(0);
        assert_eq!((layer["gflops"].is_f64(), layer["percent_of_peak"].is_f64()), (works, works), "{layer}");
    }
    assert_eq!(run["check"]["passed"], true, "{run}");
}

#[test]
fn a_named_architecture_is_measured_layer_by_layer() {
    let words = ["bench", "net", "squeezenet1.1", "--quick", "--json", "--threads", "1", "--seed", "7"];
    let document = run(&words).json();
    is_a_run(&document);
    assert_eq!((&document["network"], &document["seed"]), (&"squeezenet1.1".into(), &7.into()));
    assert!(document.get("runs").is_none(), "one combination is the document itself");
    let machine = &document["machine"];
    assert!(machine["processor"]["level"].is_string() && machine["load"].is_object(), "{machine}");
    assert!(machine["version"].is_string() && machine["build"].is_string() && machine["caches"].is_array());
    assert!(document["model"].is_object() && document["preprocess"]["source"].is_string(), "{document}");
    let layers = document["layers"].as_array().unwrap();
    let of = |name: &str| layers.iter().find(|l| l["name"] == name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(of("conv1")["flops"], 2 * 64 * 27 * 111 * 111);
    assert_eq!(of("conv1")["fused"], json!(["conv1/relu", "pool1"]));
    assert_eq!(of("fire2/concat")["algorithm"], "in place");
    assert!(document["check"]["cells"].as_u64() > Some(1000));
}

#[test]
fn sums_are_fused_and_halves_are_read() {
    let words = ["bench", "net", "resnet18", "alexnet", "--quick", "--json", "-t", "2"];
    let words = [&words[..], &["--weights", "f16", "--algorithm", "im2col"]].concat();
    let document = run(&words).json();
    let runs = document["runs"].as_array().unwrap();
    runs.iter().for_each(is_a_run);
    let layers = |i: usize| runs[i]["layers"].as_array().unwrap();
    let ends = |name: &Value| name.as_str().unwrap().ends_with("/add");
    let sums = layers(0).iter().filter(|l| l["fused"].as_array().unwrap().iter().any(ends));
    assert_eq!(sums.count(), 8, "every residual sum runs in a convolution's store: {:?}", layers(0));
    let fc6 = layers(1).iter().find(|l| l["name"] == "fc6").unwrap();
    assert!(fc6["bytes"].as_u64() < Some(2 * 9216 * 4096 + 100_000), "half floats are read: {fc6}");
}

#[test]
fn a_model_file_is_swept_over_levels_threads_and_batches() {
    let folder = folder();
    let words = ["bench", "net", "-m", "tiny.safetensors", "--quick", "--json"];
    let sweep = [
        "--threads",
        "1,2,1",
        "--level",
        "portable",
        "--batch",
        "1,3",
        "-o",
        "a.csv",
        "-o",
        "a.md",
        "-o",
        "a.svg",
        "--roofline",
    ];
    let document = run_in(folder.path(), &[&words[..], &sweep].concat()).json();
    let runs = document["runs"].as_array().unwrap();
    let combinations: Vec<_> = runs.iter().map(|r| (r["threads"].as_u64(), r["batch"].as_u64())).collect();
    let of = |t, b| (Some(t), Some(b));
    assert_eq!(combinations, [of(1, 1), of(1, 3), of(2, 1), of(2, 3)]);
    runs.iter().for_each(is_a_run);
    is_a_run(&document);
    let csv = fs::read_to_string(folder.path().join("a.csv")).unwrap();
    let columns = csv.lines().next().unwrap().split(',').count();
    // A line for the whole run, and one for each of the four steps up to the scores.
    assert_eq!(csv.lines().count(), 1 + 4 * (1 + 4), "{csv}");
    assert!(csv.lines().all(|l| l.split(',').count() == columns), "{csv}");
    let markdown = fs::read_to_string(folder.path().join("a.md")).unwrap();
    for text in ["# switchback bench net", "## whole networks", "## tiny, portable, 2 threads, batch 3", "| conv1 "] {
        assert!(markdown.contains(text), "{text} is missing in {markdown}");
    }
    assert_eq!(markdown.matches("over operations a byte").count(), 4, "a roofline each: {markdown}");
    let svg = fs::read_to_string(folder.path().join("a.svg")).unwrap();
    // Two convolutions each.
    assert_eq!((svg.matches("<circle").count(), svg.matches("</svg>").count()), (4 * 2, 1), "{svg}");
}

#[test]
fn markdown_is_what_people_get() {
    let folder = folder();
    let words = ["bench", "net", "tiny.safetensors", "--quick", "-t", "1"];
    let ran = run_in(folder.path(), &words);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    for text in ["- processor: ", "- caches: ", "release build", "naive sums", "% of peak", "| conv2 "] {
        let expected = if cfg!(debug_assertions) { text.replace("release", "debug") } else { text.to_owned() };
        assert!(ran.text().contains(&expected), "{expected} is missing in {}", ran.text());
    }
    let csv = run_in(folder.path(), &[&words[..], &["--format", "csv"]].concat());
    assert!(csv.text().starts_with("network,level,threads,batch,layer,"), "{}", csv.text());
}

/// `file` with every number called `median` times `factor`.
fn doctor(file: &Path, factor: f64) {
    fn walk(value: &mut Value, factor: f64) {
        match value {
            Value::Object(fields) => fields.iter_mut().for_each(|(name, v)| match v.as_f64() {
                Some(x) if name == "median" => *v = json!(x * factor),
                _ => walk(v, factor),
            }),
            Value::Array(items) => items.iter_mut().for_each(|v| walk(v, factor)),
            _ => {}
        }
    }
    let mut document: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    walk(&mut document, factor);
    fs::write(file, document.to_string()).unwrap();
}

#[test]
fn a_regression_is_a_negative_answer() {
    let folder = folder();
    let words = ["bench", "net", "tiny.safetensors", "--quick", "-t", "1", "--level", "portable"];
    let with = |more: &[&str]| run_in(folder.path(), &[&words[..], more].concat());
    let kept = with(&["--save", "kept.json"]);
    assert_eq!(kept.status, Some(0), "{}", kept.stderr);
    let file = folder.path().join("kept.json");
    // A thousand times what it was: no scatter of a busy machine reaches that.
    doctor(&file, 1e-3);
    let slower = with(&["--compare", "kept.json"]);
    assert_eq!(slower.status, Some(1), "{}", slower.stderr);
    assert!(slower.text().contains("SLOWER"), "{}", slower.text());
    doctor(&file, 1e6);
    let faster = with(&["--compare", "kept.json", "--json"]).json();
    assert_eq!(faster["comparison"]["runs"][0]["verdict"], "faster", "{}", faster["comparison"]);
    let other = run_in(
        folder.path(),
        &["bench", "net", "tiny.safetensors", "--quick", "--batch", "9", "--compare", "kept.json"],
    );
    assert!(other.status == Some(2) && other.stderr.contains("no run in common"), "{}", other.stderr);
    fs::write(folder.path().join("letter.json"), "dear sir").unwrap();
    fs::write(folder.path().join("other.json"), "{}").unwrap();
    for (name, kind) in [("letter.json", "format"), ("other.json", "format"), ("none.json", "io")] {
        let error = with(&["--compare", name, "--json"]).error();
        assert_eq!((&error["kind"], &error["path"]), (&kind.into(), &name.into()), "{error}");
    }
}

#[test]
fn peaks_are_measured_by_level_and_place() {
    let document = run(&["bench", "peak", "--quick", "--json", "--threads", "1,2"]).json();
    let runs = document["runs"].as_array().unwrap();
    let levels = document["machine"]["processor"]["levels"].as_array().unwrap();
    let fma: Vec<_> = runs.iter().filter(|r| r["what"] == "fma").collect();
    assert_eq!(fma.len(), 2 * levels.len(), "every level, one thread and two");
    for run in runs {
        let rate = if run["what"] == "fma" { &run["gflops"] } else { &run["gigabytes_per_second"] };
        assert!(rate["median"].as_f64() > Some(0.0) && rate["samples"].is_array(), "{run}");
    }
    assert!(runs.iter().any(|r| r["what"] == "DRAM" && r["threads"] == 2), "{runs:?}");
    assert!(run(&["bench", "peak", "--quick"]).text().contains("| fma  | portable"));
}

#[test]
fn products_are_measured_beside_matrixmultiply() {
    let words = ["bench", "gemm", "--shape", "64x32x48,7x100x33", "--quick", "--json", "--threads", "1,2"];
    let document = run(&[&words[..], &["--level", "portable"]].concat()).json();
    let tiles = document["micro_kernels"].as_array().unwrap();
    assert!(tiles.len() >= 4 && tiles.iter().all(|t| t["gflops"]["median"].as_f64() > Some(0.0)), "{tiles:?}");
    let runs = document["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2 * 3 * 2, "shapes, engines, thread counts");
    for run in runs {
        assert!(run["relative_error"].as_f64() < Some(1e-5) && run["gflops"].as_f64() > Some(0.0), "{run}");
        assert_eq!(run["level"].is_null(), run["engine"] == "matrixmultiply", "{run}");
        assert!(run["milliseconds"]["samples"].as_array().unwrap().len() >= 3);
    }
    let ours = run(&["bench", "gemm", "--shape", "8x8x8", "--quick", "-t", "1", "--engine", "ours", "--format", "csv"]);
    assert_eq!((ours.status, ours.text().lines().count()), (Some(0), 2), "{}{}", ours.text(), ours.stderr);
}

#[test]
fn convolutions_are_measured_by_shape_or_network() {
    let folder = folder();
    let words = ["bench", "conv", "--quick", "--json", "--threads", "1", "--level", "portable"];
    let with = |more: &[&str]| run_in(folder.path(), &[&words[..], more].concat());
    let document = with(&["--shape", "3x20x20:8@5/2+1,8x9x9:4@1,4x9x9:4@3+1g4", "--batch", "1,2"]).json();
    let runs = document["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 6);
    assert_eq!(runs[0]["output"], json!([8, 9, 9]));
    assert_eq!(runs[0]["flops"], 2 * 8 * 81 * 75);
    for run in runs {
        assert!(run["relative_error"].as_f64() < Some(1e-5) && run["percent_of_peak"].as_f64() > Some(0.0), "{run}");
    }
    let shapes = |document: &Value| -> Vec<String> {
        let runs = document["runs"].as_array().unwrap().iter();
        runs.map(|r| r["shape"].as_str().unwrap().to_owned()).collect()
    };
    let tiny = ["3x8x8:4@3+1", "4x4x4:3@1"];
    assert_eq!(shapes(&with(&["tiny.safetensors"]).json()), tiny);
    assert_eq!(shapes(&with(&["-m", "tiny.safetensors"]).json()), tiny);
    for algorithm in ["im2col", "winograd4"] {
        let forced = with(&["--shape", "16x20x20:16@3+1", "--algorithm", algorithm]).json();
        assert_eq!(forced["runs"][0]["algorithm"], algorithm);
    }
    for wrong in ["3x20x20", "3x4x4:8@5", "3x8x8:4@3g2"] {
        let refused = run_in(folder.path(), &["bench", "conv", "--shape", wrong]);
        assert!(refused.status == Some(2) && refused.stderr.contains("--shape"), "{}", refused.stderr);
    }
}

#[test]
fn what_cannot_be_measured_is_said() {
    let folder = folder();
    let unknown = run_in(folder.path(), &["bench", "net", "vgg17", "--json"]).error();
    let message = unknown["message"].as_str().unwrap();
    for name in ["squeezenet1.1", "alexnet", "zfnet", "vgg16", "resnet18", "resnet50", "googlenet"] {
        assert!(message.contains(name), "{name} is not listed: {message}");
    }
    let none = run(&["bench", "net"]);
    assert!(none.status == Some(2) && none.stderr.contains("googlenet"), "{}", none.stderr);
    let twice = run_in(folder.path(), &["bench", "net", "alexnet", "-m", "tiny.safetensors"]);
    assert!(twice.status == Some(2) && twice.stderr.contains("-m"), "{}", twice.stderr);
    let list = run_in(folder.path(), &["layers", "-m", "tiny.safetensors", "--threads", "1,2"]);
    assert!(list.status == Some(2) && list.stderr.contains("only bench takes a list"), "{}", list.stderr);
    for words in [
        &["bench", "net", "alexnet", "-o", "a.png"][..],
        &["bench", "gemm", "--shape", "1x2"],
        &["bench", "conv", "vgg17"],
        &["bench", "net", "alexnet", "--batch", "0"],
        &["bench", "net", "alexnet", "--seconds", "0"],
        &["bench", "net", "alexnet", "--noise", "x"],
        &["bench", "net", "alexnet", "--level", "avx2,sse9"],
        &["bench"],
    ] {
        assert_eq!(run_in(folder.path(), words).status, Some(2), "{words:?}");
    }
    assert!(!folder.path().join("a.png").exists());
}

#[test]
fn occlusion_is_held_against_full_passes_layer_by_layer() {
    let folder = folder();
    let words = ["bench", "occlude", "tiny.safetensors", "--quick", "--json", "-t", "2", "--size", "3", "--verify"];
    let document = run_in(folder.path(), &words).json();
    let run = &document["runs"][0];
    assert_eq!((&run["places"], &run["whole_places"]), (&json!(36), &json!(36)));
    assert!(run["verified"]["probability"].as_f64() <= Some(1e-5) && run["fewer_macs"].as_f64() > Some(1.0), "{run}");
    let layers = run["layers"].as_array().unwrap();
    assert!(!layers.is_empty() && layers.iter().all(|l| l["macs"].as_f64() <= l["whole_macs"].as_f64()), "{layers:?}");
    assert!(run["squares_a_second"].as_f64() > Some(0.0) && run["whole_squares_a_second"].as_f64() > Some(0.0));
    let first = run["first_map_places"].as_u64().unwrap();
    assert!((4..=9).contains(&first) && run["first_map_milliseconds"]["median"].as_f64() > Some(0.0), "{run}");
    let text = run_in(folder.path(), &words[..4]).text().to_owned();
    assert!(
        text.contains("first map ms") && text.contains("## occlusion maps") && text.contains("fewer MACs"),
        "{text}"
    );
}

#[test]
fn projections_are_timed_by_windows_and_over_whole_maps() {
    let folder = folder();
    let document = run_in(folder.path(), &["bench", "project", "tiny.safetensors", "--quick", "--json"]).json();
    let runs = document["runs"].as_array().unwrap();
    let what: Vec<&str> = runs.iter().map(|r| r["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["traced run", "one unit", "one unit, whole maps", "eight units"]);
    assert!(runs.iter().all(|r| r["apart"].as_f64() <= Some(1e-6) && r["milliseconds"]["samples"].is_array()));
}
