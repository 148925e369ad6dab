//! SqueezeNet 1.1: eight fire modules between three poolings.
//!
//! ```text
//! fire   squeeze 1×1 ─┬ expand 1×1 ┬ concat
//!                     └ expand 3×3 ┘
//! ```

use switchback_kernels::Geometry;

use super::Name;
use super::builder::Builder;
use crate::model::Model;
use crate::network::{Layer, NodeId};

fn fire(b: &mut Builder, name: &str, from: NodeId, squeeze: usize, expand: usize) -> NodeId {
    let narrow = b.conv_relu(&format!("{name}/squeeze1x1"), from, squeeze, Geometry::square(1, 1, 0));
    let points = b.conv_relu(&format!("{name}/expand1x1"), narrow, expand, Geometry::square(1, 1, 0));
    let patches = b.conv_relu(&format!("{name}/expand3x3"), narrow, expand, Geometry::square(3, 1, 1));
    b.layer(&format!("{name}/concat"), Layer::Concat, &[points, patches])
}

pub(super) fn squeezenet11(seed: u64) -> Model {
    let mut b = Builder::new(Name::SqueezeNet11, seed);
    let pool = Geometry::square(3, 2, 0);
    let mut x = b.conv_relu("conv1", b.input(), 64, Geometry::square(3, 2, 0));
    x = b.max_pool("pool1", x, pool, true);
    x = fire(&mut b, "fire2", x, 16, 64);
    x = fire(&mut b, "fire3", x, 16, 64);
    x = b.max_pool("pool3", x, pool, true);
    x = fire(&mut b, "fire4", x, 32, 128);
    x = fire(&mut b, "fire5", x, 32, 128);
    x = b.max_pool("pool5", x, pool, true);
    x = fire(&mut b, "fire6", x, 48, 192);
    x = fire(&mut b, "fire7", x, 48, 192);
    x = fire(&mut b, "fire8", x, 64, 256);
    x = fire(&mut b, "fire9", x, 64, 256);
    x = b.conv_relu("conv10", x, 1000, Geometry::square(1, 1, 0));
    let last = b.layer("pool10", Layer::GlobalAvgPool, &[x]);
    b.finish(last)
}
