//! Class names: from a file, from beside the model, or ImageNet's own.

use std::path::Path;

use crate::error::Result;

/// ImageNet's 1000 class names in the usual order.
pub fn imagenet() -> Vec<String> {
    todo!()
}

/// A name a line, or a TSV with columns `index` and `name`.
pub fn read(_path: &Path) -> Result<Vec<String>> {
    todo!()
}
