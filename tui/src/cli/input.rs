//! INPUT: pictures, folders of pictures, `-` for stdin, and `.npy` tensors.
//!
//! ```text
//! words → expand → [Source] → read → Loaded { tensor, placed picture, picture }
//! ```

use std::collections::HashSet;
use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use switchback_core::picture::Picture;
use switchback_core::preprocess::Preprocess;
use switchback_core::text::{escape, near};
use switchback_core::{Error, Shape, Tensor, npy};

use super::context::Context;
use super::failure::{Failure, show};
use super::guide;

/// One thing to run a network on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Picture(PathBuf),
    Tensor(PathBuf),
    Stdin,
}

impl Source {
    /// A file: a tensor by its extension, else a picture.
    pub(crate) fn of(path: &Path) -> Self {
        match has_extension(path, &["npy"]) {
            true => Source::Tensor(path.to_owned()),
            false => Source::Picture(path.to_owned()),
        }
    }

    /// As it was named; not safe to show.
    pub(crate) fn name(&self) -> String {
        match self {
            Source::Picture(path) | Source::Tensor(path) => path.to_string_lossy().into_owned(),
            Source::Stdin => "-".into(),
        }
    }

    /// The file, if it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Source::Picture(path) | Source::Tensor(path) => Some(path),
            Source::Stdin => None,
        }
    }
}

/// An input that was read.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Picture(Picture),
    Tensor(Tensor),
}

/// An input in the network's own space.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// As it was named; not safe to show.
    pub(crate) name: String,
    pub(crate) tensor: Tensor,
    /// What the network sees before normalisation; a tensor has none.
    pub(crate) placed: Option<Picture>,
}

const PICTURES: [&str; 9] = ["jpg", "jpeg", "jpe", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// Whether a file's name is that of a picture or tensor.
pub(crate) fn is_input(path: &Path) -> bool {
    has_extension(path, &PICTURES) || has_extension(path, &["npy"])
}

/// Whether a file's name is that of a model.
pub(crate) fn is_model(path: &Path) -> bool {
    has_extension(path, &["onnx", "safetensors"])
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|e| extensions.iter().any(|x| e.eq_ignore_ascii_case(x)))
}

/// All that the words mean, in their order; a folder becomes the pictures directly in it, by name.
pub(crate) fn expand(context: &Context, words: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut seen = HashSet::new();
    for word in words {
        let text = word.to_string_lossy();
        if word.as_os_str() == "-" {
            if !seen.insert(Source::Stdin) {
                return Err(Failure::usage("stdin (-) can be read only once"));
            }
            sources.push(Source::Stdin);
        } else if text.starts_with("scene:") && !word.exists() {
            let message = "built-in scenes are not in this version; give a picture";
            return Err(Failure::at("unsupported", word, message));
        } else if word.is_dir() {
            sources.extend(folder(context, word)?.into_iter().filter(|s| seen.insert(s.clone())));
        } else {
            if let Err(error) = fs::metadata(word) {
                return Err(missing(word, error));
            }
            let source = Source::of(word);
            if seen.insert(source.clone()) {
                sources.push(source);
            }
        }
    }
    Ok(sources)
}

/// The error for a file that is not there: names in its folder, and commands, that may have been meant.
pub(crate) fn missing(word: &Path, error: io::Error) -> anyhow::Error {
    if error.kind() != io::ErrorKind::NotFound {
        return Error::io("open", word)(error).into();
    }
    let mut advice = String::new();
    let files = near_files(word);
    if !files.is_empty() {
        advice += &format!("; near names: {}", files.join(", "));
    }
    let commands = guide::near_commands(&word.to_string_lossy());
    if !commands.is_empty() {
        advice += &format!("; near commands: {}", commands.join(", "));
    }
    Failure::at("io", word, format!("no such file or folder{advice}"))
}

/// Names in the folder of `word` that are like it; safe to show.
fn near_files(word: &Path) -> Vec<String> {
    /// Enough of a folder for advice.
    const MOST: usize = 10_000;
    let folder = word.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Some(name), Ok(entries)) = (word.file_name(), fs::read_dir(folder)) else { return Vec::new() };
    let names: Vec<String> =
        entries.take(MOST).filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned())).collect();
    let shown = |n: String| show(&word.with_file_name(n));
    near(&name.to_string_lossy(), names.iter().map(String::as_str), 3).into_iter().map(shown).collect()
}

fn folder(context: &Context, path: &Path) -> anyhow::Result<Vec<Source>> {
    let mut pictures = Vec::new();
    let mut skipped = 0;
    for entry in fs::read_dir(path).map_err(Error::io("read", path))? {
        let entry = entry.map_err(Error::io("read", path))?.path();
        let hidden = entry.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if !hidden && has_extension(&entry, &PICTURES) && entry.is_file() {
            pictures.push(entry);
        } else {
            skipped += 1;
        }
    }
    pictures.sort();
    if pictures.is_empty() {
        let what = format!("no pictures in this folder ({skipped} other entries)");
        return Err(Failure::at("invalid", path, what));
    }
    if skipped > 0 {
        context.note(format!("{}: {} pictures, {skipped} other entries skipped", show(path), pictures.len()));
    }
    Ok(pictures.into_iter().map(Source::Picture).collect())
}

/// Reads and decodes; a tensor must have the shape `expected`.
pub(crate) fn read(context: &Context, source: &Source, expected: Shape) -> anyhow::Result<Input> {
    Ok(match source {
        Source::Picture(path) => Input::Picture(Picture::open(path)?),
        Source::Tensor(path) => Input::Tensor(npy::read_input(path, expected)?),
        Source::Stdin => {
            let bytes = stdin(context)?;
            if bytes.is_empty() {
                return Err(Failure::at("format", Path::new("-"), "nothing came on stdin; a picture was expected"));
            }
            Input::Picture(Picture::decode(Path::new("-"), &bytes)?)
        }
    })
}

/// Reads an input and brings it to the network.
pub(crate) fn load(
    context: &Context,
    source: &Source,
    preprocess: &Preprocess,
    expected: Shape,
) -> anyhow::Result<Loaded> {
    bring(source, read(context, source, expected)?, preprocess, expected)
}

/// Brings what was read from `source` to the network.
pub(crate) fn bring(source: &Source, input: Input, preprocess: &Preprocess, expected: Shape) -> anyhow::Result<Loaded> {
    let name = source.name();
    Ok(match input {
        Input::Tensor(tensor) => Loaded { name, tensor, placed: None },
        Input::Picture(picture) => {
            let placed = preprocess.place(&picture, expected)?;
            Loaded { name, tensor: preprocess.normalise(&placed, expected)?, placed: Some(placed) }
        }
    })
}

/// All of stdin, on a thread of its own: a read that waits for a pipe cannot see the cancel flag.
fn stdin(context: &Context) -> anyhow::Result<Vec<u8>> {
    if io::stdin().is_terminal() {
        return Err(Failure::usage("- reads a picture from stdin, but stdin is a terminal"));
    }
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let result = io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes);
        // Nobody waits any more after an interrupt.
        let _ = send.send(result);
    });
    loop {
        match receive.recv_timeout(Duration::from_millis(50)) {
            Ok(result) => return Ok(result.map_err(Error::io("read", "-"))?),
            Err(RecvTimeoutError::Timeout) => context.check()?,
            Err(RecvTimeoutError::Disconnected) => return Err(anyhow::anyhow!("reading stdin failed")),
        }
    }
}

/// A name for the results of each source in one folder: the file's stem, more of its path where stems are alike.
pub(crate) fn result_names(sources: &[Source]) -> anyhow::Result<Vec<String>> {
    let parts = |source: &Source, level: usize| -> String {
        let Some(path) = source.path() else { return "stdin".into() };
        let text = |p: Option<&std::ffi::OsStr>| p.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
        match level {
            0 => text(path.file_stem()),
            1 => text(path.file_name()),
            _ => {
                let normal = path.components().filter(|c| matches!(c, std::path::Component::Normal(_)));
                normal.map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("_")
            }
        }
    };
    let mut names: Vec<String> = sources.iter().map(|s| parts(s, 0)).collect();
    for level in 1..=3 {
        let mut count = std::collections::HashMap::new();
        for name in &names {
            *count.entry(name.to_lowercase()).or_insert(0) += 1;
        }
        let alike: Vec<usize> = (0..names.len()).filter(|&i| count[&names[i].to_lowercase()] > 1).collect();
        match alike.first() {
            None => return Ok(names),
            Some(&i) if level == 3 => {
                let name = escape(&names[i]).into_owned();
                return Err(Failure::usage(format!("several inputs would give results named {name}")));
            }
            Some(_) => alike.iter().for_each(|&i| names[i] = parts(&sources[i], level)),
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[&str]) -> Vec<String> {
        let sources: Vec<_> = paths.iter().map(|p| Source::Picture(p.into())).collect();
        result_names(&sources).unwrap()
    }

    #[test]
    fn results_are_named_as_short_as_they_stay_apart() {
        assert_eq!(names(&["a/cat.jpg", "b/dog.png"]), ["cat", "dog"]);
        assert_eq!(names(&["a/cat.jpg", "a/cat.png", "a/dog.png"]), ["cat.jpg", "cat.png", "dog"]);
        assert_eq!(names(&["a/cat.jpg", "b/CAT.jpg"]), ["a_cat.jpg", "b_CAT.jpg"]);
        let twice = [Source::Picture("a/b.jpg".into()), Source::Picture("./a/b.jpg".into())];
        assert!(result_names(&twice).is_err());
    }

    #[test]
    fn extensions_decide_without_case() {
        assert!(has_extension(Path::new("a.JPEG"), &PICTURES));
        assert!(!has_extension(Path::new("jpeg"), &PICTURES));
    }
}
