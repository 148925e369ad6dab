//! SIGINT and SIGTERM: what is kept, what is written, what goes on.
#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use switchback_core::Dtype;
use switchback_core::architecture::{Name, build};
use switchback_core::import::native;

use crate::command::{Ran, binary, run_in};
use crate::tiny::{folder, npy, paint};

fn start(folder: &Path, words: &[&str]) -> Child {
    let mut command = binary();
    command.current_dir(folder).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the binary starts")
}

/// Sends `signal`; how the process ends.
fn interrupt(mut child: Child, signal: &str) -> Ran {
    // Closing stdin would be news of its own.
    let _stdin = child.stdin.take();
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(Duration::from_secs(60)) {
        Ok(output) => output.expect("the process ends").into(),
        Err(_) => {
            let _ = Command::new("kill").args(["-s", "KILL", &id]).status();
            panic!("it does not stop on {signal}");
        }
    }
}

/// Starts `words` in the folder, waits until it has work to do, sends `signal`.
fn interrupted(folder: &Path, words: &[&str], signal: &str) -> Ran {
    let mut child = start(folder, words);
    sleep(Duration::from_millis(700));
    assert_eq!(child.try_wait().unwrap(), None, "{words:?} ended before it could be interrupted");
    interrupt(child, signal)
}

#[test]
fn an_interrupt_while_stdin_is_awaited() {
    let folder = folder();
    for signal in ["INT", "TERM"] {
        let ran = interrupted(folder.path(), &["classify", "-m", "tiny.safetensors", "-"], signal);
        assert_eq!(ran.status, Some(130), "{}", ran.stderr);
        assert!(ran.stderr.contains("interrupted"), "{}", ran.stderr);
    }
}

#[test]
fn an_interrupted_bench_writes_nothing() {
    let folder = folder();
    let words = ["bench", "net", "-m", "tiny.safetensors", "-t", "1", "--seconds", "600", "--save", "kept.json"];
    let ran = interrupted(folder.path(), &words, "INT");
    assert_eq!(ran.status, Some(130), "{}", ran.stderr);
    assert!(!folder.path().join("kept.json").exists());
}

/// A folder with a network that takes its time, and `pictures/` of `count` pictures.
fn slow(count: usize) -> tempfile::TempDir {
    let folder = folder();
    let model = build(Name::SqueezeNet11, 3);
    native::write(&folder.path().join("slow.safetensors"), &model, None, None, Dtype::F32).expect("it is written");
    fs::create_dir(folder.path().join("pictures")).unwrap();
    for i in 0..count {
        let colour = |x: u32, y: u32| [x as u8, (y * (i as u32 + 1)) as u8, (40 * i) as u8];
        paint(&folder.path().join(format!("pictures/{i:02}.bmp")), 224, 224, colour);
    }
    folder
}

/// Interrupts `words` later and later, until there is something to keep.
fn partial(folder: &Path, words: &[&str], signal: &str) -> Ran {
    for milliseconds in [500, 1000, 2000, 4000, 8000, 16000] {
        let mut child = start(folder, words);
        sleep(Duration::from_millis(milliseconds));
        assert_eq!(child.try_wait().unwrap(), None, "{words:?} ended before it could be interrupted");
        let ran = interrupt(child, signal);
        assert_eq!(ran.status, Some(130), "{}", ran.stderr);
        if ran.stderr.contains("partial") {
            return ran;
        }
    }
    panic!("nothing was kept of {words:?}");
}

#[test]
fn a_map_that_is_interrupted_is_kept_and_says_that_it_is_partial() {
    let folder = slow(1);
    let words = "occlude -m slow.safetensors pictures/00.bmp --preprocess torchvision --stride 2 -t 1";
    let words: Vec<&str> = words.split(' ').collect();

    let ran = partial(folder.path(), &[&words[..], &["--json"]].concat(), "INT");
    let document: Value = serde_json::from_slice(&ran.stdout).expect("one document");
    let (computed, of) = (document["partial"]["places"].as_u64().unwrap(), document["partial"]["of"].as_u64().unwrap());
    assert_eq!(of, 97 * 97);
    // One place in sixteen is coarse.
    assert!((25 * 25..of).contains(&computed), "{computed} of {of}");
    let share = document["partial"]["computed"].as_f64().unwrap();
    assert!((share - computed as f64 / of as f64).abs() < 1e-6);
    let places = document["probability"].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
    assert_eq!(places.filter(|p| p.is_number()).count() as u64, of);

    let ran = partial(folder.path(), &[&words[..], &["-o", "map.npy"]].concat(), "TERM");
    assert!(ran.stdout.is_empty() && ran.stderr.contains("wrote map.npy"), "{}", ran.stderr);
    let said = ran.stderr.split(" · partial, ").nth(1).and_then(|t| t.split(' ').next()).expect("a share");
    let (shape, numbers) = npy(&folder.path().join("map.npy"));
    let known = numbers.iter().filter(|p| !p.is_nan()).count();
    assert_eq!(shape, [97, 97]);
    assert!((25 * 25..97 * 97).contains(&known));
    assert_eq!(format!("{:.0}", 100.0 * known as f64 / numbers.len() as f64), said);
}

/// The results in `maps`; nothing else lies there.
fn results(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder.join("maps")) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn a_folder_goes_on_where_it_was_interrupted() {
    const COUNT: usize = 12;
    let folder = slow(COUNT);
    let path = folder.path();
    fs::write(path.join("pictures/0-broken.png"), b"no picture").unwrap();
    let start_of =
        "occlude -m slow.safetensors pictures --preprocess torchvision --stride 24 -t 1 --format npy --out-dir";
    let mut words: Vec<&str> = start_of.split(' ').chain(["maps"]).collect();
    let mut before = Vec::new();
    for (signal, json) in [("INT", false), ("TERM", true)] {
        let all = [&words[..], if json { &["--json"][..] } else { &[] }].concat();
        let mut child = start(path, &all);
        let begun = Instant::now();
        while results(path).iter().filter(|p| p.extension().is_some_and(|e| e == "npy")).count() <= before.len() {
            assert!(child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(60), "no result");
            sleep(Duration::from_millis(2));
        }
        let ran = interrupt(child, signal);
        assert_eq!(ran.status, Some(130), "{}", ran.stderr);
        let now = results(path);
        assert!(now.len() > before.len() && now.len() < COUNT, "{now:?}");
        for result in &now {
            assert_eq!(npy(result).0, [9, 9], "{result:?} is whole");
        }
        assert!(ran.stderr.contains("0-broken.png"), "{}", ran.stderr);
        let rest = COUNT + 1 - now.len();
        if json {
            let error: Value = serde_json::from_str(&ran.stderr).expect("one document");
            assert_eq!(error["error"]["kind"], "cancelled");
            let document: Value = serde_json::from_slice(&ran.stdout).expect("one document");
            assert_eq!(document["skipped"].as_array().unwrap().len(), before.len());
            assert_eq!(document["results"].as_array().unwrap().len(), now.len() - before.len());
            let (failed, remaining) = (document["failed"].as_array().unwrap(), document["remaining"].as_u64().unwrap());
            assert_eq!(failed.len() + remaining as usize, rest, "{document}");
        } else {
            assert!(ran.stderr.contains(&format!("{} of {} results", now.len(), COUNT + 1)), "{}", ran.stderr);
        }
        before = now;
    }
    let kept: Vec<_> = before.iter().map(|p| (p.clone(), fs::metadata(p).unwrap().modified().unwrap())).collect();
    let last = run_in(path, &words);
    assert_eq!(last.status, Some(1), "{}", last.stderr);
    assert!(last.stderr.contains("1 of 13 inputs failed") && last.stderr.contains("0-broken.png"), "{}", last.stderr);
    assert_eq!(results(path).len(), COUNT);
    for (path, modified) in kept {
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), modified, "{path:?} was made twice");
    }
    // What came in parts is what comes in one go.
    *words.last_mut().unwrap() = "again";
    assert_eq!(run_in(path, &words).status, Some(1));
    for result in results(path) {
        let again = path.join("again").join(result.file_name().unwrap());
        assert_eq!(fs::read(&result).unwrap(), fs::read(again).unwrap(), "{result:?}");
    }
}
