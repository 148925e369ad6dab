//! Options that mean the same for every command, and the small languages of their values.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args, ValueEnum};
use switchback_core::Level;
use switchback_core::session::{Algorithm, LinearWeights};

use super::failure::Failure;
use crate::color::ColorMode;

/// Accepted before and after the command alike.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// An .onnx or .safetensors file, or `builtin`
    #[arg(short, long, global = true, value_name = "MODEL", help_heading = MODEL)]
    pub(crate) model: Vec<PathBuf>,

    /// How a picture becomes the network's input: torchvision, caffe, caffe-squash, unit, raw, or a TOML file
    ///
    /// Default: what the model file records; else what is known of public models; else torchvision, said aloud.
    #[arg(long, global = true, value_name = "PRESET|FILE", help_heading = MODEL)]
    pub(crate) preprocess: Option<String>,

    /// Class names: a name a line, or a TSV with columns `index` and `name`
    ///
    /// Default: the model file's, else labels.tsv beside it, else ImageNet's where there are 1000 classes.
    #[arg(long, global = true, value_name = "FILE", help_heading = MODEL)]
    pub(crate) labels: Option<PathBuf>,

    /// Read the model into memory instead of mapping it (network drives, files that may be truncated)
    #[arg(long, global = true, help_heading = MODEL)]
    pub(crate) no_mmap: bool,

    /// Threads; default: what affinity and cgroup allow. `bench` takes a list, 1,2
    #[arg(short, long, global = true, value_name = "N", value_delimiter = ',', value_parser = threads, help_heading = MACHINE)]
    pub(crate) threads: Vec<usize>,

    /// Which kernels run: auto, portable, avx2, avx512. `bench` takes a list, avx2,avx512
    #[arg(long, global = true, value_name = "LEVEL", value_delimiter = ',', value_parser = Level::from_str, help_heading = MACHINE)]
    pub(crate) level: Vec<Level>,

    /// Force a convolution algorithm where nothing but scores is asked for: auto, im2col, winograd, winograd2, winograd4x2, winograd4, winograd7x4, winograd6, winograd7
    #[arg(long, global = true, value_name = "NAME", value_parser = Algorithm::from_str, help_heading = MACHINE)]
    pub(crate) algorithm: Option<Algorithm>,

    /// What linear layers run from: f32 (as the model holds them), f16 (converted where the model holds f32)
    #[arg(long, global = true, value_name = "TYPE", value_parser = weight_type, help_heading = MACHINE)]
    pub(crate) weights: Option<LinearWeights>,

    /// Refuse, with the estimate, what would need more: 512M, 2G, a number of bytes
    #[arg(long, global = true, value_name = "BYTES", value_parser = memory, help_heading = MACHINE)]
    pub(crate) max_memory: Option<u64>,

    /// Of anything random; recorded in the output
    #[arg(long, global = true, value_name = "N", default_value_t = 0, help_heading = MACHINE)]
    pub(crate) seed: u64,

    /// One JSON document on stdout, nothing else there
    #[arg(long, global = true, help_heading = TALK)]
    pub(crate) json: bool,

    /// Colours of terminal pictures; anything but auto also draws them where stdout is no terminal
    #[arg(long, global = true, value_name = "MODE", value_enum, default_value_t = Color::Auto, help_heading = TALK)]
    pub(crate) color: Color,

    /// No notes and no progress on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = TALK)]
    pub(crate) quiet: bool,

    /// More talk on stderr
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = TALK)]
    pub(crate) verbose: u8,
}

impl Options {
    /// An error where a list was given to a command that does one thing at a time.
    pub(crate) fn refuse_lists(&self) -> anyhow::Result<()> {
        let what = match (self.threads.len(), self.level.len()) {
            (2.., _) => "--threads",
            (_, 2..) => "--level",
            _ => return Ok(()),
        };
        Err(Failure::usage(format!("{what} is given several values: only bench takes a list")))
    }
}

const MODEL: &str = "Model";
const MACHINE: &str = "Machine";
const TALK: &str = "Talk";

/// Where the results of a method over inputs go.
#[derive(Clone, Debug, Args)]
pub(crate) struct Output {
    /// Where the result goes; the extension picks the format: .png .npy .safetensors .json .csv
    #[arg(short, long, value_name = "FILE", conflicts_with = "out_dir")]
    pub(crate) output: Option<PathBuf>,

    /// For several inputs: one result each, named as the input; what is there already is skipped
    #[arg(long, value_name = "DIR")]
    pub(crate) out_dir: Option<PathBuf>,

    /// Format of the files in --out-dir: png, npy, safetensors, json, csv
    #[arg(long, value_name = "EXT", requires = "out_dir", default_value = "png")]
    pub(crate) format: String,
}

/// `--color`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// What the terminal can show
    Auto,
    /// 24-bit colours
    Truecolor,
    /// The 256-colour palette
    #[value(name = "256")]
    Indexed,
    /// The 16 named colours; on a Linux console those that it has
    #[value(name = "16")]
    Ansi,
    /// Characters alone
    None,
}

impl Color {
    /// The mode that is asked for by name.
    pub(crate) fn named(self) -> Option<ColorMode> {
        match self {
            Color::Auto => None,
            Color::Truecolor => Some(ColorMode::TrueColor),
            Color::Indexed => Some(ColorMode::Ansi256),
            Color::Ansi => Some(ColorMode::Ansi16),
            Color::None => Some(ColorMode::None),
        }
    }
}

/// `--weights`
fn weight_type(text: &str) -> Result<LinearWeights, String> {
    match text {
        "f32" => Ok(LinearWeights::File),
        "f16" => Ok(LinearWeights::F16),
        _ => Err("try f32 or f16".into()),
    }
}

pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("at least 1".into()),
        Ok(n) => Ok(n),
        Err(_) => Err("not a whole number".into()),
    }
}

fn threads(text: &str) -> Result<usize, String> {
    const MOST: usize = 1024;
    at_least_one(text).and_then(|n| if n <= MOST { Ok(n) } else { Err(format!("at most {MOST}")) })
}

/// `512M`, `2G`, `1.5GiB`, `1048576`: powers of 1024.
fn memory(text: &str) -> Result<u64, String> {
    let wrong = || "a number of bytes, or with K, M, G or T (powers of 1024): 512M".to_owned();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.trim().to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let bytes = number * 2.0_f64.powi(shift);
    if bytes >= 1.0 && bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(wrong()) }
}

/// Channels: numbers and ranges, `0,4,8-15`. Kept in the order given, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Channels(pub(crate) Vec<usize>);

impl FromStr for Channels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // No layer has more channels; a typing error must not become a list of billions.
        const MOST: usize = 1 << 20;
        let wrong = || "channel numbers and ranges, such as 0,4,8-15".to_owned();
        let number = |t: &str| t.trim().parse::<usize>().ok().filter(|&n| n < MOST).ok_or_else(wrong);
        let mut channels = Vec::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((a, b)) => (number(a)?, number(b)?),
                None => (number(part)?, number(part)?),
            };
            if first > last {
                return Err(format!("the range {first}-{last} runs backwards"));
            }
            channels.extend(first..=last);
        }
        let mut seen = std::collections::HashSet::new();
        channels.retain(|c| seen.insert(*c));
        Ok(Channels(channels))
    }
}

/// A place of a map: `Y,X`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) [usize; 2]);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once(',')
            .and_then(|(y, x)| Some(Place([y.trim().parse().ok()?, x.trim().parse().ok()?])))
            .ok_or_else(|| "row and column of the layer's maps, such as 6,6".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels() {
        assert_eq!("0,4,8-11".parse(), Ok(Channels(vec![0, 4, 8, 9, 10, 11])));
        assert_eq!("3, 3,1-3".parse(), Ok(Channels(vec![3, 1, 2])));
        for wrong in ["", "a", "4-2", "-1", "1-", "1,,2", "0-99999999999"] {
            assert!(wrong.parse::<Channels>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn places() {
        assert_eq!("6,7".parse(), Ok(Place([6, 7])));
        for wrong in ["6", "6,7,8", "-1,2", "a,b", ""] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn amounts_of_memory() {
        assert_eq!(memory("512M"), Ok(512 << 20));
        assert_eq!(memory("2GiB"), Ok(2 << 30));
        assert_eq!(memory("1.5k"), Ok(1536));
        assert_eq!(memory("77"), Ok(77));
        for wrong in ["", "M", "2X", "-1", "0", "1.2.3G", "nan", "99999999999T"] {
            assert!(memory(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_arrives_later_is_refused_by_name() {
        assert_eq!(weight_type("f16"), Ok(LinearWeights::F16));
        assert!(weight_type("bf16").unwrap_err().contains("f16"));
        assert_eq!("im2col".parse(), Ok(Algorithm::Im2col));
        assert_eq!("winograd".parse(), Ok(Algorithm::Winograd(None)));
        assert!("fft".parse::<Algorithm>().unwrap_err().contains("try auto"));
    }
}
