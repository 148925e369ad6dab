"""Whole networks, ours and the rivals', in turn: rounds × engines, the median of each round, the median of the rounds.

Every engine lives in a process of its own and waits while another runs. Scores are compared with ONNX Runtime's.
"""

import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from environment import HERE, ROOT

PYTHON = ("ort", "openvino", "ncnn", "torch", "torch-cl", "torch-compile")
RUST = ("tract", "rten")
OURS = ("ours", "ours-f16")
PAUSE = 0.25  # for the threads of the last engine to go to sleep


class Failed(Exception):
    pass


class Worker:
    """A rival; see `engines.py` for what is said to it."""

    def __init__(self, env, engine, model, threads, batch, scores):
        start = [env.python, HERE / "engines.py"] if engine in PYTHON else [env.rust]
        command = [*start, engine, model, str(threads), str(batch), env.models / "input.npy", scores]
        self.log = tempfile.TemporaryFile()
        surroundings = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MKL_", "OPENBLAS_"))}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        env=surroundings)
        self.engine = engine
        self.read("ready")

    def read(self, want=None):
        line = self.process.stdout.readline().strip()
        while line and want and line != want:  # some engines greet on stdout
            line = self.process.stdout.readline().strip()
        if not line:
            self.log.seek(0)
            tail = self.log.read().decode(errors="replace").strip().splitlines()[-3:]
            raise Failed(f"{self.engine}: {' | '.join(tail) or 'ended'}")
        return line

    def samples(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return statistics.median(json.loads(self.read()))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ours:
    """A process for each round: the example `time_forward`."""

    def __init__(self, env, program, model, threads, batch, scores):
        self.command = [program, model, str(threads), str(batch)]
        self.tail = [env.models / "input.npy", scores]
        self.samples(0)

    def samples(self, seconds):
        done = subprocess.run([*self.command, str(seconds), *self.tail], capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"ours: {done.stderr.strip()}")
        words = done.stdout.split()
        return float(words[words.index("median") + 1])

    def close(self):
        pass


def half(env, name):
    """The model with f16 weights, converted by our own command."""
    file = env.models / f"{name}.f16.safetensors"
    if not file.exists():
        program = ROOT / "target" / "release" / "switchback"
        subprocess.run([program, "convert", env.models / f"{name}.onnx", "-o", file, "--dtype", "f16"], check=True,
                       stdout=subprocess.DEVNULL)
    return file


def distance(file, reference):
    """‖x − r‖ / ‖r‖ of two files of scores; read by hand, so that this program needs no NumPy."""
    import array

    def numbers(path):
        raw = Path(path).read_bytes()
        header = 10 + int.from_bytes(raw[8:10], "little")
        values = array.array("f")
        values.frombytes(raw[header:])
        return values
    x, r = numbers(file), numbers(reference)
    assert len(x) == len(r), f"{len(x)} scores, ONNX Runtime gives {len(r)}"
    return (sum((a - b) ** 2 for a, b in zip(x, r)) / sum(b * b for b in r)) ** 0.5


def compare(env, name, engines, threads, batch, rounds, seconds, ours, log):
    """{engine: {"ms": median of the rounds, "rounds": […], "error": relative L2} or {"failed": why}}"""
    model = env.models / f"{name}.onnx"
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        reference = scratch / "reference.npy"
        Worker(env, "ort", model, threads, 1, reference).close()
        running, result = {}, {}
        for engine in engines:
            scores = scratch / f"{engine}.npy"
            try:
                if engine in OURS:
                    file = half(env, name) if engine == "ours-f16" else model
                    running[engine] = Ours(env, ours, file, threads, batch, scores)
                else:
                    running[engine] = Worker(env, engine, model, threads, batch, scores)
                result[engine] = {"rounds": [], "error": distance(scores, reference)}
            except Failed as why:
                log(f"  {why}")
                result[engine] = {"failed": str(why)}
        for number in range(rounds):
            # Another order each round, so that no engine always follows the same one.
            order = list(running)
            order = order[number % len(order):] + order[:number % len(order)]
            for engine in order:
                time.sleep(PAUSE)
                result[engine]["rounds"].append(running[engine].samples(seconds))
        for engine, worker in running.items():
            worker.close()
            result[engine]["ms"] = statistics.median(result[engine]["rounds"])
    return result
