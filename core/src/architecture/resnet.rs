//! ResNet-18 and ResNet-50: four stages of residual blocks.
//!
//! ```text
//! basic        x ─ 3×3 ─ 3×3 ─ + ─ ReLU          bottleneck   x ─ 1×1 ─ 3×3 ─ 1×1 ─ + ─ ReLU
//!              └──── (1×1) ────┘                              └─────── (1×1) ───────┘
//! ```
//! The last normalisation of a branch scales by half, so that sums do not grow from block to block.

use switchback_kernels::Geometry;

use super::Name;
use super::builder::Builder;
use crate::model::Model;
use crate::network::{Layer, NodeId};

const BRANCH: f32 = 0.5;
const SHORTCUT: f32 = 0.7;

/// Which blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Basic,
    Bottleneck,
}

fn block(b: &mut Builder, kind: Block, name: &str, from: NodeId, width: usize, stride: usize, project: bool) -> NodeId {
    let part = |i: usize| format!("{name}/conv{i}");
    let (branch, out) = match kind {
        Block::Basic => {
            let x = b.conv_norm_relu(&part(1), from, width, Geometry::square(3, stride, 1));
            (b.conv_norm(&part(2), x, width, Geometry::square(3, 1, 1), BRANCH), width)
        }
        Block::Bottleneck => {
            let x = b.conv_norm_relu(&part(1), from, width, Geometry::square(1, 1, 0));
            let x = b.conv_norm_relu(&part(2), x, width, Geometry::square(3, stride, 1));
            (b.conv_norm(&part(3), x, 4 * width, Geometry::square(1, 1, 0), BRANCH), 4 * width)
        }
    };
    let shortcut = match project {
        true => b.conv_norm(&format!("{name}/shortcut"), from, out, Geometry::square(1, stride, 0), SHORTCUT),
        false => from,
    };
    let sum = b.layer(&format!("{name}/add"), Layer::Add, &[branch, shortcut]);
    b.relu(&format!("{name}/relu"), sum)
}

fn resnet(name: Name, seed: u64, kind: Block, blocks: [usize; 4]) -> Model {
    let mut b = Builder::new(name, seed);
    let mut x = b.conv_norm_relu("conv1", b.input(), 64, Geometry::square(7, 2, 3));
    x = b.max_pool("pool1", x, Geometry::square(3, 2, 1), false);
    for (stage, count) in blocks.into_iter().enumerate() {
        for i in 0..count {
            let stride = if stage > 0 && i == 0 { 2 } else { 1 };
            let project = i == 0 && (stage > 0 || kind == Block::Bottleneck);
            x = block(&mut b, kind, &format!("conv{}_{}", stage + 2, i + 1), x, 64 << stage, stride, project);
        }
    }
    x = b.layer("pool5", Layer::GlobalAvgPool, &[x]);
    let last = b.scores("fc", x, 1000);
    b.finish(last)
}

pub(super) fn resnet18(seed: u64) -> Model {
    resnet(Name::ResNet18, seed, Block::Basic, [2, 2, 2, 2])
}

pub(super) fn resnet50(seed: u64) -> Model {
    resnet(Name::ResNet50, seed, Block::Bottleneck, [3, 4, 6, 3])
}
