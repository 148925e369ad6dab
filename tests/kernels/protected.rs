//! Every kernel at every level with operands that end or begin at a protected page: nothing is read or written outside, and the
//! results are those of ordinary memory.

use bytemuck::Pod;
use switchback_kernels::avg_pool2d::{avg_pool2d, avg_pool2d_backward};
use switchback_kernels::conv_pool2d::{ConvPool2d, Filters, conv_pool2d};
use switchback_kernels::conv_transpose2d::{self, can_be_sparse, conv_transpose2d, conv_transpose2d_sparse};
use switchback_kernels::conv2d::{self, Activation, Conv2d, conv2d, conv2d_add};
use switchback_kernels::gemm::{Matrix, MatrixMut, PackedA, gemm};
use switchback_kernels::global_pool::{global_avg_pool, global_max_pool};
use switchback_kernels::linear::{Changes, Linear, linear, linear_backward, linear_changes};
use switchback_kernels::lrn::{Lrn, lrn, lrn_backward};
use switchback_kernels::max_pool2d::max_pool2d;
use switchback_kernels::overlay::{Frame, overlay};
use switchback_kernels::pointwise::{Pointwise, Rectifier, add_assign, affine, pointwise, pointwise_in_place, rectify};
use switchback_kernels::softmax::{log_softmax, softmax};
use switchback_kernels::unpool2d::unpool2d;
use switchback_kernels::winograd::{self, Piece, SLACK, frame, winograd, winograd_pieces};
use switchback_kernels::{Cpu, Dtype, Geometry, Level, Maps, MapsMut, Threads, Weights, Window};

use crate::guard::{Guarded, Place};
use crate::numbers::{assert_bits, numbers};

/// Widths around those of vectors and tiles.
const WIDTHS: &[usize] = if cfg!(miri) { &[2, 9, 17] } else { &[1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 33, 49] };

/// Whether work of `cost` multiplications or so is run: Miri takes a minute where others take a millisecond.
fn runs(cost: usize) -> bool {
    !cfg!(miri) || cost <= 10_000
}

/// Where this run's operands lie, and the machine that it runs on.
struct Bench {
    place: Place,
    cpu: Cpu,
}

impl Bench {
    fn hold<T: Pod>(&self, elements: &[T]) -> Guarded<T> {
        Guarded::new(self.place, elements)
    }

    fn random(&self, seed: u64, n: usize) -> Guarded<f32> {
        self.hold(&numbers(seed, n))
    }

    fn bytes(&self, seed: u64, n: usize) -> Guarded<u8> {
        self.hold(&numbers(seed, n).iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// To be overwritten.
    fn junk(&self, n: usize) -> Guarded<f32> {
        self.hold(&vec![f32::NAN; n])
    }
}

/// Runs `kernel` on ordinary memory, then at both ends of protected memory, at every level, on one thread and three.
///
/// Miri watches each access by itself: there once, on one thread, is enough.
#[track_caller]
fn everywhere(what: &str, kernel: impl Fn(&Bench) -> Vec<f32>) {
    for level in Level::available() {
        for threads in [1, 3] {
            let run = |place| kernel(&Bench { place, cpu: Cpu { level, threads: Threads::new(threads) } });
            let plain = run(Place::Heap);
            if cfg!(miri) {
                break;
            }
            for place in [Place::End, Place::Start] {
                assert_bits(&format!("{what}, {level}, {threads} threads, {place:?}"), &run(place), &plain);
            }
        }
    }
}

#[test]
fn products() {
    for [m, k, n] in
        [[1, 1, 1], [1, 7, 5], [7, 5, 3], [13, 17, 33], [31, 64, 49], [6, 300, 16], [65, 129, 97], [97, 400, 1]]
    {
        if !runs(m * k * n) {
            continue;
        }
        for accumulate in [false, true] {
            everywhere(&format!("gemm {m}×{k}×{n}"), |bench| {
                let (a, b, mut c) = (bench.random(1, m * k), bench.random(2, k * n), bench.random(3, m * n));
                gemm(
                    &bench.cpu,
                    Matrix::new(&a, m, k),
                    Matrix::new(&b, k, n),
                    MatrixMut::new(&mut c, m, n),
                    accumulate,
                );
                c.to_vec()
            });
            // So far apart that they are packed.
            everywhere(&format!("gemm of distant rows {m}×{k}×{n}"), |bench| {
                let (a, b, mut c) =
                    (bench.random(1, (m - 1) * 1024 + k), bench.random(2, k * n), bench.random(3, m * n));
                let a = Matrix::strided(&a, [m, k], [1024, 1]);
                gemm(&bench.cpu, a, Matrix::new(&b, k, n), MatrixMut::new(&mut c, m, n), accumulate);
                c.to_vec()
            });
            everywhere(&format!("gemm of transposes {m}×{k}×{n}"), |bench| {
                let (a, b, mut c) = (bench.random(1, m * k), bench.random(2, k * n), bench.random(3, m * n));
                let (a, b) = (Matrix::new(&a, k, m).transposed(), Matrix::new(&b, n, k).transposed());
                gemm(&bench.cpu, a, b, MatrixMut::new(&mut c, m, n), accumulate);
                c.to_vec()
            });
        }
    }
}

/// Convolutions of every kind that the code tells apart.
fn convolutions() -> Vec<(Conv2d, usize, [usize; 2])> {
    let conv = |ins, outs, groups, geometry| Conv2d { in_channels: ins, out_channels: outs, groups, geometry };
    let mut all = vec![
        (conv(3, 9, 1, Geometry::square(7, 2, 1)), 2, [23, 29]),
        (conv(3, 17, 1, Geometry::square(11, 4, 2)), 1, [31, 35]),
        (conv(5, 7, 1, Geometry::square(1, 1, 0)), 2, [5, 13]),
        (conv(5, 7, 1, Geometry::square(1, 2, 0)), 1, [9, 17]),
        (conv(6, 4, 2, Geometry::square(3, 1, 1)), 2, [7, 11]),
        (conv(9, 9, 9, Geometry::square(3, 1, 1)), 1, [14, 15]),
        (conv(9, 9, 9, Geometry::square(3, 2, 1)), 1, [14, 17]),
        (conv(3, 3, 3, Geometry::square(3, 1, 0)), 1, [5, 36]),
        (conv(3, 6, 3, Geometry::square(5, 1, 2)), 1, [9, 35]),
        (conv(2, 2, 2, Geometry::square(7, 2, 3)), 1, [9, 73]),
        (conv(2, 2, 2, Geometry::square(4, 1, 2)), 1, [9, 19]),
        (conv(2, 3, 1, Geometry { kernel: [3, 2], stride: [1, 2], dilation: [2, 3], pads: [1, 0, 2, 3] }), 1, [13, 19]),
        (conv(16, 33, 1, Geometry::square(3, 1, 1)), 1, [13, 13]),
        (conv(40, 24, 1, Geometry::square(5, 1, 2)), 1, [6, 7]),
        // Few taps: straight from the rows.
        (conv(3, 15, 1, Geometry::square(3, 1, 1)), 2, [5, 62]),
        (conv(3, 8, 1, Geometry::square(3, 2, 0)), 1, [9, 95]),
        // Filters as the columns of tiles.
        (
            conv(30, 37, 1, Geometry { kernel: [6, 5], stride: [2, 3], dilation: [1, 1], pads: [1, 0, 2, 3] }),
            1,
            [9, 17],
        ),
        (conv(500, 525, 1, Geometry::square(1, 1, 0)), 1, [3, 5]),
    ];
    // The widths at which Winograd, im2col and vectors have their edges.
    all.extend(WIDTHS.iter().map(|&w| (conv(4, 8, 1, Geometry::square(3, 1, 1)), 1, [w.div_ceil(2), w])));
    all.retain(|(conv, ..)| runs(2 * conv.weights()));
    all
}

#[test]
fn convolutions_both_ways() {
    for (conv, batch, size) in convolutions() {
        let out = conv.geometry.out_size(size, false).expect("the kernel fits");
        let (large, little) = (conv.in_channels * size[0] * size[1], conv.out_channels * out[0] * out[1]);
        everywhere(&format!("{conv:?} of {size:?}"), |bench| {
            let (x, bytes) = (bench.random(1, batch * large), bench.bytes(2, conv.weights()));
            let (bias, mut y) = (bench.random(3, conv.out_channels), bench.junk(batch * little));
            let packed = conv2d::pack(&bench.cpu, &conv, Weights::new(&bytes, Dtype::F32), None);
            let (input, maps) =
                (Maps::new(&x, batch, conv.in_channels, size), MapsMut::new(&mut y, batch, conv.out_channels, out));
            conv2d(&bench.cpu, &conv, &packed, Some(&bias), Activation::Relu, input, maps);
            y.to_vec()
        });
        let window = Window { y0: out[0] / 3, x0: out[1] / 4, y1: out[0], x1: out[1] - out[1] / 5 };
        let present = conv.geometry.input_window(window, size);
        everywhere(&format!("{conv:?} of {size:?}, {window:?}"), |bench| {
            let (x, bytes) = (bench.random(1, conv.in_channels * present.area()), bench.bytes(2, conv.weights()));
            let mut y = bench.junk(conv.out_channels * window.area());
            let packed = conv2d::pack(&bench.cpu, &conv, Weights::new(&bytes, Dtype::F32), None);
            let input = Maps::windowed(&x, 1, conv.in_channels, size, present);
            let maps = MapsMut::windowed(&mut y, 1, conv.out_channels, out, window);
            conv2d(&bench.cpu, &conv, &packed, None, Activation::None, input, maps);
            y.to_vec()
        });
        everywhere(&format!("adjoint of {conv:?} of {size:?}"), |bench| {
            let (signal, bytes) = (bench.random(4, batch * little), bench.bytes(2, conv.weights()));
            let (bias, mut x) = (bench.random(5, conv.in_channels), bench.junk(batch * large));
            let packed = conv_transpose2d::pack(&bench.cpu, &conv, Weights::new(&bytes, Dtype::F32));
            let (signal, maps) = (
                Maps::new(&signal, batch, conv.out_channels, out),
                MapsMut::new(&mut x, batch, conv.in_channels, size),
            );
            conv_transpose2d(&bench.cpu, &conv, &packed, Some(&bias), signal, maps);
            x.to_vec()
        });
        if can_be_sparse(&conv) {
            everywhere(&format!("adjoint of {conv:?} of {size:?}, value by value"), |bench| {
                let (signal, bytes) = (bench.random(4, batch * little), bench.bytes(2, conv.weights()));
                let mut x = bench.junk(batch * large);
                let packed = conv_transpose2d::pack_sparse(&bench.cpu, &conv, Weights::new(&bytes, Dtype::F32));
                let signal = Maps::new(&signal, batch, conv.out_channels, out);
                let maps = MapsMut::new(&mut x, batch, conv.in_channels, size);
                conv_transpose2d_sparse(&bench.cpu, &conv, &packed, signal, maps);
                x.to_vec()
            });
        }
    }
}

#[test]
fn winograd_and_convolutions_under_pools() {
    let pool = Geometry::square(2, 2, 0);
    let sizes = WIDTHS.iter().map(|&w| (3, 5, w)).chain([(9, 17, 13), (16, 33, 31), (33, 8, 57)]);
    let kinds = [(3, 1), (5, 1), (5, 2), (7, 2), (11, 4)];
    for ((ins, outs, width), (kernel, stride)) in sizes.flat_map(|size| kinds.map(|kind| (size, kind))) {
        if !runs(ins * outs * width * kernel) {
            continue;
        }
        let geometry = Geometry::square(kernel, stride, kernel / 2);
        let conv = Conv2d { in_channels: ins, out_channels: outs, groups: 1, geometry };
        let size = [width.div_ceil(2) + 1, width + 1];
        let read = size.map(|n| (n - 1) * stride + 1);
        let pooled = pool.out_size(size, true).expect("the pool fits");
        let [large, little, least] = [(ins, read), (outs, size), (outs, pooled)].map(|(c, [h, w])| c * h * w);
        for tile in winograd::tiles(&conv) {
            everywhere(&format!("pieces by {tile:?} of {ins} → {outs} × {size:?}"), |bench| {
                let sizes = [size, [1, 1], [3, size[1]]];
                let (mut pieces, mut from, mut to) = (Vec::new(), 0, 0);
                for size in sizes {
                    pieces.push(Piece { from, to, size });
                    from += ins * frame(&conv, tile, size).iter().product::<usize>();
                    to += outs * size[0] * size[1];
                }
                let (x, bytes) = (bench.random(1, from + SLACK), bench.bytes(2, conv.weights()));
                let (bias, mut y) = (bench.random(3, outs), bench.junk(to));
                let packed = winograd::pack(&bench.cpu, &conv, Weights::new(&bytes, Dtype::F32), None, tile);
                winograd_pieces(&bench.cpu, &conv, &packed, Some(&bias), Activation::Relu, &x, &pieces, &mut y);
                y.to_vec()
            });
            everywhere(&format!("{tile:?} of {ins} → {outs} × {size:?}"), |bench| {
                let (x, bytes) = (bench.random(1, 2 * large), bench.bytes(2, conv.weights()));
                let (bias, mut y, mut z) = (bench.random(3, outs), bench.junk(2 * little), bench.junk(2 * least));
                let packed = winograd::pack(&bench.cpu, &conv, Weights::new(&bytes, Dtype::F32), None, tile);
                let input = Maps::new(&x, 2, ins, read);
                let maps = MapsMut::new(&mut y, 2, outs, size);
                winograd(&bench.cpu, &conv, &packed, Some(&bias), Activation::Relu, input, maps);
                let (filters, activation) = (Filters::Winograd(&packed), Activation::Relu);
                let work = ConvPool2d { conv, filters, bias: Some(&bias), activation, size, pool };
                conv_pool2d(&bench.cpu, &work, input, MapsMut::new(&mut z, 2, outs, pooled));
                [y.to_vec(), z.to_vec()].concat()
            });
        }
        let over = Geometry::square(3, 2, 1);
        let lapped = over.out_size(size, true).expect("the pool fits");
        everywhere(&format!("convolution of {ins} → {outs} × {size:?} under pools that overlap"), |bench| {
            let (x, bytes) = (bench.random(1, 2 * large), bench.bytes(2, conv.weights()));
            let mut z = bench.junk(2 * outs * lapped[0] * lapped[1]);
            let packed = conv2d::pack(&bench.cpu, &conv, Weights::new(&bytes, Dtype::F32), None);
            let (filters, activation) = (Filters::Gemm(&packed), Activation::Relu);
            let work = ConvPool2d { conv, filters, bias: None, activation, size, pool: over };
            let out = MapsMut::new(&mut z, 2, outs, lapped);
            conv_pool2d(&bench.cpu, &work, Maps::new(&x, 2, ins, read), out);
            z.to_vec()
        });
        everywhere(&format!("pooled convolution of {ins} → {outs} × {size:?}"), |bench| {
            let (x, bytes) = (bench.random(1, 2 * large), bench.bytes(2, conv.weights()));
            let (bias, mut y, mut z) = (bench.random(3, outs), bench.random(4, 2 * little), bench.junk(2 * least));
            let packed = conv2d::pack(&bench.cpu, &conv, Weights::new(&bytes, Dtype::F32), None);
            let input = Maps::new(&x, 2, ins, read);
            let maps = MapsMut::new(&mut y, 2, outs, size);
            conv2d_add(&bench.cpu, &conv, &packed, Some(&bias), Activation::None, input, maps);
            let (filters, activation) = (Filters::Gemm(&packed), Activation::None);
            let work = ConvPool2d { conv, filters, bias: None, activation, size, pool };
            conv_pool2d(&bench.cpu, &work, input, MapsMut::new(&mut z, 2, outs, pooled));
            [y.to_vec(), z.to_vec()].concat()
        });
    }
}

#[test]
fn fully_connected_layers() {
    for [inputs, outputs] in [[1, 1], [3, 5], [16, 8], [17, 33], [31, 70], [130, 9], [257, 65]] {
        if !runs(10 * inputs * outputs) {
            continue;
        }
        for (transposed, dtype) in [(true, Dtype::F32), (true, Dtype::F16), (false, Dtype::F32), (false, Dtype::F16)] {
            let layer = Linear { inputs, outputs, transposed };
            for batch in [1, 3, 9] {
                everywhere(&format!("{layer:?} {dtype:?} batch {batch}"), |bench| {
                    let bytes = match dtype {
                        Dtype::F32 => bench.bytes(1, inputs * outputs),
                        Dtype::F16 => bench.hold(&[0x34u8, 0x3c].repeat(inputs * outputs)),
                    };
                    let weights = Weights::new(&bytes, dtype);
                    let (x, bias, mut y) =
                        (bench.random(2, batch * inputs), bench.random(3, outputs), bench.junk(batch * outputs));
                    linear(&bench.cpu, &layer, weights, Some(&bias), Activation::Relu, &x, &mut y);
                    let (signal, mut back) = (bench.random(4, batch * outputs), bench.junk(batch * inputs));
                    linear_backward(&bench.cpu, &layer, weights, &signal, &mut back);
                    let changed: Vec<usize> = (0..inputs).filter(|i| i % 6 != 4).collect();
                    let by = PackedA::new(&bench.cpu, batch, changed.len(), |n, k| x[n * inputs + changed[k]]);
                    let mut sums = bench.random(5, batch * outputs);
                    let changes = [Changes { inputs: changed, vectors: (0..batch).collect(), by }];
                    linear_changes(&bench.cpu, &layer, weights, &changes, &mut sums);
                    [y.to_vec(), back.to_vec(), sums.to_vec()].concat()
                });
            }
        }
    }
}

#[test]
fn frames_of_maps() {
    for &width in WIDTHS {
        let size = [width.div_ceil(2) + 1, width];
        let cells = size[0] * size[1];
        for frame in [Frame { at: [0, 0], size }, Frame { at: [-1, -2], size: [size[0] + 3, size[1] + 3] }] {
            everywhere(&format!("{frame:?} of {size:?}"), |bench| {
                let (below, above) = (bench.random(1, 3 * cells), bench.random(2, 3 * (size[0] - 1)));
                let window = Window { y0: 1, x0: width / 2, y1: size[0], x1: width / 2 + 1 };
                let maps = [Maps::new(&below, 1, 3, size), Maps::windowed(&above, 1, 3, size, window)];
                let mut out = bench.junk(3 * frame.size[0] * frame.size[1]);
                overlay(&bench.cpu, maps[0], Some(maps[1]), frame, &mut out);
                out.to_vec()
            });
        }
    }
}

#[test]
fn pools_and_their_way_back() {
    let geometries =
        [Geometry::square(2, 2, 0), Geometry::square(3, 2, 0), Geometry::square(3, 2, 1), Geometry::square(3, 1, 1)];
    for geometry in geometries {
        for &width in WIDTHS {
            let size = [width.div_ceil(2) + 2, width + 2];
            let out = geometry.out_size(size, true).expect("the kernel fits");
            let [large, little] = [size, out].map(|[h, w]| 2 * 3 * h * w);
            everywhere(&format!("pools {geometry:?} of {size:?}"), |bench| {
                let cpu = &bench.cpu;
                let (x, mut y, mut switches) =
                    (bench.random(1, large), bench.junk(little), bench.hold(&vec![0u8; little]));
                let input = Maps::new(&x, 2, 3, size);
                let places = MapsMut::new(&mut switches, 2, 3, out);
                max_pool2d(cpu, &geometry, input, MapsMut::new(&mut y, 2, 3, out), Some(places));
                let (mut alone, mut back) = (bench.junk(little), bench.junk(large));
                max_pool2d(cpu, &geometry, input, MapsMut::new(&mut alone, 2, 3, out), None);
                let (signal, places) = (Maps::new(&y, 2, 3, out), Maps::new(&switches, 2, 3, out));
                unpool2d(cpu, &geometry, signal, places, MapsMut::new(&mut back, 2, 3, size));
                let (mut mean, mut spread) = (bench.junk(little), bench.junk(large));
                avg_pool2d(cpu, &geometry, true, input, MapsMut::new(&mut mean, 2, 3, out));
                avg_pool2d_backward(cpu, &geometry, true, signal, MapsMut::new(&mut spread, 2, 3, size));
                let (mut means, mut most, mut at) = (bench.junk(6), bench.junk(6), bench.hold(&[0u32; 6]));
                global_avg_pool(cpu, input, &mut means);
                global_max_pool(cpu, input, &mut most, Some(&mut at));
                let bytes = switches.iter().map(|&s| f32::from(s)).chain(at.iter().map(|&p| p as f32)).collect();
                let results: [&[f32]; 7] = [&y, &alone, &back, &mean, &spread, &means, &most];
                [results.concat(), bytes].concat()
            });
        }
    }
}

#[test]
fn normalisation() {
    for beta in [0.5, 0.75, 0.6] {
        let rule = Lrn { size: 5, alpha: 0.5, beta, k: 2.0 };
        for &width in WIDTHS {
            let (size, len) = ([3, width], 2 * 7 * 3 * width);
            everywhere(&format!("{rule:?} of {size:?}"), |bench| {
                let (x, s, mut y, mut back) =
                    (bench.random(1, len), bench.random(2, len), bench.junk(len), bench.junk(len));
                let (input, signal) = (Maps::new(&x, 2, 7, size), Maps::new(&s, 2, 7, size));
                lrn(&bench.cpu, &rule, input, MapsMut::new(&mut y, 2, 7, size));
                lrn_backward(&bench.cpu, &rule, input, signal, MapsMut::new(&mut back, 2, 7, size));
                [y.to_vec(), back.to_vec()].concat()
            });
            let window = Window { y0: 1, x0: width / 3, y1: 3, x1: width };
            everywhere(&format!("{rule:?} of {size:?}, {window:?}"), |bench| {
                let (x, mut y) = (bench.random(1, 7 * window.area()), bench.junk(7 * window.area()));
                let out = MapsMut::windowed(&mut y, 1, 7, size, window);
                lrn(&bench.cpu, &rule, Maps::windowed(&x, 1, 7, size, window), out);
                y.to_vec()
            });
        }
    }
}

#[test]
fn pointwise_layers_and_softmax() {
    for &width in WIDTHS {
        let (size, len) = ([3, width], 2 * 5 * 3 * width);
        let guided = Rectifier { positive_signal: true, by_forward: true, low: 0.0, high: f32::INFINITY, slope: 0.0 };
        everywhere(&format!("pointwise {size:?}"), |bench| {
            let cpu = &bench.cpu;
            let (x, scale, shift) = (bench.random(1, len), bench.random(2, 5), bench.random(3, 5));
            let input = Maps::new(&x, 2, 5, size);
            let mut results = Vec::new();
            for f in [Pointwise::Copy, Pointwise::Relu, Pointwise::LeakyRelu(0.1), Pointwise::Clip(-0.2, 0.3)] {
                let mut y = bench.junk(len);
                pointwise(cpu, f, input, MapsMut::new(&mut y, 2, 5, size));
                let mut same = bench.random(1, len);
                pointwise_in_place(cpu, f, MapsMut::new(&mut same, 2, 5, size));
                assert_bits("in place", &same, &y);
                results.extend_from_slice(&y);
            }
            let mut y = bench.junk(len);
            affine(cpu, &scale, Some(&shift), input, MapsMut::new(&mut y, 2, 5, size));
            add_assign(cpu, input, MapsMut::new(&mut y, 2, 5, size));
            rectify(cpu, &guided, Some(input), MapsMut::new(&mut y, 2, 5, size));
            results.extend_from_slice(&y);
            let (mut rows, mut columns) = (bench.random(4, 3 * width), bench.random(5, 2 * 7 * width));
            softmax(cpu, &mut rows, width, 1);
            log_softmax(cpu, &mut columns, 7, width);
            [results, rows.to_vec(), columns.to_vec()].concat()
        });
    }
}
