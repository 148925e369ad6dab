"""Matrix products C = A·B in Python's libraries: `python products_worker.py THREADS`, then lines `NAME M K N SECONDS`.

numpy is the OpenBLAS of its wheel; torch is `torch.mm` (MKL); onednn is oneDNN's inner product with packed weights, which
computes Cᵀ (N × M) = Bᵀ·Aᵀ, A being the weights.
"""

import json
import sys
import time

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch.utils import mkldnn


def prepare(name, a, b):
    if name == "numpy":
        out = np.empty((a.shape[0], b.shape[1]), np.float32)
        return lambda: np.matmul(a, b, out=out)
    if name == "torch":
        x, y, out = torch.from_numpy(a), torch.from_numpy(b), torch.empty(a.shape[0], b.shape[1])
        return lambda: torch.mm(x, y, out=out).numpy()
    layer = torch.nn.Linear(a.shape[1], a.shape[0], bias=False)
    layer.weight.data = torch.from_numpy(a)
    packed = mkldnn.to_mkldnn(layer.eval())
    columns = torch.from_numpy(np.ascontiguousarray(b.T)).to_mkldnn()
    return lambda: packed(columns)


def main(threads):
    torch.set_num_threads(threads)
    with threadpool_limits(threads, "blas"), torch.inference_mode():
        print("ready", flush=True)
        for line in sys.stdin:
            name, *numbers = line.split()
            m, k, n = map(int, numbers[:3])
            rng = np.random.default_rng(1)
            a, b = (rng.uniform(-1, 1, shape).astype(np.float32) for shape in ((m, k), (k, n)))
            run = prepare(name, a, b)
            c = run()
            c = c.to_dense().numpy().T if name == "onednn" else c
            error = np.abs(c - a.astype(np.float64) @ b).max()
            assert error < 1e-5 * k, f"{name}: off by {error}"
            run()
            samples, start = [], time.perf_counter()
            while len(samples) < 3 or time.perf_counter() - start < float(numbers[3]):
                one = time.perf_counter()
                run()
                samples.append((time.perf_counter() - one) * 1e3)
            print(json.dumps(samples), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
