//! Fully connected layers from bytes, f32 and f16, beside matrixmultiply and the naive loop. The throughput is that of
//! the weights: at batch 1 memory is the limit.

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use switchback_kernels::conv2d::Activation;
use switchback_kernels::linear::{Linear, linear, linear_backward};
use switchback_kernels::{Dtype, Weights, reference};

/// Inputs, outputs, batch: small, AlexNet's last, AlexNet's first.
const SHAPES: [[usize; 3]; 5] = [[256, 256, 1], [4096, 1000, 1], [9216, 4096, 1], [4096, 1000, 8], [9216, 4096, 8]];

fn layers(c: &mut Criterion) {
    for [inputs, outputs, batch] in SHAPES {
        let layer = Linear { inputs, outputs, transposed: true };
        let w = common::numbers(inputs * outputs);
        // 1.0, 0.5 and 0.25 of both signs, as half floats.
        let halves: Vec<u8> = (0..w.len()).flat_map(|i| [0x3c00u16, 0xb800, 0x3400][i % 3].to_le_bytes()).collect();
        let singles = common::bytes(&w);
        let (x, mut y) = (common::numbers(batch * inputs), vec![0.0; batch * outputs]);
        let shape = format!("{inputs}-{outputs} batch {batch}");
        for (dtype, bytes) in [(Dtype::F32, &singles), (Dtype::F16, &halves)] {
            let weights = Weights::new(bytes, dtype);
            let mut group = c.benchmark_group(format!("linear {dtype:?}"));
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            for (name, cpu) in common::cpus() {
                group.bench_function(BenchmarkId::new(format!("ours, {name}"), &shape), |bench| {
                    bench.iter(|| linear(&cpu, &layer, weights, None, Activation::None, &x, &mut y));
                });
                let (signal, mut back) = (common::numbers(batch * outputs), vec![0.0; batch * inputs]);
                group.bench_function(BenchmarkId::new(format!("ours, way back, {name}"), &shape), |bench| {
                    bench.iter(|| linear_backward(&cpu, &layer, weights, &signal, &mut back));
                });
            }
        }
        let mut group = c.benchmark_group("linear F32");
        group.throughput(Throughput::Bytes(singles.len() as u64));
        let columns = common::numbers(inputs * batch);
        group.bench_function(BenchmarkId::new("matrixmultiply", &shape), |bench| {
            bench.iter(|| common::matrixmultiply(&w, &columns, &mut y, [outputs, inputs, batch]));
        });
        if w.len() * batch < 1 << 20 {
            group.bench_function(BenchmarkId::new("reference", &shape), |bench| {
                bench.iter(|| reference::convolution::linear(&layer, &w, None, &x));
            });
        }
    }
}

criterion_group! { name = benches; config = common::quick(); targets = layers }
criterion_main!(benches);
