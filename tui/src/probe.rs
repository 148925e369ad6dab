//! What the terminal says of itself: asked with the first frame, never waited for.
//!
//! ```text
//! CSI 48;2;1;2;3 m  DCS $ q m ST   which colours are set?   DCS 1 $ r 48;2;1;2;3 m ST      it knows 24-bit colours
//! CSI ? 2026 $ p                   frames shown at once?    CSI ? 2026 ; 1|2|3 $ y         it does
//! CSI 16 t                         the size of a cell?      CSI 6 ; HEIGHT ; WIDTH t
//! OSC 11 ; ? ST                    the background?          OSC 11 ; rgb:RRRR/GGGG/BBBB ST
//! CSI 5 n                          are you there?           CSI 0 n                        all before it is shown
//! ```
//!
//! Before an answer, and for ever without one, the terminfo entry and the environment decide. Whoever parses the input
//! takes replies out of it however late they are.

use crate::color::ColorMode;
use crate::terminal::{Environment, detect, named};

/// Sets a colour, asks for it, takes it back; then the other questions, and the one that every terminal answers.
pub(crate) const QUESTIONS: &str =
    "\x1b[48;2;1;2;3m\x1bP$qm\x1b\\\x1b[m\x1b[?2026$p\x1b[16t\x1b]11;?\x1b\\\x1b[5n\r\x1b[2K";

/// "Are you there?": a terminal answers it when all before it is on the screen.
pub(crate) const MARK: &str = "\x1b[5n";

/// Whether what stands on the screen is dark or light by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Background {
    /// Light text on dark ground.
    Dark,
    /// Dark text on light ground.
    Light,
}

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reply {
    /// To [`MARK`].
    Here,
    /// Whether a 24-bit colour came back as it was set; `None`: the question was not understood.
    TrueColor(Option<bool>),
    /// Whether frames can be shown at once.
    Synchronized(bool),
    /// Width and height of a cell in pixels.
    Cell([u32; 2]),
    /// The background.
    Background(Background),
    /// Something that nobody asked.
    Other,
}

impl Reply {
    /// The reply in `ESC [ text last`; `None` where it may be a key.
    pub(crate) fn of_control(text: &str, last: u8) -> Option<Self> {
        match (text, last) {
            ("0", b'n') => return Some(Self::Here),
            (_, b'n' | b'c' | b't' | b'y' | b'x') => {}
            _ if text.starts_with(['?', '>', '=']) => {}
            _ => return None,
        }
        if let Some(state) = text.strip_prefix("?2026;").and_then(|t| t.strip_suffix('$')) {
            return Some(Self::Synchronized(matches!(state, "1" | "2" | "3")));
        }
        let numbers: Vec<u32> = text.split(';').filter_map(|n| n.parse().ok()).collect();
        match (last, &numbers[..]) {
            (b't', &[6, height, width]) if height > 0 && width > 0 => Some(Self::Cell([width, height])),
            _ => Some(Self::Other),
        }
    }

    /// The reply in `ESC introducer text ST`.
    pub(crate) fn of_text(introducer: u8, text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let reply = match introducer {
            b'P' => colours_set(&text).map(Self::TrueColor),
            b']' => text.strip_prefix("11;").and_then(background).map(Self::Background),
            _ => None,
        };
        Some(reply.unwrap_or(Self::Other))
    }
}

/// Whether `1$r … m` holds the ground that was set; `0$r` says that the question was not understood.
fn colours_set(text: &str) -> Option<Option<bool>> {
    if text.starts_with("0$r") {
        return Some(None);
    }
    let set = text.strip_prefix("1$r")?.strip_suffix('m')?;
    // 48;2;1;2;3 or 48:2:1:2:3 or, with the colour space between, 48:2::1:2:3.
    let numbers: Vec<&str> = set.split([';', ':']).collect();
    let whole = |form: &[&str]| numbers.windows(form.len()).any(|w| w == form);
    Some(Some(whole(&["48", "2", "1", "2", "3"]) || whole(&["48", "2", "", "1", "2", "3"])))
}

/// Dark or light of `rgb:R/G/B` (one to four hexadecimal digits each) or `rgba:…`.
fn background(text: &str) -> Option<Background> {
    let (_, channels) = text.strip_prefix("rgb")?.split_once(':')?;
    let light: Vec<f32> = channels
        .split('/')
        .map(|digits| {
            let most = 16u32.checked_pow(u32::try_from(digits.len()).ok()?).filter(|_| digits.len() <= 4)? - 1;
            (most > 0).then_some(u32::from_str_radix(digits, 16).ok()? as f32 / most as f32)
        })
        .collect::<Option<_>>()?;
    let [r, g, b] = *light.get(..3)? else { return None };
    let rgb = [r, g, b].map(|v| (v * 255.0).round() as u8);
    let lightness = crate::color::oklab(crate::color::linear(rgb))[0];
    Some(if lightness < 0.6 { Background::Dark } else { Background::Light })
}

/// The colours to begin with: those asked for, else what terminfo and the environment promise.
pub(crate) fn first_mode(wanted: Option<ColorMode>, env: &impl Environment) -> ColorMode {
    if let Some(wanted) = wanted {
        return named(wanted, env);
    }
    let known = detect(env);
    // Whatever the entry says, these stay: it need not be read.
    if matches!(known, ColorMode::None | ColorMode::TrueColor | ColorMode::Console) {
        return known;
    }
    let term = env.var("TERM").unwrap_or_default();
    let entry = if term.is_empty() { None } else { termini::TermInfo::from_name(&term).ok() };
    combine(known, entry.as_ref().map(promised))
}

/// What a terminfo entry promises.
fn promised(entry: &termini::TermInfo) -> ColorMode {
    let colors = entry.number_cap(termini::NumberCapability::MaxColors).unwrap_or(0);
    match colors {
        _ if ["RGB", "Tc"].iter().any(|name| entry.extended_cap(name).is_some()) => ColorMode::TrueColor,
        0x100_0000.. => ColorMode::TrueColor,
        256.. => ColorMode::Ansi256,
        8.. => ColorMode::Ansi16,
        _ => ColorMode::None,
    }
}

/// The entry goes first, except that no colours wanted are none sent, and that 24 bits mostly stand in the environment
/// alone (`TERM=xterm-256color`, `COLORTERM=truecolor`).
fn combine(environment: ColorMode, entry: Option<ColorMode>) -> ColorMode {
    match (environment, entry) {
        (ColorMode::None | ColorMode::TrueColor | ColorMode::Console, _) => environment,
        (_, Some(entry)) => entry,
        (_, None) => environment,
    }
}

/// The colours after the terminal's own answer: it knows best, but nobody is given colours who asked for none or named
/// a mode.
pub(crate) fn mode_after(mode: ColorMode, wanted: Option<ColorMode>, reply: Option<bool>) -> ColorMode {
    match (wanted, mode, reply) {
        (Some(_), _, _) | (_, ColorMode::None, _) | (_, _, None) => mode,
        (None, _, Some(true)) => ColorMode::TrueColor,
        (None, ColorMode::TrueColor, Some(false)) => ColorMode::Ansi256,
        (None, _, Some(false)) => mode,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_of_terminals() {
        let cases: &[(u8, &str, Reply)] = &[
            (b'P', "1$r48;2;1;2;3m", Reply::TrueColor(Some(true))),
            (b'P', "1$r0;48:2:1:2:3m", Reply::TrueColor(Some(true))),
            (b'P', "1$r0;48:2::1:2:3m", Reply::TrueColor(Some(true))),
            (b'P', "1$r0;48;5;16m", Reply::TrueColor(Some(false))),
            (b'P', "1$r0m", Reply::TrueColor(Some(false))),
            (b'P', "0$r", Reply::TrueColor(None)),
            (b'P', ">|xterm(390)", Reply::Other),
            (b']', "11;rgb:0000/0000/0000", Reply::Background(Background::Dark)),
            (b']', "11;rgb:ff/ff/f0", Reply::Background(Background::Light)),
            (b']', "11;rgba:fdfd/f6f6/e3e3/ffff", Reply::Background(Background::Light)),
            (b']', "11;rgb:1/2/", Reply::Other),
            (b']', "11;rgb:00000/0/0", Reply::Other),
            (b']', "10;rgb:0/0/0", Reply::Other),
        ];
        for (introducer, text, reply) in cases {
            assert_eq!(Reply::of_text(*introducer, text.as_bytes()), Some(*reply), "{text}");
        }
        let cases: &[(&str, u8, Option<Reply>)] = &[
            ("0", b'n', Some(Reply::Here)),
            ("?2026;2$", b'y', Some(Reply::Synchronized(true))),
            ("?2026;0$", b'y', Some(Reply::Synchronized(false))),
            ("?2026;4$", b'y', Some(Reply::Synchronized(false))),
            ("6;20;10", b't', Some(Reply::Cell([10, 20]))),
            ("6;0;10", b't', Some(Reply::Other)),
            ("8;24;80", b't', Some(Reply::Other)),
            ("?62;22", b'c', Some(Reply::Other)),
            ("1;5", b'A', None),
            ("5", b'~', None),
        ];
        for (text, last, reply) in cases {
            assert_eq!(Reply::of_control(text, *last), *reply, "{text}");
        }
    }

    #[test]
    fn who_decides_on_colours() {
        use ColorMode::{Ansi16, Ansi256, None as Plain, TrueColor};
        assert_eq!(combine(Ansi256, Some(Ansi16)), Ansi16);
        assert_eq!(combine(Ansi16, Some(TrueColor)), TrueColor);
        assert_eq!(combine(TrueColor, Some(Ansi256)), TrueColor);
        assert_eq!(combine(Plain, Some(TrueColor)), Plain);
        assert_eq!(combine(Ansi256, None), Ansi256);
        assert_eq!(mode_after(Ansi256, None, Some(true)), TrueColor);
        assert_eq!(mode_after(TrueColor, None, Some(false)), Ansi256);
        assert_eq!(mode_after(Ansi16, None, Some(false)), Ansi16);
        assert_eq!(mode_after(TrueColor, None, None), TrueColor);
        assert_eq!(mode_after(Plain, None, Some(true)), Plain);
        assert_eq!(mode_after(Ansi256, Some(Ansi256), Some(true)), Ansi256);
        let env: &[(&str, &str)] = &[("TERM", "../../etc/passwd")];
        assert_eq!(first_mode(None, &env), Ansi256);
        assert_eq!(first_mode(Some(Ansi16), &env), Ansi16);
        let env: &[(&str, &str)] = &[("TERM", "linux")];
        assert_eq!(first_mode(None, &env), ColorMode::Console);
        assert_eq!(first_mode(Some(Ansi16), &env), ColorMode::Console);
        assert_eq!(first_mode(Some(Ansi256), &env), Ansi256);
    }
}
