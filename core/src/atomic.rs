//! Files written whole or not at all.
//!
//! ```text
//! check_writable ── work ── temporary file beside the target ── fsync ── rename ── fsync of the folder
//! ```
//! An interrupted run, a full disk or a failing writer leaves the old file as it was and no temporary file behind.
//! Targets that are no regular files (`/dev/stdout`, a pipe) are written directly: they cannot be replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// Writes `path` through `fill`, which gets a buffered writer; what stood there is replaced only if all went well.
///
/// # Errors
/// What `fill` returns, and [`Error::Io`] naming `path` when its folder is missing, not writable or full.
pub fn write<F>(path: &Path, fill: F) -> Result<()>
where
    F: FnOnce(&mut dyn Write) -> Result<()>,
{
    let target = resolve(path)?;
    if target.special {
        let file = OpenOptions::new().write(true).open(path).map_err(Error::io("write", path))?;
        let mut out = BufWriter::new(file);
        fill(&mut out)?;
        return out.flush().map_err(Error::io("write", path));
    }
    let temporary = temporary(&target.folder).map_err(Error::io("write", path))?;
    // Through the file itself: errors of the other way name the temporary file, which nobody asked for.
    let mut out = BufWriter::with_capacity(1 << 18, temporary.as_file());
    fill(&mut out)?;
    out.flush().map_err(Error::io("write", path))?;
    drop(out);
    let finish = || -> io::Result<()> {
        temporary.as_file().sync_all()?;
        temporary.persist(&target.file).map_err(|e| e.error)?;
        // The rename itself must reach the disk too; not every file system can sync a folder, and the file is whole
        // either way.
        if cfg!(unix) {
            let _ = File::open(&target.folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    };
    finish().map_err(Error::io("write", path))
}

/// [`write()`] for bytes that are at hand.
///
/// # Errors
/// As [`write()`].
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, |out| out.write_all(bytes).map_err(Error::io("write", path)))
}

/// Whether [`write()`] to `path` would be let in: asked before long work, so that it is not lost at its end.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub fn check_writable(path: &Path) -> Result<()> {
    let target = resolve(path)?;
    if target.special {
        OpenOptions::new().write(true).open(path).map_err(Error::io("write", path))?;
    } else {
        temporary(&target.folder).map_err(Error::io("write", path))?;
    }
    Ok(())
}

/// Where the bytes go.
struct Target {
    /// The file that is replaced: behind a symbolic link, what it points at.
    file: PathBuf,
    folder: PathBuf,
    /// Neither a regular file nor absent.
    special: bool,
}

fn resolve(path: &Path) -> Result<Target> {
    let refuse = |kind: ErrorKind, why: String| Err(Error::io("write", path)(io::Error::new(kind, why)));
    let file = match fs::canonicalize(path) {
        Ok(real) => real,
        Err(e) if e.kind() == ErrorKind::NotFound => path.to_owned(),
        Err(e) => return Err(Error::io("write", path)(e)),
    };
    let folder = match file.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => return refuse(ErrorKind::IsADirectory, "it is a folder".into()),
    };
    let mut special = false;
    match fs::metadata(&file) {
        Ok(meta) if meta.is_dir() => return refuse(ErrorKind::IsADirectory, "it is a folder".into()),
        Ok(meta) if !meta.is_file() => special = true,
        Ok(meta) if meta.permissions().readonly() => {
            return refuse(ErrorKind::PermissionDenied, "the file there is read-only".into());
        }
        Ok(_) => {}
        Err(_) if file.file_name().is_none() => return refuse(ErrorKind::InvalidInput, "that is no file name".into()),
        Err(_) if !folder.is_dir() => {
            return refuse(ErrorKind::NotFound, format!("there is no folder {}", folder.display()));
        }
        Err(_) => {}
    }
    Ok(Target { file, folder, special })
}

/// An empty file in `folder` that vanishes when dropped, with the rights of an ordinary new file.
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".switchback-").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder).map_err(|e| e.kind().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn errors_name_the_file_that_was_asked_for() {
        let error = check_writable(Path::new("/proc/result.png")).unwrap_err().to_string();
        assert!(error.starts_with("/proc/result.png: cannot write: ") && !error.contains(".part"), "{error}");
    }

    #[test]
    fn replaces_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_bytes(&path, b"old").unwrap();
        let failed = write(&path, |out| {
            out.write_all(b"half").map_err(Error::io("write", &path))?;
            Err(Error::Invalid("no more".into()))
        });
        assert!(matches!(failed, Err(Error::Invalid(_))));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.txt"]);
        write_bytes(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn says_no_before_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none/a.txt");
        let message = check_writable(&missing).unwrap_err().to_string();
        assert!(message.contains("a.txt") && message.contains("there is no folder"), "{message}");
        assert!(check_writable(folder.path()).unwrap_err().to_string().contains("folder"));
        let path = folder.path().join("kept.txt");
        write_bytes(&path, b"kept").unwrap();
        let mut rights = fs::metadata(&path).unwrap().permissions();
        rights.set_readonly(true);
        fs::set_permissions(&path, rights).unwrap();
        assert!(check_writable(&path).unwrap_err().to_string().contains("read-only"));
        assert!(write_bytes(&path, b"lost").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"kept");
        check_writable(&folder.path().join("b.txt")).unwrap();
        assert_eq!(names(folder.path()), ["kept.txt"]);
    }

    #[cfg(unix)]
    #[test]
    fn follows_links_and_writes_to_devices() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real.txt");
        let link = folder.path().join("link.txt");
        write_bytes(&real, b"1").unwrap();
        symlink(&real, &link).unwrap();
        write_bytes(&link, b"2").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"2");
        let plain = folder.path().join("plain.txt");
        File::create(&plain).unwrap();
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&real), mode(&plain), "an ordinary file's rights");
        check_writable(Path::new("/dev/null")).unwrap();
        write_bytes(Path::new("/dev/null"), b"gone").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        assert_ne!(fs::metadata("/dev/null").unwrap().mode(), mode(&real));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            println!("skipped: no /dev/full");
            return;
        }
        let message = write_bytes(full, &[0; 1 << 16]).unwrap_err().to_string();
        assert!(message.starts_with("/dev/full: cannot write"), "{message}");
    }
}
