"""The scratch environment: public engines in a Python environment, Rust rivals in a target folder, networks as files.

    DIR/rivals        Python environment          DIR/models    NAME.onnx, NAME.ncnn.param, NAME.ncnn.bin, input.npy
    DIR/cargo         built Rust rivals

Needs Python 3.10 or newer, Rust, and about 8 GB (PyTorch's wheel brings libraries for cards that are never used here).
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PACKAGES = ["numpy", "onnx", "onnxruntime", "openvino", "ncnn", "pnnx", "torch", "torchvision", "captum", "threadpoolctl"]


def default_folder():
    chosen = os.environ.get("SWITCHBACK_RIVALS")
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "switchback-rivals"


class Environment:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.python = self.folder / "rivals" / "bin" / "python"
        self.models = self.folder / "models"
        self.rust = self.folder / "cargo" / "release" / "switchback-rivals"

    def has_packages(self):
        probe = "import " + ", ".join(PACKAGES)
        return self.python.exists() and subprocess.run([self.python, "-c", probe], capture_output=True).returncode == 0

    def set_up(self, names):
        """Installs and builds what is missing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.has_packages():
            subprocess.run([sys.executable, "-m", "venv", self.folder / "rivals"], check=True)
            subprocess.run([self.python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        self.build_rust()
        self.make_models(names)

    def build_rust(self):
        subprocess.run(["cargo", "build", "--release", "--manifest-path", HERE / "rust" / "Cargo.toml",
                        "--target-dir", self.folder / "cargo"], check=True)

    def make_models(self, names):
        names = [n for n in names if not (self.models / f"{n}.ncnn.bin").exists() or not (self.models / f"{n}.onnx").exists()]
        if names:
            subprocess.run([self.python, HERE / "make_models.py", self.models, *names], check=True)
        if not (self.models / "input.npy").exists():
            draw = "import numpy, sys; numpy.save(sys.argv[1], numpy.random.default_rng(1).standard_normal((1,3,224,224), 'f4'))"
            subprocess.run([self.python, "-c", draw, self.models / "input.npy"], check=True)


def build_ours():
    subprocess.run(["cargo", "build", "--release", "-p", "switchback-core", "--example", "time_forward", "-p", "switchback", "--bins"],
                   cwd=ROOT, check=True)
