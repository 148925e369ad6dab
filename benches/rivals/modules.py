"""A network of `architectures.py` as a PyTorch module; every layer is a submodule under its own name, so that hooks find it."""

import torch
from torch import nn

from architectures import INPUT, network


class Concat(nn.Module):
    def forward(self, *xs):
        return torch.cat(xs, 1)


class Add(nn.Module):
    def forward(self, x, y):
        return x + y


def layer(net, op):
    s = op.settings
    own = {key: torch.from_numpy(net.weights[f"{op.name}.{key}"]) for key in ("weight", "bias", "mean", "var")
           if f"{op.name}.{key}" in net.weights}
    if op.kind == "conv":
        o, c, k, _ = own["weight"].shape
        made = nn.Conv2d(c * s["groups"], o, k, s["stride"], s["pad"], groups=s["groups"], bias="bias" in own)
    elif op.kind == "linear":
        made = nn.Linear(own["weight"].shape[1], own["weight"].shape[0])
    elif op.kind == "batchnorm":
        made = nn.BatchNorm2d(len(own["weight"]))
        own["running_mean"], own["running_var"] = own.pop("mean"), own.pop("var")
    elif op.kind == "maxpool":
        made = nn.MaxPool2d(s["kernel"], s["stride"], s["pad"], ceil_mode=s["ceil"])
    elif op.kind == "lrn":
        made = nn.LocalResponseNorm(s["size"], s["alpha"], s["beta"], s["k"])
    else:
        made = {"relu": nn.ReLU, "concat": Concat, "add": Add, "flatten": nn.Flatten,
                "globalpool": lambda: nn.AdaptiveAvgPool2d(1)}[op.kind]()
    made.load_state_dict(own, strict=False)
    return made


class Graph(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.steps = [(op.name, op.inputs) for op in net.ops]
        self.layers = nn.ModuleDict({op.name: layer(net, op) for op in net.ops})
        last = {}
        for i, (_, inputs) in enumerate(self.steps):
            last.update(dict.fromkeys(inputs, i))
        self.dead = [[x for x in inputs if last[x] == i] for i, (_, inputs) in enumerate(self.steps)]

    def forward(self, x):
        values = {INPUT: x}
        for (name, inputs), dead in zip(self.steps, self.dead):
            y = self.layers[name](*[values[x] for x in inputs])
            for x in dead:
                del values[x]
            values[name] = y
        return y


def as_module(name):
    return Graph(network(name)).eval()
