//! Pipes that close, disks that are full.
#![cfg(unix)]

use std::fs;
use std::process::Stdio;

use crate::command::binary;
use crate::tiny::folder;

#[test]
fn a_broken_pipe_is_success() {
    let folder = folder();
    for words in [
        &["--help"][..],
        &["models"],
        &["man"],
        &["completions", "bash"],
        &["layers", "-m", "tiny.safetensors", "--json"],
        &["classify", "-m", "tiny.safetensors", "red.png", "green.png"],
        &["occlude", "-m", "tiny.safetensors", "red.png", "--json"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output =
            binary().current_dir(folder.path()).args(words).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains("Broken pipe"), "{words:?}: {stderr}");
    }
}

#[test]
fn nobody_reads_stderr() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = binary().args(["layers", "-m", "none.onnx"]).stderr(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_full_disk_is_an_error() {
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
        eprintln!("skipped: no /dev/full");
        return;
    };
    for words in [&["--help"][..], &["models", "--json"], &["man"]] {
        let output = binary().args(words).stdout(full.try_clone().unwrap()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {stderr}");
        assert!(stderr.contains("stdout"), "{words:?}: {stderr}");
    }
    let folder = folder();
    std::os::unix::fs::symlink("/dev/full", folder.path().join("full.npy")).unwrap();
    let words = ["occlude", "-m", "tiny.safetensors", "red.png", "-o", "full.npy"];
    let output = binary().current_dir(folder.path()).args(words).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && stderr.contains("full.npy"), "{stderr}");
}
