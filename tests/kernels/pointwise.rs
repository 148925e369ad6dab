//! Layers of one number at a time: against their scalar rule, on windows and on threads.

use switchback_kernels::pointwise::{Pointwise, Rectifier, add_assign, affine, pointwise, pointwise_in_place, rectify};
use switchback_kernels::{Window, reference};

use crate::maps::{Cut, Full, levels, some_window, threaded};

const ALL: [Pointwise; 7] = [
    Pointwise::Copy,
    Pointwise::Relu,
    Pointwise::LeakyRelu(0.1),
    Pointwise::LeakyRelu(-2.0),
    Pointwise::Clip(-0.25, 0.5),
    Pointwise::Clip(0.0, f32::INFINITY),
    Pointwise::Scale(-1.5),
];

/// Random numbers with NaN, infinities and both zeros among them.
fn mixed(seed: u64, planes: [usize; 2], size: [usize; 2]) -> Full<f32> {
    let mut x = Full::random(seed, planes, size);
    for (i, x) in x.data.iter_mut().enumerate() {
        match (i + seed as usize) * 5 % 31 {
            0 => *x = f32::NAN,
            1 => *x = f32::INFINITY,
            2 => *x = f32::NEG_INFINITY,
            3 => *x = -0.0,
            4 => *x = 0.0,
            5 => *x = 0.5,
            6 => *x = -0.25,
            _ => {}
        }
    }
    x
}

/// `f` of every number, and of its neighbour in `other`.
fn zip(a: &Full<f32>, b: &Full<f32>, f: impl Fn(f32, f32) -> f32) -> Full<f32> {
    let data = a.data.iter().zip(&b.data).map(|(&a, &b)| f(a, b)).collect();
    Full { data, ..a.clone() }
}

/// The same bits, but any NaN for a NaN and any zero for a zero.
#[track_caller]
fn assert_same(what: &str, got: &Full<f32>, want: &Full<f32>) {
    for (i, (g, w)) in got.data.iter().zip(&want.data).enumerate() {
        assert!(g == w || g.is_nan() && w.is_nan(), "{what}: element {i}: {g}, expected {w}");
    }
}

#[test]
fn pointwise_follows_its_scalar_rule() {
    let planes = [2, 3];
    for width in 1..=40 {
        let size = [2, width];
        let x = mixed(width as u64, planes, size);
        let window = some_window(size, [1, width / 4, 0, width / 2]);
        let part = x.cut(window);
        for f in ALL {
            let want = zip(&x, &x, |x, _| reference::pointwise::pointwise(f, x));
            for cpu in levels() {
                let what = format!("{} {f:?} {width}", cpu.level);
                let got = Full::compute(planes, size, |out| pointwise(&cpu, f, x.maps(), out));
                assert_same(&what, &got, &want);
                Cut::compute(planes, size, window, |out| pointwise(&cpu, f, part.maps(), out))
                    .assert_part_of(&what, &got);
                let in_place = Full::compute(planes, size, |mut out| {
                    out.data_mut().copy_from_slice(&x.data);
                    pointwise_in_place(&cpu, f, out);
                });
                in_place.assert_same_bits(&format!("{what} in place"), &got);
                Cut::compute(planes, size, window, |mut out| {
                    pointwise(&cpu, Pointwise::Copy, x.maps(), out.reborrow());
                    pointwise_in_place(&cpu, f, out);
                })
                .assert_part_of(&format!("{what} in place"), &got);
            }
        }
    }
}

#[test]
fn relu_keeps_nan_and_the_sign_of_zero() {
    let x = Full { data: vec![-1.0, -0.0, 0.0, 2.0, f32::NAN], batch: 1, channels: 1, size: [1, 5] };
    for cpu in levels() {
        let got = Full::compute([1, 1], [1, 5], |out| pointwise(&cpu, Pointwise::Relu, x.maps(), out));
        assert_eq!(got.data[..4].iter().map(|x| x.to_bits()).collect::<Vec<_>>(), [0, 0x8000_0000, 0, 0x4000_0000]);
        assert!(got.data[4].is_nan());
    }
}

#[test]
fn affine_takes_one_pair_a_channel() {
    let (planes, scale, shift) = ([2, 3], [2.0, -0.5, 0.0], [1.0, 0.25, -3.0]);
    for width in 1..=40 {
        let size = [3, width];
        let x = Full::random(width as u64, planes, size);
        let window = some_window(size, [1, width / 3, 1, width / 2]);
        let part = x.cut(window);
        for shift in [None, Some(&shift[..])] {
            for cpu in levels() {
                let got = Full::compute(planes, size, |out| affine(&cpu, &scale, shift, x.maps(), out));
                for (i, (&y, &x)) in got.data.iter().zip(&x.data).enumerate() {
                    let c = i / (3 * width) % 3;
                    let want = f64::from(scale[c]) * f64::from(x) + shift.map_or(0.0, |s| f64::from(s[c]));
                    assert!((f64::from(y) - want).abs() <= 4e-7 * want.abs().max(1.0), "{} {y} {want}", cpu.level);
                }
                Cut::compute(planes, size, window, |out| affine(&cpu, &scale, shift, part.maps(), out))
                    .assert_part_of("affine", &got);
            }
        }
    }
}

#[test]
fn sums_take_what_is_absent_as_zero() {
    let planes = [2, 2];
    for width in 1..=40 {
        let size = [4, width];
        let (x, y) = (Full::random(1, planes, size), mixed(2, planes, size));
        let (held, shown) =
            (some_window(size, [1, width / 3, 1, width / 2]), some_window(size, [2, width / 5, 1, width / 3]));
        let part = x.cut(held);
        let inside = |w: Window, i: usize| {
            let (y, x) = (i / width % 4, i % width);
            (w.y0..w.y1).contains(&y) && (w.x0..w.x1).contains(&x)
        };
        for cpu in levels() {
            let what = format!("{} {width}", cpu.level);
            let add = |part, mut out: switchback_kernels::MapsMut<'_>| {
                pointwise(&cpu, Pointwise::Copy, y.maps(), out.reborrow());
                add_assign(&cpu, part, out);
            };
            let got = Full::compute(planes, size, |out| add(x.maps(), out));
            assert_same(&what, &got, &zip(&x, &y, |x, y| y + x));
            let got = Full::compute(planes, size, |out| add(part.maps(), out));
            let mut want = y.clone();
            for (i, want) in want.data.iter_mut().enumerate().filter(|(i, _)| inside(held, *i)) {
                *want += x.data[i];
            }
            assert_same(&what, &got, &want);
            Cut::compute(planes, size, shown, |out| add(part.maps(), out)).assert_part_of(&what, &got);
            let away = Window { y0: 0, x0: 0, y1: 1, x1: width };
            Cut::compute(planes, size, away, |out| add(part.maps(), out)).assert_part_of(&what, &got);
        }
    }
}

#[test]
fn rectifiers_follow_their_scalar_rule() {
    let planes = [1, 2];
    for width in (1..=40).step_by(3) {
        let size = [2, width];
        let (forward, signal) = (mixed(1, planes, size), mixed(2 + width as u64, planes, size));
        let window = some_window(size, [0, width / 3, 1, width / 2]);
        for (low, high) in [(0.0, f32::INFINITY), (-0.25, 0.5)] {
            for slope in [0.0, 0.2] {
                for (positive_signal, by_forward) in [(false, false), (false, true), (true, false), (true, true)] {
                    let rule = Rectifier { positive_signal, by_forward, low, high, slope };
                    let want = zip(&forward, &signal, |f, s| reference::pointwise::rectify(&rule, f, s));
                    for cpu in levels() {
                        let seen = by_forward.then(|| forward.maps());
                        let got = Full::compute(planes, size, |mut out| {
                            out.data_mut().copy_from_slice(&signal.data);
                            rectify(&cpu, &rule, seen, out);
                        });
                        assert_same(&format!("{} {rule:?}", cpu.level), &got, &want);
                        let part = forward.cut(window);
                        Cut::compute(planes, size, window, |mut out| {
                            pointwise(&cpu, Pointwise::Copy, signal.maps(), out.reborrow());
                            rectify(&cpu, &rule, by_forward.then(|| part.maps()), out);
                        })
                        .assert_part_of("rectify", &got);
                    }
                }
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let (planes, size) = ([2, 24], [70, 70]);
    let x = mixed(1, planes, size);
    let scale: Vec<f32> = (0..24).map(|c| c as f32 / 7.0 - 1.0).collect();
    for cpu in levels() {
        let many = threaded(&cpu);
        for f in ALL {
            let [one, three] =
                [&cpu, &many].map(|cpu| Full::compute(planes, size, |out| pointwise(cpu, f, x.maps(), out)));
            three.assert_same_bits(&format!("{f:?}"), &one);
        }
        let [one, three] = [&cpu, &many].map(|cpu| {
            Full::compute(planes, size, |mut out| {
                affine(cpu, &scale, Some(&scale), x.maps(), out.reborrow());
                add_assign(cpu, x.maps(), out);
            })
        });
        three.assert_same_bits("affine and sum", &one);
    }
}
