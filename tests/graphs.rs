//! Little random graphs of everything that is imported, against ONNX Runtime (forward) and autograd (projections).
//!
//! `tests/golden/make_graphs.py` made them. Every case runs at every level twice: with all tensors kept, where each is
//! checked, and with the outputs alone, where chains run fused.
#![allow(dead_code, unreachable_pub)]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchback_core::occlusion::{self, Fill, occlude};
use switchback_core::projection::{Rule, Seed, Settings, keep, project};
use switchback_core::session::Session;
use switchback_core::trace::Keep;
use switchback_core::{Cpu, Level, Model, Threads};
use switchback_testdata::golden::{Golden, relative_l2, relative_max};

const RULES: [(Rule, &str); 3] = [(Rule::Deconv, "deconv"), (Rule::Gradient, "gradient"), (Rule::Guided, "guided")];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/graphs")
}

/// Runs `check` on every case at every level; all that fail are told at once.
fn each(check: impl Fn(&Session, &Golden, &str) -> Result<usize, String>) {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("the golden graphs are there")
        .filter_map(|e| e.ok()?.file_name().into_string().ok()?.strip_suffix(".onnx").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() >= 60, "{} golden graphs", names.len());
    let (mut failures, mut checked) = (Vec::new(), 0);
    for name in &names {
        let golden = Golden::open(&folder().join(format!("{name}.safetensors")));
        let model = match Model::open(&folder().join(format!("{name}.onnx")), true) {
            Ok(model) => Arc::new(model),
            Err(e) => {
                failures.push(format!("{name}: {e}"));
                continue;
            }
        };
        for level in Level::available() {
            let cpu = Cpu { level, threads: Threads::new(2) };
            let session = Session::new(Arc::clone(&model), cpu, None).expect("a session");
            match check(&session, &golden, &format!("{name} at {level}")) {
                Ok(n) => checked += n,
                Err(e) => failures.push(e),
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(checked > names.len());
}

/// The one tensor of the cases that no output depends on: such nodes are not imported.
fn is_dead(what: &str, tensor: &str) -> bool {
    what.starts_with("clip_attributes ") && tensor == "conv3"
}

#[test]
fn every_tensor_is_that_of_onnx_runtime() {
    each(|session, golden, what| {
        let network = session.network();
        let input = golden.input(session);
        let tensors: Vec<_> = golden.names("tensor.").into_iter().filter(|t| !is_dead(what, t)).collect();
        let mut ids = Vec::new();
        for name in &tensors {
            ids.push(network.find(name).map_err(|e| format!("{what}: {e}"))?);
        }
        let all = session.run(&input, &Keep::nodes(network, &ids)).map_err(|e| format!("{what}: {e}"))?;
        for (name, &id) in tensors.iter().zip(&ids) {
            let found = &all.tensor(id).expect("kept").data;
            let want = golden.floats(&format!("tensor.{name}"));
            if found.len() != want.len() {
                return Err(format!("{what}: {name} has {} numbers, expected {}", found.len(), want.len()));
            }
            let apart = relative_max(found, &want);
            if apart > 1e-5 {
                return Err(format!("{what}: {name} is {apart:e} of its maximum off"));
            }
        }
        let outputs = network.outputs();
        let fused = session.run(&input, &Keep::nodes(network, outputs)).map_err(|e| format!("{what}: {e}"))?;
        for &id in outputs {
            let Some(want) = tensors.iter().zip(&ids).find(|t| *t.1 == id).map(|t| t.0) else { continue };
            let apart = relative_max(&fused.tensor(id).expect("kept").data, &golden.floats(&format!("tensor.{want}")));
            if apart > 1e-5 {
                return Err(format!("{what}: fused, {want} is {apart:e} of its maximum off"));
            }
        }
        Ok(tensors.len())
    });
}

#[test]
fn projections_are_those_of_autograd() {
    each(|session, golden, what| {
        let network = session.network();
        let mut checked = 0;
        for (rule, word) in RULES {
            let layers = golden.names(&format!("projection.{word}."));
            for layer in layers.into_iter().filter(|l| !is_dead(what, l)) {
                let id = network.find(&layer).map_err(|e| format!("{what}: {e}"))?;
                let settings = Settings { rule, ..Settings::default() };
                let trace = session.run(&golden.input(session), &keep(network, id, &settings)).expect("a trace");
                let unit = golden.integers(&format!("unit.{layer}"));
                let (channel, at) = match unit[..] {
                    [channel, y, x] => (channel, [y, x]),
                    [channel] => (channel, [0, 0]),
                    _ => return Err(format!("{what}: unit {unit:?} of {layer}")),
                };
                let seed = Seed::Unit { channel, at };
                let found = project(session, &trace, 0, id, seed, &settings).map_err(|e| format!("{what}: {e}"))?;
                let apart = relative_l2(&found.tensor.data, &golden.floats(&format!("projection.{word}.{layer}")));
                if apart.is_nan() || apart > 1e-4 {
                    return Err(format!("{what}: {word} from {layer}: relative L2 error {apart:e}"));
                }
                checked += 1;
            }
        }
        Ok(checked)
    });
}

#[test]
fn occlusion_maps_are_those_of_onnx_runtime() {
    let count = std::cell::Cell::new(0);
    each(|session, golden, what| {
        if !golden.has("occlusion.probability") {
            return Ok(1);
        }
        let [size, stride] = golden.integers("occlusion.size_stride")[..] else { panic!("size and stride") };
        let case: serde_json::Value = serde_json::from_str(golden.metadata("case").expect("a case")).expect("JSON");
        let layer = case["occluded"].as_str().map(|l| session.network().find(l).expect("a layer"));
        let class = golden.integers("occlusion.class");
        let fill = Fill::Constant(vec![0.0; session.network().input_shape().c]);
        let settings = occlusion::Settings {
            size,
            cover: occlusion::Cover::Square,
            stride,
            fill,
            classes: class,
            layer,
            channel: None,
            adaptive: None,
        };
        let map = occlude(session, &golden.input(session), &settings, &mut |_| ControlFlow::Continue(()))
            .map_err(|e| format!("{what}: {e}"))?;
        if map.label != golden.integers("occlusion.label") || vec![map.channel] != golden.integers("occlusion.channel")
        {
            return Err(format!("{what}: labels {:?} or channel {} differ", map.label, map.channel));
        }
        for (p, w) in map.probability[0].iter().zip(golden.floats("occlusion.probability")) {
            if (p - w).abs() > 1e-5 {
                return Err(format!("{what}: probability {p}, expected {w}"));
            }
        }
        if relative_max(&map.activity, &golden.floats("occlusion.activity")) > 1e-5 {
            return Err(format!("{what}: activities differ"));
        }
        count.set(count.get() + 1);
        Ok(1)
    });
    assert!(count.get() >= 2, "{} maps", count.get());
}
