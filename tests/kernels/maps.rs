//! Maps to test with: whole ones, and windows cut out of them into buffers with gaps between rows, channels and images.

use switchback_kernels::view::Layout;
use switchback_kernels::{Cpu, Level, Maps, MapsMut, Threads, Window};

use crate::numbers::numbers;

/// A cell of a map: compared by its bits, with a value that stands in gaps.
pub(crate) trait Cell: Copy + Default + std::fmt::Debug {
    const JUNK: Self;
    fn bits(self) -> u32;
}

impl Cell for f32 {
    const JUNK: Self = f32::NAN;

    fn bits(self) -> u32 {
        self.to_bits()
    }
}

impl Cell for u8 {
    const JUNK: Self = 0xA5;

    fn bits(self) -> u32 {
        self.into()
    }
}

/// Whole maps: `batch × channels × height × width`.
#[derive(Clone, Debug)]
pub(crate) struct Full<T> {
    pub(crate) data: Vec<T>,
    pub(crate) batch: usize,
    pub(crate) channels: usize,
    pub(crate) size: [usize; 2],
}

/// A window of maps, in a buffer with gaps.
#[derive(Debug)]
pub(crate) struct Cut<T> {
    data: Vec<T>,
    layout: Layout,
}

impl<T: Cell> Full<T> {
    /// What `f` makes of these extents.
    pub(crate) fn compute([batch, channels]: [usize; 2], size: [usize; 2], f: impl FnOnce(MapsMut<'_, T>)) -> Self {
        let mut data = vec![T::JUNK; batch * channels * size[0] * size[1]];
        f(MapsMut::new(&mut data, batch, channels, size));
        Self { data, batch, channels, size }
    }

    pub(crate) fn maps(&self) -> Maps<'_, T> {
        Maps::new(&self.data, self.batch, self.channels, self.size)
    }

    /// `window` alone, junk around it.
    pub(crate) fn cut(&self, window: Window) -> Cut<T> {
        Cut::compute([self.batch, self.channels], self.size, window, |mut out| {
            each_row(out.layout(), |n, c, y| {
                out.row_mut(n, c, y).copy_from_slice(&self.maps().row(n, c, y)[window.x0..window.x1]);
            });
        })
    }

    #[track_caller]
    pub(crate) fn assert_same_bits(&self, what: &str, want: &Full<T>) {
        assert_eq!(self.data.len(), want.data.len(), "{what}");
        for (i, (got, want)) in self.data.iter().zip(&want.data).enumerate() {
            assert!(got.bits() == want.bits(), "{what}: element {i} of {:?}: {got:?}, expected {want:?}", self.size);
        }
    }
}

impl Full<f32> {
    /// Numbers in −1..1.
    pub(crate) fn random(seed: u64, [batch, channels]: [usize; 2], size: [usize; 2]) -> Self {
        Self { data: numbers(seed, batch * channels * size[0] * size[1]), batch, channels, size }
    }
}

impl<T: Cell> Cut<T> {
    /// What `f` makes of the cells of `window`; it must leave the gaps alone.
    pub(crate) fn compute(
        [batch, channels]: [usize; 2],
        full: [usize; 2],
        window: Window,
        f: impl FnOnce(MapsMut<'_, T>),
    ) -> Self {
        let row = window.width() + 3;
        let plane = row * window.height() + 5;
        let layout = Layout { batch, channels, full, window, strides: [plane * channels + 7, plane, row] };
        let mut data = vec![T::JUNK; layout.span() + 9];
        f(MapsMut::with_layout(&mut data, layout));
        let mut gaps = data.clone();
        let mut rows = MapsMut::with_layout(&mut gaps, layout);
        each_row(layout, |n, c, y| rows.row_mut(n, c, y).fill(T::JUNK));
        assert!(gaps.iter().all(|x| x.bits() == T::JUNK.bits()), "wrote outside of the window {window:?}");
        Self { data, layout }
    }

    pub(crate) fn maps(&self) -> Maps<'_, T> {
        Maps::with_layout(&self.data, self.layout)
    }

    #[track_caller]
    pub(crate) fn assert_part_of(&self, what: &str, whole: &Full<T>) {
        let window = self.layout.window;
        each_row(self.layout, |n, c, y| {
            let want = &whole.maps().row(n, c, y)[window.x0..window.x1];
            for (x, (got, want)) in self.maps().row(n, c, y).iter().zip(want).enumerate() {
                let x = window.x0 + x;
                assert!(got.bits() == want.bits(), "{what}: {window:?} at {n} {c} {y} {x}: {got:?}, whole {want:?}");
            }
        });
    }
}

/// `f(n, c, y)` for every row of the window.
fn each_row(layout: Layout, mut f: impl FnMut(usize, usize, usize)) {
    let batch = if layout.window.is_empty() { 0 } else { layout.batch };
    for n in 0..batch {
        for c in 0..layout.channels {
            (layout.window.y0..layout.window.y1).for_each(|y| f(n, c, y));
        }
    }
}

/// Some window of a map, from four numbers.
pub(crate) fn some_window(size: [usize; 2], pick: [usize; 4]) -> Window {
    let (y0, x0) = (pick[0] % size[0], pick[1] % size[1]);
    Window { y0, x0, y1: y0 + 1 + pick[2] % (size[0] - y0), x1: x0 + 1 + pick[3] % (size[1] - x0) }
}

/// Every level on one thread.
pub(crate) fn levels() -> impl Iterator<Item = Cpu> {
    Level::available().into_iter().map(Cpu::single)
}

/// The same level on three threads.
pub(crate) fn threaded(cpu: &Cpu) -> Cpu {
    Cpu { level: cpu.level, threads: Threads::new(3) }
}
