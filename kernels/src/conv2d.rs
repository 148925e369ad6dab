//! Convolution by virtual im2col and GEMM.
//!
//! out(n, o, y, x) = act(bias(o) + Σ_{c,ky,kx} w(o, c, ky, kx) · in(n, c, y·s − p + ky·d, x·s − p + kx·d))
//!
//! ```text
//! filters, packed once      column matrix, never written       out, stored in place
//!  O/G × (C/G·kh·kw)    ×    (C/G·kh·kw) × (N·cells)       =    O/G × (N·cells)      for each group G
//! ```
//! Where weights outweigh cells the product runs transposed: see `gemm::cells`; where each filter sees one map there is no
//! product: see `depthwise`; where taps are few their rows are not packed: see `direct`.

use crate::Cpu;
use crate::depthwise;
use crate::direct;
use crate::gemm::{self, Epilogue, LONGEST, Output, PackedA, PackedB, Panels, Product};
use crate::geometry::Geometry;
use crate::im2col::Im2col;
use crate::padded::Padded;
use crate::view::{Maps, MapsMut, Weights};

/// The constants of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// Maps in.
    pub in_channels: usize,
    /// Maps out.
    pub out_channels: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Taps, steps and pads.
    pub geometry: Geometry,
}

impl Conv2d {
    /// Multiplications a filter makes for one output cell: C / groups · kh · kw.
    pub fn taps(&self) -> usize {
        self.in_channels / self.groups * self.geometry.kernel[0] * self.geometry.kernel[1]
    }

    /// Whether each filter sees one map of several.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.in_channels
    }

    /// Weights of all filters.
    pub fn weights(&self) -> usize {
        self.out_channels * self.taps()
    }

    /// Filters packed for this convolution also serve `other`: only steps, dilation and pads may differ.
    pub(crate) fn check_filters(&self, other: &Conv2d) {
        let filters = |c: &Conv2d| (c.in_channels, c.out_channels, c.groups, c.geometry.kernel);
        assert_eq!(filters(self), filters(other), "the filters were packed for another convolution");
    }

    pub(crate) fn check(&self, weights: Weights<'_>) {
        let Self { in_channels, out_channels, groups, .. } = *self;
        assert!(groups > 0, "a convolution without groups");
        assert!(in_channels.is_multiple_of(groups), "{in_channels} channels in do not divide into {groups} groups");
        assert!(out_channels.is_multiple_of(groups), "{out_channels} channels out do not divide into {groups} groups");
        assert_eq!(weights.len(), self.weights(), "weights of {self:?}");
    }
}

/// What is fused into the store, after the bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// max(x, 0); NaN stays NaN.
    Relu,
}

/// Filters packed for one level; see [`pack`].
#[derive(Debug)]
pub struct PackedConv2d {
    conv: Conv2d,
    groups: Groups,
}

/// The filters of each group.
#[derive(Debug)]
enum Groups {
    /// As the rows of tiles.
    Rows(Vec<PackedA>),
    /// As their columns.
    Columns(Vec<PackedB>),
    /// As they are, where each filter sees one map.
    Depthwise(Vec<f32>),
}

impl PackedConv2d {
    /// Memory that the packed filters take.
    pub fn bytes(&self) -> usize {
        match &self.groups {
            Groups::Rows(groups) => groups.iter().map(PackedA::bytes).sum(),
            Groups::Columns(groups) => groups.iter().map(PackedB::bytes).sum(),
            Groups::Depthwise(filters) => size_of_val(&filters[..]),
        }
    }

    /// The filters, where they can run without packed columns: of one group, all taps in one block of steps.
    pub(crate) fn direct(&self) -> Option<&PackedA> {
        match &self.groups {
            Groups::Rows(groups) => match &groups[..] {
                [filters] if filters.steps().count() == 1 => Some(filters),
                _ => None,
            },
            Groups::Columns(_) | Groups::Depthwise(_) => None,
        }
    }
}

/// Packs filters `(out_channels, in_channels / groups, kernel)` for `cpu.level`; `scale` multiplies each output
/// channel's filter (a folded batch normalisation).
pub fn pack(cpu: &Cpu, conv: &Conv2d, weights: Weights<'_>, scale: Option<&[f32]>) -> PackedConv2d {
    conv.check(weights);
    if let Some(scale) = scale {
        assert_eq!(scale.len(), conv.out_channels, "one scale an output channel");
    }
    let (rows, taps) = (conv.out_channels / conv.groups, conv.taps());
    let element = |o: usize, k: usize| weights.get(o * taps + k) * scale.map_or(1.0, |scale| scale[o]);
    let groups = if conv.is_depthwise() {
        Groups::Depthwise((0..conv.weights()).map(|i| element(i / taps, i % taps)).collect())
    } else if filters_as_columns(cpu, conv) {
        Groups::Columns(
            (0..conv.groups).map(|g| PackedB::new(cpu, rows, taps, |k, i| element(g * rows + i, k))).collect(),
        )
    } else {
        Groups::Rows(
            (0..conv.groups).map(|g| PackedA::lasting(cpu, rows, taps, |i, k| element(g * rows + i, k))).collect(),
        )
    };
    PackedConv2d { conv: *conv, groups }
}

/// Whether filters are the columns of tiles: where they fill their vectors, a sum is long enough to pay for transposing
/// it, and weights outweigh cells. A packed cell of a single tap is used once for each panel of filters: there must be more.
fn filters_as_columns(cpu: &Cpu, conv: &Conv2d) -> bool {
    let (filters, taps) = (conv.out_channels / conv.groups, conv.taps());
    let weights = match conv.geometry.kernel {
        // One kc block needs no packed cells at all.
        [1, 1] if taps <= LONGEST => 1 << 20,
        [1, 1] => 1 << 18,
        _ => 1 << 15,
    };
    filters >= 2 * cpu.level.lanes() && taps >= 128 && filters * taps >= weights
}

/// Computes every cell of `out.window()`. `input` must hold all cells that these read (`Geometry::input_window`).
///
/// The filters may have been packed for other steps, dilation and pads: a piece of a map whose padding stands in it as
/// zeros is a map without pads, and gives the same bits (of finite filters: products with padding may be left out).
///
/// `bias` is one number an output channel; it and the activation are fused into the store. `input` and `out` are
/// batches of the same number of images.
///
/// # Example
///
/// One 2×2 filter of ones over a 3×3 map sums each square of four cells.
///
/// ```
/// use switchback_kernels::conv2d::{self, Activation, Conv2d, conv2d};
/// use switchback_kernels::{Cpu, Dtype, Geometry, Maps, MapsMut, Weights};
///
/// let cpu = Cpu::new(1);
/// let conv = Conv2d { in_channels: 1, out_channels: 1, groups: 1, geometry: Geometry::square(2, 1, 0) };
/// let filters: Vec<u8> = [1.0f32; 4].iter().flat_map(|w| w.to_le_bytes()).collect();
/// let packed = conv2d::pack(&cpu, &conv, Weights::new(&filters, Dtype::F32), None);
///
/// let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
/// let mut y = [0.0; 4];
/// let (input, out) = (Maps::new(&x, 1, 1, [3, 3]), MapsMut::new(&mut y, 1, 1, [2, 2]));
/// conv2d(&cpu, &conv, &packed, Some(&[-20.0]), Activation::Relu, input, out);
/// assert_eq!(y, [0.0, 0.0, 4.0, 8.0]);
/// ```
pub fn conv2d(
    cpu: &Cpu,
    conv: &Conv2d,
    packed: &PackedConv2d,
    bias: Option<&[f32]>,
    activation: Activation,
    input: Maps<'_>,
    out: MapsMut<'_>,
) {
    run(cpu, conv, packed, Epilogue { accumulate: false, bias, relu: activation == Activation::Relu }, input, out);
}

/// The same on top of what `out` holds: out = act(out + conv(input) + bias), as a residual block ends.
pub fn conv2d_add(
    cpu: &Cpu,
    conv: &Conv2d,
    packed: &PackedConv2d,
    bias: Option<&[f32]>,
    activation: Activation,
    input: Maps<'_>,
    out: MapsMut<'_>,
) {
    run(cpu, conv, packed, Epilogue { accumulate: true, bias, relu: activation == Activation::Relu }, input, out);
}

fn run(cpu: &Cpu, conv: &Conv2d, packed: &PackedConv2d, epilogue: Epilogue<'_>, input: Maps<'_>, out: MapsMut<'_>) {
    packed.conv.check_filters(conv);
    assert_eq!(input.batch(), out.batch(), "images in and out");
    assert_eq!(input.channels(), conv.in_channels, "channels in");
    assert_eq!(out.channels(), conv.out_channels, "channels out");
    let window = out.window();
    if window.is_empty() {
        return;
    }
    if let Groups::Depthwise(filters) = &packed.groups {
        return depthwise::run(cpu, conv, filters, &epilogue, input, out);
    }
    if let (Some(filters), false) = (packed.direct(), epilogue.accumulate)
        && direct::pays(cpu, conv, window)
    {
        return direct::run(cpu, conv, filters, epilogue.bias, epilogue.relu, input, out);
    }
    let each = conv.in_channels / conv.groups;
    if Im2col::reads_in_place(&conv.geometry, window, &input) {
        let taps = Im2col::taps(&conv.geometry, each, &input);
        let columns =
            |g: usize| Im2col::in_place(input.channel_range(g * each, (g + 1) * each), &conv.geometry, window, &taps);
        multiply(cpu, packed, columns, Output::maps(out), &epilogue);
    } else {
        let copy = Padded::new(cpu, input, &conv.geometry, window);
        let taps = Im2col::padded_taps(&conv.geometry, each, &copy);
        let columns = |g: usize| Im2col::padded(&copy, g * each, window, &taps);
        multiply(cpu, packed, columns, Output::maps(out), &epilogue);
    }
}

/// The products of all groups.
fn multiply<'a>(
    cpu: &Cpu,
    packed: &'a PackedConv2d,
    columns: impl Fn(usize) -> Im2col<'a>,
    out: Output<'_>,
    epilogue: &Epilogue<'_>,
) {
    match &packed.groups {
        Groups::Rows(groups) => {
            let products: Vec<_> = groups.iter().enumerate().map(|(g, a)| Product { a, b: columns(g) }).collect();
            gemm::run(cpu, &products, out, epilogue);
        }
        Groups::Columns(groups) => {
            let product = |(g, a)| Product { a, b: columns(g) };
            let products: Vec<_> = groups.iter().enumerate().map(product).collect();
            gemm::run_cells(cpu, &products, out, epilogue);
        }
        Groups::Depthwise(_) => unreachable!("not a product of matrices"),
    }
}
