//! Our own format: safetensors with the network, preprocessing and labels as JSON texts in `__metadata__`.

use std::path::Path;

use switchback_kernels::Dtype;

use crate::error::Result;
use crate::model::Model;
use crate::preprocess::Preprocess;
use crate::weights::mmap::Bytes;

/// Opens a file that [`write`] made.
pub fn open(_path: &Path, _bytes: Bytes) -> Result<Model> {
    todo!()
}

/// Writes `model` to `out`, atomically: an interrupted run leaves either the old file or the new one.
pub fn write(
    _out: &Path,
    _model: &Model,
    _preprocess: Option<&Preprocess>,
    _labels: Option<&[String]>,
    _dtype: Dtype,
) -> Result<()> {
    todo!()
}
