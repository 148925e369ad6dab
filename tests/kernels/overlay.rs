//! Rectangles of maps with some cells replaced, cell by cell: wherever the frame and the window lie, whatever gaps there are.

use switchback_kernels::overlay::{Frame, overlay};
use switchback_kernels::{Cpu, Level, Maps, Window, reference};

use crate::maps::Full;
use crate::numbers::assert_bits;

#[test]
fn frames_are_padding_below_and_above() {
    for [height, width] in [[1, 1], [3, 4], [13, 13], [5, 40]] {
        let (below, above) = (Full::random(1, [1, 3], [height, width]), Full::random(2, [1, 3], [height, width]));
        let inner = Window { y0: height / 3, x0: width / 4, y1: height - height / 4, x1: width - width / 3 };
        let windows = [None, Some(Window::full([height, width])), Some(inner), Some(Window::cell([height - 1, 0]))];
        let (h, w) = (height as isize, width as isize);
        let corners = [[0, 0], [-1, -2], [h - 1, w - 1], [h / 3, w / 4], [-3, w + 1]];
        for (window, at) in windows.into_iter().flat_map(|window| corners.map(|at| (window, at))) {
            let cut = window.map(|window| above.cut(window));
            let tight: Option<Vec<f32>> = window.map(|window| {
                let maps = above.maps();
                let rows = (0..3).flat_map(|c| (window.y0..window.y1).map(move |y| (c, y)));
                rows.flat_map(|(c, y)| maps.row(0, c, y)[window.x0..window.x1].to_vec()).collect()
            });
            for size in [[height, width], [height + 4, width + 4], [1, 3], [2, 33], [0, 4]] {
                let frame = Frame { at, size };
                let loose = cut.as_ref().map(|cut| cut.maps());
                let tight = window
                    .zip(tight.as_ref())
                    .map(|(window, data)| Maps::windowed(data, 1, 3, [height, width], window));
                let cells =
                    (0..size[0] as isize).flat_map(|y| (0..size[1] as isize).map(move |x| [at[0] + y, at[1] + x]));
                let want: Vec<f32> = (0..3)
                    .flat_map(|c| cells.clone().map(move |cell| (c, cell)))
                    .map(|(c, cell)| reference::pointwise::overlay(&below.maps(), loose.as_ref(), c, cell))
                    .collect();
                for level in Level::available() {
                    for above in [loose, tight] {
                        let mut found = vec![f32::NAN; want.len()];
                        overlay(&Cpu::single(level), below.maps(), above, frame, &mut found);
                        assert_bits(&format!("{level}, {frame:?} of {height}×{width}, {window:?}"), &found, &want);
                    }
                }
            }
        }
    }
}
