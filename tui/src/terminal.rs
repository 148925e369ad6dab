//! What the terminal can show, from what its environment says.
//!
//! No question is sent to the terminal: a late answer on a slow line would become typed text. `--color` overrides.

use std::ffi::OsString;

use crate::color::ColorMode;

/// Colours that the terminal of this process can be trusted with.
pub(crate) fn color_mode() -> ColorMode {
    detect(|name| std::env::var_os(name))
}

/// Columns and rows, where there is a terminal to ask.
pub(crate) fn size() -> Option<(u16, u16)> {
    crossterm::terminal::size().ok().filter(|&(columns, rows)| columns > 0 && rows > 0)
}

/// Terminals that show 24-bit colours, by a part of `TERM`.
const TRUE_BY_TERM: [&str; 9] =
    ["truecolor", "direct", "kitty", "alacritty", "wezterm", "foot", "ghostty", "contour", "iterm"];
/// The same by `TERM_PROGRAM`.
const TRUE_BY_PROGRAM: [&str; 6] = ["iTerm.app", "WezTerm", "vscode", "ghostty", "Hyper", "rio"];

fn detect(variable: impl Fn(&str) -> Option<OsString>) -> ColorMode {
    let text = |name: &str| variable(name).map(|v| v.to_string_lossy().into_owned()).unwrap_or_default();
    let (term, program, depth) = (text("TERM").to_lowercase(), text("TERM_PROGRAM"), text("COLORTERM"));
    // https://no-color.org: set and not empty.
    if !text("NO_COLOR").is_empty() || term == "dumb" {
        return ColorMode::None;
    }
    // GNU screen passes COLORTERM on from outside and then drops 24-bit colours.
    let screen = term.starts_with("screen") && text("TMUX").is_empty();
    let claims = depth == "truecolor" || depth == "24bit";
    if !screen && (claims || TRUE_BY_TERM.iter().any(|t| term.contains(t)))
        || TRUE_BY_PROGRAM.contains(&program.as_str())
        || !text("WT_SESSION").is_empty()
    {
        return ColorMode::TrueColor;
    }
    if term.contains("256color") || screen {
        return ColorMode::Ansi256;
    }
    if term.is_empty() { ColorMode::None } else { ColorMode::Ansi16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(variables: &[(&str, &str)]) -> ColorMode {
        detect(|name| variables.iter().find(|v| v.0 == name).map(|v| v.1.into()))
    }

    #[test]
    fn environments() {
        assert_eq!(mode(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")]), ColorMode::TrueColor);
        assert_eq!(mode(&[("TERM", "xterm-kitty")]), ColorMode::TrueColor, "over ssh, where only TERM crosses");
        assert_eq!(mode(&[("TERM", "xterm-256color")]), ColorMode::Ansi256);
        assert_eq!(mode(&[("TERM", "screen.xterm-256color"), ("COLORTERM", "truecolor")]), ColorMode::Ansi256);
        assert_eq!(
            mode(&[("TERM", "screen-256color"), ("TMUX", "/tmp/x"), ("COLORTERM", "truecolor")]),
            ColorMode::TrueColor
        );
        assert_eq!(mode(&[("TERM", "linux")]), ColorMode::Ansi16);
        assert_eq!(mode(&[("TERM", "xterm-256color"), ("NO_COLOR", "1")]), ColorMode::None);
        assert_eq!(mode(&[("TERM", "xterm-256color"), ("NO_COLOR", "")]), ColorMode::Ansi256);
        assert_eq!(mode(&[("TERM", "dumb")]), ColorMode::None);
        assert_eq!(mode(&[]), ColorMode::None);
    }
}
