//! Transformed filters U in the order in which products read them.
//!
//! ```text
//! U   [ξ][kc block of channels][panel of nr filters][channel][filter]    filters are the columns of a product, tiles its rows
//! ```
//! Whatever the number of tiles, no lane of a product is idle; the last panel has whole vectors, zero beyond the filters.

use std::ops::Range;

use crate::Cpu;
use crate::aligned::{AlignedBuf, LINE};
use crate::gemm::{Shape, Steps, share};
use crate::simd::Level;
use crate::view::Weights;

/// Filters that are transformed side by side.
pub(super) const GROUP: usize = 16;

/// Filters transformed and packed for one level.
#[derive(Debug)]
pub(super) struct Filters {
    level: Level,
    count: usize,
    shape: Shape,
    steps: Steps,
    /// From place to place.
    pitch: usize,
    data: AlignedBuf,
    /// Products, place by place, kc block by kc block: those whose filters are not all zero.
    products: Vec<[usize; 2]>,
}

impl Filters {
    /// Packs `count` filters of `xis` places: `elements(filters, c, to)` gives those of at most [`GROUP`] filters in channel `c`.
    pub(super) fn new(
        cpu: &Cpu,
        count: usize,
        steps: Steps,
        xis: usize,
        products: Vec<[usize; 2]>,
        elements: impl Fn(Range<usize>, usize, &mut [[f32; GROUP]]) + Send + Sync,
    ) -> Self {
        let shape = Shape::at(cpu.level);
        let k = steps.k();
        // A place begins a line further in its page than the one before: all are written side by side.
        let pitch = k * count.next_multiple_of(shape.lanes) + LINE;
        let data = AlignedBuf::lasting(xis * pitch);
        assert_eq!(products.iter().filter(|[_, step]| *step == 0).count(), xis, "the first product of each place");
        let mut filters = Self { level: cpu.level, count, shape, steps, pitch, data, products };
        let panels: Vec<_> = (0..filters.panels()).map(|p| (filters.range(p), filters.width(p))).collect();
        let mut rests: Vec<_> = filters.data.chunks_exact_mut(pitch).collect();
        let mut parts = Vec::with_capacity(steps.count() * panels.len());
        for channels in (0..steps.count()).map(|i| steps.range(i)) {
            for (range, width) in &panels {
                let len = channels.len() * width;
                let places = rests.iter_mut().map(|rest| rest.split_off_mut(..len).expect("all there"));
                parts.push((range.clone(), *width, channels.clone(), places.collect::<Vec<_>>()));
            }
        }
        cpu.threads.for_each(parts, |(range, width, channels, mut places)| {
            let mut each = vec![[0.0; GROUP]; xis];
            for (at, c) in channels.enumerate() {
                for first in range.clone().step_by(GROUP) {
                    let group = first..range.end.min(first + GROUP);
                    elements(group.clone(), c, &mut each);
                    for (place, each) in places.iter_mut().zip(&each) {
                        let to = &mut place[at * width + first - range.start..];
                        match to.first_chunk_mut::<GROUP>() {
                            // What is too much is zero, or written over by the next.
                            Some(to) => *to = *each,
                            None => to[..group.len()].copy_from_slice(&each[..group.len()]),
                        }
                    }
                }
            }
        });
        filters
    }

    /// The products to be made: place ξ and kc block of each.
    pub(super) fn products(&self) -> &[[usize; 2]] {
        &self.products
    }

    /// The first product, from number `i` on, that begins a place; 0 where none does.
    pub(super) fn first_product(&self, i: usize) -> usize {
        (i..self.products.len()).find(|&i| self.products[i][1] == 0).unwrap_or(0)
    }

    /// The level that can run them.
    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// Memory of the panels.
    pub(super) fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }

    /// The kc blocks that channels are cut into.
    pub(super) fn steps(&self) -> Steps {
        self.steps
    }

    /// How many panels share the filters.
    pub(super) fn panels(&self) -> usize {
        self.count.div_ceil(self.shape.nr())
    }

    /// The filters of panel `p`.
    pub(super) fn range(&self, p: usize) -> Range<usize> {
        p * self.shape.nr()..((p + 1) * self.shape.nr()).min(self.count)
    }

    /// The panels, dealt to at most `threads`.
    pub(super) fn shares(&self, threads: usize) -> Vec<Range<usize>> {
        let shares = threads.min(self.panels());
        (0..shares).map(|i| share(self.panels(), shares, i)).collect()
    }

    /// The filters of some panels.
    pub(super) fn channels(&self, panels: &Range<usize>) -> Range<usize> {
        self.range(panels.start).start..self.range(panels.end - 1).end
    }

    /// Filters of panel `p`, rounded up to whole vectors.
    #[inline(always)]
    pub(super) fn width(&self, p: usize) -> usize {
        self.range(p).len().next_multiple_of(self.shape.lanes)
    }

    /// Place `xi` of the panels from `p` on in the channels `k`, one after the other: a row for each channel, of all filters.
    #[inline(always)]
    pub(super) fn panels_from(&self, p: usize, xi: usize, k: &Range<usize>) -> &[f32] {
        let all = self.count.next_multiple_of(self.shape.lanes);
        let start = xi * self.pitch + k.start * all;
        &self.data[start + p * self.shape.nr() * k.len()..start + all * k.len()]
    }
}

/// The filters of some output channels for one input channel.
pub(super) struct Group<'a> {
    pub(super) weights: Weights<'a>,
    pub(super) scale: Option<&'a [f32]>,
    pub(super) rows: Range<usize>,
    /// Input channels.
    pub(super) pitch: usize,
    pub(super) channel: usize,
    pub(super) side: usize,
}

impl Group<'_> {
    /// Filter beside filter, tap by tap; `place` says where in a filter a tap stands, beyond it are zeros.
    #[inline(always)]
    pub(super) fn filters<const TAPS: usize>(
        &self,
        place: impl Fn(usize, usize) -> [usize; 2],
    ) -> [[[f64; GROUP]; TAPS]; TAPS] {
        let mut filters = [[[0.0; GROUP]; TAPS]; TAPS];
        for (n, o) in self.rows.clone().enumerate() {
            let first = (o * self.pitch + self.channel) * self.side * self.side;
            let scale = f64::from(self.scale.map_or(1.0, |scale| scale[o]));
            for (y, line) in filters.iter_mut().enumerate() {
                for (x, lanes) in line.iter_mut().enumerate() {
                    let [y, x] = place(y, x);
                    if y < self.side && x < self.side {
                        lanes[n] = scale * f64::from(self.weights.get(first + y * self.side + x));
                    }
                }
            }
        }
        filters
    }
}
