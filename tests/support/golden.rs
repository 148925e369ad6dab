//! The golden tensors of SqueezeNet 1.1 on three photographs, and how far two tensors lie apart.

use std::path::Path;
use std::sync::Arc;

use switchback_core::import::safetensors::{self, Container};
use switchback_core::session::Session;
use switchback_core::{Cpu, Level, Model, Tensor, Threads};

/// The photographs that have golden tensors.
pub const NAMES: [&str; 3] = ["n02056570_king_penguin", "n02110185_Siberian_husky", "n02124075_Egyptian_cat"];

/// The golden tensors of one photograph.
pub struct Golden {
    file: Vec<u8>,
    container: Container,
}

impl Golden {
    /// `None`, having said so, where the data are not there.
    pub fn of(name: &str) -> Option<Self> {
        let path = crate::shared(&format!("golden/squeezenet1.1-{name}.safetensors"))?;
        Some(Self::open(&path))
    }

    /// Any safetensors file.
    pub fn open(path: &Path) -> Self {
        let file = std::fs::read(path).expect("the golden file reads");
        let container = safetensors::parse(path, &file).expect("the golden file is sound");
        Self { file, container }
    }

    /// Names that begin with `prefix`, without it.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        self.container.tensors.iter().filter_map(|t| t.name.strip_prefix(prefix)).map(str::to_owned).collect()
    }

    /// Whether there is a tensor of that name.
    pub fn has(&self, name: &str) -> bool {
        self.container.get(name).is_some()
    }

    /// Numbers of a float tensor.
    pub fn floats(&self, name: &str) -> Vec<f32> {
        let stored = self.container.get(name).unwrap_or_else(|| panic!("no golden tensor {name}"));
        stored.f32(&self.file).expect("floats")
    }

    /// Numbers of an integer tensor.
    pub fn integers(&self, name: &str) -> Vec<usize> {
        let stored = self.container.get(name).unwrap_or_else(|| panic!("no golden tensor {name}"));
        stored.i64(&self.file).expect("integers").into_iter().map(|i| i as usize).collect()
    }

    /// The text of that name among the metadata.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.container.metadata.get(name).map(String::as_str)
    }

    /// The input tensor, for `session`'s network.
    pub fn input(&self, session: &Session) -> Tensor {
        Tensor::single(session.network().input_shape(), self.floats("input"))
    }
}

/// SqueezeNet 1.1 at every level on two threads; `None`, having said so, where the file is not there.
pub fn sessions(file: &str) -> Option<Vec<Session>> {
    let model = Arc::new(Model::open(&crate::shared(file)?, true).expect("the model opens"));
    let session = |level: Level| {
        let cpu = Cpu { level, threads: Threads::new(2) };
        Session::new(Arc::clone(&model), cpu, None).expect("a session")
    };
    Some(Level::available().into_iter().map(session).collect())
}

/// ‖got − want‖ / ‖want‖
pub fn relative_l2(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len(), "how many numbers");
    let square = |x: f64| x * x;
    let gap: f64 = got.iter().zip(want).map(|(g, w)| square(f64::from(*g) - f64::from(*w))).sum();
    let size: f64 = want.iter().map(|w| square(f64::from(*w))).sum();
    if gap == 0.0 { 0.0 } else { (gap / size).sqrt() }
}

/// The largest difference over the largest number wanted.
pub fn relative_max(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len(), "how many numbers");
    let gap = got.iter().zip(want).map(|(g, w)| (g - w).abs()).fold(0f32, f32::max);
    let size = want.iter().fold(0f32, |m, w| m.max(w.abs()));
    if gap == 0.0 { 0.0 } else { gap / size }
}
