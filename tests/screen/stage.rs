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
    let pictures = ["hills.png", "rings.png"].map(|name| folder.path().join(name));
    paint(&pictures[0], |x, y| {
        let hill = 150.0 + 30.0 * (x / 37.0).sin() + 12.0 * (x / 9.0).cos();
        if y > hill {
            [60.0 + y / 4.0, 110.0, 40.0 + x / 5.0]
        } else {
            [90.0 + y / 3.0, 150.0 + y / 4.0, 230.0 - y / 3.0]
        }
    });
    paint(&pictures[1], |x, y| {
        let far = ((x - 128.0).powi(2) + (y - 128.0).powi(2)).sqrt();
        [128.0 + 120.0 * (far / 9.0).sin(), x, y]
    });
    let stage = Stage { model, pictures };
    (folder, stage)
});

fn paint(path: &Path, colour: impl Fn(f32, f32) -> [f32; 3]) {
    let pixel = |x: u32, y: u32| image::Rgb(colour(x as f32, y as f32).map(|v| v.clamp(0.0, 255.0) as u8));
    image::RgbImage::from_fn(256, 256, pixel).save(path).expect("it is written");
}

impl Stage {
    /// What is made here.
    pub(crate) fn drawn() -> &'static Stage {
        &DRAWN.1
    }

    /// The real SqueezeNet and photographs, where they are; and what is made here.
    pub(crate) fn all() -> Vec<Stage> {
        let real = || {
            let picture = |name: &str| shared(&format!("photos/{name}.JPEG"));
            Some(Stage {
                model: shared("models/squeezenet1.1.onnx")?,
                pictures: [picture("n02110185_Siberian_husky")?, picture("n02124075_Egyptian_cat")?],
            })
        };
        let drawn = Stage { model: DRAWN.1.model.clone(), pictures: DRAWN.1.pictures.clone() };
        std::iter::once(drawn).chain(real()).collect()
    }

    /// The browser, its first screen at rest.
    pub(crate) fn browse(&self, size: [u16; 2], options: &[&str]) -> Terminal {
        let mut arguments: Vec<&OsStr> = ["browse", "--color", "truecolor", "-m"].map(OsStr::new).to_vec();
        arguments.push(self.model.as_ref());
        arguments.extend(options.iter().map(OsStr::new));
        arguments.extend(self.pictures.iter().map(|p| p.as_os_str()));
        let mut terminal = Terminal::start(home(), size, &arguments);
        terminal.shows(&["1 Browse", "Layers", "Classes", " %"]);
        terminal.rest();
        terminal
    }
}

/// A folder to start in.
pub(crate) fn home() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().expect("a folder"))
}
