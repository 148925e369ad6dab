//! What to say when no command was given.

use std::ffi::OsString;
use std::path::Path;

use clap::CommandFactory;
use switchback_core::text::{escape, near};

use super::Cli;
use super::failure::{Failure, show};

const GUIDE: &str = "\
the browser needs a terminal, and stdout is none. Without it, in this order:

  switchback models                                    where public models live; fetch one
  switchback doctor   squeezenet1.1.onnx               is it sound, does it fit?
  switchback layers   -m squeezenet1.1.onnx            what its layers are called
  switchback classify -m squeezenet1.1.onnx cat.jpg    does it see the cat?
  switchback project  -m squeezenet1.1.onnx cat.jpg -l fire9/concat_1 --top 9
  switchback occlude  -m squeezenet1.1.onnx cat.jpg

`switchback --help` lists every command.";

/// Names of the commands that a typist of `word` may have meant.
pub(crate) fn near_commands(word: &str) -> Vec<String> {
    let command = Cli::command();
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    near(word, names.iter().map(String::as_str), 3)
}

/// The error for a line without a command: what to run first, or what to do with the file, or what may have been meant.
pub(crate) fn without_a_command(words: &[OsString]) -> anyhow::Error {
    let Some(word) = words.first() else { return Failure::usage(GUIDE) };
    let path = Path::new(word);
    let text = word.to_string_lossy();
    if path.exists() || text == "-" {
        let shown = show(path);
        let model =
            path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx") || e.eq_ignore_ascii_case("safetensors"));
        let advice = if model {
            format!(
                "{shown} looks like a model. Say what to do with it:\n\n  \
                 switchback layers -m {shown}\n  \
                 switchback doctor {shown}\n  \
                 switchback convert {shown} -o OUT.safetensors"
            )
        } else {
            format!(
                "the browser needs a terminal, and stdout is none. Say what to do with {shown}:\n\n  \
                 switchback classify -m MODEL {shown}\n  \
                 switchback features -m MODEL {shown} -l LAYER\n  \
                 switchback project  -m MODEL {shown} -l LAYER\n  \
                 switchback occlude  -m MODEL {shown}"
            )
        };
        return Failure::usage(advice);
    }
    if text.starts_with("scene:") {
        return Failure::at("unsupported", path, "built-in scenes are not in this version");
    }
    let near = near_commands(&text);
    let what = format!("\"{}\" is neither a command nor a file", escape(&text));
    if near.is_empty() {
        Failure::usage(format!("{what}; `switchback --help` lists the commands"))
    } else {
        Failure::usage(format!("{what}; near commands: {}", near.join(", ")))
    }
}

/// `switchback --resume layers`
pub(crate) fn browser_options_before_command() -> anyhow::Error {
    Failure::usage("--resume, --config and --fps belong to the browser: switchback browse --resume")
}

/// `switchback cat.jpg classify`
pub(crate) fn inputs_before_command(words: &[OsString]) -> anyhow::Error {
    let word = escape(&words[0].to_string_lossy()).into_owned();
    Failure::usage(format!("{word} stands before the command; inputs come after it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_find_their_command() {
        assert_eq!(near_commands("clasify")[0], "classify");
        assert_eq!(near_commands("layer")[0], "layers");
        assert!(near_commands("qqqq").is_empty());
    }
}
