//! Times forward passes of an ONNX or safetensors model: `time_forward MODEL [THREADS [BATCH [SECONDS [INPUT.npy OUTPUT.npy]]]]`
//!
//! Prints one line: the median, the best and the number of runs, in milliseconds a batch. Every picture of the batch is
//! INPUT, or a fixed pattern without one; OUTPUT gets the scores of the first picture.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use switchback_core::session::Session;
use switchback_core::trace::Keep;
use switchback_core::{Cpu, Model, Tensor, atomic, npy};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let path = args.first().ok_or("time_forward MODEL [THREADS [BATCH [SECONDS [INPUT.npy OUTPUT.npy]]]]")?;
    let threads: usize = args.get(1).map_or(Ok(1), |s| s.parse())?;
    let batch: usize = args.get(2).map_or(Ok(1), |s| s.parse())?;
    let seconds: f64 = args.get(3).map_or(Ok(1.0), |s| s.parse())?;

    let session = Session::new(Arc::new(Model::open(Path::new(path), true)?), Cpu::new(threads), None)?;
    let shape = session.network().input_shape();
    let picture = match args.get(4) {
        Some(file) => npy::read_input(Path::new(file), shape)?.data,
        None => (0..shape.len()).map(|i| ((i * 37) % 255) as f32 / 127.0 - 1.0).collect(),
    };
    let input = Tensor { batch, shape, data: picture.repeat(batch) };
    let scores = session.network().scores();
    let keep = Keep::nodes(session.network(), &[scores]);

    let trace = session.run(&input, &keep)?;
    if let Some(file) = args.get(5) {
        let row = trace.tensor(scores).expect("kept").picture(0);
        atomic::write_bytes(Path::new(file), &npy::encode(&[row.len()], row))?;
    }
    session.run(&input, &keep)?;
    let mut samples = Vec::new();
    let start = Instant::now();
    while samples.len() < 5 || start.elapsed() < Duration::from_secs_f64(seconds) {
        let run = Instant::now();
        session.run(&input, &keep)?;
        samples.push(run.elapsed().as_secs_f64() * 1e3);
    }
    samples.sort_by(f64::total_cmp);
    println!("median {:.3} best {:.3} runs {}", samples[samples.len() / 2], samples[0], samples.len());
    Ok(())
}
