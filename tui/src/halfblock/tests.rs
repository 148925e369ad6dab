//! Scaling, colours and sequences of half-block pictures.

use super::*;

fn gradient(width: usize, height: usize) -> Picture {
    let pixel = |i: usize| {
        let (x, y) = (i % width, i / width);
        [(x * 255 / width) as u8, (y * 255 / height) as u8, ((x + y) * 255 / (width + height)) as u8]
    };
    Picture::new(width, height, (0..width * height).flat_map(pixel).collect())
}

#[test]
fn downscaling_keeps_the_light() {
    // Black and white stripes are half of the light, sRGB 188, not 128.
    let stripes = Picture::new(64, 4, (0..64 * 4).flat_map(|i| [if i % 2 == 0 { 255 } else { 0 }; 3]).collect());
    let light = Light::of(&stripes, 8, 2);
    assert!(light.pixels.iter().all(|&p| srgb(p) == [188; 3]), "{:?}", light.pixels[0]);
    let odd = Light::of(&gradient(101, 67), 13, 10);
    let whole = Light::of(&gradient(101, 67), 1, 1);
    let mean = odd.pixels.iter().map(|p| p[0]).sum::<f32>() / odd.pixels.len() as f32;
    assert!((mean - whole.pixels[0][0]).abs() < 1e-4, "{mean} {:?}", whole.pixels[0]);
}

#[test]
fn maps_are_scaled_by_area() {
    let map: Vec<f32> = (0..35).map(|i| i as f32).collect();
    let whole = Scaler::new([5, 7], [1, 1]).apply(&map);
    assert!((whole[0] - 17.0).abs() < 1e-4, "{whole:?}");
    assert_eq!(Scaler::new([5, 7], [5, 7]).apply(&map), map);
    let grown = Scaler::new([1, 2], [2, 4]).apply(&[1.0, 3.0]);
    assert_eq!(grown, [1.0, 1.0, 3.0, 3.0, 1.0, 1.0, 3.0, 3.0]);
}

#[test]
fn small_pictures_grow_as_blocks() {
    let two = Picture::new(2, 1, vec![255, 0, 0, 0, 0, 255]);
    let light = Light::of(&two, 6, 4);
    assert!(light.pixels.chunks(6).all(|row| row[..3] == [[1.0, 0.0, 0.0]; 3] && row[3..] == [[0.0, 0.0, 1.0]; 3]));
}

#[test]
fn pictures_keep_their_aspect() {
    assert_eq!(fit([224, 224], [80, 24], 2.0), [48, 24]);
    assert_eq!(fit([500, 100], [80, 24], 2.0), [80, 8]);
    assert_eq!(fit([1, 100_000], [80, 24], 2.0), [1, 24]);
    assert_eq!(fit([0, 0], [80, 24], 2.0), [48, 24]);
}

#[test]
fn colours_are_sent_once() {
    let flat = Picture::new(8, 8, [9, 99, 199].repeat(64));
    let row = Cells::new(&flat, 6, 3, ColorMode::TrueColor).row(1);
    assert_eq!(row, "\x1b[48;2;9;99;199m      \x1b[0m");
    let halves = Picture::new(1, 2, vec![255, 0, 0, 0, 0, 255]);
    let row = Cells::new(&halves, 3, 1, ColorMode::TrueColor).row(0);
    assert_eq!(row, "\x1b[38;2;255;0;0;48;2;0;0;255m▀▀▀\x1b[0m");
    // The colours change places: the other glyph, and nothing to send.
    let swapped = Picture::new(2, 2, vec![255, 0, 0, 0, 0, 255, 0, 0, 255, 255, 0, 0]);
    assert_eq!(Cells::new(&swapped, 2, 1, ColorMode::TrueColor).row(0), "\x1b[38;2;255;0;0;48;2;0;0;255m▀▄\x1b[0m");
}

#[test]
fn modes_send_their_own_codes_only() {
    let picture = gradient(60, 40);
    for y in 0..10 {
        let row = Cells::new(&picture, 30, 10, ColorMode::Ansi256).row(y);
        for code in row.split("8;5;").skip(1) {
            let index: usize = code.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
            assert!((16..256).contains(&index), "{index}");
        }
        let row = Cells::new(&picture, 30, 10, ColorMode::Ansi16).row(y);
        for codes in row.split("\x1b[").skip(1).map(|s| s.split('m').next().unwrap()) {
            for n in codes.split(';').map(|n| n.parse::<u8>().unwrap()) {
                assert!(matches!(n, 0 | 30..=37 | 40..=47 | 90..=97 | 100..=107), "{n}");
            }
        }
        let row = Cells::new(&picture, 30, 10, ColorMode::Console).row(y);
        assert!(!row.contains(['▀', '▄']) && row.matches([' ', '░', '▒', '█']).count() == 30, "{row}");
        for codes in row.split("\x1b[").skip(1).map(|s| s.split('m').next().unwrap()) {
            for n in codes.split(';').map(|n| n.parse::<u8>().unwrap()) {
                assert!(matches!(n, 0 | 1 | 22 | 30..=37 | 40..=47), "{n}");
            }
        }
        let row = Cells::new(&picture, 30, 10, ColorMode::None).row(y);
        assert!(row.len() == 30 && row.bytes().all(|b| RAMP.contains(&b)), "{row}");
    }
}

#[test]
fn without_colours_dark_and_light_differ() {
    let row = |level: u8| Cells::new(&Picture::new(4, 4, vec![level; 48]), 4, 1, ColorMode::None).row(0);
    assert_eq!((row(0), row(255)), ("    ".to_owned(), "@@@@".to_owned()));
    assert_ne!(row(90), row(200));
}

#[test]
fn categories_are_flat_and_never_mixed() {
    // Two by two categories on three columns: the middle one takes a side, no colour is new.
    let cells = |mode| Cells::categories(&[0, 1, 1, 99], 2, 3, 2, mode);
    assert_eq!([cells(ColorMode::None).row(0), cells(ColorMode::None).row(1)], ["ABB", "B.."]);
    for mode in [ColorMode::TrueColor, ColorMode::Ansi256, ColorMode::Ansi16] {
        let cells = cells(mode);
        let distinct: Vec<Ink> = cells.halves.iter().fold(Vec::new(), |mut seen, ink| {
            if !seen.contains(ink) {
                seen.push(*ink);
            }
            seen
        });
        assert_eq!(distinct.len(), 3, "{mode:?}");
        assert!(!cells.row(0).contains('▀') && !cells.row(0).contains('▄'), "{mode:?}");
    }
    assert_eq!(Cells::categories(&[], 0, 2, 1, ColorMode::None).row(0), "AA");
}

#[test]
fn empty_and_wide_pictures() {
    let empty = Picture::new(0, 0, Vec::new());
    assert_eq!(Cells::new(&empty, 2, 1, ColorMode::TrueColor).row(0), "\x1b[48;2;0;0;0m  \x1b[0m");
    let wide = Cells::new(&gradient(3, 3), 70_000, 1, ColorMode::TrueColor);
    assert_eq!(wide.row(0).matches(['▀', '▄', ' ', '█']).count(), 70_000);
}
