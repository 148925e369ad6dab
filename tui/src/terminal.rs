//! What the terminal can do: colours by environment, size in cells, the shape of a cell.

use std::io::IsTerminal;

use crate::color::ColorMode;

/// What is asked of the environment, so that tests need not change their own.
pub(crate) trait Environment {
    /// The variable's value, if it is set.
    fn var(&self, name: &str) -> Option<String>;
}

/// The process's own environment.
pub(crate) struct Process;

impl Environment for Process {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// The colours that the environment promises; over SSH mostly `TERM` alone is left, so 256 is the careful answer.
///
/// `NO_COLOR` (any text) means none, unless `CLICOLOR_FORCE` asks for colour; an explicit `--color` stands above both.
pub(crate) fn detect(env: &impl Environment) -> ColorMode {
    let var = |name: &str| env.var(name).unwrap_or_default();
    let term = var("TERM");
    let forced = !matches!(&var("CLICOLOR_FORCE")[..], "" | "0");
    if !forced && !var("NO_COLOR").is_empty() {
        return ColorMode::None;
    }
    if term == "dumb" || (term.is_empty() && var("WT_SESSION").is_empty() && var("TERM_PROGRAM").is_empty()) {
        return if forced { ColorMode::Ansi16 } else { ColorMode::None };
    }
    // Old screen and mosh pass COLORTERM on but not the colours.
    let multiplexer = term.starts_with("screen") && var("TMUX").is_empty();
    if matches!(&var("COLORTERM")[..], "truecolor" | "24bit") && !multiplexer {
        return ColorMode::TrueColor;
    }
    if term.ends_with("-direct") || !var("WT_SESSION").is_empty() || !var("KONSOLE_VERSION").is_empty() {
        return ColorMode::TrueColor;
    }
    if var("VTE_VERSION").parse::<u32>().is_ok_and(|v| v >= 3600) {
        return ColorMode::TrueColor;
    }
    match &var("TERM_PROGRAM")[..] {
        "iTerm.app" | "WezTerm" | "vscode" | "ghostty" | "Hyper" | "rio" => return ColorMode::TrueColor,
        "Apple_Terminal" => return ColorMode::Ansi256,
        _ => {}
    }
    let known = ["xterm-kitty", "xterm-ghostty", "alacritty", "foot", "wezterm", "contour"];
    if known.iter().any(|name| term.starts_with(name)) {
        return ColorMode::TrueColor;
    }
    if term.contains("256color") {
        return ColorMode::Ansi256;
    }
    match &term[..] {
        "linux" => ColorMode::Console,
        "xterm" | "screen" | "tmux" | "vt220" | "ansi" | "cygwin" | "rxvt" => ColorMode::Ansi16,
        "vt100" | "vt102" => ColorMode::None,
        _ => ColorMode::Ansi256,
    }
}

/// The colours that somebody named, as this terminal shows them: sixteen of a console are its own.
pub(crate) fn named(mode: ColorMode, env: &impl Environment) -> ColorMode {
    if mode == ColorMode::Ansi16 && detect(env) == ColorMode::Console { ColorMode::Console } else { mode }
}

/// Whether stdout goes to a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Columns and rows: the terminal's, else `COLUMNS` and `LINES`, else 80 by 24.
pub(crate) fn size() -> [usize; 2] {
    let from_environment = |name: &str| Process.var(name).and_then(|v| v.parse().ok()).filter(|&n: &usize| n > 0);
    if stdout_is_terminal()
        && let Ok((columns, rows)) = crossterm::terminal::size()
        && columns > 0
        && rows > 0
    {
        return [usize::from(columns), usize::from(rows)];
    }
    [from_environment("COLUMNS").unwrap_or(80), from_environment("LINES").unwrap_or(24)]
}

/// Height of a cell over its width: what the terminal says of its pixels, else 2.
pub(crate) fn cell_aspect() -> f64 {
    let Ok(window) = crossterm::terminal::window_size() else { return 2.0 };
    let [columns, rows, width, height] = [window.columns, window.rows, window.width, window.height].map(f64::from);
    let aspect = (height / rows) / (width / columns);
    if aspect.is_finite() && (1.0..4.0).contains(&aspect) { aspect } else { 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Environment for &[(&str, &str)] {
        fn var(&self, name: &str) -> Option<String> {
            self.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn environments_and_their_colours() {
        use ColorMode::{Ansi256, Console, None, TrueColor};
        let cases: &[(&[(&str, &str)], ColorMode)] = &[
            (&[], None),
            (&[("TERM", "dumb")], None),
            (&[("TERM", "xterm-256color")], Ansi256),
            (&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")], TrueColor),
            (&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("NO_COLOR", "1")], None),
            (&[("TERM", "xterm-256color"), ("NO_COLOR", "")], Ansi256),
            (&[("TERM", "xterm-256color"), ("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], Ansi256),
            (&[("TERM", "linux")], Console),
            (&[("TERM", "linux"), ("NO_COLOR", "1")], None),
            (&[("TERM", "vt100")], None),
            (&[("TERM", "xterm-direct")], TrueColor),
            (&[("TERM", "xterm-kitty")], TrueColor),
            (&[("TERM", "screen.xterm-256color"), ("COLORTERM", "truecolor")], Ansi256),
            (&[("TERM", "screen-256color"), ("COLORTERM", "truecolor"), ("TMUX", "/tmp/x")], TrueColor),
            (&[("TERM", "tmux-256color")], Ansi256),
            (&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "Apple_Terminal")], Ansi256),
            (&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "WezTerm")], TrueColor),
            (&[("TERM", "xterm-256color"), ("VTE_VERSION", "7006")], TrueColor),
            (&[("WT_SESSION", "x")], TrueColor),
        ];
        for (environment, mode) in cases {
            assert_eq!(detect(environment), *mode, "{environment:?}");
        }
    }
}
