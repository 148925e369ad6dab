//! Pictures: RGB8, decoded with limits, EXIF-upright, and written as PNG.
//!
//! Grey, palettes, CMYK and YCCK, 16 bits and alpha all become RGB8: 16 bits by rounding, alpha over mid-grey (128).

use std::io::Cursor;
use std::path::Path;

use image::codecs::png::PngEncoder;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageReader, Limits};
use switchback_kernels::Window;

use crate::error::{Error, Result};
use crate::weights::mmap::Bytes;

/// The longest side that is decoded, in pixels.
pub const MOST_SIDE: usize = 1 << 15;
/// The most pixels that are decoded.
pub const MOST_PIXELS: usize = 1 << 28;
/// What lies behind transparent pixels.
const BACKGROUND: u32 = 128;

/// An RGB8 picture, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width × height × 3` bytes.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// From bytes of our own; panics unless there are `width × height × 3`.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Self {
        assert_eq!(rgb.len(), width * height * 3, "bytes of a picture of {width}×{height}");
        Self { width, height, rgb }
    }

    /// Decodes a file: JPEG, PNG, WebP, BMP, GIF (its first picture) or TIFF, whatever its name ends in.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read; as [`Picture::decode`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::decode(path, &Bytes::open(path, false)?)
    }

    /// Decodes bytes; `name` is for errors.
    ///
    /// # Errors
    /// [`Error::Format`] for bytes that are no picture, are damaged, or are larger than [`MOST_SIDE`] and
    /// [`MOST_PIXELS`] (found before anything is allocated).
    pub fn decode(name: &Path, bytes: &[u8]) -> Result<Self> {
        let wrong = |what: String| Error::format(name, what);
        let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
        let mut reader = reader.map_err(Error::io("read", name))?;
        if reader.format().is_none() {
            return Err(wrong("not a picture: JPEG, PNG, WebP, BMP, GIF and TIFF are read".into()));
        }
        if is_empty(bytes) {
            return Err(wrong("a picture of 0×0 pixels has nothing to show".into()));
        }
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(8 * MOST_PIXELS as u64);
        reader.limits(limits);
        let damaged = |e: image::ImageError| wrong(format!("the picture cannot be decoded: {}", e.to_string().trim()));
        let mut decoder = reader.into_decoder().map_err(damaged)?;
        let (width, height) = decoder.dimensions();
        let (width, height) = (width as usize, height as usize);
        if width == 0 || height == 0 {
            return Err(wrong("a picture of 0×0 pixels has nothing to show".into()));
        }
        if width.max(height) > MOST_SIDE || width * height > MOST_PIXELS {
            return Err(wrong(format!(
                "a picture of {width}×{height} pixels is too large: at most {MOST_SIDE} a side and {MOST_PIXELS} in all"
            )));
        }
        let orientation = decoder.orientation().map_err(damaged)?;
        let mut picture = match jpeg(bytes, [width, height]).map_err(wrong)? {
            Some(picture) => picture,
            None => DynamicImage::from_decoder(decoder).map_err(damaged)?,
        };
        picture.apply_orientation(orientation);
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        Ok(Self::new(width, height, flatten(picture)))
    }

    /// The pixel at row `y`, column `x`.
    pub fn pixel(&self, y: usize, x: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }

    /// The part in `window`, which must be inside.
    pub fn crop(&self, window: Window) -> Picture {
        assert!(
            Window::full([self.height, self.width]).contains(window),
            "{window:?} is not inside a picture of {}×{}",
            self.width,
            self.height
        );
        let row = |y: usize| &self.rgb[(y * self.width + window.x0) * 3..(y * self.width + window.x1) * 3];
        let rgb = (window.y0..window.y1).flat_map(row).copied().collect();
        Picture::new(window.width(), window.height(), rgb)
    }

    /// Left and right exchanged.
    pub fn mirrored(&self) -> Picture {
        let pixels = |row: &[u8]| row.chunks(3).rev().flatten().copied().collect::<Vec<_>>();
        Picture::new(self.width, self.height, self.rgb.chunks(self.width * 3).flat_map(pixels).collect())
    }

    /// As PNG bytes.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a picture without pixels or beyond what PNG holds.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let mut png = Vec::new();
        let refused = |what: String| Error::Invalid(format!("a picture of {}×{}: {what}", self.width, self.height));
        let side = |n: usize| u32::try_from(n).map_err(|e| refused(e.to_string()));
        PngEncoder::new(&mut png)
            .write_image(&self.rgb, side(self.width)?, side(self.height)?, ExtendedColorType::Rgb8)
            .map_err(|e| refused(e.to_string()))?;
        Ok(png)
    }
}

/// Whether the header of a PNG, BMP or GIF says that there are no columns or no rows, which decoders report in other words.
fn is_empty(bytes: &[u8]) -> bool {
    let (at, side) = match bytes {
        [0x89, b'P', b'N', b'G', ..] => (16, 4),
        [b'B', b'M', ..] => (18, 4),
        [b'G', b'I', b'F', ..] => (6, 2),
        _ => return false,
    };
    bytes.get(at..at + 2 * side).is_some_and(|sides| sides.chunks(side).any(|n| n.iter().all(|&b| b == 0)))
}

/// Colour and grey JPEGs by the decoder whose chroma upsampling is nearest to libjpeg's, with which networks were
/// trained and are measured: on pictures with subsampled colour the other one is twice as far off. `None` for anything
/// else, CMYK and odd files among it. A file that ends early is an error: the other decoder would fill it up with grey.
fn jpeg(bytes: &[u8], [width, height]: [usize; 2]) -> Result<Option<DynamicImage>, String> {
    if !bytes.starts_with(&[0xff, 0xd8]) {
        return Ok(None);
    }
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    decoder.set_max_decoding_buffer_size(8 * MOST_PIXELS);
    let pixels = match decoder.decode() {
        Ok(pixels) => pixels,
        Err(jpeg_decoder::Error::Io(e)) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err("the picture ends early: the file was cut".into());
        }
        Err(_) => return Ok(None),
    };
    let Some(info) = decoder.info() else { return Ok(None) };
    let (w, h) = (u32::from(info.width), u32::from(info.height));
    if [w as usize, h as usize] != [width, height] {
        return Ok(None);
    }
    Ok(match info.pixel_format {
        jpeg_decoder::PixelFormat::RGB24 => image::RgbImage::from_raw(w, h, pixels).map(DynamicImage::from),
        jpeg_decoder::PixelFormat::L8 => image::GrayImage::from_raw(w, h, pixels).map(DynamicImage::from),
        _ => None,
    })
}

fn flatten(picture: DynamicImage) -> Vec<u8> {
    if !picture.color().has_alpha() {
        return picture.into_rgb8().into_raw();
    }
    let over = |p: &[u8]| {
        let alpha = u32::from(p[3]);
        [0, 1, 2].map(|i| ((u32::from(p[i]) * alpha + BACKGROUND * (255 - alpha) + 127) / 255) as u8)
    };
    picture.into_rgba8().as_raw().chunks_exact(4).flat_map(over).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::safetensors;
    use switchback_testdata::golden;

    #[test]
    fn every_format_decodes_as_pillow_does() {
        let path = golden("pictures.safetensors");
        let file = std::fs::read(&path).unwrap();
        let tensors = safetensors::parse(&path, &file).unwrap().tensors;
        assert!(tensors.len() > 25);
        for t in tensors {
            let found = Picture::open(&golden("pictures").join(&t.name)).unwrap();
            assert_eq!([found.height, found.width, 3], t.shape[..], "{}", t.name);
            let worst = found.rgb.iter().zip(&file[t.bytes]).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            // Lossy formats: decoders round differently.
            let allowed = match t.name.rsplit('.').next().unwrap() {
                "jpg" => 4,
                _ => 0,
            };
            assert!(worst <= allowed, "{}: differs by {worst}", t.name);
        }
    }

    #[test]
    fn bombs_and_rubbish_are_errors() {
        let name = Path::new("bomb\u{1b}.png");
        let header = |width: u32, height: u32| {
            let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
            png.extend(width.to_be_bytes());
            png.extend(height.to_be_bytes());
            png.extend([8, 2, 0, 0, 0]);
            let crc = crc32(&png[12..]);
            png.extend(crc.to_be_bytes());
            png.extend(b"\0\0\0\0IDAT");
            png.extend(crc32(b"IDAT").to_be_bytes());
            png
        };
        let huge = Picture::decode(name, &header(100_000, 100_000)).unwrap_err().to_string();
        assert!(huge.contains("100000×100000") && huge.contains("too large") && huge.contains("\\u{1b}"), "{huge}");
        let bmp = |sides: [u32; 2]| {
            let mut bmp = b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
            sides.iter().for_each(|n| bmp.extend(n.to_le_bytes()));
            bmp.extend(b"\x01\0\x18\0");
            bmp.resize(54, 0);
            bmp
        };
        for empty in [header(0, 0), header(3, 0), bmp([0, 0]), bmp([5, 0]), b"GIF89a\0\0\0\0\0\0\0;".to_vec()] {
            let none = Picture::decode(name, &empty).unwrap_err().to_string();
            assert!(none.contains("0×0 pixels has nothing"), "{none}");
        }
        let huge = Picture::decode(name, &bmp([100_000, 100_000])).unwrap_err().to_string();
        assert!(huge.contains("too large"), "{huge}");
        assert!(Picture::decode(name, b"hello").unwrap_err().to_string().contains("not a picture"));
        assert!(Picture::decode(name, b"").is_err());
        let whole = std::fs::read(golden("pictures/rgb.png")).unwrap();
        for cut in 0..whole.len() {
            let _ = Picture::decode(name, &whole[..cut]);
        }
    }

    #[test]
    fn jpegs_that_were_cut_are_errors() {
        for file in ["rgb.jpg", "grey.jpg", "progressive.jpg"] {
            let whole = std::fs::read(golden("pictures").join(file)).unwrap();
            for cut in 0..whole.len() * 9 / 10 {
                assert!(Picture::decode(Path::new(file), &whole[..cut]).is_err(), "{file} cut at {cut}");
            }
        }
    }

    #[test]
    fn png_round_trip_crop_and_mirror() {
        let p = Picture::new(3, 2, (0..18).collect());
        assert_eq!(Picture::decode(Path::new("x"), &p.to_png().unwrap()).unwrap(), p);
        let c = p.crop(Window { y0: 1, x0: 1, y1: 2, x1: 3 });
        assert_eq!((c.width, c.height, &c.rgb[..]), (2, 1, &[12, 13, 14, 15, 16, 17][..]));
        assert_eq!(p.mirrored().pixel(1, 0), p.pixel(1, 2));
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, b| {
            (0..8).fold(crc ^ u32::from(*b), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
        })
    }
}
