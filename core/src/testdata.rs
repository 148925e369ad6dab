//! Where tests find data that are not in the repository.

use std::path::{Path, PathBuf};

/// `part` of the shared test data (`SWITCHBACK_TEST_DATA`, else `../shared` from the workspace's root), if it is there;
/// says that the test skips if not.
pub(crate) fn shared(part: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("SWITCHBACK_TEST_DATA") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
    };
    let path = root.join(part);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no {} (set SWITCHBACK_TEST_DATA)", path.display());
    None
}

/// A file or folder of `tests/golden`.
pub(crate) fn golden(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(part)
}
