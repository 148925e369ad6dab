//! Preprocessing as data: how a picture becomes a network's input tensor.

use std::path::Path;

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};
use switchback_kernels::Window;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::network::zoo;
use crate::picture::{MOST_PIXELS, MOST_SIDE, Picture};
use crate::tensor::{Shape, Tensor};

/// How a picture becomes a network's input: x = (pixel · scale / 255 − mean) / std, channel by channel in `order`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// How the picture is brought to size.
    pub resize: Resize,
    /// Side of the crop over the side of what it is cut from; 1 with `squash`.
    #[serde(default = "one")]
    pub crop_ratio: f64,
    /// Of the channels.
    pub order: Order,
    /// What the brightest pixel becomes: 255 or 1.
    pub scale: f32,
    /// Subtracted, in `order`.
    pub mean: [f32; 3],
    /// Divided by, in `order`.
    #[serde(default = "ones")]
    pub std: [f32; 3],
}

fn one() -> f64 {
    1.0
}

fn ones() -> [f32; 3] {
    [1.0; 3]
}

/// How a picture is brought to the network's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// Scaled until it covers, then the centre is cut out.
    Cover,
    /// Straight to the size, whatever the aspect.
    Squash,
}

/// Of colour channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Red first.
    #[serde(rename = "RGB")]
    Rgb,
    /// Blue first.
    #[serde(rename = "BGR")]
    Bgr,
}

/// A record and where it came from; what every JSON repeats.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chosen {
    /// The record.
    #[serde(flatten)]
    pub record: Preprocess,
    /// `option: caffe`, `model file`, `known model: squeezenet1.1-7`, `default: torchvision`, …
    pub source: String,
    /// Nobody said: the caller must warn aloud.
    #[serde(skip)]
    pub guessed: bool,
}

const PRESETS: [&str; 5] = ["torchvision", "caffe", "caffe-squash", "unit", "raw"];

impl Preprocess {
    /// `torchvision`, `caffe`, `caffe-squash`, `unit` or `raw`.
    pub fn preset(name: &str) -> Option<Self> {
        let record = |resize, crop_ratio, order, scale, mean, std| Self { resize, crop_ratio, order, scale, mean, std };
        let (cover, ratio) = (Resize::Cover, 224.0 / 256.0);
        Some(match name {
            "torchvision" => record(cover, ratio, Order::Rgb, 1.0, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            "caffe" => record(cover, ratio, Order::Bgr, 255.0, [104.0, 117.0, 123.0], [1.0; 3]),
            "caffe-squash" => record(Resize::Squash, 1.0, Order::Bgr, 255.0, [103.939, 116.779, 123.68], [1.0; 3]),
            "unit" => record(cover, 1.0, Order::Rgb, 1.0, [0.0; 3], [1.0; 3]),
            "raw" => record(cover, 1.0, Order::Rgb, 255.0, [0.0; 3], [1.0; 3]),
            _ => return None,
        })
    }

    /// From a TOML file with the fields of this struct; `crop_ratio` and `std` may be left out and are 1.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] with line and key.
    pub fn from_toml(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let record: Self = toml::from_str(&text).map_err(|e| Error::format(path, in_line(&text, &e)))?;
        let sound = record.crop_ratio > 0.0
            && record.crop_ratio <= 1.0
            && record.scale > 0.0
            && record.scale.is_finite()
            && record.mean.iter().all(|x| x.is_finite())
            && record.std.iter().all(|x| x.is_finite() && *x != 0.0);
        if !sound {
            let what = "crop_ratio must lie in (0, 1], scale be positive, mean finite, std finite and not 0";
            return Err(Error::format(path, what));
        }
        Ok(record)
    }

    /// What to use for `model`: `asked` (a preset or a TOML file), else what the file records, else the table of
    /// known public models, else `torchvision` as a guess.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that is neither preset nor file; as [`Preprocess::from_toml`].
    pub fn choose(asked: Option<&str>, model: &Model) -> Result<Chosen> {
        let chosen = |record: Self, source: String| Chosen { record, source, guessed: false };
        if let Some(asked) = asked {
            if let Some(record) = Self::preset(asked) {
                return Ok(chosen(record, format!("option: {asked}")));
            }
            let path = Path::new(asked);
            if path.exists() || path.extension().is_some_and(|e| e.eq_ignore_ascii_case("toml")) {
                return Ok(chosen(Self::from_toml(path)?, format!("file: {asked}")));
            }
            return Err(Error::Invalid(format!(
                "\"{asked}\" is neither a preset ({}) nor a TOML file",
                PRESETS.join(", ")
            )));
        }
        if let Some(record) = &model.preprocess {
            return Ok(chosen(record.clone(), "model file".into()));
        }
        if let Some(known) = zoo::recognise(&model.bytes)
            && let Some(record) = known.preset.and_then(Self::preset)
        {
            return Ok(chosen(record, format!("known model: {}", known.name)));
        }
        let record = Self::preset("torchvision").expect("a preset");
        Ok(Chosen { record, source: "default: torchvision".into(), guessed: true })
    }

    /// The size that a picture of `[height, width]` is resampled to for an input of `[h, w]`, before the crop.
    fn resampled(&self, [height, width]: [usize; 2], [h, w]: [usize; 2]) -> [usize; 2] {
        if self.resize == Resize::Squash {
            return [h, w];
        }
        let target = [h, w].map(|side| ((side as f64 / self.crop_ratio).round() as usize).max(side));
        // The axis that needs the larger scale gets its target; the other follows and is at least as large as its own.
        let by_height = target[0] * width >= target[1] * height;
        let follow = |long: usize, t: usize, short: usize, least: usize| {
            ((long as f64 * t as f64 / short as f64).round_ties_even() as usize).max(least)
        };
        if by_height {
            [target[0], follow(width, target[0], height, w)]
        } else {
            [follow(height, target[1], width, h), target[1]]
        }
    }

    /// The picture at the network's size, RGB8: what the network sees, before normalisation.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a network whose input has neither 1 nor 3 channels; [`Error::Memory`]-sized requests are
    /// refused as [`Error::Invalid`].
    pub fn place(&self, picture: &Picture, input: Shape) -> Result<Picture> {
        check_channels(input)?;
        let size = self.resampled([picture.height, picture.width], input.size());
        let [y0, x0] = [0, 1].map(|i| (size[i] - input.size()[i]) / 2);
        let window = Window { y0, x0, y1: y0 + input.h, x1: x0 + input.w };
        Ok(resample(picture, size)?.crop(window))
    }

    /// The ten crops of Krizhevsky et al. 2012: four corners and the centre, each also mirrored.
    ///
    /// # Errors
    /// As [`Preprocess::place`].
    pub fn ten_crops(&self, picture: &Picture, input: Shape) -> Result<Vec<Picture>> {
        check_channels(input)?;
        let mut cover = Self { resize: Resize::Cover, ..self.clone() };
        if cover.crop_ratio == 1.0 {
            cover.crop_ratio = 224.0 / 256.0;
        }
        let size = cover.resampled([picture.height, picture.width], input.size());
        let whole = resample(picture, size)?;
        let [bottom, right] = [size[0] - input.h, size[1] - input.w];
        let corners = [[0, 0], [0, right], [bottom, 0], [bottom, right], [bottom / 2, right / 2]];
        let crops = corners.map(|[y0, x0]| whole.crop(Window { y0, x0, y1: y0 + input.h, x1: x0 + input.w }));
        Ok(crops.iter().cloned().chain(crops.iter().map(Picture::mirrored)).collect())
    }

    /// A placed picture, normalised, as `(C, H, W)`; C is 1 (grey by Rec. 601, mean and std averaged) or 3.
    ///
    /// # Errors
    /// [`Error::Invalid`] for other channels; [`Error::Input`] for a picture of another size.
    pub fn normalise(&self, placed: &Picture, input: Shape) -> Result<Tensor> {
        check_channels(input)?;
        if [placed.height, placed.width] != input.size() {
            let found = format!("a picture of {} rows and {} columns", placed.height, placed.width);
            return Err(Error::Input { input: "picture".into(), expected: input, found });
        }
        let mut data = Vec::with_capacity(input.len());
        for c in 0..input.c {
            let table = self.table(c, input.c);
            let pixels = placed.rgb.chunks_exact(3);
            match (input.c, self.order) {
                (1, _) => data.extend(pixels.map(|p| table[usize::from(luma(p))])),
                (_, Order::Rgb) => data.extend(pixels.map(|p| table[usize::from(p[c])])),
                (_, Order::Bgr) => data.extend(pixels.map(|p| table[usize::from(p[2 - c])])),
            }
        }
        Ok(Tensor::single(input, data))
    }

    /// An RGB colour (0–255) in the network's input space, one number a channel of `input`.
    pub fn colour(&self, rgb: [f32; 3], input: Shape) -> Vec<f32> {
        let grey = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
        let level = |c: usize| match (input.c, self.order) {
            (3, Order::Rgb) => rgb[c],
            (3, Order::Bgr) => rgb[2 - c],
            _ => grey,
        };
        (0..input.c).map(|c| self.number(level(c), c, input.c)).collect()
    }

    /// The mean colour, RGB 0–255; `None` for a preset without one.
    pub fn mean_rgb(&self) -> Option<[f32; 3]> {
        let mean = self.mean.map(|m| m * 255.0 / self.scale);
        let rgb = match self.order {
            Order::Rgb => mean,
            Order::Bgr => [mean[2], mean[1], mean[0]],
        };
        rgb.iter().any(|&m| m != 0.0).then_some(rgb)
    }

    /// What each of the 256 levels of channel `c` becomes.
    fn table(&self, c: usize, channels: usize) -> [f32; 256] {
        std::array::from_fn(|level| self.number(level as f32, c, channels))
    }

    fn number(&self, level: f32, c: usize, channels: usize) -> f32 {
        let average = |x: [f32; 3]| x.iter().sum::<f32>() / 3.0;
        let (mean, std) =
            if channels == 3 { (self.mean[c], self.std[c]) } else { (average(self.mean), average(self.std)) };
        (level * (self.scale / 255.0) - mean) / std
    }
}

fn check_channels(input: Shape) -> Result<()> {
    match input.c {
        1 | 3 => Ok(()),
        c => Err(Error::Invalid(format!(
            "the network takes {c} channels, a picture gives 1 or 3: bring a float32 .npy of shape ({c},{},{})",
            input.h, input.w
        ))),
    }
}

/// What is wrong with a TOML file, in one line that shows where.
fn in_line(text: &str, error: &toml::de::Error) -> String {
    let what = error.message().trim();
    // Of a key that is missing the span is the whole file.
    match error.span().filter(|s| s.start > 0 || !what.starts_with("missing")) {
        None => what.to_owned(),
        Some(span) => {
            let number = text.get(..span.start).map_or(0, |before| before.matches('\n').count());
            let line = text.lines().nth(number).unwrap_or("").trim();
            format!("line {} `{line}`: {what}", number + 1)
        }
    }
}

/// Rec. 601 luma in 16-bit fixed point, as Pillow's mode `L`.
fn luma(p: &[u8]) -> u8 {
    ((u32::from(p[0]) * 19595 + u32::from(p[1]) * 38470 + u32::from(p[2]) * 7471 + 0x8000) >> 16) as u8
}

/// Pillow's antialiased bilinear resampling to `[height, width]`, on 8-bit values.
fn resample(picture: &Picture, [height, width]: [usize; 2]) -> Result<Picture> {
    if [picture.height, picture.width] == [height, width] {
        return Ok(picture.clone());
    }
    let refused = |why: String| {
        let from = format!("{}×{}", picture.width, picture.height);
        Error::Invalid(format!("a picture of {from} cannot be resampled to {width}×{height}: {why}"))
    };
    // A line of pixels stretched to cover a square would take memory without end.
    if width.max(height) > MOST_SIDE || width * height > MOST_PIXELS {
        return Err(refused("it is too long and thin; use a preset with resize = \"squash\"".into()));
    }
    // Pillow rounds to 8 bits after the rows and again after the columns, with weights of 22 bits; two passes of one
    // axis each over 16-bit pixels, whose weights are as fine, do the same but for exact ties.
    let pass = |from: &[u8], from_size: [usize; 2], to_size: [usize; 2]| -> Result<Vec<u8>> {
        if from_size == to_size {
            return Ok(from.to_vec());
        }
        let side = |n: usize| n as u32;
        let native = |level: u8| u16::from(level).to_ne_bytes();
        let source = from.iter().copied().flat_map(native).collect();
        let source = Image::from_vec_u8(side(from_size[1]), side(from_size[0]), source, PixelType::U16x3)
            .map_err(|e| refused(e.to_string()))?;
        let mut to = Image::new(side(to_size[1]), side(to_size[0]), PixelType::U16x3);
        let bilinear = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        Resizer::new().resize(&source, &mut to, &bilinear).map_err(|e| refused(e.to_string()))?;
        Ok(to.buffer().chunks_exact(2).map(|b| u16::from_ne_bytes([b[0], b[1]]) as u8).collect())
    };
    let rows = pass(&picture.rgb, [picture.height, picture.width], [picture.height, width])?;
    Ok(Picture::new(width, height, pass(&rows, [picture.height, width], [height, width])?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::safetensors;
    use switchback_testdata::{golden, shared};

    fn noise(width: usize, height: usize, seed: u32) -> Picture {
        let mut state = seed;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        Picture::new(width, height, (0..width * height * 3).map(|_| byte()).collect())
    }

    #[test]
    fn resampling_equals_pillow_but_for_ties() {
        let path = golden("resize.safetensors");
        let file = std::fs::read(&path).unwrap();
        let golden = safetensors::parse(&path, &file).unwrap();
        let mut checked = 0;
        for t in golden.tensors.iter().filter(|t| t.name != "luma") {
            let sizes: Vec<usize> = t.name.split(['x', '-']).map(|n| n.parse().unwrap()).collect();
            let seed = [
                "40x30-24x18",
                "61x47-96x74",
                "7x5-32x23",
                "500x375-48x36",
                "33x200-10x64",
                "1x1-5x7",
                "3x90-64x9",
                "64x64-64x40",
                "64x64-40x64",
                "101x50-64x32",
                "257x129-56x28",
                "1000x3-20x16",
                "2x2-9x9",
                "30x30-30x30",
            ]
            .iter()
            .position(|n| *n == t.name)
            .unwrap();
            let found = resample(&noise(sizes[0], sizes[1], seed as u32), [sizes[3], sizes[2]]).unwrap();
            let gaps: Vec<u8> = found.rgb.iter().zip(&file[t.bytes.clone()]).map(|(a, b)| a.abs_diff(*b)).collect();
            let off = gaps.iter().filter(|&&g| g > 0).count();
            // Where the exact value lies half way between two levels, the last bit of the weights decides; with scales
            // of few fractions that is every sixth value at most.
            assert!(gaps.iter().all(|&g| g <= 1) && off * 6 < gaps.len(), "{}: {off} of {}", t.name, gaps.len());
            checked += 1;
        }
        assert_eq!(checked, 14);
        let grey: Vec<u8> = noise(16, 16, 99).rgb.chunks(3).map(luma).collect();
        assert_eq!(grey, file[golden.get("luma").unwrap().bytes.clone()]);
    }

    #[test]
    fn sizes_follow_the_contract() {
        let caffe = Preprocess::preset("caffe").unwrap();
        // 375 · 256 / 500 the other way round: 500 · 256 / 375 = 341.33.
        assert_eq!(caffe.resampled([375, 500], [224, 224]), [256, 341]);
        assert_eq!(caffe.resampled([500, 375], [224, 224]), [341, 256]);
        // Half to even: 3 · 256 / 512 … 513 · 256 / 1024 = 128.25; 5 · 100 / 8 = 62.5 becomes 62.
        let unit = Preprocess::preset("unit").unwrap();
        assert_eq!(unit.resampled([8, 5], [100, 62]), [100, 62]);
        // Not square: both sides are covered.
        assert_eq!(unit.resampled([100, 100], [20, 60]), [60, 60]);
        assert_eq!(unit.resampled([100, 400], [20, 60]), [20, 80]);
        assert_eq!(Preprocess::preset("caffe-squash").unwrap().resampled([9, 4], [20, 60]), [20, 60]);
    }

    #[test]
    fn normalises_in_the_order_of_the_preset() {
        let input = Shape::new(3, 1, 1);
        let p = Picture::new(1, 1, vec![255, 128, 0]);
        assert_eq!(Preprocess::preset("caffe").unwrap().normalise(&p, input).unwrap().data, [-104.0, 11.0, 132.0]);
        let t = Preprocess::preset("torchvision").unwrap().normalise(&p, input).unwrap().data;
        assert!((t[0] - (1.0 - 0.485) / 0.229).abs() < 1e-6 && (t[2] + 0.406 / 0.225).abs() < 1e-6);
        let grey = Preprocess::preset("raw").unwrap().normalise(&p, Shape::new(1, 1, 1)).unwrap().data;
        assert_eq!(grey, [151.0]);
        assert!(Preprocess::preset("raw").unwrap().normalise(&p, Shape::new(4, 1, 1)).is_err());
        let caffe = Preprocess::preset("caffe").unwrap();
        assert_eq!(caffe.colour(caffe.mean_rgb().unwrap(), input), [0.0; 3]);
        assert_eq!(caffe.mean_rgb(), Some([123.0, 117.0, 104.0]));
        assert_eq!(Preprocess::preset("unit").unwrap().mean_rgb(), None);
    }

    #[test]
    fn toml_errors_name_line_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        let good = "resize = \"cover\"\ncrop_ratio = 0.875\norder = \"BGR\"\nscale = 255\nmean = [1, 2, 3]\n";
        std::fs::write(&path, good).unwrap();
        let record = Preprocess::from_toml(&path).unwrap();
        assert_eq!((record.std, record.order), ([1.0; 3], Order::Bgr));
        for (text, word) in [
            (good.replace("scale = 255", "sacle = 255"), "sacle"),
            (good.replace("[1, 2, 3]", "[1, 2]"), "mean"),
            (good.replace("0.875", "0"), "crop_ratio"),
            (good.replace("\"cover\"", "\"contain\""), "line 1 `resize = \"contain\"`: unknown variant"),
            (good.replace("order = \"BGR\"\n", ""), "missing field `order`"),
            (good.replace("0.875", "0.875.1"), "line 2 `crop_ratio"),
        ] {
            std::fs::write(&path, &text).unwrap();
            let error = Preprocess::from_toml(&path).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains("\\n"), "{error}");
        }
    }

    #[test]
    fn photographs_become_the_golden_inputs() {
        for name in ["n02056570_king_penguin", "n02110185_Siberian_husky", "n02124075_Egyptian_cat"] {
            let (Some(photo), Some(golden)) =
                (shared(&format!("photos/{name}.JPEG")), shared(&format!("golden/squeezenet1.1-{name}.safetensors")))
            else {
                return;
            };
            let file = std::fs::read(&golden).unwrap();
            let want = safetensors::parse(&golden, &file).unwrap().get("input").unwrap().f32(&file).unwrap();
            let input = Shape::new(3, 224, 224);
            let caffe = Preprocess::preset("caffe").unwrap();
            let placed = caffe.place(&Picture::open(&photo).unwrap(), input).unwrap();
            let found = caffe.normalise(&placed, input).unwrap().data;
            let gaps: Vec<f32> = found.iter().zip(&want).map(|(a, b)| (a - b).abs()).collect();
            let (mean, most) = (gaps.iter().sum::<f32>() / gaps.len() as f32, gaps.iter().fold(0f32, |a, &b| a.max(b)));
            println!("{name}: decoders differ by {mean:.4} on average, {most} at most");
            assert!(mean < 0.5 && most <= 6.0, "{name}: {mean} on average, {most} at most");
        }
    }
}
