//! Local response normalisation and its Jacobian, softmax and its logarithm.

use switchback_kernels::lrn::{Lrn, lrn, lrn_backward};
use switchback_kernels::softmax::{log_softmax, softmax};
use switchback_kernels::{Cpu, Window, reference};

use crate::maps::{Cut, Full, levels, some_window, threaded};
use crate::numbers::{assert_bits, dot, numbers};

/// Strong enough that neighbours matter.
const STRONG: Lrn = Lrn { size: 5, alpha: 3.0, beta: 0.75, k: 1.5 };

/// Each number within `tolerance` of the larger of it and 1.
#[track_caller]
fn assert_near(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len());
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance * w.abs().max(1.0), "{what}: element {i}: {g}, expected {w}");
    }
}

fn forward(cpu: &Cpu, l: &Lrn, x: &Full<f32>) -> Full<f32> {
    Full::compute([x.batch, x.channels], x.size, |out| lrn(cpu, l, x.maps(), out))
}

fn backward(cpu: &Cpu, l: &Lrn, x: &Full<f32>, g: &Full<f32>) -> Full<f32> {
    Full::compute([x.batch, x.channels], x.size, |out| lrn_backward(cpu, l, x.maps(), g.maps(), out))
}

fn check(l: &Lrn, planes: [usize; 2], size: [usize; 2], pick: [usize; 4]) {
    let mut x = Full::random(11, planes, size);
    x.data.iter_mut().for_each(|x| *x *= 4.0);
    let g = Full::random(12, planes, size);
    let want = Full::compute(planes, size, |out| reference::pooling::lrn(l, x.maps(), out));
    let want_back = Full::compute(planes, size, |out| reference::pooling::lrn_backward(l, x.maps(), g.maps(), out));
    let window = some_window(size, pick);
    for cpu in levels() {
        let what = format!("{} {l:?} {planes:?} {size:?}", cpu.level);
        let got = forward(&cpu, l, &x);
        assert_near(&what, &got.data, &want.data, 2e-6);
        let part = x.cut(window);
        Cut::compute(planes, size, window, |out| lrn(&cpu, l, part.maps(), out)).assert_part_of(&what, &got);

        let back = backward(&cpu, l, &x, &g);
        assert_near(&format!("{what} backward"), &back.data, &want_back.data, 4e-6);
        let signal = g.cut(window);
        Cut::compute(planes, size, window, |out| lrn_backward(&cpu, l, part.maps(), signal.maps(), out))
            .assert_part_of(&what, &back);
        // The signal is present in a part only: zero elsewhere.
        let got = Full::compute(planes, size, |out| lrn_backward(&cpu, l, x.maps(), signal.maps(), out));
        let want = Full::compute(planes, size, |out| {
            reference::pooling::lrn_backward(l, x.maps(), signal.maps(), out);
        });
        assert_near(&format!("{what} part of the signal"), &got.data, &want.data, 4e-6);
    }
}

#[test]
fn lrn_at_every_width_around_the_vectors() {
    for width in 1..=40 {
        check(&STRONG, [2, 7], [2, width], [1, width / 3, 5, 7]);
    }
    check(&STRONG, [1, 3], [3, 150], [0, 120, 3, 27]);
}

#[test]
fn lrn_of_every_size_and_exponent() {
    for size in 1..=7 {
        for beta in [0.5, 0.75, 1.0, 0.6] {
            for channels in [1, 2, 6] {
                check(&Lrn { size, beta, ..STRONG }, [1, channels], [2, 11], [0, 3, 1, 4]);
            }
        }
    }
}

#[test]
fn lrn_of_sums_near_nothing_and_near_infinity() {
    for (k, scale) in [(0.0, 1.0), (1e-38, 1e-18), (1e-30, 0.0), (2.0, 1e18), (2.0, 3e18), (1.0, 1e19)] {
        for size in [1, 3, 5] {
            let l = Lrn { size, k, ..STRONG };
            let mut x = Full::random(21, [1, 7], [1, 21]);
            x.data.iter_mut().for_each(|x| *x *= scale);
            let want = Full::compute([1, 7], [1, 21], |out| reference::pooling::lrn(&l, x.maps(), out));
            for cpu in levels() {
                let got = forward(&cpu, &l, &x);
                for (g, w) in got.data.iter().zip(&want.data) {
                    let same = (g - w).abs() <= 2e-6 * w.abs() + 1e-9 || g.is_nan() && w.is_nan();
                    assert!(same, "{} {l:?} × {scale:e}: {g:e}, expected {w:e}", cpu.level);
                }
            }
        }
    }
}

#[test]
fn an_even_sum_reaches_one_channel_further_up() {
    let l = Lrn { size: 2, alpha: 2.0, beta: 1.0, k: 1.0 };
    let x = Full { data: vec![1.0, 2.0, 3.0], batch: 1, channels: 3, size: [1, 1] };
    for cpu in levels() {
        assert_eq!(forward(&cpu, &l, &x).data, [1.0 / 6.0, 2.0 / 14.0, 3.0 / 10.0]);
    }
}

#[test]
fn the_jacobian_is_that_of_differences() {
    for l in [STRONG, Lrn { size: 4, beta: 0.5, ..STRONG }, Lrn { size: 3, beta: 0.9, ..STRONG }] {
        let (planes, size) = ([1, 6], [3, 5]);
        let (x, g, v) = (Full::random(1, planes, size), Full::random(2, planes, size), Full::random(3, planes, size));
        let step = 1e-2;
        for cpu in levels() {
            let along = |h: f32| {
                let mut moved = x.clone();
                moved.data.iter_mut().zip(&v.data).for_each(|(x, v)| *x += h * v);
                dot(&forward(&cpu, &l, &moved).data, &g.data)
            };
            let slope = (along(step) - along(-step)) / (2.0 * f64::from(step));
            let jacobian = dot(&backward(&cpu, &l, &x, &g).data, &v.data);
            assert!((slope - jacobian).abs() < 2e-3, "{} {l:?}: {slope} {jacobian}", cpu.level);
        }
    }
}

#[test]
fn an_infinity_stays_with_the_channels_that_sum_it() {
    let mut x = Full::random(4, [1, 9], [1, 3]);
    x.data[4 * 3 + 1] = f32::INFINITY;
    for cpu in levels() {
        let got = forward(&cpu, &STRONG, &x);
        for c in 0..9 {
            let y = got.data[c * 3 + 1];
            match c {
                4 => assert!(y.is_nan()),
                2..=6 => assert_eq!(y, 0.0),
                _ => assert!(y.is_finite() && y != 0.0),
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let (planes, size) = ([2, 40], [33, 37]);
    let (x, g) = (Full::random(1, planes, size), Full::random(2, planes, size));
    let held = x.cut(Window { y0: 1, x0: 2, y1: 33, x1: 37 });
    for cpu in levels() {
        let many = threaded(&cpu);
        let one = forward(&cpu, &STRONG, &x);
        forward(&many, &STRONG, &x).assert_same_bits("lrn", &one);
        backward(&many, &STRONG, &x, &g).assert_same_bits("backward", &backward(&cpu, &STRONG, &x, &g));
        Cut::compute(planes, size, held.maps().window(), |out| lrn(&many, &STRONG, held.maps(), out))
            .assert_part_of("rows with gaps", &one);
        for stride in [1, 130] {
            let [one, three] = [&cpu, &many].map(|cpu| {
                let mut data = numbers(9, 4 * 260 * 130);
                softmax(cpu, &mut data, 260, stride);
                data
            });
            assert_bits("softmax", &three, &one);
        }
    }
}

#[test]
fn softmax_follows_the_naive_loop() {
    for len in (1..=40).chain([100, 1000]) {
        for stride in [1, 2, 3, 7, 16, 33, 65, 130] {
            let x: Vec<f32> = numbers(len as u64, 2 * len * stride).iter().map(|x| x * 20.0).collect();
            let (mut want, mut want_log) = (x.clone(), x.clone());
            reference::pointwise::softmax(&mut want, len, stride);
            reference::pointwise::log_softmax(&mut want_log, len, stride);
            for cpu in levels() {
                let what = format!("{} {len} × {stride}", cpu.level);
                let (mut got, mut log) = (x.clone(), x.clone());
                softmax(&cpu, &mut got, len, stride);
                log_softmax(&cpu, &mut log, len, stride);
                assert_near(&what, &got, &want, 1e-6);
                for (g, w) in got.iter().zip(&want) {
                    assert!((g - w).abs() <= 4e-6 * w + f32::MIN_POSITIVE, "{what}: {g:e}, expected {w:e}");
                }
                assert_near(&format!("{what} log"), &log, &want_log, 1e-6);
            }
        }
    }
}

#[test]
fn softmax_of_what_is_not_finite() {
    let low = f32::NEG_INFINITY;
    for cpu in levels() {
        for stride in [1, 3] {
            // Each group is repeated at every place.
            let run = |group: &[f32]| {
                let mut data: Vec<f32> = group.iter().flat_map(|&x| vec![x; stride]).collect();
                let mut log = data.clone();
                softmax(&cpu, &mut data, group.len(), stride);
                log_softmax(&cpu, &mut log, group.len(), stride);
                let last = |v: Vec<f32>| v.into_iter().skip(stride - 1).step_by(stride).collect::<Vec<_>>();
                (last(data), last(log))
            };
            let (p, log) = run(&[0.0, low, 0.0, low, low]);
            assert_eq!(p, [0.5, 0.0, 0.5, 0.0, 0.0], "{}", cpu.level);
            assert!(log[1] == low && (log[0] + std::f32::consts::LN_2).abs() < 1e-6);
            let (p, log) = run(&[3.0e38, 3.0e38, -3.0e38]);
            assert_eq!(p, [0.5, 0.5, 0.0], "{}", cpu.level);
            assert!(log[2] < -1e38);
            for group in [&[0.0, f32::NAN, 1.0][..], &[low, low], &[1.0, f32::INFINITY], &[f32::NAN; 20]] {
                let (p, log) = run(group);
                assert!(p.iter().chain(&log).all(|x| x.is_nan()), "{} {group:?}: {p:?} {log:?}", cpu.level);
            }
        }
    }
}
