//! A bench's results, and where they go: stdout, files, a comparison.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};
use switchback_core::atomic;

use super::compare::{self, Comparison};
use super::header::Header;
use super::roofline::{self, Roofline};
use super::{Common, Form, levels, threads};
use crate::cli::Outcome;
use crate::cli::context::Context;
use crate::cli::failure::show;
use crate::cli::json;
use crate::cli::output::{Format, Target, print};
use crate::cli::table::Table;
use crate::terminal;

/// Of a roofline in text.
const MOST_COLUMNS: usize = 100;
const ROOFLINE_ROWS: usize = 18;

/// Where a report goes, checked before the work starts.
pub(super) struct Destination<'a> {
    common: &'a Common,
    context: &'a Context,
    targets: Vec<Target>,
    before: Option<Value>,
}

impl<'a> Destination<'a> {
    pub(super) fn new(common: &'a Common, context: &'a Context, command: &str) -> anyhow::Result<Self> {
        let inputs: Vec<&Path> = common.compare.iter().map(|p| p.as_path()).collect();
        let formats = [Format::Md, Format::Csv, Format::Json, Format::Svg];
        let targets = common
            .output
            .iter()
            .map(|path| Target::new(path, &formats, command, &inputs))
            .collect::<anyhow::Result<_>>()?;
        if let Some(path) = &common.save {
            atomic::check_writable(path)?;
        }
        let before = common.compare.as_deref().map(compare::read).transpose()?;
        Ok(Self { common, context, targets, before })
    }

    /// Sends `report` everywhere; how the bench ended.
    pub(super) fn send(&self, mut report: Report) -> anyhow::Result<Outcome> {
        let Self { common, context, targets, before } = self;
        // Before the comparison is part of it.
        let kept = json::text(&report.document) + "\n";
        if let Some(before) = before {
            report.comparison = Some(compare::compare(before, &report.document, common.noise)?);
        }
        let document = report.document();
        for target in targets {
            let text = match target.format {
                Format::Csv => report.flat.csv(),
                Format::Json => json::text(&document) + "\n",
                Format::Svg => roofline::svg(&report.rooflines),
                _ => report.markdown(context, common.roofline),
            };
            target.write(text.as_bytes())?;
            context.note(format!("wrote {}", show(&target.path)));
        }
        let form = if context.options.json { Form::Json } else { common.format };
        if targets.is_empty() || context.options.json {
            let text = match form {
                Form::Md => report.markdown(context, common.roofline || terminal::stdout_is_terminal()),
                Form::Csv => report.flat.csv(),
                Form::Json => json::text(&document) + "\n",
            };
            print(text.as_bytes())?;
        }
        if let Some(path) = &common.save {
            atomic::write_bytes(path, kept.as_bytes())?;
            context.note(format!("kept the figures in {}", show(path)));
        }
        let slower = report.comparison.as_ref().is_some_and(|c| c.slower() > 0);
        for failure in &report.failures {
            context.warn(failure);
        }
        Ok(if slower || !report.failures.is_empty() { Outcome::Negative } else { Outcome::Done })
    }
}

/// One part of a report.
pub(super) struct Section {
    /// Safe to show.
    pub(super) title: String,
    pub(super) table: Table,
    /// Safe to show.
    pub(super) notes: Vec<String>,
}

/// What a bench found.
pub(super) struct Report {
    command: &'static str,
    header: Header,
    pub(super) sections: Vec<Section>,
    /// Everything in one table, for CSV.
    flat: Table,
    document: Value,
    comparison: Option<Comparison>,
    pub(super) rooflines: Vec<Roofline>,
    /// Wrong numbers; safe to show.
    pub(super) failures: Vec<String>,
}

impl Report {
    /// `document` is an object; the machine is added to it.
    pub(super) fn new(command: &'static str, header: Header, flat: Table, document: &impl Serialize) -> Self {
        let mut document = serde_json::to_value(document).expect("plain data turn into JSON");
        document["bench"] = json!(command);
        document["machine"] = serde_json::to_value(&header).expect("plain data turn into JSON");
        Self {
            command,
            header,
            sections: Vec::new(),
            flat,
            document,
            comparison: None,
            rooflines: Vec::new(),
            failures: Vec::new(),
        }
    }

    fn document(&self) -> Value {
        let mut document = self.document.clone();
        if let Some(comparison) = &self.comparison {
            document["comparison"] = serde_json::to_value(comparison).expect("plain data turn into JSON");
        }
        document
    }

    fn markdown(&self, context: &Context, draw: bool) -> String {
        let mut out = format!("# switchback bench {}\n\n", self.command);
        let levels: Vec<&str> = levels(context).iter().map(|l| l.name()).collect();
        let mut line = |text: String| writeln!(out, "{text}").expect("writing to a string");
        self.header.lines(&threads(context), &levels).into_iter().for_each(|l| line(format!("- {l}")));
        for warning in self.header.warnings().iter().chain(&self.failures) {
            line(format!("\n> **{warning}**"));
        }
        let compared = self.comparison.as_ref().map(Comparison::section);
        for section in self.sections.iter().chain(compared.as_ref()) {
            line(format!("\n## {}\n\n{}", section.title, section.table.markdown().trim_end()));
            section.notes.iter().for_each(|n| line(format!("\n{n}")));
        }
        for roofline in self.rooflines.iter().filter(|_| draw) {
            let drawn = roofline::text(roofline, terminal::size()[0].min(MOST_COLUMNS), ROOFLINE_ROWS);
            line(format!("\n```text\n{drawn}```"));
        }
        out
    }
}
