//! A convolution and the max-pool that alone reads it, band by band: the maps between them are never written as a whole.
//!
//! ```text
//! band of pooled rows  ⟵ max ⟵  the rows of the convolution that they read, in L2  ⟵ conv2d ⟵  input
//! ```
//! Bands whose windows overlap compute the shared rows twice, parts of a band hand them on. One thread takes a band all the
//! way; the numbers are those of the two kernels called one after the other, bit for bit. Winograd's convolution takes the
//! maxima of 2 × 2 by itself, before its results leave their registers.

mod direct;

use std::cell::Cell;

use crate::Cpu;
use crate::aligned::AlignedBuf;
use crate::caches::Caches;
use crate::conv2d::{self, Activation, Conv2d, PackedConv2d};
use crate::direct::{Band, bands};
use crate::gemm::PackedA;
use crate::geometry::{Geometry, Window};
use crate::max_pool2d::max_pool2d;
use crate::view::{Layout, Maps, MapsMut};
use crate::winograd::{self, PackedWinograd};

/// Packed filters of one algorithm or another.
#[derive(Clone, Copy, Debug)]
pub enum Filters<'a> {
    /// For [`conv2d`](crate::conv2d::conv2d()).
    Gemm(&'a PackedConv2d),
    /// For [`winograd`](crate::winograd::winograd()).
    Winograd(&'a PackedWinograd),
}

impl Filters<'_> {
    /// Calls the kernel that these filters were packed for.
    pub fn conv2d(
        &self,
        cpu: &Cpu,
        conv: &Conv2d,
        bias: Option<&[f32]>,
        activation: Activation,
        input: Maps<'_>,
        out: MapsMut<'_>,
    ) {
        match self {
            Filters::Gemm(packed) => conv2d::conv2d(cpu, conv, packed, bias, activation, input, out),
            Filters::Winograd(packed) => winograd::winograd(cpu, conv, packed, bias, activation, input, out),
        }
    }

    /// Columns that are best computed where `width` are needed: whole vectors where that adds little, so that rows begin
    /// with a cache line and a tile is stored whole.
    fn width(&self, width: usize, cpu: &Cpu) -> usize {
        let whole = width.next_multiple_of(cpu.level.lanes());
        match self {
            Filters::Gemm(_) if whole - width <= width / 32 => whole,
            _ => width,
        }
    }

    /// Rows of a convolution that are best computed together.
    fn rows(&self) -> usize {
        match self {
            Filters::Gemm(_) => 1,
            Filters::Winograd(packed) => packed.tile().m()[0],
        }
    }
}

thread_local! {
    /// The rows between convolution and pool, and the pooled rows, of this thread's band.
    static BUFFERS: Cell<Option<[AlignedBuf; 2]>> = const { Cell::new(None) };
}

/// What both kernels need.
#[derive(Clone, Copy, Debug)]
pub struct ConvPool2d<'a> {
    /// The convolution.
    pub conv: Conv2d,
    /// Its filters.
    pub filters: Filters<'a>,
    /// One number an output channel.
    pub bias: Option<&'a [f32]>,
    /// Between bias and pool.
    pub activation: Activation,
    /// Height and width of the convolution's maps.
    pub size: [usize; 2],
    /// The pool.
    pub pool: Geometry,
}

/// Computes whole pooled maps from whole maps: out = pool(act(conv(input) + bias)).
///
/// # Example
///
/// ```
/// use switchback_kernels::conv_pool2d::{ConvPool2d, Filters, conv_pool2d};
/// use switchback_kernels::conv2d::{self, Activation, Conv2d};
/// use switchback_kernels::{Cpu, Dtype, Geometry, Maps, MapsMut, Weights};
///
/// let cpu = Cpu::new(1);
/// let conv = Conv2d { in_channels: 1, out_channels: 1, groups: 1, geometry: Geometry::square(1, 1, 0) };
/// let packed = conv2d::pack(&cpu, &conv, Weights::new(&2.0f32.to_le_bytes(), Dtype::F32), None);
/// let work = ConvPool2d {
///     conv,
///     filters: Filters::Gemm(&packed),
///     bias: Some(&[-5.0]),
///     activation: Activation::Relu,
///     size: [2, 4],
///     pool: Geometry::square(2, 2, 0),
/// };
///
/// let x = [1.0, 4.0, 2.0, 0.0,
///          3.0, 2.0, 1.0, 2.0];
/// let mut y = [9.0; 2];
/// conv_pool2d(&cpu, &work, Maps::new(&x, 1, 1, [2, 4]), MapsMut::new(&mut y, 1, 1, [1, 2]));
/// assert_eq!(y, [3.0, 0.0]);
/// ```
pub fn conv_pool2d(cpu: &Cpu, work: &ConvPool2d<'_>, input: Maps<'_>, out: MapsMut<'_>) {
    assert_eq!(input.batch(), out.batch(), "images in and out");
    assert_eq!(out.channels(), work.conv.out_channels, "channels out");
    assert_eq!(out.window(), Window::full(out.full()), "pooled maps must be whole");
    let full = out.full();
    if let Filters::Winograd(packed) = work.filters
        && winograd::pools(packed.tile(), &work.pool, work.size, full)
    {
        return winograd::winograd_pool(cpu, &work.conv, packed, work.bias, work.activation, input, out);
    }
    let direct = work.direct(full);
    let [rows, step] = cut(cpu, work, full, out.batch(), direct.is_some());
    let single = Cpu::single(cpu.level);
    cpu.threads.for_each(bands(out, rows), |band| {
        let input = input.image_range(band.image, band.image + 1);
        match direct {
            Some(filters) => direct::run(&single, work, filters, input, band.window, band.planes),
            None => run(&single, work, input, full, band, step),
        }
    });
}

impl<'a> ConvPool2d<'a> {
    /// The filters, where the rows between convolution and pool need not be held for all channels at once.
    fn direct(&self, full: [usize; 2]) -> Option<&'a PackedA> {
        match self.filters {
            Filters::Gemm(packed) if direct::can(&self.pool, self.size, full) => packed.direct(),
            _ => None,
        }
    }
}

/// Pooled rows of a band, and of those that are computed together. A band takes what half of L2 holds of the convolution's
/// maps, or of what it reads where it is `direct`; Winograd's goes as far as threads are dealt evenly, in whole tiles, a
/// quarter of L2 at a time.
fn cut(cpu: &Cpu, work: &ConvPool2d<'_>, full: [usize; 2], batch: usize, direct: bool) -> [usize; 2] {
    let [sy, sx] = work.conv.geometry.stride;
    let floats = if direct { work.conv.in_channels * sy * sx } else { work.conv.out_channels };
    let row = floats * work.size[1] * size_of::<f32>();
    let step = work.pool.stride[0];
    let most = |room: usize| ((room / row).saturating_sub(work.pool.extent()[0]) / step + 1).min(full[0]);
    let dealt = |bands: usize| full[0].div_ceil(bands.next_multiple_of(cpu.threads.count()).div_ceil(batch));
    // Fewest rows that make a whole number of tiles.
    let unit = (1..=work.filters.rows()).find(|r| (r * step).is_multiple_of(work.filters.rows())).unwrap_or(1);
    let l2 = Caches::get().l2;
    let rows = match work.filters {
        Filters::Gemm(_) => [dealt(batch * full[0].div_ceil(most(l2 / 2))); 2],
        Filters::Winograd(_) => [dealt(batch), most(l2 / 4)],
    };
    rows.map(|rows| rows.next_multiple_of(unit).min(full[0]))
}

/// Pooled rows of a band that are computed together, and the rows of the convolution's maps that are there meanwhile.
struct Part {
    /// Pooled rows.
    to: Window,
    /// What they read.
    from: Window,
    /// Rows between the first that this part reads and the first that the one before does.
    shift: usize,
    /// The first row that no part before had.
    fresh: usize,
    /// One past the last row that is there.
    end: usize,
}

impl Part {
    /// All parts of `window`, `step` pooled rows each; new rows end with a row of tiles.
    fn all(work: &ConvPool2d<'_>, window: Window, step: usize) -> Vec<Self> {
        let unit = work.filters.rows();
        let all = work.pool.input_window(window, work.size);
        let (mut begin, mut end) = (all.y0, all.y0);
        let part = |y0: usize| {
            let to = Window { y0, y1: window.y1.min(y0 + step), ..window };
            let from = work.pool.input_window(to, work.size);
            let (shift, fresh) = (from.y0 - begin, end.max(from.y0));
            (begin, end) = (from.y0, from.y1.next_multiple_of(unit).min(all.y1).max(fresh));
            Self { to, from, shift, fresh, end }
        };
        (window.y0..window.y1).step_by(step).map(part).collect()
    }
}

/// One band of one image, `step` pooled rows at a time.
fn run(
    cpu: &Cpu,
    work: &ConvPool2d<'_>,
    input: Maps<'_>,
    full: [usize; 2],
    Band { window, mut planes, .. }: Band<'_>,
    step: usize,
) {
    let channels = work.conv.out_channels;
    let parts = Part::all(work, window, step);
    let rows = parts.iter().map(|part| part.end - part.from.y0).max().unwrap_or(0);
    let between = work.pool.input_window(window, work.size);
    // Columns beyond the map are computed and left out.
    let wide = Window { x1: between.x0 + work.filters.width(between.width(), cpu), ..between };
    let size = [work.size[0], work.size[1].max(wide.x1)];
    let strides = [0, rows * wide.width(), wide.width()];
    let lens = [channels * strides[1], channels * step * window.width()];
    let [mut maps, mut pooled] = BUFFERS
        .take()
        .filter(|b| b[0].len() >= lens[0] && b[1].len() >= lens[1])
        .unwrap_or_else(|| lens.map(AlignedBuf::zeroed));
    for part in parts {
        // Each map begins with the first row that is read, and what it has of those that the part before has computed.
        let [shift, kept] = [part.shift, part.fresh - part.from.y0].map(|rows| rows * strides[2]);
        if shift > 0 && kept > 0 {
            for map in maps[..lens[0]].chunks_exact_mut(strides[1]) {
                map.copy_within(shift..shift + kept, 0);
            }
        }
        if part.fresh < part.end {
            let new = Window { y0: part.fresh, y1: part.end, ..wide };
            let layout = Layout { batch: 1, channels, full: size, window: new, strides };
            let out = MapsMut::with_layout(&mut maps[kept..], layout);
            work.filters.conv2d(cpu, &work.conv, work.bias, work.activation, input, out);
        }
        let layout = Layout { batch: 1, channels, full: work.size, window: part.from, strides };
        let out = MapsMut::windowed(&mut pooled, 1, channels, full, part.to);
        max_pool2d(cpu, &work.pool, Maps::with_layout(&maps, layout), out, None);
        let result = Maps::windowed(&pooled, 1, channels, full, part.to);
        for plane in &mut planes {
            for y in part.to.y0..part.to.y1 {
                let row = result.row(0, plane.channel, y);
                plane.row_mut(y).copy_from_slice(row);
            }
        }
    }
    BUFFERS.set(Some([maps, pooled]));
}
