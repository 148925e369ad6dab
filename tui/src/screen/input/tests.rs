use crossterm::event::{MouseButton, MouseEventKind};

use super::*;
use crate::probe::Background;

fn parse(bytes: &[u8]) -> Vec<Input> {
    let (mut parser, mut out) = (Parser::default(), Vec::new());
    parser.feed(bytes, &mut out);
    parser.timeout(&mut out);
    out
}

fn plain(code: KeyCode) -> Input {
    key(code, KeyModifiers::NONE)
}

#[test]
fn keys_by_their_bytes() {
    let cases: &[(&[u8], KeyCode, KeyModifiers)] = &[
        (b"j", KeyCode::Char('j'), KeyModifiers::NONE),
        (b"G", KeyCode::Char('G'), KeyModifiers::SHIFT),
        ("ü".as_bytes(), KeyCode::Char('ü'), KeyModifiers::NONE),
        (b"\r", KeyCode::Enter, KeyModifiers::NONE),
        (b"\t", KeyCode::Tab, KeyModifiers::NONE),
        (b"\x7f", KeyCode::Backspace, KeyModifiers::NONE),
        (b"\x03", KeyCode::Char('c'), KeyModifiers::CONTROL),
        (b"\x1a", KeyCode::Char('z'), KeyModifiers::CONTROL),
        (b"\x1b", KeyCode::Esc, KeyModifiers::NONE),
        (b"\x1bf", KeyCode::Char('f'), KeyModifiers::ALT),
        (b"\x1b[A", KeyCode::Up, KeyModifiers::NONE),
        (b"\x1bOD", KeyCode::Left, KeyModifiers::NONE),
        (b"\x1b[1;5C", KeyCode::Right, KeyModifiers::CONTROL),
        (b"\x1b[Z", KeyCode::BackTab, KeyModifiers::SHIFT),
        (b"\x1b[H", KeyCode::Home, KeyModifiers::NONE),
        (b"\x1b[4~", KeyCode::End, KeyModifiers::NONE),
        (b"\x1b[5~", KeyCode::PageUp, KeyModifiers::NONE),
        (b"\x1b[6;2~", KeyCode::PageDown, KeyModifiers::SHIFT),
        (b"\x1bOP", KeyCode::F(1), KeyModifiers::NONE),
        (b"\x1b[[A", KeyCode::F(1), KeyModifiers::NONE),
        (b"\x1b[15~", KeyCode::F(5), KeyModifiers::NONE),
        (b"\x1b[24~", KeyCode::F(12), KeyModifiers::NONE),
        (b"\x1b[97;5u", KeyCode::Char('a'), KeyModifiers::CONTROL),
        (b"\x1b[27;2;13~", KeyCode::Enter, KeyModifiers::SHIFT),
        (b"\x1b[1;2R", KeyCode::F(3), KeyModifiers::SHIFT),
    ];
    for (bytes, code, modifiers) in cases {
        assert_eq!(parse(bytes), [key(*code, *modifiers)], "{:?}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(parse(b"\x1b\x1b[A"), [plain(KeyCode::Esc), plain(KeyCode::Up)]);
    assert_eq!(parse(b"\x1bP"), []);
    assert_eq!(parse(b"\x1bPx"), [letter('P', KeyModifiers::ALT), plain(KeyCode::Char('x'))]);
    // The release of a key is no key.
    assert_eq!(parse(b"\x1b[97;1:3u"), []);
}

#[test]
fn replies_are_never_keys_however_they_are_cut() {
    let replies: &[(&[u8], Reply)] = &[
        (b"\x1bP1$r48;2;1;2;3m\x1b\\", Reply::TrueColor(Some(true))),
        (b"\x1bP1$r0;48:2::1:2:3m\x1b\\", Reply::TrueColor(Some(true))),
        (b"\x1b]11;rgb:1c1c/1c1c/1c1c\x1b\\", Reply::Background(Background::Dark)),
        (b"\x1b]11;rgb:ffff/ffff/ffff\x07", Reply::Background(Background::Light)),
        (b"\x1b[?2026;2$y", Reply::Synchronized(true)),
        (b"\x1b[6;18;9t", Reply::Cell([9, 18])),
        (b"\x1b[0n", Reply::Here),
        (b"\x1b[?62;4;22c", Reply::Other),
        (b"\x1b[>41;390;0c", Reply::Other),
        (b"\x1bP!|00000000\x1b\\", Reply::Other),
        (b"\x1b_Gi=31;OK\x1b\\", Reply::Other),
    ];
    for (bytes, reply) in replies {
        for cut in 0..bytes.len() {
            let (mut parser, mut out) = (Parser::default(), Vec::new());
            parser.feed(b"j", &mut out);
            parser.feed(&bytes[..cut], &mut out);
            parser.feed(&bytes[cut..], &mut out);
            parser.feed(b"k", &mut out);
            let keys = ['j', 'k'].map(|c| plain(KeyCode::Char(c)));
            assert_eq!(out, [keys[0].clone(), Input::Reply(*reply), keys[1].clone()], "{bytes:?} cut at {cut}");
        }
    }
}

#[test]
fn the_mouse() {
    let event = |kind, column, row, modifiers| Input::Mouse(MouseEvent { kind, column, row, modifiers });
    let none = KeyModifiers::NONE;
    let cases: &[(&[u8], Input)] = &[
        (b"\x1b[<0;1;1M", event(MouseEventKind::Down(MouseButton::Left), 0, 0, none)),
        (b"\x1b[<0;300;20m", event(MouseEventKind::Up(MouseButton::Left), 299, 19, none)),
        (b"\x1b[<35;4;5M", event(MouseEventKind::Moved, 3, 4, none)),
        (b"\x1b[<34;4;5M", event(MouseEventKind::Drag(MouseButton::Right), 3, 4, none)),
        (b"\x1b[<64;4;5M", event(MouseEventKind::ScrollUp, 3, 4, none)),
        (b"\x1b[<81;4;5M", event(MouseEventKind::ScrollDown, 3, 4, KeyModifiers::CONTROL)),
        (b"\x1b[M !!", event(MouseEventKind::Down(MouseButton::Left), 0, 0, none)),
        (b"\x1b[M#!!", event(MouseEventKind::Up(MouseButton::Left), 0, 0, none)),
    ];
    for (bytes, wanted) in cases {
        assert_eq!(parse(bytes).first(), Some(wanted), "{:?}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(parse(b"\x1b[<0;0;1M"), []);
    assert_eq!(parse(b"\x1b[<0;1M"), []);
}

#[test]
fn pasted_text_is_text() {
    assert_eq!(
        parse(b"\x1b[200~a\r\nq\x1b[31m\tb\x1b[201~q"),
        [Input::Paste("a\nq[31m\tb".into()), plain(KeyCode::Char('q'))]
    );
}

proptest::proptest! {
    /// Noise never panics, and keys typed after it and a pause arrive.
    #[test]
    fn noise(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let (mut parser, mut out) = (Parser::default(), Vec::new());
        parser.feed(&bytes, &mut out);
        parser.feed(b"\x1b[201~", &mut out);
        parser.timeout(&mut out);
        out.clear();
        parser.feed(b"x", &mut out);
        proptest::prop_assert_eq!(out, vec![plain(KeyCode::Char('x'))]);
    }

    /// However input is cut, the same comes out.
    #[test]
    fn cuts(text in "(j|\u{e9}|\u{1b}\\[A|\u{1b}\\[1;5C|\u{1b}\\[<35;7;8M|\u{1b}\\[0n|\u{1b}P1\\$r0m\u{1b}\\\\|\u{1b}OA){0,20}", cut in 0usize..200) {
        let (mut whole, mut first) = (Vec::new(), Vec::new());
        Parser::default().feed(text.as_bytes(), &mut whole);
        let mut parser = Parser::default();
        let cut = cut.min(text.len());
        parser.feed(&text.as_bytes()[..cut], &mut first);
        parser.feed(&text.as_bytes()[cut..], &mut first);
        proptest::prop_assert_eq!(whole, first);
    }
}
