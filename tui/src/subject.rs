//! The model under study, and what of it never changes: names that are safe to show, receptive fields, the drawn graph.

use std::path::PathBuf;

use switchback_core::network::count;
use switchback_core::projection;
use switchback_core::receptive::{self, Field};
use switchback_core::text::escape;
use switchback_core::{Network, NodeId, Shape, Window};

use crate::cli::model::{self, Opened};

/// A model that is open.
#[derive(Debug)]
pub(crate) struct Subject {
    /// Of this opening.
    pub(crate) id: u32,
    pub(crate) opened: Opened,
    pub(crate) path: Option<PathBuf>,
    /// The file's name; safe to show.
    pub(crate) name: String,
    /// Of every node.
    pub(crate) layers: Vec<LayerText>,
    /// Class names; safe to show.
    pub(crate) classes: Vec<String>,
    pub(crate) fields: Vec<Field>,
    /// Bytes of all activations of one picture.
    pub(crate) activation_bytes: u64,
}

/// How a layer is shown.
#[derive(Clone, Debug)]
pub(crate) struct LayerText {
    /// Safe to show.
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    /// `64×111²`, `1000`
    pub(crate) shape: String,
    /// Its place in the graph: `├●`
    pub(crate) graph: String,
}

impl Subject {
    pub(crate) fn new(id: u32, opened: Opened, path: Option<PathBuf>) -> Self {
        let network = opened.network();
        let graph = graph(network);
        let layers = network
            .nodes()
            .iter()
            .zip(graph)
            .map(|(n, graph)| LayerText {
                name: escape(&n.name).into_owned(),
                kind: n.layer.kind(),
                shape: short(n.shape),
                graph,
            })
            .collect();
        let classes = (0..network.classes())
            .map(|c| match opened.class_name(c) {
                "" => format!("class {c}"),
                name => escape(name).into_owned(),
            })
            .collect();
        Self {
            id,
            name: escape(&model::name(opened.model())).into_owned(),
            layers,
            classes,
            fields: receptive::fields(network),
            activation_bytes: count::activation_bytes(network),
            opened,
            path,
        }
    }

    pub(crate) fn network(&self) -> &Network {
        self.opened.network()
    }

    pub(crate) fn shape(&self, layer: NodeId) -> Shape {
        self.network().node(layer).shape
    }

    /// The input pixels that the unit at `at` sees.
    pub(crate) fn window(&self, layer: NodeId, at: [usize; 2]) -> Window {
        receptive::input_window(self.network(), layer, Window::cell(at))
    }

    /// Safe to show; empty for a class that is not there.
    pub(crate) fn class(&self, class: usize) -> &str {
        self.classes.get(class).map_or("", String::as_str)
    }

    /// A layer to begin with.
    pub(crate) fn first_layer(&self) -> NodeId {
        first_layer(self.network())
    }

    /// Whether units of `layer` can be walked back from.
    pub(crate) fn projects(&self, layer: NodeId) -> bool {
        projection::softmax_below(self.network(), layer).is_none()
    }
}

/// A layer to begin with: late enough to know things, early enough to have places.
pub(crate) fn first_layer(network: &Network) -> NodeId {
    network.last_spatial().unwrap_or_else(|| network.scores())
}

/// `64×111²`, `64×111×110`, `1000`
pub(crate) fn short(shape: Shape) -> String {
    match shape {
        Shape { c, h: 1, w: 1 } => c.to_string(),
        Shape { c, h, w } if h == w => format!("{c}×{h}²"),
        Shape { c, h, w } => format!("{c}×{h}×{w}"),
    }
}

/// Lanes shown at most.
const LANES: usize = 6;

/// One text a node, as version histories are drawn: a lane for each tensor that is still to be read.
fn graph(network: &Network) -> Vec<String> {
    let mut lanes: Vec<Option<NodeId>> = Vec::new();
    let mut unread: Vec<usize> = (0..network.nodes().len()).map(|id| network.consumers(id).len()).collect();
    let mut rows = Vec::with_capacity(unread.len());
    for (id, node) in network.nodes().iter().enumerate() {
        let mut inputs: Vec<NodeId> = node.inputs.clone();
        inputs.sort_unstable();
        inputs.dedup();
        inputs.iter().for_each(|&i| unread[i] -= 1);
        let lane_of = |lanes: &[Option<NodeId>], wanted| lanes.iter().position(|&l| l == Some(wanted));
        let read: Vec<usize> = inputs.iter().filter_map(|&i| lane_of(&lanes, i)).collect();
        let ended: Vec<usize> =
            inputs.iter().filter(|&&i| unread[i] == 0).filter_map(|&i| lane_of(&lanes, i)).collect();
        let own = ended.iter().min().copied().unwrap_or_else(|| {
            lanes.iter().position(Option::is_none).unwrap_or_else(|| {
                lanes.push(None);
                lanes.len() - 1
            })
        });
        let (from, to) = read.iter().chain([&own]).fold((own, own), |(a, b), &l| (a.min(l), b.max(l)));
        let row: String = (0..lanes.len())
            .map(|lane| match lane {
                l if l == own => '●',
                l if ended.contains(&l) => {
                    if l > own {
                        if l == to { '╯' } else { '┴' }
                    } else {
                        '╰'
                    }
                }
                l if read.contains(&l) => {
                    if l < own {
                        '├'
                    } else {
                        '┤'
                    }
                }
                l if lanes[l].is_some() => {
                    if l > from && l < to {
                        '┼'
                    } else {
                        '│'
                    }
                }
                l if l > from && l < to => '─',
                _ => ' ',
            })
            .take(LANES)
            .collect();
        rows.push(row.trim_end().to_owned());
        ended.iter().for_each(|&l| lanes[l] = None);
        lanes[own] = (unread[id] > 0).then_some(id);
        while lanes.last() == Some(&None) {
            lanes.pop();
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use switchback_core::architecture::{Name, build};
    use switchback_core::network::Layer;

    use super::*;

    #[test]
    fn branches_are_drawn() {
        let model = build(Name::SqueezeNet11, 1);
        let network = &model.network;
        let rows = graph(network);
        let concat = network.nodes().iter().position(|n| matches!(n.layer, Layer::Concat)).unwrap();
        assert_eq!(rows[concat], "●╯");
        assert!(rows[..concat].contains(&"├●".to_owned()), "{rows:?}");
        assert!(rows.iter().all(|r| r.contains('●')));
        // Every branch that opens ends.
        assert_eq!(rows.last().unwrap(), "●");
        for name in [Name::GoogLeNet, Name::ResNet18] {
            let rows = graph(&build(name, 1).network);
            assert!(rows.iter().all(|r| r.matches('●').count() == 1 && r.chars().count() <= LANES), "{rows:?}");
        }
    }

    #[test]
    fn shapes_are_short() {
        assert_eq!(short(Shape::new(64, 111, 111)), "64×111²");
        assert_eq!(short(Shape::new(64, 11, 12)), "64×11×12");
        assert_eq!(short(Shape::vector(1000)), "1000");
    }
}
