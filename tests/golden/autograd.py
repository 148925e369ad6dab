"""The projections of `walk.py` a second time, by PyTorch's operators and autograd in float64.

`gradient` is plain autograd of the chosen activation, times that activation. The other rules are custom functions at the
ReLUs and at LRN, everything else is autograd again: nothing is shared with `walk.py` but the reading of attributes.
"""

import numpy as np
import torch
import torch.nn.functional as F
from onnx import numpy_helper

from walk import FLOATS, attributes, transpose_geometry, window_geometry

torch.set_num_threads(1)


class Gate(torch.autograd.Function):
    """A pointwise function with derivative `slope`, whose way back follows a rule."""

    @staticmethod
    def forward(ctx, x, y, slope, rule):
        ctx.rule = rule
        ctx.save_for_backward(slope)
        return y.clone()

    @staticmethod
    def backward(ctx, s):
        (slope,) = ctx.saved_tensors
        r = {"deconv": s.clamp(min=0), "gradient": s * slope, "guided": s.clamp(min=0) * slope}[ctx.rule]
        return r, None, None, None


class Pass(torch.autograd.Function):
    """y on the way up; the signal as it is on the way back."""

    @staticmethod
    def forward(ctx, x, y):
        return y.clone()

    @staticmethod
    def backward(ctx, s):
        return s, None


def same_pads(x, pads, value=0.0):
    return F.pad(x, (pads[1], pads[3], pads[0], pads[2]), value=value)


def hanging(x, kernel, strides, dilations):
    """Rows and columns that a ceil-mode pool reads beyond padded maps `x`; negative where cells are left over."""
    n = [-(-(x.shape[2 + i] - (kernel[i] - 1) * dilations[i] - 1) // strides[i]) for i in range(2)]
    return [n[i] * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - x.shape[2 + i] for i in range(2)], [m + 1 for m in n]


def max_pool(x, a):
    kernel = a["kernel_shape"]
    strides, dilations, pads = window_geometry(a, kernel, x.shape[2:])
    p = same_pads(x, pads, -torch.inf)
    if a.get("ceil_mode", 0):
        more, n = hanging(p, kernel, strides, dilations)
        for i in range(2):
            if (n[i] - 1) * strides[i] >= x.shape[2 + i] + pads[i]:
                more[i] = 0
        p = same_pads(p, [0, 0, max(more[0], 0), max(more[1], 0)], -torch.inf)
    return F.max_pool2d(p, kernel, strides, 0, dilations)


def average_pool(x, a):
    kernel = a["kernel_shape"]
    strides, dilations, pads = window_geometry(a, kernel, x.shape[2:])
    assert list(dilations) == [1, 1]
    ceil = bool(a.get("ceil_mode", 0))
    include = bool(a.get("count_include_pad", 0))
    if pads[0] == pads[2] and pads[1] == pads[3]:
        return F.avg_pool2d(x, kernel, strides, pads[:2], ceil, include)
    assert not ceil
    p, ones = same_pads(x, pads), same_pads(torch.ones_like(x), pads, float(include))
    return F.avg_pool2d(p, kernel, strides) / F.avg_pool2d(ones, kernel, strides)


def lrn(x, a):
    size, alpha, beta, k = a["size"], a.get("alpha", 1e-4), a.get("beta", 0.75), a.get("bias", 1.0)
    if size % 2:
        return F.local_response_norm(x, size, float(np.float32(alpha)), float(np.float32(beta)), float(np.float32(k)))
    squares = F.pad(x * x, (0, 0, 0, 0, (size - 1) // 2, size // 2)).unfold(1, size, 1).sum(-1)
    return x / (k + float(np.float32(alpha)) / size * squares) ** float(np.float32(beta))


def run(model, feed, rule, integers):
    """Every float tensor of the graph; `integers` gives the values of what computes shapes."""
    opset = model.opset_import[0].version
    env = {"": None}
    for t in model.graph.initializer:
        v = numpy_helper.to_array(t)
        env[t.name] = torch.from_numpy(v.astype(np.float64) if t.data_type in FLOATS else v.copy())
    name = next(i.name for i in model.graph.input if i.name not in env)
    leaf = torch.from_numpy(np.array(feed, np.float64)).requires_grad_()
    env[name] = leaf

    def pointwise(x, y, slope):
        return Gate.apply(x, y.detach(), slope.detach().to(torch.float64), rule)

    def leaky(x, slope):
        slope = float(np.float32(slope))
        return pointwise(x, F.leaky_relu(x, slope), torch.where(x > 0, 1.0, slope))

    for node in model.graph.node:
        a = attributes(node)
        op, x = node.op_type, [env[i] for i in node.input]
        if op in ("Constant", "Shape", "Gather", "Slice") or node.output[0] in integers:
            v = integers[node.output[0]]
            y = torch.from_numpy(np.array(v, np.float64 if v.dtype.kind == "f" else np.int64))
        elif op == "Conv":
            strides, dilations, pads = window_geometry(a, x[1].shape[2:], x[0].shape[2:])
            y = F.conv2d(same_pads(x[0], pads), *x[1:], stride=strides, dilation=dilations, groups=a.get("group", 1))
        elif op == "ConvTranspose":
            (strides, dilations, pads), out = transpose_geometry(a, x[1].shape[2:], x[0].shape[2:])
            whole = F.conv_transpose2d(x[0], x[1], stride=strides, dilation=dilations, groups=a.get("group", 1))
            more = [max(pads[i] + out[i] - whole.shape[2 + i], 0) for i in range(2)]
            y = F.pad(whole, (0, more[1], 0, more[0]))[:, :, pads[0]:pads[0] + out[0], pads[1]:pads[1] + out[1]]
            y = y + x[2][None, :, None, None] if len(x) > 2 else y
        elif op == "Gemm":
            y = a.get("alpha", 1.0) * (x[0] @ (x[1].T if a.get("transB", 0) else x[1]))
            y = y + a.get("beta", 1.0) * x[2] if len(x) > 2 else y
        elif op == "MatMul":
            y = x[0] @ x[1]
        elif op == "Relu":
            y = pointwise(x[0], F.relu(x[0]), x[0] > 0)
        elif op == "LeakyRelu":
            y = leaky(x[0], a.get("alpha", 0.01))
        elif op == "PRelu":
            y = leaky(x[0], float(x[1].reshape(-1)[0]))
        elif op == "Clip":
            low, high = (a.get("min"), a.get("max")) if opset < 11 else (*x[1:], None, None)[:2]
            low, high = (float(-np.inf if low is None else low), float(np.inf if high is None else high))
            y = pointwise(x[0], x[0].clamp(low, high), (x[0] > low) & (x[0] < high))
        elif op == "MaxPool":
            y = max_pool(x[0], a)
        elif op == "AveragePool":
            y = average_pool(x[0], a)
        elif op == "GlobalAveragePool":
            y = F.adaptive_avg_pool2d(x[0], 1)
        elif op == "GlobalMaxPool":
            y = F.adaptive_max_pool2d(x[0], 1)
        elif op == "ReduceMean":
            y = x[0].mean((2, 3), keepdim=bool(a.get("keepdims", 1)))
        elif op == "LRN":
            y = lrn(x[0], a)
            y = Pass.apply(x[0], y.detach()) if rule == "deconv" else y
        elif op == "BatchNormalization":
            y = F.batch_norm(x[0], x[3], x[4], x[1], x[2], eps=float(np.float32(a.get("epsilon", 1e-5))))
        elif op in ("Softmax", "LogSoftmax"):
            f = F.softmax if op == "Softmax" else F.log_softmax
            if opset < 13:
                y = f(x[0].flatten(a.get("axis", 1)), -1).reshape(x[0].shape)
            else:
                y = f(x[0], a.get("axis", -1))
        elif op in ("Add", "Sum"):
            y = sum(x[1:], start=x[0])
        elif op == "Sub":
            y = x[0] - x[1]
        elif op == "Mul":
            y = x[0] * x[1]
        elif op == "Div":
            y = x[0] / x[1]
        elif op == "Concat":
            y = torch.cat(x, a.get("axis", 1))
        elif op == "Pad":
            pads, value = (a["pads"], a.get("value", 0.0)) if opset < 11 else (x[1].tolist(), float(x[2]) if x[2:] else 0.0)
            y = F.pad(x[0], (pads[3], pads[7], pads[2], pads[6]), value=value)
        elif op in ("Identity", "Dropout", "Cast"):
            y = x[0] * 1
        elif op in ("Flatten", "Reshape", "Squeeze", "Unsqueeze"):
            y = x[0].reshape(integers["shape of " + node.output[0]])
        else:
            raise NotImplementedError(op)
        env[node.output[0]] = y
    return leaf, env


def project(walk, model, name, unit, rule):
    """As `Walk.project`."""
    integers = {n: v for n, v in walk.values.items() if n and n not in walk.data and v is not None}
    integers.update({"shape of " + n: walk.values[n].shape for n in walk.data})
    leaf, env = run(model, walk.values[walk.input], rule, integers)
    y = env[name]
    assert np.allclose(y.detach().numpy(), walk.values[name], rtol=1e-11, atol=1e-12), name
    at = (0,) + unit[:y.ndim - 1]
    (signal,) = torch.autograd.grad(y[at], leaf)
    return (signal[0] * y[at].detach()).numpy()
