//! Tensors whose data lie in a file beside the model.
//!
//! ```text
//! models/net.onnx        data_location: EXTERNAL, location: "net.bin", offset: 4096, length: 37632
//! models/net.bin         … the bytes
//! ```
//!
//! A model file comes from strangers: a location must be a plain file name, and the file that it names must lie in the
//! model's own folder when every symbolic link is followed.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};
use crate::weights::mmap::Bytes;
use crate::weights::{SourceId, WeightStore};

/// The files that tensors point into; the first is the model file itself.
#[derive(Debug)]
pub(super) struct Sources {
    model: PathBuf,
    map: bool,
    files: Vec<(Bytes, PathBuf, Option<SourceId>)>,
    opened: HashMap<String, usize>,
}

impl Sources {
    pub(super) fn new(model: &Path, bytes: Bytes, map: bool) -> Self {
        let files = vec![(bytes, model.to_owned(), None)];
        Self { model: model.to_owned(), map, files, opened: HashMap::new() }
    }

    /// The bytes of file `index`.
    pub(super) fn bytes(&self, index: usize) -> &Bytes {
        &self.files[index].0
    }

    /// Where file `index` lies.
    pub(super) fn path(&self, index: usize) -> &Path {
        &self.files[index].1
    }

    /// File `index` as a source of `store`; taken once.
    pub(super) fn id(&mut self, index: usize, store: &mut WeightStore) -> SourceId {
        let (bytes, _, id) = &mut self.files[index];
        *id.get_or_insert_with(|| store.add_source(bytes.clone()))
    }

    /// The file called `location`, opened once.
    pub(super) fn open(&mut self, tensor: &str, location: &str) -> Result<usize> {
        if let Some(&index) = self.opened.get(location) {
            return Ok(index);
        }
        let refuse = |why: &str| {
            Error::format(&self.model, format!("tensor \"{tensor}\": its external data \"{location}\" {why}"))
        };
        let mut components = Path::new(location).components();
        let plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
        if !plain || location.contains(['/', '\\', '\0']) {
            return Err(refuse("must be a plain file name beside the model"));
        }
        let folder = match self.model.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let path = folder.join(location);
        let real = path.canonicalize().map_err(Error::io("open", &path))?;
        let home = folder.canonicalize().map_err(Error::io("open", folder))?;
        if real.parent() != Some(&home) {
            return Err(refuse("is a link to a file that is not beside the model"));
        }
        let bytes = Bytes::open(&real, self.map)?;
        self.files.push((bytes, path, None));
        self.opened.insert(location.to_owned(), self.files.len() - 1);
        Ok(self.files.len() - 1)
    }
}
