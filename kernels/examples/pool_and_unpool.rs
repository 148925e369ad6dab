//! Max-pooling with switches and the way back through them, on a map small enough to print.
//!
//! ```text
//! map ──max_pool2d──▶ maxima ──unpool2d──▶ each maximum at the place it came from, zeros elsewhere
//!           └──────▶ switches ────▲
//! ```

use switchback_kernels::max_pool2d::max_pool2d;
use switchback_kernels::unpool2d::unpool2d;
use switchback_kernels::{Cpu, Geometry, Maps, MapsMut};

fn main() {
    let cpu = Cpu::new(1);
    // One map of 5 × 7 cells; windows of 3 × 3, two apart, as in ZFNet: neighbours share a row or a column.
    let size = [5, 7];
    #[rustfmt::skip]
    let map = [
        1.0, 2.0, 0.0, 0.0, 3.0, 1.0, 0.0,
        0.0, 5.0, 1.0, 0.0, 0.0, 2.0, 1.0,
        0.0, 0.0, 9.0, 0.0, 1.0, 0.0, 4.0,
        2.0, 0.0, 0.0, 6.0, 0.0, 0.0, 0.0,
        0.0, 7.0, 0.0, 0.0, 0.0, 8.0, 8.0,
    ];
    let pool = Geometry::square(3, 2, 0);
    let pooled = pool.out_size(size, false).expect("the window fits");
    let outputs = pooled[0] * pooled[1];

    let (mut maxima, mut switches) = (vec![0.0; outputs], vec![0; outputs]);
    let named = MapsMut::new(&mut switches, 1, 1, pooled);
    max_pool2d(&cpu, &pool, Maps::new(&map, 1, 1, size), MapsMut::new(&mut maxima, 1, 1, pooled), Some(named));

    let mut back = vec![0.0; map.len()];
    let (signal, named) = (Maps::new(&maxima, 1, 1, pooled), Maps::new(&switches, 1, 1, pooled));
    unpool2d(&cpu, &pool, signal, named, MapsMut::new(&mut back, 1, 1, size));

    print("the map", &map, size[1], |x| format!("{x:4}"));
    print("maxima", &maxima, pooled[1], |x| format!("{x:4}"));
    print("switches: row, column in the window", &switches, pooled[1], |s| format!(" {},{}", s / 3, s % 3));
    print("unpooled: where windows share a maximum it adds up", &back, size[1], |x| format!("{x:4}"));
}

fn print<T>(title: &str, cells: &[T], width: usize, show: impl Fn(&T) -> String) {
    println!("{title}");
    for row in cells.chunks(width) {
        println!("  {}", row.iter().map(&show).collect::<String>());
    }
    println!();
}
