//! Well-known networks with random weights, built in memory: for benches and tests that need a network but no file.
//!
//! ```text
//! Name, seed → Builder → Network + WeightStore = Model
//! ```
//! Weights are uniform with He's variance (2 / fan-in before a ReLU, 1 / fan-in before the scores), never 0 and far from
//! denormal, so that signals neither die nor overflow and a run costs what a trained network costs. Layers and sizes
//! are torchvision's; names of nodes are the papers'. None has a softmax: the scores are the output, and dropout, which
//! does nothing at inference, is left out.

mod builder;
mod chains;
mod googlenet;
mod random;
mod resnet;
mod squeezenet;
#[cfg(test)]
mod tests;

pub(crate) use random::Random;

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::model::Model;

/// A network that [`build`] knows. Inputs are 3×224×224, outputs 1000 scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// SqueezeNet 1.1 (Iandola et al. 2016).
    SqueezeNet11,
    /// AlexNet on one tower, without LRN (Krizhevsky 2014).
    AlexNet,
    /// Zeiler & Fergus 2013, Figure 3: LRN after the first two poolings.
    ZfNet,
    /// VGG-16, configuration D (Simonyan & Zisserman 2014).
    Vgg16,
    /// ResNet-18 (He et al. 2015).
    ResNet18,
    /// ResNet-50 with the stride in the 3×3 convolution.
    ResNet50,
    /// GoogLeNet (Szegedy et al. 2014) with batch normalisation and without the auxiliary classifiers.
    GoogLeNet,
}

impl Name {
    /// All of them.
    pub const ALL: [Name; 7] =
        [Name::SqueezeNet11, Name::AlexNet, Name::ZfNet, Name::Vgg16, Name::ResNet18, Name::ResNet50, Name::GoogLeNet];

    /// As it is typed: `squeezenet1.1`, `alexnet`, `zfnet`, `vgg16`, `resnet18`, `resnet50`, `googlenet`.
    pub fn as_str(self) -> &'static str {
        match self {
            Name::SqueezeNet11 => "squeezenet1.1",
            Name::AlexNet => "alexnet",
            Name::ZfNet => "zfnet",
            Name::Vgg16 => "vgg16",
            Name::ResNet18 => "resnet18",
            Name::ResNet50 => "resnet50",
            Name::GoogLeNet => "googlenet",
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|n| n.as_str() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|n| n.as_str()).collect();
            Error::Invalid(format!("no architecture \"{text}\"; there are {}", names.join(", ")))
        })
    }
}

/// The network `name` with random weights: the same `seed` gives the same bits on every machine.
pub fn build(name: Name, seed: u64) -> Model {
    match name {
        Name::SqueezeNet11 => squeezenet::squeezenet11(seed),
        Name::AlexNet => chains::alexnet(seed),
        Name::ZfNet => chains::zfnet(seed),
        Name::Vgg16 => chains::vgg16(seed),
        Name::ResNet18 => resnet::resnet18(seed),
        Name::ResNet50 => resnet::resnet50(seed),
        Name::GoogLeNet => googlenet::googlenet(seed),
    }
}
