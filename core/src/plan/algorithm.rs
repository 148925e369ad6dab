//! Which convolutions run as Winograd's F(m×m, r×r): a cost model, and the memory that their filters may take.
//!
//! Costs are counted in vector multiply-adds, for one picture: what a tile size saves depends on how its tiles fill the
//! map and the vectors, and on the transformed filters, which are α²s²/r² times as long and are streamed once.
//! Chosen once a session, for the whole map; so neither batch nor window nor threads change a bit of a result.

use std::str::FromStr;

use switchback_kernels::conv2d::Conv2d;
use switchback_kernels::winograd::{self, Tile};
use switchback_kernels::{Cpu, Level};

use crate::model::Model;
use crate::network::{Layer, Network, NodeId};
use crate::session::{Session, packed};

/// How convolutions run where a run need not give equal patches equal numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// What the cost model says, so long as all weights stay within three times those of the model file, as singles: one of
    /// halves runs as fast.
    #[default]
    Auto,
    /// im2col and GEMM, always.
    Im2col,
    /// Winograd wherever it can be, with the best tile or this one.
    Winograd(Option<Tile>),
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "auto" => Ok(Self::Auto),
            "im2col" => Ok(Self::Im2col),
            "winograd" => Ok(Self::Winograd(None)),
            "winograd2" => Ok(Self::Winograd(Some(Tile::F2))),
            "winograd4x2" => Ok(Self::Winograd(Some(Tile::F4x2))),
            "winograd4" => Ok(Self::Winograd(Some(Tile::F4))),
            "winograd7x4" => Ok(Self::Winograd(Some(Tile::F7x4))),
            "winograd6" => Ok(Self::Winograd(Some(Tile::F6))),
            "winograd7" => Ok(Self::Winograd(Some(Tile::F7))),
            _ => {
                Err("try auto, im2col, winograd, or winograd2, winograd4x2, winograd4, winograd7x4, winograd6, winograd7 for one tile size"
                    .into())
            }
        }
    }
}

/// The tile of each node that runs so.
pub(crate) type Tiles = Vec<Option<Tile>>;

/// The part of im2col's cost that Winograd must save to be worth its memory.
const LEAST: f64 = 0.02;

/// Chooses for every convolution of `model`: for whole pictures, and where many windows run together. Where nobody says what to
/// choose, transformed filters take at most `room` bytes more than plain ones.
pub(crate) fn choose(model: &Model, cpu: &Cpu, algorithm: Algorithm, room: usize) -> [Tiles; 2] {
    let network = &model.network;
    let mut tiles = vec![None; network.nodes().len()];
    let candidates = (0..tiles.len()).filter_map(|id| candidate(network, id).map(|conv| (id, conv)));
    match algorithm {
        Algorithm::Im2col => {}
        Algorithm::Winograd(tile) => {
            for (id, conv) in candidates {
                let tile = tile.filter(|&tile| winograd::can(&conv, tile));
                tiles[id] = Some(tile.unwrap_or_else(|| best(network, id, &conv, cpu.level).0));
            }
        }
        Algorithm::Auto => {
            let mut room = (3 * all(model)).saturating_sub(resident(model)).min(room);
            let mut wins: Vec<(NodeId, Tile, f64, usize)> = candidates
                .filter_map(|(id, conv)| {
                    let (tile, cost) = best(network, id, &conv, cpu.level);
                    let plain = im2col(&conv, network.node(id).shape.size(), cpu.level);
                    let saved = plain - cost;
                    (saved > LEAST * plain).then_some((id, tile, saved, more(&conv, tile)))
                })
                .collect();
            // The most saved for a byte first.
            wins.sort_by(|a, b| (b.2 * a.3 as f64).total_cmp(&(a.2 * b.3 as f64)));
            for (id, tile, _, more) in wins {
                if more <= room {
                    room -= more;
                    tiles[id] = Some(tile);
                }
            }
            // Tiles of many windows share the price of the filters: it pays with few of them each.
            let few = |conv: &Conv2d| conv.in_channels.min(conv.out_channels) >= 16;
            let mut together = tiles.clone();
            for (id, conv) in (0..tiles.len()).filter_map(|id| candidate(network, id).map(|conv| (id, conv))) {
                // Few taps make large tiles of filters: F(4×4, 2×2) has eleven times those of a 3×3 of stride 2.
                let large = winograd::bytes(&conv, Tile::F4) > 8 * 4 * conv.weights();
                let more = more(&conv, Tile::F4);
                if matches!(tiles[id], None | Some(Tile::F2)) && few(&conv) && !large && more <= room {
                    room -= more;
                    together[id] = Some(Tile::F4);
                }
            }
            return [tiles, together];
        }
    }
    [tiles.clone(), tiles]
}

/// Bytes that transformed filters take beyond plain ones.
fn more(conv: &Conv2d, tile: Tile) -> usize {
    winograd::bytes(conv, tile).saturating_sub(4 * conv.weights())
}

/// The same of all convolutions that run by `tiles`.
pub(crate) fn transformed(network: &Network, tiles: &Tiles) -> usize {
    tiles.iter().enumerate().filter_map(|(id, tile)| tile.map(|tile| more(&packed::conv(network, id), tile))).sum()
}

/// The tile with which convolution `id` runs on the way back: where maps are large and filters few, so that transformed
/// filters cost little. Like [`choose`], for the whole map.
pub(crate) fn back(session: &Session, id: NodeId) -> Option<Tile> {
    const LARGE: usize = 28;
    const FEW: usize = 1 << 16;
    let network = session.network();
    let conv = candidate(network, id).filter(|conv| conv.geometry.stride == [1, 1])?;
    let channels = [conv.in_channels, conv.out_channels];
    let pays = network.node(id).shape.size().iter().all(|&n| n >= LARGE)
        && channels.iter().all(|&c| c >= 16)
        && channels.iter().product::<usize>() <= FEW;
    (pays && session.algorithm() != Algorithm::Im2col).then_some(Tile::F4)
}

fn candidate(network: &Network, id: NodeId) -> Option<Conv2d> {
    let Layer::Conv2d { .. } = network.node(id).layer else { return None };
    Some(packed::conv(network, id)).filter(|conv| winograd::tiles(conv).next().is_some())
}

/// Bytes of all numbers of the file, as singles.
fn all(model: &Model) -> usize {
    model.weights.ids().map(|id| 4 * model.weights.view(id).len()).sum()
}

/// Bytes of all weights when convolutions are packed for GEMM and linear layers lie in the file, likewise.
fn resident(model: &Model) -> usize {
    let weights = |id: NodeId| match model.network.node(id).layer {
        Layer::Conv2d { weight, .. } | Layer::ConvTranspose2d { weight, .. } | Layer::Linear { weight, .. } => {
            4 * model.weights.view(weight).len()
        }
        _ => 0,
    };
    (0..model.network.nodes().len()).map(weights).sum()
}

fn best(network: &Network, id: NodeId, conv: &Conv2d, level: Level) -> (Tile, f64) {
    let size = network.node(id).shape.size();
    winograd::tiles(conv)
        .map(|tile| (tile, cost(conv, size, level, tile)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .expect("a candidate has tiles")
}

/// Cost of im2col and GEMM.
fn im2col(conv: &Conv2d, [h, w]: [usize; 2], level: Level) -> f64 {
    // The last vector of cells is filled by more filters where maps are small.
    let vectors = (h * w) as f64 / level.lanes() as f64;
    // Packing costs about as much as two rows of filters.
    conv.taps() as f64 * vectors * (conv.out_channels as f64 + 2.0) / 0.85
}

/// Cost of Winograd with `tile`.
fn cost(conv: &Conv2d, [h, w]: [usize; 2], level: Level, tile: Tile) -> f64 {
    let (m, lanes) = (tile.m(), level.lanes());
    let count = h.div_ceil(m[0]) * w.div_ceil(m[1]);
    let tiles = count as f64 / lanes as f64;
    // Parted by stride, channels are more; filters fill whole vectors.
    let ins = (conv.in_channels * conv.geometry.stride.iter().product::<usize>()) as f64;
    let outs = conv.out_channels.next_multiple_of(lanes) as f64;
    // Filters are streamed from beyond L2 at the price of some tiles, most of it hidden behind the products, or the other way
    // about where tiles are few. The faster the multiply-adds, the more of them the stream and the transforms are worth.
    let alpha = tile.alpha(conv);
    let rate = level.fma_rate() as f64;
    let (products, stream) = (tiles / 0.9, 0.6 * rate);
    let each = products.max(stream) + 0.25 * products.min(stream);
    let each_axis = alpha.map(|alpha| [80.0, 120.0, 170.0, 240.0, 340.0, 450.0, 700.0][alpha - 3]);
    let transform = rate * f64::sqrt(each_axis[0] * each_axis[1]);
    // What is parted is copied first, and its tiles lie beyond L2.
    let input = if conv.geometry.stride == [1, 1] { 1.25 } else { 6.0 };
    let multiplications = winograd::multiplications(conv, tile, [h, w]) as f64 / count.max(1) as f64;
    multiplications * outs * each + transform * tiles * (input * ins + outs)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use switchback_kernels::{Dtype, Geometry};

    use super::*;
    use crate::network::NodeSpec;
    use crate::weights::WeightStore;
    use crate::weights::mmap::Bytes;
    use crate::{Shape, Threads};

    /// input ─ conv 3×3 ─ flatten ─ linear, its weights zeros of type `dtype`.
    fn model(dtype: Dtype) -> Model {
        const MAPS: usize = 64;
        const SIDE: usize = 36;
        let mut weights = WeightStore::new();
        let mut zeros = |name: &str, dims: &[usize]| {
            let len = dims.iter().product::<usize>() * if dtype == Dtype::F16 { 2 } else { 4 };
            let source = weights.add_source(Bytes::owned(vec![0; len]));
            weights.add_view(name, dims, dtype, source, 0..len).expect("made to fit")
        };
        let filters = zeros("conv.weight", &[MAPS, MAPS, 3, 3]);
        let linear = zeros("fc.weight", &[1, MAPS * SIDE * SIDE]);
        let geometry = Geometry::square(3, 1, 1);
        let layers = [
            ("input", Layer::Input { shape: Shape::new(MAPS, SIDE, SIDE) }),
            ("conv", Layer::Conv2d { out_channels: MAPS, groups: 1, geometry, weight: filters, bias: None }),
            ("flat", Layer::Flatten),
            ("fc", Layer::Linear { outputs: 1, transposed: true, weight: linear, bias: None }),
        ];
        let node = |(i, (name, layer)): (usize, (&str, Layer))| NodeSpec {
            name: name.into(),
            layer,
            inputs: i.checked_sub(1).into_iter().collect(),
        };
        let network = Network::new(layers.into_iter().enumerate().map(node).collect(), vec![3]).expect("sound");
        Model {
            network,
            weights,
            preprocess: None,
            labels: None,
            path: PathBuf::from("zeros"),
            bytes: Bytes::owned(Vec::new()),
            format: "safetensors",
        }
    }

    #[test]
    fn a_file_of_halves_runs_the_algorithms_of_one_of_singles() {
        for level in Level::available() {
            let cpu = Cpu { level, threads: Threads::new(1) };
            let of = |dtype| choose(&model(dtype), &cpu, Algorithm::Auto, usize::MAX);
            let singles = of(Dtype::F32);
            assert!(singles[0][1].is_some(), "{level}");
            assert_eq!(singles, of(Dtype::F16), "{level}");
        }
    }
}
