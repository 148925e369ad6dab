//! Where everything lies, from the screen's size, the view and the pane. Views draw by it, the mouse and page keys ask it.

use ratatui::layout::Rect;

use crate::state::{Pane, State, View};

/// Rectangles of the screen.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) header: Rect,
    pub(crate) body: Rect,
    pub(crate) status: Rect,
    pub(crate) hints: Option<Rect>,
    panes: Vec<(Pane, Rect)>,
}

/// Columns between panes.
const GAP: u16 = 2;

impl Layout {
    /// Of the screen that was last heard of.
    pub(crate) fn of(state: &State) -> Self {
        Self::within(state, Rect::new(0, 0, state.size[0], state.size[1]))
    }

    /// Of a screen that is being drawn.
    pub(crate) fn within(state: &State, screen: Rect) -> Self {
        let [w, h] = [screen.width, screen.height];
        let foot = 1 + u16::from(state.look.hints);
        let body = Rect::new(0, 1, w, h.saturating_sub(1 + foot));
        let row = |y: u16| Rect::new(0, y.min(h.saturating_sub(1)), w, 1.min(h));
        let panes = match state.view {
            View::Browse if state.expanded => vec![(state.pane, inset(body))],
            View::Browse => browse(inset(body)),
            _ => Vec::new(),
        };
        Self {
            header: row(0),
            body: inset(body),
            status: row(h.saturating_sub(foot)),
            hints: state.look.hints.then(|| row(h.saturating_sub(1))),
            panes,
        }
    }

    /// Where a pane lies, if it is on the screen.
    pub(crate) fn pane(&self, pane: Pane) -> Option<Rect> {
        self.panes.iter().find(|p| p.0 == pane).map(|p| p.1)
    }

    /// What of a pane is left for its contents: a title above, a line of numbers below maps and projections.
    pub(crate) fn inside(&self, pane: Pane, area: Rect) -> Rect {
        let below = match pane {
            Pane::Maps => 1,
            Pane::Projection if area.height > 9 => 1,
            _ => 0,
        };
        let height = area.height.saturating_sub(1 + below);
        Rect::new(area.x, area.y + 1.min(area.height), area.width, height)
    }
}

/// A column free at either side.
fn inset(area: Rect) -> Rect {
    Rect::new(area.x + 1, area.y, area.width.saturating_sub(2), area.height)
}

fn browse(body: Rect) -> Vec<(Pane, Rect)> {
    let (left, right) = match body.width {
        0..90 => (23, 27),
        90..150 => (30, (body.width as f32 * 0.35) as u16),
        _ => (38, (body.width as f32 * 0.38) as u16),
    };
    let middle = body.width.saturating_sub(left + right + 2 * GAP);
    let column = |x: u16, width: u16| Rect::new(body.x + x, body.y, width, body.height);
    let right = column(left + middle + 2 * GAP, right);
    let classes = (right.height / 6).clamp(5, 11);
    let rest = right.height.saturating_sub(classes);
    // Two crops side by side, each as high as half of its columns.
    let crops = (right.width / 4 + 2).min(rest * 9 / 20).max(4);
    let input = rest.saturating_sub(crops);
    let part = |y: u16, height: u16| Rect::new(right.x, right.y + y, right.width, height);
    vec![
        (Pane::Layers, column(0, left)),
        (Pane::Maps, column(left + GAP, middle)),
        (Pane::Input, part(0, input)),
        (Pane::Projection, part(input, crops)),
        (Pane::Classes, part(input + crops, classes)),
    ]
}

/// Places for pictures, and what is left beside and below them.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    pub(crate) cells: Vec<Rect>,
    /// The place that would come next in the last row, to its end.
    pub(crate) beside: Option<Rect>,
    pub(crate) below: Rect,
}

/// `count` pictures, `tall` times as high as wide, in `area`, each with `around` rows of text: the grid that shows them
/// largest. No place is higher than its picture needs.
pub(crate) fn grid(area: Rect, count: usize, around: u16, tall: f64, aspect: f64) -> Grid {
    let count = count.max(1) as u16;
    let cell = |across: u16| {
        let down = count.div_ceil(across);
        let width = area.width.saturating_sub(GAP * (across - 1)) / across;
        let height = area.height / down;
        let scale = f64::from(width).min(f64::from(height.saturating_sub(around)) * aspect / tall);
        let needs = (scale * tall / aspect).ceil() as u16 + around;
        (across, width, height.min(needs), scale)
    };
    // Of grids that show them equally large, the one with fewer places left over, then the wider one.
    let left_over = |across: u16| across * count.div_ceil(across) - count;
    let best = (1..=count)
        .map(cell)
        .max_by(|a, b| a.3.total_cmp(&b.3).then(left_over(b.0).cmp(&left_over(a.0))).then(a.0.cmp(&b.0)))
        .expect("at least one");
    let (across, width, height, _) = best;
    let place = |i: u16| Rect::new(area.x + i % across * (width + GAP), area.y + i / across * height, width, height);
    let beside = (!count.is_multiple_of(across)).then(|| {
        let next = place(count);
        Rect { width: area.right().saturating_sub(next.x), ..next }
    });
    let used = count.div_ceil(across) * height;
    let below = Rect { y: area.y + used, height: area.height.saturating_sub(used), ..area };
    Grid { cells: (0..count).map(place).collect(), beside, below }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::color::ColorMode;

    #[test]
    fn panes_lie_inside_and_apart_at_every_size() {
        for w in (60..230).step_by(7) {
            for h in 18..70 {
                let layout = Layout::of(&State::new([w, h], ColorMode::None, 0));
                let screen = Rect::new(0, 0, w, h);
                let mut all: Vec<Rect> = layout.panes.iter().map(|p| p.1).collect();
                all.extend([layout.header, layout.status]);
                all.extend(layout.hints);
                for (i, a) in all.iter().enumerate() {
                    assert!(!a.is_empty() && screen.intersection(*a) == *a, "{w}×{h}: {a:?}");
                    assert!(all[..i].iter().all(|b| !a.intersects(*b)), "{w}×{h}: {a:?} lies over another");
                }
            }
        }
    }

    #[test]
    fn grids_hold_their_pictures() {
        for count in 1..9 {
            let area = Rect::new(1, 1, 118, 34);
            let Grid { mut cells, beside, below } = grid(area, count, 2, 1.0, 2.0);
            assert_eq!(cells.len(), count);
            cells.extend(beside);
            cells.push(below);
            assert!(cells.iter().all(|c| area.intersection(*c) == *c), "{count}: {cells:?}");
            assert!(cells.iter().enumerate().all(|(i, a)| cells[..i].iter().all(|b| !a.intersects(*b))), "{cells:?}");
        }
        // Two by two, where three and one would be no larger.
        let four = grid(Rect::new(0, 0, 164, 54), 4, 2, 1.0, 2.0);
        assert_eq!((four.cells[1].y, four.cells[2].x, four.cells[2].y), (0, 0, 27));
        // Four in a row are as high as they are wide, and what they leave is one piece.
        let row = grid(Rect::new(1, 1, 78, 19), 4, 2, 1.0, 2.0);
        assert_eq!((row.cells[3].y, row.cells[3].height, row.below), (1, 11, Rect::new(1, 12, 78, 8)));
        // Five leave one place.
        let five = grid(Rect::new(1, 1, 78, 19), 5, 1, 1.0, 2.0);
        assert_eq!(five.beside.map(|b| (b.y, b.right())), Some((five.cells[3].y, 79)));
    }
}
