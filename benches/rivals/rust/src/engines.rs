//! tract and rten on a network.

use std::sync::Arc;

use rten_tensor::NdTensor;
use rten_tensor::prelude::*;
use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;

use crate::{answer_lines, npy, samples};

/// Loads, runs once, writes the first picture's scores, then serves.
pub fn serve(engine: &str, model: &str, threads: usize, batch: usize, input: &str, scores: &str) -> crate::Result<()> {
    let picture = npy::read(input)?;
    let side = 224;
    let pictures = picture.repeat(batch);
    let mut run: Box<dyn FnMut() -> crate::Result<Vec<f32>>> = match engine {
        "tract" => {
            set_default_executor(match threads {
                1 => Executor::SingleThread,
                _ => Executor::multithread(threads),
            });
            let plan = tract_onnx::onnx()
                .model_for_path(model)?
                .with_input_fact(0, f32::fact([batch, 3, side, side]).into())?
                .into_optimized()?
                .into_runnable()?;
            let pictures: TValue = Tensor::from_shape(&[batch, 3, side, side], &pictures)?.into();
            Box::new(move || {
                let out = plan.run(tvec!(pictures.clone()))?;
                let view = out[0].to_plain_array_view::<f32>()?;
                Ok(view.iter().take(1000).copied().collect())
            })
        }
        "rten" => {
            let model = rten::ModelOptions::with_all_ops().prepack_weights(true).load_file(model)?;
            let pictures = NdTensor::from_data([batch, 3, side, side], pictures);
            let pool = Arc::new(rten::ThreadPool::with_num_threads(threads));
            Box::new(move || {
                let options = rten::RunOptions::default().with_thread_pool(Some(pool.clone()));
                let out: NdTensor<f32, 2> = model.run_one(pictures.view().into(), Some(options))?.try_into()?;
                Ok(out.iter().take(1000).copied().collect())
            })
        }
        _ => return Err(format!("no engine {engine}").into()),
    };
    npy::write(scores, &run()?)?;
    run()?;
    answer_lines(|line| samples(line.parse()?, || run().map(drop)))
}
