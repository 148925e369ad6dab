//! What several integration tests need: where the handed-over data lie.

pub mod golden;

use std::path::{Path, PathBuf};

/// `relative` in the folder of `SWITCHBACK_TEST_DATA` (default: `shared` beside the repository), or `None`, saying
/// plainly that the test skips.
pub fn shared(relative: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("SWITCHBACK_TEST_DATA") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let path = root.join(relative);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there (set SWITCHBACK_TEST_DATA to the folder that holds it)", path.display());
    None
}

/// A file or folder of `tests/golden`.
pub fn golden(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden").join(part)
}
