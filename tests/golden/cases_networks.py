"""Small networks of the kinds that people use, several layers deep, and random ones."""

import numpy as np

from builder import case


def fire(g, x, squeeze, expand):
    x = g.conv_relu(x, squeeze, 1)
    return g.node("Concat", g.conv_relu(x, expand, 1), g.conv_relu(x, expand, pads=[1, 1, 1, 1]), axis=1)


@case((3, 16, 14), opset=7, ir=3, inputs_too=True, occlude=(4, 3))
def squeezenet_like(g):
    x = g.max_pool(g.conv_relu(g.x, 6, strides=[1, 1]), 3, 2)
    x = fire(g, fire(g, x, 3, 4), 3, 5)
    x = g.max_pool(g.project(x), 3, 2)
    x = g.node("Dropout", g.project(fire(g, x, 4, 4)), more=["drop_mask"], ratio=0.5)
    x = g.node("GlobalAveragePool", g.project(g.conv_relu(x, 7, 1)))
    g.node("Softmax", x)


@case((3, 16, 16), opset=13, names="paths", batch="batch")
def resnet_like(g):
    def block(x, co, s):
        y = g.relu(g.batch_norm(g.conv(x, co, strides=[s, s], pads=[1, 1, 1, 1], bias=False)))
        y = g.batch_norm(g.conv(y, co, pads=[1, 1, 1, 1], bias=False))
        short = x if s == 1 else g.batch_norm(g.conv(x, co, 1, strides=[s, s], bias=False))
        return g.relu(g.node("Add", y, short))
    x = g.relu(g.batch_norm(g.conv(g.x, 4, strides=[1, 1], pads=[1, 1, 1, 1], bias=False)))
    x = g.max_pool(x, 3, 2, pads=[1, 1, 1, 1])
    x = g.project(block(x, 4, 1))
    x = g.project(block(x, 6, 2))
    x = g.node("Flatten", g.node("GlobalAveragePool", x))
    g.project(g.gemm(x, 5))


@case((3, 12, 15), opset=17)
def preactivation_resnet_like(g):
    def block(x):
        c = g.shape(x)[1]
        y = g.conv(g.relu(g.batch_norm(x)), c, pads=[1, 1, 1, 1])
        y = g.conv(g.relu(g.batch_norm(y)), c, pads=[1, 1, 1, 1])
        return g.node("Add", x, y)
    x = block(g.max_pool(g.conv(g.x, 4, pads=[1, 1, 1, 1]), 2, 2))
    x = g.max_pool(g.project(block(x)), 2, 2)
    x = g.relu(g.batch_norm(block(x)))
    g.project(x)
    g.gemm(g.node("ReduceMean", x, axes=[2, 3], keepdims=0), 4)


@case((3, 14, 13), opset=9, names="numbers")
def inception_like(g):
    def mix(x):
        a = g.conv_relu(x, 2, 1)
        b = g.conv_relu(g.conv_relu(x, 2, 1), 3, pads=[1, 1, 1, 1])
        c = g.conv_relu(g.conv_relu(x, 2, 1), 2, 5, pads=[2, 2, 2, 2])
        d = g.conv_relu(g.node("MaxPool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]), 2, 1)
        return g.node("Concat", a, b, c, d, axis=1)
    x = g.max_pool(g.conv_relu(g.x, 5, pads=[1, 1, 1, 1]), 3, 2)
    x = g.node("LRN", x, size=5, alpha=0.05, beta=0.75, bias=1.0)
    x = g.project(mix(mix(x)))
    x = mix(g.max_pool(x, 3, 2, pads=[0, 0, 1, 1]))
    g.project(x)
    x = g.node("AveragePool", x, kernel_shape=list(g.shape(x)[2:]), strides=[1, 1])
    x = g.node("Reshape", x, g.constant(np.array([1, g.shape(x)[1]], np.int64)))
    g.node("Softmax", g.gemm(g.node("Dropout", x), 6), axis=1)


@case((3, 19, 17), opset=8, occlude=(5, 4))
def alexnet_like(g):
    x = g.conv_relu(g.x, 6, 5, strides=[2, 2], pads=[2, 2, 2, 2])
    x = g.max_pool(g.node("LRN", x, size=5, alpha=0.3, beta=0.75, bias=1.0), 3, 2)
    x = g.conv_relu(x, 8, 3, pads=[1, 1, 1, 1], group=2)
    x = g.conv_relu(g.node("LRN", x, size=5, alpha=0.3, beta=0.75, bias=1.0), 6, pads=[1, 1, 1, 1])
    x = g.max_pool(g.project(g.conv_relu(x, 6, pads=[1, 1, 1, 1], group=2)), 3, 1)
    x = g.node("Reshape", g.project(x), g.constant(np.array([1, -1], np.int64)))
    x = g.node("Dropout", g.relu(g.gemm(x, 10)), more=["m"], ratio=0.5)
    g.node("Softmax", g.project(g.gemm(x, 6)))


@case((3, 29, 29), opset=14, batch="N")
def zfnet_like(g):
    x = g.node("MaxPool", g.conv_relu(g.x, 5, 7, strides=[2, 2], pads=[1, 1, 1, 1]), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    x = g.conv_relu(g.node("LRN", x, size=5, alpha=0.2), 6, 3, strides=[1, 1], pads=[1, 1, 1, 1])
    x = g.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    x = g.node("LRN", x, size=5, alpha=0.2)
    x = g.conv_relu(g.conv_relu(x, 7, pads=[1, 1, 1, 1]), 6, pads=[1, 1, 1, 1])
    x = g.node("MaxPool", g.project(x), kernel_shape=[2, 2], strides=[1, 1])
    x = g.relu(g.gemm(g.node("Flatten", g.project(x)), 8))
    g.node("Softmax", g.gemm(x, 5), axis=-1)


@case((3, 12, 14), opset=12)
def mobilenet_like(g):
    low, high = g.constant(np.float32(0), "zero"), g.constant(np.float32(6), "six")
    six = lambda x: g.node("Clip", x, low, high)
    def block(x, co, s):
        c = g.shape(x)[1]
        y = six(g.batch_norm(g.conv(x, 2 * c, 1, bias=False)))
        y = six(g.batch_norm(g.conv(y, 2 * c, group=2 * c, strides=[s, s], pads=[1, 1, 1, 1], bias=False, gain=1.0)))
        y = g.batch_norm(g.conv(y, co, 1, bias=False))
        return g.node("Add", x, y) if c == co and s == 1 else y
    x = six(g.batch_norm(g.conv(g.x, 4, strides=[2, 2], pads=[0, 0, 1, 1], bias=False)))
    x = block(block(x, 4, 1), 5, 2)
    x = g.project(six(g.conv(block(x, 5, 1), 8, 1)))
    g.project(g.gemm(g.node("Flatten", g.node("GlobalAveragePool", x)), 4))


@case((2, 14, 12), opset=21)
def densenet_like(g):
    x = g.max_pool(g.conv_relu(g.x, 4, pads=[1, 1, 1, 1]), 2, 1)
    for _ in range(3):
        y = g.conv(g.relu(g.batch_norm(x)), 3, pads=[1, 1, 1, 1], bias=False)
        x = g.node("Concat", x, y, axis=1)
    x = g.conv(g.relu(g.batch_norm(g.project(x))), 5, 1)
    x = g.max_pool(g.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]), 2, 2)
    g.project(g.relu(g.batch_norm(x)))


@case((1, 16, 13), opset=10, old=3)
def lenet_like_old(g):
    """As files of opset 3 wrote it: consumed_inputs, is_test, broadcast, Reshape's shape as attribute, Concat without axis."""
    x = g.max_pool(g.relu(g.batch_norm(g.conv(g.x, 3), epsilon=1e-5)))
    x = g.node("Add", g.conv(x, 4, 2), g.constant(g.numbers(4, 1, 1)))
    x = g.node("Concat", g.relu(x), g.node("Clip", x, min=-0.25, max=0.75), axis=1)
    x = g.node("Dropout", g.max_pool(g.project(x)), ratio=0.3)
    x = g.node("Reshape", x, g.constant(np.array([1, int(np.prod(g.shape(x)))], np.int64)))
    g.node("Softmax", g.project(g.gemm(g.relu(g.gemm(x, 7)), 4)), axis=1)


@case((1, 15, 12), opset=7, old=6)
def arithmetic_old(g):
    """Opset 6: broadcasting asked for by attributes."""
    x = g.node("Mul", g.x, g.constant(np.array([0.5], np.float32)))
    x = g.node("Mul", g.conv(x, 4, bias=False), g.constant(g.numbers(4, 1, 1)))
    x = g.relu(g.node("Add", x, g.constant(g.numbers(4, 1, 1))))
    x = g.node("Reshape", g.max_pool(x), g.constant(np.array([0, -1], np.int64)))
    g.project(g.gemm(x, 5))


@case((2, 12, 12), opset=13)
def encoder_decoder_like(g):
    a = g.conv_relu(g.x, 3, pads=[1, 1, 1, 1])
    b = g.conv_relu(g.max_pool(a), 5, pads=[1, 1, 1, 1])
    c = g.conv_relu(g.max_pool(b), 6, pads=[1, 1, 1, 1])
    up = lambda x, co: g.node("ConvTranspose", x, g.weight(g.shape(x)[1], co, 2, 2, scale=0.5), g.weight(co, scale=0.2), kernel_shape=[2, 2], strides=[2, 2])
    d = g.project(g.conv_relu(g.node("Concat", b, up(c, 4), axis=1), 4, pads=[1, 1, 1, 1]))
    e = g.conv_relu(g.node("Concat", a, up(d, 3), axis=1), 3)
    g.node("Softmax", g.project(g.conv(e, 3, 1)), axis=1)


def random_network(g):
    """Ten steps, each a layer over one or two of the tensors that are there."""
    live = [g.conv_relu(g.x, 4, pads=[1, 1, 1, 1])]
    pick = lambda: live[int(g.rng.integers(max(0, len(live) - 3), len(live)))]
    pools = 0
    for step in range(12):
        x = pick()
        c, h, w = g.shape(x)[1:]
        kind = g.rng.choice(["conv", "pool", "norm", "lrn", "concat", "add", "average", "leaky", "group", "pool"])
        if kind == "pool" and min(h, w) > 4 and pools < 2:
            k = int(g.rng.integers(2, 4))
            x, pools = g.max_pool(x, k, 2, pads=[k - 2] * 4), pools + 1
        elif kind == "norm":
            x = g.relu(g.batch_norm(x))
        elif kind == "lrn":
            x = g.node("LRN", x, size=3, alpha=0.3)
        elif kind == "concat":
            mates = [y for y in live if g.shape(y)[2:] == (h, w)]
            x = g.conv_relu(g.node("Concat", x, mates[int(g.rng.integers(len(mates)))], axis=1), 4, 1)
        elif kind == "add":
            mates = [y for y in live if g.shape(y) == (1, c, h, w)]
            x = g.relu(g.node("Add", g.conv(x, c, pads=[1, 1, 1, 1]), mates[int(g.rng.integers(len(mates)))]))
        elif kind == "average":
            x = g.node("AveragePool", x, kernel_shape=[2, 3], strides=[1, 1], pads=[0, 1, 1, 1])
        elif kind == "leaky":
            x = g.node("LeakyRelu", g.conv(x, c, 1), alpha=0.2)
        elif kind == "group" and c % 2 == 0:
            x = g.conv_relu(x, c, group=2, pads=[1, 1, 1, 1])
        else:
            k = int(g.rng.integers(1, 4))
            x = g.conv_relu(x, int(g.rng.integers(3, 7)), k, pads=[k // 2] * 4)
        live.append(x)
    used = {i for n in g.nodes for i in n.input}
    ends = [x for x in dict.fromkeys(live) if x not in used]
    g.project(live[-1])
    x = g.node("Concat", *[g.node("GlobalMaxPool" if i % 2 else "GlobalAveragePool", e) for i, e in enumerate(ends)], axis=1)
    g.project(g.gemm(g.node("Flatten", x), 5))


@case((3, 13, 16), opset=13)
def random_a(g):
    random_network(g)


@case((2, 16, 11), opset=11, names="numbers")
def random_b(g):
    random_network(g)


@case((1, 14, 14), opset=18, names="paths")
def random_c(g):
    random_network(g)


@case((4, 12, 15), opset=15, batch="N")
def random_d(g):
    random_network(g)
