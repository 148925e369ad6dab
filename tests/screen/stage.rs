//! Models and pictures for the browser.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use switchback_core::Dtype;
use switchback_core::architecture::{Name, build};
use switchback_core::import::native;
use switchback_core::preprocess::Preprocess;
use switchback_testdata::shared;
use tempfile::TempDir;

use crate::terminal::Terminal;

pub(crate) const SIZES: [[u16; 2]; 3] = [[80, 24], [120, 40], [200, 60]];

/// A model and two pictures.
pub(crate) struct Stage {
    pub(crate) model: PathBuf,
    pub(crate) pictures: [PathBuf; 2],
}

/// SqueezeNet with random weights and two drawn pictures; one folder for all tests of this program.
static DRAWN: LazyLock<(TempDir, Stage)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("random.safetensors");
    let record = Preprocess::preset("torchvision").expect("a preset");
    native::write(&model, &build(Name::SqueezeNet11, 1), Some(&record), None, Dtype::F32).expect("it is written");
    let pictures = ["balloon.png", "rings.png"].map(|name| folder.path().join(name));
    paint(&pictures[0], balloon);
    paint(&pictures[1], |x, y| {
        let far = (x - 128.0).hypot(y - 128.0);
        [128.0 + 120.0 * (far / 9.0).sin(), x, y]
    });
    let stage = Stage { model, pictures };
    (folder, stage)
});

/// A picture of 256 × 256, from sRGB at every point; four points a pixel.
fn paint(path: &Path, colour: impl Fn(f32, f32) -> [f32; 3]) {
    let pixel = |x: u32, y: u32| {
        let points = [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]];
        let seen = points.map(|[dx, dy]| colour(x as f32 + dx, y as f32 + dy));
        image::Rgb([0, 1, 2].map(|c| (seen.iter().map(|p| p[c]).sum::<f32>() / 4.0).clamp(0.0, 255.0) as u8))
    };
    image::RgbImage::from_fn(256, 256, pixel).save(path).expect("it is written");
}

/// A balloon over hills: something that the real network knows.
fn balloon(x: f32, y: f32) -> [f32; 3] {
    let hills = 212.0 + 10.0 * (x / 31.0).sin() + 6.0 * (x / 13.0 + 1.0).sin();
    let (across, up) = ((x - 128.0) / (62.0 - 0.42 * (y - 96.0).max(0.0)).max(1.0), (y - 96.0) / 66.0);
    let up = if up < 0.0 { up } else { up / 1.25 };
    if across * across + up * up < 1.0 && y < 176.0 {
        let turn = (across / (1.0 - up * up).max(1e-3).sqrt()).clamp(-1.0, 1.0).asin();
        let stripes = [[214.0, 52.0, 44.0], [244.0, 196.0, 54.0], [38.0, 84.0, 170.0]];
        let stripe = ((turn / std::f32::consts::PI + 0.5) * 9.0) as usize % 3;
        let shade = (0.62 + 0.38 * (turn - 0.6).cos()) * (1.0 - 0.12 * up);
        return stripes[stripe].map(|v| v * shade);
    }
    if (x - 128.0).abs() < 11.0 && (198.0..214.0).contains(&y) {
        let weave = 0.8 + 0.2 * (((x + y) / 3.0) as i32 % 2) as f32;
        return [128.0, 86.0, 48.0].map(|v| v * weave);
    }
    if ((x - 128.0).abs() - 9.5).abs() < 0.8 && (172.0..200.0).contains(&y) {
        return [60.0, 40.0, 25.0];
    }
    if y > hills {
        let deep = y - hills;
        return [58.0 + deep / 2.0, 112.0 - 0.4 * deep, 48.0];
    }
    let clouds =
        [[40.0, 60.0, 22.0], [62.0, 52.0, 26.0], [86.0, 62.0, 20.0], [196.0, 120.0, 18.0], [214.0, 112.0, 22.0]];
    clouds.iter().fold([70.0 + 0.45 * y, 130.0 + 0.35 * y, 215.0 - 0.05 * y], |sky, [cx, cy, r]| {
        let far = (((x - cx) / 1.3).powi(2) + (y - cy).powi(2)) / (r * r);
        let cloud = 0.75 * (1.2 - far).clamp(0.0, 1.0);
        sky.map(|v| v * (1.0 - cloud) + 247.0 * cloud)
    })
}

impl Stage {
    /// What is made here.
    pub(crate) fn drawn() -> &'static Stage {
        &DRAWN.1
    }

    /// The real SqueezeNet before the drawn pictures, where it is.
    pub(crate) fn real() -> Option<Stage> {
        Some(Stage { model: shared("models/squeezenet1.1.onnx")?, pictures: DRAWN.1.pictures.clone() })
    }

    /// What is made here; and the real SqueezeNet before photographs, where they are.
    pub(crate) fn all() -> Vec<Stage> {
        let real = || {
            let picture = |name: &str| shared(&format!("photos/{name}.JPEG"));
            Some(Stage {
                pictures: [picture("n02110185_Siberian_husky")?, picture("n02124075_Egyptian_cat")?],
                ..Stage::real()?
            })
        };
        let drawn = Stage { model: DRAWN.1.model.clone(), pictures: DRAWN.1.pictures.clone() };
        std::iter::once(drawn).chain(real()).collect()
    }

    /// The browser, its first screen at rest.
    pub(crate) fn browse(&self, size: [u16; 2], options: &[&str]) -> Terminal {
        self.started(Terminal::start(home(), size, &self.arguments(options)))
    }

    /// The same as a job of a shell that can bring it back.
    pub(crate) fn browse_as_job(&self, size: [u16; 2]) -> Terminal {
        self.started(Terminal::start_as_job(home(), size, &self.arguments(&[])))
    }

    fn arguments<'a>(&'a self, options: &[&'a str]) -> Vec<&'a OsStr> {
        let mut arguments: Vec<&OsStr> = ["browse", "-m"].map(OsStr::new).to_vec();
        arguments.push(self.model.as_ref());
        arguments.extend(options.iter().map(|o| OsStr::new(*o)));
        arguments.extend(self.pictures.iter().map(|p| p.as_os_str()));
        arguments
    }

    fn started(&self, mut terminal: Terminal) -> Terminal {
        terminal.shows(&["1 Browse", "Layers", "Classes", " %"]);
        terminal.rest();
        terminal
    }
}

/// A folder to start in.
pub(crate) fn home() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().expect("a folder"))
}
