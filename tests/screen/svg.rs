//! A terminal's screen as an SVG picture: what is colour alone as one PNG of half-cells, text as text.

use std::fmt::Write;
use std::io::Cursor;

use vt100::Color;

use crate::xterm;

/// Width and height of a cell.
const CELL: [usize; 2] = [9, 18];
const INK: [u8; 3] = [204, 204, 204];
const GROUND: [u8; 3] = [12, 12, 16];

fn rgb(color: Color, none: [u8; 3]) -> [u8; 3] {
    match color {
        Color::Default => none,
        Color::Rgb(r, g, b) => [r, g, b],
        Color::Idx(i) => xterm::rgb_of_index(i),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | usize::from(three.get(i).copied().unwrap_or(0)));
        let digit = |i: usize| if i > three.len() { '=' } else { char::from(DIGITS[bits >> (18 - 6 * i) & 63]) };
        [0, 1, 2, 3].map(digit)
    };
    bytes.chunks(3).flat_map(group).collect()
}

/// Ink and ground of a cell as they are shown.
fn colours(cell: &vt100::Cell) -> [[u8; 3]; 2] {
    let (mut ink, mut ground) = (rgb(cell.fgcolor(), INK), rgb(cell.bgcolor(), GROUND));
    if cell.inverse() {
        std::mem::swap(&mut ink, &mut ground);
    }
    if cell.dim() {
        ink = [0, 1, 2].map(|c| ink[c] / 2 + ground[c] / 2);
    }
    [ink, ground]
}

/// The screen.
pub(crate) fn picture(screen: &vt100::Screen) -> String {
    let (rows, columns) = (screen.size().0.get(), screen.size().1.get());
    let [width, height] = [usize::from(columns) * CELL[0], usize::from(rows) * CELL[1]];
    let mut pixels = image::RgbImage::new(u32::from(columns), 2 * u32::from(rows));
    let mut words = String::new();
    for y in 0..rows {
        let mut x = 0;
        while x < columns {
            let cell = screen.cell(y, x).expect("inside");
            let [ink, ground] = colours(cell);
            let [top, bottom] = match cell.contents() {
                "▀" => [ink, ground],
                "▄" => [ground, ink],
                "█" => [ink, ink],
                _ => [ground, ground],
            };
            pixels.put_pixel(u32::from(x), 2 * u32::from(y), image::Rgb(top));
            pixels.put_pixel(u32::from(x), 2 * u32::from(y) + 1, image::Rgb(bottom));
            x += 1;
        }
        text(screen, y, &mut words);
    }
    let mut png = Vec::new();
    pixels.write_to(&mut Cursor::new(&mut png), image::ImageFormat::Png).expect("a PNG");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <image width=\"{width}\" height=\"{height}\" preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" \
         href=\"data:image/png;base64,{}\"/>\n\
         <g font-family=\"'DejaVu Sans Mono',Menlo,Consolas,monospace\" font-size=\"15\" xml:space=\"preserve\">\n{words}</g>\n</svg>\n",
        base64(&png)
    )
}

/// A row's runs of letters of one colour, each as wide as its cells.
fn text(screen: &vt100::Screen, y: u16, out: &mut String) {
    let columns = screen.size().1.get();
    let letter = |x: u16| {
        let cell = screen.cell(y, x).expect("inside");
        let drawn = !matches!(cell.contents(), "" | " " | "▀" | "▄" | "█");
        drawn.then(|| (cell.contents().to_owned(), colours(cell)[0], cell.bold()))
    };
    let mut x = 0;
    while x < columns {
        let Some((mut run, ink, bold)) = letter(x) else {
            x += 1;
            continue;
        };
        let start = x;
        x += 1;
        while let Some((next, ..)) = (x < columns).then(|| letter(x)).flatten().filter(|n| (n.1, n.2) == (ink, bold)) {
            run.push_str(&next);
            x += 1;
        }
        let escaped = run.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let [r, g, b] = ink;
        let weight = if bold { " font-weight=\"bold\"" } else { "" };
        let (left, base, wide) =
            (usize::from(start) * CELL[0], usize::from(y) * CELL[1] + 14, usize::from(x - start) * CELL[0]);
        writeln!(
            out,
            "<text x=\"{left}\" y=\"{base}\" textLength=\"{wide}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"#{r:02x}{g:02x}{b:02x}\"{weight}>{escaped}</text>"
        )
        .expect("writing to a string");
    }
}
