"""From the start of a process to its first answer, the model in the page cache: what somebody waits for who asks once.

Ours is `switchback classify`, from a picture or tensor to the first byte of the table; a rival is its shortest program (engines.py,
or the Rust worker), from its start to the scores of the same input.
"""

import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from environment import HERE, ROOT
from networks import PYTHON
from worker import Failed, in_turn


def command(env, engine, model, threads, scores):
    picture = env.models / "input.npy"
    if engine == "ours":
        return [ROOT / "target" / "release" / "switchback", "classify", "-m", model, "--threads", threads, picture]
    if engine in PYTHON:
        return [env.python, HERE / "engines.py", engine, model, threads, 1, picture, scores, "once"]
    return [env.rust, engine, model, threads, 1, picture, scores]


def ask(words):
    """Milliseconds to the first byte on stdout that is the answer."""
    start = time.perf_counter()
    process = subprocess.Popen(list(map(str, words)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if "classify" in words:
        process.stdout.read(1)
    else:
        # Some engines greet on stdout.
        for line in process.stdout:
            if line.strip() in (b"ready", b"answer"):
                break
    taken = 1e3 * (time.perf_counter() - start)
    process.stdout.read()
    if process.wait() != 0:
        raise Failed(f"{words[0]} ended with {process.returncode}")
    return taken


def compare(env, name, engines, threads, rounds):
    """{engine: {"ms": median, "rounds": […]} or {"failed": why}}"""
    model = env.models / f"{name}.onnx"
    for file in env.models.glob(f"{name}.*"):
        file.read_bytes()
    with tempfile.TemporaryDirectory() as scratch:
        words = {e: command(env, e, model, threads, Path(scratch) / "scores.npy") for e in engines}
        failed = {}
        for engine in engines:
            try:
                ask(words[engine])
            except Failed as why:
                failed[engine] = {"failed": str(why)}
        able = [engine for engine in engines if engine not in failed]
        times = in_turn(rounds, able, lambda engine: ask(words[engine]))
    return failed | {engine: {"ms": statistics.median(each), "rounds": each} for engine, each in times.items()}
