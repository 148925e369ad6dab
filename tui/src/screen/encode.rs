//! From what the terminal shows to what it shall show, in few bytes.
//!
//! ```text
//! for every cell that looks different:  go there     CSI r;c H, CSI n C, CR LF, or the unchanged glyphs between
//!                                       change pen   only what differs; ▀ or ▄, space or █, whichever costs less
//!                                       write it
//! the rest of a row that gets blank:    CSI K
//! ```
//! Of the two ways to write a picture's cell the cheaper one is taken in view of the cell after it: a shortest path over
//! each run of changed cells whose states are the pens.

use ratatui::buffer::Cell;
use ratatui::style::{Color, Modifier};

use super::pen::{Need, PLAIN, Pen, number};

/// Pens followed along a run of cells.
const PATHS: usize = 4;

/// The terminal as it is after all that was sent.
#[derive(Debug)]
pub(crate) struct Shown {
    columns: usize,
    rows: usize,
    cells: Vec<Cell>,
    pen: Pen,
    /// Column and row; a column past the end: known only to be at the end of the row.
    at: Option<[usize; 2]>,
    /// Where the visible cursor is.
    cursor: Option<[u16; 2]>,
    /// Whether nothing of this can be relied on.
    unknown: bool,
}

/// One frame in the form of [`super::glyphs`].
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    pub(crate) cells: &'a [Cell],
    pub(crate) cursor: Option<[u16; 2]>,
}

impl Shown {
    /// A terminal of which nothing is known.
    pub(crate) fn new() -> Self {
        Self { columns: 0, rows: 0, cells: Vec::new(), pen: PLAIN, at: None, cursor: None, unknown: true }
    }

    /// Something else may have written: the next frame is sent whole.
    pub(crate) fn forget(&mut self) {
        self.unknown = true;
    }

    /// Writes what brings `frame` to the screen; nothing when it is there.
    pub(crate) fn bring(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) {
        if self.unknown || [self.columns, self.rows] != [frame.columns, frame.rows] {
            out.extend_from_slice(b"\x1b[m\x1b[2J\x1b[H\x1b[?25l");
            *self = Self { columns: frame.columns, rows: frame.rows, at: Some([0, 0]), unknown: false, ..Self::new() };
            self.cells = vec![Cell::EMPTY; frame.cells.len()];
        }
        let start = out.len();
        for y in 0..frame.rows {
            self.row(y, &frame.cells[y * frame.columns..(y + 1) * frame.columns], out);
        }
        let wrote = out.len() > start;
        if frame.cursor != self.cursor || (wrote && frame.cursor.is_some()) {
            match frame.cursor.map(|at| at.map(usize::from)) {
                Some([x, y]) if x < self.columns && y < self.rows => {
                    self.go([x, y], out);
                    if self.cursor.is_none() {
                        out.extend_from_slice(b"\x1b[?25h");
                    }
                }
                _ => out.extend_from_slice(b"\x1b[?25l"),
            }
            self.cursor = frame.cursor;
        }
    }

    fn row(&mut self, y: usize, wanted: &[Cell], out: &mut Vec<u8>) {
        let shown = &self.cells[y * self.columns..(y + 1) * self.columns];
        if shown == wanted {
            return;
        }
        // From here on the row gets blank.
        let blank = wanted.iter().rposition(|cell| *cell != Cell::EMPTY).map_or(0, |last| last + 1);
        let clears = (blank..wanted.len()).filter(|&x| shown[x] != Cell::EMPTY).count() > 4;
        let end = if clears { blank } else { wanted.len() };
        let mut runs = Vec::new();
        let mut x = 0;
        while x < end {
            if shown[x] == wanted[x] {
                x += 1;
                continue;
            }
            let from = x;
            while x < end && shown[x] != wanted[x] {
                x += 1;
            }
            // The cell after a wide glyph is written with it.
            runs.push((from, x));
        }
        for (mut from, mut to) in runs {
            while from > 0 && wanted[from].symbol().is_empty() {
                from -= 1;
            }
            while to < wanted.len() && wanted[to].symbol().is_empty() {
                to += 1;
            }
            self.approach(from, y, wanted, out);
            self.run(&wanted[from..to], out);
            self.at = Some([to, y]);
        }
        if clears {
            self.go([blank, y], out);
            self.pen.change(PLAIN, out);
            self.pen = PLAIN;
            out.extend_from_slice(b"\x1b[K");
        }
        self.cells[y * self.columns..(y + 1) * self.columns].clone_from_slice(wanted);
    }

    /// Goes to `[x, y]`, over the unchanged cells before it where writing them again is shorter.
    fn approach(&mut self, x: usize, y: usize, wanted: &[Cell], out: &mut Vec<u8>) {
        if let Some([now, row]) = self.at
            && row == y
            && now < x
            && x - now <= 8
        {
            let between = &wanted[now..x];
            let starts = !between[0].symbol().is_empty();
            if starts && between.iter().all(|cell| ways(cell).any(|w| self.pen.after(w.need) == self.pen)) {
                let mut text = Vec::new();
                for cell in between {
                    let mut ways = ways(cell);
                    let way = ways.find(|w| self.pen.after(w.need) == self.pen).expect("each has one");
                    text.extend_from_slice(way.symbol.as_bytes());
                }
                if text.len() <= forward(x - now) {
                    out.extend_from_slice(&text);
                    self.at = Some([x, y]);
                    return;
                }
            }
        }
        self.go([x, y], out);
    }

    fn go(&mut self, [x, y]: [usize; 2], out: &mut Vec<u8>) {
        if self.at == Some([x, y]) {
            return;
        }
        let mut best = absolute([x, y]);
        let mut offer = |way: Vec<u8>| {
            if way.len() < best.len() {
                best = way;
            }
        };
        if let Some([now, row]) = self.at {
            if row == y && now < self.columns {
                if now < x {
                    offer(relative(x - now, b'C'));
                } else {
                    offer(relative(now - x, b'D'));
                }
            }
            if row <= y && y - row <= 4 {
                let mut way = b"\r".to_vec();
                way.resize(1 + y - row, b'\n');
                if x > 0 {
                    way.extend(relative(x, b'C'));
                }
                offer(way);
            }
            if row < y && now == x && now < self.columns && y - row <= 4 {
                offer(vec![b'\n'; y - row]);
            }
        }
        out.extend_from_slice(&best);
        self.at = Some([x, y]);
    }

    /// Writes neighbouring cells, from where the cursor is.
    fn run(&mut self, cells: &[Cell], out: &mut Vec<u8>) {
        // Per cell the pens after it, how they were reached, and what all until there costs.
        let mut steps: Vec<Vec<Step>> = Vec::with_capacity(cells.len());
        let mut states = vec![Step { pen: self.pen, cost: 0, from: 0, symbol: "" }];
        for cell in cells.iter().filter(|cell| !cell.symbol().is_empty()) {
            let mut next: Vec<Step> = Vec::with_capacity(2 * states.len());
            for way in ways(cell) {
                for (from, state) in states.iter().enumerate() {
                    let pen = state.pen.after(way.need);
                    let cost = state.cost + state.pen.cost(pen) + way.symbol.len();
                    match next.iter_mut().find(|s| s.pen == pen) {
                        Some(s) if s.cost <= cost => {}
                        Some(s) => *s = Step { pen, cost, from, symbol: way.symbol },
                        None => next.push(Step { pen, cost, from, symbol: way.symbol }),
                    }
                }
            }
            next.sort_by_key(|s| s.cost);
            next.truncate(PATHS);
            steps.push(std::mem::replace(&mut states, next));
        }
        steps.push(states);
        let mut path = Vec::with_capacity(steps.len());
        let mut at = 0;
        for states in steps.iter().rev() {
            path.push(&states[at]);
            at = states[at].from;
        }
        for step in path.iter().rev().skip(1) {
            self.pen.change(step.pen, out);
            self.pen = step.pen;
            out.extend_from_slice(step.symbol.as_bytes());
        }
    }
}

/// A pen on the way along a run.
#[derive(Clone, Copy, Debug)]
struct Step<'a> {
    pen: Pen,
    cost: usize,
    from: usize,
    symbol: &'a str,
}

/// One way to write a cell.
#[derive(Clone, Copy, Debug)]
struct Way<'a> {
    symbol: &'a str,
    need: Need,
}

/// All ways to write a cell that look the same.
fn ways(cell: &Cell) -> impl Iterator<Item = Way<'_>> + Clone {
    let plain = cell.modifier.is_empty();
    let (symbol, ink, ground, modifier) = (cell.symbol(), cell.fg, cell.bg, cell.modifier);
    let exact = Need { ink: Some(ink), ground: Some(ground), modifier, any: Modifier::empty() };
    let (first, second) = match symbol {
        " " if plain => {
            let any = Modifier::BOLD | Modifier::DIM | Modifier::ITALIC | Modifier::HIDDEN;
            let space = Way { symbol, need: Need { ink: None, any, ..exact } };
            let block = Need { ink: Some(ground), ground: None, ..exact };
            (space, (ground != Color::Reset).then_some(Way { symbol: "█", need: block }))
        }
        "▀" if plain && ink != Color::Reset && ground != Color::Reset => {
            let swapped = Need { ink: Some(ground), ground: Some(ink), ..exact };
            (Way { symbol, need: exact }, Some(Way { symbol: "▄", need: swapped }))
        }
        _ => (Way { symbol, need: exact }, None),
    };
    std::iter::once(first).chain(second)
}

fn absolute([x, y]: [usize; 2]) -> Vec<u8> {
    let mut out = b"\x1b[".to_vec();
    if y > 0 || x > 0 {
        number(y as u16 + 1, &mut out);
    }
    if x > 0 {
        out.push(b';');
        number(x as u16 + 1, &mut out);
    }
    out.push(b'H');
    out
}

fn relative(n: usize, last: u8) -> Vec<u8> {
    let mut out = b"\x1b[".to_vec();
    if n > 1 {
        number(n as u16, &mut out);
    }
    out.push(last);
    out
}

fn forward(n: usize) -> usize {
    relative(n, b'C').len()
}
