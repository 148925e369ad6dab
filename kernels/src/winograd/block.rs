//! A block of tiles of maps on its way: what its lines read and write, input transform, products, output transform.

use std::ops::Range;

use super::input::{self, Half, Line, Source, Strided, transform_input};
use super::layout::{InputTask, Layout, Share, Wanted};
use super::output::{Eight, Finish, Sink, Target, finish};
use super::{PackedWinograd, Tile, V, reach, taps};
use crate::Cpu;
use crate::aligned::AlignedBuf;
use crate::conv2d::Conv2d;
use crate::gemm::Shape;
use crate::geometry::Window;
use crate::padded::Padded;
use crate::simd::{Simd, SimdOp};
use crate::view::{Maps, PlaneMut};

/// What all blocks share.
pub(super) struct Work<'a> {
    pub(super) finish: Finish<'a>,
    pub(super) conv: &'a Conv2d,
    pub(super) cells: Cells<'a>,
    /// The outputs that are wanted.
    pub(super) window: Window,
    /// The first output of the first tile.
    pub(super) origin: [usize; 2],
    /// Tiles of a tile row.
    pub(super) columns: usize,
}

impl Work<'_> {
    /// Which outputs of `tiles`, a line whose first output is at `to`, are wanted.
    fn wanted(&self, tiles: Range<usize>, [y, x]: [usize; 2]) -> Wanted {
        let (m, window) = (self.finish.packed.tile.m(), self.window);
        let rows = window.y0.saturating_sub(y)..window.y1.saturating_sub(y).min(m[0]);
        let columns = window.x0.saturating_sub(x)..(window.x1 - x).min(tiles.len() * m[1]);
        Wanted { tiles, rows, columns }
    }

    /// Results along an axis for one that is stored.
    pub(super) fn part(&self) -> usize {
        if self.finish.pool { 2 } else { 1 }
    }
}

/// What tiles read.
pub(super) enum Cells<'a> {
    /// The maps where they are; padding is not.
    Maps(Maps<'a>),
    /// A copy, parted by stride, with all padding; it begins with the first tile.
    Copy(Padded),
}

impl<'a> Cells<'a> {
    /// What the outputs of `window`, whole tiles, read of `input`.
    pub(super) fn new(cpu: &Cpu, conv: &Conv2d, input: Maps<'a>, window: Window) -> Self {
        let geometry = reach(conv);
        if geometry.stride != [1, 1] {
            return Self::Copy(Padded::new(cpu, input, &geometry, window));
        }
        input.check_holds(geometry.input_window(window, input.full()));
        Self::Maps(input)
    }

    fn data(&self) -> &[f32] {
        match self {
            Self::Maps(maps) => maps.data(),
            Self::Copy(copy) => copy.data(),
        }
    }

    /// What `tiles`, a line of image `n` whose first output is at `to`, read.
    fn line(&self, work: &Work<'_>, n: usize, tiles: Range<usize>, to: [usize; 2]) -> Line {
        let (conv, packed, first) = (work.conv, work.finish.packed, work.origin);
        let size = [packed.alpha()[0], tiles.len() * packed.tile.m()[1] + taps(conv) - 1];
        match self {
            Self::Maps(maps) => {
                let (layout, pads) = (maps.layout(), conv.geometry.pads);
                // Of the cells that a line reads along an axis, those that are there.
                let there = |i: usize| {
                    let end = (layout.full[i] + pads[i]).saturating_sub(to[i]).min(size[i]);
                    pads[i].saturating_sub(to[i]).min(end)..end
                };
                let (rows, columns) = (there(0), there(1));
                let cell = |i: usize, from: usize, window: usize| (to[i] + from).saturating_sub(pads[i] + window);
                let (y, x) = (cell(0, rows.start, layout.window.y0), cell(1, columns.start, layout.window.x0));
                let [image, channel, row] = layout.strides;
                let planes = input::Planes { channels: conv.in_channels, channel, line: 0, part: 0, stride: 1 };
                Line { tiles, from: n * image + y * row + x, planes, row, rows, columns }
            }
            Self::Copy(copy) => {
                let ([image, channel, line], stride) = (copy.strides, conv.geometry.stride[0]);
                let planes = input::Planes { channels: conv.in_channels, channel, line, part: copy.part, stride };
                let from = n * image + (to[0] - first[0]) * stride * line + to[1] - first[1];
                Line { tiles, from, planes, row: stride * line, rows: 0..size[0], columns: 0..size[1] }
            }
        }
    }
}

/// Tile rows of some images.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) images: Range<usize>,
    pub(super) rows: Range<usize>,
}

impl Block {
    pub(super) fn layout(&self, work: &Work<'_>, shape: Shape) -> Layout {
        let wanted: Vec<_> = self.each_line(work).map(|(_, tiles, to)| work.wanted(tiles, to)).collect();
        Layout::new(work.finish.packed, &wanted, work.columns, shape)
    }

    /// First tile and first output of each line, and its image.
    fn each_line<'a>(&'a self, work: &'a Work<'_>) -> impl Iterator<Item = (usize, Range<usize>, [usize; 2])> + 'a {
        let [m, _] = work.finish.packed.tile.m();
        let lines = self.images.clone().flat_map(|n| self.rows.clone().map(move |y| (n, y)));
        lines.enumerate().map(move |(i, (n, y))| {
            let first = i * work.columns;
            (n, first..first + work.columns, [work.origin[0] + y * m, work.origin[1]])
        })
    }

    /// What its lines read.
    fn lines(&self, work: &Work<'_>) -> Vec<Line> {
        self.each_line(work).map(|(n, tiles, to)| work.cells.line(work, n, tiles, to)).collect()
    }

    /// What its lines write, `planes` of each image.
    fn targets(&self, work: &Work<'_>, planes: usize) -> Vec<Target> {
        let (left, part) = (work.window.x0, work.part());
        self.each_line(work)
            .map(|(n, tiles, [y, x])| {
                let wanted = work.wanted(tiles, [y, x]);
                let (top, left) = ((y + wanted.rows.start) / part, (x + wanted.columns.start - left) / part);
                Target { wanted, place: [(n - self.images.start) * planes, top, left] }
            })
            .collect()
    }
}

/// The planes of a block: all channels of an image, then those of the next.
struct Planes<'a, 'b>(&'a mut [PlaneMut<'b>]);

impl Sink for Planes<'_, '_> {
    #[inline(always)]
    fn maps(&mut self, target: &Target, o: Range<usize>) -> Eight<'_> {
        let [plane, top, left] = target.place;
        let mut eight = Eight::default();
        for (map, plane) in eight.maps.iter_mut().zip(&mut self.0[plane + o.start..plane + o.end]) {
            let (cells, pitch) = plane.rows_mut(top);
            (*map, eight.pitch) = (&mut cells[left..], pitch);
        }
        eight
    }
}

/// Calls a function that is generic over α and m along columns and rows with those of a tile.
macro_rules! with_alpha {
    ($packed:expr, $f:ident($($arg:expr),*)) => {
        match ($packed.alpha(), $packed.tile) {
            ([3, _], _) => $f::<_, 3, 3, 2, 2>($($arg),*),
            ([4, _], _) => $f::<_, 4, 4, 2, 2>($($arg),*),
            ([5, _], _) => $f::<_, 5, 5, 4, 4>($($arg),*),
            ([6, _], Tile::F4x2) => $f::<_, 6, 4, 4, 2>($($arg),*),
            ([6, _], _) => $f::<_, 6, 6, 4, 4>($($arg),*),
            ([7, _], _) => $f::<_, 7, 7, 4, 4>($($arg),*),
            ([8, _], Tile::F4) => $f::<_, 8, 8, 4, 4>($($arg),*),
            ([9, _], Tile::F7x4) => $f::<_, 9, 6, 7, 4>($($arg),*),
            ([9, _], _) => $f::<_, 9, 9, 7, 7>($($arg),*),
            _ => $f::<_, 8, 8, 6, 6>($($arg),*),
        }
    };
}
pub(super) use with_alpha;

/// Transforms the inputs of one task.
pub(super) struct Input<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) block: &'a Block,
    pub(super) layout: &'a Layout,
    pub(super) task: InputTask<'a>,
}

impl SimdOp for Input<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Input { work, block, layout, task: InputTask { part, channels, v } } = self;
        let lines = block.lines(work);
        let source = &Source { data: work.cells.data(), lines: &lines };
        let (packed, half) = (work.finish.packed, &mut Half::new());
        match v {
            Share::All(mut v) => {
                with_alpha!(packed, transform_input(simd, source, layout, part, channels, &mut v, half));
            }
            Share::Some(mut v) => {
                with_alpha!(packed, transform_input(simd, source, layout, part, channels, &mut v, half));
            }
        }
    }
}

/// Multiplies and transforms back the filters of some panels.
pub(super) struct Output<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) block: &'a Block,
    pub(super) layout: &'a Layout,
    pub(super) panels: Range<usize>,
    pub(super) v: &'a [f32],
    pub(super) planes: Vec<PlaneMut<'a>>,
}

impl SimdOp for Output<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let Output { work, block, layout, panels, v, .. } = self;
        let targets = block.targets(work, self.planes.len() / block.images.len());
        let (finish_of, planes) = (work.finish, &mut Planes(&mut self.planes));
        with_alpha!(finish_of.packed, finish(simd, finish_of, layout, panels, v, &targets, planes));
    }
}

/// A block from its inputs to its outputs.
pub(super) struct Whole<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) block: &'a Block,
    pub(super) planes: Vec<PlaneMut<'a>>,
}

impl SimdOp for Whole<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let Whole { work, block, .. } = self;
        let layout = block.layout(work, const { Shape::of::<S>() });
        let mut v = AlignedBuf::reused(V.take(), layout.len());
        let (packed, lines) = (work.finish.packed, block.lines(work));
        transform_all(simd, packed, &Source { data: work.cells.data(), lines: &lines }, &layout, &mut v);
        let targets = block.targets(work, self.planes.len() / block.images.len());
        let (panels, planes) = (0..packed.filters.panels(), &mut Planes(&mut self.planes));
        with_alpha!(packed, finish(simd, work.finish, &layout, panels, &v, &targets, planes));
        V.set(Some(v));
    }
}

/// V of all tiles and channels.
#[inline(always)]
pub(super) fn transform_all<S: Simd>(
    simd: S,
    packed: &PackedWinograd,
    source: &Source<'_>,
    layout: &Layout,
    v: &mut [f32],
) {
    let (mut half, ask) = (Half::new(), layout.asks(1));
    for part in layout.all() {
        let (start, stride) = (layout.start(part), layout.stride(part));
        let mut places = Strided { v: &mut v[start..start + layout.xis() * stride], stride, ask };
        let (channels, half) = (layout.steps().range(part.step), &mut half);
        with_alpha!(packed, transform_input(simd, source, layout, part, channels, &mut places, half));
    }
}
