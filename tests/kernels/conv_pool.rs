//! A convolution fused with its pool against the two kernels one after the other, bit for bit.

use switchback_kernels::conv_pool2d::{ConvPool2d, Filters, conv_pool2d};
use switchback_kernels::conv2d::{self, Activation, Conv2d};
use switchback_kernels::max_pool2d::max_pool2d;
use switchback_kernels::winograd::{self, Tile};
use switchback_kernels::{Cpu, Dtype, Geometry, Level, Maps, MapsMut, Threads, Weights};

use crate::numbers::{assert_bits, numbers};

#[test]
fn fused_is_one_after_the_other() {
    let cases = [
        // Channels in and out, convolution, size, pool, ceil mode, batch.
        ([3, 40], Geometry::square(3, 2, 0), [131, 127], Geometry::square(3, 2, 0), true, 1),
        ([3, 20], Geometry::square(7, 2, 3), [70, 75], Geometry::square(3, 2, 1), false, 3),
        ([16, 70], Geometry::square(3, 1, 1), [64, 90], Geometry::square(2, 2, 0), false, 2),
        ([5, 9], Geometry::square(3, 1, 1), [9, 7], Geometry::square(3, 1, 1), false, 1),
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
            let tiled = winograd::can(&conv, Tile::F4)
                .then(|| winograd::pack(&Cpu::single(level), &conv, weights, None, Tile::F4));
            all.extend(tiled.as_ref().map(Filters::Winograd));
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
