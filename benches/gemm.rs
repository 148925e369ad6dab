//! Matrix products beside matrixmultiply (one thread) and, where that ends, the naive loop.

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use switchback_kernels::gemm::{Matrix, MatrixMut, PackedA, gemm, gemm_packed};
use switchback_kernels::reference;

/// m, k, n: a cube, then AlexNet's and VGG-16's convolutions as products.
const SHAPES: [[usize; 3]; 6] =
    [[64, 64, 64], [512, 512, 512], [96, 363, 3025], [384, 2304, 169], [64, 576, 12544], [512, 4608, 196]];

fn products(c: &mut Criterion) {
    for [m, k, n] in SHAPES {
        let mut group = c.benchmark_group("gemm");
        group.throughput(Throughput::Elements((2 * m * k * n) as u64));
        let shape = format!("{m}x{k}x{n}");
        let (a, b, mut out) = (common::numbers(m * k), common::numbers(k * n), vec![0.0; m * n]);
        for (name, cpu) in common::cpus() {
            group.bench_function(BenchmarkId::new(format!("ours, {name}"), &shape), |bench| {
                let (a, b) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
                bench.iter(|| gemm(&cpu, a, b, MatrixMut::new(&mut out, m, n), false));
            });
            let packed = PackedA::new(&cpu, m, k, |i, p| a[i * k + p]);
            group.bench_function(BenchmarkId::new(format!("ours, A packed before, {name}"), &shape), |bench| {
                bench.iter(|| gemm_packed(&cpu, &packed, Matrix::new(&b, k, n), MatrixMut::new(&mut out, m, n), false));
            });
        }
        group.bench_function(BenchmarkId::new("matrixmultiply", &shape), |bench| {
            bench.iter(|| common::matrixmultiply(&a, &b, &mut out, [m, k, n]));
        });
        if m * k * n < 1 << 20 {
            group.bench_function(BenchmarkId::new("reference", &shape), |bench| {
                bench.iter(|| reference::convolution::gemm(&a, &b, [m, k, n]));
            });
        }
    }
}

criterion_group! { name = benches; config = common::quick(); targets = products }
criterion_main!(benches);
