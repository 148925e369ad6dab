"""Projection and occlusion beside Captum: time and equality, on AlexNet, ZFNet and VGG-16 with random weights.

    python attribute.py MODELS SWITCHBACK NETWORK THREADS STRIDE PART ROUNDS      prints one JSON object

Projection: one unit of the last rectifier before the last pooling, Captum's `NeuronDeconvolution` against `switchback project
--rule deconv --lrn jacobian --seed-value one` (Captum differentiates LRN and seeds with 1). Call against call: Captum's with the
model long loaded; ours is the traced run and the walk of `switchback bench project`, in the same rounds, and the walk alone is what
each further unit of the picture takes. Whole program against whole program: from start to written file.

Occlusion: a 32×32 square of zeros in steps of STRIDE; ours is the whole command. Captum runs at every PART-th step, and its time is
scaled to all positions; the best of its batch sizes counts. Its map gives each pixel the mean, over the squares that cover it, of
how much the probability falls; the same is made of our `--json` numbers at Captum's positions and compared.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from captum.attr import NeuronDeconvolution, Occlusion

from modules import as_module

SIDE, SQUARE = 224, 32
warnings.filterwarnings("ignore")  # Captum tells of the hooks that it sets

# A program that makes one projection and writes it, given a saved module.
WHOLE = """
import sys, numpy, torch
from captum.attr import NeuronDeconvolution
torch.set_num_threads(int(sys.argv[1]))
net, x = torch.load(sys.argv[2], weights_only=False, mmap=True), torch.from_numpy(numpy.load(sys.argv[3]))
unit = tuple(map(int, sys.argv[5:8]))
numpy.save(sys.argv[8], NeuronDeconvolution(net, net.layers[sys.argv[4]]).attribute(x, unit).detach().numpy())
"""


def relative(x, reference):
    return float(np.linalg.norm((x - reference).ravel().astype(np.float64)) / np.linalg.norm(reference.ravel().astype(np.float64)))


def timed(call):
    start = time.perf_counter()
    value = call()
    return value, (time.perf_counter() - start) * 1e3


class Case:
    def __init__(self, models, program, name, threads):
        torch.set_num_threads(threads)
        self.program, self.threads = program, threads
        self.model, self.input = Path(models) / f"{name}.onnx", Path(models) / "input.npy"
        self.net = as_module(name)
        self.x = torch.from_numpy(np.load(self.input))

    def ours(self, *words):
        run = [self.program, *words, "-m", self.model, "--threads", self.threads]
        done = subprocess.run(list(map(str, run)), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return done.stdout

    def last_rectifier(self):
        """The strongest unit of the last ReLU before the last pooling: its layer and place."""
        pool = max(i for i, (name, _) in enumerate(self.net.steps) if name.startswith("maxpool"))
        layer, seen = self.net.steps[pool][1][0], {}
        hook = self.net.layers[layer].register_forward_hook(lambda module, inputs, out: seen.update(out=out))
        with torch.inference_mode():
            self.net(self.x)
        hook.remove()
        return layer, tuple(int(i) for i in np.unravel_index(int(seen["out"].argmax()), seen["out"].shape)[1:])

    def projection(self, rounds):
        layer, (c, y, x) = self.last_rectifier()
        deconv = NeuronDeconvolution(self.net, self.net.layers[layer])
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "projection.npy"
            options = ["-l", layer, "-c", c, "--at", f"{y},{x}", "--rule", "deconv", "--lrn", "jacobian", "--seed-value", "one",
                       "-o", file]
            saved, copy = Path(scratch) / "net.pt", Path(scratch) / "captum.npy"
            torch.save(self.net, saved)
            whole = [sys.executable, "-W", "ignore", "-c", WHOLE, self.threads, saved, self.input, layer, c, y, x, copy]
            times = {"captum": [], "captum-whole": [], "ours-whole": [], "trace": [], "unit": []}
            for _ in range(rounds):
                run = lambda: subprocess.run(list(map(str, whole)), check=True, cwd=Path(__file__).parent)
                times["captum-whole"].append(timed(run)[1])
                # Other programs ran in between: the first call finds cold caches.
                calls = [timed(lambda: deconv.attribute(self.x, (c, y, x))) for _ in range(4)]
                theirs = calls[0][0]
                times["captum"].append(statistics.median(ms for _, ms in calls[1:]))
                times["ours-whole"].append(timed(lambda: self.ours("project", self.input, *options))[1])
                bench = json.loads(self.ours("bench", "project", "-l", layer, "--seconds", 0.3, "--json"))
                for run in bench["runs"]:
                    key = {"traced run": "trace", "one unit": "unit"}.get(run["what"])
                    if key:
                        times[key].append(run["milliseconds"]["median"])
            mine = np.load(file)
        theirs = theirs.detach().numpy()[0]
        if mine.shape != theirs.shape:
            raise RuntimeError(f"our projection is {mine.shape}, Captum's {theirs.shape}")
        return {"layer": layer, "unit": [c, y, x], "ms": {k: statistics.median(v) for k, v in times.items()},
                "error": relative(mine, theirs)}

    def occlusion(self, stride, part, per_eval):
        with torch.inference_mode():
            label = int(self.net(self.x).argmax())
        forward = torch.nn.Sequential(self.net, torch.nn.Softmax(1))
        sweep = lambda step: self.ours("occlude", self.input, "--class", label, "--size", SQUARE, "--stride", step, "--json")
        text, ours = timed(lambda: sweep(stride))
        whole = json.loads(text)
        positions = whole["rows"] * whole["columns"]
        coarse = json.loads(sweep(stride * part)) if part > 1 else whole
        few = coarse["rows"] * coarse["columns"]
        captum = {}
        for each in per_eval:
            with torch.inference_mode():
                theirs, ms = timed(lambda: Occlusion(forward).attribute(
                    self.x, (3, SQUARE, SQUARE), (3, stride * part, stride * part), 0, target=label, perturbations_per_eval=each))
            captum[each] = ms * positions / few
        return {"positions": positions, "captum_positions": few, "captum": captum, "ours": ours, "ours_inside": whole["seconds"] * 1e3,
                "peak_memory_bytes": whole["peak_memory_bytes"],
                "error": relative(self.fall(coarse, stride * part), theirs.numpy()[0, 0])}

    @staticmethod
    def fall(answer, stride):
        """Each pixel's mean fall, as Captum has it."""
        falls = answer["baseline"]["probability"] - np.array(answer["probability"])
        sums, counts = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
        for i in range(answer["rows"]):
            for j in range(answer["columns"]):
                square = np.s_[i * stride:i * stride + SQUARE, j * stride:j * stride + SQUARE]
                sums[square] += falls[i, j]
                counts[square] += 1
        return sums / np.maximum(counts, 1)


def main(models, program, name, threads, stride, part, rounds):
    case = Case(models, program, name, int(threads))
    per_eval = [1, 8] if name == "vgg16" else [1, 8, 32]
    print(json.dumps({"name": name, "threads": int(threads), "projection": case.projection(int(rounds)),
                      "occlusion": case.occlusion(int(stride), int(part), per_eval)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
