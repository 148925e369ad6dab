//! Running the binary; help, man pages, completions.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What a run left behind.
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("text on stdout")
    }

    /// The one JSON document on stdout.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, Some(0), "{}", self.stderr);
        serde_json::from_slice(&self.stdout).unwrap_or_else(|e| panic!("{e} in {:?}", self.text()))
    }

    /// The one JSON document on stderr of a run that could not be.
    pub(crate) fn error(&self) -> Value {
        assert_eq!(self.status, Some(2), "{}", self.stderr);
        assert!(self.stdout.is_empty(), "data beside an error: {:?}", self.text());
        let document: Value = serde_json::from_str(&self.stderr).unwrap_or_else(|e| panic!("{e} in {:?}", self.stderr));
        let error = document["error"].clone();
        assert!(error["kind"].is_string() && error["message"].is_string(), "{document}");
        assert!(error.get("path").is_some_and(|p| p.is_null() || p.is_string()), "{document}");
        error
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).expect("text on stderr");
        Ran { status: output.status.code(), stdout: output.stdout, stderr }
    }
}

/// The binary, with an environment that says nothing of terminals.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchback"));
    command.stdin(Stdio::null()).env_remove("NO_COLOR").env_remove("COLORTERM").env("TERM", "xterm");
    command
}

/// Runs `words` in `folder`.
pub(crate) fn run_in(folder: &Path, words: &[&str]) -> Ran {
    binary().current_dir(folder).args(words).output().expect("the binary starts").into()
}

/// Runs `words`.
pub(crate) fn run(words: &[&str]) -> Ran {
    run_in(Path::new("."), words)
}

const COMMANDS: [&str; 11] = [
    "layers",
    "classify",
    "features",
    "project",
    "occlude",
    "convert",
    "models",
    "bench",
    "doctor",
    "completions",
    "man",
];

#[test]
fn help_of_every_command() {
    let top = run(&["--help"]);
    assert_eq!(top.status, Some(0));
    for command in COMMANDS {
        assert!(top.text().contains(&format!("  {command}")), "{command} is not listed");
        let long = run(&[command, "--help"]);
        assert_eq!((long.status, long.stderr.as_str()), (Some(0), ""), "{command}");
        assert!(long.text().contains(&format!("Usage: switchback {command}")), "{}", long.text());
        assert!(long.text().contains("--threads") && long.text().contains("--json"), "{command}");
        assert_eq!(run(&[command, "-h"]).status, Some(0));
    }
    assert!(run(&["--version"]).text().starts_with("switchback "));
}

#[test]
fn man_pages_and_completions_come_from_the_same_definition() {
    let page = run(&["man"]);
    assert_eq!(page.status, Some(0));
    assert!(page.text().contains(".TH switchback") && page.text().contains("occlude"), "{}", page.text());
    let page = run(&["man", "occlude"]);
    assert!(page.text().contains(".TH switchback\\-occlude") || page.text().contains(".TH switchback-occlude"));
    assert!(page.text().contains("stride"));
    assert!(run(&["man", "oclude"]).stderr.contains("occlude"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        assert_eq!(script.status, Some(0), "{shell}");
        assert!(script.text().contains("classify") && script.text().contains("preprocess"), "{shell}");
    }
}

#[test]
fn a_guide_where_no_command_is_given() {
    let nothing = run(&[]);
    assert_eq!(nothing.status, Some(2));
    assert!(nothing.stdout.is_empty() && nothing.stderr.contains("switchback classify"), "{}", nothing.stderr);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cat.jpg"), b"x").unwrap();
    let file = run_in(folder.path(), &["cat.jpg"]);
    assert_eq!(file.status, Some(2));
    assert!(file.stderr.contains("switchback occlude  -m MODEL cat.jpg"), "{}", file.stderr);
    let slip = run(&["clasify", "cat.jpg"]);
    assert_eq!(slip.status, Some(2));
    assert!(slip.stderr.contains("near commands: classify"), "{}", slip.stderr);
    let nonsense = run(&["qqqqqq", "--json"]);
    assert_eq!(nonsense.error()["kind"], "usage");
}

#[test]
fn public_models_are_listed() {
    let document = run(&["models", "--json"]).json();
    let models = document["models"].as_array().unwrap();
    let squeezenet = models.iter().find(|m| m["name"] == "squeezenet1.1-7").expect("the zoo's SqueezeNet");
    assert!(squeezenet["bytes"].as_u64().unwrap() > 4_000_000);
    assert_eq!(squeezenet["sha256"].as_str().unwrap().len(), 64);
    assert!(squeezenet["url"].as_str().unwrap().starts_with("https://"));
    assert!(models.iter().all(|m| m["supported"] == true));
    let all = run(&["models", "--all", "--json"]).json();
    assert!(all["models"].as_array().unwrap().len() > models.len());
    let table = run(&["models", "zfnet"]);
    assert!(table.text().lines().count() > 1 && table.text().contains("zfnet512-12"), "{}", table.text());
}

#[test]
fn doctor_looks_at_the_machine() {
    let document = run(&["doctor", "--json", "--threads", "3", "--level", "portable"]).json();
    assert_eq!(document["threads"]["used"], 3);
    assert_eq!(document["processor"]["level"], "portable");
    assert!(document["terminal"]["stdout"] == false && document["version"].is_string(), "{document}");
    assert!(run(&["doctor"]).text().contains("kernels"));
}
