//! What several integration tests need: where the handed-over data lie.

pub mod golden;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

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
    skipped(&path);
    None
}

/// Tells the person who runs the tests, once a program and file: past the capture of the test harness, which would
/// hide it, since a test that skips passes.
fn skipped(path: &Path) {
    static TOLD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned()) {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let line = format!(
            "SKIPPED {test} and others like it: {} is not there (SWITCHBACK_TEST_DATA names the folder)\n",
            path.display()
        );
        // Nobody reading stderr is no reason to fail.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

/// A file or folder of `tests/golden`.
pub fn golden(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden").join(part)
}
