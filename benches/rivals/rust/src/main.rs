//! Rust rivals in a process of their own, run whenever `run.py` asks.
//!
//! ```text
//! switchback-rivals tract|rten MODEL.onnx THREADS BATCH INPUT.npy SCORES.npy     as engines.py: `ready`, then SECONDS → samples
//! switchback-rivals products THREADS                                             `ready`, then NAME M K N SECONDS → samples
//! ```

mod engines;
mod npy;
mod products;

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["products", threads] => products::serve(threads.parse()?),
        [engine, model, threads, batch, input, scores] => {
            engines::serve(engine, model, threads.parse()?, batch.parse()?, input, scores)
        }
        _ => Err("ENGINE MODEL THREADS BATCH INPUT SCORES, or products THREADS".into()),
    }
}

/// Says `ready`, then answers each line with what `answer` makes of it.
fn answer_lines(mut answer: impl FnMut(&str) -> Result<String>) -> Result<()> {
    println!("ready");
    std::io::stdout().flush()?;
    for line in std::io::stdin().lock().lines() {
        println!("{}", answer(line?.trim())?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Milliseconds of each run: once to wake the threads, then for `seconds`, three times at least.
fn samples(seconds: f64, mut run: impl FnMut() -> Result<()>) -> Result<String> {
    run()?;
    let (mut samples, start) = (Vec::new(), Instant::now());
    while samples.len() < 3 || start.elapsed().as_secs_f64() < seconds {
        let one = Instant::now();
        run()?;
        samples.push(format!("{:.6}", one.elapsed().as_secs_f64() * 1e3));
    }
    Ok(format!("[{}]", samples.join(", ")))
}
