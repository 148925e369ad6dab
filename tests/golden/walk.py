"""Forward pass and the way back through small ONNX graphs, in float64 numpy: naive loops, one function an operator.

The way back starts at one unit and follows three rules (Zeiler & Fergus 2013; Simonyan et al. 2013; Springenberg et al. 2014):

    deconv     a ReLU keeps the positive part of the signal; normalisation passes it on
    gradient   a ReLU gates by the forward sign; normalisation multiplies by its Jacobian
    guided     both

Max-pools send every signal to the first maximum of its window, where signals meet they add up. Biases play no part.
`autograd.py` computes the same with PyTorch; `make_graphs.py` refuses to write where the two differ.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
RULES = ("deconv", "gradient", "guided")


class NearTie(Exception):
    """A sign, switch or strongest unit hangs on rounding: another seed is needed."""


def attributes(node):
    found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}


def window_geometry(a, kernel, size):
    """strides, dilations and pads (top, left, bottom, right), with auto_pad worked out."""
    strides = list(a.get("strides", [1, 1]))
    dilations = list(a.get("dilations", [1, 1]))
    pads = list(a.get("pads", [0, 0, 0, 0]))
    auto = a.get("auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        for i in range(2):
            out = -(-size[i] // strides[i])
            total = max((out - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - size[i], 0)
            small = total // 2
            pads[i], pads[i + 2] = (small, total - small) if auto == "SAME_UPPER" else (total - small, small)
    elif auto == "VALID":
        pads = [0, 0, 0, 0]
    return strides, dilations, pads


def out_size(size, kernel, strides, dilations, pads, ceil=False):
    out = []
    for i in range(2):
        free = size[i] + pads[i] + pads[i + 2] - ((kernel[i] - 1) * dilations[i] + 1)
        n = (-(-free // strides[i]) if ceil else free // strides[i]) + 1
        if ceil and (n - 1) * strides[i] >= size[i] + pads[i]:
            n -= 1
        out.append(n)
    return out


def tap_slices(kernel, strides, dilations, out):
    """For every tap in row-major order: (ky, kx, rows, columns) of the padded map that it reads."""
    for ky in range(kernel[0]):
        for kx in range(kernel[1]):
            y, x = ky * dilations[0], kx * dilations[1]
            yield ky, kx, slice(y, y + (out[0] - 1) * strides[0] + 1, strides[0]), slice(x, x + (out[1] - 1) * strides[1] + 1, strides[1])


def padded(x, pads, kernel, strides, dilations, out, value):
    """x with its pads and whatever a hanging last window needs beyond them."""
    need = [(out[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 for i in range(2)]
    far = [max(pads[i + 2], need[i] - x.shape[2 + i] - pads[i]) for i in range(2)]
    return np.pad(x, [(0, 0), (0, 0), (pads[0], far[0]), (pads[1], far[1])], constant_values=value)


def unpadded(x, pads, size):
    return x[:, :, pads[0]:pads[0] + size[0], pads[1]:pads[1] + size[1]]


def conv_forward(x, w, geometry, groups, out):
    strides, dilations, pads = geometry
    kernel = w.shape[2:]
    p = padded(x, pads, kernel, strides, dilations, out, 0.0)
    y = np.zeros((x.shape[0], w.shape[0], *out))
    ci, co = w.shape[1], w.shape[0] // groups
    for g in range(groups):
        for ky, kx, rows, columns in tap_slices(kernel, strides, dilations, out):
            y[:, g * co:(g + 1) * co] += np.einsum("oi,nihw->nohw", w[g * co:(g + 1) * co, :, ky, kx], p[:, g * ci:(g + 1) * ci, rows, columns])
    return y


def conv_adjoint(signal, w, geometry, groups, size):
    """What conv_forward's transpose makes of `signal`, on maps of `size`."""
    strides, dilations, pads = geometry
    kernel, out = w.shape[2:], signal.shape[2:]
    ci, co = w.shape[1], w.shape[0] // groups
    p = padded(np.zeros((signal.shape[0], ci * groups, *size)), pads, kernel, strides, dilations, out, 0.0)
    for g in range(groups):
        for ky, kx, rows, columns in tap_slices(kernel, strides, dilations, out):
            p[:, g * ci:(g + 1) * ci, rows, columns] += np.einsum("oi,nohw->nihw", w[g * co:(g + 1) * co, :, ky, kx], signal[:, g * co:(g + 1) * co])
    return unpadded(p, pads, size)


def transpose_geometry(a, kernel, size):
    """Geometry and output size of a ConvTranspose over maps of `size`."""
    strides = list(a.get("strides", [1, 1]))
    dilations = list(a.get("dilations", [1, 1]))
    pads = list(a.get("pads", [0, 0, 0, 0]))
    extra = list(a.get("output_padding", [0, 0]))
    auto = a.get("auto_pad", "NOTSET")
    wanted = a.get("output_shape")
    if wanted is None and auto.startswith("SAME"):
        wanted = [size[i] * strides[i] for i in range(2)]
    whole = [(size[i] - 1) * strides[i] + extra[i] + (kernel[i] - 1) * dilations[i] + 1 for i in range(2)]
    if wanted is None:
        out = [whole[i] - pads[i] - pads[i + 2] for i in range(2)]
    else:
        out = list(wanted)[-2:]
        for i in range(2):
            total = max(whole[i] - out[i], 0)
            small = total // 2
            pads[i], pads[i + 2] = (small, total - small) if auto == "SAME_UPPER" else (total - small, small)
    return (strides, dilations, pads), out


def lrn_sum(v, size):
    """Sum over the channels c - floor((size-1)/2) ..= c + ceil((size-1)/2)."""
    before, after = (size - 1) // 2, size - 1 - (size - 1) // 2
    p = np.pad(v, [(0, 0), (before, after)] + [(0, 0)] * (v.ndim - 2))
    return sum(p[:, i:i + v.shape[1]] for i in range(size))


def gap_check(values, gap, what, margin):
    """No gap between almost 0 (an exact tie, the same in any precision) and `margin` times the largest value."""
    scale = np.abs(values[np.isfinite(values)]).max(initial=1e-30)
    gap = np.abs(gap[np.isfinite(gap)]) / scale
    if np.any((gap > 1e-13) & (gap < margin)):
        raise NearTie(f"{what}: gap of {gap[gap > 1e-13].min():.1e}")


class Walk:
    """One run of a model over `feed` (batch 1, float64), with what the way back needs."""

    def __init__(self, model, feed, margin=2e-5):
        self.graph, self.margin = model.graph, margin
        self.opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        self.input = next(i.name for i in model.graph.input if i.name not in {t.name for t in model.graph.initializer})
        self.values = {"": None}
        for t in model.graph.initializer:
            v = numpy_helper.to_array(t)
            self.values[t.name] = v.astype(np.float64) if t.data_type in FLOATS else v
        self.values[self.input] = np.asarray(feed, np.float64)
        self.data = {self.input}  # float tensors that depend on the input
        self.backs = []
        for node in model.graph.node:
            self.run(node)

    def run(self, node):
        a = attributes(node)
        x = [self.values[i] for i in node.input]
        y, back = getattr(self, node.op_type)(node, a, *x)
        outputs = y if isinstance(y, tuple) else (y,)
        for name, value in zip(node.output, outputs):
            self.values[name] = value
        if any(i in self.data for i in node.input) and outputs[0].dtype == np.float64 and node.op_type != "Shape":
            self.data.add(node.output[0])
            self.backs.append((node, back))

    def strongest(self, name):
        v = self.values[name][0]
        two = np.sort(v.reshape(-1))[-2:]
        gap_check(v, two[-1:] - two[:1] if v.size > 1 else np.array([]), f"strongest of {name}", self.margin)
        at = np.unravel_index(int(v.argmax()), v.shape)
        return tuple(int(i) for i in at) + (0,) * (3 - len(at)), float(v.max())

    def project(self, name, unit, rule):
        """From `unit` (channel, y, x) of tensor `name`, with its activation as seed, to the input: (C, H, W)."""
        seed = np.zeros_like(self.values[name])
        at = (0,) + unit[:seed.ndim - 1]
        seed[at] = self.values[name][at]
        signals = {name: seed}
        for node, back in reversed(self.backs):
            signal = signals.get(node.output[0])
            if signal is None:
                continue
            parts = back(signal, rule)
            parts = parts if isinstance(parts, list) else [parts]
            names = [i for i in node.input if i in self.data]
            assert len(parts) == len(names), node.op_type
            for i, part in zip(names, parts):
                assert part.shape == self.values[i].shape, (node.op_type, part.shape)
                signals[i] = signals[i] + part if i in signals else part
        return signals[self.input][0]

    # Convolutions and products.

    def Conv(self, node, a, x, w, b=None):
        geometry = window_geometry(a, w.shape[2:], x.shape[2:])
        out = out_size(x.shape[2:], w.shape[2:], *geometry)
        groups = a.get("group", 1)
        y = conv_forward(x, w, geometry, groups, out)
        y = y if b is None else y + b[None, :, None, None]
        return y, lambda s, rule: conv_adjoint(s, w, geometry, groups, x.shape[2:])

    def ConvTranspose(self, node, a, x, w, b=None):
        geometry, out = transpose_geometry(a, w.shape[2:], x.shape[2:])
        groups = a.get("group", 1)
        y = conv_adjoint(x, w, geometry, groups, out)
        y = y if b is None else y + b[None, :, None, None]
        return y, lambda s, rule: conv_forward(s, w, geometry, groups, x.shape[2:])

    def Gemm(self, node, a, x, w, c=None):
        assert not a.get("transA", 0)
        alpha, beta = a.get("alpha", 1.0), a.get("beta", 1.0)
        w = w.T if a.get("transB", 0) else w
        y = alpha * x @ w
        return (y if c is None else y + beta * c), lambda s, rule: alpha * s @ w.T

    def MatMul(self, node, a, x, w):
        return x @ w, lambda s, rule: s @ w.T

    # ReLU and its kin: the rules.

    def gate(self, s, rule, slope):
        """`slope`: the derivative, cell by cell. `deconv` looks at the signal alone."""
        if rule == "deconv":
            return np.maximum(s, 0)
        return (s if rule == "gradient" else np.maximum(s, 0)) * slope

    def Relu(self, node, a, x):
        gap_check(x, x, node.output[0], self.margin)
        return np.maximum(x, 0), lambda s, rule: self.gate(s, rule, x > 0)

    def LeakyRelu(self, node, a, x, alpha=None):
        alpha = a.get("alpha", 0.01) if alpha is None else alpha
        alpha = float(np.float32(alpha))
        gap_check(x, x, node.output[0], self.margin)
        return np.where(x > 0, x, alpha * x), lambda s, rule: self.gate(s, rule, np.where(x > 0, 1.0, alpha))

    def PRelu(self, node, a, x, slope):
        assert slope.size == 1
        return self.LeakyRelu(node, a, x, slope.reshape(-1)[0])

    def Clip(self, node, a, x, low=None, high=None):
        if self.opset < 11:
            low, high = a.get("min", -np.inf), a.get("max", np.inf)
        low = -np.inf if low is None else float(low)
        high = np.inf if high is None else float(high)
        for bound in (low, high):
            if np.isfinite(bound):
                gap_check(x, x - bound, node.output[0], self.margin)
        return np.clip(x, low, high), lambda s, rule: self.gate(s, rule, (x > low) & (x < high))

    # Pools.

    def MaxPool(self, node, a, x):
        kernel = a["kernel_shape"]
        strides, dilations, pads = window_geometry(a, kernel, x.shape[2:])
        out = out_size(x.shape[2:], kernel, strides, dilations, pads, a.get("ceil_mode", 0))
        p = padded(x, pads, kernel, strides, dilations, out, -np.inf)
        taps = list(tap_slices(kernel, strides, dilations, out))
        cells = np.stack([p[:, :, rows, columns] for _, _, rows, columns in taps])
        y = cells.max(0)
        assert np.isfinite(y).all(), "a window of padding only"
        gap_check(x, y - cells, node.output[0], self.margin)
        # Equal up to float64 rounding counts as a tie: the first of them is the switch.
        first = (y - cells <= 1e-13 * np.abs(x).max()).argmax(0)

        def back(s, rule):
            r = np.zeros_like(p)
            for t, (_, _, rows, columns) in enumerate(taps):
                r[:, :, rows, columns] += np.where(first == t, s, 0.0)
            return unpadded(r, pads, x.shape[2:])
        return y, back

    def AveragePool(self, node, a, x):
        kernel = a["kernel_shape"]
        strides, dilations, pads = window_geometry(a, kernel, x.shape[2:])
        out = out_size(x.shape[2:], kernel, strides, dilations, pads, a.get("ceil_mode", 0))
        taps = list(tap_slices(kernel, strides, dilations, out))
        p = padded(x, pads, kernel, strides, dilations, out, 0.0)
        inside = np.ones((1, 1, *x.shape[2:]))
        if a.get("count_include_pad", 0):
            inside = np.pad(inside, [(0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])], constant_values=1.0)
            inside = np.pad(inside, [(0, 0), (0, 0), (0, p.shape[2] - inside.shape[2]), (0, p.shape[3] - inside.shape[3])])
        else:
            inside = padded(inside, pads, kernel, strides, dilations, out, 0.0)
        count = sum(inside[:, :, rows, columns] for _, _, rows, columns in taps)
        y = sum(p[:, :, rows, columns] for _, _, rows, columns in taps) / count

        def back(s, rule):
            r = np.zeros_like(p)
            for _, _, rows, columns in taps:
                r[:, :, rows, columns] += s / count
            return unpadded(r, pads, x.shape[2:])
        return y, back

    def GlobalAveragePool(self, node, a, x):
        return x.mean((2, 3), keepdims=True), lambda s, rule: np.broadcast_to(s / (x.shape[2] * x.shape[3]), x.shape)

    def GlobalMaxPool(self, node, a, x):
        flat = x.reshape(*x.shape[:2], -1)
        y = flat.max(2)
        gap_check(x, y[..., None] - flat, node.output[0], self.margin)
        first = (y[..., None] - flat <= 1e-13 * np.abs(x).max()).argmax(2)

        def back(s, rule):
            r = np.zeros_like(flat)
            np.put_along_axis(r, first[..., None], s.reshape(*y.shape, 1), 2)
            return r.reshape(x.shape)
        return y[..., None, None], back

    def ReduceMean(self, node, a, x, axes=None):
        axes = sorted(int(i) % x.ndim for i in (a["axes"] if axes is None else axes))
        assert axes == [2, 3]
        y = x.mean((2, 3), keepdims=bool(a.get("keepdims", 1)))
        return y, lambda s, rule: np.broadcast_to(s.reshape(*x.shape[:2], 1, 1) / (x.shape[2] * x.shape[3]), x.shape)

    # Normalisation.

    def LRN(self, node, a, x):
        size = a["size"]
        alpha, beta, k = (float(np.float32(a.get(n, d))) for n, d in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
        d = k + alpha / size * lrn_sum(x * x, size)
        y = x * d ** -beta

        def back(s, rule):
            if rule == "deconv":
                return s
            # y_c depends on x_j for j in c's window; the transposed window is the mirrored one.
            t = s * y / d
            mirrored = lrn_sum(t[:, ::-1], size)[:, ::-1]
            return s * d ** -beta - 2 * alpha * beta / size * x * mirrored
        return y, back

    def BatchNormalization(self, node, a, x, scale, shift, mean, var):
        column = (1, -1) + (1,) * (x.ndim - 2)
        factor = (scale / np.sqrt(var + float(np.float32(a.get("epsilon", 1e-5))))).reshape(column)
        return (x - mean.reshape(column)) * factor + shift.reshape(column), lambda s, rule: s * factor

    def Softmax(self, node, a, x):
        return self.softmax(a, x)[0], None

    def LogSoftmax(self, node, a, x):
        return self.softmax(a, x)[1], None

    def softmax(self, a, x):
        axis = a.get("axis", 1 if self.opset < 13 else -1) % x.ndim
        flat = x.reshape(*x.shape[:axis], -1) if self.opset < 13 else np.moveaxis(x, axis, -1)
        z = flat - flat.max(-1, keepdims=True)
        log = z - np.log(np.exp(z).sum(-1, keepdims=True))
        log = log.reshape(x.shape) if self.opset < 13 else np.moveaxis(log, -1, axis)
        return np.exp(log), log

    # Arithmetic.

    def Add(self, node, a, x, y):
        return x + y, self.spread(node, 1.0, 1.0)

    def Sum(self, node, a, *x):
        return sum(x), self.spread(node, *[1.0] * len(x))

    def Sub(self, node, a, x, y):
        return x - y, self.spread(node, 1.0, -1.0)

    def Mul(self, node, a, x, y):
        return x * y, self.spread(node, y, x)

    def Div(self, node, a, x, y):
        return x / y, self.spread(node, 1.0 / y, None)

    def spread(self, node, *factors):
        mine = [f for i, f in zip(node.input, factors) if i in self.data]
        return lambda s, rule: [s * f for f in mine]

    # Shapes.

    def Concat(self, node, a, *x):
        axis = a.get("axis", 1)
        return np.concatenate(x, axis), lambda s, rule: np.split(s, np.cumsum([i.shape[axis] for i in x])[:-1], axis)

    def Pad(self, node, a, x, pads=None, value=None):
        pads = a["pads"] if pads is None else [int(i) for i in pads]
        value = a.get("value", 0.0) if self.opset < 11 else 0.0 if value is None else float(value)
        n = x.ndim
        y = np.pad(x, [(pads[i], pads[i + n]) for i in range(n)], constant_values=float(np.float32(value)))
        inner = tuple(slice(pads[i], pads[i] + x.shape[i]) for i in range(n))
        return y, lambda s, rule: s[inner]

    def again(self, x, y):
        return y, lambda s, rule: s.reshape(x.shape)

    def Identity(self, node, a, x):
        return self.again(x, x)

    def Dropout(self, node, a, x, ratio=None, training=None):
        return self.again(x, x)

    def Cast(self, node, a, x):
        return self.again(x, x.astype(np.float64 if a["to"] in FLOATS else np.int64))

    def Flatten(self, node, a, x):
        axis = a.get("axis", 1) % x.ndim
        return self.again(x, x.reshape(int(np.prod(x.shape[:axis])), -1))

    def Reshape(self, node, a, x, shape):
        shape = [int(n) if n != 0 else x.shape[i] for i, n in enumerate(shape)]
        return self.again(x, x.reshape(shape))

    def Squeeze(self, node, a, x, axes=None):
        axes = a.get("axes") if axes is None else axes
        axes = [i for i, n in enumerate(x.shape) if n == 1] if axes is None else [int(i) for i in axes]
        return self.again(x, np.squeeze(x, tuple(axes)))

    def Unsqueeze(self, node, a, x, axes=None):
        axes = a["axes"] if axes is None else axes
        return self.again(x, np.expand_dims(x, tuple(int(i) for i in axes)))

    # What computes shapes: no signal goes through.

    def Constant(self, node, a):
        (name, v), = a.items()
        if name == "value":
            v = numpy_helper.to_array(v)
        elif name in ("value_float", "value_floats"):
            v = np.asarray(v, np.float32)
        else:
            v = np.asarray(v, np.int64)
        return (v.astype(np.float64) if v.dtype.kind == "f" else v), None

    def Shape(self, node, a, x):
        return np.array(x.shape, np.int64), None

    def Gather(self, node, a, x, index):
        return np.take(x, index, a.get("axis", 0)), None

    def Slice(self, node, a, x, starts=None, ends=None, axes=None, steps=None):
        starts = a["starts"] if starts is None else starts
        ends = a["ends"] if ends is None else ends
        assert x.ndim == 1
        return x[int(starts[0]):int(ends[0])], None
