#!/usr/bin/env python3
"""Switchback beside public engines: one command installs them, makes the networks, and times all in turn.

    benches/rivals/run.py                  everything: set up, build, networks and products, tables into the two READMEs
    benches/rivals/run.py setup            only installs, builds and makes the networks
    benches/rivals/run.py networks --only squeezenet1.1 --engines ours,ort,ncnn --threads 2 --batch 1 --rounds 5
    benches/rivals/run.py products         matrix products: ours, matrixmultiply, gemm, NumPy, PyTorch
    benches/rivals/run.py cold             fresh processes, from their start to the first answer
    benches/rivals/run.py attribute        projection and occlusion beside Captum
    benches/rivals/run.py table a.json …   only the tables, from results that --json wrote, put together

`--dir` (or SWITCHBACK_RIVALS) names the scratch folder; without it that is in the user's cache. See ../README.md for the method.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import cold
import environment
import networks
import products
import report

NAMES = ("squeezenet1.1", "alexnet", "zfnet", "googlenet", "resnet18", "resnet50", "vgg16")
ALL = ["ours", "ours-f16", "ort", "openvino", "ncnn", "torch", "tract", "rten"]


def listed(kind=str):
    return lambda text: [kind(part) for part in text.split(",")]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="all", choices=["all", "setup", "networks", "products", "cold", "attribute", "table"])
    parser.add_argument("files", nargs="*", help="of `table`: results that --json wrote")
    parser.add_argument("--dir", default=environment.default_folder(), help="the scratch folder")
    parser.add_argument("--only", type=listed(), default=list(NAMES), help="networks, parted by commas")
    parser.add_argument("--engines", type=listed(), default=ALL, help=f"of {','.join(ALL)},torch-cl,torch-compile")
    parser.add_argument("--threads", type=listed(int), default=[2, 1])
    parser.add_argument("--batch", type=listed(int), default=[1, 8])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each engine in each round")
    parser.add_argument("--ours", default=environment.ROOT / "target/release/examples/time_forward", help="the built example")
    parser.add_argument("--stride", type=int, default=8, help="of the occluding square")
    parser.add_argument("--json", help="writes every round here")
    parser.add_argument("--write", action="store_true", help="puts the tables into README.md and benches/README.md")
    return parser.parse_args()


def log(text):
    print(text, file=sys.stderr, flush=True)


def run_networks(env, args):
    env.make_models(args.only)
    results = []
    for name in args.only:
        for batch in args.batch:
            for threads in args.threads:
                log(f"{name}, batch {batch}, {threads} thread(s)")
                row = networks.compare(env, name, args.engines, threads, batch, args.rounds, args.seconds, args.ours, log)
                results.append({"name": name, "threads": threads, "batch": batch, "engines": row})
                for engine, cell in row.items():
                    if "ms" in cell:
                        log(f"  {engine:12} {cell['ms']:9.2f} ms   {min(cell['rounds']):.2f}–{max(cell['rounds']):.2f}"
                            f"   relative L2 {cell['error']:.1e}")
    return results


def run_products(env, args):
    # More rounds hardly move the best: products are many and short.
    return [row for threads in args.threads for row in products.compare(env, threads, min(args.rounds, 5), args.seconds / 2, log)]


def run_cold(env, args):
    env.make_models(args.only)
    engines = [e for e in args.engines if e != "ours-f16"]
    rows = []
    for name in args.only:
        for threads in args.threads:
            rows.append({"name": name, "threads": threads, "engines": cold.compare(env, name, engines, threads, args.rounds)})
            log(f"cold {name}, {threads} thread(s): " + ", ".join(f"{e} {c['ms']:.0f} ms" if "ms" in c else f"{e}: {c['failed']}" for e, c in rows[-1]["engines"].items()))
    return rows


def run_attribute(env, args):
    names = [n for n in args.only if n in ("alexnet", "zfnet", "vgg16")]
    env.make_models(names)
    program = environment.ROOT / "target" / "release" / "switchback"
    rows = []
    for name in names:
        for threads in args.threads:
            log(f"attribute {name}, {threads} thread(s)")
            # Captum's whole map of VGG-16 takes minutes: every third step both ways is one position in eight.
            part = 3 if name == "vgg16" else 1
            command = [env.python, environment.HERE / "attribute.py", env.models, program, name, threads, args.stride, part,
                       min(args.rounds, 5)]
            done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            log(f"  {done.stdout.splitlines()[-1]}")
    return rows


def main():
    args = parse()
    env = environment.Environment(args.dir)
    if args.what in ("all", "setup"):
        env.set_up(args.only)
        environment.build_ours()
    if args.what == "setup":
        return
    if not env.python.exists():
        sys.exit(f"nothing is installed in {env.folder}: first run `{sys.argv[0]} setup`, or name the folder with --dir")
    raw = {"machine": report.machine(), "versions": report.versions(env), "date": report.today(), "rounds": args.rounds}
    if args.what == "table":
        for file in args.files:
            with open(file) as text:
                for key, value in json.load(text).items():
                    raw[key] = raw.get(key, []) + value if isinstance(value, list) else value
    if args.what in ("all", "networks"):
        raw["networks"] = run_networks(env, args)
    if args.what in ("all", "products"):
        raw["products"] = run_products(env, args)
    if args.what in ("all", "cold"):
        raw["cold"] = run_cold(env, args)
    if args.what in ("all", "attribute"):
        raw["attribute"] = run_attribute(env, args)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(raw, file, indent=1)
    print(report.full(raw))
    if args.write or args.what == "all":
        for block, text in report.blocks(raw).items():
            for file, which in (("benches/README.md", 0), ("README.md", 1)):
                report.insert(environment.ROOT / file, block, text[which])


if __name__ == "__main__":
    start = time.time()
    main()
    log(f"{time.time() - start:.0f} s; load {os.getloadavg()[0]:.1f}")
