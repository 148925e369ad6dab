//! GEMM around tile edges and kc blocks, against f64 loops and against matrixmultiply.

use switchback_kernels::gemm::{Matrix, MatrixMut, PackedA, gemm, gemm_packed};
use switchback_kernels::{Cpu, Level, Threads, reference};

use crate::numbers::{assert_bits, assert_close, numbers};

fn product(cpu: &Cpu, a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) -> Vec<f32> {
    let mut c = vec![f32::NAN; m * n];
    gemm(cpu, Matrix::new(a, m, k), Matrix::new(b, k, n), MatrixMut::new(&mut c, m, n), false);
    c
}

#[test]
fn shapes_around_the_tiles() {
    for level in Level::available() {
        let cpu = Cpu { level, threads: Threads::new(2) };
        for m in [1, 2, 3, 5, 6, 7, 13, 14, 15, 28, 29] {
            for n in [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65, 169] {
                for k in [1, 2, 9, 27, 90] {
                    let (a, b) = (numbers(1, m * k), numbers(2, k * n));
                    let want = reference::convolution::gemm(&a, &b, [m, k, n]);
                    assert_close(&format!("{level} {m}×{k}×{n}"), &product(&cpu, &a, &b, [m, k, n]), &want, k);
                }
            }
        }
    }
}

#[test]
fn long_sums_cross_the_blocks() {
    for level in Level::available() {
        let cpu = Cpu { level, threads: Threads::new(2) };
        for k in [383, 384, 385, 768, 769, 2304] {
            let [m, n] = [17, 37];
            let (a, b) = (numbers(3, m * k), numbers(4, k * n));
            let want = reference::convolution::gemm(&a, &b, [m, k, n]);
            assert_close(&format!("{level} k = {k}"), &product(&cpu, &a, &b, [m, k, n]), &want, k);
        }
    }
}

#[test]
fn many_panels_and_blocks() {
    for level in Level::available() {
        let one = Cpu { level, threads: Threads::new(1) };
        let two = Cpu { level, threads: Threads::new(2) };
        for [m, k, n] in [
            [43, 1700, 333],
            [60, 64, 530],
            [230, 300, 290],
            [1200, 20, 150],
            [250, 700, 130],
            [45, 90, 2048],
            [300, 3600, 97],
        ] {
            let (a, b) = (numbers(7, m * k), numbers(8, k * n));
            let want = reference::convolution::gemm(&a, &b, [m, k, n]);
            let found = product(&one, &a, &b, [m, k, n]);
            assert_close(&format!("{level} {m}×{k}×{n}"), &found, &want, k);
            assert_bits(&format!("{level} {m}×{k}×{n} on 2 threads"), &product(&two, &a, &b, [m, k, n]), &found);
        }
    }
}

#[test]
fn agrees_with_matrixmultiply() {
    let [m, k, n] = [96, 147, 1210];
    let (a, b) = (numbers(5, m * k), numbers(6, k * n));
    let mut want = vec![0.0f32; m * n];
    // SAFETY: the three matrices are row-major and have exactly these sizes.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            a.as_ptr(),
            k as isize,
            1,
            b.as_ptr(),
            n as isize,
            1,
            0.0,
            want.as_mut_ptr(),
            n as isize,
            1,
        );
    }
    for level in Level::available() {
        assert_close(level.name(), &product(&Cpu { level, threads: Threads::new(2) }, &a, &b, [m, k, n]), &want, k);
    }
}

#[test]
fn strides_and_accumulation() {
    let [m, k, n] = [19, 400, 45];
    for level in Level::available() {
        let cpu = Cpu { level, threads: Threads::new(2) };
        // A transposed, B transposed, C with gaps that nobody may touch.
        let (a, b) = (numbers(7, k * m), numbers(8, n * k));
        let mut at = vec![0.0; m * k];
        let mut bt = vec![0.0; k * n];
        for p in 0..k {
            (0..m).for_each(|i| at[i * k + p] = a[p * m + i]);
            (0..n).for_each(|j| bt[p * n + j] = b[j * k + p]);
        }
        let stride = n + 3;
        let mut c = vec![0.5; m * stride];
        let (a, b) = (Matrix::new(&a, k, m).transposed(), Matrix::new(&b, n, k).transposed());
        gemm(&cpu, a, b, MatrixMut::strided(&mut c, [m, n], stride), true);
        let want = reference::convolution::gemm(&at, &bt, [m, k, n]);
        for (i, row) in c.chunks(stride).enumerate() {
            let want: Vec<f32> = want[i * n..(i + 1) * n].iter().map(|x| x + 0.5).collect();
            assert_close(&format!("{level} row {i}"), &row[..n], &want, k);
            assert_eq!(row[n..], [0.5; 3], "{level}: the gap of row {i}");
        }
    }
}

#[test]
fn however_a_is_read_the_bits_are_the_same() {
    for level in Level::available() {
        let cpu = Cpu { level, threads: Threads::new(2) };
        for [m, k] in [[1, 1], [3, 7], [13, 8], [14, 9], [29, 27], [31, 97], [45, 801]] {
            let n = 21;
            let b = numbers(12, k * n);
            // Row-major without gaps and with, so far apart that rows would push each other out of the cache, transposed, and
            // with gaps along both.
            for strides in [[k, 1], [k + 5, 1], [2048, 1], [1, m], [2 * k, 2]] {
                let span = (m - 1) * strides[0] + (k - 1) * strides[1] + 1;
                let a = numbers(13, span);
                let mut found = vec![f32::NAN; m * n];
                // What the call before has left in its memory must not be read.
                let before = vec![f32::NAN; 60 * 900];
                gemm(
                    &cpu,
                    // Which no product reads where it lies.
                    Matrix::new(&before, 900, 60).transposed(),
                    Matrix::new(&before, 900, 1),
                    MatrixMut::new(&mut [0.0; 60], 60, 1),
                    false,
                );
                let (matrix, columns) = (Matrix::strided(&a, [m, k], strides), Matrix::new(&b, k, n));
                gemm(&cpu, matrix, columns, MatrixMut::new(&mut found, m, n), false);
                let mut want = vec![f32::NAN; m * n];
                let packed = PackedA::new(&cpu, m, k, |i, p| a[i * strides[0] + p * strides[1]]);
                gemm_packed(&cpu, &packed, columns, MatrixMut::new(&mut want, m, n), false);
                assert_bits(&format!("{level} {m}×{k}, strides {strides:?}"), &found, &want);
                assert!(found.iter().all(|x| x.is_finite()));
            }
        }
    }
}

#[test]
fn threads_give_the_same_bits() {
    let [m, k, n] = [130, 500, 700];
    let (a, b) = (numbers(9, m * k), numbers(10, k * n));
    for level in Level::available() {
        let one = product(&Cpu::single(level), &a, &b, [m, k, n]);
        for threads in [2, 3, 5] {
            let many = product(&Cpu { level, threads: Threads::new(threads) }, &a, &b, [m, k, n]);
            assert_bits(&format!("{level}, {threads} threads"), &many, &one);
        }
        // An element does not know how large the matrix around it is.
        let small = product(&Cpu::single(level), &a[..3 * k], &b, [3, k, n]);
        assert_bits(level.name(), &small, &one[..3 * n]);
    }
}

#[test]
fn one_row_has_any_stride() {
    let (a, b) = (numbers(14, 40), numbers(15, 40 * 9));
    for level in Level::available() {
        let (cpu, mut c) = (Cpu::single(level), [f32::NAN; 9]);
        let row = Matrix::strided(&a, [1, 40], [usize::MAX, 1]);
        gemm(&cpu, row, Matrix::new(&b, 40, 9), MatrixMut::new(&mut c, 1, 9), false);
        assert_bits(level.name(), &c, &product(&cpu, &a, &b, [1, 40, 9]));
    }
}

#[test]
fn empty_sums_are_zero() {
    for level in Level::available() {
        let mut c = [f32::NAN; 6];
        let (a, b) = (Matrix::strided(&[], [3, 0], [5, 1]), Matrix::new(&[], 0, 2));
        gemm(&Cpu::single(level), a, b, MatrixMut::new(&mut c, 3, 2), false);
        assert_eq!(c, [0.0; 6], "{level}");
    }
}

#[test]
fn empty_sums_of_more_rows_than_are_taken_at_once_are_zero() {
    const ROWS: usize = if cfg!(miri) { 3_000 } else { 140_000 };
    for level in Level::available() {
        let mut c = vec![f32::NAN; ROWS * 8];
        let (a, b) = (Matrix::new(&[], ROWS, 0), Matrix::new(&[], 0, 8));
        gemm(&Cpu::single(level), a, b, MatrixMut::new(&mut c, ROWS, 8), false);
        assert!(c.iter().all(|&x| x == 0.0), "{level}");
    }
}

#[test]
#[should_panic(expected = "the last element is number")]
fn rows_further_apart_than_memory_are_refused() {
    Matrix::strided(&[0.0; 4], [3, 2], [1 << (usize::BITS - 1), 1]);
}

#[test]
#[should_panic(expected = "a matrix of")]
fn rows_to_be_written_further_apart_than_memory_are_refused() {
    MatrixMut::strided(&mut [0.0; 4], [3, 2], 1 << (usize::BITS - 1));
}
