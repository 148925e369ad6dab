//! Text from outside (file names, labels, layer names) made safe to show on a terminal, and near-miss suggestions.

use std::borrow::Cow;
use std::fmt::Write;

/// `text` with everything that a terminal might obey or that might reorder the line shown as an escape:
/// control characters (C0, DEL, C1), line and paragraph separators, bidirectional and zero-width format characters.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unsafe(c) => write!(out, "\\u{{{:x}}}", u32::from(c)).expect("writing to a string"),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Whether `c` must not reach a terminal as it is.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// At most `most` of `names` that a typist of `wanted` may have meant, best first: those that contain it, then those
/// most alike.
pub fn near<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>, most: usize) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let mut scored: Vec<(f64, &str)> = names
        .into_iter()
        .map(|name| {
            let lower = name.to_lowercase();
            let alike = strsim::jaro_winkler(&wanted, &lower);
            (if !wanted.is_empty() && lower.contains(&wanted) { 1.0 + alike } else { alike }, name)
        })
        .filter(|&(score, _)| score > 0.6)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(most).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_a_terminal_obeys() {
        assert_eq!(escape("fire9/concat_1 — é"), "fire9/concat_1 — é");
        assert_eq!(escape("a\u{1b}[31mb\u{9b}2J\n"), "a\\u{1b}[31mb\\u{9b}2J\\n");
        assert_eq!(escape("\u{202e}gpj.exe"), "\\u{202e}gpj.exe");
    }

    #[test]
    fn near_names_come_best_first() {
        let names = ["conv1_1", "fire7/concat_1", "fire9/concat_1", "pool5_1"];
        assert_eq!(near("fire7", names, 2)[0], "fire7/concat_1");
        assert!(near("zzz", names, 2).is_empty());
    }
}
