"""Results as Markdown, ratios first."""

import datetime
import os
import subprocess
from pathlib import Path

TITLES = {"ours": "Switchback", "ours-f16": "Switchback f16", "ort": "ONNX Runtime", "openvino": "OpenVINO", "ncnn": "ncnn",
          "torch": "PyTorch", "torch-cl": "PyTorch channels last", "torch-compile": "torch.compile", "tract": "tract", "rten": "rten"}


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


def best_plain(speed):
    """The fastest rival whose operands are as they are."""
    return max(speed[e] for e in ("matrixmultiply", "gemm", "numpy", "torch"))


def products(rows):
    """GFLOP/s of matrix products, ours with packed weights beside the best rival."""
    names = {"ours-packed": "Switchback, A packed", "ours": "Switchback", "matrixmultiply": "matrixmultiply", "gemm": "gemm",
             "numpy": "OpenBLAS (NumPy)", "torch": "MKL (PyTorch)", "onednn": "oneDNN, packed"}
    text = []
    for threads in sorted({r["threads"] for r in rows}):
        heads = ["ours packed / oneDNN packed", "ours / best other", *(f"{t} GFLOP/s" for t in names.values())]
        text += [f"**Products M×K×N, {threads} thread{'s' * (threads > 1)}** (above 1 is faster)", "",
                 "| shape | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
        for r in (r for r in rows if r["threads"] == threads):
            speed = r["gflops"]
            plain = best_plain(speed)
            cells = [f"**{speed['ours-packed'] / speed['onednn']:.2f}**", f"**{speed['ours'] / plain:.2f}**"]
            text.append(f"| {r['shape']} | " + " | ".join(cells + [f"{speed[e]:.0f}" for e in names]) + " |")
        text.append("")
    return "\n".join(text).rstrip()


def short_products(rows):
    """What README.md shows of products: ours beside the best rival with weights packed ahead, and beside the best without."""
    shapes = list(dict.fromkeys(r["shape"] for r in rows))
    counts = sorted({r["threads"] for r in rows})
    heads = [f"{t} thread{'s' * (t > 1)}, {what}" for t in counts for what in ("A packed before", "as they are")]
    text = ["GFLOP/s of Switchback / the best rival: with A packed before oneDNN, else of matrixmultiply, gemm, OpenBLAS and MKL.", "",
            "| M×K×N | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for shape in shapes:
        cells = []
        for threads in counts:
            speed = next(r["gflops"] for r in rows if (r["shape"], r["threads"]) == (shape, threads))
            plain = best_plain(speed)
            for mine, other in ((speed["ours-packed"], speed["onednn"]), (speed["ours"], plain)):
                cells.append(f"**{mine / other:.2f}** ({mine:.0f} / {other:.0f})")
        text.append(f"| {shape} | " + " | ".join(cells) + " |")
    return "\n".join(text)


def cold(rows):
    """Fresh processes. `rows` is a list of {name, threads, engines}."""
    engines = [e for e in TITLES if any(e in r["engines"] for r in rows)]
    text = ["**A fresh process to its first answer, milliseconds, the model in the page cache**", "",
            "| network, threads | ours / best rival | " + " | ".join(TITLES[e] for e in engines) + " |", "|---" * (len(engines) + 2) + "|"]
    for r in rows:
        _, least = best_rival(r["engines"])
        times = [r["engines"].get(e, {}).get("ms") for e in engines]
        ratio = f"**{r['engines']['ours']['ms'] / least:.2f}**" if least and "ours" in r["engines"] else "–"
        text.append(f"| {r['name']}, {r['threads']} | " + " | ".join([ratio, *(number(t) if t else "–" for t in times)]) + " |")
    return "\n".join(text)


def projections(rows):
    heads = ["trace and one unit, ours / Captum", "ours ms", "Captum ms", "each further unit ms", "whole programs, ours / Captum",
             "ours ms", "Captum ms", "relative L2"]
    text = ["| projection; network, threads | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for r in rows:
        ms, error = r["projection"]["ms"], r["projection"]["error"]
        one = ms["trace"] + ms["unit"]
        cells = [f"**{one / ms['captum']:.2f}**", number(one), number(ms["captum"]), number(ms["unit"]),
                 f"**{ms['ours-whole'] / ms['captum-whole']:.2f}**", number(ms["ours-whole"]), number(ms["captum-whole"]), f"{error:.1e}"]
        text.append(f"| {r['name']}, {r['threads']} | " + " | ".join(cells) + " |")
    return "\n".join(text)


def occlusions(rows):
    heads = ["ours / Captum", "ours s", "Captum s", "its best batch", "positions", "peak memory", "relative L2"]
    text = ["| occlusion; network, threads | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for r in rows:
        o = r["occlusion"]
        batch, captum = min(o["captum"].items(), key=lambda item: item[1])
        part = f" ({o['captum_positions']} of them, scaled)" if o["captum_positions"] < o["positions"] else ""
        cells = [f"**1/{captum / o['ours']:.1f}**", f"{o['ours'] / 1e3:.2f}", f"{captum / 1e3:.2f}{part}", str(batch), str(o["positions"]),
                 f"{o['peak_memory_bytes'] / 2**20:.0f} MiB", f"{o['error']:.1e}"]
        text.append(f"| {r['name']}, {r['threads']} | " + " | ".join(cells) + " |")
    return "\n".join(text)


def head(raw, more=()):
    return "\n".join([f"{raw['date']}; {raw['machine']}.", *more])


def span(counts):
    """The least and the largest, or what both are."""
    return " to ".join(str(n) for n in sorted({min(counts), max(counts)}))


def blocks(raw):
    """What stands between marks, by name: long for benches/README.md, short for README.md. Only what was measured."""
    versions = lambda rounds: f"{raw['versions']}.\nf32, 224×224, random weights; the median of {rounds} rounds in turn."
    found = {}
    if raw.get("networks"):
        counts = [len(cell["rounds"]) for row in raw["networks"] for cell in row["engines"].values() if "ms" in cell]
        long = "\n\n".join([head(raw, [versions(span(counts)) + " Below 1 Switchback is faster."]), networks(raw["networks"]).rstrip()])
        found["rivals"] = (long, short(raw))
    if raw.get("products"):
        long = head(raw, [f"{raw['versions']}.\nf32; the best of {span([row['rounds'] for row in raw['products']])} rounds in turn. Above 1 Switchback is faster."])
        found["products"] = (long + "\n\n" + products(raw["products"]), head(raw) + "\n\n" + short_products(raw["products"]))
    if raw.get("cold"):
        found["cold"] = (head(raw, [f"{raw['versions']}."]) + "\n\n" + cold(raw["cold"]), head(raw) + "\n\n" + cold(raw["cold"]))
    if raw.get("attribute"):
        tables = "\n\n".join([projections(raw["attribute"]), occlusions(raw["attribute"])])
        found["captum"] = (head(raw, [versions(raw["rounds"])]) + "\n\n" + tables, head(raw) + "\n\n" + tables)
    return found


def full(raw):
    """Everything that was measured."""
    return "\n\n".join(long for long, _ in blocks(raw).values())


def short(raw):
    """What README.md shows: ours beside the best rival of each row."""
    rows = raw.get("networks", [])
    ran = [TITLES[e] for e in TITLES if not e.startswith("ours") and any(e in r["engines"] for r in rows)]
    text = [f"{raw['date']}; {raw['machine']}.",
            f"Milliseconds a batch, f32; the ratio is to the best of {', '.join(ran)}, measured in turn in one run.",
            "[benches](benches/README.md) has the method and every engine.", ""]
    kinds = sorted({(r["batch"], -r["threads"]) for r in rows})
    text += ["| network | " + " | ".join(f"batch {b}, {-t} thread{'s' * (t < -1)}" for b, t in kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
    for name in dict.fromkeys(r["name"] for r in rows):
        cells = []
        for b, t in kinds:
            engines = next((r["engines"] for r in rows if (r["name"], r["batch"], r["threads"]) == (name, b, -t)), {})
            rival, least = best_rival(engines)
            mine = engines.get("ours", {}).get("ms")
            cells.append(f"**{mine / least:.2f}** ({number(mine)}; {TITLES[rival]} {number(least)})" if mine and least else "–")
        text.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(text)


def today():
    return datetime.date.today().isoformat()


def insert(file, block, text):
    """Between the two marks of `block` in `file`."""
    begin, end = f"<!-- {block}: written by benches/rivals/run.py -->", f"<!-- {block}: end -->"
    old = Path(file).read_text()
    assert begin in old and end in old, f"{file} has no place for the tables of {block}"
    before, after = old.split(begin)[0], old.split(end, 1)[1]
    Path(file).write_text(f"{before}{begin}\n{text}\n{end}{after}")
