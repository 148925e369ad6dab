//! Pools and their ways back: against the naive loops, as adjoints, on windows and on threads.

use proptest::prelude::*;
use switchback_kernels::avg_pool2d::{avg_pool2d, avg_pool2d_backward};
use switchback_kernels::global_pool::{global_avg_pool, global_max_pool};
use switchback_kernels::max_pool2d::max_pool2d;
use switchback_kernels::unpool2d::unpool2d;
use switchback_kernels::{Cpu, Geometry, Level, Maps, MapsMut, Threads, Window, reference};

use crate::maps::{Cut, Full, levels, some_window, threaded};
use crate::numbers::{assert_bits, assert_close, dot};

/// A pool, what it runs on and the window to look at.
#[derive(Clone, Debug)]
struct Case {
    geometry: Geometry,
    ceil: bool,
    planes: [usize; 2],
    size: [usize; 2],
    pick: [usize; 4],
}

impl Case {
    fn new(geometry: Geometry, ceil: bool, size: [usize; 2]) -> Self {
        Self { geometry, ceil, planes: [2, 3], size, pick: [1, 2, 3, 5] }
    }

    fn out(&self) -> [usize; 2] {
        self.geometry.out_size(self.size, self.ceil).expect("the kernel fits")
    }
}

/// With few different numbers, so that windows have ties.
fn tied(seed: u64, planes: [usize; 2], size: [usize; 2]) -> Full<f32> {
    let mut x = Full::random(seed, planes, size);
    x.data.iter_mut().for_each(|x| *x = (*x * 3.0).round() / 3.0);
    x
}

/// Some numbers replaced by NaN and infinities.
fn special(mut x: Full<f32>) -> Full<f32> {
    for (i, x) in x.data.iter_mut().enumerate() {
        match i * 7 % 29 {
            0 => *x = f32::NAN,
            1..=3 => *x = f32::NEG_INFINITY,
            4 => *x = f32::INFINITY,
            _ => {}
        }
    }
    x
}

fn pool(cpu: &Cpu, case: &Case, input: &Full<f32>) -> (Full<f32>, Full<u8>) {
    let mut switches = Full {
        data: vec![9; case.planes[0] * case.planes[1] * case.out()[0] * case.out()[1]],
        batch: case.planes[0],
        channels: case.planes[1],
        size: case.out(),
    };
    let values = Full::compute(case.planes, case.out(), |out| {
        let switches = switchback_kernels::MapsMut::new(&mut switches.data, case.planes[0], case.planes[1], case.out());
        max_pool2d(cpu, &case.geometry, input.maps(), out, Some(switches));
    });
    (values, switches)
}

fn check_max(cpu: &Cpu, case: &Case, input: &Full<f32>) -> Full<u8> {
    let (g, what) = (&case.geometry, format!("{} max {case:?}", cpu.level));
    let values =
        Full::compute(case.planes, case.out(), |out| reference::pooling::max_pool2d(g, input.maps(), out, None));
    let switches = Full::compute(case.planes, case.out(), |switches| {
        let mut unused = values.data.clone();
        let out = switchback_kernels::MapsMut::new(&mut unused, case.planes[0], case.planes[1], case.out());
        reference::pooling::max_pool2d(g, input.maps(), out, Some(switches));
    });
    let (got, got_switches) = pool(cpu, case, input);
    got.assert_same_bits(&what, &values);
    got_switches.assert_same_bits(&what, &switches);
    let alone = Full::compute(case.planes, case.out(), |out| max_pool2d(cpu, g, input.maps(), out, None));
    alone.assert_same_bits(&format!("{what}, no switches"), &values);

    let window = some_window(case.out(), case.pick);
    let held = input.cut(g.input_window(window, case.size));
    let mut part = None;
    Cut::compute(case.planes, case.out(), window, |switches| {
        part = Some(Cut::compute(case.planes, case.out(), window, |out| {
            max_pool2d(cpu, g, held.maps(), out, Some(switches));
        }));
    })
    .assert_part_of(&what, &switches);
    part.expect("computed").assert_part_of(&what, &values);
    Cut::compute(case.planes, case.out(), window, |out| max_pool2d(cpu, g, held.maps(), out, None))
        .assert_part_of(&format!("{what}, no switches"), &values);
    switches
}

fn check_unpool(cpu: &Cpu, case: &Case, switches: &Full<u8>) {
    let (g, what) = (&case.geometry, format!("{} unpool {case:?}", cpu.level));
    let signal = Full::random(5, case.planes, case.out());
    let want = Full::compute(case.planes, case.size, |out| {
        reference::pooling::unpool2d(g, signal.maps(), switches.maps(), out);
    });
    let got = Full::compute(case.planes, case.size, |out| unpool2d(cpu, g, signal.maps(), switches.maps(), out));
    got.assert_same_bits(&what, &want);

    // A part of the map from all of the signal.
    let window = some_window(case.size, case.pick);
    let from = g.output_window(window, case.out());
    let (held, named) = (signal.cut(from), switches.cut(from));
    Cut::compute(case.planes, case.size, window, |out| unpool2d(cpu, g, held.maps(), named.maps(), out))
        .assert_part_of(&what, &want);

    // All of the map from a part of the signal; its switches present in more places.
    let window = some_window(case.out(), case.pick);
    let held = signal.cut(window);
    let want = Full::compute(case.planes, case.size, |out| {
        reference::pooling::unpool2d(g, held.maps(), switches.maps(), out);
    });
    let got = Full::compute(case.planes, case.size, |out| unpool2d(cpu, g, held.maps(), switches.maps(), out));
    got.assert_same_bits(&format!("{what} from {window:?}"), &want);
}

fn check_avg(cpu: &Cpu, case: &Case, count_include_pad: bool) {
    let (g, what) = (&case.geometry, format!("{} avg {count_include_pad} {case:?}", cpu.level));
    let (x, y) = (Full::random(6, case.planes, case.size), Full::random(7, case.planes, case.out()));
    let terms = g.kernel[0] * g.kernel[1];
    let pooled = Full::compute(case.planes, case.out(), |o| avg_pool2d(cpu, g, count_include_pad, x.maps(), o));
    let want = Full::compute(case.planes, case.out(), |o| {
        reference::pooling::avg_pool2d(g, count_include_pad, x.maps(), o);
    });
    assert_close(&what, &pooled.data, &want.data, 1);

    let window = some_window(case.out(), case.pick);
    let held = x.cut(g.input_window(window, case.size));
    Cut::compute(case.planes, case.out(), window, |o| avg_pool2d(cpu, g, count_include_pad, held.maps(), o))
        .assert_part_of(&what, &pooled);

    let back = Full::compute(case.planes, case.size, |o| avg_pool2d_backward(cpu, g, count_include_pad, y.maps(), o));
    let want = Full::compute(case.planes, case.size, |o| {
        reference::pooling::avg_pool2d_backward(g, count_include_pad, y.maps(), o);
    });
    assert_close(&what, &back.data, &want.data, terms);
    let (left, right) = (dot(&pooled.data, &y.data), dot(&x.data, &back.data));
    assert!((left - right).abs() <= 1e-5 * (1.0 + x.data.len() as f64).sqrt(), "{what}: {left} is not {right}");

    let window = some_window(case.size, case.pick);
    let held = y.cut(g.output_window(window, case.out()));
    Cut::compute(case.planes, case.size, window, |o| avg_pool2d_backward(cpu, g, count_include_pad, held.maps(), o))
        .assert_part_of(&what, &back);
    let held = y.cut(some_window(case.out(), case.pick));
    let got = Full::compute(case.planes, case.size, |o| avg_pool2d_backward(cpu, g, count_include_pad, held.maps(), o));
    let want = Full::compute(case.planes, case.size, |o| {
        reference::pooling::avg_pool2d_backward(g, count_include_pad, held.maps(), o);
    });
    assert_close(&format!("{what}, part of the signal"), &got.data, &want.data, terms);
}

fn check(case: &Case) {
    for cpu in levels() {
        let x = tied(3, case.planes, case.size);
        let switches = check_max(&cpu, case, &x);
        check_max(&cpu, case, &special(x));
        check_unpool(&cpu, case, &switches);
        check_avg(&cpu, case, false);
        check_avg(&cpu, case, true);
    }
}

#[test]
fn every_width_around_the_vectors() {
    for width in 1..=40 {
        for (kernel, stride, pad) in [(3, 2, 0), (3, 2, 1), (2, 2, 0), (3, 1, 1), (3, 3, 1), (1, 2, 0)] {
            if width + 2 * pad >= kernel {
                check(&Case::new(Geometry::square(kernel, stride, pad), true, [kernel + 2, width]));
            }
        }
        // Padding above and below alone.
        if width >= 3 {
            check(&Case::new(Geometry { pads: [1, 0, 1, 0], ..Geometry::square(3, 2, 0) }, true, [8, width]));
        }
    }
}

#[test]
fn wide_rows_take_every_block_of_vectors() {
    for width in [63, 64, 65, 79, 81, 128, 130, 161] {
        check(&Case { planes: [1, 1], ..Case::new(Geometry::square(3, 2, 1), true, [5, width]) });
        check(&Case { planes: [1, 1], ..Case::new(Geometry::square(3, 2, 0), true, [6, width]) });
        check(&Case { planes: [1, 1], ..Case::new(Geometry::square(2, 1, 0), false, [3, width]) });
    }
}

#[test]
fn a_window_of_256_cells_uses_every_switch() {
    let case = Case { planes: [1, 2], ..Case::new(Geometry::square(16, 3, 7), false, [40, 37]) };
    check(&case);
    for cpu in levels() {
        let mut x = Full { data: vec![0.0; 256], batch: 1, channels: 1, size: [16, 16] };
        x.data[255] = 1.0;
        let case = Case { planes: [1, 1], ..Case::new(Geometry::square(16, 1, 0), false, [16, 16]) };
        assert_eq!(pool(&cpu, &case, &x).1.data, [255]);
    }
}

fn geometries() -> impl Strategy<Value = Case> {
    let pair = |r: std::ops::RangeInclusive<usize>| [r.clone(), r];
    (
        pair(1..=5),
        pair(1..=4),
        pair(1..=3),
        any::<[u16; 4]>(),
        any::<bool>(),
        pair(1..=34),
        any::<[u16; 4]>(),
        pair(1..=2),
    )
        .prop_filter_map("the kernel fits", |(kernel, stride, dilation, pads, ceil, size, pick, planes)| {
            let open = Geometry { kernel, stride, dilation, pads: [0; 4] };
            let extent = open.extent();
            let pads = [0, 1, 2, 3].map(|i| usize::from(pads[i]) % extent[i % 2]);
            let geometry = Geometry { pads, ..open };
            geometry.out_size(size, ceil)?;
            Some(Case { geometry, ceil, planes, size, pick: pick.map(usize::from) })
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_geometry(case in geometries()) {
        check(&case);
    }
}

#[test]
fn the_first_maximum_wins_and_the_first_nan_over_all() {
    let nan = f32::NAN;
    for cpu in levels() {
        for (cells, value, switch) in [
            ([1.0, 2.0, 2.0, 0.0], 2.0, 1),
            ([3.0, 3.0, 3.0, 3.0], 3.0, 0),
            ([9.0, nan, 1.0, nan], nan, 1),
            ([nan, f32::INFINITY, 1.0, nan], nan, 0),
            ([f32::NEG_INFINITY; 4], f32::NEG_INFINITY, 0),
        ] {
            let x = Full { data: cells.to_vec(), batch: 1, channels: 1, size: [2, 2] };
            let case = Case { planes: [1, 1], ..Case::new(Geometry::square(2, 1, 0), false, [2, 2]) };
            let (values, switches) = pool(&cpu, &case, &x);
            assert!(values.data[0] == value || value.is_nan() && values.data[0].is_nan(), "{} {cells:?}", cpu.level);
            assert_eq!(switches.data, [switch], "{} {cells:?}", cpu.level);
        }
        // Padding does not win where it comes first, not even against −∞; nor does its zero against the negative.
        for lowest in [f32::NEG_INFINITY, f32::MIN, -1.0] {
            let x = Full { data: vec![lowest; 4], batch: 1, channels: 1, size: [2, 2] };
            let case = Case { planes: [1, 1], ..Case::new(Geometry::square(2, 2, 1), false, [2, 2]) };
            let (values, switches) = pool(&cpu, &case, &x);
            assert_eq!((values.data, switches.data), (vec![lowest; 4], vec![3, 2, 1, 0]), "{}", cpu.level);
        }
    }
}

#[test]
fn a_window_of_padding_alone_gives_minus_infinity_and_unpools_to_nothing() {
    // Taps 0 and 3 of output 0 step over the single column: −2 and 1.
    let geometry = Geometry { kernel: [1, 2], stride: [1, 1], dilation: [1, 3], pads: [0, 2, 0, 2] };
    let case = Case { planes: [1, 1], ..Case::new(geometry, false, [1, 1]) };
    for cpu in levels() {
        let x = Full { data: vec![5.0], batch: 1, channels: 1, size: [1, 1] };
        let (values, switches) = pool(&cpu, &case, &x);
        assert_eq!((&values.data[..], &switches.data[..]), (&[f32::NEG_INFINITY; 2][..], &[0, 0][..]));
        let back = Full::compute([1, 1], [1, 1], |out| unpool2d(&cpu, &geometry, values.maps(), switches.maps(), out));
        assert_eq!(back.data, [0.0]);
        let mean = Full::compute([1, 1], case.out(), |out| avg_pool2d(&cpu, &geometry, false, x.maps(), out));
        assert_eq!(mean.data, [0.0, 0.0]);
    }
}

#[test]
fn max_pool_and_unpool_are_adjoint() {
    for (kernel, stride, pad) in [(3, 2, 0), (3, 1, 1), (2, 2, 0), (5, 3, 2)] {
        let case = Case::new(Geometry::square(kernel, stride, pad), true, [23, 31]);
        let (x, y) = (Full::random(1, case.planes, case.size), Full::random(2, case.planes, case.out()));
        for cpu in levels() {
            let (pooled, switches) = pool(&cpu, &case, &x);
            let back = Full::compute(case.planes, case.size, |out| {
                unpool2d(&cpu, &case.geometry, y.maps(), switches.maps(), out);
            });
            let (left, right) = (dot(&pooled.data, &y.data), dot(&x.data, &back.data));
            assert!((left - right).abs() <= 1e-5 * left.abs().max(1.0), "{} {case:?}: {left} {right}", cpu.level);
        }
    }
}

#[test]
fn ceil_mode_divides_by_cells_up_to_the_padding() {
    // The columns of . 1 2 3 4 5 . four at a time, every second: the third window is 4 5 . and one beyond the padding.
    let geometry = Geometry { kernel: [1, 4], stride: [1, 2], dilation: [1, 1], pads: [0, 1, 0, 1] };
    assert_eq!(geometry.out_size([1, 5], true), Some([1, 3]));
    let x = Full { data: vec![1.0, 2.0, 3.0, 4.0, 5.0], batch: 1, channels: 1, size: [1, 5] };
    for cpu in levels() {
        let run = |include| Full::compute([1, 1], [1, 3], |o| avg_pool2d(&cpu, &geometry, include, x.maps(), o)).data;
        assert_eq!(run(true), [6.0 / 4.0, 14.0 / 4.0, 9.0 / 3.0], "{}", cpu.level);
        assert_eq!(run(false), [6.0 / 3.0, 14.0 / 4.0, 9.0 / 2.0], "{}", cpu.level);
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let case = Case { planes: [2, 21], ..Case::new(Geometry::square(3, 2, 1), true, [70, 69]) };
    let g = &case.geometry;
    let (x, y) = (Full::random(1, case.planes, case.size), Full::random(2, case.planes, case.out()));
    for cpu in levels() {
        let many = threaded(&cpu);
        let (values, switches) = pool(&cpu, &case, &x);
        let (again, again_switches) = pool(&many, &case, &x);
        again.assert_same_bits("max", &values);
        again_switches.assert_same_bits("switches", &switches);
        let [one, three] = [&cpu, &many]
            .map(|cpu| Full::compute(case.planes, case.size, |out| unpool2d(cpu, g, y.maps(), switches.maps(), out)));
        three.assert_same_bits("unpool", &one);
        let [one, three] = [&cpu, &many]
            .map(|cpu| Full::compute(case.planes, case.out(), |out| avg_pool2d(cpu, g, true, x.maps(), out)));
        three.assert_same_bits("avg", &one);
        let [one, three] = [&cpu, &many]
            .map(|cpu| Full::compute(case.planes, case.size, |out| avg_pool2d_backward(cpu, g, true, y.maps(), out)));
        three.assert_same_bits("avg backward", &one);
        let [one, three] = [&cpu, &many].map(|cpu| {
            let mut out = vec![0.0; 84];
            global_avg_pool(cpu, x.maps(), &mut out[..42]);
            global_max_pool(cpu, x.maps(), &mut out[42..], None);
            out
        });
        assert_bits("global", &three, &one);
    }
}

#[test]
fn global_pools_follow_the_naive_loop() {
    for height in [1, 3] {
        for width in 1..=40 {
            let plain = tied(width as u64, [2, 3], [height, width]);
            for x in [plain.clone(), special(plain)] {
                let (mut want, mut want_places) = (vec![0.0; 6], vec![0; 6]);
                reference::pooling::global_max_pool(x.maps(), &mut want, Some(&mut want_places));
                for cpu in levels() {
                    let (mut got, mut places) = (vec![0.0; 6], vec![0; 6]);
                    global_max_pool(&cpu, x.maps(), &mut got, Some(&mut places));
                    assert_bits("global max", &got, &want);
                    assert_eq!(places, want_places, "{} {height} × {width}", cpu.level);
                    let held = x.cut(Window::full(x.size));
                    global_max_pool(&cpu, held.maps(), &mut got, None);
                    assert_bits("global max of rows with gaps", &got, &want);
                }
            }
            let x = Full::random(width as u64, [2, 3], [height, width]);
            let mut want = vec![0.0; 6];
            reference::pooling::global_avg_pool(x.maps(), &mut want);
            for cpu in levels() {
                let (mut got, mut gaps) = (vec![0.0; 6], vec![0.0; 6]);
                global_avg_pool(&cpu, x.maps(), &mut got);
                assert_close("global avg", &got, &want, 1);
                global_avg_pool(&cpu, x.cut(Window::full(x.size)).maps(), &mut gaps);
                assert_bits("global avg of rows with gaps", &gaps, &got);
            }
        }
    }
}

/// Windows without cells, wherever they are said to be, and no pictures: nothing is done, and nothing asked for.
#[test]
fn nothing_to_compute_is_no_error() {
    let nothing = Window { y0: 0, x0: 0, y1: 0, x1: 0 };
    for level in Level::available() {
        let cpu = Cpu { level, threads: Threads::new(2) };
        for geometry in [Geometry::square(3, 2, 0), Geometry::square(2, 3, 1), Geometry::square(2, 2, 0)] {
            let [size, out] = [[9, 9], geometry.out_size([9, 9], true).expect("fits")];
            let (signal, switches) = (vec![1.0; out[0] * out[1]], vec![0; out[0] * out[1]]);
            let (maps, named) = (Maps::new(&signal, 1, 1, out), Maps::new(&switches, 1, 1, out));
            unpool2d(&cpu, &geometry, maps, named, MapsMut::windowed(&mut [], 1, 1, size, nothing));
            avg_pool2d_backward(&cpu, &geometry, true, maps, MapsMut::windowed(&mut [], 1, 1, size, nothing));
            let x = vec![1.0; 81];
            avg_pool2d(
                &cpu,
                &geometry,
                true,
                Maps::new(&x, 1, 1, size),
                MapsMut::windowed(&mut [], 1, 1, out, nothing),
            );
            avg_pool2d(&cpu, &geometry, true, Maps::new(&[], 0, 1, size), MapsMut::new(&mut [], 0, 1, out));
        }
    }
}
