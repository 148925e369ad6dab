//! A network that can be reckoned by hand, and pictures for it.
//!
//! ```text
//! input 3×8×8 ─ conv1 4×8×8 (3×3, pad 1; only the centre tap: R, G, B, R − G) ─ relu1 ─ pool1 4×4×4 (2×2, stride 2)
//!       ─ conv2 3×4×4 (1×1: 4·R, 4·G, 4·B) ─ mean 3 ─ prob 3 (softmax); classes red, green, blue; preprocessing unit
//! ```

use std::path::{Path, PathBuf};

use switchback_core::import::native;
use switchback_core::network::{Layer, Network, NodeSpec};
use switchback_core::preprocess::{Order, Preprocess, Resize};
use switchback_core::weights::WeightStore;
use switchback_core::weights::mmap::Bytes;
use switchback_core::{Dtype, Geometry, Model, Shape};

/// `unit`: RGB from 0 to 1, squarely cropped.
fn unit() -> Preprocess {
    Preprocess { resize: Resize::Cover, crop_ratio: 1.0, order: Order::Rgb, scale: 1.0, mean: [0.0; 3], std: [1.0; 3] }
}

/// Names of the classes; one would paint a terminal red.
pub(crate) const LABELS: [&str; 3] = ["red", "green", "blue \u{1b}[31m\u{9b}m"];

/// A weight to be damaged.
const MARK: f32 = 1234.567;

/// Writes the network to `path`; `damage` puts a NaN among its weights, `record` stores preprocessing.
pub(crate) fn write(path: &Path, damage: bool, record: bool) {
    let mut weights = WeightStore::new();
    let mut first = vec![0.0; 4 * 3 * 9];
    let centre = |out: usize, input: usize| (out * 3 + input) * 9 + 4;
    for c in 0..3 {
        first[centre(c, c)] = 1.0;
    }
    first[centre(3, 0)] = 1.0;
    first[centre(3, 1)] = -1.0;
    if damage {
        first[7] = MARK;
    }
    let mut second = vec![0.0; 3 * 4];
    for c in 0..3 {
        second[c * 4 + c] = 4.0;
    }
    let first = weights.add_f32("conv1.weight", &[4, 3, 3, 3], &first);
    let second = weights.add_f32("conv2.weight", &[3, 4, 1, 1], &second);
    let conv = |geometry, out_channels, weight| Layer::Conv2d { geometry, out_channels, groups: 1, weight, bias: None };
    let layers = [
        ("input", Layer::Input { shape: Shape::new(3, 8, 8) }),
        ("conv1", conv(Geometry::square(3, 1, 1), 4, first)),
        ("relu1", Layer::Relu),
        ("pool1", Layer::MaxPool2d { geometry: Geometry::square(2, 2, 0), ceil: false }),
        ("conv2", conv(Geometry::square(1, 1, 0), 3, second)),
        ("mean", Layer::GlobalAvgPool),
        ("prob", Layer::Softmax { flat: true }),
    ];
    let node = |(i, (name, layer)): (usize, (&str, Layer))| NodeSpec {
        name: name.into(),
        layer,
        inputs: i.checked_sub(1).into_iter().collect(),
    };
    let network = Network::new(layers.into_iter().enumerate().map(node).collect(), vec![6]).expect("a sound network");
    let model = Model {
        network,
        weights,
        preprocess: None,
        labels: None,
        path: PathBuf::from("tiny"),
        bytes: Bytes::owned(Vec::new()),
        format: "safetensors",
    };
    let unit = record.then(unit);
    native::write(path, &model, unit.as_ref(), Some(&LABELS.map(str::to_owned)), Dtype::F32).expect("it is written");
    if damage {
        // Behind the back of the writer, which refuses such numbers.
        let mut bytes = std::fs::read(path).expect("what was written");
        let at = bytes.windows(4).position(|b| b == MARK.to_le_bytes()).expect("the mark");
        bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        std::fs::write(path, bytes).expect("it is written");
    }
}

/// A folder with `tiny.safetensors`, and `red.png`, `green.png`: 8×8 of one colour.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join("tiny.safetensors"), false, true);
    paint(&folder.path().join("red.png"), 8, 8, |_, _| [255, 0, 0]);
    paint(&folder.path().join("green.png"), 8, 8, |_, _| [0, 255, 0]);
    folder
}

/// A picture of `colour(x, y)`.
pub(crate) fn paint(path: &Path, width: u32, height: u32, colour: impl Fn(u32, u32) -> [u8; 3]) {
    image::RgbImage::from_fn(width, height, |x, y| image::Rgb(colour(x, y))).save(path).expect("it is written");
}

/// Shape and numbers of a float32 `.npy` file.
pub(crate) fn npy(path: &Path) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(path).expect("the array");
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..end]).expect("text");
    assert!(header.contains("'descr': '<f4'") && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split(['(', ')']).nth(1).expect("a shape");
    let shape = shape.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let numbers = bytes[end..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect();
    (shape, numbers)
}
