//! SqueezeNet 1.1 from its golden inputs: every golden activation and the probabilities, at every level.
#![allow(dead_code, unreachable_pub)]

use switchback_core::trace::Keep;
use switchback_testdata::golden::{Golden, NAMES, relative_max, sessions};

#[test]
fn activations_and_probabilities_are_golden() {
    check("models/squeezenet1.1.onnx", 1e-5, 1e-4);
}

#[test]
fn half_precision_weights_come_close() {
    // Weights of 11 bits: the golden values are those of the full ones.
    check("models/squeezenet1.1-fp16.onnx", 0.02, 0.02);
}

fn check(file: &str, probabilities: f32, activations: f32) {
    let Some(sessions) = sessions(file) else { return };
    for name in NAMES {
        let Some(golden) = Golden::of(name) else { return };
        for session in &sessions {
            let what = format!("{name} at {}", session.cpu().level);
            let input = golden.input(session);
            let found = session.classify(&input).expect("classes");
            let want = golden.floats("probabilities");
            for (class, (p, w)) in found.probabilities[0].iter().zip(&want).enumerate() {
                assert!((p - w).abs() <= probabilities, "{what}: class {class}: {p}, expected {w}");
            }
            let layers = golden.names("activation.");
            assert!(layers.len() >= 3);
            let ids: Vec<usize> = layers.iter().map(|l| session.network().find(l).expect("a layer")).collect();
            let trace = session.run(&input, &Keep::nodes(session.network(), &ids)).expect("a trace");
            for (layer, id) in layers.iter().zip(ids) {
                let found = &trace.tensor(id).expect("kept").data;
                let apart = relative_max(found, &golden.floats(&format!("activation.{layer}")));
                assert!(apart <= activations, "{what}: {layer} is {apart:e} of its maximum off");
            }
        }
    }
}
