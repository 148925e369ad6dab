//! Times the kernels that work on maps: `time_maps [THREADS [LEVEL [CHANNELS HEIGHT WIDTH [NAME]]]]`
//!
//! Prints a table: for each kernel the median and the best time in milliseconds, and the bytes that it must read and
//! write by the best time, beside plain writes and a plain copy of the same maps. Without a size: the first pool of ZFNet. With a NAME: only kernels whose name contains it.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use switchback_kernels::avg_pool2d::avg_pool2d;
use switchback_kernels::lrn::{Lrn, lrn, lrn_backward};
use switchback_kernels::max_pool2d::max_pool2d;
use switchback_kernels::pointwise::{Pointwise, add_assign, affine, pointwise, pointwise_in_place};
use switchback_kernels::softmax::softmax;
use switchback_kernels::unpool2d::unpool2d;
use switchback_kernels::{Cpu, Geometry, Level, Maps, MapsMut, Threads};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| args.get(i).map_or(Ok(default), |s| s.parse());
    let level: Level = args.get(1).map_or("auto", |s| s).parse()?;
    let cpu = Cpu { level, threads: Threads::new(number(0, 1)?) };
    let (channels, size) = (number(2, 96)?, [number(3, 110)?, number(4, 110)?]);
    let pool = Geometry::square(3, 2, 0);
    let pooled = pool.out_size(size, true).ok_or("too small for a window of 3 × 3")?;

    let [cells, small] = [size, pooled].map(|[height, width]| channels * height * width);
    let input: Vec<f32> = (0..cells).map(|i| ((i * 7919) % 1021) as f32 / 510.0 - 1.0).collect();
    let large = |data| Maps::new(data, 1, channels, size);
    let half = |data| Maps::new(data, 1, channels, pooled);
    let mut values = vec![0.0f32; small];
    let mut switches = vec![0u8; small];
    let mut back = vec![0.0f32; cells];
    let mut other = vec![0.0f32; small];
    let constants = Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 2.0 };
    let (scale, shift) = (vec![0.5; channels], vec![0.1; channels]);

    println!("{level}, {} thread(s), {channels} × {size:?}, pooled 3 × 3 / 2 to {pooled:?}", cpu.threads.count());
    println!("{:34} {:>9} {:>9} {:>7}", "kernel", "median ms", "best ms", "GB/s");
    time("fill", 4 * cells, || black_box(&mut back).fill(1.0));
    time("copy", 8 * cells, || back.copy_from_slice(black_box(&input)));
    time("max_pool2d with switches", 4 * cells + 5 * small, || {
        let named = MapsMut::new(&mut switches, 1, channels, pooled);
        max_pool2d(&cpu, &pool, large(&input), MapsMut::new(&mut values, 1, channels, pooled), Some(named));
    });
    time("max_pool2d", 4 * cells + 4 * small, || {
        max_pool2d(&cpu, &pool, large(&input), MapsMut::new(&mut values, 1, channels, pooled), None);
    });
    time("avg_pool2d", 4 * cells + 4 * small, || {
        avg_pool2d(&cpu, &pool, false, large(&input), MapsMut::new(&mut other, 1, channels, pooled));
    });
    time("unpool2d", 4 * cells + 5 * small, || {
        let named = Maps::new(&switches, 1, channels, pooled);
        unpool2d(&cpu, &pool, half(&values), named, MapsMut::new(&mut back, 1, channels, size));
    });
    time("lrn of the pooled maps", 8 * small, || {
        lrn(&cpu, &constants, half(&values), MapsMut::new(&mut other, 1, channels, pooled));
    });
    let signal = values.clone();
    time("lrn_backward of the pooled maps", 12 * small, || {
        let out = MapsMut::new(&mut other, 1, channels, pooled);
        lrn_backward(&cpu, &constants, half(&values), half(&signal), out);
    });
    time("relu", 8 * cells, || {
        pointwise(&cpu, Pointwise::Relu, large(&input), MapsMut::new(&mut back, 1, channels, size));
    });
    time("relu in place", 8 * cells, || {
        pointwise_in_place(&cpu, Pointwise::Relu, MapsMut::new(&mut back, 1, channels, size));
    });
    time("affine", 8 * cells, || {
        affine(&cpu, &scale, Some(&shift), large(&input), MapsMut::new(&mut back, 1, channels, size));
    });
    time("add", 12 * cells, || {
        back[0] = 0.0;
        add_assign(&cpu, large(&input), MapsMut::new(&mut back, 1, channels, size));
    });
    let mut data = input.clone();
    time("softmax of rows", 8 * cells, || softmax(&cpu, &mut data, size[0] * size[1], 1));
    time("softmax over channels", 8 * cells, || softmax(&cpu, &mut data, channels, size[0] * size[1]));
    Ok(())
}

/// Prints the median and the best of at least 21 runs after a warm-up of a tenth of a second.
fn time(name: &str, bytes: usize, mut run: impl FnMut()) {
    run();
    if !std::env::args().nth(6).is_none_or(|part| name.contains(&part)) {
        return;
    }
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(100) {
        run();
    }
    let mut samples = Vec::new();
    let start = Instant::now();
    while samples.len() < 21 || start.elapsed() < Duration::from_millis(300) {
        let one = Instant::now();
        run();
        samples.push(one.elapsed().as_secs_f64() * 1e3);
    }
    samples.sort_by(f64::total_cmp);
    let (median, best) = (samples[samples.len() / 2], samples[0]);
    println!("{name:34} {median:9.3} {best:9.3} {:7.1}", bytes as f64 / best / 1e6);
}
