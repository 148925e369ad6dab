//! SqueezeNet 1.1 on 200 photographs: the classes that ONNX Runtime with Pillow's preprocessing finds.
//!
//! JPEG decoders differ by a grey level here and there, so probabilities may differ by up to 0.02, and the first class
//! may be another one where the two best lie closer than that.
#![allow(dead_code, unreachable_pub)]

use std::path::Path;
use std::sync::Arc;

use switchback_core::picture::Picture;
use switchback_core::preprocess::Preprocess;
use switchback_core::session::Session;
use switchback_core::{Cpu, Model};

const TOLERANCE: f32 = 0.02;

#[test]
fn photographs_get_the_classes_of_the_oracle() {
    check("models/squeezenet1.1.onnx");
}

#[test]
fn half_precision_weights_give_the_same_classes() {
    check("models/squeezenet1.1-fp16.onnx");
}

fn check(model: &str) {
    let (Some(model), Some(photos), Some(table)) = (
        switchback_testdata::shared(model),
        switchback_testdata::shared("photos"),
        switchback_testdata::shared("golden/squeezenet1.1-top5.tsv"),
    ) else {
        return;
    };
    let model = Arc::new(Model::open(&model, true).expect("the model opens"));
    let input = model.network.input_shape();
    let session = Session::new(model, Cpu::new(2), None).expect("a session");
    let caffe = Preprocess::preset("caffe").expect("a preset");
    let table = std::fs::read_to_string(table).expect("the table reads");
    let (mut checked, mut swapped, mut worst) = (0, 0, 0f32);
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let placed = caffe.place(&open(&photos, fields[0]), input).expect("a placed picture");
        let tensor = caffe.normalise(&placed, input).expect("a tensor");
        let found = session.classify(&tensor).expect("classes");
        let p = &found.probabilities[0];
        let top = (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b])).expect("at least one class");
        let expected: Vec<(usize, f32)> =
            fields[1..].chunks(2).map(|c| (c[0].parse().expect("a class"), c[1].parse().expect("a number"))).collect();
        for &(class, probability) in &expected {
            worst = worst.max((p[class] - probability).abs());
            assert!(
                (p[class] - probability).abs() <= TOLERANCE,
                "{}: class {class}: expected {probability}, found {}",
                fields[0],
                p[class]
            );
        }
        if top != expected[0].0 {
            swapped += 1;
            assert!(
                expected[0].1 - expected[1].1 < TOLERANCE,
                "{}: expected class {} ahead by {}, found {top}",
                fields[0],
                expected[0].0,
                expected[0].1 - expected[1].1
            );
        }
        checked += 1;
    }
    assert_eq!(checked, 200);
    println!("{checked} photographs, {swapped} near ties swapped, largest difference of a probability {worst:.4}");
}

fn open(photos: &Path, name: &str) -> Picture {
    Picture::open(&photos.join(name)).unwrap_or_else(|e| panic!("{e}"))
}
