//! Pictures: RGB8, decoded with limits, EXIF-upright, and written as PNG.

use std::path::Path;

use switchback_kernels::Window;

use crate::error::Result;

/// An RGB8 picture, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width × height × 3` bytes.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Decodes a file.
    pub fn open(_path: &Path) -> Result<Self> {
        todo!()
    }

    /// Decodes bytes; `name` is for errors.
    pub fn decode(_name: &Path, _bytes: &[u8]) -> Result<Self> {
        todo!()
    }

    /// The part in `window`.
    pub fn crop(&self, _window: Window) -> Picture {
        todo!()
    }

    /// As PNG bytes.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        todo!()
    }
}
