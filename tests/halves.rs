//! Linear layers from half floats: near the f32 result, the same bits as a model that holds those halves, and refused by
//! name where a weight is beyond them.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use switchback_core::network::{Layer, Network, NodeSpec};
use switchback_core::occlusion::{Cover, Fill, Method, Settings, occlude_by};
use switchback_core::session::{LinearWeights, Options, Session};
use switchback_core::trace::Keep;
use switchback_core::weights::WeightStore;
use switchback_core::weights::mmap::Bytes;
use switchback_core::{Cpu, Dtype, Level, Model, Shape, Tensor, Threads};
use switchback_kernels::half::f32_to_f16;

const INPUTS: usize = 5 * 6 * 7;
const HIDDEN: usize = 130;
const CLASSES: usize = 33;
/// The node of the first linear layer.
const FC1: usize = 2;

/// Numbers in −1..1 that no half holds exactly.
fn numbers(n: usize, seed: u32) -> Vec<f32> {
    (0..n as u32).map(|i| ((i + seed).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 0.999_9).collect()
}

/// input ─ fc1 (outputs, inputs) ─ relu ─ fc2 (inputs, outputs) ─ softmax, its linear weights stored as `dtype`
fn model(dtype: Dtype, large: Option<f32>) -> Arc<Model> {
    let mut weights = WeightStore::new();
    let mut first = numbers(HIDDEN * INPUTS, 1);
    if let Some(large) = large {
        first[1234] = large;
    }
    let second = numbers(CLASSES * HIDDEN, 2);
    let mut add = |name: &str, dims: [usize; 2], numbers: &[f32]| match dtype {
        Dtype::F32 => weights.add_f32(name, &dims, numbers),
        Dtype::F16 => {
            let bytes: Vec<u8> = numbers.iter().flat_map(|x| f32_to_f16(*x).to_le_bytes()).collect();
            let (len, source) = (bytes.len(), weights.add_source(Bytes::owned(bytes)));
            weights.add_view(name, &dims, Dtype::F16, source, 0..len).expect("made to fit")
        }
    };
    let first = add("fc1.weight", [HIDDEN, INPUTS], &first);
    let second = add("fc2.weight", [HIDDEN, CLASSES], &second);
    let bias = weights.add_f32("fc1.bias", &[HIDDEN], &numbers(HIDDEN, 3));
    let layers = [
        ("input", Layer::Input { shape: Shape::new(5, 6, 7) }),
        ("flat", Layer::Flatten),
        ("fc1", Layer::Linear { outputs: HIDDEN, transposed: true, weight: first, bias: Some(bias) }),
        ("relu", Layer::Relu),
        ("fc2", Layer::Linear { outputs: CLASSES, transposed: false, weight: second, bias: None }),
        ("prob", Layer::Softmax { flat: true }),
    ];
    let node = |(i, (name, layer)): (usize, (&str, Layer))| NodeSpec {
        name: name.into(),
        layer,
        inputs: i.checked_sub(1).into_iter().collect(),
    };
    let network = Network::new(layers.into_iter().enumerate().map(node).collect(), vec![5]).expect("a sound network");
    Arc::new(Model {
        network,
        weights,
        preprocess: None,
        labels: None,
        path: PathBuf::from("linear"),
        bytes: Bytes::owned(Vec::new()),
        format: "safetensors",
    })
}

fn session(model: &Arc<Model>, level: Level, weights: LinearWeights) -> Session {
    let cpu = Cpu { level, threads: Threads::new(2) };
    Session::with(Arc::clone(model), cpu, Options { weights, ..Options::default() }).expect("a session")
}

#[test]
fn halves_are_near_the_singles_and_those_of_a_file() {
    let (singles, halves) = (model(Dtype::F32, None), model(Dtype::F16, None));
    for batch in [1, 3] {
        let input = Tensor { batch, shape: Shape::new(5, 6, 7), data: numbers(batch * INPUTS, 9) };
        for level in Level::available() {
            let of = |model, weights| session(model, level, weights).classify(&input).expect("classes").scores;
            let want = of(&singles, LinearWeights::File);
            let got = of(&singles, LinearWeights::F16);
            assert_eq!(got, of(&halves, LinearWeights::File), "{level}: the same halves");
            assert_eq!(got, of(&halves, LinearWeights::F16), "{level}: nothing to convert");
            assert_ne!(got, want, "{level}: converted at all");
            let largest = want.iter().flatten().fold(0f32, |m, x| m.max(x.abs()));
            for (g, w) in got.iter().flatten().zip(want.iter().flatten()) {
                // Each weight is half a unit of 2⁻¹¹ off at most, and errors of both signs meet.
                assert!((g - w).abs() <= 2e-4 * largest, "{level}: {g}, from singles {w}, the largest {largest}");
            }
        }
    }
}

#[test]
fn memory_counts_what_is_held_twice() {
    let keep = |s: &Session| Keep::nodes(s.network(), &[s.network().scores()]);
    let of = |dtype, weights| {
        let session = session(&model(dtype, None), Level::best(), weights);
        session.memory(&keep(&session), 1)
    };
    let copies = 2 * (HIDDEN * INPUTS + CLASSES * HIDDEN) as u64;
    assert_eq!(of(Dtype::F32, LinearWeights::F16), of(Dtype::F32, LinearWeights::File) + copies);
    assert_eq!(of(Dtype::F16, LinearWeights::F16), of(Dtype::F16, LinearWeights::File));
}

#[test]
fn a_weight_beyond_halves_is_refused_by_name() {
    let model = model(Dtype::F32, Some(-70_000.0));
    let input = Tensor { batch: 1, shape: Shape::new(5, 6, 7), data: numbers(INPUTS, 9) };
    for level in Level::available() {
        session(&model, level, LinearWeights::File).classify(&input).expect("singles hold it");
        let error = session(&model, level, LinearWeights::F16).classify(&input).expect_err("beyond a half");
        let text = error.to_string();
        assert_eq!(error.kind(), "half", "{text}");
        for part in ["linear", "fc1", "fc1.weight", "-70000", "element 1234", "65504"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[test]
fn changed_columns_are_those_of_the_halves() {
    let session = session(&model(Dtype::F32, None), Level::best(), LinearWeights::F16);
    let input =
        Tensor { batch: 1, shape: Shape::new(5, 6, 7), data: numbers(INPUTS, 9).iter().map(|x| x / 128.0).collect() };
    let fill = Fill::Constant(vec![0.0; 5]);
    let settings = Settings {
        size: 2,
        cover: Cover::Square,
        stride: 1,
        fill,
        classes: Vec::new(),
        layer: Some(FC1),
        channel: Some(0),
        adaptive: None,
    };
    let run =
        |method| occlude_by(&session, &input, &settings, method, &mut |_| ControlFlow::Continue(())).expect("a map");
    let apart = run(Method::Whole).apart(&run(Method::Windows));
    // From the singles the changed columns are three times this far off.
    assert!(apart.activity <= 1e-6 && apart.probability <= 2e-6, "windows and full passes are apart: {apart:?}");
}
