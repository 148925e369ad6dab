//! Transposed convolution: the adjoint of [`conv2d`](crate::conv2d), from a signal at its outputs back to its inputs.
//!
//! out(n, c, y, x) = bias(c) + Σ_{ky,kx} Σ_o w(o, c, ky, kx) · signal(n, o, oy, ox)  over  oy·s − p + ky·d = y, likewise x
//!
//! ```text
//! filtersᵀ, packed once      signal, a band of rows        contributions          out
//!  (C/G·kh·kw) × O/G     ×    O/G × (cells)            =    (C/G·kh·kw) × cells  ⟶  gathered tap by tap
//! ```
//! The contributions of a band of rows are computed by GEMM; then every output cell gathers them, signal row after
//! signal row from the top. Bands come in the same order, so a cell is the same sum for any window, band and number
//! of threads.
//!
//! Where the stride is 1 and there are some channels, it is a convolution by the filters turned round (`turned`); a signal
//! that is zero at most places can be multiplied value by value ([`conv_transpose2d_sparse`]).

mod sparse;
mod turned;

use crate::Cpu;
use crate::conv2d::Conv2d;
use crate::gemm::{self, Epilogue, MatrixMut, Output, PackedA, Product};
use crate::geometry::{Geometry, Window};
use crate::im2col::Im2col;
use crate::view::{Maps, MapsMut, PlaneMut, Weights};
use crate::winograd::Tile;
pub use sparse::{PackedSparse, can_be_sparse, conv_transpose2d_sparse, pack_sparse};
use turned::Turned;

/// Filters packed for one level; see [`pack`].
#[derive(Debug)]
pub struct PackedConvTranspose2d {
    conv: Conv2d,
    filters: Filters,
}

/// How the product is made.
#[derive(Debug)]
enum Filters {
    /// Contributions of each group, gathered.
    Spread(Vec<PackedA>),
    /// A convolution.
    Turned(Box<Turned>),
}

impl PackedConvTranspose2d {
    /// Memory that the packed filters take.
    pub fn bytes(&self) -> usize {
        match &self.filters {
            Filters::Spread(groups) => groups.iter().map(PackedA::bytes).sum(),
            Filters::Turned(turned) => turned.bytes(),
        }
    }
}

/// Packs the filters `(out_channels, in_channels / groups, kernel)` of `conv` for the way back.
pub fn pack(cpu: &Cpu, conv: &Conv2d, weights: Weights<'_>) -> PackedConvTranspose2d {
    pack_for(cpu, conv, weights, None)
}

/// The same to run as Winograd's convolution with `tile`. Panics unless [`winograd::can`](crate::winograd::can) says of
/// `conv` that it may.
pub fn pack_winograd(cpu: &Cpu, conv: &Conv2d, weights: Weights<'_>, tile: Tile) -> PackedConvTranspose2d {
    pack_for(cpu, conv, weights, Some(tile))
}

fn pack_for(cpu: &Cpu, conv: &Conv2d, weights: Weights<'_>, tile: Option<Tile>) -> PackedConvTranspose2d {
    conv.check(weights);
    let (outs, taps) = (conv.out_channels / conv.groups, conv.taps());
    let filters = match tile.is_some() || turned::pays(conv) {
        true => Filters::Turned(Box::new(Turned::new(cpu, conv, weights, tile))),
        false => Filters::Spread(
            (0..conv.groups)
                .map(|g| PackedA::lasting(cpu, taps, outs, |tap, o| weights.get((g * outs + o) * taps + tap)))
                .collect(),
        ),
    };
    PackedConvTranspose2d { conv: *conv, filters }
}

/// Floats of contributions at a time: a share of the last-level cache.
const BAND: usize = 1 << 20;

/// Computes every cell of `out.window()` (on the side of `conv`'s input) from `signal` (on the side of its output).
///
/// Signal cells outside `signal.window()` are zero. The exact output size is `out.full()`. `bias` is one number a
/// channel of `out`.
///
/// # Example
///
/// Each cell of the signal spreads the filter, times itself; where the copies overlap they add up.
///
/// ```
/// use switchback_kernels::conv2d::Conv2d;
/// use switchback_kernels::conv_transpose2d::{self, conv_transpose2d};
/// use switchback_kernels::{Cpu, Dtype, Geometry, Maps, MapsMut, Weights};
///
/// let cpu = Cpu::new(1);
/// let geometry = Geometry { kernel: [1, 2], stride: [1, 1], dilation: [1, 1], pads: [0; 4] };
/// let conv = Conv2d { in_channels: 1, out_channels: 1, groups: 1, geometry };
/// let filters: Vec<u8> = [1.0f32, 10.0].iter().flat_map(|w| w.to_le_bytes()).collect();
/// let packed = conv_transpose2d::pack(&cpu, &conv, Weights::new(&filters, Dtype::F32));
///
/// let mut x = [0.0; 3];
/// let (signal, out) = (Maps::new(&[1.0, 2.0], 1, 1, [1, 2]), MapsMut::new(&mut x, 1, 1, [1, 3]));
/// conv_transpose2d(&cpu, &conv, &packed, None, signal, out);
/// assert_eq!(x, [1.0, 12.0, 20.0]);
/// ```
pub fn conv_transpose2d(
    cpu: &Cpu,
    conv: &Conv2d,
    packed: &PackedConvTranspose2d,
    bias: Option<&[f32]>,
    signal: Maps<'_>,
    mut out: MapsMut<'_>,
) {
    assert_eq!(*conv, packed.conv, "the filters were packed for another convolution");
    assert_eq!(signal.batch(), out.batch(), "images in and out");
    assert_eq!(signal.channels(), conv.out_channels, "channels of the signal");
    assert_eq!(out.channels(), conv.in_channels, "channels out");
    if let Some(bias) = bias {
        assert_eq!(bias.len(), conv.in_channels, "one bias a channel");
    }
    let groups = match &packed.filters {
        Filters::Spread(groups) => groups,
        Filters::Turned(turned) => return turned.run(cpu, bias, signal, out),
    };
    let (batch, channels) = (out.batch(), out.channels());
    for n in 0..batch {
        for c in 0..channels {
            for y in out.window().y0..out.window().y1 {
                out.row_mut(n, c, y).fill(0.0);
            }
        }
    }
    let g = &conv.geometry;
    let needed = g.output_window(out.window(), signal.full()).intersect(signal.window());
    if !needed.is_empty() {
        let taps = conv.taps();
        let lines = (BAND / (taps * conv.groups * needed.width() * batch).max(1)).clamp(1, needed.height());
        let mut contributions = vec![0.0; taps * conv.groups * lines * needed.width() * batch];
        for y0 in (needed.y0..needed.y1).step_by(lines) {
            let band = Window { y0, y1: (y0 + lines).min(needed.y1), ..needed };
            let cells = batch * band.area();
            let contributions = &mut contributions[..taps * conv.groups * cells];
            contribute(cpu, conv, groups, signal.crop(band), contributions);
            let gather = Gather { geometry: g, band, cells, contributions };
            cpu.threads.for_each(out.reborrow().into_planes(), |plane| gather.plane(plane));
        }
    }
    if let Some(bias) = bias {
        for n in 0..batch {
            for c in 0..channels {
                for y in out.window().y0..out.window().y1 {
                    out.row_mut(n, c, y).iter_mut().for_each(|x| *x += bias[c]);
                }
            }
        }
    }
}

/// (C·kh·kw) × cells: what each cell of the band gives to each tap.
fn contribute(cpu: &Cpu, conv: &Conv2d, groups: &[PackedA], signal: Maps<'_>, out: &mut [f32]) {
    let each = conv.out_channels / conv.groups;
    let cell = Geometry::square(1, 1, 0);
    let taps = Im2col::taps(&cell, each, &signal);
    let columns =
        |g: usize| Im2col::in_place(signal.channel_range(g * each, (g + 1) * each), &cell, signal.window(), &taps);
    let products: Vec<_> = groups.iter().enumerate().map(|(g, a)| Product { a, b: columns(g) }).collect();
    let rows = conv.taps() * conv.groups;
    let columns = signal.batch() * signal.window().area();
    gemm::run(cpu, &products, Output::matrix(MatrixMut::new(out, rows, columns)), &Epilogue::default());
}

/// Where the contributions of a band go.
struct Gather<'a> {
    geometry: &'a Geometry,
    band: Window,
    /// Columns of the contributions.
    cells: usize,
    contributions: &'a [f32],
}

impl Gather<'_> {
    /// Adds to every cell of `plane` what the band's cells give it, tap by tap.
    fn plane(&self, mut plane: PlaneMut<'_>) {
        let g = self.geometry;
        let [kh, kw] = g.kernel;
        let window = plane.window;
        // From the last tap down, since that is the first row of the signal that a cell hears from.
        for ky in (0..kh).rev() {
            let lines = aim(self.band.y0..self.band.y1, window.y0..window.y1, g, 0, ky);
            for kx in 0..kw {
                let columns = aim(self.band.x0..self.band.x1, window.x0..window.x1, g, 1, kx);
                if columns.is_empty() {
                    continue;
                }
                let row = ((plane.channel * kh + ky) * kw + kx) * self.cells + plane.image * self.band.area();
                let first = columns.start * g.stride[1] + kx * g.dilation[1] - g.pads[1] - window.x0;
                for oy in lines.clone() {
                    let from = row + (oy - self.band.y0) * self.band.width() + columns.start - self.band.x0;
                    let from = &self.contributions[from..from + columns.len()];
                    let y = oy * g.stride[0] + ky * g.dilation[0] - g.pads[0];
                    let to = &mut plane.row_mut(y)[first..];
                    if g.stride[1] == 1 {
                        to.iter_mut().zip(from).for_each(|(x, v)| *x += v);
                    } else {
                        to.iter_mut().step_by(g.stride[1]).zip(from).for_each(|(x, v)| *x += v);
                    }
                }
            }
        }
    }
}

/// Which of `from` (cells of the signal, along `axis`) reach a cell of `to` through tap `t`.
fn aim(
    from: std::ops::Range<usize>,
    to: std::ops::Range<usize>,
    g: &Geometry,
    axis: usize,
    t: usize,
) -> std::ops::Range<usize> {
    // Cell o reaches o·s + t·d − p.
    let (stride, shift) = (g.stride[axis], t * g.dilation[axis]);
    let first = (to.start + g.pads[axis]).saturating_sub(shift).div_ceil(stride).max(from.start);
    let end = (to.end + g.pads[axis]).saturating_sub(shift).div_ceil(stride).min(from.end);
    first..end.max(first)
}
