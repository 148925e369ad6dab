"""Whole networks, ours and the rivals', in turn: rounds × engines, the median of each round, the median of the rounds.

Every engine lives in a process of its own and waits while another runs. Scores are compared with ONNX Runtime's.
"""

import array
import statistics
import subprocess
import tempfile
from pathlib import Path

from environment import HERE, ROOT
from worker import Failed, Worker, in_turn

PYTHON = ("ort", "openvino", "ncnn", "torch", "torch-cl", "torch-compile")
RUST = ("tract", "rten")
OURS = ("ours", "ours-f16")

class Ours:
    """A process for each round: the example `time_forward`."""

    def __init__(self, env, program, model, threads, batch, scores):
        self.command = [program, model, str(threads), str(batch)]
        self.tail = [env.models / "input.npy", scores]
        self.ask(0)

    def ask(self, seconds):
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
    def numbers(path):
        raw = Path(path).read_bytes()
        header = 10 + int.from_bytes(raw[8:10], "little")
        values = array.array("f")
        values.frombytes(raw[header:])
        return values
    x, r = numbers(file), numbers(reference)
    assert len(x) == len(r), f"{len(x)} scores, ONNX Runtime gives {len(r)}"
    return (sum((a - b) ** 2 for a, b in zip(x, r)) / sum(b * b for b in r)) ** 0.5


def start(env, engine, model, threads, batch, scores, ours):
    if engine in OURS:
        return Ours(env, ours, half(env, model.name.removesuffix(".onnx")) if engine == "ours-f16" else model, threads, batch, scores)
    program = [env.python, HERE / "engines.py"] if engine in PYTHON else [env.rust]
    return Worker(engine, [*program, engine, model, threads, batch, env.models / "input.npy", scores])


def compare(env, name, engines, threads, batch, rounds, seconds, ours, log):
    """{engine: {"ms": median of the rounds, "rounds": […], "error": relative L2} or {"failed": why}}"""
    model = env.models / f"{name}.onnx"
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        reference = scratch / "reference.npy"
        start(env, "ort", model, threads, 1, reference, ours).close()
        running, result = {}, {}
        for engine in engines:
            scores = scratch / f"{engine}.npy"
            try:
                running[engine] = start(env, engine, model, threads, batch, scores, ours)
                result[engine] = {"error": distance(scores, reference)}
            except Failed as why:
                log(f"  {why}")
                result[engine] = {"failed": str(why)}
        for engine, times in in_turn(rounds, list(running), lambda engine: running[engine].ask(seconds)).items():
            result[engine].update(rounds=times, ms=statistics.median(times))
        for worker in running.values():
            worker.close()
    return result
