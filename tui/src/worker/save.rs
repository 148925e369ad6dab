//! What is shown, as files: PNG, npy, JSON and the command that reproduces them; by the same code as the subcommands.

use std::path::{Path, PathBuf};

use switchback_core::{Error, atomic};

use crate::cli::features::Features;
use crate::cli::occlude::Occluded;
use crate::cli::project::Projected;
use crate::cli::sweep::{self, Artefact};
use crate::job::{Save, Saved};

/// The files that were written.
pub(super) fn write(save: &Save) -> anyhow::Result<Vec<PathBuf>> {
    let stem = free(&save.stem)?;
    let command = &save.command;
    match &save.what {
        Saved::Features { subject, run, layer } => all(
            &Features::of(&subject.opened, &run.loaded, *layer, &run.trace),
            &subject.opened.header(),
            &stem,
            command,
        ),
        Saved::Projection { subject, run, projection, rule } => {
            let top = run.classes.first().copied().unwrap_or((0, 0.0));
            let projected = Projected::of(&subject.opened, &run.loaded, (**projection).clone(), *rule, top);
            all(&projected, &subject.opened.header(), &stem, command)
        }
        Saved::Occlusion { subject, run, occlusion } => {
            let (settings, map) = (occlusion.settings.clone(), occlusion.map.clone());
            let occluded = Occluded::new(&subject.opened, &run.loaded, settings, map, occlusion.seconds)?;
            all(&occluded, &subject.opened.header(), &stem, command)
        }
    }
}

fn all<T: Artefact>(
    artefact: &T,
    header: &crate::cli::model::Header,
    stem: &Path,
    command: &str,
) -> anyhow::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for (extension, bytes) in sweep::files(artefact, header, command)? {
        let path = with_extension(stem, extension);
        atomic::write_bytes(&path, &bytes)?;
        written.push(path);
    }
    Ok(written)
}

const EXTENSIONS: [&str; 4] = ["png", "npy", "json", "sh"];

/// `stem`, or `stem-2`, …: nothing that is there is replaced.
fn free(stem: &Path) -> anyhow::Result<PathBuf> {
    let name = stem.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for n in 1..10_000 {
        let candidate = if n == 1 { stem.to_owned() } else { stem.with_file_name(format!("{name}-{n}")) };
        if EXTENSIONS.iter().all(|e| !with_extension(&candidate, e).exists()) {
            return Ok(candidate);
        }
    }
    Err(Error::Invalid(format!("{}: too many files of this name", super::task::shown(stem))).into())
}

/// Dots in the stem belong to it.
fn with_extension(stem: &Path, extension: &str) -> PathBuf {
    let name = stem.file_name().unwrap_or_default().to_string_lossy();
    stem.with_file_name(format!("{name}.{extension}"))
}
