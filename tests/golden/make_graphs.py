"""Writes graphs/NAME.onnx and graphs/NAME.safetensors for every case of cases_layers.py and cases_networks.py.

    python tests/golden/make_graphs.py [NAME...]        (all, or those named)

Needs onnx 1.23.2, onnxruntime 1.32.0, torch 2.15.0, numpy 2.4.6, safetensors 0.8.0 (the versions that made what is
committed; any CPU). The seed of a case is the CRC-32 of its name plus the number of attempts thrown away because a sign,
a switch, the strongest unit or a label hung on rounding: so no two sound engines can disagree about them.

NAME.safetensors holds, per picture (no batch dimension):

    input                        (C, H, W) f32
    tensor.T                     every float tensor of the graph that depends on the input, by ONNX Runtime
    unit.T                       channel, y, x of the strongest activation of T (i64)
    projection.RULE.T            (C, H, W) f32: from that unit to the input, computed in float64 by walk.py,
                                 within 1e-9 of autograd.py (PyTorch) for every rule
    occlusion.size_stride, .fill, .class, .channel, .probability, .label, .activity
                                 a square of zeros slides over the input, by ONNX Runtime; `activity` is the sum over map
                                 `channel` of the layer that the metadata name

and in the metadata one JSON text `case`: name, opset, projected layers, occluded layer.
float16 graphs are run as their float32 twins with the same (rounded) weights; graphs below opset 7 as their equals of
today; where ONNX Runtime also runs the file as it is, the two are compared. An even LRN size, which ONNX Runtime
refuses, is computed by walk.py.
"""

import json
import sys
import zlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from safetensors.numpy import save

import autograd
import cases_layers  # noqa: F401  (registers its cases)
import cases_networks  # noqa: F401
from builder import CASES, Graph, to_half, to_old
from walk import RULES, NearTie, Walk

HERE = Path(__file__).parent / "graphs"


def runtime(model, names):
    """feed -> {name: value} by ONNX Runtime, without its graph rewriting."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    types = {o.name: o.type.tensor_type.elem_type for o in model.graph.output}
    kind = next(iter(types.values()))
    for name in names:
        if name not in types:
            model.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    known = {i.name for i in model.graph.initializer}
    feed_name, = (i.name for i in session.get_inputs() if i.name not in known)

    def run(feed):
        batch = session.get_inputs()[0].shape[0] if not known & {session.get_inputs()[0].name} else 1
        feed = np.repeat(feed, batch, 0) if isinstance(batch, int) and batch > 1 else feed
        half = next(i.type for i in session.get_inputs() if i.name == feed_name) == "tensor(float16)"
        got = session.run(list(names), {feed_name: feed.astype(np.float16 if half else np.float32)})
        return {n: v[0].astype(np.float32) for n, v in zip(names, got)}
    return run


def near(a, b, tolerance, what):
    error = np.abs(a.astype(np.float64) - b).max() / max(np.abs(b).max(), 1e-30)
    assert a.shape == b.shape and error <= tolerance, f"{what}: {a.shape} {b.shape} differ by {error:.1e}"


def occlusion(walk, run, size, stride):
    """Maps of a square of zeros over the input; the layer is the last spatial one before the layer that scores."""
    nodes = [node for node, _ in walk.backs]
    softmax = next(n for n in reversed(nodes) if n.op_type == "Softmax")
    scorer = max(i for i, n in enumerate(nodes) if n.op_type in ("Conv", "Gemm", "MatMul") and n.output[0] != softmax.output[0])
    spatial = lambda n: walk.values[n.output[0]].ndim == 4 and walk.values[n.output[0]].shape[2:] != (1, 1)
    layer = next(n.output[0] for n in reversed(nodes[:scorer]) if spatial(n) and n.op_type not in ("Identity", "Dropout", "Flatten", "Reshape", "Cast"))
    feed = walk.values[walk.input].astype(np.float32)
    clean = run(feed)
    p, maps = clean[softmax.output[0]].reshape(-1), clean[layer]
    sums = np.sort(maps.sum((1, 2)))
    label, channel = int(p.argmax()), int(maps.sum((1, 2)).argmax())
    if np.sort(p)[-1] - np.sort(p)[-2] < 1e-3 or sums[-1] - sums[-2] < 1e-3 * sums[-1]:
        raise NearTie("class or map of the occlusion")
    rows, columns = ((n - size) // stride + 1 for n in feed.shape[2:])
    out = {k: np.zeros((rows, columns), t) for k, t in (("probability", np.float32), ("label", np.int64), ("activity", np.float32))}
    for i in range(rows):
        for j in range(columns):
            x = feed.copy()
            x[:, :, i * stride:i * stride + size, j * stride:j * stride + size] = 0
            got = run(x)
            q = got[softmax.output[0]].reshape(-1)
            if np.sort(q)[-1] - np.sort(q)[-2] < 1e-3:
                raise NearTie("label of the occlusion")
            out["probability"][i, j], out["label"][i, j] = q[label], q.argmax()
            out["activity"][i, j] = got[layer][channel].sum(dtype=np.float64)
    if len(set(out["label"].reshape(-1).tolist())) < 2:
        raise NearTie("one label everywhere")
    out["size_stride"], out["fill"] = np.array([size, stride]), np.zeros(feed.shape[1], np.float32)
    out["class"], out["channel"] = np.array([label]), np.array([channel])
    return layer, {"occlusion." + k: v for k, v in out.items()}


def make(name, build, style):
    for attempt in range(2000):
        g = Graph(zlib.crc32(name.encode()) + attempt, **style)
        try:
            build(g)
            model = g.model()
            walk = Walk(model, g.feed)
            units = {layer: walk.strongest(layer) for layer in g.projected}
            if any(activation <= 0.05 for _, activation in units.values()):
                raise NearTie("a dead layer")
            projections = {(r, layer): walk.project(layer, at, r) for layer, (at, _) in units.items() for r in RULES}
            if any(np.abs(p).max() < 1e-3 for p in projections.values()):
                raise NearTie("an empty projection")
            names = [node.output[0] for node, _ in walk.backs]
            run = runtime(model, names) if style.get("ort", True) else None
            layer, occluded = occlusion(walk, run, *style["occlude"]) if "occlude" in style else (None, {})
            break
        except NearTie:
            continue
    else:
        raise RuntimeError(f"{name}: no attempt without near ties")

    tensors = {"input": g.feed[0]}
    truth = {n: walk.values[n][0] for n in names}
    values = run(g.feed) if run else {n: v.astype(np.float32) for n, v in truth.items()}
    for n in names:
        near(values[n], truth[n], 2e-5, f"{name} {n}")
        tensors["tensor." + n] = values[n]
    for (rule, at), p in projections.items():
        near(p, autograd.project(walk, model, at, units[at][0], rule), 1e-9, f"{name} {rule} {at}")
        tensors["unit." + at] = np.array(units[at][0])
        tensors[f"projection.{rule}.{at}"] = p.astype(np.float32)
    tensors |= occluded

    file, note = model, ""
    if "old" in style:
        file = to_old(model, style["old"])
    if g.half:
        file = to_half(model, g.half, g.typed)
    if file is not model:
        try:
            for n, v in runtime(file, [o.name for o in file.graph.output])(g.feed).items():
                near(v, truth[n], 2e-2 if g.half else 2e-5, f"{name} as it is")
            note = "; ONNX Runtime agrees with the file as it is"
        except AssertionError:
            raise
        except Exception as e:
            note = f"; ONNX Runtime refuses the file as it is: {str(e)[:100]!r}"
    path = HERE / f"{name}.onnx"
    if style.get("external"):
        (HERE / f"{name}.bin").unlink(missing_ok=True)
        onnx.save(file, path, save_as_external_data=True, location=f"{name}.bin", size_threshold=64)
    else:
        path.write_bytes(file.SerializeToString(deterministic=True))
    about = {"name": name, "opset": file.opset_import[0].version, "projected": g.projected, "occluded": layer}
    tensors = {k: np.ascontiguousarray(v) for k, v in sorted(tensors.items())}
    (HERE / f"{name}.safetensors").write_bytes(save(tensors, {"case": json.dumps(about, sort_keys=True)}))
    size = sum(f.stat().st_size for f in HERE.glob(name + ".*"))
    print(f"{name}: opset {about['opset']}, {len(names)} tensors, {len(g.projected)} layers projected, {attempt} attempts thrown away, {size} bytes{note}", flush=True)


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    wanted = sys.argv[1:]
    failed = []
    for name, build, style in CASES:
        if not wanted or name in wanted:
            try:
                make(name, build, style)
            except Exception as e:
                failed.append(name)
                print(f"{name}: FAILED: {type(e).__name__}: {e}", flush=True)
    print(f"{sum(f.stat().st_size for f in HERE.iterdir())} bytes in all; failed: {failed or 'none'}")
    sys.exit(bool(failed))
