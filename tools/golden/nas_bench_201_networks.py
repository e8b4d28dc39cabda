"""The networks of NAS-Bench-201 in PyTorch (facts section 6). Modules are named as in crates/nets."""

import torch
from torch import nn
from torch.nn import functional as F

from networks import BatchNorm, Conv, Identity, Linear, Pool, Variant, Zero, relu

OPS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
EDGES = [(node, source) for node in (1, 2, 3) for source in range(node)]

# By edge the operation's index.
GENOTYPES = {
    "nas-bench-201-cell-1": [3, 3, 3, 1, 2, 3],
    "nas-bench-201-cell-2": [3, 3, 3, 1, 0, 2],
    "every-operation": [4, 3, 2, 0, 1, 4],
}


class ReluConvNorm(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, affine):
        super().__init__()
        self.conv = Conv(inputs, outputs, kernel, stride, kernel // 2)
        self.norm = BatchNorm(outputs, affine)

    def forward(self, x):
        return self.norm(self.conv(relu(x)))


def operation(index, channels, affine):
    """One of the five operations."""
    name = OPS[index]
    if name == "none":
        return Variant("Zero", Zero(1))
    if name == "skip_connect":
        return Variant("Identity", Identity())
    if name == "avg_pool_3x3":
        return Variant("Pool", Pool(False, 1))
    return Variant("NorConv", ReluConvNorm(channels, channels, int(name[-1]), 1, affine))


def last_node(x, edge):
    """The last of four nodes, each the sum of its edges; `edge(index, x)` gives an edge's value."""
    states = [x]
    for node in (1, 2, 3):
        states.append(sum(edge(EDGES.index((node, source)), state) for source, state in enumerate(states)))
    return states[-1]


class MixedOp(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.ops = nn.ModuleList(operation(index, channels, False) for index in range(len(OPS)))


class SearchCell(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.edges = nn.ModuleList(MixedOp(channels) for _ in EDGES)

    def forward(self, x, mixing):
        mixed = lambda index, x: sum(weight * op(x) for weight, op in zip(mixing[index], self.edges[index].ops))
        return last_node(x, mixed)


class EvalCell(nn.Module):
    def __init__(self, channels, genotype, affine):
        super().__init__()
        self.ops = nn.ModuleList(operation(index, channels, affine) for index in genotype)

    def forward(self, x):
        return last_node(x, lambda index, x: self.ops[index](x))


class ResidualBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.first = ReluConvNorm(inputs, outputs, 3, 2, True)
        self.second = ReluConvNorm(outputs, outputs, 3, 1, True)
        self.shortcut = Conv(inputs, outputs, 1)

    def forward(self, x):
        halved = F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)
        return self.second(self.first(x)) + self.shortcut(halved)


class Stage(nn.Module):
    def __init__(self, cells, reduction):
        super().__init__()
        self.nas_bench_201 = nn.ModuleList(cells)
        self.reduction = reduction


class Network(nn.Module):
    """Three stages of `count` cells that `build(channels)` makes. Gives every stage's output and the logits."""

    def __init__(self, channels, count, classes, build):
        super().__init__()
        stages = []
        for stage in range(3):
            reduction = ResidualBlock(channels, 2 * channels) if stage < 2 else None
            stages.append(Stage([build(channels) for _ in range(count)], reduction))
            channels *= 2 if stage < 2 else 1
        self.stages = nn.ModuleList(stages)
        self.classifier = Linear(channels, classes)

    def forward(self, stem, *mixing):
        _, x = stem
        outputs = []
        for stage in self.stages:
            for cell in stage.nas_bench_201:
                x = cell(x, *mixing)
            x = stage.reduction(x) if stage.reduction is not None else x
            outputs.append(x)
        return outputs, self.classifier.pooled(x)


class Supernet(Network):
    def __init__(self, channels, count, classes):
        super().__init__(channels, count, classes, SearchCell)

    def forward(self, stem, arch):
        return super().forward(stem, arch.mixing())


class EvalNet(Network):
    def __init__(self, channels, count, classes, genotype, affine):
        super().__init__(channels, count, classes, lambda channels: EvalCell(channels, genotype, affine))


class CellWeights(nn.Module):
    def __init__(self):
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(len(EDGES), len(OPS)))


class ArchWeights(nn.Module):
    def __init__(self):
        super().__init__()
        self.nas_bench_201 = CellWeights()

    def mixing(self):
        return F.softmax(self.nas_bench_201.alpha, dim=1)

    def penalised_l1(self):
        """The mean of |alpha| of `none` over the edges, raw."""
        return self.nas_bench_201.alpha[:, 0].abs().mean()
