//! Winograd convolution at every level and tile size, against f64 loops; windows, batches and threads bit for bit.

use proptest::prelude::*;
use switchback_kernels::conv2d::{Activation, Conv2d};
use switchback_kernels::winograd::{self, PackedWinograd, Piece, SLACK, Tile, frame, winograd, winograd_pieces};
use switchback_kernels::{Cpu, Dtype, Geometry, Level, Maps, MapsMut, Threads, Weights, Window, reference};

use crate::numbers::{assert_bits, numbers};

#[derive(Clone, Copy, Debug)]
struct Case {
    conv: Conv2d,
    batch: usize,
    size: [usize; 2],
}

/// Kernels and strides that some tile runs.
const KINDS: [(usize, usize); 11] =
    [(3, 1), (5, 1), (5, 2), (6, 2), (7, 2), (9, 3), (11, 4), (2, 1), (3, 2), (4, 1), (4, 2)];

fn conv(ins: usize, outs: usize, (kernel, stride): (usize, usize), pads: [usize; 4]) -> Conv2d {
    let geometry = Geometry { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], pads };
    Conv2d { in_channels: ins, out_channels: outs, groups: 1, geometry }
}

fn relative_error(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let square = |x: f32| f64::from(x) * f64::from(x);
    let error: f64 = got.iter().zip(want).map(|(g, w)| square(g - w)).sum();
    (error / want.iter().map(|&w| square(w)).sum::<f64>().max(1e-30)).sqrt()
}

/// What relative L2 error a tile may have, also where all results are few and small: nine points lie closer together than
/// eight, and what their products cancel to is larger.
fn most(tile: Tile) -> f64 {
    if tile.m()[0] == 7 { 5e-5 } else { 1e-5 }
}

fn run(
    cpu: &Cpu,
    packed: &PackedWinograd,
    case: &Case,
    bias: &[f32],
    relu: bool,
    x: Maps<'_>,
    window: Window,
) -> Vec<f32> {
    let outs = case.conv.out_channels;
    let mut y = vec![f32::NAN; x.batch() * outs * window.area()];
    let activation = if relu { Activation::Relu } else { Activation::None };
    let out = MapsMut::windowed(&mut y, x.batch(), outs, case.out(), window);
    winograd(cpu, &case.conv, packed, Some(bias), activation, x, out);
    y
}

impl Case {
    fn out(&self) -> [usize; 2] {
        self.conv.geometry.out_size(self.size, false).expect("fits")
    }

    fn check(&self, level: Level, tile: Tile) {
        let Case { conv, batch, size } = *self;
        let what = format!("{level} {tile:?} {self:?}");
        let (out, cpu) = (self.out(), Cpu { level, threads: Threads::new(2) });
        let w = numbers(1, conv.weights());
        let bytes: Vec<u8> = w.iter().flat_map(|x| x.to_le_bytes()).collect();
        let x = numbers(2, batch * conv.in_channels * size[0] * size[1]);
        let bias = numbers(3, conv.out_channels);
        let packed = winograd::pack(&cpu, &conv, Weights::new(&bytes, Dtype::F32), None, tile);
        let input = Maps::new(&x, batch, conv.in_channels, size);
        let full = Window::full(out);

        let y = run(&cpu, &packed, self, &bias, false, input, full);
        let want = reference::convolution::conv2d(&conv, &w, Some(&bias), &x, batch, size, out);
        let error = relative_error(&y, &want);
        assert!(error < most(tile), "{what}: relative error {error:e}");
        let relu = run(&cpu, &packed, self, &bias, true, input, full);
        assert_bits(&what, &relu, &y.iter().map(|x| x.max(0.0)).collect::<Vec<_>>());

        for threads in [1, 3] {
            let cpu = Cpu { level, threads: Threads::new(threads) };
            assert_bits(&what, &run(&cpu, &packed, self, &bias, false, input, full), &y);
        }
        let last = run(&cpu, &packed, self, &bias, false, input.image_range(batch - 1, batch), full);
        assert_bits(&what, &last, &y[y.len() - conv.out_channels * full.area()..]);

        let window = Window { y0: out[0] / 3, x0: out[1] / 4, y1: out[0] - out[0] / 5, x1: out[1] - out[1] / 3 };
        let crop = input.crop(winograd::input_window(&conv, tile, window, size));
        let part = run(&cpu, &packed, self, &bias, false, crop, window);
        let whole = Maps::new(&y, batch, conv.out_channels, out).crop(window);
        let mut cells = Vec::new();
        for n in 0..batch {
            for c in 0..conv.out_channels {
                (window.y0..window.y1).for_each(|y| cells.extend_from_slice(whole.row(n, c, y)));
            }
        }
        assert_bits(&what, &part, &cells);
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let pads = [0usize..=2, 0usize..=2, 0usize..=2, 0usize..=2];
    let kernel = proptest::sample::select(KINDS.to_vec());
    (1usize..=20, 1usize..=40, kernel, pads, 1usize..=3, [0usize..=17, 0usize..=17]).prop_map(
        |(ins, outs, kernel, pads, batch, more)| {
            let size = more.map(|n| kernel.0 + n);
            Case { conv: conv(ins, outs, kernel, pads), batch, size }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]
    #[test]
    fn random_sizes(case in cases()) {
        for level in Level::available() {
            for tile in winograd::tiles(&case.conv) {
                case.check(level, tile);
            }
        }
    }
}

/// Many tiles of few channels, cut into blocks; many channels of few tiles, shared by the threads; several kc blocks.
#[test]
fn blocks_and_shares() {
    // The last two have threads share the filters, of all images and of two or three at a time.
    let sizes = [
        (16, 33, 1, [131, 97]),
        (300, 70, 1, [7, 9]),
        (140, 20, 9, [14, 14]),
        (40, 96, 3, [4, 4]),
        (8, 192, 5, [4, 240]),
    ];
    for ((ins, outs, batch, size), kernel) in sizes
        .into_iter()
        .flat_map(|size| [KINDS[0], KINDS[1], KINDS[2], KINDS[6], KINDS[8]].map(|kernel| (size, kernel)))
    {
        let size = size.map(|n| n.max(kernel.0));
        let case = Case { conv: conv(ins, outs, kernel, [1; 4]), batch, size };
        for level in Level::available() {
            for tile in winograd::tiles(&case.conv) {
                case.check(level, tile);
            }
        }
    }
}

/// Where a tile ends beyond its map, products are left out: what stood in their place in the memory of a run before, here
/// nothing but NaN, must not be seen.
#[test]
fn what_is_left_out_is_not_read() {
    for (ins, outs, kernel, size) in
        [(20, 40, (3, 1), [14, 14]), (33, 20, (3, 1), [7, 29]), (16, 70, (3, 2), [13, 9]), (5, 16, (5, 1), [21, 6])]
    {
        let case = Case { conv: conv(ins, outs, kernel, [1; 4]), batch: 1, size };
        let (w, bias) = (numbers(1, case.conv.weights()), numbers(3, outs));
        let bytes: Vec<u8> = w.iter().flat_map(|x| x.to_le_bytes()).collect();
        let (x, nan) = (numbers(2, ins * size[0] * size[1]), vec![f32::NAN; ins * size[0] * size[1]]);
        for level in Level::available() {
            for tile in winograd::tiles(&case.conv) {
                let (cpu, full) = (Cpu::single(level), Window::full(case.out()));
                let packed = winograd::pack(&cpu, &case.conv, Weights::new(&bytes, Dtype::F32), None, tile);
                let of = |x| run(&cpu, &packed, &case, &bias, false, Maps::new(x, 1, ins, size), full);
                assert!(of(&nan).iter().any(|y| y.is_nan()));
                let want = reference::convolution::conv2d(&case.conv, &w, Some(&bias), &x, 1, size, case.out());
                let error = relative_error(&of(&x), &want);
                assert!(error < most(tile), "{level} {tile:?} {case:?}: relative error {error:e}");
            }
        }
    }
}

#[test]
fn multiplications_are_those_that_are_made() {
    let count = |tile, size| winograd::multiplications(&conv(3, 1, KINDS[0], [1; 4]), tile, size);
    assert_eq!(count(Tile::F4, [16, 16]), 3 * 24 * 24);
    assert_eq!(count(Tile::F4, [14, 13]), 3 * 23 * 23);
    assert_eq!(count(Tile::F2, [7, 8]), 3 * 15 * 16);
    assert_eq!(count(Tile::F6, [1, 1]), 3 * 7 * 7);
    assert_eq!(count(Tile::F7, [28, 13]), 3 * 36 * 17);
    assert_eq!(count(Tile::F7x4, [14, 14]), 3 * 18 * 23);
    assert_eq!(count(Tile::F4x2, [7, 7]), 3 * 11 * 15);
    // Parts of 2×2, 2×1, 1×2 and 1×1 taps: the last three have nothing at ∞ along an axis.
    let count = |size| winograd::multiplications(&conv(32, 1, (3, 2), [1; 4]), Tile::F2, size);
    assert_eq!(count([8, 8]), 32 * (12 + 8) * (12 + 8));
    assert_eq!(count([7, 7]), 32 * (11 + 8) * (11 + 8));
}

#[test]
fn empty_sums_are_the_bias() {
    for (level, kernel) in Level::available().into_iter().flat_map(|level| KINDS.map(|kernel| (level, kernel))) {
        let case = Case { conv: conv(0, 3, kernel, [1; 4]), batch: 1, size: [15, 13] };
        let full = Window::full(case.out());
        for tile in winograd::tiles(&case.conv) {
            let cpu = Cpu::single(level);
            let packed = winograd::pack(&cpu, &case.conv, Weights::new(&[], Dtype::F32), None, tile);
            let y = run(&cpu, &packed, &case, &[1.0, -2.0, 3.0], false, Maps::new(&[], 1, 0, case.size), full);
            let want = [1.0, -2.0, 3.0].map(|b| vec![b; full.area()]).concat();
            assert_bits(&format!("{level} {tile:?} {kernel:?}"), &y, &want);
        }
    }
}

#[test]
fn scales_fold_into_the_filters() {
    let case = Case { conv: conv(3, 5, (3, 1), [1; 4]), batch: 1, size: [9, 9] };
    let (w, x) = (numbers(6, case.conv.weights()), numbers(7, 3 * 81));
    let scale = [0.5, -2.0, 0.0, 4.0, 1.0];
    let bytes = |w: &[f32]| w.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let scaled: Vec<f32> = w.iter().enumerate().map(|(i, x)| x * scale[i / 27]).collect();
    for level in Level::available() {
        let cpu = Cpu::single(level);
        let pack =
            |w: &[f32], scale| winograd::pack(&cpu, &case.conv, Weights::new(&bytes(w), Dtype::F32), scale, Tile::F4);
        let run =
            |packed| run(&cpu, packed, &case, &[0.0; 5], false, Maps::new(&x, 1, 3, [9, 9]), Window::full([9, 9]));
        assert_bits(level.name(), &run(&pack(&w, Some(&scale))), &run(&pack(&scaled, None)));
    }
}

#[test]
#[should_panic(expected = "the input holds")]
fn an_absent_cell_is_a_panic() {
    let case = Case { conv: conv(1, 1, (3, 1), [1; 4]), batch: 1, size: [8, 8] };
    let cpu = Cpu::single(Level::PORTABLE);
    let packed = winograd::pack(&cpu, &case.conv, Weights::new(&[0; 36], Dtype::F32), None, Tile::F4);
    let x = [0.0; 64];
    // Enough for the outputs themselves, but not for the tile that holds them.
    let input = Maps::new(&x, 1, 1, [8, 8]).crop(Window { y0: 0, x0: 0, y1: 4, x1: 8 });
    run(&cpu, &packed, &case, &[0.0], false, input, Window { y0: 0, x0: 0, y1: 3, x1: 8 });
}

/// Pieces of a map, with the padding that they meet: each the same numbers, up to rounding, as the map's own; and the same
/// bits alone as beside others.
fn check_pieces(
    level: Level,
    (kernel, stride): (usize, usize),
    tile: Tile,
    [ins, outs]: [usize; 2],
    windows: &[Window],
) {
    let what = format!("{level} {tile:?} {kernel}×{kernel} by {stride}, {ins} → {outs}, pieces {windows:?}");
    let (pad, out) = (kernel / 2, [23, 19]);
    let size = out.map(|n| (n - 1) * stride + 1);
    let pads = [pad, pad, kernel - 1 - pad, kernel - 1 - pad];
    let case = Case { conv: conv(ins, outs, (kernel, stride), pads), batch: 1, size };
    assert_eq!(case.out(), out);
    let cpu = Cpu { level, threads: Threads::new(2) };
    let w = numbers(1, case.conv.weights());
    let bytes: Vec<u8> = w.iter().flat_map(|x| x.to_le_bytes()).collect();
    let (x, bias) = (numbers(2, ins * size[0] * size[1]), numbers(3, outs));
    let packed = winograd::pack(&cpu, &case.conv, Weights::new(&bytes, Dtype::F32), None, tile);
    let want = reference::convolution::conv2d(&case.conv, &w, Some(&bias), &x, 1, size, out);

    let (mut pieces, mut from, mut to) = (Vec::new(), Vec::new(), 0);
    for window in windows {
        let size_of_it = [window.height(), window.width()];
        pieces.push(Piece { from: from.len(), to, size: size_of_it });
        let [height, width] = frame(&case.conv, tile, size_of_it);
        for (c, y, column) in (0..ins).flat_map(|c| (0..height).flat_map(move |y| (0..width).map(move |x| (c, y, x)))) {
            let place = |first: usize, at: usize| (first * stride + at).wrapping_sub(pad);
            let (y, column) = (place(window.y0, y), place(window.x0, column));
            let inside = y < size[0] && column < size[1];
            from.push(if inside { x[(c * size[0] + y) * size[1] + column] } else { 0.0 });
        }
        to += outs * window.area();
    }
    from.extend([f32::NAN; SLACK]);
    let run = |pieces: &[Piece], len: usize| {
        let mut y = vec![f32::NAN; len];
        winograd_pieces(&cpu, &case.conv, &packed, Some(&bias), Activation::Relu, &from, pieces, &mut y);
        y
    };
    let together = run(&pieces, to);
    let mut expected = Vec::with_capacity(to);
    for (window, piece) in windows.iter().zip(&pieces) {
        let len = outs * window.area();
        let found = &together[piece.to..piece.to + len];
        assert_bits(&what, &run(&[Piece { to: 0, ..*piece }], len), found);
        let cells = (0..outs).flat_map(|o| (window.y0..window.y1).map(move |y| (o, y)));
        let rows = cells.flat_map(|(o, y)| &want[(o * out[0] + y) * out[1]..][window.x0..window.x1]);
        expected.extend(rows.map(|x| x.max(0.0)));
    }
    // Of all pieces together: a few cells of one may be small by chance.
    let error = relative_error(&together, &expected);
    assert!(error < most(tile), "{what}: relative error {error:e}");
    // Every cell for itself: what its products cancel to does not count, but their magnitudes; and since a tile's outputs
    // round with all of its inputs, the largest sum of magnitudes of the map. Transforms add what they cancel again.
    let magnitudes = |x: &[f32]| x.iter().map(|x| x.abs()).collect::<Vec<_>>();
    let sums = reference::convolution::conv2d(&case.conv, &magnitudes(&w), None, &magnitudes(&x), 1, size, out);
    let growth = match tile {
        Tile::F2 => 2.0,
        Tile::F4x2 | Tile::F4 => 32.0,
        Tile::F6 => 48.0,
        Tile::F7x4 | Tile::F7 => 128.0,
    };
    let most = growth * f32::EPSILON * sums.iter().fold(0.0f32, |most, &sum| most.max(sum));
    for (found, expected) in together.iter().zip(&expected) {
        assert!((found - expected).abs() <= most, "{what}: {found} and {expected} are more than {most:e} apart");
    }
}

#[test]
fn pieces_of_maps() {
    let window = |y0, x0, y1, x1| Window { y0, x0, y1, x1 };
    let some = [window(0, 0, 23, 19), window(5, 7, 6, 8), window(20, 3, 23, 19), window(0, 18, 11, 19)];
    // More tiles than a block has.
    let many: Vec<Window> = (0..90).map(|i| window(i % 9, i % 7, i % 9 + 7 + i % 3, i % 7 + 9)).collect();
    for level in Level::available() {
        for (kernel, tile) in KINDS.into_iter().flat_map(|k| Tile::ALL.map(|tile| (k, tile))) {
            if !winograd::can(&conv(1, 1, kernel, [0; 4]), tile) {
                continue;
            }
            for channels in [[1, 1], [5, 17], if kernel.0 <= 5 { [140, 33] } else { [33, 33] }] {
                check_pieces(level, kernel, tile, channels, &some);
            }
            check_pieces(level, kernel, tile, [33, 20], &many);
        }
    }
}
