"""The networks of CDARTS in PyTorch (facts 1.1, 3.1 to 3.5). Modules are named as in crates/nets, so that a parameter has
the same name in both."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from values import Margin

OPS = [
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "none",
]
WEIGHT_FREE = [0, 1, 2]
NODES = 4
EDGES = 14


def relu(x):
    Margin.count(x.detach().abs())
    return F.relu(x)


def max_pool(x, stride):
    with torch.no_grad():
        padded = F.pad(x, (1, 1, 1, 1), value=float("-inf"))
        windows = padded.unfold(2, 3, stride).unfold(3, 3, stride).flatten(4)
        largest = windows.topk(2, dim=4).values
        # A window of zeros behind a ReLU has no gradient to lead anywhere.
        Margin.count((largest[..., 0] - largest[..., 1])[largest[..., 0] != 0])
    return F.max_pool2d(x, 3, stride, 1)


class Conv(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride=1, padding=0, dilation=1, groups=1):
        super().__init__()
        kernel = kernel if isinstance(kernel, (list, tuple)) else [kernel, kernel]
        self.weight = nn.Parameter(torch.empty(outputs, inputs // groups, *kernel))
        self.options = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)

    def forward(self, x):
        return F.conv2d(x, self.weight, **self.options)


class Linear(nn.Module):
    """The weight lies the other way round than PyTorch's: [in, out]."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x):
        return x @ self.weight + self.bias

    def pooled(self, x):
        return self(x.mean((2, 3)))


class Affine(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))


class BatchNorm(nn.Module):
    def __init__(self, channels, affine):
        super().__init__()
        if affine:
            self.affine = Affine(channels)
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_variance", torch.ones(channels))

    def forward(self, x):
        affine = getattr(self, "affine", None)
        gain, bias = (affine.gamma, affine.beta) if affine else (None, None)
        return F.batch_norm(
            x, self.running_mean, self.running_variance, gain, bias, self.training, momentum=0.1, eps=1e-5
        )


class Pool(nn.Module):
    def __init__(self, maximum, stride):
        super().__init__()
        self.maximum, self.stride = maximum, stride

    def forward(self, x):
        if self.maximum:
            return max_pool(x, self.stride)
        return F.avg_pool2d(x, 3, self.stride, 1, count_include_pad=False)


class Identity(nn.Module):
    def forward(self, x):
        return x


class Zero(nn.Module):
    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return x[:, :, :: self.stride, :: self.stride] * 0.0


class FactorizedReduce(nn.Module):
    """The published one takes even sides only; an odd side gets a row or column of zeros behind the shift."""

    def __init__(self, inputs, outputs, affine):
        super().__init__()
        self.even = Conv(inputs, outputs // 2, 1, stride=2)
        self.odd = Conv(inputs, outputs - outputs // 2, 1, stride=2)
        self.norm = BatchNorm(outputs, affine)

    def forward(self, x):
        x = relu(x)
        height, width = x.shape[2:]
        shifted = F.pad(x, (0, width % 2, 0, height % 2))[:, :, 1:, 1:]
        return self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))


class ReluConvNorm(nn.Module):
    def __init__(self, inputs, outputs, affine):
        super().__init__()
        self.conv = Conv(inputs, outputs, 1)
        self.norm = BatchNorm(outputs, affine)

    def forward(self, x):
        return self.norm(self.conv(relu(x)))


class SeparableBlock(nn.Module):
    def __init__(self, channels, kernel, stride, dilation, affine):
        super().__init__()
        padding = dilation * (kernel // 2)
        self.depthwise = Conv(channels, channels, kernel, stride, padding, dilation, groups=channels)
        self.pointwise = Conv(channels, channels, 1)
        self.norm = BatchNorm(channels, affine)

    def forward(self, x):
        return self.norm(self.pointwise(self.depthwise(relu(x))))


class SepConv(nn.Module):
    def __init__(self, channels, kernel, stride, affine):
        super().__init__()
        self.first = SeparableBlock(channels, kernel, stride, 1, affine)
        self.second = SeparableBlock(channels, kernel, 1, 1, affine)

    def forward(self, x):
        return self.second(self.first(x))


class DilConv(nn.Module):
    def __init__(self, channels, kernel, stride, affine):
        super().__init__()
        self.block = SeparableBlock(channels, kernel, stride, 2, affine)

    def forward(self, x):
        return self.block(x)


class Variant(nn.Module):
    """A module under the name of its kind."""

    def __init__(self, name, module):
        super().__init__()
        self.name = name
        self.add_module(name, module)

    def forward(self, *inputs):
        return getattr(self, self.name)(*inputs)


def operation(index, channels, stride, affine):
    """One of the eight operations."""
    name = OPS[index]
    if name.endswith("pool_3x3"):
        return Variant("Pool", Pool(name.startswith("max"), stride))
    if name == "skip_connect":
        if stride == 1:
            return Variant("Identity", Identity())
        return Variant("FactorizedReduce", FactorizedReduce(channels, channels, affine))
    if name == "none":
        return Variant("Zero", Zero(stride))
    kind = SepConv if name.startswith("sep") else DilConv
    return Variant(kind.__name__, kind(channels, int(name[-1]), stride, affine))


@dataclass
class CellPlan:
    """What a cell is built from: its channels, those of its inputs, whether it reduces and whether the one before did."""

    channels: int
    two_back: int
    one_back: int
    reduces: bool
    previous_reduces: bool

    def stride(self, source):
        return 2 if self.reduces and source < 2 else 1


def stage_plans(stem_channels, channels, cells, previous_reduces=False):
    """The cells of every stage; all stages but the last reduce in their last cell (facts 3.4)."""
    two_back = one_back = stem_channels
    stages = []
    for stage, count in enumerate(cells):
        plans = []
        for cell in range(count):
            reduces = stage + 1 < len(cells) and cell + 1 == count
            channels *= 2 if reduces else 1
            plans.append(CellPlan(channels, two_back, one_back, reduces, previous_reduces))
            two_back, one_back, previous_reduces = one_back, 4 * channels, reduces
        stages.append(plans)
    return stages


class Preprocess(nn.Module):
    def __init__(self, plan, affine):
        super().__init__()
        if plan.previous_reduces:
            self.two_back = Variant("Halved", FactorizedReduce(plan.two_back, plan.channels, affine))
        else:
            self.two_back = Variant("Same", ReluConvNorm(plan.two_back, plan.channels, affine))
        self.one_back = ReluConvNorm(plan.one_back, plan.channels, affine)

    def forward(self, two_back, one_back):
        return [self.two_back(two_back), self.one_back(one_back)]


class MixedOp(nn.Module):
    def __init__(self, channels, stride):
        super().__init__()
        self.ops = nn.ModuleList(operation(index, channels, stride, False) for index in range(len(OPS)))

    def forward(self, x, weights):
        return sum(weight * op(x) for weight, op in zip(weights, self.ops))


class SearchCell(nn.Module):
    def __init__(self, plan):
        super().__init__()
        self.preprocess = Preprocess(plan, False)
        edges = [source for node in range(NODES) for source in range(node + 2)]
        self.edges = nn.ModuleList(MixedOp(plan.channels, plan.stride(source)) for source in edges)

    def forward(self, two_back, one_back, mixing):
        states = self.preprocess(two_back, one_back)
        edge = 0
        for _ in range(NODES):
            terms = []
            for state in states:
                terms.append(self.edges[edge](state, mixing[edge]))
                edge += 1
            states.append(sum(terms))
        return torch.cat(states[2:], dim=1)


class EvalNode(nn.Module):
    def __init__(self, edges, plan, affine):
        super().__init__()
        self.ops = nn.ModuleList(operation(op, plan.channels, plan.stride(source), affine) for op, source in edges)
        self.sources = [source for _, source in edges]

    def forward(self, states):
        return sum(op(states[source]) for op, source in zip(self.ops, self.sources))


class EvalCell(nn.Module):
    """`genotype`: for each of four nodes its edges, (operation's index, source)."""

    def __init__(self, plan, genotype, affine):
        super().__init__()
        self.preprocess = Preprocess(plan, affine)
        self.nodes = nn.ModuleList(EvalNode(edges, plan, affine) for edges in genotype)

    def forward(self, two_back, one_back):
        states = self.preprocess(two_back, one_back)
        for node in self.nodes:
            states.append(node(states))
        return torch.cat(states[2:], dim=1)


class Stage(nn.Module):
    def __init__(self, cells):
        super().__init__()
        self.cells = nn.ModuleList(cells)


class CellWeights(nn.Module):
    def __init__(self, edge_weights):
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(EDGES, len(OPS)))
        if edge_weights:
            self.beta = nn.Parameter(torch.empty(EDGES))

    def mixing(self):
        """The weight of every operation on every edge."""
        weights, first = [], 0
        for node in range(NODES):
            count = node + 2
            rows = F.softmax(self.alpha[first : first + count], dim=1)
            if hasattr(self, "beta"):
                weights.append(rows * F.softmax(self.beta[first : first + count], dim=0)[:, None])
            else:
                weights.append(rows / count)
            first += count
        return torch.cat(weights)


class ArchWeights(nn.Module):
    def __init__(self, edge_weights=False):
        super().__init__()
        self.normal = CellWeights(edge_weights)
        self.reduce = CellWeights(edge_weights)

    def penalised_l1(self):
        sizes = [cell.alpha[:, WEIGHT_FREE].abs() for cell in (self.normal, self.reduce)]
        Margin.count(torch.cat(sizes).detach())
        return sum(size.sum() for size in sizes)


class Supernet(nn.Module):
    def __init__(self, stages, classes):
        super().__init__()
        self.stages = nn.ModuleList(Stage(SearchCell(plan) for plan in plans) for plans in stages)
        self.reduces = [[plan.reduces for plan in plans] for plans in stages]
        self.classifier = Linear(4 * stages[-1][-1].channels, classes)

    def forward(self, states, arch):
        """The last state of every stage, and the logits."""
        normal, reduce = arch.normal.mixing(), arch.reduce.mixing()
        two_back, one_back = states
        ends = []
        for stage, reduces in zip(self.stages, self.reduces):
            for cell, reducing in zip(stage.cells, reduces):
                two_back, one_back = one_back, cell(two_back, one_back, reduce if reducing else normal)
            ends.append(one_back)
        return ends, self.classifier.pooled(one_back)


class EvalNet(nn.Module):
    """`genotype`: the normal cell's and the reduction cell's."""

    def __init__(self, stages, genotype, classes, affine):
        super().__init__()
        self.stages = nn.ModuleList(
            Stage(EvalCell(plan, genotype[1 if plan.reduces else 0], affine) for plan in plans) for plans in stages
        )
        self.classifier = Linear(4 * stages[-1][-1].channels, classes)

    def forward(self, states):
        """The last state of every stage, and the logits."""
        two_back, one_back = states
        ends = []
        for stage in self.stages:
            for cell in stage.cells:
                two_back, one_back = one_back, cell(two_back, one_back)
            ends.append(one_back)
        return ends, self.classifier.pooled(one_back)


class ConvNorm(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride):
        super().__init__()
        self.conv = Conv(inputs, outputs, kernel, stride, kernel // 2)
        self.norm = BatchNorm(outputs, True)

    def forward(self, x):
        return self.norm(self.conv(x))


class CifarStem(ConvNorm):
    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, 3, 1)

    def forward(self, x):
        state = super().forward(x)
        return state, state


class ImagenetStem(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.half = ConvNorm(inputs, outputs // 2, 3, 2)
        self.quarter = ConvNorm(outputs // 2, outputs, 3, 2)
        self.eighth = ConvNorm(outputs, outputs, 3, 2)

    def forward(self, x):
        # `self.half` would be PyTorch's conversion to 16 bits.
        half = self._modules["half"]
        quarter = self.quarter(relu(half(x)))
        return quarter, self.eighth(relu(quarter))


class ResNetStem(ConvNorm):
    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, 7, 2)

    def forward(self, x):
        state = max_pool(relu(super().forward(x)), 2)
        return state, state


def stem(kind, inputs, outputs):
    """A stem: "Cifar", "Imagenet" or "ResNet"."""
    kinds = {"Cifar": CifarStem, "Imagenet": ImagenetStem, "ResNet": ResNetStem}
    return Variant(kind, kinds[kind](inputs, outputs))


class Head(nn.Module):
    """ReLU, average pooling, 1x1 convolution, norm, ReLU, convolution, norm, ReLU, global average, linear."""

    def __init__(self, inputs, classes, pool, stride, kernel=2, hidden=128, features=768, affine=False, norm=True):
        super().__init__()
        self.pool = dict(kernel_size=pool, stride=stride)
        self.squeeze = Conv(inputs, hidden, 1)
        self.squeeze_norm = BatchNorm(hidden, affine)
        self.spread = Conv(hidden, features, kernel)
        if norm:
            self.spread_norm = BatchNorm(features, affine)
        self.classifier = Linear(features, classes)

    def forward(self, x):
        x = self.squeeze(F.avg_pool2d(relu(x), **self.pool))
        x = self.spread(relu(self.squeeze_norm(x)))
        if hasattr(self, "spread_norm"):
            x = self.spread_norm(x)
        return self.classifier.pooled(relu(x))


def genotype(text):
    """A cell's edges from the facts' notation, such as "s3@0,s3@1 / sk@0,m3@2 / ..."."""
    short = {"m3": 0, "a3": 1, "sk": 2, "s3": 3, "s5": 4, "d3": 5, "d5": 6}
    nodes = [[edge.strip().split("@") for edge in node.split(",")] for node in text.split("/")]
    return [[(short[op], int(source)) for op, source in node] for node in nodes]


# Facts section 4: normal and reduction cell.
GENOTYPES = {
    "cdarts-cifar": (
        genotype("s3@0,s3@1 / s3@1,s3@2 / s3@0,s3@1 / sk@0,sk@2"),
        genotype("s5@1,m3@0 / d5@2,sk@0 / s3@0,s5@1 / s3@0,d5@2"),
    ),
    "cdarts-imagenet": (
        genotype("s3@1,s3@0 / s3@0,s5@2 / s5@2,s3@1 / s3@1,s5@4"),
        genotype("s5@1,a3@0 / m3@1,d5@2 / s5@1,d5@2 / s3@3,d3@4"),
    ),
}
