//! Occlusion maps: SqueezeNet 1.1 on one photograph against the golden map at every level; windows against full passes
//! on well-known networks and on random small graphs.
#![allow(dead_code, unreachable_pub)]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use switchback_core::architecture::{Name, build};
use switchback_core::network::{Layer, Network, NodeSpec};
use switchback_core::occlusion::{
    ADAPTIVE, Cover, Fill, Heatmap, Method, Settings, occlude, occlude_by, occlude_in_stages, occlude_or_keep,
};
use switchback_core::session::{Algorithm, Options, Session};
use switchback_core::weights::WeightStore;
use switchback_core::weights::mmap::Bytes;
use switchback_core::{Cpu, Error, Geometry, Model, Shape, Tensor};
use switchback_testdata::golden::{Golden, NAMES, sessions};

fn settings(golden: &Golden) -> Settings {
    let [size, stride] = golden.integers("occlusion.size_stride")[..] else { panic!("size and stride") };
    Settings {
        size,
        stride,
        cover: Cover::Square,
        fill: Fill::Constant(vec![0.0; 3]),
        classes: Vec::new(),
        layer: None,
        channel: None,
        adaptive: None,
    }
}

#[test]
fn the_map_is_golden() {
    let Some(sessions) = sessions("models/squeezenet1.1.onnx") else { return };
    let Some(golden) = Golden::of(NAMES[1]) else { return };
    for session in &sessions {
        let level = session.cpu().level;
        let mut last = 0;
        let map = occlude(session, &golden.input(session), &settings(&golden), &mut |p| {
            assert!(p.done >= last && p.total == 81);
            last = p.done;
            ControlFlow::Continue(())
        })
        .expect("a map");
        assert_eq!((last, map.rows, map.columns), (81, 9, 9));
        assert_eq!(map.classes, golden.integers("occlusion.class"));
        assert_eq!(vec![map.channel], golden.integers("occlusion.channel"));
        assert_eq!(session.network().node(map.layer).name, "fire9/concat_1");
        assert_eq!(map.label, golden.integers("occlusion.label"), "{level}");
        for (i, (p, w)) in map.probability[0].iter().zip(golden.floats("occlusion.probability")).enumerate() {
            assert!((p - w).abs() <= 1e-5, "{level}: probability at {i}: {p}, expected {w}");
        }
        for (i, (a, w)) in map.activity.iter().zip(golden.floats("occlusion.activity")).enumerate() {
            assert!((a - w).abs() <= 1e-4 * w.abs(), "{level}: activity at {i}: {a}, expected {w}");
        }
    }
}

#[test]
fn a_cancel_is_heard() {
    let Some(sessions) = sessions("models/squeezenet1.1.onnx") else { return };
    let Some(golden) = Golden::of(NAMES[1]) else { return };
    let mut calls = 0;
    // More places than are handed over at one time.
    let settings = Settings { stride: 4, ..settings(&golden) };
    let result = occlude(&sessions[0], &golden.input(&sessions[0]), &settings, &mut |_| {
        calls += 1;
        if calls == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(result, Err(Error::Cancelled)) && calls == 2);
}

#[test]
fn stages_are_usable_and_a_cancel_keeps_them() {
    let Some(sessions) = sessions("models/squeezenet1.1.onnx") else { return };
    let Some(golden) = Golden::of(NAMES[1]) else { return };
    let (session, settings) = (sessions.last().expect("a level"), settings(&golden));
    let input = golden.input(session);
    let mut stages = Vec::new();
    let full = occlude_in_stages(session, &input, &settings, &mut |_, map| {
        stages.extend(map.cloned());
        ControlFlow::Continue(())
    })
    .expect("a map");
    assert_eq!(stages.iter().map(|m| m.known.iter().filter(|&&k| k).count()).collect::<Vec<_>>(), [9, 25, 81]);
    assert_eq!((full.skipped(), stages[2].probability == full.probability), (0.0, true));
    for stage in &stages {
        for place in 0..81 {
            assert!((0.0..=1.0).contains(&stage.probability[0][place]) && stage.activity[place].is_finite());
            if stage.known[place] {
                assert_eq!(stage.probability[0][place].to_bits(), full.probability[0][place].to_bits());
            }
        }
    }
    let kept = occlude_in_stages(session, &input, &settings, &mut |_, map| match map {
        Some(_) => ControlFlow::Break(()),
        None => ControlFlow::Continue(()),
    })
    .expect("the first stage");
    assert_eq!(kept.probability, stages[0].probability);

    let adaptive = |threshold| {
        let settings = Settings { adaptive: Some(threshold), ..settings.clone() };
        occlude(session, &input, &settings, &mut |_| ControlFlow::Continue(())).expect("a map")
    };
    assert_eq!(adaptive(-1.0).skipped(), 0.0);
    let map = adaptive(ADAPTIVE);
    for place in (0..81).filter(|&p| map.known[p]) {
        assert_eq!(map.probability[0][place].to_bits(), full.probability[0][place].to_bits());
    }
    let never = adaptive(f32::INFINITY);
    assert!(never.skipped() > 0.0 && never.skipped() <= 72.0 / 81.0, "{}", never.skipped());
}

#[test]
fn what_a_cancel_leaves_is_kept_once_the_coarse_lattice_is_whole() {
    // One without and one with linear layers, which wait for all squares.
    for name in [Name::SqueezeNet11, Name::AlexNet] {
        let session = Session::new(Arc::new(build(name, 7)), Cpu::new(2), None).expect("a session");
        let (input, fill) = (noise(&session, 3), Fill::Constant(vec![0.0; 3]));
        let cover = Cover::Square;
        // 12 × 12 places: 9 are coarse, 27 come next.
        let (size, stride, classes) = (48, 16, vec![0]);
        let settings = Settings { size, cover, stride, fill, classes, layer: None, channel: None, adaptive: None };
        let full = occlude(&session, &input, &settings, &mut |_| ControlFlow::Continue(())).expect("a map");
        assert!(full.complete && full.known.iter().all(|&k| k));
        for (calls, known) in [(1, None), (2, Some(9)), (3, Some(36))] {
            let mut called = 0;
            let found = occlude_or_keep(&session, &input, &settings, &mut |_| {
                called += 1;
                if called == calls { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            let Some(known) = known else {
                assert!(matches!(found, Err(Error::Cancelled)));
                continue;
            };
            let map = found.expect("a part of the map");
            assert!(!map.complete && map.known.iter().filter(|&&k| k).count() == known, "{name}: {:?}", map.known);
            for place in 0..144 {
                let (found, whole) = (map.probability[0][place], full.probability[0][place]);
                assert!((0.0..=1.0).contains(&found) && map.activity[place].is_finite(), "{name}: {place}: {found}");
                assert!(!map.known[place] || (found - whole).abs() <= 1e-6, "{name}: {place}: {found}, {whole}");
            }
        }
    }
}

/// Numbers without a pattern, as an input.
fn noise(session: &Session, seed: u64) -> Tensor {
    let shape = session.network().input_shape();
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    Tensor::single(shape, (0..shape.len()).map(|_| next()).collect())
}

/// Both methods, and how far they are apart at most: probabilities, and activities relative to the largest.
fn both(session: &Session, input: &Tensor, settings: &Settings) -> ([Heatmap; 2], f32, f32) {
    let run = |method| occlude_by(session, input, settings, method, &mut |_| ControlFlow::Continue(())).expect("a map");
    let maps = [run(Method::Windows), run(Method::Whole)];
    let [windows, whole] = &maps;
    assert_eq!((windows.classes.clone(), windows.channel), (whole.classes.clone(), whole.channel));
    let apart = whole.apart(windows);
    (maps, apart.probability, apart.activity)
}

/// AlexNet as first published (Krizhevsky et al. 2012), on one card: groups, LRN, and a short end.
fn grouped_alexnet() -> Model {
    let mut weights = WeightStore::new();
    let mut state = 11u64;
    let mut random = |weights: &mut WeightStore, name: &str, dims: &[usize]| {
        let scale = (6.0 / dims[1..].iter().product::<usize>() as f32).sqrt();
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            scale * ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
        };
        let numbers: Vec<f32> = (0..dims.iter().product()).map(|_| next()).collect();
        weights.add_f32(name, dims, &numbers)
    };
    let mut layers = vec![("input".to_owned(), Layer::Input { shape: Shape::new(3, 227, 227) })];
    let pool = || Layer::MaxPool2d { geometry: Geometry::square(3, 2, 0), ceil: false };
    let convs = [
        (3, 96, 11, 4, 0, 1),
        (96, 256, 5, 1, 2, 2),
        (256, 384, 3, 1, 1, 1),
        (384, 384, 3, 1, 1, 2),
        (384, 256, 3, 1, 1, 2),
    ];
    for (i, (ins, outs, kernel, stride, pad, groups)) in convs.into_iter().enumerate() {
        let weight = random(&mut weights, &format!("conv{i}.weight"), &[outs, ins / groups, kernel, kernel]);
        let geometry = Geometry::square(kernel, stride, pad);
        layers.push((format!("conv{i}"), Layer::Conv2d { geometry, out_channels: outs, groups, weight, bias: None }));
        layers.push((format!("relu{i}"), Layer::Relu));
        if i < 2 {
            layers.push((format!("norm{i}"), Layer::Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 }));
        }
        if matches!(i, 0 | 1 | 4) {
            layers.push((format!("pool{i}"), pool()));
        }
    }
    layers.push(("flat".into(), Layer::Flatten));
    for (i, (ins, outputs)) in [(9216, 512), (512, 100)].into_iter().enumerate() {
        let weight = random(&mut weights, &format!("fc{i}.weight"), &[outputs, ins]);
        layers.push((format!("fc{i}"), Layer::Linear { outputs, transposed: true, weight, bias: None }));
        layers.push((format!("end{i}"), if i == 0 { Layer::Relu } else { Layer::Softmax { flat: true } }));
    }
    let last = layers.len() - 1;
    let node = |(i, (name, layer)): (usize, (String, Layer))| NodeSpec {
        name,
        layer,
        inputs: i.checked_sub(1).into_iter().collect(),
    };
    let network =
        Network::new(layers.into_iter().enumerate().map(node).collect(), vec![last]).expect("a sound network");
    let (path, bytes) = ("grouped".into(), Bytes::owned(Vec::new()));
    Model { network, weights, preprocess: None, labels: None, path, bytes, format: "safetensors" }
}

#[test]
fn windows_give_what_full_passes_give() {
    let names = [Name::AlexNet, Name::ZfNet, Name::ResNet18, Name::GoogLeNet, Name::SqueezeNet11];
    let known = names.map(|name| (name.to_string(), build(name, 7)));
    for (name, model) in known.into_iter().chain([("grouped AlexNet".into(), grouped_alexnet())]) {
        let model = Arc::new(model);
        // With im2col up to the last spatial map bit for bit, whose sums are then equal but for the order of adding.
        for (algorithm, tolerance) in [(Algorithm::Im2col, 1e-6), (Algorithm::Auto, 1e-5)] {
            let options = Options { algorithm, ..Options::default() };
            let session = Session::with(Arc::clone(&model), Cpu::new(2), options).expect("a session");
            let fill = Fill::Constant(vec![0.5, -0.25, 0.0]);
            let classes = vec![0, 99];
            let settings = Settings {
                size: 32,
                cover: Cover::Square,
                stride: 32,
                fill,
                classes,
                layer: None,
                channel: None,
                adaptive: None,
            };
            let (maps, probability, activity) = both(&session, &noise(&session, 3), &settings);
            assert!(probability <= 1e-5 && activity <= tolerance, "{name}: {probability:e}, {activity:e}");
            assert_eq!(maps[0].label, maps[1].label, "{name}");
            let moved = maps[0].activity.iter().filter(|&&a| a != maps[0].baseline_activity).count();
            assert!(moved > 0, "{name}: no square changes anything");
        }
    }
}

#[test]
fn the_scores_themselves_can_be_watched() {
    let session = Session::new(Arc::new(build(Name::ResNet18, 7)), Cpu::new(2), None).expect("a session");
    let layer = Some(session.network().scores());
    let fill = Fill::Constant(vec![0.0; 3]);
    let classes = vec![3];
    let settings = Settings {
        size: 64,
        cover: Cover::Square,
        stride: 160,
        fill,
        classes,
        layer,
        channel: Some(3),
        adaptive: None,
    };
    let (maps, probability, activity) = both(&session, &noise(&session, 9), &settings);
    assert!(probability <= 1e-5 && activity <= 1e-5, "{probability:e}, {activity:e}");
    assert_eq!(maps[0].label, maps[1].label);
}

#[test]
fn little_memory_takes_longer_but_gives_the_same_map() {
    let model = Arc::new(build(Name::SqueezeNet11, 7));
    let fill = Fill::Constant(vec![0.0; 3]);
    let settings = Settings {
        size: 40,
        cover: Cover::Square,
        stride: 60,
        fill,
        classes: vec![1],
        layer: None,
        channel: None,
        adaptive: None,
    };
    let map = |limit: Option<u64>| {
        let session = Session::new(Arc::clone(&model), Cpu::new(1), limit).expect("a session");
        occlude(&session, &noise(&session, 5), &settings, &mut |_| ControlFlow::Continue(())).expect("a map")
    };
    let free = map(None);
    let mut last = free.peak_memory;
    assert!(last > 0);
    for limit in [40 << 20, 30 << 20, 16 << 20] {
        let tight = map(Some(limit));
        assert!(tight.peak_memory <= limit && tight.peak_memory <= last, "{} of {limit}", tight.peak_memory);
        last = tight.peak_memory;
        for (a, b) in tight.probability[0].iter().zip(&free.probability[0]) {
            assert!((a - b).abs() <= 1e-6, "{limit}: {a}, {b}");
        }
    }
}

/// The golden graphs: little networks of everything that is imported, with branches, pads, ceil pools and dilations.
fn graphs(algorithm: Algorithm) -> Vec<(String, Session)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/graphs");
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .expect("the golden graphs are there")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "onnx"))
        .collect();
    names.sort();
    let open = |path: &Path| {
        let model = Arc::new(Model::open(path, true).expect("a model"));
        let options = Options { algorithm, ..Options::default() };
        (path.display().to_string(), Session::with(model, Cpu::new(2), options).expect("a session"))
    };
    names.iter().map(|p| open(p)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any graph, square and stride; the map watched is that of any spatial layer.
    #[test]
    fn random_graphs_squares_and_strides(
        which in any::<prop::sample::Index>(),
        layer in any::<prop::sample::Index>(),
        size in 1usize..9,
        stride in 1usize..5,
        seed in any::<u64>(),
        shape_of_it in 0..4,
        blur in any::<bool>(),
        winograd in any::<bool>(),
    ) {
        thread_local! {
            static GRAPHS: [Vec<(String, Session)>; 2] =
                [graphs(Algorithm::Im2col), graphs(Algorithm::Winograd(None))];
        }
        GRAPHS.with(|graphs| -> Result<(), TestCaseError> {
            let (graphs, tolerance) = (&graphs[usize::from(winograd)], if winograd { 1e-4 } else { 1e-5 });
            let (name, session) = &graphs[which.index(graphs.len())];
            let network = session.network();
            let shape = network.input_shape();
            let needed = network.ancestors(network.scores());
            let spatial: Vec<usize> =
                (0..needed.len()).filter(|&id| needed[id] && network.node(id).shape.is_spatial()).collect();
            prop_assume!(!spatial.is_empty() && shape.h.min(shape.w) >= size);
            let layer = Some(spatial[layer.index(spatial.len())]);
            let fill = match blur {
                true => Fill::Blur { sigma: 2.0 },
                false => Fill::Noise { low: vec![-1.0; shape.c], high: vec![1.0; shape.c], seed },
            };
            let [height, width] = [size, size.div_ceil(2)];
            let cover = match shape_of_it {
                0 => Cover::Square,
                1 => Cover::Disc,
                2 => Cover::Rectangle { height, width },
                _ => {
                    let share = |i: usize| [0.0, 0.25, 1.0, 0.0][(i + seed as usize % 7) % 4];
                    Cover::Mask { height, width, shares: (0..height * width).map(share).collect() }
                }
            };
            let settings = Settings { size, cover, stride, fill, classes: vec![0], layer, channel: None, adaptive: None };
            let (_, probability, activity) = both(session, &noise(session, seed), &settings);
            prop_assert!(probability <= tolerance && activity <= tolerance, "{}: {:e}, {:e}", name, probability, activity);
            Ok(())
        })?;
    }
}
