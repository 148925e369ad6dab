//! Matrix products C = A·B, row-major: ours, matrixmultiply, gemm.

use switchback_kernels::aligned::AlignedBuf;
use switchback_kernels::gemm::{Matrix, MatrixMut, PackedA, gemm as ours, gemm_packed};
use switchback_kernels::{Cpu, Level};

use crate::{Result, answer_lines, samples};

/// Answers `NAME M K N SECONDS`; refuses to give times of a wrong product.
pub fn serve(threads: usize) -> Result<()> {
    // Read by matrixmultiply when it starts its threads.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("MATMUL_NUM_THREADS", threads.to_string()) };
    let levels: Vec<(String, Cpu)> = Level::available()
        .into_iter()
        .map(|level| (format!("{level}").to_lowercase(), Cpu { level, ..Cpu::new(threads) }))
        .collect();
    let best = Cpu::new(threads);
    answer_lines(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, m, k, n, seconds] = words[..] else { return Err(format!("what is {line:?}?").into()) };
        let (m, k, n): (usize, usize, usize) = (m.parse()?, k.parse()?, n.parse()?);
        // The same for all: aligned, large ones on huge pages.
        let (mut a, mut b) = (AlignedBuf::zeroed(m * k), AlignedBuf::zeroed(k * n));
        a.iter_mut().enumerate().for_each(|(i, a)| *a = ((i * 7919) % 1009) as f32 / 504.5 - 1.0);
        b.iter_mut().enumerate().for_each(|(i, b)| *b = ((i * 6151) % 1013) as f32 / 506.5 - 1.0);
        let mut c = AlignedBuf::zeroed(m * n);
        let cpu = name.split_once('@').and_then(|(_, level)| levels.iter().find(|l| l.0 == level)).map_or(&best, |l| &l.1);
        let packed = PackedA::new(cpu, m, k, |i, p| a[i * k + p]);
        let seconds: f64 = seconds.parse()?;
        let mut run = || match name.split('@').next() {
            Some("ours") => {
                ours(cpu, Matrix::new(&a, m, k), Matrix::new(&b, k, n), MatrixMut::new(&mut c, m, n), false);
                Ok(())
            }
            Some("ours-packed") => {
                gemm_packed(cpu, &packed, Matrix::new(&b, k, n), MatrixMut::new(&mut c, m, n), false);
                Ok(())
            }
            Some("matrixmultiply") => {
                // SAFETY: the three slices hold m·k, k·n and m·n numbers, row by row.
                unsafe {
                    matrixmultiply::sgemm(
                        m, k, n, 1.0, a.as_ptr(), k as isize, 1, b.as_ptr(), n as isize, 1, 0.0, c.as_mut_ptr(), n as isize, 1,
                    );
                }
                Ok(())
            }
            Some("gemm") => {
                let parallelism = if threads == 1 { gemm::Parallelism::None } else { gemm::Parallelism::Rayon(threads) };
                // SAFETY: the three slices hold m·k, k·n and m·n numbers, row by row.
                unsafe {
                    gemm::gemm(
                        m, n, k, c.as_mut_ptr(), 1, n as isize, false, a.as_ptr(), 1, k as isize, b.as_ptr(), 1, n as isize, 0.0,
                        1.0, false, false, false, parallelism,
                    );
                }
                Ok(())
            }
            _ => Err(format!("no contender {name}").into()),
        };
        // As within a run of a network: threads stay awake from one product to the next, as the others' do.
        let times = match name.starts_with("ours") {
            true => cpu.threads.inside(|| samples(seconds, &mut run).map_err(|e| e.to_string()))?,
            false => samples(seconds, &mut run)?,
        };
        for s in 0..64 {
            let (i, j) = (s * 7919 % m, s * 104_729 % n);
            let exact: f64 = (0..k).map(|p| f64::from(a[i * k + p]) * f64::from(b[p * n + j])).sum();
            let off = (f64::from(c[i * n + j]) - exact).abs();
            if off > 1e-5 * k as f64 {
                return Err(format!("{name}: C[{i},{j}] is {}, should be {exact}", c[i * n + j]).into());
            }
        }
        Ok(times)
    })
}
