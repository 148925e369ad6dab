"""The networks that are timed, as lists of operations with random weights; no framework is needed to write them down.

    network("zfnet")  ->  Network(name, ops, weights)       ops in the order in which they run, the last one gives the scores

An operation is Op(kind, name, inputs, settings): its output carries its name, the picture is called "input". Weights are drawn as
He et al. 2015 do (normal, variance 2 / fan-in), so that values keep their size through the layers and no denormals appear.
"""

from dataclasses import dataclass, field

import numpy as np

INPUT = "input"


@dataclass
class Op:
    kind: str
    name: str
    inputs: list
    settings: dict = field(default_factory=dict)


class Network:
    """Operations are added by the methods below; each returns the name of its output."""

    def __init__(self, name):
        self.name, self.ops, self.weights = name, [], {}
        self.channels = {INPUT: 3}
        self.rng = np.random.default_rng(sum(ord(c) for c in name))

    def add(self, kind, inputs, channels, name=None, **settings):
        inputs = [inputs] if isinstance(inputs, str) else inputs
        name = name or f"{kind}_{sum(op.kind == kind for op in self.ops) + 1}"
        self.ops.append(Op(kind, name, inputs, settings))
        self.channels[name] = channels
        return name

    def draw(self, name, shape, fan_in):
        scale = np.float32(np.sqrt(2 / fan_in))
        self.weights[name + ".weight"] = self.rng.standard_normal(shape, np.float32) * scale
        self.weights[name + ".bias"] = self.rng.standard_normal(shape[0], np.float32) * np.float32(0.05)

    def conv(self, x, out, kernel, stride=1, pad=0, groups=1, relu=True, norm=False, gamma=1.0):
        c = self.channels[x]
        y = self.add("conv", x, out, kernel=kernel, stride=stride, pad=pad, groups=groups)
        shape = (out, c // groups, kernel, kernel)
        self.draw(y, shape, c // groups * kernel * kernel)
        if norm:
            del self.weights[y + ".bias"]
            z = self.add("batchnorm", y, out)
            for key, value in (("weight", gamma), ("bias", 0.0), ("mean", 0.0), ("var", 1.0)):
                noise = self.rng.uniform(-0.1, 0.1, out).astype(np.float32)
                self.weights[f"{z}.{key}"] = np.float32(value) + noise * np.float32(gamma)
            y = z
        return self.relu(y) if relu else y

    def relu(self, x):
        return self.add("relu", x, self.channels[x])

    def maxpool(self, x, kernel, stride, pad=0, ceil=False):
        return self.add("maxpool", x, self.channels[x], kernel=kernel, stride=stride, pad=pad, ceil=ceil)

    def globalpool(self, x):
        return self.add("globalpool", x, self.channels[x])

    def lrn(self, x, size=5, alpha=1e-4, beta=0.75, k=1.0):
        return self.add("lrn", x, self.channels[x], size=size, alpha=alpha, beta=beta, k=k)

    def concat(self, xs):
        return self.add("concat", xs, sum(self.channels[x] for x in xs))

    def plus(self, x, y):
        return self.add("add", [x, y], self.channels[x])

    def flatten(self, x, side):
        return self.add("flatten", x, self.channels[x] * side * side)

    def linear(self, x, out, relu=True):
        y = self.add("linear", x, out)
        self.draw(y, (out, self.channels[x]), self.channels[x])
        return self.relu(y) if relu else y


def alexnet(n):
    """torchvision's, after Krizhevsky 2014 ("One weird trick")."""
    x = n.maxpool(n.conv(INPUT, 64, 11, 4, 2), 3, 2)
    x = n.maxpool(n.conv(x, 192, 5, 1, 2), 3, 2)
    x = n.conv(n.conv(n.conv(x, 384, 3, 1, 1), 256, 3, 1, 1), 256, 3, 1, 1)
    x = n.flatten(n.maxpool(x, 3, 2), 6)
    n.linear(n.linear(n.linear(x, 4096), 4096), 1000, relu=False)


def zfnet(n):
    """Zeiler & Fergus 2013, figure 3: 110, 55, 26, 13, 13, 13, 13, 6 cells a side."""
    x = n.lrn(n.maxpool(n.conv(INPUT, 96, 7, 2, 1), 3, 2, ceil=True))
    x = n.lrn(n.maxpool(n.conv(x, 256, 5, 2), 3, 2, ceil=True))
    x = n.conv(n.conv(n.conv(x, 384, 3, 1, 1), 384, 3, 1, 1), 256, 3, 1, 1)
    x = n.flatten(n.maxpool(x, 3, 2), 6)
    n.linear(n.linear(n.linear(x, 4096), 4096), 1000, relu=False)


def vgg16(n):
    """Simonyan & Zisserman 2014, configuration D."""
    x = INPUT
    for out, times in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(times):
            x = n.conv(x, out, 3, 1, 1)
        x = n.maxpool(x, 2, 2)
    x = n.flatten(x, 7)
    n.linear(n.linear(n.linear(x, 4096), 4096), 1000, relu=False)


def squeezenet11(n):
    """Iandola et al. 2016, the authors' release 1.1."""
    x = n.maxpool(n.conv(INPUT, 64, 3, 2), 3, 2, ceil=True)
    for fire, (squeeze, expand) in enumerate([(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]):
        if fire in (2, 4):
            x = n.maxpool(x, 3, 2, ceil=True)
        x = n.conv(x, squeeze, 1)
        x = n.concat([n.conv(x, expand, 1), n.conv(x, expand, 3, 1, 1)])
    n.flatten(n.globalpool(n.conv(x, 1000, 1)), 1)


def googlenet(n):
    """Szegedy et al. 2014, the nine inception modules without the auxiliary classifiers, LRN as in the paper."""
    x = n.lrn(n.maxpool(n.conv(INPUT, 64, 7, 2, 3), 3, 2, ceil=True))
    x = n.maxpool(n.lrn(n.conv(n.conv(x, 64, 1), 192, 3, 1, 1)), 3, 2, ceil=True)
    table = [(64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None, (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64),
             (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), None,
             (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)]
    for row in table:
        if row is None:
            x = n.maxpool(x, 3, 2, ceil=True)
            continue
        one, reduce3, three, reduce5, five, pool = row
        x = n.concat([n.conv(x, one, 1), n.conv(n.conv(x, reduce3, 1), three, 3, 1, 1),
                      n.conv(n.conv(x, reduce5, 1), five, 5, 1, 2), n.conv(n.maxpool(x, 3, 1, 1), pool, 1)])
    n.linear(n.flatten(n.globalpool(x), 1), 1000, relu=False)


def resnet(n, blocks, bottleneck):
    """He et al. 2015; the stride of a bottleneck is in its 3×3, as in torchvision."""
    x = n.maxpool(n.conv(INPUT, 64, 7, 2, 3, norm=True), 3, 2, 1)
    for stage, times in enumerate(blocks):
        width = 64 << stage
        out = width * (4 if bottleneck else 1)
        for i in range(times):
            stride = 2 if stage and not i else 1
            if bottleneck:
                y = n.conv(n.conv(x, width, 1, norm=True), width, 3, stride, 1, norm=True)
                y = n.conv(y, out, 1, relu=False, norm=True, gamma=0.5)
            else:
                y = n.conv(n.conv(x, width, 3, stride, 1, norm=True), width, 3, 1, 1, relu=False, norm=True, gamma=0.5)
            if stride != 1 or n.channels[x] != out:
                x = n.conv(x, out, 1, stride, relu=False, norm=True)
            x = n.relu(n.plus(y, x))
    n.linear(n.flatten(n.globalpool(x), 1), 1000, relu=False)


NETWORKS = {
    "squeezenet1.1": squeezenet11,
    "alexnet": alexnet,
    "zfnet": zfnet,
    "googlenet": googlenet,
    "resnet18": lambda n: resnet(n, (2, 2, 2, 2), False),
    "resnet50": lambda n: resnet(n, (3, 4, 6, 3), True),
    "vgg16": vgg16,
}


def network(name):
    n = Network(name)
    NETWORKS[name](n)
    return n
