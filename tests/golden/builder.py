"""Small ONNX graphs with random weights, written node by node, every node run at once by `walk.py` so that shapes are known."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from walk import Walk

CASES = []


def case(shape, opset=13, **style):
    """Registers `def name(g)`, which builds one graph over an input of `shape` (C, H, W).

    style: ir, batch (1, a number or a name), names (`plain`, `numbers`, `paths`), typed (weights as typed lists, not raw bytes),
    inputs_too (weights listed as graph inputs), external (weights in a file beside the model), old (opset of the file, where
    the graph is computed as its equal at `opset`), half (`all`, `inner`), whole (integer values: exact arithmetic, true ties),
    flat (a constant area in the input), ort (False: ONNX Runtime refuses it), occlude (square and stride).
    """
    def register(build):
        CASES.append((build.__name__, build, dict(shape=shape, opset=opset, **style)))
        return build
    return register


class Graph:
    def __init__(self, seed, shape, opset, ir=None, batch=1, names="plain", typed=False, inputs_too=False, half=None,
                 whole=False, flat=False, **_):
        self.rng = np.random.default_rng(seed)
        self.opset, self.ir, self.batch, self.names = opset, ir or (8 if opset >= 15 else 6), batch, names
        self.typed, self.inputs_too, self.half, self.whole = typed, inputs_too, half, whole
        self.nodes, self.initializers, self.projected, self.outputs, self.counts = [], [], [], [], {}
        feed = self.numbers(1, *shape)
        if flat:
            feed[:, :, shape[1] // 4:, shape[2] // 3:] = self.numbers(1, shape[0], 1, 1)
        self.feed = np.round(3 * feed) if whole else feed
        self.x = {"plain": "data", "numbers": "0", "paths": "pixel_values"}[names]
        self.info = helper.make_tensor_value_info(self.x, TensorProto.FLOAT, [batch, *shape])
        empty = helper.make_graph([], "g", [helper.make_tensor_value_info(self.x, TensorProto.FLOAT, [1, *shape])], [])
        self.walk = Walk(helper.make_model(empty, opset_imports=[helper.make_opsetid("", opset)]), self.feed)

    def numbers(self, *shape, scale=1.0):
        v = (self.rng.standard_normal(shape) * scale).astype(np.float32)
        return v.astype(np.float16).astype(np.float32) if self.half else v

    def shape(self, x):
        return self.walk.values[x].shape

    def fresh(self, op):
        n = self.counts[op] = self.counts.get(op, 0) + 1
        if self.names == "numbers":
            return str(sum(self.counts.values()) + 10)
        return f"/stage/{op}_{n}/{op}_output_0" if self.names == "paths" else f"{op.lower()}{n}"

    def constant(self, value, name=None):
        """An initialiser."""
        value = np.asarray(value)
        if self.half and value.dtype == np.float32:
            value = value.astype(np.float16).astype(np.float32)
        name = name or self.fresh("weight" if value.dtype.kind == "f" else "shape")
        t = numpy_helper.from_array(value, name)
        if self.typed and value.dtype.kind == "f":
            t = helper.make_tensor(name, t.data_type, value.shape, value.reshape(-1).tolist())
        self.initializers.append(t)
        self.walk.values[name] = value.astype(np.float64) if value.dtype.kind == "f" else value
        return name

    def weight(self, *shape, scale=None, name=None):
        fan = max(int(np.prod(shape[1:])), 1)
        v = self.numbers(*shape, scale=(2 / fan) ** 0.5 if scale is None else scale)
        return self.constant(np.round(v * 3 * fan ** 0.5) if self.whole else v, name)

    def node(self, op, *inputs, out=None, more=(), **attrs):
        """Adds a node and gives its first output; `more` names further outputs."""
        out = out or self.fresh(op)
        node = helper.make_node(op, list(inputs), [out, *more], **attrs)
        if self.names == "paths":
            node.name = out.rsplit("/", 1)[0]
        self.nodes.append(node)
        self.walk.run(node)
        return out

    def conv(self, x, co, k=3, bias=True, out=None, group=1, gain=None, **attrs):
        k = [k, k] if isinstance(k, int) else k
        w = [self.weight(co, self.shape(x)[1] // group, *k, scale=gain)]
        b = [self.weight(co, scale=0.2)] if bias else []
        if group > 1:
            attrs["group"] = group
        return self.node("Conv", x, *w, *b, out=out, kernel_shape=k, **attrs)

    def relu(self, x, out=None):
        return self.node("Relu", x, out=out)

    def conv_relu(self, x, co, k=3, out=None, **attrs):
        return self.relu(self.conv(x, co, k, **attrs), out)

    def max_pool(self, x, k=2, s=2, **attrs):
        return self.node("MaxPool", x, kernel_shape=[k, k], strides=[s, s], **attrs)

    def batch_norm(self, x, **attrs):
        c = self.shape(x)[1]
        parts = [1 + self.numbers(c, scale=0.2), self.numbers(c, scale=0.2), self.numbers(c, scale=0.3), 0.5 + np.abs(self.numbers(c))]
        return self.node("BatchNormalization", x, *[self.constant(p.astype(np.float32)) for p in parts], **attrs)

    def gemm(self, x, n, bias=True, transposed=True, **attrs):
        k = self.shape(x)[1]
        w = self.weight(n, k) if transposed else self.constant(self.numbers(k, n, scale=k ** -0.5))
        if transposed:
            attrs["transB"] = 1
        return self.node("Gemm", x, w, *([self.weight(n, scale=0.2)] if bias else []), **attrs)

    def project(self, *names):
        """Layers whose strongest unit is projected."""
        self.projected += names
        return names[-1]

    def model(self, *outputs):
        """The finished model; the last node's output where none are named."""
        outputs = outputs or self.outputs or [self.nodes[-1].output[0]]
        dims = [[self.batch, *self.shape(o)[1:]] for o in outputs]
        infos = [helper.make_tensor_value_info(o, TensorProto.FLOAT, d) for o, d in zip(outputs, dims)]
        inputs = [self.info]
        if self.inputs_too:
            weights = [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in self.initializers]
            inputs = weights[:1] + inputs + weights[1:]
        graph = helper.make_graph(self.nodes, "golden", inputs, infos, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=self.ir, producer_name="switchback golden")
        return model


def to_half(model, how, typed):
    """The file with float16 weights: `all` tensors are half, or `inner` ones between two Casts."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for t in model.graph.initializer:
        if t.data_type == TensorProto.FLOAT:
            v = numpy_helper.to_array(t).astype(np.float16)
            t.CopyFrom(helper.make_tensor(t.name, TensorProto.FLOAT16, v.shape, v.reshape(-1).tolist()) if typed else numpy_helper.from_array(v, t.name))
    if how == "all":
        for i in [*model.graph.input, *model.graph.output]:
            i.type.tensor_type.elem_type = TensorProto.FLOAT16
    else:
        casts = [n for n in model.graph.node if n.op_type == "Cast"]
        casts[0].attribute[0].i = TensorProto.FLOAT16
    return model


def to_old(model, opset):
    """The same graph as files before opset 7 wrote it: attributes where inputs or defaults stand today."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    model.opset_import[0].version = opset
    model.ir_version = 3
    values = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        add = lambda **a: node.attribute.extend(helper.make_attribute(k, v) for k, v in a.items())
        if node.op_type == "BatchNormalization":
            add(is_test=1, spatial=1)
        if node.op_type == "Dropout":
            add(is_test=1)
        if node.op_type == "Gemm":
            add(broadcast=1)
        if opset < 6 and node.op_type in ("BatchNormalization", "Relu", "Clip", "Add", "Mul"):
            add(consumed_inputs=[0] * len(node.input))
        if node.op_type in ("Add", "Mul") and node.input[1] in values:
            t = values[node.input[1]]
            add(broadcast=1)
            if len(t.dims) == 3:  # (C, 1, 1) of today is (C) along axis 1
                add(axis=1)
                del t.dims[1:]
        if opset < 5 and node.op_type == "Reshape":
            t = values[node.input[1]]
            add(shape=numpy_helper.to_array(t).tolist())
            model.graph.initializer.remove(t)
            del node.input[1]
        if opset < 4 and node.op_type == "Concat":
            kept = [x for x in node.attribute if x.name != "axis"]  # the default is 1
            del node.attribute[:]
            node.attribute.extend(kept)
    return model
