//! What a sweep by windows has to compute, layer by layer, beside full passes: counted, not measured.
//!
//! ```text
//! layer with maps    macs · cells of the window that can change / cells of the map
//! linear             macs · inputs that can change / inputs
//! ```
//! Windows are those that a change can reach; where values turn out equal, less is computed.

use switchback_kernels::Window;

use super::spread::changes;
use super::{Settings, places};
use crate::error::Result;
use crate::network::count::count;
use crate::network::{Layer, Network, NodeId};

/// Multiply-accumulates of one node over all places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Whose.
    pub node: NodeId,
    /// By full passes.
    pub whole: u64,
    /// By windows.
    pub windows: u64,
}

/// Of every node that has multiply-accumulates and that the class scores need.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) for an occluder that does not fit.
pub fn work(network: &Network, settings: &Settings) -> Result<Vec<Work>> {
    let needed = network.ancestors(network.scores());
    let (corners, [height, width]) = places(network.input_shape(), settings)?;
    let counted: Vec<u64> = (0..needed.len()).map(|id| if needed[id] { count(network, id).macs } else { 0 }).collect();
    let mut windows = vec![0.0; needed.len()];
    for &[y0, x0] in &corners {
        let mut reached = vec![Window { y0: 0, x0: 0, y1: 0, x1: 0 }; needed.len()];
        // The share of a node's numbers that can change.
        let mut shares = vec![0.0; needed.len()];
        for id in (0..needed.len()).filter(|&id| needed[id]) {
            let node = network.node(id);
            match node.inputs[..] {
                [] => reached[id] = Window { y0, x0, y1: y0 + height, x1: x0 + width },
                ref inputs => {
                    for &input in inputs {
                        reached[id] = reached[id].union(changes(&node.layer, reached[input], node.shape));
                    }
                }
            }
            let area =
                |id: NodeId| reached[id].area() as f64 / (network.node(id).shape.h * network.node(id).shape.w) as f64;
            let of_inputs = node.inputs.iter().map(|&input| shares[input]).fold(0.0, f64::max);
            shares[id] = if matches!(node.layer, Layer::Flatten) { of_inputs } else { area(id) };
            let done = if matches!(node.layer, Layer::Linear { .. }) { of_inputs } else { shares[id] };
            windows[id] += counted[id] as f64 * done;
        }
    }
    let of = |(node, &macs): (NodeId, &u64)| {
        (macs > 0).then(|| Work { node, whole: macs * corners.len() as u64, windows: windows[node].round() as u64 })
    };
    Ok(counted.iter().enumerate().filter_map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::{Name, build};
    use crate::occlusion::{Cover, Fill};

    #[test]
    fn small_squares_need_little_and_the_whole_picture_all() {
        let model = build(Name::ZfNet, 1);
        let settings = |size, stride| Settings {
            size,
            cover: Cover::Square,
            stride,
            fill: Fill::Constant(vec![0.0; 3]),
            classes: Vec::new(),
            layer: None,
            channel: None,
            adaptive: None,
        };
        let sums = |size, stride| {
            let all = work(&model.network, &settings(size, stride)).unwrap();
            (all.iter().map(|w| w.whole).sum::<u64>(), all.iter().map(|w| w.windows).sum::<u64>())
        };
        let (whole, windows) = sums(224, 1);
        assert_eq!((whole, windows), (crate::network::count::total_macs(&model.network), whole));
        // 625 places of a square of 32: a good four times less (see the paper on incremental inference).
        let (whole, windows) = sums(32, 8);
        let saved = whole as f64 / windows as f64;
        assert!((4.0..5.5).contains(&saved), "{saved}");
        assert!(work(&model.network, &settings(225, 1)).is_err());
    }
}
