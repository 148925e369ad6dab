//! The architectures against published counts, and alive: no dead, denormal or exploding signals.

use std::sync::Arc;

use switchback_kernels::Cpu;

use super::*;
use crate::network::{Layer, count};
use crate::session::Session;
use crate::tensor::{Shape, Tensor};
use crate::trace::Keep;

/// Learnt numbers, and millions of multiply-accumulates in convolutions and linear layers, as torchvision's tables give
/// them; of ZFNet as they follow from Figure 3.
const PUBLISHED: [(Name, u64, u64); 7] = [
    (Name::SqueezeNet11, 1_235_496, 349),
    (Name::AlexNet, 61_100_840, 714),
    (Name::ZfNet, 62_357_608, 1_168),
    (Name::Vgg16, 138_357_544, 15_470),
    (Name::ResNet18, 11_689_512, 1_814),
    (Name::ResNet50, 25_557_032, 4_089),
    (Name::GoogLeNet, 6_624_904, 1_498),
];

#[test]
fn counts_are_the_published_ones() {
    for (name, parameters, millions) in PUBLISHED {
        let model = build(name, 1);
        let network = &model.network;
        let products = (0..network.nodes().len())
            .filter(|&id| !matches!(network.node(id).layer, Layer::Affine { .. }))
            .map(|id| count::count(network, id).macs);
        let rounded = (products.sum::<u64>() as f64 / 1e6).round() as u64;
        assert_eq!((count::parameters(network), rounded), (parameters, millions), "{name}");
        assert_eq!((network.input_shape(), network.classes()), (Shape::new(3, 224, 224), 1000), "{name}");
        assert_eq!(network.softmax(), None, "{name}");
    }
}

#[test]
fn zfnet_has_the_sizes_of_figure_3() {
    let model = build(Name::ZfNet, 1);
    let side = |name: &str| model.network.node(model.network.find(name).unwrap()).shape.h;
    let names = ["conv1/relu", "pool1", "conv2/relu", "pool2", "conv3/relu", "conv4/relu", "conv5/relu", "pool5"];
    assert_eq!(names.map(side), [110, 55, 26, 13, 13, 13, 13, 6]);
}

#[test]
fn squeezenet_has_the_layers_of_the_public_file() {
    let Some(path) = switchback_testdata::shared("models/squeezenet1.1.onnx") else { return };
    let public = Model::open(&path, true).unwrap();
    let own = build(Name::SqueezeNet11, 1);
    let convolutions = |model: &Model| -> Vec<_> {
        let nodes = model.network.nodes().iter();
        nodes
            .filter_map(|n| match n.layer {
                Layer::Conv2d { geometry, out_channels, groups, .. } => Some((geometry, out_channels, groups, n.shape)),
                _ => None,
            })
            .collect()
    };
    assert_eq!(convolutions(&own), convolutions(&public));
}

#[test]
fn the_seed_decides() {
    let bits = |seed: u64| -> Vec<u8> {
        let model = build(Name::SqueezeNet11, seed);
        model.weights.ids().flat_map(|id| model.weights.view(id).bytes().to_vec()).collect()
    };
    assert_eq!(bits(3), bits(3));
    assert_ne!(bits(3), bits(4));
}

#[test]
fn signals_live() {
    for name in Name::ALL {
        let session = Session::new(Arc::new(build(name, 5)), Cpu::new(2), None).unwrap();
        let network = session.network();
        let shape = network.input_shape();
        let data = (0..shape.len()).map(|i| ((i * 37) % 255) as f32 / 127.0 - 1.0).collect();
        let relus: Vec<_> =
            (0..network.nodes().len()).filter(|&id| matches!(network.node(id).layer, Layer::Relu)).collect();
        let scores = network.scores();
        let keep = Keep::nodes(network, &relus).and(&Keep::nodes(network, &[scores]));
        let trace = session.run(&Tensor::single(shape, data), &keep).unwrap();
        for id in relus {
            let data = &trace.tensor(id).unwrap().data;
            let live = data.iter().filter(|&&x| x > 0.0).count() as f32 / data.len() as f32;
            let root = (data.iter().map(|x| x * x).sum::<f32>() / data.len() as f32).sqrt();
            let what = format!("{name} {}: {live} live, root mean square {root}", network.node(id).name);
            assert!((0.1..0.95).contains(&live) && (1e-2..1e3).contains(&root), "{what}");
            assert!(data.iter().all(|x| *x == 0.0 || x.is_normal()), "{what}");
        }
        let scores = &trace.tensor(scores).unwrap().data;
        assert!(scores.iter().all(|x| x.is_finite()));
        let [low, high] = scores.iter().fold([f32::MAX, f32::MIN], |[l, h], &x| [l.min(x), h.max(x)]);
        assert!(high - low > 1e-2, "{name}: scores between {low} and {high}");
    }
}

#[test]
fn unknown_names_list_the_known() {
    let message = "vgg99".parse::<Name>().unwrap_err().to_string();
    assert!(message.contains("vgg99") && Name::ALL.iter().all(|n| message.contains(n.as_str())), "{message}");
    for name in Name::ALL {
        assert_eq!(name.as_str().parse::<Name>().unwrap(), name);
    }
}
