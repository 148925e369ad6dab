"""Matrix products, ours and the rivals', in turn. A is packed before in ours-packed and onednn, as weights are in a network."""

from environment import HERE
from worker import Worker, in_turn

# Cubes, then convolutions as products: AlexNet and ZFNet conv1, conv2, conv3-5, VGG-16 from its first layer to its last.
SHAPES = [(256, 256, 256), (512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (96, 363, 3025), (96, 147, 12100),
          (256, 2400, 676), (384, 2304, 169), (384, 3456, 169), (256, 3456, 169), (64, 27, 50176), (64, 576, 50176),
          (128, 1152, 12544), (256, 2304, 3136), (512, 4608, 784), (512, 4608, 196)]
RUST = ["ours", "ours-packed", "matrixmultiply", "gemm"]
PYTHON = ["numpy", "torch", "onednn"]


def compare(env, threads, rounds, seconds, log, shapes=SHAPES):
    """[{"shape", "threads", "rounds", "gflops": {contender: the best round}}]

    The best, for what slows a product of a few milliseconds is not its library."""
    # A process for each: threads that wait for work would take the core from another library's in the same process.
    workers = {name: Worker(name, [env.rust, "products", threads]) for name in RUST}
    workers.update({name: Worker(name, [env.python, HERE / "products_worker.py", threads]) for name in PYTHON})
    rows = []
    for m, k, n in shapes:
        def ask(name):
            return 2e-6 * m * k * n / workers[name].ask(f"{name} {m} {k} {n} {seconds}")
        speeds = {name: max(all) for name, all in in_turn(rounds, list(workers), ask).items()}
        rows.append({"shape": f"{m}×{k}×{n}", "threads": threads, "rounds": rounds, "gflops": speeds})
        log(f"{m}×{k}×{n}, {threads} thread(s): " + ", ".join(f"{name} {speed:.0f}" for name, speed in speeds.items()))
    for worker in workers.values():
        worker.close()
    return rows
