//! Times one convolution: `time_convolution [C H W OUT KERNEL STRIDE PAD [THREADS [BATCH [SECONDS]]]]`
//!
//! Prints a line for each instruction level: milliseconds (median and best), GFLOP/s, and the distance of the result from
//! the naive loop, ‖y − r‖ / ‖r‖ over the first maps of the first picture. Without arguments: the middle of VGG-16,
//! 256 maps of 56×56, 3×3.

use std::error::Error;
use std::time::{Duration, Instant};

use switchback_kernels::conv2d::{self, Activation, Conv2d, conv2d};
use switchback_kernels::{Cpu, Dtype, Geometry, Level, Maps, MapsMut, Threads, Weights, reference};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, otherwise: usize| args.get(i).map_or(Ok(otherwise), |s| s.parse::<usize>());
    let (channels, size) = (number(0, 256)?, [number(1, 56)?, number(2, 56)?]);
    let geometry = Geometry::square(number(4, 3)?, number(5, 1)?, number(6, 1)?);
    let conv = Conv2d { in_channels: channels, out_channels: number(3, 256)?, groups: 1, geometry };
    let (threads, batch) = (number(7, 1)?, number(8, 1)?);
    let seconds: f64 = args.get(9).map_or(Ok(1.0), |s| s.parse())?;
    let out = geometry.out_size(size, false).ok_or("the kernel is larger than the padded map")?;

    let numbers = |n: usize, step: usize| (0..n).map(move |i| ((i * step) % 1009) as f32 / 504.5 - 1.0).collect();
    let weights: Vec<f32> = numbers(conv.weights(), 7919);
    let bytes: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    let x: Vec<f32> = numbers(batch * channels * size[0] * size[1], 6151);
    let flops = 2.0 * (batch * conv.weights() * out[0] * out[1]) as f64;
    println!(
        "{batch} × {channels} × {} × {} → {} × {} × {}, kernel {}, stride {}, pad {}: {:.3} GFLOP",
        size[0],
        size[1],
        conv.out_channels,
        out[0],
        out[1],
        geometry.kernel[0],
        geometry.stride[0],
        geometry.pads[0],
        flops / 1e9
    );

    for level in Level::available() {
        let cpu = Cpu { level, threads: Threads::new(threads) };
        let packed = conv2d::pack(&cpu, &conv, Weights::new(&bytes, Dtype::F32), None);
        let mut y = vec![0.0; batch * conv.out_channels * out[0] * out[1]];
        let mut run = || {
            let (x, y) = (Maps::new(&x, batch, channels, size), MapsMut::new(&mut y, batch, conv.out_channels, out));
            conv2d(&cpu, &conv, &packed, None, Activation::None, x, y);
        };
        run();
        let (mut samples, start) = (Vec::new(), Instant::now());
        while samples.len() < 3 || start.elapsed() < Duration::from_secs_f64(seconds) {
            let one = Instant::now();
            run();
            samples.push(one.elapsed().as_secs_f64());
        }
        samples.sort_by(f64::total_cmp);
        let (median, best) = (samples[samples.len() / 2], samples[0]);
        println!(
            "{level:>8}, {threads} thread(s): median {:8.3} ms, best {:8.3} ms, {:7.1} GFLOP/s, {:.1e} from the reference",
            median * 1e3,
            best * 1e3,
            flops / median / 1e9,
            distance(&conv, &weights, &x[..channels * size[0] * size[1]], size, &y, out)
        );
    }
    Ok(())
}

/// ‖y − r‖ / ‖r‖ of the first picture, over up to 16 filters.
fn distance(conv: &Conv2d, weights: &[f32], x: &[f32], size: [usize; 2], y: &[f32], out: [usize; 2]) -> f64 {
    let few = conv.out_channels.min(16);
    let part = Conv2d { out_channels: few, ..*conv };
    let reference = reference::convolution::conv2d(&part, &weights[..part.weights()], None, x, 1, size, out);
    let square = |x: f32, r: f32| (f64::from(x - r).powi(2), f64::from(r).powi(2));
    let sums = y.iter().zip(&reference).map(|(&x, &r)| square(x, r)).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
    (sums.0 / sums.1).sqrt()
}
