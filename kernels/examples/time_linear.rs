//! Times a fully connected layer beside a plain read of the same weights:
//! `time_linear [THREADS [LEVEL [INPUTS OUTPUTS [BATCH]]]]`
//!
//! Prints, for f32 and f16 weights in both orientations, the median and the best time in milliseconds, the bytes of
//! weights by the best time, and that bandwidth in percent of the best read, from one place at a time or from eight with prefetches. Without a size: fc6 of AlexNet.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use switchback_kernels::conv2d::Activation;
use switchback_kernels::linear::{Linear, linear};
use switchback_kernels::simd::{Simd, SimdOp};
use switchback_kernels::{Cpu, Dtype, Level, Threads, Weights};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| args.get(i).map_or(Ok(default), |s| s.parse());
    let level: Level = args.get(1).map_or("auto", |s| s).parse()?;
    let cpu = Cpu { level, threads: Threads::new(number(0, 1)?) };
    let (inputs, outputs, batch) = (number(2, 9216)?, number(3, 4096)?, number(4, 1)?);

    // The half 0x2c00 + something is a small positive number, and so is any single made of two of them.
    let bytes: Vec<u8> = (0..2 * inputs * outputs).flat_map(|i| (0x2c00 + (i % 509) as u16).to_le_bytes()).collect();
    let x: Vec<f32> = (0..batch * inputs).map(|i| (i % 7) as f32 - 3.0).collect();
    let mut y = vec![0.0; batch * outputs];

    println!("{level}, {} thread(s), {inputs} → {outputs}, batch {batch}", cpu.threads.count());
    println!("{:30} {:>9} {:>9} {:>7} {:>10}", "kernel", "median ms", "best ms", "GB/s", "% of read");
    let each = bytes.len().div_ceil(4 * cpu.threads.count()).next_multiple_of(1 << 14);
    let read = time("read", bytes.len(), None, || {
        let parts: Vec<&[u8]> = bytes.chunks(each).collect();
        black_box(cpu.threads.map(parts, |part| cpu.level.dispatch(Read::<1>(part))));
    });
    let streams = time("read in 8 streams, prefetched", bytes.len(), None, || {
        let parts: Vec<&[u8]> = bytes.chunks(each).collect();
        black_box(cpu.threads.map(parts, |part| cpu.level.dispatch(Read::<8>(part))));
    });
    let read = read.max(streams);
    for (dtype, name) in [(Dtype::F32, "f32"), (Dtype::F16, "f16")] {
        for (transposed, shape) in [(true, "(outputs, inputs)"), (false, "(inputs, outputs)")] {
            let layer = Linear { inputs, outputs, transposed };
            let bytes = &bytes[..inputs * outputs * dtype.size()];
            time(&format!("linear {name} {shape}"), bytes.len(), Some(read), || {
                linear(&cpu, &layer, Weights::new(bytes, dtype), None, Activation::None, black_box(&x), &mut y);
            });
        }
    }
    Ok(())
}

/// Reads everything once, in as many streams at a time.
struct Read<'a, const STREAMS: usize>(&'a [u8]);

impl<const STREAMS: usize> SimdOp for Read<'_, STREAMS> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let mut sums = [simd.splat(0.0); 8];
        let len = self.0.len() / STREAMS / 512 * 512;
        for at in (0..len).step_by(512) {
            for s in 0..STREAMS {
                let block = &self.0[s * len + at..s * len + at + 512];
                for i in 0..512 / (4 * S::LANES) {
                    if STREAMS > 1 && (4 * i * S::LANES).is_multiple_of(64) {
                        simd.prefetch(block, 4 * i * S::LANES + 2048);
                    }
                    sums[i % 8] = simd.add(sums[i % 8], simd.load_f32_bytes(&block[4 * i * S::LANES..]));
                }
            }
        }
        let mut total = 0.0;
        for sum in sums {
            total += simd.reduce_sum(sum);
        }
        total
    }
}

/// Prints the median and the best of at least 11 runs after two more; gives the best bandwidth.
fn time(name: &str, bytes: usize, read: Option<f64>, mut run: impl FnMut()) -> f64 {
    run();
    run();
    let mut samples = Vec::new();
    let start = Instant::now();
    while samples.len() < 11 || start.elapsed() < Duration::from_millis(600) {
        let one = Instant::now();
        run();
        samples.push(one.elapsed().as_secs_f64() * 1e3);
    }
    samples.sort_by(f64::total_cmp);
    let (median, best) = (samples[samples.len() / 2], samples[0]);
    let speed = bytes as f64 / best / 1e6;
    let share = read.map_or(String::new(), |read| format!("{:9.0} %", 100.0 * speed / read));
    println!("{name:30} {median:9.3} {best:9.3} {speed:7.1} {share}");
    speed
}
