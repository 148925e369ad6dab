//! The occlusion map of SqueezeNet 1.1 on one photograph against the golden one, at every level.
#![allow(dead_code, unreachable_pub)]

use std::ops::ControlFlow;

use switchback_core::Error;
use switchback_core::occlusion::{Fill, Settings, occlude};
use switchback_testdata::golden::{Golden, NAMES, sessions};

fn settings(golden: &Golden) -> Settings {
    let [size, stride] = golden.integers("occlusion.size_stride")[..] else { panic!("size and stride") };
    Settings { size, stride, fill: Fill::Constant(vec![0.0; 3]), classes: Vec::new(), layer: None, channel: None }
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
    let result = occlude(&sessions[0], &golden.input(&sessions[0]), &settings(&golden), &mut |_| {
        calls += 1;
        if calls == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(result, Err(Error::Cancelled)) && calls == 2);
}
