//! Feature maps as tiles in a grid: how large, how many, which one is where.
//!
//! ```text
//! ▛▀▀▜ ▀▀▀▀ ▀▀▀▀    tiles of w × h pixels, one pixel between them; the cursor is drawn on that pixel
//! ▙▄▄▟ ▀▀▀▀ ▀▀▀▀    as large as lets all of them fit, but not too small to see: then they come in pages
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use switchback_core::{Shape, Tensor};

use super::picture::Canvas;
use crate::color::ColorMode;
use crate::color::palette::rgb_of_index;
use crate::colormap::Colormap;
use crate::halfblock::Scaler;
use crate::state::Range;

/// Where the tiles of a layer lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) area: Rect,
    pub(crate) count: usize,
    pub(crate) across: usize,
    /// Rows of tiles on one page.
    pub(crate) down: usize,
    /// Width and height of a tile in pixels.
    tile: [usize; 2],
    /// From one tile to the next.
    pitch: [usize; 2],
}

impl Grid {
    /// For all channels of `shape` in `area`.
    pub(crate) fn new(area: Rect, shape: Shape) -> Self {
        let [w, h] = [usize::from(area.width), 2 * usize::from(area.height)];
        let count = shape.c.max(1);
        let grid = |tile: [usize; 2], gap: usize| {
            // A pitch of whole cells keeps tiles on the rows of the screen.
            let pitch = [tile[0] + gap, (tile[1] + gap).next_multiple_of(2)];
            let across = (w.saturating_sub(gap) / pitch[0]).clamp(1, count);
            let down = (h.saturating_sub(gap) / pitch[1]).max(1);
            Self { area, count, across, down, tile: [tile[0], pitch[1] - gap], pitch }
        };
        let fits = |g: &Grid| g.across * g.down >= count;
        if !shape.is_spatial() {
            let sizes = [[8, 8], [6, 6], [4, 4], [3, 4], [2, 2]];
            return sizes.into_iter().map(|t| grid(t, 0)).find(fits).unwrap_or_else(|| grid([2, 2], 0));
        }
        let high = |wide: usize| ((wide * shape.h) as f64 / shape.w as f64).round().max(1.0) as usize;
        let least = match w {
            0..30 => 6,
            30..50 => 7,
            50..90 => 9,
            _ => 12,
        };
        let least = least.min(w.saturating_sub(2).max(1));
        let most = w.saturating_sub(2).min(h.saturating_sub(2) * shape.w / shape.h.max(1)).max(least);
        let best = (least..=most).rev().find(|&wide| fits(&grid([wide, high(wide)], 1))).unwrap_or(least);
        let crisp = if best > shape.w { best / shape.w * shape.w } else { best };
        grid([crisp, high(crisp)], 1)
    }

    /// The first row of tiles on the page that holds `channel`.
    pub(crate) fn first_row(&self, channel: usize) -> usize {
        channel / self.across / self.down * self.down
    }

    /// Pages in all and the one that holds `channel`, from 0.
    pub(crate) fn pages(&self, channel: usize) -> [usize; 2] {
        [self.count.div_ceil(self.across * self.down), channel / (self.across * self.down)]
    }

    /// Channels on the page that holds `channel`.
    fn page(&self, channel: usize) -> std::ops::Range<usize> {
        let first = self.first_row(channel) * self.across;
        first..(first + self.across * self.down).min(self.count)
    }

    /// The cells of the area that tiles and the gaps around them take.
    fn used(&self) -> Rect {
        let [w, h] = [self.across * self.pitch[0] + self.gap(), self.down * self.pitch[1] + self.gap()];
        let [width, height] = [w as u16, h.div_ceil(2) as u16];
        Rect { width: width.min(self.area.width), height: height.min(self.area.height), ..self.area }
    }

    fn gap(&self) -> usize {
        self.pitch[0] - self.tile[0]
    }

    /// The pixel where a tile of the page begins.
    fn corner(&self, channel: usize) -> [usize; 2] {
        let row = channel / self.across - self.first_row(channel);
        [self.gap() + channel % self.across * self.pitch[0], self.gap() + row * self.pitch[1]]
    }

    /// The channel at a column and row of the screen, where the page of `selected` is shown.
    pub(crate) fn at(&self, [column, row]: [u16; 2], selected: usize) -> Option<usize> {
        if !self.area.contains((column, row).into()) {
            return None;
        }
        let x = usize::from(column - self.area.x).saturating_sub(self.gap()) / self.pitch[0];
        let y = (2 * usize::from(row - self.area.y)) / self.pitch[1];
        let channel = (self.first_row(selected) + y) * self.across + x;
        (x < self.across && y < self.down && channel < self.count).then_some(channel)
    }
}

/// How a mosaic is coloured.
pub(crate) struct Colors<'a> {
    pub(crate) map: &'a Colormap,
    pub(crate) range: Range,
    pub(crate) cursor: [u8; 3],
    pub(crate) gap: [u8; 3],
    pub(crate) mode: ColorMode,
}

/// Draws the page that holds `selected`. The range of the colours, where it is one for all.
pub(crate) fn draw(buffer: &mut Buffer, grid: &Grid, maps: &Tensor, selected: usize, colors: &Colors<'_>) {
    let mut canvas = Canvas::plain(grid.used(), colors.gap);
    let shape = maps.shape;
    let shared = shared_range(maps, colors.range);
    let scaler = Scaler::new(shape.size(), [grid.tile[1], grid.tile[0]]);
    for channel in grid.page(selected) {
        let map = maps.channel(0, channel);
        let range = match colors.range {
            // Of a vector each number alone has no range of its own.
            Range::Picture if shape.is_spatial() => lit(range(map)),
            _ => shared,
        };
        canvas.tile(grid.corner(channel), grid.tile, &scaler.apply(map), colors.map, range);
        if colors.mode == ColorMode::Ansi16 && grid.gap() > 0 {
            let [x, y] = grid.corner(channel);
            canvas.fill([x - 1, y - 1, x, y], rgb_of_index(8));
        }
    }
    let [x, y] = grid.corner(selected.min(grid.count - 1));
    let around = |g: usize| [x.saturating_sub(g), y.saturating_sub(g), x + grid.tile[0] + g, y + grid.tile[1] + g];
    match grid.gap() {
        0 if grid.tile[0] < 4 => canvas.fill(around(0), colors.cursor),
        gap => canvas.outline(around(gap), colors.cursor),
    }
    canvas.put(buffer, colors.mode);
    if colors.mode == ColorMode::None && grid.gap() > 0 {
        corners(buffer, grid, selected);
    }
    if colors.mode == ColorMode::None && grid.gap() == 0 {
        let [x, y] = [grid.area.x + x as u16, grid.area.y + (y / 2) as u16];
        if let Some(cell) = buffer.cell_mut((x, y)) {
            cell.set_char('◆');
        }
    }
}

/// A dot at the corner of every tile: without colours nothing else parts silent ones.
fn corners(buffer: &mut Buffer, grid: &Grid, selected: usize) {
    for channel in grid.page(selected) {
        let [x, y] = grid.corner(channel);
        let at = [grid.area.x + (x - 1) as u16, grid.area.y + ((y - 1) / 2) as u16];
        if let Some(cell) = buffer.cell_mut((at[0], at[1])).filter(|c| c.symbol() == " ") {
            cell.set_char('·');
        }
    }
}

/// The range that all maps share under `range`.
pub(crate) fn shared_range(maps: &Tensor, range_of: Range) -> [f32; 2] {
    match range_of {
        Range::Fixed(range) => range,
        Range::Picture | Range::Layer => range(maps.picture(0)),
    }
}

/// A silent map is dark, not of the middle colour.
pub(crate) fn lit([low, high]: [f32; 2]) -> [f32; 2] {
    let least = low.min(0.0);
    if low == high { [least, high.max(least + f32::MIN_POSITIVE)] } else { [low, high] }
}

/// Lowest and highest.
pub(crate) fn range(values: &[f32]) -> [f32; 2] {
    match values.first() {
        None => [0.0, 0.0],
        Some(&first) => values.iter().fold([first, first], |[low, high], &v| [low.min(v), high.max(v)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_is_found_where_it_is_drawn() {
        for (w, h) in [(27, 18), (43, 34), (84, 54), (8, 5)] {
            for shape in [[64, 111, 111], [512, 13, 13], [1000, 1, 1], [16, 7, 20], [1, 30, 30], [256, 55, 55]] {
                let grid = Grid::new(Rect::new(5, 3, w, h), shape.into());
                for channel in 0..grid.count {
                    let [x, y] = grid.corner(channel);
                    let middle = [x + grid.tile[0] / 2, (y + grid.tile[1] / 2) / 2];
                    let at = [5 + middle[0] as u16, 3 + middle[1] as u16];
                    if at[0] < 5 + w && at[1] < 3 + h {
                        assert_eq!(grid.at(at, channel), Some(channel), "{shape:?} {grid:?}");
                    }
                }
                assert!(grid.across * grid.pitch[0] <= usize::from(w) || grid.across == 1);
            }
        }
    }

    #[test]
    fn small_maps_are_all_on_one_page_where_they_can_be() {
        let grid = Grid::new(Rect::new(0, 0, 84, 54), Shape::new(64, 55, 55));
        assert_eq!(grid.pages(63), [1, 0]);
        assert!(Grid::new(Rect::new(0, 0, 84, 54), Shape::new(512, 13, 13)).pages(0)[0] > 1);
    }
}
