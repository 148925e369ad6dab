//! GoogLeNet: nine inception modules between poolings, as torchvision has it: batch normalisation after every
//! convolution, and 3×3 filters where the paper has 5×5.
//!
//! ```text
//! inception   ┬ 1×1 ────────┬ concat
//!             ├ 1×1 ─ 3×3 ──┤
//!             ├ 1×1 ─ 3×3 ──┤
//!             └ pool ─ 1×1 ─┘
//! ```

use switchback_kernels::Geometry;

use super::Name;
use super::builder::Builder;
use crate::model::Model;
use crate::network::{Layer, NodeId};

/// Channels: of the 1×1 branch, before and in the two 3×3 branches, behind the pooling.
fn inception(b: &mut Builder, name: &str, from: NodeId, channels: [usize; 6]) -> NodeId {
    let [first, narrow2, second, narrow3, third, fourth] = channels;
    let (point, patch) = (Geometry::square(1, 1, 0), Geometry::square(3, 1, 1));
    let one = b.conv_norm_relu(&format!("{name}/1x1"), from, first, point);
    let two = b.conv_norm_relu(&format!("{name}/3x3_reduce"), from, narrow2, point);
    let two = b.conv_norm_relu(&format!("{name}/3x3"), two, second, patch);
    let three = b.conv_norm_relu(&format!("{name}/5x5_reduce"), from, narrow3, point);
    let three = b.conv_norm_relu(&format!("{name}/5x5"), three, third, patch);
    let four = b.max_pool(&format!("{name}/pool"), from, patch, true);
    let four = b.conv_norm_relu(&format!("{name}/pool_proj"), four, fourth, point);
    b.layer(&format!("{name}/concat"), Layer::Concat, &[one, two, three, four])
}

pub(super) fn googlenet(seed: u64) -> Model {
    let mut b = Builder::new(Name::GoogLeNet, seed);
    let pool = Geometry::square(3, 2, 0);
    let mut x = b.conv_norm_relu("conv1", b.input(), 64, Geometry::square(7, 2, 3));
    x = b.max_pool("pool1", x, pool, true);
    x = b.conv_norm_relu("conv2_reduce", x, 64, Geometry::square(1, 1, 0));
    x = b.conv_norm_relu("conv2", x, 192, Geometry::square(3, 1, 1));
    x = b.max_pool("pool2", x, pool, true);
    x = inception(&mut b, "inception3a", x, [64, 96, 128, 16, 32, 32]);
    x = inception(&mut b, "inception3b", x, [128, 128, 192, 32, 96, 64]);
    x = b.max_pool("pool3", x, pool, true);
    x = inception(&mut b, "inception4a", x, [192, 96, 208, 16, 48, 64]);
    x = inception(&mut b, "inception4b", x, [160, 112, 224, 24, 64, 64]);
    x = inception(&mut b, "inception4c", x, [128, 128, 256, 24, 64, 64]);
    x = inception(&mut b, "inception4d", x, [112, 144, 288, 32, 64, 64]);
    x = inception(&mut b, "inception4e", x, [256, 160, 320, 32, 128, 128]);
    x = b.max_pool("pool4", x, Geometry::square(2, 2, 0), true);
    x = inception(&mut b, "inception5a", x, [256, 160, 320, 32, 128, 128]);
    x = inception(&mut b, "inception5b", x, [384, 192, 384, 48, 128, 128]);
    x = b.layer("pool5", Layer::GlobalAvgPool, &[x]);
    let last = b.scores("loss3/classifier", x, 1000);
    b.finish(last)
}
