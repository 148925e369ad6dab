//! Convolution of 2×2 to 5×5 by Winograd's minimal filtering F(m×m, r×r): out = Aᵀ[ (G g Gᵀ) ⊙ (Bᵀ d B) ]A (Lavin & Gray 2016).
//!
//! ```text
//! tiles of m × m outputs, each from α × α inputs, α = m + r − 1
//!   V[ξ] (tiles × C) = Bᵀ d B         panels for the micro-kernel, one product for each ξ of the α² places in a tile
//!   M[ξ] (tiles × O) = V[ξ] · U[ξ]    U[ξ] (C × O) = G g Gᵀ, packed ahead
//!   out              = Aᵀ M A         bias and ReLU on the way
//! ```
//! α² multiplications instead of r²·m²: for 3×3 4/9 of them with m = 2, 1/4 with m = 4, 1/5 with m = 6, 1/5.4 with m = 7, for 5×5
//! 1/6 with m = 4, at the price of the transforms and of rounding that depends on the place in a tile. Along columns a tile may
//! have another m than along rows. Tiles are counted from the corner of the full map, so any window gives the same bits as the full
//! map, so long as the input holds all that its tiles read.
//!
//! A convolution of stride 2 is one of stride 1 by filters half as large over maps parted by stride, four for one: 3×3 becomes
//! 2×2, with 5.1 multiplications instead of 9 where m = 4, 5×5 becomes 3×3, with 7.6 instead of 25, and 11×11 of stride 4 as
//! well, with 36 instead of 121. Parts that have a tap less than others have nothing at ∞, and no product there.
//!
//! Many tiles are cut into blocks that one thread each takes all the way; of few, threads share the filters.

mod block;
mod cut;
mod filters;
mod input;
mod layout;
mod output;
mod parts;
mod pieces;
mod transform;

use std::cell::Cell;
use std::ops::Range;

use crate::Cpu;
use crate::aligned::AlignedBuf;
use crate::conv2d::{Activation, Conv2d};
use crate::gemm::Shape;
use crate::geometry::{Geometry, Window};
use crate::view::{Maps, MapsMut, PlaneMut, PlanesMut, Weights};
use block::{Block, Cells, Input, Output, Whole, Work};
use cut::{Cut, Sharing};
use filters::Filters;
use output::Finish;
pub use parts::multiplications;
use parts::{parted, taps, tile_bytes, transformed};
pub use pieces::{Piece, SLACK, frame, winograd_pieces};

/// Which F(m×m, r×r); see [`can`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tile {
    /// m = 2: no multiplication but by ½ and ¼.
    F2,
    /// m = 4 along columns, 2 along rows: 7 × 7 maps.
    F4x2,
    /// m = 4.
    F4,
    /// m = 7 along columns, 4 along rows: 14 × 14 maps.
    F7x4,
    /// m = 6.
    F6,
    /// m = 7: maps of 28, 56, 112 and 224 are whole tiles of it.
    F7,
}

impl Tile {
    /// All of them.
    pub const ALL: [Tile; 6] = [Tile::F2, Tile::F4x2, Tile::F4, Tile::F7x4, Tile::F6, Tile::F7];

    /// Rows and columns of outputs.
    pub const fn m(self) -> [usize; 2] {
        match self {
            Tile::F2 => [2, 2],
            Tile::F4x2 => [4, 2],
            Tile::F4 => [4, 4],
            Tile::F7x4 => [7, 4],
            Tile::F6 => [6, 6],
            Tile::F7 => [7, 7],
        }
    }

    /// Rows and columns of inputs, of maps parted by stride.
    pub const fn alpha(self, conv: &Conv2d) -> [usize; 2] {
        let ([y, x], more) = (self.m(), taps(conv) - 1);
        [y + more, x + more]
    }
}

/// Filters transformed and packed for one level; see [`pack`].
#[derive(Debug)]
pub struct PackedWinograd {
    conv: Conv2d,
    tile: Tile,
    /// U.
    filters: Filters,
}

impl PackedWinograd {
    /// Memory that the transformed filters take; see [`bytes`].
    pub fn bytes(&self) -> usize {
        self.filters.bytes()
    }

    /// Which F(m×m, r×r).
    pub fn tile(&self) -> Tile {
        self.tile
    }

    fn alpha(&self) -> [usize; 2] {
        self.tile.alpha(&self.conv)
    }

    /// Panics unless `cpu` can run `conv` with these filters.
    fn check(&self, cpu: &Cpu, conv: &Conv2d, bias: Option<&[f32]>) {
        self.conv.check_filters(conv);
        assert!(can(conv, self.tile), "{:?} does not run {conv:?}", self.tile);
        assert_eq!(self.filters.level(), cpu.level, "the filters were packed for another level");
        if let Some(bias) = bias {
            assert_eq!(bias.len(), conv.out_channels, "one bias an output channel");
        }
    }
}

/// Whether `conv` can run so: without dilation and groups, equal along both axes, with three taps of maps parted by stride
/// (3×3, 5×5 of stride 2, 11×11 of stride 4) or, with 2×2 or 4×4 outputs, two (3×3 of stride 2) or, with 4×4, four or five
/// (5×5, 7×7 of stride 2).
pub fn can(conv: &Conv2d, tile: Tile) -> bool {
    let Geometry { kernel, stride, dilation, .. } = conv.geometry;
    let square = kernel[0] == kernel[1] && stride[0] == stride[1];
    let fits = match taps(conv) {
        2 => matches!(tile, Tile::F2 | Tile::F4),
        3 => true,
        4 | 5 => tile == Tile::F4,
        _ => false,
    };
    square && fits && dilation == [1, 1] && conv.groups == 1
}

/// The convolution's geometry with a tap for every cell that the parted ones reach: those beyond its own are zero.
fn reach(conv: &Conv2d) -> Geometry {
    let kernel = conv.geometry.kernel.map(|_| taps(conv) * conv.geometry.stride[0]);
    Geometry { kernel, ..conv.geometry }
}

/// Memory that transformed filters of `conv` take: α²s²/r² times the filters.
pub fn bytes(conv: &Conv2d, tile: Tile) -> usize {
    tile.alpha(conv).iter().product::<usize>() * parted(conv) * conv.out_channels * size_of::<f32>()
}

/// The tiles with which `conv` can run so, if any.
pub fn tiles(conv: &Conv2d) -> impl Iterator<Item = Tile> {
    Tile::ALL.into_iter().filter(|&tile| can(conv, tile))
}

/// Transforms and packs filters `(out_channels, in_channels, height, width)` for `cpu.level`; `scale` multiplies each output
/// channel's filter. Panics unless [`can`].
pub fn pack(cpu: &Cpu, conv: &Conv2d, weights: Weights<'_>, scale: Option<&[f32]>, tile: Tile) -> PackedWinograd {
    conv.check(weights);
    assert!(can(conv, tile), "{tile:?} does not run {conv:?}");
    if let Some(scale) = scale {
        assert_eq!(scale.len(), conv.out_channels, "one scale an output channel");
    }
    let filters = match taps(conv) {
        2 => transformed::<2>(cpu, conv, weights, scale, tile),
        3 => transformed::<3>(cpu, conv, weights, scale, tile),
        4 => transformed::<4>(cpu, conv, weights, scale, tile),
        _ => transformed::<5>(cpu, conv, weights, scale, tile),
    };
    PackedWinograd { conv: *conv, tile, filters }
}

/// The window of whole tiles that covers `window`; may reach beyond the map.
fn tiles_of(tile: Tile, window: Window) -> Window {
    let [y, x] = tile.m();
    let (lo, hi) = (|a: usize, m: usize| a / m * m, |b: usize, m: usize| b.div_ceil(m) * m);
    Window { y0: lo(window.y0, y), x0: lo(window.x0, x), y1: hi(window.y1, y), x1: hi(window.x1, x) }
}

/// The input cells that the outputs of `window` need, clipped to an input of `size`: all that their tiles read.
pub fn input_window(conv: &Conv2d, tile: Tile, window: Window, size: [usize; 2]) -> Window {
    if window.is_empty() {
        return conv.geometry.input_window(window, size);
    }
    reach(conv).input_window(tiles_of(tile, window), size)
}

thread_local! {
    /// V of the block that this thread works on, or that it has others work on.
    static V: Cell<Option<AlignedBuf>> = const { Cell::new(None) };
}

/// Computes every cell of `out.window()`, as [`conv2d`](crate::conv2d::conv2d()) does. `input` must hold [`input_window`].
///
/// # Example
///
/// The filter that copies its middle gives the map back.
///
/// ```
/// use switchback_kernels::conv2d::{Activation, Conv2d};
/// use switchback_kernels::winograd::{self, Tile, winograd};
/// use switchback_kernels::{Cpu, Dtype, Geometry, Maps, MapsMut, Weights};
///
/// let cpu = Cpu::new(1);
/// let conv = Conv2d { in_channels: 1, out_channels: 1, groups: 1, geometry: Geometry::square(3, 1, 1) };
/// assert!(winograd::can(&conv, Tile::F2));
/// let filter = [0.0f32, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
/// let bytes: Vec<u8> = filter.iter().flat_map(|w| w.to_le_bytes()).collect();
/// let packed = winograd::pack(&cpu, &conv, Weights::new(&bytes, Dtype::F32), None, Tile::F2);
///
/// let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
/// let mut y = [0.0; 9];
/// let (input, out) = (Maps::new(&x, 1, 1, [3, 3]), MapsMut::new(&mut y, 1, 1, [3, 3]));
/// winograd(&cpu, &conv, &packed, None, Activation::None, input, out);
/// assert_eq!(y, x);
/// ```
pub fn winograd(
    cpu: &Cpu,
    conv: &Conv2d,
    packed: &PackedWinograd,
    bias: Option<&[f32]>,
    activation: Activation,
    input: Maps<'_>,
    out: MapsMut<'_>,
) {
    let window = out.window();
    run(cpu, conv, Finish { packed, bias, activation, pool: false }, input, out, window);
}

/// Whether [`winograd_pool`] can run `pool` after a convolution of maps of `size` with `tile`: the maxima of 2 × 2 without
/// padding, each within a tile.
pub fn pools(tile: Tile, pool: &Geometry, size: [usize; 2], pooled: [usize; 2]) -> bool {
    even(tile) && *pool == Geometry::square(2, 2, 0) && (0..2).all(|i| 2 * pooled[i] <= size[i])
}

/// Whether no 2 × 2 of a map lies across tiles.
fn even(tile: Tile) -> bool {
    tile.m().iter().all(|m| m.is_multiple_of(2))
}

/// The same, and the maxima of 2 × 2 of what that gives: `out` are whole pooled maps, for which [`pools`] holds. The bits of the
/// two kernels called one after the other.
///
/// # Example
///
/// ```
/// use switchback_kernels::conv2d::{Activation, Conv2d};
/// use switchback_kernels::winograd::{self, Tile, winograd_pool};
/// use switchback_kernels::{Cpu, Dtype, Geometry, Maps, MapsMut, Weights};
///
/// let cpu = Cpu::new(1);
/// let conv = Conv2d { in_channels: 1, out_channels: 1, groups: 1, geometry: Geometry::square(3, 1, 1) };
/// let filter = [0.0f32, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
/// let bytes: Vec<u8> = filter.iter().flat_map(|w| w.to_le_bytes()).collect();
/// let packed = winograd::pack(&cpu, &conv, Weights::new(&bytes, Dtype::F32), None, Tile::F2);
///
/// let x = [1.0, 4.0, 2.0, 0.0,
///          3.0, 2.0, 1.0, 2.0];
/// let mut y = [9.0; 2];
/// let (input, out) = (Maps::new(&x, 1, 1, [2, 4]), MapsMut::new(&mut y, 1, 1, [1, 2]));
/// winograd_pool(&cpu, &conv, &packed, None, Activation::None, input, out);
/// assert_eq!(y, [4.0, 2.0]);
/// ```
pub fn winograd_pool(
    cpu: &Cpu,
    conv: &Conv2d,
    packed: &PackedWinograd,
    bias: Option<&[f32]>,
    activation: Activation,
    input: Maps<'_>,
    out: MapsMut<'_>,
) {
    let [height, width] = out.full();
    assert_eq!(out.window(), Window::full(out.full()), "pooled maps must be whole");
    assert!(even(packed.tile), "{:?} pools no tile of its own", packed.tile);
    let window = Window::full([2 * height, 2 * width]);
    run(cpu, conv, Finish { packed, bias, activation, pool: true }, input, out, window);
}

/// Computes what `window` holds of the convolution's maps.
fn run(cpu: &Cpu, conv: &Conv2d, finish: Finish<'_>, input: Maps<'_>, out: MapsMut<'_>, window: Window) {
    let packed = finish.packed;
    packed.check(cpu, conv, finish.bias);
    assert_eq!(input.batch(), out.batch(), "images in and out");
    assert_eq!(input.channels(), conv.in_channels, "channels in");
    assert_eq!(out.channels(), conv.out_channels, "channels out");
    if window.is_empty() || out.batch() == 0 || out.channels() == 0 {
        return;
    }
    let tiles = tiles_of(packed.tile, window);
    let cells = Cells::new(cpu, conv, input, tiles);
    let m = packed.tile.m();
    let grid = [tiles.height() / m[0], tiles.width() / m[1]];
    let work = Work { finish, conv, cells, window, origin: [tiles.y0, tiles.x0], columns: grid[1] };
    let cut = Cut::new(cpu, packed, out.batch(), grid);
    let blocks = cut.blocks(out.batch(), grid[0]);
    if cut.sharing == Sharing::Tiles {
        let tasks: Vec<_> = blocks.iter().zip(deal_rows(out, &work, &blocks)).collect();
        cpu.threads.for_each(tasks, |(block, planes)| cpu.level.dispatch(Whole { work: &work, block, planes }));
        return;
    }
    let mut rest = out.planes();
    for block in &blocks {
        let (planes, behind) = rest.split_at(block.images.len() * conv.out_channels);
        rest = behind;
        let dealt = deal_filters(planes, block.images.len(), &packed.filters, &cut.shares);
        let layout = block.layout(&work, Shape::at(cpu.level));
        let mut v = AlignedBuf::reused(V.take(), layout.len());
        cpu.threads.for_each(layout.tasks(&mut v, cpu.threads.count()), |task| {
            cpu.level.dispatch(Input { work: &work, block, layout: &layout, task });
        });
        cpu.threads.for_each(dealt, |(panels, planes)| {
            let planes = planes.into_iter().flatten().collect();
            cpu.level.dispatch(Output { work: &work, block, layout: &layout, panels, v: &v, planes });
        });
        V.set(Some(v));
    }
}

/// Deals `planes`, those of `images`, to shares of the filters: to each its panels' channels of every image.
fn deal_filters<'a>(
    mut planes: PlanesMut<'a>,
    images: usize,
    u: &Filters,
    shares: &[Range<usize>],
) -> Vec<(Range<usize>, Vec<PlanesMut<'a>>)> {
    let mut dealt: Vec<_> = shares.iter().map(|panels| (panels.clone(), Vec::with_capacity(images))).collect();
    for _ in 0..images {
        for (panels, dealt) in &mut dealt {
            let (some, behind) = planes.split_at(u.channels(panels).len());
            dealt.push(some);
            planes = behind;
        }
    }
    dealt
}

/// Cuts the planes of `out` between tile rows and deals them to blocks: to each its rows, channel by channel.
fn deal_rows<'a>(out: MapsMut<'a>, work: &Work<'_>, blocks: &[Block]) -> Vec<Vec<PlaneMut<'a>>> {
    let [m, _] = work.finish.packed.tile.m();
    let mut dealt: Vec<_> = blocks.iter().map(|_| Vec::with_capacity(out.channels())).collect();
    for mut plane in out.planes() {
        let image = plane.image;
        for (block, dealt) in blocks.iter().zip(&mut dealt).filter(|(block, _)| block.images.contains(&image)) {
            let end = ((work.origin[0] + block.rows.end * m) / work.part()).min(plane.window.y1);
            let (part, rest) = plane.split_at(end);
            dealt.push(part);
            plane = rest;
        }
    }
    dealt
}
