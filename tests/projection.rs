//! Projections of SqueezeNet 1.1's units against golden ones that were made in float64, at every level.
#![allow(dead_code, unreachable_pub)]

use switchback_core::projection::{Rule, Seed, Settings, keep, project, project_many, top_channels};
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
