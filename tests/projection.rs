//! Projections of SqueezeNet 1.1's units against golden ones that were made in float64, at every level.
#![allow(dead_code, unreachable_pub)]

use std::sync::Arc;

use switchback_core::architecture::{Name, build};
use switchback_core::projection::{
    Rule, Seed, Settings, keep, project, project_many, project_whole, top_channels, top_places,
};
use switchback_core::session::Session;
use switchback_core::{Cpu, Tensor};
use switchback_testdata::golden::{Golden, NAMES, relative_l2, sessions};

#[test]
fn projections_are_golden() {
    let Some(sessions) = sessions("models/squeezenet1.1.onnx") else { return };
    for name in NAMES {
        let Some(golden) = Golden::of(name) else { return };
        let mut checked = 0;
        for (rule, word, tolerance) in
            [(Rule::Deconv, "deconv", 1e-4), (Rule::Guided, "guided", 1e-4), (Rule::Gradient, "gradient", 2e-3)]
        {
            for layer in golden.names(&format!("projection.{word}.")) {
                let [channel, y, x] = golden.integers(&format!("unit.{layer}"))[..] else { panic!("unit of {layer}") };
                let want = golden.floats(&format!("projection.{word}.{layer}"));
                for session in &sessions {
                    let what = format!("{name} {word} {layer} at {}", session.cpu().level);
                    let settings = Settings { rule, ..Settings::default() };
                    let id = session.network().find(&layer).expect("a layer");
                    let trace = session.run(&golden.input(session), &keep(session.network(), id, &settings)).unwrap();
                    let best = top_channels(trace.tensor(id).unwrap(), 0, 1)[0];
                    assert_eq!((best.0, best.1), (channel, [y, x]), "{what}: the strongest unit");
                    let seed = Seed::Unit { channel, at: [y, x] };
                    let found = project(session, &trace, 0, id, seed, &settings).unwrap();
                    let apart = relative_l2(&found.tensor.data, &want);
                    assert!(apart <= tolerance, "{what}: relative L2 error {apart:e}");
                    checked += 1;

                    let w = found.window;
                    let shape = session.network().input_shape();
                    for (i, v) in found.tensor.data.iter().enumerate() {
                        let (py, px) = (i / shape.w % shape.h, i % shape.w);
                        let inside = (w.y0..w.y1).contains(&py) && (w.x0..w.x1).contains(&px);
                        assert!(inside || *v == 0.0, "{what}: {v} at {py},{px}, outside {w:?}");
                    }
                }
            }
        }
        assert!(checked >= 8);
    }
}

#[test]
fn many_units_share_a_trace_and_keep_their_bits() {
    let Some(sessions) = sessions("models/squeezenet1.1.onnx") else { return };
    let Some(golden) = Golden::of(NAMES[0]) else { return };
    for session in &sessions {
        let settings = Settings::default();
        let id = session.network().find("fire5/concat_1").unwrap();
        let trace = session.run(&golden.input(session), &keep(session.network(), id, &settings)).unwrap();
        let units = top_channels(trace.tensor(id).unwrap(), 0, 5);
        let seeds: Vec<Seed> = units.iter().map(|&(channel, at, _)| Seed::Unit { channel, at }).collect();
        let together = project_many(session, &trace, 0, id, &seeds, &settings).unwrap();
        for (seed, many) in seeds.iter().zip(&together) {
            let alone = project(session, &trace, 0, id, *seed, &settings).unwrap();
            assert!(alone.tensor.data.iter().zip(&many.tensor.data).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}

/// Numbers without a pattern, as an input.
fn picture(session: &Session) -> Tensor {
    let shape = session.network().input_shape();
    let number = |i: usize| ((i * 7919 + i / 97) % 1009) as f32 / 504.5 - 1.0;
    Tensor::single(shape, (0..shape.len()).map(number).collect())
}

#[test]
fn windows_give_what_whole_maps_give_and_nothing_outside() {
    let networks = [Name::SqueezeNet11, Name::ZfNet, Name::AlexNet, Name::ResNet18, Name::GoogLeNet];
    for name in networks {
        let session = Session::new(Arc::new(build(name, 1)), Cpu::new(2), None).unwrap();
        let network = session.network();
        let last = network.last_spatial().expect("a spatial layer");
        // A layer in the middle has units with small fields; units at the border and inside.
        let middle = (1..last).rev().find(|&id| id <= last / 2 && network.node(id).shape.h > 1).expect("a layer");
        for layer in [last, middle] {
            for rule in [Rule::Deconv, Rule::Gradient, Rule::Guided] {
                let settings = Settings { rule, ..Settings::default() };
                let trace = session.run(&picture(&session), &keep(network, layer, &settings)).unwrap();
                let maps = trace.tensor(layer).unwrap();
                let (channel, strongest, _) = top_channels(maps, 0, 1)[0];
                for at in [strongest, [0, maps.shape.w - 1]] {
                    let what = format!("{name} {rule:?} {} at {at:?}", network.node(layer).name);
                    let settings = Settings { seed_one: true, ..settings };
                    let seed = Seed::Unit { channel, at };
                    let windowed = project(&session, &trace, 0, layer, seed, &settings).unwrap();
                    let whole = project_whole(&session, &trace, 0, layer, seed, &settings).unwrap();
                    assert_eq!(windowed.window, whole.window, "{what}");
                    let peak = whole.tensor.data.iter().fold(0.0, |m: f32, x| m.max(x.abs()));
                    assert!(peak.is_finite(), "{what}");
                    let (shape, w) = (network.input_shape(), windowed.window);
                    for (i, (a, b)) in windowed.tensor.data.iter().zip(&whole.tensor.data).enumerate() {
                        // Sums over fewer cells may be taken in another order.
                        assert!((a - b).abs() <= 1e-6 * peak, "{what}: {a} and {b} at {i}");
                        let (y, x) = (i / shape.w % shape.h, i % shape.w);
                        let inside = (w.y0..w.y1).contains(&y) && (w.x0..w.x1).contains(&x);
                        assert!(inside || (*a == 0.0 && *b == 0.0), "{what}: {a} and {b} at {y},{x}, outside {w:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn places_of_several_channels_run_side_by_side() {
    let session = Session::new(Arc::new(build(Name::AlexNet, 1)), Cpu::new(2), None).unwrap();
    let network = session.network();
    let (layer, settings) = (network.last_spatial().unwrap(), Settings::default());
    let trace = session.run(&picture(&session), &keep(network, layer, &settings)).unwrap();
    let maps = trace.tensor(layer).unwrap();
    let places =
        |channel| top_places(maps.channel(0, channel), maps.shape.w, 3).into_iter().map(move |p| (channel, p.0));
    let seeds: Vec<Seed> =
        [5, 0, 17].into_iter().flat_map(places).map(|(channel, at)| Seed::Unit { channel, at }).collect();
    let together = project_many(&session, &trace, 0, layer, &seeds, &settings).unwrap();
    assert_eq!(together.iter().map(|p| p.seed).collect::<Vec<_>>(), seeds);
    for (seed, many) in seeds.iter().zip(&together) {
        assert_eq!(project(&session, &trace, 0, layer, *seed, &settings).unwrap(), *many);
    }
}
