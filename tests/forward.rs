//! SqueezeNet 1.1 from its golden inputs: every golden activation and the probabilities, at every level.
#![allow(dead_code, unreachable_pub)]

use switchback_core::trace::Keep;
use switchback_testdata::golden::{Golden, NAMES, relative_max, sessions};

#[test]
fn activations_and_probabilities_are_golden() {
    check("models/squeezenet1.1.onnx");
}

/// The published weights of SqueezeNet 1.1 are half floats in either file.
#[test]
fn half_precision_weights_are_golden() {
    check("models/squeezenet1.1-fp16.onnx");
}

fn check(file: &str) {
    let Some(sessions) = sessions(file) else { return };
    for name in NAMES {
        let Some(golden) = Golden::of(name) else { return };
        for session in &sessions {
            let what = format!("{name} at {}", session.cpu().level);
            let input = golden.input(session);
            let found = session.classify(&input).expect("classes");
            let want = golden.floats("probabilities");
            for (class, (p, w)) in found.probabilities[0].iter().zip(&want).enumerate() {
                assert!((p - w).abs() <= 1e-5, "{what}: class {class}: {p}, expected {w}");
            }
            let layers = golden.names("activation.");
            assert!(layers.len() >= 3);
            let ids: Vec<usize> = layers.iter().map(|l| session.network().find(l).expect("a layer")).collect();
            let trace = session.run(&input, &Keep::nodes(session.network(), &ids)).expect("a trace");
            for (layer, id) in layers.iter().zip(ids) {
                let found = &trace.tensor(id).expect("kept").data;
                let apart = relative_max(found, &golden.floats(&format!("activation.{layer}")));
                assert!(apart <= 1e-4, "{what}: {layer} is {apart:e} of its maximum off");
            }
        }
    }
}
