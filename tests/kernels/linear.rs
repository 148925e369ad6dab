//! Fully connected layers in both layouts and types, at odd byte offsets, against f64 loops.

use switchback_kernels::conv2d::Activation;
use switchback_kernels::gemm::PackedA;
use switchback_kernels::half::{f32_to_f16, to_f16};
use switchback_kernels::linear::{Changes, Linear, linear, linear_backward, linear_changes};
use switchback_kernels::view::f16_to_f32;
use switchback_kernels::{Cpu, Dtype, Level, Threads, Weights, reference};

use crate::numbers::{assert_bits, assert_close, dot, numbers};

/// Half floats of both signs between 2⁻⁴ and 1, as bytes and widened.
fn halves(seed: u64, n: usize) -> (Vec<u8>, Vec<f32>) {
    let bits: Vec<u16> = numbers(seed, n)
        .iter()
        .map(|x| if *x < 0.0 { 0x8000 } else { 0 } | (0x2c00 + (x.abs() * 4095.0) as u16))
        .collect();
    (bits.iter().flat_map(|b| b.to_le_bytes()).collect(), bits.iter().map(|&b| f16_to_f32(b)).collect())
}

/// `n` weights, one byte in, as nothing is aligned in a file, and widened.
fn shifted(dtype: Dtype, n: usize) -> (Vec<u8>, Vec<f32>) {
    let (bytes, w) = match dtype {
        Dtype::F32 => {
            let w = numbers(1, n);
            (w.iter().flat_map(|x| x.to_le_bytes()).collect(), w)
        }
        Dtype::F16 => halves(2, n),
    };
    ([vec![0xff], bytes].concat(), w)
}

/// Parts of the inputs, each in some of the vectors, on top of what is there; every vector alone gives the same bits.
#[test]
fn changed_columns() {
    for level in Level::available() {
        let cpu = Cpu { level, threads: Threads::new(2) };
        for (inputs, outputs) in [(1, 1), (3, 5), (31, 70), (130, 9), (600, 65), (70, 530)] {
            for (transposed, dtype) in
                [(true, Dtype::F32), (true, Dtype::F16), (false, Dtype::F32), (false, Dtype::F16)]
            {
                let l = Linear { inputs, outputs, transposed };
                let (shifted, w) = shifted(dtype, inputs * outputs);
                let weights = Weights::new(&shifted[1..], dtype);
                // All inputs in one part; runs of five in two; every seventh of four cells, whose vectors are fewer and fewer.
                let whole = vec![(0..inputs).collect::<Vec<_>>()];
                let runs = [0, 1].map(|part| (0..inputs).filter(|i| i % 6 != 5 && i / 6 % 2 == part).collect());
                let cells = [0, 1, 2, 3].map(|cell| (cell..inputs).step_by(4).filter(|i| i / 4 % 7 != 3).collect());
                let some = [(whole, 1), (runs.to_vec(), 17), (cells.to_vec(), 30)];
                for (parts, vectors) in some {
                    let what = format!("{level} {l:?} {dtype:?}, {} parts of {vectors} vectors", parts.len());
                    let x = numbers(4, vectors * inputs);
                    let before = numbers(5, vectors * outputs);
                    let in_part = |v: usize, part: usize| v >= 5 * part || v + 1 == vectors;
                    let run = |range: std::ops::Range<usize>| {
                        let change = |(part, inputs): (usize, &Vec<usize>)| {
                            let of: Vec<usize> = range.clone().filter(|&v| in_part(v, part)).collect();
                            let element = |v: usize, k: usize| x[of[v] * l.inputs + inputs[k]];
                            let by = PackedA::new(&cpu, of.len(), inputs.len(), element);
                            let vectors = of.iter().map(|v| v - range.start).collect();
                            Changes { inputs: inputs.clone(), vectors, by }
                        };
                        let changes: Vec<Changes> = parts.iter().enumerate().map(change).collect();
                        let mut sums = before[range.start * outputs..range.end * outputs].to_vec();
                        linear_changes(&cpu, &l, weights, &changes, &mut sums);
                        sums
                    };
                    let sums = run(0..vectors);
                    let want: Vec<f32> = (0..vectors * outputs)
                        .map(|at| {
                            let (v, o) = (at / outputs, at % outputs);
                            let product = |&i: &usize| f64::from(w[l.index(o, i)]) * f64::from(x[v * inputs + i]);
                            let of_part = |(part, inputs): (usize, &Vec<usize>)| match in_part(v, part) {
                                true => inputs.iter().map(product).sum::<f64>(),
                                false => 0.0,
                            };
                            let sum: f64 = parts.iter().enumerate().map(of_part).sum();
                            (f64::from(before[at]) + sum) as f32
                        })
                        .collect();
                    assert_close(&what, &sums, &want, inputs + 1);
                    let last = vectors - 1;
                    assert_bits(&what, &run(last..vectors), &sums[last * outputs..]);
                }
            }
        }
    }
}

#[test]
fn both_layouts_types_and_ways() {
    for level in Level::available() {
        let cpu = Cpu { level, threads: Threads::new(2) };
        for (inputs, outputs) in
            [(1, 1), (3, 5), (16, 16), (31, 70), (130, 9), (257, 150), (1100, 60), (2049, 7), (5, 2100)]
        {
            for transposed in [true, false] {
                for dtype in [Dtype::F32, Dtype::F16] {
                    let l = Linear { inputs, outputs, transposed };
                    let (shifted, w) = shifted(dtype, inputs * outputs);
                    let weights = Weights::new(&shifted[1..], dtype);
                    let bias = numbers(3, outputs);
                    for batch in [1, 2, 5, 9] {
                        let what = format!("{level} {l:?} {dtype:?} batch {batch}");
                        let x = numbers(4, batch * inputs);
                        let mut y = vec![f32::NAN; batch * outputs];
                        linear(&cpu, &l, weights, Some(&bias), Activation::Relu, &x, &mut y);
                        let want: Vec<f32> = reference::convolution::linear(&l, &w, Some(&bias), &x)
                            .iter()
                            .map(|x| x.max(0.0))
                            .collect();
                        assert_close(&what, &y, &want, inputs);

                        let mut one = vec![f32::NAN; outputs];
                        let single = Cpu::single(level);
                        for (x, y) in x.chunks(inputs).zip(y.chunks(outputs)) {
                            linear(&single, &l, weights, Some(&bias), Activation::Relu, x, &mut one);
                            assert_bits(&what, &one, y);
                        }

                        let signal = numbers(5, batch * outputs);
                        let mut back = vec![f32::NAN; batch * inputs];
                        linear_backward(&cpu, &l, weights, &signal, &mut back);
                        let want = reference::convolution::linear_backward(&l, &w, &signal);
                        assert_close(&what, &back, &want, outputs);

                        let mut plain = vec![f32::NAN; batch * outputs];
                        linear(&cpu, &l, weights, None, Activation::None, &x, &mut plain);
                        let (up, down) = (dot(&plain, &signal), dot(&x, &back));
                        assert!((up - down).abs() < 1e-4 * (inputs * outputs) as f64, "{what}: {up} and {down}");
                    }
                }
            }
        }
    }
}

#[test]
fn nan_stays_nan() {
    for level in Level::available() {
        let l = Linear { inputs: 20, outputs: 3, transposed: true };
        let mut w = vec![1.0f32; 60];
        w[25] = f32::NAN;
        let bytes: Vec<u8> = w.iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut y = [0.0; 3];
        linear(&Cpu::single(level), &l, Weights::new(&bytes, Dtype::F32), None, Activation::Relu, &[1.0; 20], &mut y);
        assert!(y[1].is_nan() && y[0] == 20.0 && y[2] == 20.0, "{level}: {y:?}");
    }
}

#[test]
fn singles_become_the_nearest_halves() {
    // All exponents and a spread of mantissas, special numbers among them; more than one task.
    let numbers: Vec<u32> = (0..600_013u32).map(|i| i.wrapping_mul(2_654_435_761)).collect();
    let fits = |x: f32| !x.is_finite() || x.abs() < 65520.0;
    let numbers: Vec<f32> = numbers.into_iter().map(f32::from_bits).filter(|&x| fits(x)).collect();
    for level in Level::available() {
        let cpu = Cpu { level, threads: Threads::new(2) };
        for len in [0, 1, 7, 16, 33, numbers.len()] {
            let bytes: Vec<u8> =
                [0xff].into_iter().chain(numbers[..len].iter().flat_map(|x| x.to_le_bytes())).collect();
            let mut halves = vec![0xa5; 2 * len + 1];
            to_f16(&cpu, Weights::new(&bytes[1..], Dtype::F32), &mut halves[1..]).expect("all fit");
            for (x, h) in numbers.iter().zip(halves[1..].chunks(2)) {
                let (got, want) = (u16::from_le_bytes([h[0], h[1]]), f32_to_f16(*x));
                assert_eq!(got, want, "{level} {x:e}");
            }
        }
    }
}

#[test]
fn what_no_half_is_near_to_is_found() {
    for level in Level::available() {
        let cpu = Cpu { level, threads: Threads::new(2) };
        for at in [0, 15, 31, 299_999, 300_001] {
            let mut numbers = [f32::INFINITY, f32::NAN, 65519.0, -65519.0].repeat(75_000 + 1);
            let weights = |numbers: &[f32]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
            let mut halves = vec![0; 2 * numbers.len()];
            assert_eq!(to_f16(&cpu, Weights::new(&weights(&numbers), Dtype::F32), &mut halves), Ok(()));
            numbers[at] = -65520.0;
            assert_eq!(to_f16(&cpu, Weights::new(&weights(&numbers), Dtype::F32), &mut halves), Err(at), "{level}");
        }
    }
}
