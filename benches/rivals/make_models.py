"""Writes a network as NAME.onnx (batch left open), and through pnnx as NAME.ncnn.param and NAME.ncnn.bin (f32).

    python make_models.py FOLDER [NAME …]
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper

from architectures import INPUT, NETWORKS, network


def as_onnx(net):
    """Opset 13, LRN as the one operator."""
    nodes = []

    def node(op_type, op, extra=(), **attributes):
        nodes.append(helper.make_node(op_type, [*op.inputs, *extra], [op.name], name=op.name, **attributes))

    for op in net.ops:
        s = op.settings
        own = [key for key in (f"{op.name}.weight", f"{op.name}.bias", f"{op.name}.mean", f"{op.name}.var") if key in net.weights]
        if op.kind == "conv":
            k, stride, pad = s["kernel"], s["stride"], s["pad"]
            node("Conv", op, own, kernel_shape=[k, k], strides=[stride, stride], pads=[pad] * 4, group=s["groups"])
        elif op.kind == "maxpool":
            k, stride, pad = s["kernel"], s["stride"], s["pad"]
            node("MaxPool", op, kernel_shape=[k, k], strides=[stride, stride], pads=[pad] * 4, ceil_mode=int(s["ceil"]))
        elif op.kind == "lrn":
            node("LRN", op, size=s["size"], alpha=s["alpha"], beta=s["beta"], bias=s["k"])
        elif op.kind == "linear":
            node("Gemm", op, own, transB=1)
        else:
            kind = {"relu": "Relu", "concat": "Concat", "add": "Add", "flatten": "Flatten", "globalpool": "GlobalAveragePool",
                    "batchnorm": "BatchNormalization"}[op.kind]
            attributes = {"axis": 1} if op.kind in ("concat", "flatten") else {}
            node(kind, op, own, **attributes)
    last = net.ops[-1].name
    graph = helper.make_graph(
        nodes, net.name, [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", 3, 224, 224])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", 1000])],
        [numpy_helper.from_array(value, key) for key, value in net.weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="switchback benches")
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def as_ncnn(onnx_file, folder):
    """pnnx writes beside its input, and more than we want: so it works in a folder of its own."""
    import pnnx  # noqa: F401  (where its program lies)
    program = Path(pnnx.__file__).parent / "pnnx"
    name = onnx_file.stem
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / "net.onnx"
        os.symlink(onnx_file.resolve(), plain)
        subprocess.run([str(program), "net.onnx", "inputshape=[1,3,224,224]", "fp16=0"], cwd=scratch, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for kind in ("param", "bin"):
            shutil.move(Path(scratch) / f"net.ncnn.{kind}", folder / f"{name}.ncnn.{kind}")


def make(folder, names=tuple(NETWORKS), log=print):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        file = folder / f"{name}.onnx"
        if not file.exists():
            log(f"writing {file}")
            onnx.save(as_onnx(network(name)), folder / "unfinished.onnx")
            os.replace(folder / "unfinished.onnx", file)
        if not (folder / f"{name}.ncnn.bin").exists():
            log(f"converting {file} for ncnn")
            as_ncnn(file, folder)


if __name__ == "__main__":
    make(sys.argv[1], sys.argv[2:] or tuple(NETWORKS))
