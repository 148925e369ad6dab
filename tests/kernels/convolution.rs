//! Convolution and its adjoint over random geometries, against f64 loops; windows, batches and threads bit for bit.

use proptest::prelude::*;
use switchback_kernels::conv_transpose2d::{self, can_be_sparse, conv_transpose2d, conv_transpose2d_sparse};
use switchback_kernels::conv2d::{self, Activation, Conv2d, conv2d};
use switchback_kernels::winograd;
use switchback_kernels::{Cpu, Dtype, Geometry, Level, Maps, MapsMut, Threads, Weights, Window, reference};

use crate::numbers::{assert_bits, assert_close, dot, numbers};

#[derive(Clone, Copy, Debug)]
struct Case {
    conv: Conv2d,
    batch: usize,
    size: [usize; 2],
}

fn cases() -> impl Strategy<Value = Case> {
    let pair = |lo: usize, hi: usize| [lo..=hi, lo..=hi];
    (
        (1usize..=3, 1usize..=4, 1usize..=9, 1usize..=3),
        (pair(1, 4), pair(1, 3), pair(1, 2), [0usize..=2, 0usize..=2, 0usize..=2, 0usize..=2]),
        pair(1, 17),
    )
        .prop_filter_map(
            "the kernel must fit",
            |((groups, ins, outs, batch), (kernel, stride, dilation, pads), size)| {
                let geometry = Geometry { kernel, stride, dilation, pads };
                geometry.out_size(size, false)?;
                let conv = Conv2d { in_channels: groups * ins, out_channels: groups * outs, groups, geometry };
                Some(Case { conv, batch, size })
            },
        )
}

impl Case {
    fn out(&self) -> [usize; 2] {
        self.conv.geometry.out_size(self.size, false).expect("fits")
    }

    fn check(&self, level: Level) {
        let Case { conv, batch, size } = *self;
        let what = format!("{level} {self:?}");
        let out = self.out();
        let cpu = Cpu { level, threads: Threads::new(2) };
        let w = numbers(1, conv.weights());
        let bytes: Vec<u8> = w.iter().flat_map(|x| x.to_le_bytes()).collect();
        let weights = Weights::new(&bytes, Dtype::F32);
        let x = numbers(2, batch * conv.in_channels * size[0] * size[1]);
        let bias = numbers(3, conv.out_channels);
        let packed = conv2d::pack(&cpu, &conv, weights, None);
        let input = Maps::new(&x, batch, conv.in_channels, size);
        let cells = out[0] * out[1];
        let forward = |cpu: &Cpu, bias, act, input: Maps<'_>| {
            let mut y = vec![f32::NAN; input.batch() * conv.out_channels * cells];
            conv2d(cpu, &conv, &packed, bias, act, input, MapsMut::new(&mut y, input.batch(), conv.out_channels, out));
            y
        };
        let y = forward(&cpu, Some(&bias), Activation::None, input);
        let want = reference::convolution::conv2d(&conv, &w, Some(&bias), &x, batch, size, out);
        assert_close(&what, &y, &want, conv.taps() + 1);
        let relu = forward(&cpu, Some(&bias), Activation::Relu, input);
        assert_bits(&what, &relu, &y.iter().map(|x| x.max(0.0)).collect::<Vec<_>>());

        // On top of what is there: the same sums, begun with it.
        let before = numbers(8, y.len());
        let mut sum = before.clone();
        let maps = MapsMut::new(&mut sum, batch, conv.out_channels, out);
        conv2d::conv2d_add(&cpu, &conv, &packed, Some(&bias), Activation::Relu, input, maps);
        let want: Vec<f32> = y.iter().zip(&before).map(|(y, b)| (y + b).max(0.0)).collect();
        assert_close(&what, &sum, &want, conv.taps() + 2);

        assert_bits(&what, &forward(&Cpu::single(level), Some(&bias), Activation::None, input), &y);
        let last = forward(&cpu, Some(&bias), Activation::None, input.image_range(batch - 1, batch));
        assert_bits(&what, &last, &y[y.len() - conv.out_channels * cells..]);

        let window = Window { y0: out[0] / 3, x0: out[1] / 4, y1: out[0] - out[0] / 5, x1: out[1] - out[1] / 3 };
        let crop = input.crop(conv.geometry.input_window(window, size));
        let mut part = vec![f32::NAN; batch * conv.out_channels * window.area()];
        let maps = MapsMut::windowed(&mut part, batch, conv.out_channels, out, window);
        conv2d(&cpu, &conv, &packed, Some(&bias), Activation::None, crop, maps);
        let whole = Maps::new(&y, batch, conv.out_channels, out).crop(window);
        assert_bits(&what, &part, &cells_of(whole));

        let packed = conv_transpose2d::pack(&cpu, &conv, weights);
        let signal = numbers(4, batch * conv.out_channels * cells);
        let maps = Maps::new(&signal, batch, conv.out_channels, out);
        let back = |cpu: &Cpu, bias, signal: Maps<'_>, window: Window| {
            let mut x = vec![f32::NAN; batch * conv.in_channels * window.area()];
            let out = MapsMut::windowed(&mut x, batch, conv.in_channels, size, window);
            conv_transpose2d(cpu, &conv, &packed, bias, signal, out);
            x
        };
        let channels = numbers(5, conv.in_channels);
        let z = back(&cpu, Some(&channels), maps, Window::full(size));
        let want = reference::convolution::conv_transpose2d(&conv, &w, Some(&channels), &signal, batch, size, out);
        let taps = conv.out_channels / conv.groups * conv.geometry.kernel[0] * conv.geometry.kernel[1];
        assert_close(&what, &z, &want, taps + 1);
        assert_bits(&what, &back(&Cpu::single(level), Some(&channels), maps, Window::full(size)), &z);

        let part = Window { y0: size[0] / 4, x0: size[1] / 3, y1: size[0] - size[0] / 3, x1: size[1] - size[1] / 5 };
        let whole = Maps::new(&z, batch, conv.in_channels, size).crop(part);
        assert_bits(&what, &back(&cpu, Some(&channels), maps, part), &cells_of(whole));
        // A signal that is absent is zero.
        let mut zeroed = vec![0.0; signal.len()];
        for n in 0..batch {
            for c in 0..conv.out_channels {
                for y in window.y0..window.y1 {
                    let start = ((n * conv.out_channels + c) * out[0] + y) * out[1];
                    zeroed[start + window.x0..start + window.x1]
                        .copy_from_slice(&signal[start + window.x0..start + window.x1]);
                }
            }
        }
        let absent = back(&cpu, None, maps.crop(window), Window::full(size));
        let zeros = back(&cpu, None, Maps::new(&zeroed, batch, conv.out_channels, out), Window::full(size));
        assert_close(&what, &absent, &zeros, 1);

        let plain = forward(&cpu, None, Activation::None, input);
        let gradient = back(&cpu, None, maps, Window::full(size));
        let (up, down) = (dot(&plain, &signal), dot(&x, &gradient));
        assert!((up - down).abs() < 1e-5 * (signal.len() * conv.taps()) as f64 + 1e-5, "{what}: {up} and {down}");
    }
}

/// The way back of `conv` from a signal that is mostly zero, value by value and turned to Winograd's, against the naive
/// loop; windows of the result and of the signal, and threads bit for bit.
fn check_sparse(level: Level, Case { conv, batch, size }: Case) {
    let out = conv.geometry.out_size(size, false).expect("fits");
    let what = format!("{level}, a sparse signal of {conv:?}, {batch} × {size:?}");
    let cpu = Cpu { level, threads: Threads::new(2) };
    let w = numbers(11, conv.weights());
    let bytes: Vec<u8> = w.iter().flat_map(|x| x.to_le_bytes()).collect();
    let weights = Weights::new(&bytes, Dtype::F32);
    // One number in five; no number at all in the first row and beyond the last column but one.
    let at = |i: usize| (i / out[1] % out[0], i % out[1]);
    let mut signal = numbers(12, batch * conv.out_channels * out[0] * out[1]);
    for (i, x) in signal.iter_mut().enumerate() {
        let (row, column) = at(i);
        if i * 7 % 5 != 0 || row == 0 || column + 1 == out[1] {
            *x = 0.0;
        }
    }
    let maps = Maps::new(&signal, batch, conv.out_channels, out);
    let inner = Window { y0: 1.min(out[0]), x0: 0, y1: out[0], x1: out[1] - 1 };
    let part = Window { y0: size[0] / 4, x0: size[1] / 3, y1: size[0] - size[0] / 3, x1: size[1] - size[1] / 5 };
    let want = reference::convolution::conv_transpose2d(&conv, &w, None, &signal, batch, size, out);
    let terms = conv.out_channels / conv.groups * conv.geometry.kernel[0] * conv.geometry.kernel[1];
    let exact = terms;
    let check = |what: &str, terms: usize, run: &dyn Fn(&Cpu, Maps<'_>, MapsMut<'_>)| {
        let back = |cpu: &Cpu, signal: Maps<'_>, window: Window| {
            let mut x = vec![f32::NAN; batch * conv.in_channels * window.area()];
            run(cpu, signal, MapsMut::windowed(&mut x, batch, conv.in_channels, size, window));
            x
        };
        let whole = back(&cpu, maps, Window::full(size));
        assert_close(what, &whole, &want, terms);
        assert_bits(what, &back(&Cpu::single(level), maps, Window::full(size)), &whole);
        let some = Maps::new(&whole, batch, conv.in_channels, size).crop(part);
        assert_bits(what, &back(&cpu, maps, part), &cells_of(some));
        // What a cut signal does not reach is exactly zero; in a tile of the whole signal it may be zero up to rounding.
        let cut = back(&cpu, maps.crop(inner), Window::full(size));
        let same =
            |(a, b): (&f32, &f32)| a == b || (terms > exact && *a == 0.0 && b.abs() < terms as f32 * f32::EPSILON);
        assert!(cut.iter().zip(&whole).all(same), "{what}: {cut:?} and {whole:?}");
    };
    if can_be_sparse(&conv) {
        let packed = conv_transpose2d::pack_sparse(&cpu, &conv, weights);
        assert!(packed.bytes() >= 4 * w.len());
        check(&what, terms, &|cpu, signal, out| conv_transpose2d_sparse(cpu, &conv, &packed, signal, out));
    }
    for tile in winograd::tiles(&conv).filter(|_| conv.geometry.stride == [1, 1]) {
        let packed = conv_transpose2d::pack_winograd(&cpu, &conv, weights, tile);
        let run = |cpu: &Cpu, signal: Maps<'_>, out: MapsMut<'_>| {
            conv_transpose2d(cpu, &conv, &packed, None, signal, out);
        };
        check(&format!("{what}, {tile:?}"), 64 * terms, &run);
    }
}

fn cells_of(maps: Maps<'_>) -> Vec<f32> {
    let w = maps.window();
    let mut cells = Vec::new();
    for n in 0..maps.batch() {
        for c in 0..maps.channels() {
            (w.y0..w.y1).for_each(|y| cells.extend_from_slice(maps.row(n, c, y)));
        }
    }
    cells
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]
    #[test]
    fn random_geometries(case in cases()) {
        for level in Level::available() {
            case.check(level);
            check_sparse(level, case);
        }
    }
}

#[test]
fn layers_of_real_networks() {
    let conv = |ins, outs, groups, geometry| Conv2d { in_channels: ins, out_channels: outs, groups, geometry };
    for (conv, batch, size) in [
        (conv(3, 64, 1, Geometry::square(3, 2, 0)), 1, [45, 47]),
        (conv(3, 96, 1, Geometry::square(7, 2, 1)), 2, [40, 40]),
        (conv(64, 16, 1, Geometry::square(1, 1, 0)), 2, [27, 27]),
        (conv(48, 64, 1, Geometry::square(3, 1, 1)), 1, [13, 13]),
        (conv(24, 24, 24, Geometry::square(3, 1, 1)), 2, [14, 14]),
        (conv(32, 32, 2, Geometry::square(5, 1, 2)), 1, [13, 13]),
        // The last cells do not fill a vector.
        (conv(90, 30, 1, Geometry::square(1, 1, 0)), 1, [13, 13]),
        (conv(200, 45, 1, Geometry::square(1, 1, 0)), 3, [7, 7]),
        (conv(100, 29, 1, Geometry::square(1, 2, 0)), 2, [27, 28]),
        // Few taps, rows that fill their vectors: straight from the rows.
        (conv(3, 33, 1, Geometry::square(3, 1, 1)), 2, [9, 63]),
        (conv(3, 14, 1, Geometry::square(3, 2, 0)), 1, [29, 133]),
        (conv(1, 5, 1, Geometry { kernel: [5, 3], stride: [2, 3], dilation: [1, 2], pads: [1, 0, 2, 3] }), 3, [11, 95]),
        (conv(4, 20, 1, Geometry { kernel: [2, 2], stride: [1, 2], dilation: [2, 1], pads: [0, 3, 1, 0] }), 1, [7, 90]),
        // Weights outweigh cells: filters are the columns of tiles.
        (conv(64, 67, 1, Geometry::square(3, 1, 1)), 2, [7, 9]),
        (
            conv(96, 80, 2, Geometry { kernel: [5, 3], stride: [2, 1], dilation: [1, 2], pads: [1, 2, 0, 3] }),
            3,
            [13, 5],
        ),
        // And the cells are read where they are: of one picture, but not of two, nor where they push each other out of a cache.
        (conv(800, 330, 1, Geometry::square(1, 1, 0)), 1, [7, 7]),
        (conv(800, 330, 1, Geometry::square(1, 1, 0)), 2, [5, 4]),
        (conv(769, 342, 1, Geometry::square(1, 1, 0)), 1, [32, 32]),
        // Of few single taps filters are the rows of tiles, though weights outweigh cells.
        (conv(512, 520, 1, Geometry::square(1, 1, 0)), 1, [7, 7]),
        (conv(513, 513, 1, Geometry::square(1, 2, 0)), 2, [5, 6]),
    ] {
        for level in Level::available() {
            Case { conv, batch, size }.check(level);
            check_sparse(level, Case { conv, batch, size });
        }
    }
}

/// Maps wider and higher than a block, narrower than a vector, more than fit in a chunk; filters that share a map.
#[test]
fn depthwise() {
    let conv =
        |maps, filters, geometry| Conv2d { in_channels: maps, out_channels: maps * filters, groups: maps, geometry };
    let odd = Geometry { kernel: [3, 4], stride: [1, 3], dilation: [2, 1], pads: [2, 0, 1, 3] };
    for (conv, batch, size) in [
        (conv(3, 1, Geometry::square(3, 1, 1)), 2, [40, 83]),
        (conv(5, 2, Geometry::square(3, 2, 1)), 1, [41, 60]),
        (conv(2, 1, Geometry::square(7, 1, 3)), 1, [21, 131]),
        (conv(2, 1, Geometry::square(9, 1, 4)), 1, [21, 131]),
        (conv(300, 1, Geometry::square(3, 1, 1)), 2, [9, 14]),
        (conv(4, 3, odd), 2, [19, 75]),
        (conv(6, 1, Geometry::square(1, 2, 0)), 1, [9, 9]),
    ] {
        assert!(conv.is_depthwise());
        for level in Level::available() {
            Case { conv, batch, size }.check(level);
        }
    }
}

/// Strips of one and two vectors at every border that they can have; pads that differ, as wide as a map and absent.
#[test]
fn depthwise_at_every_border() {
    let widths = (1..=20).chain([31, 32, 33, 34, 35, 47, 48, 49, 64, 65, 66]);
    for ((kernel, stride), width) in
        [3, 5, 7].into_iter().flat_map(|k| [(k, 1), (k, 2)]).flat_map(|kind| widths.clone().map(move |w| (kind, w)))
    {
        let near = kernel / 2;
        for pads in [[near; 4], [0, 1, kernel - 1, 2], [kernel, kernel - 1, 0, 0], [0, 0, kernel, kernel + 1]] {
            let geometry = Geometry { kernel: [kernel; 2], stride: [stride; 2], dilation: [1, 1], pads };
            let size = [kernel - 1 + width % 4, width];
            if geometry.out_size(size, false).is_none() {
                continue;
            }
            let conv = Conv2d { in_channels: 2, out_channels: 4, groups: 2, geometry };
            for level in Level::available() {
                Case { conv, batch: 2, size }.check(level);
            }
        }
    }
}

#[test]
fn scales_fold_into_the_filters() {
    let conv = Conv2d { in_channels: 2, out_channels: 3, groups: 1, geometry: Geometry::square(3, 1, 1) };
    let w = numbers(6, conv.weights());
    let scale = [0.5, -2.0, 0.0];
    let bytes = |w: &[f32]| w.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let scaled: Vec<f32> = w.iter().enumerate().map(|(i, x)| x * scale[i / conv.taps()]).collect();
    let x = numbers(7, 2 * 36);
    for level in Level::available() {
        let cpu = Cpu::single(level);
        let run = |packed: &conv2d::PackedConv2d| {
            let mut y = vec![0.0; 3 * 36];
            let maps = MapsMut::new(&mut y, 1, 3, [6, 6]);
            conv2d(&cpu, &conv, packed, None, Activation::None, Maps::new(&x, 1, 2, [6, 6]), maps);
            y
        };
        let folded = conv2d::pack(&cpu, &conv, Weights::new(&bytes(&w), Dtype::F32), Some(&scale));
        let plain = conv2d::pack(&cpu, &conv, Weights::new(&bytes(&scaled), Dtype::F32), None);
        assert_bits(level.name(), &run(&folded), &run(&plain));
    }
}

/// NaN stays NaN under ReLU and reaches its neighbours alone; infinities stay where nothing cuts them off.
#[test]
fn depthwise_of_what_is_no_number() {
    let (x0, inf) = (f32::NAN, f32::INFINITY);
    for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (4, 1)] {
        let geometry = Geometry::square(kernel, stride, kernel / 2);
        let conv = Conv2d { in_channels: 2, out_channels: 2, groups: 2, geometry };
        for width in [7, 21] {
            let out = geometry.out_size([6, width], false).expect("fits");
            let mut x = vec![-0.0; 2 * 6 * width];
            (x[2 * width + 3], x[6 * width + 3 * width + 5]) = (x0, -inf);
            let weights: Vec<u8> = vec![1.0f32; conv.weights()].iter().flat_map(|w| w.to_le_bytes()).collect();
            for level in Level::available() {
                let cpu = Cpu::single(level);
                let packed = conv2d::pack(&cpu, &conv, Weights::new(&weights, Dtype::F32), None);
                for activation in [Activation::None, Activation::Relu] {
                    let mut y = vec![9.0; 2 * out[0] * out[1]];
                    let input = Maps::new(&x, 1, 2, [6, width]);
                    conv2d(&cpu, &conv, &packed, None, activation, input, MapsMut::new(&mut y, 1, 2, out));
                    let near = |at: usize, to: usize| (at * stride..at * stride + kernel).contains(&(to + kernel / 2));
                    for (i, got) in y.iter().enumerate() {
                        let (c, oy, ox) = (i / (out[0] * out[1]), i / out[1] % out[0], i % out[1]);
                        let special = if c == 0 { near(oy, 2) && near(ox, 3) } else { near(oy, 3) && near(ox, 5) };
                        let what = format!("{level} {kernel} {stride} {width} {activation:?} {c} {oy} {ox}: {got}");
                        match (special, c, activation) {
                            (false, ..) | (true, 1, Activation::Relu) => assert_eq!(*got, 0.0, "{what}"),
                            (true, 0, _) => assert!(got.is_nan(), "{what}"),
                            _ => assert_eq!(*got, -inf, "{what}"),
                        }
                    }
                }
            }
        }
    }
}

const MAP: Geometry = Geometry::square(3, 1, 1);

#[test]
#[should_panic(expected = "the input holds")]
fn an_absent_cell_is_a_panic() {
    absent_cells(1, MAP, Window { y0: 1, x0: 0, y1: 6, x1: 6 }, false);
}

#[test]
#[should_panic(expected = "the input holds")]
fn an_absent_cell_of_a_map_alone_is_a_panic() {
    absent_cells(2, MAP, Window { y0: 1, x0: 0, y1: 6, x1: 6 }, false);
}

#[test]
#[should_panic(expected = "the input holds")]
fn an_absent_column_of_a_map_alone_is_a_panic() {
    absent_cells(2, MAP, Window { y0: 0, x0: 0, y1: 6, x1: 5 }, true);
}

#[test]
#[should_panic(expected = "the input holds")]
fn an_absent_cell_of_a_map_that_is_copied_is_a_panic() {
    absent_cells(2, Geometry::square(4, 1, 1), Window { y0: 0, x0: 0, y1: 5, x1: 6 }, false);
}

/// Each output asks for cells of which only `present` are there.
fn absent_cells(groups: usize, geometry: Geometry, present: Window, add: bool) {
    let conv = Conv2d { in_channels: groups, out_channels: groups, groups, geometry };
    let cpu = Cpu::single(Level::PORTABLE);
    let out = geometry.out_size([6, 6], false).expect("fits");
    let packed = conv2d::pack(&cpu, &conv, Weights::new(&vec![0; 4 * conv.weights()], Dtype::F32), None);
    let x = vec![0.0; 36 * groups];
    let input = Maps::new(&x, 1, groups, [6, 6]).crop(present);
    let mut y = vec![0.0; out[0] * out[1] * groups];
    let run = if add { conv2d::conv2d_add } else { conv2d };
    run(&cpu, &conv, &packed, None, Activation::None, input, MapsMut::new(&mut y, 1, groups, out));
}
