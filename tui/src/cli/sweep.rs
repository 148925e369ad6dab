//! One method over one or many inputs: what is written where, what is skipped, what failed.
//!
//! ```text
//! words ─ Plan::new ─ (model opens) ─ Plan::run ─┬ one input:  stdout, JSON or a file
//!                                                └ many:       a file each in --out-dir
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use switchback_core::text::escape;
use switchback_core::{Error, atomic};

use super::Outcome;
use super::arguments::Output;
use super::context::Context;
use super::draw::{self, Sheet};
use super::failure::{self, Described, Failure, is_cancelled, show};
use super::input::{self, Loaded, Source};
use super::json;
use super::model::{Header, Opened};
use super::output::{self, Array, Format, Target, print};
use super::table::Table;

/// A result that can leave in every form.
pub(crate) trait Artefact {
    /// The JSON document without model and preprocessing.
    type Document: Serialize;
    /// How the result was made, without the bulk of it: kept in pictures and array files.
    type Record: Serialize;

    fn document(&self, output: Option<&Path>) -> Self::Document;
    fn record(&self) -> Self::Record;
    /// For people; safe to show, every line ended.
    fn summary(&self) -> String;
    fn table(&self) -> Table;
    /// The first is what `.npy` holds.
    fn arrays(&self) -> Vec<Array>;
    fn sheet(&self) -> anyhow::Result<Sheet>;
}

/// Inputs and where their results go, checked before the model is opened.
#[derive(Debug)]
pub(crate) struct Plan {
    command: &'static str,
    sources: Vec<Source>,
    destination: Destination,
}

#[derive(Debug)]
enum Destination {
    Stdout,
    File(Target),
    /// A target an input; those that are there already are skipped.
    Folder(Vec<Target>),
}

/// Model and preprocessing first, then the rest.
#[derive(Serialize)]
struct Whole<'a, T> {
    #[serde(flatten)]
    header: &'a Header,
    #[serde(flatten)]
    rest: T,
}

/// Of several inputs.
#[derive(Serialize)]
struct Many<T> {
    results: Vec<T>,
    /// Outputs that were there already.
    skipped: Vec<String>,
    failed: Vec<Failed>,
    /// Inputs that were not reached before the run was stopped.
    remaining: usize,
}

/// An input without a result.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failed {
    pub(crate) input: String,
    pub(crate) error: Described,
}

impl Failed {
    pub(crate) fn new(source: &Source, error: &anyhow::Error) -> Self {
        Self { input: source.name(), error: failure::describe(error) }
    }
}

/// Lists the inputs that failed. The error of the first where none succeeded.
pub(crate) fn outcome(
    context: &Context,
    failed: &[Failed],
    first: Option<anyhow::Error>,
    succeeded: usize,
) -> anyhow::Result<Outcome> {
    match first {
        None => Ok(Outcome::Done),
        Some(error) if succeeded == 0 && failed.len() == 1 => Err(error),
        Some(_) => {
            list(context, failed, succeeded);
            Ok(Outcome::Negative)
        }
    }
}

fn list(context: &Context, failed: &[Failed], succeeded: usize) {
    if failed.is_empty() {
        return;
    }
    context.warn(format!("{} of {} inputs failed:", failed.len(), failed.len() + succeeded));
    for f in failed {
        let name = escape(&f.input);
        // Most messages begin with the file's name already.
        let lead = if f.error.message.starts_with(&*name) { String::new() } else { format!("{name}: ") };
        context.warn(format!("  {lead}{}", f.error.message));
    }
}

impl Plan {
    pub(crate) fn new(
        context: &Context,
        words: &[PathBuf],
        output: &Output,
        allowed: &[Format],
        command: &'static str,
    ) -> anyhow::Result<Self> {
        // A wrong format is known at once; inputs may be a large folder.
        if let Some(path) = &output.output {
            Target::new(path, allowed, command, &[])?;
        }
        let sources = input::expand(context, words)?;
        let destination = match (&output.output, &output.out_dir) {
            (_, Some(dir)) => Destination::Folder(folder(dir, &output.format, &sources, allowed, command)?),
            (path, None) if sources.len() > 1 => {
                let instead = if path.is_some() { " instead of -o" } else { "" };
                let count = sources.len();
                return Err(Failure::usage(format!("{count} inputs need --out-dir DIR{instead}: one result each")));
            }
            (Some(path), None) => Destination::File(Target::new(path, allowed, command, &output::paths(&sources))?),
            (None, None) => Destination::Stdout,
        };
        Ok(Self { command, sources, destination })
    }

    /// Runs `method` on every input.
    pub(crate) fn run<T: Artefact>(
        &self,
        context: &Context,
        opened: &Opened,
        mut method: impl FnMut(&Loaded) -> anyhow::Result<T>,
    ) -> anyhow::Result<Outcome> {
        let header = opened.header();
        let mut one = |source: &Source| {
            context.check()?;
            let loaded = input::load(context, source, &opened.preprocess.record, opened.input_shape())?;
            method(&loaded)
        };
        match &self.destination {
            Destination::Stdout => {
                let result = one(&self.sources[0])?;
                if context.options.json {
                    print_json(&Whole { header: &header, rest: result.document(None) })?;
                } else {
                    let summary = result.summary();
                    if let Some(mode) = draw::mode(context) {
                        // The prompt takes a row too.
                        let below = summary.lines().count() + 1;
                        print(draw::text(&result.sheet()?, below, mode).as_bytes())?;
                    }
                    print(summary.as_bytes())?;
                }
                Ok(Outcome::Done)
            }
            Destination::File(target) => {
                let result = one(&self.sources[0])?;
                self.write(&header, &result, target)?;
                if context.options.json {
                    print_json(&Whole { header: &header, rest: result.document(Some(&target.path)) })?;
                } else {
                    context.note(result.summary().trim_end());
                    context.note(format!("wrote {}", show(&target.path)));
                }
                Ok(Outcome::Done)
            }
            Destination::Folder(targets) => self.many(context, &header, targets, one),
        }
    }

    /// Whether results fill a folder: one that is there counts as done.
    pub(crate) fn fills_folder(&self) -> bool {
        matches!(self.destination, Destination::Folder(_))
    }

    /// Whether results leave as more than summaries and tables of numbers.
    pub(crate) fn shows_panels(&self, context: &Context) -> bool {
        let shows = |target: &Target| !matches!(target.format, Format::Npy | Format::Csv);
        context.options.json
            || match &self.destination {
                Destination::Stdout => draw::mode(context).is_some(),
                Destination::File(target) => shows(target),
                Destination::Folder(targets) => targets.iter().any(shows),
            }
    }

    fn many<T: Artefact>(
        &self,
        context: &Context,
        header: &Header,
        targets: &[Target],
        mut one: impl FnMut(&Source) -> anyhow::Result<T>,
    ) -> anyhow::Result<Outcome> {
        let mut all = Many { results: Vec::new(), skipped: Vec::new(), failed: Vec::new(), remaining: 0 };
        let (mut first, mut stopped) = (None, None);
        for (at, (source, target)) in self.sources.iter().zip(targets).enumerate() {
            if target.path.exists() {
                all.skipped.push(target.path.to_string_lossy().into_owned());
                continue;
            }
            let stop = match one(source).map(|result| (self.write(header, &result, target), result)) {
                Ok((Ok(()), result)) => {
                    all.results.push(result.document(Some(&target.path)));
                    if !context.options.json {
                        print(format!("{}\n", show(&target.path)).as_bytes())?;
                    }
                    continue;
                }
                Err(error) if !is_cancelled(&error) => {
                    all.failed.push(Failed::new(source, &error));
                    first.get_or_insert(error);
                    continue;
                }
                Ok((Err(error), _)) | Err(error) => error,
            };
            all.remaining = targets[at..].iter().filter(|t| !t.path.exists()).count();
            stopped = Some(stop);
            break;
        }
        if !all.skipped.is_empty() {
            context.note(format!("{} of {} results were there already", all.skipped.len(), targets.len()));
        }
        let done = all.results.len() + all.skipped.len();
        let outcome = match stopped {
            Some(error) => {
                list(context, &all.failed, done);
                let rest = all.remaining;
                context.warn(format!(
                    "stopped: {done} of {} results are there; the same command makes the {rest} others",
                    targets.len()
                ));
                Err(error)
            }
            None => outcome(context, &all.failed, first, done),
        };
        // Where nothing at all came out, the error says all.
        if context.options.json && (outcome.is_ok() || done > 0) {
            print_json(&Whole { header, rest: all })?;
        }
        outcome
    }

    fn write<T: Artefact>(&self, header: &Header, result: &T, target: &Target) -> anyhow::Result<()> {
        let record = || json::text(&Whole { header, rest: result.record() });
        let bytes = match target.format {
            Format::Png => output::png_with_text(&draw::png(&result.sheet()?)?, &record()),
            Format::Npy => result.arrays()[0].to_npy(),
            Format::Safetensors => {
                let metadata = [("command", self.command.to_owned()), ("record", record())];
                output::safetensors(&result.arrays(), &metadata)?
            }
            Format::Json => {
                let document = result.document(Some(&target.path));
                (json::text(&Whole { header, rest: document }) + "\n").into_bytes()
            }
            Format::Csv => result.table().csv().into_bytes(),
            Format::Md | Format::Svg => unreachable!("no method offers it, so no target has it"),
        };
        target.write(&bytes)
    }
}

/// A result as files for the browser: extensions and bytes. The JSON document also tells the command.
pub(crate) fn files<T: Artefact>(
    result: &T,
    header: &Header,
    command: &str,
) -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
    #[derive(Serialize)]
    struct WithCommand<'a, T> {
        command: &'a str,
        #[serde(flatten)]
        rest: T,
    }
    let record = json::text(&Whole { header, rest: WithCommand { command, rest: result.record() } });
    let document = json::text(&Whole { header, rest: WithCommand { command, rest: result.document(None) } });
    Ok(vec![
        ("png", output::png_with_text(&draw::png(&result.sheet()?)?, &record)),
        ("npy", result.arrays()[0].to_npy()),
        ("json", (document + "\n").into_bytes()),
        ("sh", format!("{command}\n").into_bytes()),
    ])
}

/// A document and a line break to stdout.
pub(crate) fn print_json<T: Serialize>(document: &T) -> anyhow::Result<()> {
    print((json::text(document) + "\n").as_bytes())
}

fn folder(
    dir: &Path,
    format: &str,
    sources: &[Source],
    allowed: &[Format],
    command: &str,
) -> anyhow::Result<Vec<Target>> {
    let format = Format::named(format, allowed, command)?;
    let names = input::result_names(sources)?;
    if fs::metadata(dir).is_ok_and(|m| !m.is_dir()) {
        return Err(Failure::at("io", dir, "this is a file; --out-dir takes a folder"));
    }
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    let targets: Vec<Target> =
        names.iter().map(|name| Target { path: dir.join(format!("{name}.{}", format.extension())), format }).collect();
    let inputs = output::paths(sources);
    if let Some(missing) = targets.iter().find(|t| !t.path.exists()) {
        atomic::check_writable(&missing.path)?;
    }
    for target in &targets {
        output::refuse_overwriting(&target.path, &inputs)?;
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_are_made_where_they_leave() {
        let folder = tempfile::tempdir().expect("a folder");
        let words = [folder.path().join("a.npy")];
        fs::write(&words[0], b"").expect("it is written");
        let formats = [Format::Png, Format::Npy, Format::Safetensors, Format::Json, Format::Csv];
        let shows = |extension: &str, json: bool, many: bool| {
            let mut context = Context::for_tests();
            context.options.json = json;
            let at = folder.path().join("out");
            let output = Output {
                output: (!many).then(|| at.with_extension(extension)),
                out_dir: many.then_some(at),
                format: extension.into(),
            };
            Plan::new(&context, &words, &output, &formats, "occlude").expect("a plan").shows_panels(&context)
        };
        for many in [false, true] {
            for (extension, expected) in [("npy", false), ("csv", false), ("png", true), ("json", true)] {
                assert_eq!((shows(extension, false, many), shows(extension, true, many)), (expected, true));
            }
        }
    }
}
