//! Pipes that close, disks that are full, and interrupts.
#![cfg(unix)]

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::command::binary;
use crate::tiny::{folder, paint};

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

/// Starts `words` in the folder, waits until it has work to do, sends `signal`; status and stderr.
fn interrupted(folder: &std::path::Path, words: &[&str], signal: &str) -> (Option<i32>, String) {
    let mut child = binary()
        .current_dir(folder)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    sleep(Duration::from_millis(700));
    assert_eq!(child.try_wait().unwrap(), None, "{words:?} ended before it could be interrupted");
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    let start = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if start.elapsed() > Duration::from_secs(20) => {
                child.kill().unwrap();
                panic!("{words:?} does not stop on {signal}");
            }
            None => sleep(Duration::from_millis(20)),
        }
    };
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (status.code(), stderr)
}

#[test]
fn an_interrupt_while_stdin_is_awaited() {
    let folder = folder();
    for signal in ["INT", "TERM"] {
        let (status, stderr) = interrupted(folder.path(), &["classify", "-m", "tiny.safetensors", "-"], signal);
        assert_eq!(status, Some(130), "{stderr}");
        assert!(stderr.contains("interrupted"), "{stderr}");
    }
}

#[test]
fn an_interrupt_in_the_middle_of_the_work_leaves_nothing_half_written() {
    let folder = folder();
    fs::create_dir(folder.path().join("many")).unwrap();
    // More pictures than any machine gets through before the signal comes.
    for i in 0..400 {
        paint(&folder.path().join(format!("many/{i}.bmp")), 600, 600, |x, y| [x as u8, y as u8, i as u8]);
    }
    let words = ["occlude", "-m", "tiny.safetensors", "many", "--out-dir", "maps", "-t", "1", "--json"];
    let (status, stderr) = interrupted(folder.path(), &words, "INT");
    assert_eq!(status, Some(130), "{stderr}");
    let error: serde_json::Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!(error["error"]["kind"], "cancelled");
    let entries: Vec<_> = fs::read_dir(folder.path().join("maps")).unwrap().map(|e| e.unwrap().path()).collect();
    for path in &entries {
        assert!(path.extension().is_some_and(|e| e == "png"), "{path:?} is left over");
        image::open(path).unwrap();
    }
    assert!(entries.len() < 400);
}

#[test]
fn an_interrupted_bench_writes_nothing() {
    let folder = folder();
    let words = ["bench", "net", "-m", "tiny.safetensors", "-t", "1", "--seconds", "600", "--save", "kept.json"];
    let (status, stderr) = interrupted(folder.path(), &words, "INT");
    assert_eq!(status, Some(130), "{stderr}");
    assert!(!folder.path().join("kept.json").exists());
}
