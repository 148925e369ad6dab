"""One engine, one model, in a process of its own, run whenever it is asked to.

    python engines.py ENGINE MODEL.onnx THREADS BATCH INPUT.npy SCORES.npy

It loads the model, runs it once, writes the scores of the first picture and prints `ready`. Then, for each line SECONDS that it
reads, it runs once to wake its threads, then for that long (three times at least), and prints the milliseconds of each run as JSON.
With `once` behind them it prints `answer` after the first run and ends. Everything computes in f32: the settings below switch off what would not.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np


class OnnxRuntime:
    def __init__(self, model, threads, batch, pictures):
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_free_dimension_override_by_name("N", batch)
        options.log_severity_level = 3
        self.session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.feed = {self.session.get_inputs()[0].name: pictures}

    def __call__(self):
        return self.session.run(None, self.feed)[0]


class OpenVino:
    def __init__(self, model, threads, batch, pictures):
        import openvino as ov
        core = ov.Core()
        network = core.read_model(str(model))
        network.reshape(list(pictures.shape))
        # Left alone it computes in bfloat16 where the processor can.
        self.request = core.compile_model(network, "CPU", {
            "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1,
        }).create_infer_request()
        self.pictures = pictures
        self.request.set_input_tensor(ov.Tensor(pictures, shared_memory=True))

    def __call__(self):
        self.request.infer()
        return self.request.get_output_tensor().data


class Ncnn:
    """It has no batches: a batch is its pictures one after the other."""

    def __init__(self, model, threads, batch, pictures):
        import ncnn
        self.ncnn, self.net = ncnn, ncnn.Net()
        self.net.opt.num_threads = threads
        for half in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage", "use_bf16_packed"):
            if hasattr(self.net.opt, half):
                setattr(self.net.opt, half, False)
        stem = str(model).removesuffix(".onnx")
        assert self.net.load_param(stem + ".ncnn.param") == 0 and self.net.load_model(stem + ".ncnn.bin") == 0, stem
        self.pictures = [ncnn.Mat(p).clone() for p in pictures]

    def __call__(self):
        rows = []
        for picture in self.pictures:
            run = self.net.create_extractor()
            run.input("in0", picture)
            rows.append(run.extract("out0")[1])
        return np.array(rows[0])[None]


class Torch:
    """Eager modules. `torch-cl` keeps maps channels last, `torch-compile` compiles with frozen weights."""

    def __init__(self, model, threads, batch, pictures, how=""):
        import torch
        from modules import as_module
        torch.set_num_threads(threads)
        self.torch, self.pictures = torch, torch.from_numpy(pictures)
        self.run = as_module(Path(model).name.removesuffix(".onnx"))
        if how == "cl":
            self.run = self.run.to(memory_format=torch.channels_last)
            self.pictures = self.pictures.to(memory_format=torch.channels_last)
        if how == "compile":
            import torch._inductor.config
            torch._inductor.config.freezing = True
            self.run = torch.compile(self.run)

    def __call__(self):
        with self.torch.inference_mode():
            return self.run(self.pictures).numpy()


ENGINES = {
    "ort": OnnxRuntime, "openvino": OpenVino, "ncnn": Ncnn, "torch": Torch,
    "torch-cl": lambda *a: Torch(*a, how="cl"), "torch-compile": lambda *a: Torch(*a, how="compile"),
}


def main(name, model, threads, batch, picture, scores, once=None):
    pictures = np.repeat(np.load(picture), int(batch), axis=0)
    engine = ENGINES[name](Path(model), int(threads), int(batch), pictures)
    np.save(scores, np.asarray(engine()).reshape(-1)[:1000])
    if once:
        print("answer", flush=True)
        return
    engine()
    print("ready", flush=True)
    for line in sys.stdin:
        samples, seconds = [], float(line)
        engine()
        start = time.perf_counter()
        while len(samples) < 3 or time.perf_counter() - start < seconds:
            run = time.perf_counter()
            engine()
            samples.append((time.perf_counter() - run) * 1e3)
        print(json.dumps(samples), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
