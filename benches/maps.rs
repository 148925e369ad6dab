//! Layers that memory limits, on ZFNet's first pooling (96 maps, 110×110 to 55×55) and a small map, beside the naive loops.
//! The throughput is that of the numbers read and written.

mod common;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use switchback_kernels::avg_pool2d::avg_pool2d;
use switchback_kernels::global_pool::global_avg_pool;
use switchback_kernels::lrn::{Lrn, lrn, lrn_backward};
use switchback_kernels::max_pool2d::max_pool2d;
use switchback_kernels::pointwise::{Pointwise, Rectifier, add_assign, pointwise, rectify};
use switchback_kernels::softmax::softmax;
use switchback_kernels::unpool2d::unpool2d;
use switchback_kernels::{Cpu, Geometry, Maps, MapsMut, reference};

const GEOMETRY: Geometry = Geometry::square(3, 2, 0);
const RULE: Lrn = Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 };
/// Channels and side.
const MAPS: [[usize; 2]; 2] = [[96, 110], [8, 26]];

/// Ours on every level, then the naive loop.
fn beside(
    c: &mut Criterion,
    kernel: &str,
    case: &str,
    moved: usize,
    mut ours: impl FnMut(&Cpu),
    mut naive: impl FnMut(),
) {
    let mut group: BenchmarkGroup<'_, WallTime> = c.benchmark_group(kernel);
    group.throughput(Throughput::Bytes(4 * moved as u64));
    for (name, cpu) in common::cpus() {
        group.bench_function(BenchmarkId::new(format!("ours, {name}"), case), |bench| bench.iter(|| ours(&cpu)));
    }
    group.bench_function(BenchmarkId::new("reference", case), |bench| bench.iter(&mut naive));
}

fn pools(c: &mut Criterion) {
    for [channels, side] in MAPS {
        let case = format!("{channels}x{side}x{side} 3x3/2");
        let (size, out) = ([side; 2], GEOMETRY.out_size([side; 2], true).expect("fits"));
        let (large, little) = (channels * side * side, channels * out[0] * out[1]);
        let x = common::numbers(large);
        let input = Maps::new(&x, 1, channels, size);
        let (mut y, mut z, mut switches, mut rest) =
            (vec![0.0; little], vec![0.0; little], vec![0; little], vec![0; little]);
        beside(
            c,
            "max_pool2d with switches",
            &case,
            large + little,
            |cpu| {
                let (y, s) = (MapsMut::new(&mut y, 1, channels, out), MapsMut::new(&mut switches, 1, channels, out));
                max_pool2d(cpu, &GEOMETRY, input, y, Some(s));
            },
            || {
                let (z, s) = (MapsMut::new(&mut z, 1, channels, out), MapsMut::new(&mut rest, 1, channels, out));
                reference::pooling::max_pool2d(&GEOMETRY, input, z, Some(s));
            },
        );
        beside(
            c,
            "max_pool2d",
            &case,
            large + little,
            |cpu| max_pool2d(cpu, &GEOMETRY, input, MapsMut::new(&mut y, 1, channels, out), None),
            || reference::pooling::max_pool2d(&GEOMETRY, input, MapsMut::new(&mut z, 1, channels, out), None),
        );
        let (signal, places) = (Maps::new(&y, 1, channels, out), Maps::new(&switches, 1, channels, out));
        let (mut back, mut same) = (vec![0.0; large], vec![0.0; large]);
        beside(
            c,
            "unpool2d",
            &case,
            large + little,
            |cpu| unpool2d(cpu, &GEOMETRY, signal, places, MapsMut::new(&mut back, 1, channels, size)),
            || reference::pooling::unpool2d(&GEOMETRY, signal, places, MapsMut::new(&mut same, 1, channels, size)),
        );
        let (mut y, mut z) = (vec![0.0; little], vec![0.0; little]);
        beside(
            c,
            "avg_pool2d",
            &case,
            large + little,
            |cpu| avg_pool2d(cpu, &GEOMETRY, false, input, MapsMut::new(&mut y, 1, channels, out)),
            || reference::pooling::avg_pool2d(&GEOMETRY, false, input, MapsMut::new(&mut z, 1, channels, out)),
        );
        let (mut y, mut z) = (vec![0.0; channels], vec![0.0; channels]);
        beside(
            c,
            "global_avg_pool",
            &case,
            large,
            |cpu| global_avg_pool(cpu, input, &mut y),
            || reference::pooling::global_avg_pool(input, &mut z),
        );
    }
}

fn normalisation(c: &mut Criterion) {
    for [channels, side] in [[96, 55], [8, 13]] {
        let case = format!("{channels}x{side}x{side}");
        let (size, len) = ([side; 2], channels * side * side);
        let (x, s) = (common::numbers(len), common::numbers(len));
        let (input, signal) = (Maps::new(&x, 1, channels, size), Maps::new(&s, 1, channels, size));
        let (mut y, mut z) = (vec![0.0; len], vec![0.0; len]);
        beside(
            c,
            "lrn",
            &case,
            2 * len,
            |cpu| lrn(cpu, &RULE, input, MapsMut::new(&mut y, 1, channels, size)),
            || reference::pooling::lrn(&RULE, input, MapsMut::new(&mut z, 1, channels, size)),
        );
        beside(
            c,
            "lrn_backward",
            &case,
            3 * len,
            |cpu| lrn_backward(cpu, &RULE, input, signal, MapsMut::new(&mut y, 1, channels, size)),
            || reference::pooling::lrn_backward(&RULE, input, signal, MapsMut::new(&mut z, 1, channels, size)),
        );
    }
}

fn pointwise_layers(c: &mut Criterion) {
    for [channels, side] in MAPS {
        let case = format!("{channels}x{side}x{side}");
        let (size, len) = ([side; 2], channels * side * side);
        let x = common::numbers(len);
        let input = Maps::new(&x, 1, channels, size);
        let (mut y, mut z) = (vec![0.0; len], vec![0.0f32; len]);
        beside(
            c,
            "relu",
            &case,
            2 * len,
            |cpu| pointwise(cpu, Pointwise::Relu, input, MapsMut::new(&mut y, 1, channels, size)),
            || z.iter_mut().zip(&x).for_each(|(z, &x)| *z = reference::pointwise::pointwise(Pointwise::Relu, x)),
        );
        beside(
            c,
            "add_assign",
            &case,
            3 * len,
            |cpu| add_assign(cpu, input, MapsMut::new(&mut y, 1, channels, size)),
            || z.iter_mut().zip(&x).for_each(|(z, &x)| *z += x),
        );
        let guided = Rectifier { positive_signal: true, by_forward: true, low: 0.0, high: f32::INFINITY, slope: 0.0 };
        beside(
            c,
            "rectify",
            &case,
            3 * len,
            |cpu| rectify(cpu, &guided, Some(input), MapsMut::new(&mut y, 1, channels, size)),
            || z.iter_mut().zip(&x).for_each(|(z, &x)| *z = reference::pointwise::rectify(&guided, x, *z)),
        );
    }
    let x = common::numbers(1000);
    let (mut y, mut z) = (x.clone(), x);
    beside(
        c,
        "softmax",
        "1000",
        2000,
        |cpu| softmax(cpu, &mut y, 1000, 1),
        || reference::pointwise::softmax(&mut z, 1000, 1),
    );
}

criterion_group! { name = benches; config = common::quick(); targets = pools, normalisation, pointwise_layers }
criterion_main!(benches);
