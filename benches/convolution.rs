//! Convolutions and their adjoint beside matrixmultiply on the same product (no im2col, one thread) and the naive loop.

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use switchback_kernels::conv_transpose2d::{self, conv_transpose2d};
use switchback_kernels::conv2d::{self, Activation, Conv2d, conv2d};
use switchback_kernels::winograd::{self, winograd};
use switchback_kernels::{Dtype, Geometry, Maps, MapsMut, Weights, reference};

struct Case {
    name: &'static str,
    conv: Conv2d,
    side: usize,
}

/// Channels in and out, groups, side of the map, geometry.
const fn case(name: &'static str, [ins, outs, groups]: [usize; 3], side: usize, geometry: Geometry) -> Case {
    Case { name, conv: Conv2d { in_channels: ins, out_channels: outs, groups, geometry }, side }
}

const CASES: [Case; 8] = [
    case("small 3x3", [8, 8, 1], 13, Geometry::square(3, 1, 1)),
    case("alexnet conv1 11x11/4", [3, 64, 1], 224, Geometry::square(11, 4, 2)),
    case("zfnet conv1 7x7/2", [3, 96, 1], 224, Geometry::square(7, 2, 1)),
    case("vgg16 conv1_1 3x3", [3, 64, 1], 224, Geometry::square(3, 1, 1)),
    case("vgg16 conv3_2 3x3", [256, 256, 1], 56, Geometry::square(3, 1, 1)),
    case("zfnet conv4 3x3", [384, 384, 1], 13, Geometry::square(3, 1, 1)),
    case("resnet50 1x1", [256, 64, 1], 56, Geometry::square(1, 1, 0)),
    case("depthwise 3x3", [256, 256, 256], 28, Geometry::square(3, 1, 1)),
];

/// Products up to which the naive loop is timed.
const SMALL: usize = 1 << 20;

fn convolutions(c: &mut Criterion) {
    for Case { name, conv, side } in CASES {
        let [size, out] = [[side; 2], conv.geometry.out_size([side; 2], false).expect("fits")];
        let (cells, products) = (out[0] * out[1], conv.weights() * out[0] * out[1]);
        let (x, w) = (common::numbers(conv.in_channels * side * side), common::numbers(conv.weights()));
        let bytes = common::bytes(&w);
        let mut y = vec![0.0; conv.out_channels * cells];
        let mut group = c.benchmark_group("conv2d");
        group.throughput(Throughput::Elements(2 * products as u64));
        for (cpu_name, cpu) in common::cpus() {
            let packed = conv2d::pack(&cpu, &conv, Weights::new(&bytes, Dtype::F32), None);
            group.bench_function(BenchmarkId::new(format!("ours, {cpu_name}"), name), |bench| {
                bench.iter(|| {
                    let maps = MapsMut::new(&mut y, 1, conv.out_channels, out);
                    let input = Maps::new(&x, 1, conv.in_channels, size);
                    conv2d(&cpu, &conv, &packed, None, Activation::Relu, input, maps);
                });
            });
        }
        for tile in winograd::tiles(&conv) {
            for (cpu_name, cpu) in common::cpus() {
                let packed = winograd::pack(&cpu, &conv, Weights::new(&bytes, Dtype::F32), None, tile);
                group.bench_function(BenchmarkId::new(format!("ours, Winograd {tile:?}, {cpu_name}"), name), |bench| {
                    bench.iter(|| {
                        let maps = MapsMut::new(&mut y, 1, conv.out_channels, out);
                        let input = Maps::new(&x, 1, conv.in_channels, size);
                        winograd(&cpu, &conv, &packed, None, Activation::Relu, input, maps);
                    });
                });
            }
        }
        if conv.groups == 1 {
            let columns = common::numbers(conv.taps() * cells);
            group.bench_function(BenchmarkId::new("matrixmultiply, the product alone", name), |bench| {
                bench.iter(|| common::matrixmultiply(&w, &columns, &mut y, [conv.out_channels, conv.taps(), cells]));
            });
        }
        if products < SMALL {
            group.bench_function(BenchmarkId::new("reference", name), |bench| {
                bench.iter(|| reference::convolution::conv2d(&conv, &w, None, &x, 1, size, out));
            });
        }
    }
}

fn adjoints(c: &mut Criterion) {
    for Case { name, conv, side } in CASES {
        let [size, out] = [[side; 2], conv.geometry.out_size([side; 2], false).expect("fits")];
        let products = conv.weights() * out[0] * out[1];
        let (w, signal) = (common::numbers(conv.weights()), common::numbers(conv.out_channels * out[0] * out[1]));
        let bytes = common::bytes(&w);
        let mut x = vec![0.0; conv.in_channels * side * side];
        let mut group = c.benchmark_group("conv_transpose2d");
        group.throughput(Throughput::Elements(2 * products as u64));
        for (cpu_name, cpu) in common::cpus() {
            let packed = conv_transpose2d::pack(&cpu, &conv, Weights::new(&bytes, Dtype::F32));
            group.bench_function(BenchmarkId::new(format!("ours, {cpu_name}"), name), |bench| {
                bench.iter(|| {
                    let maps = MapsMut::new(&mut x, 1, conv.in_channels, size);
                    let signal = Maps::new(&signal, 1, conv.out_channels, out);
                    conv_transpose2d(&cpu, &conv, &packed, None, signal, maps);
                });
            });
        }
        if products < SMALL {
            group.bench_function(BenchmarkId::new("reference", name), |bench| {
                bench.iter(|| reference::convolution::conv_transpose2d(&conv, &w, None, &signal, 1, size, out));
            });
        }
    }
}

criterion_group! { name = benches; config = common::quick(); targets = convolutions, adjoints }
criterion_main!(benches);
