//! ONNX models, opsets 3 to 22, to a [`Model`].

use std::path::Path;

use crate::error::Result;
use crate::model::Model;
use crate::weights::mmap::Bytes;

/// Whether the bytes may be an ONNX model.
pub fn looks_like(_bytes: &[u8]) -> bool {
    todo!()
}

/// Reads the graph; weights stay where they lie in `bytes`. External data are looked for beside `path` only.
pub fn open(_path: &Path, _bytes: Bytes, _map: bool) -> Result<Model> {
    todo!()
}
