//! A model file, opened: the network, its weights, and what the file says of preprocessing and labels.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::import;
use crate::network::Network;
use crate::preprocess::Preprocess;
use crate::weights::WeightStore;
use crate::weights::mmap::Bytes;

/// A network with its weights. Nothing of the weights is read before a run needs it.
#[derive(Debug)]
pub struct Model {
    /// The nodes.
    pub network: Network,
    /// What they read.
    pub weights: WeightStore,
    /// What the file itself says of preprocessing (our own format).
    pub preprocess: Option<Preprocess>,
    /// What the file itself says of class names (our own format).
    pub labels: Option<Vec<String>>,
    /// Where it came from.
    pub path: PathBuf,
    /// The file's bytes.
    pub bytes: Bytes,
    /// `onnx`, `safetensors`, or `architecture` where weights are random.
    pub format: &'static str,
}

impl Model {
    /// Opens an `.onnx` or `.safetensors` file, recognised by its first bytes. Mapped where `map` is true.
    ///
    /// # Errors
    /// Every node that is not supported, at once; or what is wrong with the file.
    pub fn open(path: &Path, map: bool) -> Result<Self> {
        Self::from_bytes(path, Bytes::open(path, map)?, map)
    }

    /// The same from bytes; `path` names them in errors and is where external data are looked for.
    pub fn from_bytes(path: &Path, bytes: Bytes, map: bool) -> Result<Self> {
        let opened = if import::safetensors::looks_like(&bytes) {
            import::native::open(path, bytes)
        } else if import::onnx::looks_like(&bytes) {
            import::onnx::open(path, bytes, map)
        } else {
            Err(Error::format(path, "neither an ONNX model nor a .safetensors file made by `switchback convert`"))
        };
        opened.map_err(|e| e.in_model(path))
    }
}
