//! Convolutions of few taps, row by row: what each tap reads lies in a padded copy as it is wanted, so nothing is packed.
//!
//! ```text
//! row of the output, nr cells    acc[i][v] += w[i][tap] · copy[row + tap][v]     for all taps in order
//! mr filters                     then bias and ReLU, as in `gemm`
//! ```
//! Each sum is the one chain that the GEMM makes of it, where that takes all taps in one block: the same bits.

use std::marker::PhantomData;

use crate::Cpu;
use crate::caches::Caches;
use crate::conv2d::Conv2d;
use crate::gemm::{MAX_PANEL_HEIGHT, Packed, PackedA, Panels, Shape};
use crate::geometry::Window;
use crate::im2col::{Im2col, Taps};
use crate::padded::Padded;
use crate::simd::{Simd, SimdOp};
use crate::view::{Maps, MapsMut, PlaneMut};

/// Whether rows of `window` are better made so than as the panels of a matrix: packing these takes longer, the shorter
/// sums are, but they leave no vector unfilled at the end of a row. Single taps are read where they lie either way.
pub(crate) fn pays(cpu: &Cpu, conv: &Conv2d, window: Window) -> bool {
    const FEW: usize = 48;
    let lanes = cpu.level.lanes();
    let short = conv.taps() <= FEW && conv.geometry.kernel != [1, 1];
    short && 5 * window.width() >= 4 * window.width().next_multiple_of(lanes)
}

/// Computes `out` from `input` by `filters`, which take all taps in one block of steps.
pub(crate) fn run(
    cpu: &Cpu,
    conv: &Conv2d,
    filters: &PackedA,
    bias: Option<&[f32]>,
    relu: bool,
    input: Maps<'_>,
    out: MapsMut<'_>,
) {
    let window = out.window();
    let [sy, sx] = conv.geometry.stride;
    let row = conv.in_channels * sy * sx * window.width() * size_of::<f32>();
    // What a band reads stays in L2.
    let rows = (Caches::get().l2 / 4 / row).clamp(1, window.height().div_ceil(4 * cpu.threads.count()).max(1));
    let single = Cpu::single(cpu.level);
    cpu.threads.for_each(bands(out, rows), |Band { image, window, planes }| {
        let copy = Padded::new(&single, input.image_range(image, image + 1), &conv.geometry, window);
        let taps = Im2col::padded_taps(&conv.geometry, conv.in_channels, &copy);
        let conv = Direct { copy: &copy, taps: &taps, filters, bias, relu };
        cpu.level.dispatch(Whole { conv, window, planes });
    });
}

/// Some rows of all maps of an image.
pub(crate) struct Band<'a> {
    pub(crate) image: usize,
    /// Those rows, as wide as the maps' window.
    pub(crate) window: Window,
    /// In order of channel.
    pub(crate) planes: Vec<PlaneMut<'a>>,
}

/// `out` in bands of `rows` rows or what is left.
pub(crate) fn bands(out: MapsMut<'_>, rows: usize) -> Vec<Band<'_>> {
    let (window, batch, channels) = (out.window(), out.batch(), out.channels());
    let each = window.height().div_ceil(rows);
    let part = |i: usize| {
        let y0 = window.y0 + i * rows;
        Window { y0, y1: (y0 + rows).min(window.y1), ..window }
    };
    let band = |i: usize| Band { image: i / each, window: part(i % each), planes: Vec::with_capacity(channels) };
    let mut all: Vec<_> = (0..batch * each).map(band).collect();
    for mut plane in out.into_planes() {
        for band in &mut all[plane.image * each..(plane.image + 1) * each] {
            let (part, rest) = plane.split_at(band.window.y1);
            band.planes.push(part);
            plane = rest;
        }
    }
    all
}

/// A band, row by row.
struct Whole<'a> {
    conv: Direct<'a>,
    window: Window,
    planes: Vec<PlaneMut<'a>>,
}

impl SimdOp for Whole<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { conv, window, mut planes } = self;
        let ahead = const { Shape::of::<S>() }.nr();
        for y in window.y0..window.y1 {
            for p in 0..conv.filters.panels() {
                let mut planes = planes[conv.filters.panel_rows(p)].iter_mut();
                let mut rows: Rows<'_> = Default::default();
                for (row, plane) in rows.iter_mut().zip(&mut planes) {
                    *row = plane.row_mut(y);
                }
                let soon = Soon { rows: rows.each_ref().map(|row| row.as_ptr()), ahead, step: 1 };
                conv.row(simd, [0, y - window.y0, p], 0, window.width(), &mut rows, &soon);
            }
        }
    }
}

/// A convolution over a padded copy of what a window of its outputs reads.
pub(crate) struct Direct<'a> {
    pub(crate) copy: &'a Padded,
    pub(crate) taps: &'a Taps,
    /// Of all output channels, in one block of steps.
    pub(crate) filters: &'a PackedA,
    /// One number an output channel.
    pub(crate) bias: Option<&'a [f32]>,
    /// max(x, 0) at last; NaN stays NaN.
    pub(crate) relu: bool,
}

/// Rows of the output, one for each filter of a panel.
pub(crate) type Rows<'a> = [&'a mut [f32]; MAX_PANEL_HEIGHT];

/// The rows of equal length that `cells` begins with, one after the other.
#[inline(always)]
pub(crate) fn rows(cells: &mut [f32], len: usize) -> Rows<'_> {
    let mut rows = cells.chunks_exact_mut(len);
    std::array::from_fn(|_| rows.next().unwrap_or_default())
}

/// Rows that are asked for while others are made.
pub(crate) struct Soon {
    /// Where they begin; any address will do.
    pub(crate) rows: [*const f32; MAX_PANEL_HEIGHT],
    /// Cells of them before the first that is asked for.
    pub(crate) ahead: usize,
    /// Cells of the row that is made to one of theirs.
    pub(crate) step: usize,
}

impl Direct<'_> {
    /// Row `y` of the copy's window of image `image`: `width` cells for each filter of panel `p`, from element `first` of
    /// `rows` on. These may be longer: whole vectors are written where there is room.
    #[inline(always)]
    pub(crate) fn row<S: Simd>(
        &self,
        simd: S,
        [image, y, p]: [usize; 3],
        first: usize,
        width: usize,
        rows: &mut Rows<'_>,
        soon: &Soon,
    ) {
        let shape = const { Shape::of::<S>() };
        let filters = self.filters.panel_rows(p);
        let a = self.filters.panel(&(0..self.filters.k()), p);
        let data = &self.copy.data()[image * self.copy.strides[0] + y * self.copy.line..];
        let bias = self.bias.map(|bias| &bias[filters.clone()]);
        let room = rows[..filters.len()].iter().map(|row| row.len()).min().unwrap_or(0);
        for x in (0..width).step_by(shape.nr()) {
            let vectors = (width - x).div_ceil(S::LANES).min(shape.vectors);
            let data = &data[x..];
            let kernel = Table::<S>::KERNELS[filters.len() - 1][vectors - 1];
            let (taps, relu) = (self.taps.offsets(), self.relu);
            let (at, whole) = (soon.ahead + x / soon.step, first + x + vectors * S::LANES <= room);
            kernel(simd, &mut Tile { data, taps, a, bias, relu, x: first + x, rows, whole, soon: &soon.rows, at });
        }
    }
}

/// What a kernel reads and writes.
struct Tile<'t, 'r> {
    /// From what the first tap of the first cell reads on.
    data: &'t [f32],
    /// Where each tap reads.
    taps: &'t [usize],
    /// A row for each tap: one number a filter.
    a: &'t [f32],
    bias: Option<&'t [f32]>,
    relu: bool,
    /// Where in the rows the first cell lies.
    x: usize,
    rows: &'t mut Rows<'r>,
    /// Whether the rows have room for all cells of the tile.
    whole: bool,
    /// Rows that are asked for from element `at` on.
    soon: &'t [*const f32; MAX_PANEL_HEIGHT],
    at: usize,
}

type Kernel<S> = fn(S, &mut Tile<'_, '_>);

/// The kernels of one level, by filters − 1 and vectors − 1. Those beyond the level's [`Shape`] panic.
struct Table<S>(PhantomData<S>);

macro_rules! filters {
    ($($mr:literal)*) => { [$([kernel::<S, $mr, 1> as Kernel<S>, kernel::<S, $mr, 2>]),*] };
}

impl<S: Simd> Table<S> {
    const KERNELS: [[Kernel<S>; 2]; MAX_PANEL_HEIGHT] = filters!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}

fn kernel<S: Simd, const MR: usize, const NV: usize>(simd: S, tile: &mut Tile<'_, '_>) {
    struct Run<'a, 't, 'r, const MR: usize, const NV: usize>(&'a mut Tile<'t, 'r>);
    impl<const MR: usize, const NV: usize> SimdOp for Run<'_, '_, '_, MR, NV> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let shape = const { Shape::of::<S>() };
            assert!(MR <= shape.mr && NV <= shape.vectors, "no {MR} × {NV} tile at this level");
            body::<S, MR, NV>(simd, self.0);
        }
    }
    simd.vectorize(Run::<MR, NV>(tile));
}

#[inline(always)]
fn body<S: Simd, const MR: usize, const NV: usize>(simd: S, tile: &mut Tile<'_, '_>) {
    let zero = simd.splat(0.0);
    let mut acc = [[zero; NV]; MR];
    for (k, (&tap, a)) in tile.taps.iter().zip(tile.a.chunks_exact(MR)).enumerate() {
        // A row with each tap, for no more are on their way at once: the lines in which vectors end.
        if let Some(row) = tile.soon[..MR].get(k) {
            for v in 0..NV {
                simd.prefetch_ptr(row.wrapping_add(tile.at + v * S::LANES + S::LANES - 1));
            }
        }
        let b = &tile.data[tap..][..NV * S::LANES];
        let mut bv = [zero; NV];
        for v in 0..NV {
            bv[v] = simd.load(&b[v * S::LANES..]);
        }
        for i in 0..MR {
            let x = simd.splat(a[i]);
            for v in 0..NV {
                acc[i][v] = simd.fma(x, bv[v], acc[i][v]);
            }
        }
    }
    if let Some(bias) = tile.bias {
        let bias = &bias[..MR];
        for i in 0..MR {
            let bias = simd.splat(bias[i]);
            for v in 0..NV {
                acc[i][v] = simd.add(acc[i][v], bias);
            }
        }
    }
    if tile.relu {
        for i in 0..MR {
            for v in 0..NV {
                acc[i][v] = simd.max(zero, acc[i][v]);
            }
        }
    }
    // Written out, so that the sums never leave their registers.
    macro_rules! each {
        ($put:ident: $($i:literal)*) => { $(if $i < MR { $put(simd, &acc[$i], &mut tile.rows[$i][tile.x..]); })* };
    }
    if tile.whole {
        each!(put: 0 1 2 3 4 5 6 7 8 9 10 11 12 13);
    } else {
        each!(put_partly: 0 1 2 3 4 5 6 7 8 9 10 11 12 13);
    }
}

/// Stores `sums` where `row` begins.
#[inline(always)]
fn put<S: Simd, const NV: usize>(simd: S, sums: &[S::F32; NV], row: &mut [f32]) {
    let row = &mut row[..NV * S::LANES];
    for v in 0..NV {
        simd.store(sums[v], &mut row[v * S::LANES..]);
    }
}

/// Stores as much of `sums` as `row` has room for.
#[inline(always)]
fn put_partly<S: Simd, const NV: usize>(simd: S, sums: &[S::F32; NV], row: &mut [f32]) {
    for v in 0..NV {
        let row = row.get_mut(v * S::LANES..).unwrap_or_default();
        let len = row.len().min(S::LANES);
        simd.store_partial(sums[v], &mut row[..len]);
    }
}
