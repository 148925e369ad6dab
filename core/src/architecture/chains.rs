//! Networks that are one chain of layers: AlexNet, ZFNet, VGG-16.
//!
//! ```text
//! AlexNet  64@11²/4 pool 192@5² pool 384@3² 256@3² 256@3² pool            4096 4096 1000      pools 3²/2
//! ZFNet    96@7²/2 pool LRN 256@5²/2 pool LRN 384@3² 384@3² 256@3² pool   4096 4096 1000      pools 3²/2, ceil
//! VGG-16   2×64 pool 2×128 pool 3×256 pool 3×512 pool 3×512 pool, 3×3     4096 4096 1000      pools 2²/2
//! ```

use switchback_kernels::Geometry;

use super::Name;
use super::builder::Builder;
use crate::model::Model;
use crate::network::{Layer, NodeId};

/// Three fully connected layers.
fn classifier(b: &mut Builder, from: NodeId) -> NodeId {
    let flat = b.layer("flatten", Layer::Flatten, &[from]);
    let fc6 = b.linear_relu("fc6", flat, 4096);
    let fc7 = b.linear_relu("fc7", fc6, 4096);
    b.scores("fc8", fc7, 1000)
}

pub(super) fn alexnet(seed: u64) -> Model {
    let mut b = Builder::new(Name::AlexNet, seed);
    let pool = Geometry::square(3, 2, 0);
    let mut x = b.conv_relu("conv1", b.input(), 64, Geometry::square(11, 4, 2));
    x = b.max_pool("pool1", x, pool, false);
    x = b.conv_relu("conv2", x, 192, Geometry::square(5, 1, 2));
    x = b.max_pool("pool2", x, pool, false);
    for (name, out) in [("conv3", 384), ("conv4", 256), ("conv5", 256)] {
        x = b.conv_relu(name, x, out, Geometry::square(3, 1, 1));
    }
    x = b.max_pool("pool5", x, pool, false);
    let last = classifier(&mut b, x);
    b.finish(last)
}

/// Maps of 110, 55, 26, 13, 13, 13, 13, 6: the sizes of Figure 3, by one cell of padding in front of the first layer
/// and poolings whose last window hangs over. The constants of LRN are Krizhevsky's as Caffe writes them.
pub(super) fn zfnet(seed: u64) -> Model {
    let mut b = Builder::new(Name::ZfNet, seed);
    let pool = Geometry::square(3, 2, 0);
    let lrn = Layer::Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 };
    let mut x = b.conv_relu("conv1", b.input(), 96, Geometry::square(7, 2, 1));
    x = b.max_pool("pool1", x, pool, true);
    x = b.layer("norm1", lrn.clone(), &[x]);
    x = b.conv_relu("conv2", x, 256, Geometry::square(5, 2, 0));
    x = b.max_pool("pool2", x, pool, true);
    x = b.layer("norm2", lrn, &[x]);
    for (name, out) in [("conv3", 384), ("conv4", 384), ("conv5", 256)] {
        x = b.conv_relu(name, x, out, Geometry::square(3, 1, 1));
    }
    x = b.max_pool("pool5", x, pool, true);
    let last = classifier(&mut b, x);
    b.finish(last)
}

pub(super) fn vgg16(seed: u64) -> Model {
    let mut b = Builder::new(Name::Vgg16, seed);
    let mut x = b.input();
    for (stage, (convolutions, out)) in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)].into_iter().enumerate() {
        for i in 1..=convolutions {
            x = b.conv_relu(&format!("conv{}_{i}", stage + 1), x, out, Geometry::square(3, 1, 1));
        }
        x = b.max_pool(&format!("pool{}", stage + 1), x, Geometry::square(2, 2, 0), false);
    }
    let last = classifier(&mut b, x);
    b.finish(last)
}
