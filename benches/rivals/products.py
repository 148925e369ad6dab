"""Matrix products, ours and the rivals', in turn. A is packed before in ours-packed and onednn, as weights are in a network."""

import statistics

from environment import HERE
from worker import Worker, in_turn

# Cubes, then convolutions as products: AlexNet and ZFNet conv1, conv2, conv3-5, VGG-16 from its first layer to its last.
SHAPES = [(256, 256, 256), (512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (96, 363, 3025), (96, 147, 12100),
          (256, 2400, 676), (384, 2304, 169), (384, 3456, 169), (256, 3456, 169), (64, 27, 50176), (64, 576, 50176),
          (128, 1152, 12544), (256, 2304, 3136), (512, 4608, 784), (512, 4608, 196)]
RUST = ["ours", "ours-packed", "matrixmultiply", "gemm"]
PYTHON = ["numpy", "torch", "onednn"]


def compare(env, threads, rounds, seconds, log, shapes=SHAPES):
    """[{"shape", "threads", "gflops": {contender: median of the rounds}}]"""
    workers = {}
    for names, command in ((RUST, [env.rust, "products", threads]), (PYTHON, [env.python, HERE / "products_worker.py", threads])):
        worker = Worker(names[0], command)
        workers.update(dict.fromkeys(names, worker))
    rows = []
    for m, k, n in shapes:
        def ask(name):
            return 2e-6 * m * k * n / workers[name].ask(f"{name} {m} {k} {n} {seconds}")
        speeds = {name: statistics.median(all) for name, all in in_turn(rounds, list(workers), ask).items()}
        rows.append({"shape": f"{m}×{k}×{n}", "threads": threads, "gflops": speeds})
        log(f"{m}×{k}×{n}, {threads} thread(s): " + ", ".join(f"{name} {speed:.0f}" for name, speed in speeds.items()))
    for worker in set(workers.values()):
        worker.close()
    return rows
