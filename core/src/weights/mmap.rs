//! A file's bytes: mapped, or read into memory. The only place of this crate with `unsafe`.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};

/// Bytes that are mapped from a file, owned, or part of the program. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Bytes(Arc<Source>);

#[derive(Debug)]
enum Source {
    Mapped(memmap2::Mmap),
    Owned(Vec<u8>),
    Static(&'static [u8]),
}

impl Bytes {
    /// Opens `path`, mapped where `map` is true. Directories and empty files are errors.
    ///
    /// A file that is truncated while it is mapped kills any process that reads the lost part; on network drives
    /// and for files that others write, pass `map = false`.
    pub fn open(path: &Path, map: bool) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        let meta = file.metadata().map_err(Error::io("open", path))?;
        if meta.is_dir() {
            return Err(Error::io("open", path)(ErrorKind::IsADirectory.into()));
        }
        if meta.is_file() && meta.len() == 0 {
            return Err(Error::format(path, "the file is empty"));
        }
        let source = if map && meta.is_file() {
            // SAFETY: the mapping is private to reading; that nobody truncates or rewrites the file while it is
            // mapped is the caller's promise (documented above and at --no-mmap), as with every reader of mapped files.
            Source::Mapped(unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io("map", path))?)
        } else {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(Error::io("read", path))?;
            if bytes.is_empty() {
                return Err(Error::format(path, "the file is empty"));
            }
            Source::Owned(bytes)
        };
        Ok(Self(Arc::new(source)))
    }

    /// Bytes of our own.
    pub fn owned(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Source::Owned(bytes)))
    }

    /// Bytes that are part of the program.
    pub fn fixed(bytes: &'static [u8]) -> Self {
        Self(Arc::new(Source::Static(bytes)))
    }

    /// Whether reading them may touch the disk.
    pub fn is_mapped(&self) -> bool {
        matches!(*self.0, Source::Mapped(_))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &*self.0 {
            Source::Mapped(map) => map,
            Source::Owned(bytes) => bytes,
            Source::Static(bytes) => bytes,
        }
    }
}
