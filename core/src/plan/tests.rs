//! What plans fuse, where they put it, and what they keep.

use super::*;
use crate::network::{NodeSpec, WeightId};
use crate::tensor::Shape;
use switchback_kernels::Geometry;

fn conv(out: usize) -> Layer {
    Layer::Conv2d { geometry: Geometry::square(1, 1, 0), out_channels: out, groups: 1, weight: WeightId(0), bias: None }
}

/// input ─ conv a ─ bn ─ relu ─┬ concat ─ drop ─ pool
///       └ conv b ─ relu ───────┘
fn network() -> Network {
    let spec =
        |name: &str, layer: Layer, inputs: &[usize]| NodeSpec { name: name.into(), layer, inputs: inputs.into() };
    let affine = Layer::Affine { scale: WeightId(0), shift: WeightId(0) };
    let nodes = vec![
        spec("input", Layer::Input { shape: Shape::new(2, 4, 4) }, &[]),
        spec("a", conv(3), &[0]),
        spec("bn", affine, &[1]),
        spec("a_relu", Layer::Relu, &[2]),
        spec("b", conv(5), &[0]),
        spec("b_relu", Layer::Relu, &[4]),
        spec("concat", Layer::Concat, &[3, 5]),
        spec("drop", Layer::Identity, &[6]),
        spec("pool", Layer::GlobalAvgPool, &[7]),
    ];
    Network::new(nodes, vec![8]).unwrap()
}

fn plan(network: &Network, keep: &[NodeId]) -> Plan {
    Plan::new(network, &Keep::nodes(network, keep), &vec![None; network.nodes().len()])
}

#[test]
fn chains_fuse_and_write_into_the_concatenation() {
    let net = network();
    let plan = plan(&net, &[8]);
    let runs: Vec<_> = plan.steps.iter().map(|s| (s.node, s.affine, s.relu, s.output)).collect();
    assert_eq!(
        runs,
        [(1, Some(2), true, 3), (4, None, true, 5), (6, None, false, 6), (7, None, false, 7), (8, None, false, 8)]
    );
    let concat = plan.place(6).storage;
    assert_eq!(plan.place(3), Place { storage: concat, offset: 0 });
    assert_eq!(plan.place(5), Place { storage: concat, offset: 3 * 16 });
    assert_eq!(plan.place(7).storage, concat);
    assert_eq!(plan.storages.len(), 3);
    assert_eq!(plan.storages.iter().map(|s| s.offset).collect::<Vec<_>>(), [None, Some(0), None]);
    assert_eq!((plan.arena, plan.kept()), (8 * 16, 8));
}

#[test]
fn a_kept_tensor_is_computed_for_itself() {
    let net = network();
    for kept in 1..8 {
        let plan = plan(&net, &[kept, 8]);
        let place = plan.place(kept);
        assert_eq!(place.offset, 0, "node {kept}");
        assert_eq!(plan.storages[place.storage].kept, [kept]);
        assert_eq!(plan.storages[place.storage].len, net.node(kept).shape.len());
        assert_eq!(plan.storages[place.storage].offset, None);
    }
    // Nothing beyond the furthest kept node runs.
    let plan = plan(&net, &[2]);
    assert_eq!(plan.steps.iter().map(|s| s.output).collect::<Vec<_>>(), [2]);
}

#[test]
fn overwrites_only_what_nobody_else_reads() {
    let spec =
        |name: &str, layer: Layer, inputs: &[usize]| NodeSpec { name: name.into(), layer, inputs: inputs.into() };
    let net = Network::new(
        vec![
            spec("input", Layer::Input { shape: Shape::new(2, 4, 4) }, &[]),
            spec("conv", conv(2), &[0]),
            spec("same", Layer::Identity, &[1]),
            spec("sum", Layer::Add, &[0, 2]),
            spec("relu", Layer::Relu, &[3]),
            spec("double", Layer::Add, &[4, 4]),
        ],
        vec![5],
    )
    .unwrap();
    let in_place = |keep: &[usize]| {
        let plan = plan(&net, keep);
        (3..6).map(|id| plan.steps.iter().find(|s| s.output == id).unwrap().in_place).collect::<Vec<_>>()
    };
    assert_eq!(in_place(&[5]), [Some(2), Some(3), None]);
    assert_eq!(in_place(&[1, 5]), [None, Some(3), None]);
    assert_eq!(in_place(&[3, 5]), [Some(2), None, None]);
}

/// input ─ conv a ─ relu ─┬ conv b ─ conv c ─ add ─ relu ─ pool
///                        └──────────────────┘
#[test]
fn the_sum_of_a_residual_block_runs_in_the_store() {
    let spec =
        |name: &str, layer: Layer, inputs: &[usize]| NodeSpec { name: name.into(), layer, inputs: inputs.into() };
    let nodes = vec![
        spec("input", Layer::Input { shape: Shape::new(2, 4, 4) }, &[]),
        spec("a", conv(3), &[0]),
        spec("a_relu", Layer::Relu, &[1]),
        spec("b", conv(5), &[2]),
        spec("c", conv(3), &[3]),
        spec("add", Layer::Add, &[2, 4]),
        spec("relu", Layer::Relu, &[5]),
        spec("pool", Layer::GlobalAvgPool, &[6]),
    ];
    let net = Network::new(nodes, vec![7]).unwrap();
    let fused = plan(&net, &[7]);
    let last = fused.steps.iter().find(|s| s.node == 4).unwrap();
    assert_eq!((last.add, last.relu, last.output, last.in_place), (Some(2), true, 6, Some(2)));
    assert_eq!(fused.place(6), fused.place(2));
    // A kept summand is copied, not overwritten; and a run that is traced sums in the layers' own order.
    let keep = |plain| Keep { plain, ..Keep::nodes(&net, &[2, 7]) };
    let tiles = vec![None; net.nodes().len()];
    let copied = Plan::new(&net, &keep(true), &tiles);
    let last = copied.steps.iter().find(|s| s.node == 4).unwrap();
    assert_eq!((last.add, last.in_place), (Some(2), None));
    assert_eq!(copied.storages[copied.place(2).storage].offset, None);
    let traced = Plan::new(&net, &keep(false), &tiles);
    assert!(traced.steps.iter().all(|s| s.add.is_none()));
}
