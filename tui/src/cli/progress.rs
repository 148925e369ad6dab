//! A progress bar on stderr with time to go, where someone looks at it; and the cancel flag as a callback's answer.

use std::ops::ControlFlow;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use switchback_core::Progress;

use super::context::Context;

/// Follows one long call.
pub(crate) struct Meter<'a> {
    context: &'a Context,
    bar: Option<ProgressBar>,
    /// Shown before the count.
    label: String,
}

impl<'a> Meter<'a> {
    /// `label` must be safe to show.
    pub(crate) fn new(context: &'a Context, label: impl Into<String>) -> Self {
        Self { context, bar: None, label: label.into() }
    }

    /// For the core's `FnMut(Progress) -> ControlFlow<()>`.
    pub(crate) fn step(&mut self, progress: Progress) -> ControlFlow<()> {
        if self.context.shows_progress() {
            let bar = self.bar.get_or_insert_with(|| {
                let bar = ProgressBar::with_draw_target(Some(progress.total as u64), ProgressDrawTarget::stderr());
                let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg}, {eta} left")
                    .expect("the template is sound");
                bar.set_style(style);
                bar.set_prefix(self.label.clone());
                bar
            });
            bar.set_message(progress.what);
            bar.set_length(progress.total as u64);
            bar.set_position(progress.done as u64);
        }
        if self.context.cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
