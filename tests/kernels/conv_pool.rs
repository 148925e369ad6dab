//! A convolution fused with its pool against the two kernels one after the other, bit for bit.

use switchback_kernels::conv_pool2d::{ConvPool2d, Filters, conv_pool2d};
use switchback_kernels::conv2d::{self, Activation, Conv2d};
use switchback_kernels::max_pool2d::max_pool2d;
use switchback_kernels::winograd;
use switchback_kernels::{Cpu, Dtype, Geometry, Level, Maps, MapsMut, Threads, Weights};

use crate::numbers::{assert_bits, numbers};

#[test]
fn fused_is_one_after_the_other() {
    let cases = [
        // Channels in and out, convolution, size, pool, ceil mode, batch.
        ([3, 40], Geometry::square(3, 2, 0), [131, 127], Geometry::square(3, 2, 0), true, 1),
        ([3, 20], Geometry::square(7, 2, 3), [70, 75], Geometry::square(3, 2, 1), false, 3),
        ([16, 70], Geometry::square(3, 1, 1), [64, 90], Geometry::square(2, 2, 0), false, 2),
        ([20, 33], Geometry::square(3, 1, 1), [29, 13], Geometry::square(2, 2, 0), false, 1),
        ([4, 17], Geometry::square(3, 1, 1), [13, 27], Geometry::square(2, 2, 0), true, 1),
        ([5, 9], Geometry::square(3, 1, 1), [9, 7], Geometry::square(3, 1, 1), false, 1),
        // Many rows of many channels: bands in several parts.
        ([3, 96], Geometry::square(7, 2, 3), [130, 121], Geometry::square(3, 2, 1), false, 1),
        ([3, 96], Geometry::square(3, 1, 1), [61, 67], Geometry::square(2, 3, 1), false, 2),
        (
            [2, 96],
            Geometry::square(5, 1, 2),
            [45, 77],
            Geometry { dilation: [2, 1], ..Geometry::square(3, 1, 0) },
            false,
            1,
        ),
        ([1, 17], Geometry::square(3, 1, 1), [19, 98], Geometry::square(3, 2, 1), true, 2),
        (
            [4, 31],
            Geometry::square(3, 1, 0),
            [22, 68],
            Geometry { pads: [2, 1, 0, 2], ..Geometry::square(3, 2, 0) },
            true,
            1,
        ),
        (
            [2, 5],
            Geometry::square(2, 3, 1),
            [41, 110],
            Geometry { stride: [3, 2], ..Geometry::square(2, 1, 1) },
            false,
            1,
        ),
    ];
    for ([ins, outs], geometry, size, pool, ceil, batch) in cases {
        let conv = Conv2d { in_channels: ins, out_channels: outs, groups: 1, geometry };
        let between = geometry.out_size(size, false).expect("fits");
        let full = pool.out_size(between, ceil).expect("fits");
        let bytes: Vec<u8> = numbers(1, conv.weights()).iter().flat_map(|x| x.to_le_bytes()).collect();
        let weights = Weights::new(&bytes, Dtype::F32);
        let (x, bias) = (numbers(2, batch * ins * size[0] * size[1]), numbers(3, outs));
        let input = Maps::new(&x, batch, ins, size);
        for level in Level::available() {
            let packed = conv2d::pack(&Cpu::single(level), &conv, weights, None);
            let mut all = vec![Filters::Gemm(&packed)];
            let tiled: Vec<_> = winograd::tiles(&conv)
                .map(|tile| winograd::pack(&Cpu::single(level), &conv, weights, None, tile))
                .collect();
            all.extend(tiled.iter().map(Filters::Winograd));
            for filters in all {
                let activation = Activation::Relu;
                let work = ConvPool2d { conv, filters, bias: Some(&bias), activation, size: between, pool };
                for threads in [1, 2, 3] {
                    let cpu = Cpu { level, threads: Threads::new(threads) };
                    let mut maps = vec![f32::NAN; batch * outs * between[0] * between[1]];
                    let out = MapsMut::new(&mut maps, batch, outs, between);
                    filters.conv2d(&cpu, &conv, Some(&bias), activation, input, out);
                    let mut want = vec![f32::NAN; batch * outs * full[0] * full[1]];
                    let out = MapsMut::new(&mut want, batch, outs, full);
                    max_pool2d(&cpu, &pool, Maps::new(&maps, batch, outs, between), out, None);
                    let mut got = vec![f32::NAN; want.len()];
                    conv_pool2d(&cpu, &work, input, MapsMut::new(&mut got, batch, outs, full));
                    assert_bits(&format!("{level} {work:?} {threads}"), &got, &want);
                }
            }
        }
    }
}

#[test]
fn what_is_not_finite_comes_through_a_fused_pool() {
    let (geometry, pool, size) = (Geometry::square(3, 2, 0), Geometry::square(3, 2, 1), [37, 67]);
    let conv = Conv2d { in_channels: 3, out_channels: 15, groups: 1, geometry };
    let between = geometry.out_size(size, false).expect("fits");
    let full = pool.out_size(between, true).expect("fits");
    let bytes: Vec<u8> = numbers(1, conv.weights()).iter().flat_map(|x| x.to_le_bytes()).collect();
    for (special, activation) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY]
        .into_iter()
        .flat_map(|special| [(special, Activation::None), (special, Activation::Relu)])
    {
        let mut x = numbers(2, 3 * size[0] * size[1]);
        for at in [0, 5 * size[1] + 40, 3 * size[0] * size[1] - 1] {
            x[at] = special;
        }
        let input = Maps::new(&x, 1, 3, size);
        for level in Level::available() {
            let cpu = Cpu::single(level);
            let packed = conv2d::pack(&cpu, &conv, Weights::new(&bytes, Dtype::F32), None);
            let mut maps = vec![0.0; 15 * between[0] * between[1]];
            let out = MapsMut::new(&mut maps, 1, 15, between);
            conv2d::conv2d(&cpu, &conv, &packed, None, activation, input, out);
            let (mut want, mut got) = (vec![0.0; 15 * full[0] * full[1]], vec![0.0; 15 * full[0] * full[1]]);
            let out = MapsMut::new(&mut want, 1, 15, full);
            max_pool2d(&cpu, &pool, Maps::new(&maps, 1, 15, between), out, None);
            let filters = Filters::Gemm(&packed);
            let work = ConvPool2d { conv, filters, bias: None, activation, size: between, pool };
            conv_pool2d(&cpu, &work, input, MapsMut::new(&mut got, 1, 15, full));
            assert!(special.is_infinite() || got.iter().any(|x| x.is_nan()));
            for (got, want) in got.iter().zip(&want) {
                assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "{level}: {got}, not {want}");
            }
        }
    }
}
