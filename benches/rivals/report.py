"""Results as Markdown, ratios first."""

import datetime
import os
import subprocess
from pathlib import Path

TITLES = {"ours": "Switchback", "ours-f16": "Switchback f16", "ort": "ONNX Runtime", "openvino": "OpenVINO", "ncnn": "ncnn",
          "torch": "PyTorch", "torch-cl": "PyTorch channels last", "torch-compile": "torch.compile", "tract": "tract", "rten": "rten"}
BEGIN, END = "<!-- rivals: written by benches/rivals/run.py -->", "<!-- rivals: end -->"


def machine():
    """Processor, caches, memory, as a line."""
    facts = {}
    for line in subprocess.run(["lscpu"], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}).stdout.splitlines():
        key, _, value = line.partition(":")
        facts[key.strip()] = value.strip()
    memory = next((line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal")), "0")
    caches = ", ".join(f"{key.removesuffix(' cache')} {facts[key]}" for key in ("L1d cache", "L2 cache", "L3 cache") if key in facts)
    flags = facts.get("Flags", "").split()
    level = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "no AVX2"
    return (f"{facts.get('Model name', 'unknown processor')} (family {facts.get('CPU family')}, model {facts.get('Model')}), "
            f"{facts.get('CPU(s)')} CPUs, {level}; {caches}; {int(memory) // 2**20} GiB")


def versions(env):
    probe = ("import importlib.metadata as m\n"
             "for p in ('onnxruntime', 'openvino', 'ncnn', 'torch'): print(p, m.version(p).split('-')[0], end=', ')")
    python = subprocess.run([env.python, "-c", probe], capture_output=True, text=True).stdout.strip(", ")
    lock = (Path(__file__).parent / "rust" / "Cargo.lock")
    rust = []
    if lock.exists():
        lines = lock.read_text().splitlines()
        for crate in ("tract-onnx", "rten", "gemm", "matrixmultiply"):
            at = lines.index(f'name = "{crate}"') if f'name = "{crate}"' in lines else None
            if at is not None:
                rust.append(f"{crate} {lines[at + 1].split(chr(34))[1]}")
    return ", ".join(filter(None, [python, *rust]))


def best_rival(row):
    times = {e: r["ms"] for e, r in row.items() if "ms" in r and not e.startswith("ours")}
    return min(times.items(), key=lambda item: item[1]) if times else (None, None)


def number(x):
    return f"{x:.2f}" if x < 10 else f"{x:.1f}" if x < 100 else f"{x:.0f}"


def networks(results):
    """One table for each batch and number of threads. `results` is a list of {name, threads, batch, engines}."""
    text = []
    for batch in sorted({r["batch"] for r in results}):
        for threads in sorted({r["threads"] for r in results}, reverse=True):
            rows = [r for r in results if (r["batch"], r["threads"]) == (batch, threads)]
            if not rows:
                continue
            engines = [e for e in TITLES if any(e in r["engines"] for r in rows)]
            ours = [e for e in engines if e.startswith("ours")]
            heads = [f"{TITLES[e]} / best rival" for e in ours] + ["best rival"] + [f"{TITLES[e]} ms" for e in engines]
            text += [f"**Batch {batch}, {threads} thread{'s' * (threads > 1)}**", "",
                     "| network | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
            for r in rows:
                rival, least = best_rival(r["engines"])
                cells = []
                for e in ours:
                    mine = r["engines"].get(e, {}).get("ms")
                    cells.append(f"**{mine / least:.2f}**" if mine and least else "–")
                cells.append(TITLES.get(rival, "–"))
                for e in engines:
                    ms = r["engines"].get(e, {}).get("ms")
                    cells.append(number(ms) if ms else "–")
                text.append(f"| {r['name']} | " + " | ".join(cells) + " |")
            text.append("")
    worst = {}
    for r in results:
        for e, cell in r["engines"].items():
            if "error" in cell:
                worst[e] = max(worst.get(e, 0), cell["error"])
    text += ["Scores against ONNX Runtime's, relative L2, the worst of these networks: "
             + ", ".join(f"{TITLES[e]} {x:.1e}" for e, x in worst.items() if e != "ort") + "."]
    return "\n".join(text)


def today():
    return datetime.date.today().isoformat()


def insert(file, text):
    """Between the two marks of `file`."""
    old = Path(file).read_text()
    assert BEGIN in old and END in old, f"{file} has no place for the tables"
    head, tail = old.split(BEGIN)[0], old.split(END, 1)[1]
    Path(file).write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")
