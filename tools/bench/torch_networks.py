"""The DARTS and NAS-Bench-201 networks of CDARTS in PyTorch: the peer that `torch_peer.py` times. Written
from the papers and a description of the published code. All activations are [n, c, h, w].
"""

import torch
import torch.nn.functional as F
from torch import nn

OPS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "none",
)
NB201_OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NODES = 4
EDGES = 14

# The cell searched on CIFAR-10 that the paper shows: for every node its (operation, source) pairs.
CIFAR_NORMAL = (
    (("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),
    (("sep_conv_3x3", 1), ("sep_conv_3x3", 2)),
    (("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),
    (("skip_connect", 0), ("skip_connect", 2)),
)
CIFAR_REDUCE = (
    (("sep_conv_5x5", 1), ("max_pool_3x3", 0)),
    (("dil_conv_5x5", 2), ("skip_connect", 0)),
    (("sep_conv_3x3", 0), ("sep_conv_5x5", 1)),
    (("sep_conv_3x3", 0), ("dil_conv_5x5", 2)),
)


def conv(in_channels, out_channels, kernel, stride=1, padding=0, dilation=1, groups=1):
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, groups, bias=False)


def norm(channels, affine):
    return nn.BatchNorm2d(channels, affine=affine)


def relu_conv_norm(in_channels, out_channels, kernel, affine, stride=1):
    return nn.Sequential(
        nn.ReLU(), conv(in_channels, out_channels, kernel, stride, kernel // 2), norm(out_channels, affine)
    )


def separable(channels, kernel, stride, dilation, affine):
    """ReLU, depthwise, pointwise, norm."""
    depthwise = conv(channels, channels, kernel, stride, dilation * (kernel - 1) // 2, dilation, channels)
    return nn.Sequential(nn.ReLU(), depthwise, conv(channels, channels, 1), norm(channels, affine))


class Zero(nn.Module):
    """The operation `none` as codes of this family have it: a product with zero."""

    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return x[:, :, :: self.stride, :: self.stride] * 0.0


class FactorizedReduce(nn.Module):
    """Halves an image of even sides by two 1x1 convolutions of stride 2, one of them shifted by a pixel."""

    def __init__(self, in_channels, out_channels, affine):
        super().__init__()
        half = out_channels // 2
        self.even, self.odd = conv(in_channels, half, 1, 2), conv(in_channels, out_channels - half, 1, 2)
        self.norm = norm(out_channels, affine)

    def forward(self, x):
        x = F.relu(x)
        return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], 1))


def operation(name, channels, stride, affine):
    """One operation of the DARTS space."""
    if name == "none":
        return Zero(stride)
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, 1)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)
    kernel = int(name[-1])
    if name.startswith("dil_conv"):
        return separable(channels, kernel, stride, 2, affine)
    return nn.Sequential(
        separable(channels, kernel, stride, 1, affine), separable(channels, kernel, 1, 1, affine)
    )


class MixedOp(nn.Module):
    """Every operation of an edge, each times its weight. `none` adds nothing: where it is skipped, its weight
    still acts through the softmax.
    """

    def __init__(self, ops, skip_none):
        super().__init__()
        kept = {index: op for index, op in enumerate(ops) if not (skip_none and isinstance(op, Zero))}
        self.indices = list(kept)
        self.ops = nn.ModuleList(kept.values())

    def forward(self, x, weights):
        weights = weights.unbind()
        total = None
        for index, op in zip(self.indices, self.ops):
            term = weights[index] * op(x)
            total = term if total is None else total + term
        return total


class Preprocess(nn.Module):
    """Brings both inputs of a cell to its channels and the older one to the newer one's size."""

    def __init__(self, shape, affine):
        super().__init__()
        self.two_back = (
            FactorizedReduce(shape.two_back, shape.channels, affine)
            if shape.after_reduction
            else relu_conv_norm(shape.two_back, shape.channels, 1, affine)
        )
        self.one_back = relu_conv_norm(shape.one_back, shape.channels, 1, affine)

    def forward(self, two_back, one_back):
        return [self.two_back(two_back), self.one_back(one_back)]


class CellShape:
    """Channels of a cell and its inputs, and where reductions are."""

    def __init__(self, two_back, one_back, channels, reduces=False, after_reduction=False):
        self.two_back, self.one_back, self.channels = two_back, one_back, channels
        self.reduces, self.after_reduction = reduces, after_reduction


def cell_shapes(channels, stem_channels, counts):
    """By stage, its cells; the last cell of every stage but the last reduces and doubles the channels."""
    two_back = one_back = stem_channels
    after_reduction, stages = False, []
    for stage, count in enumerate(counts):
        cells = []
        for index in range(count):
            reduces = index == count - 1 and stage < len(counts) - 1
            channels *= 2 if reduces else 1
            cells.append(CellShape(two_back, one_back, channels, reduces, after_reduction))
            two_back, one_back, after_reduction = one_back, NODES * channels, reduces
        stages.append(cells)
    return stages


class SearchCell(nn.Module):
    """All 14 edges, all 8 operations."""

    def __init__(self, shape, skip_none):
        super().__init__()
        self.preprocess, self.reduces = Preprocess(shape, False), shape.reduces
        self.edges = nn.ModuleList(
            MixedOp(
                [
                    operation(op, shape.channels, 2 if shape.reduces and source < 2 else 1, False)
                    for op in OPS
                ],
                skip_none,
            )
            for node in range(NODES)
            for source in range(node + 2)
        )

    def forward(self, two_back, one_back, mixing):
        states = self.preprocess(two_back, one_back)
        edges = zip(self.edges, mixing.unbind())
        for _ in range(NODES):
            states.append(total([edge(state, weights) for state, (edge, weights) in zip(states, edges)]))
        return torch.cat(states[2:], 1)


def total(terms):
    """A sum that does not start by adding zero, as Python's does."""
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return result


class ArchWeights(nn.Module):
    """One logit an edge and operation for both kinds of cell."""

    def __init__(self):
        super().__init__()
        self.normal = nn.Parameter(1e-3 * torch.randn(EDGES, len(OPS)))
        self.reduce = nn.Parameter(1e-3 * torch.randn(EDGES, len(OPS)))
        means = [1.0 / (node + 2) for node in range(NODES) for _ in range(node + 2)]
        self.register_buffer("edge_means", torch.tensor(means).unsqueeze(1))

    def mixing(self, alpha):
        """Softmax over the operations; a node is the mean over its edges. [14, 8]"""
        return F.softmax(alpha, 1) * self.edge_means

    def penalty(self):
        """The sum of |logit| over both pools and the skip connection."""
        return self.normal[:, :3].abs().sum() + self.reduce[:, :3].abs().sum()


def stem(channels):
    return nn.Sequential(conv(3, channels, 3, 1, 1), norm(channels, True))


class Supernet(nn.Module):
    """The search network without its stem. Gives every stage's output and the logits."""

    def __init__(self, channels, counts=(3, 3, 2), classes=10, skip_none=False):
        super().__init__()
        stages = cell_shapes(channels, 3 * channels, counts)
        self.stages = nn.ModuleList(
            nn.ModuleList(SearchCell(s, skip_none) for s in stage) for stage in stages
        )
        self.classifier = nn.Linear(NODES * stages[-1][-1].channels, classes)

    def forward(self, x, arch):
        normal, reduce = arch.mixing(arch.normal), arch.mixing(arch.reduce)
        two_back = one_back = x
        outputs = []
        for stage in self.stages:
            for cell in stage:
                two_back, one_back = one_back, cell(two_back, one_back, reduce if cell.reduces else normal)
            outputs.append(one_back)
        return outputs, self.classifier(one_back.mean((2, 3)))


def drop_path(x, probability):
    """Drops the operation's output for single images, the survivors made up for."""
    keep = 1.0 - probability
    return x * x.new_empty(x.shape[0], 1, 1, 1).bernoulli_(keep).div_(keep)


class EvalCell(nn.Module):
    """Two operations a node, summed without weights."""

    def __init__(self, shape, affine):
        super().__init__()
        self.preprocess = Preprocess(shape, affine)
        genotype = CIFAR_REDUCE if shape.reduces else CIFAR_NORMAL
        self.sources = [[source for _, source in node] for node in genotype]
        self.nodes = nn.ModuleList(
            nn.ModuleList(
                operation(op, shape.channels, 2 if shape.reduces and source < 2 else 1, affine)
                for op, source in node
            )
            for node in genotype
        )

    def forward(self, two_back, one_back, drop):
        states = self.preprocess(two_back, one_back)
        for ops, sources in zip(self.nodes, self.sources):
            terms = []
            for op, source in zip(ops, sources):
                term = op(states[source])
                terms.append(
                    drop_path(term, drop) if drop > 0.0 and not isinstance(op, nn.Identity) else term
                )
            states.append(total(terms))
        return torch.cat(states[2:], 1)


class EvalNet(nn.Module):
    """The evaluation network without its stem. Gives every stage's output and the logits."""

    def __init__(self, channels, counts=(7, 7, 6), classes=10, affine=False):
        super().__init__()
        stages = cell_shapes(channels, 3 * channels, counts)
        self.stages = nn.ModuleList(nn.ModuleList(EvalCell(s, affine) for s in stage) for stage in stages)
        self.classifier = nn.Linear(NODES * stages[-1][-1].channels, classes)

    def forward(self, x, drop=0.0):
        two_back = one_back = x
        outputs = []
        for stage in self.stages:
            for cell in stage:
                two_back, one_back = one_back, cell(two_back, one_back, drop)
            outputs.append(one_back)
        return outputs, self.classifier(one_back.mean((2, 3)))


class Head(nn.Sequential):
    """A classifier on a stage's output of `side` pixels: for distillation, or auxiliary."""

    def __init__(self, channels, side, pool, stride, affine, classes=10):
        super().__init__(
            nn.ReLU(),
            nn.AvgPool2d(min(pool, side - stride), stride),
            conv(channels, 128, 1),
            norm(128, affine),
            nn.ReLU(),
            conv(128, 768, 2),
            norm(768, affine),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(768, classes),
        )


class ResidualReduction(nn.Module):
    """NAS-Bench-201's block between stages: a basic residual block of stride 2."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.body = nn.Sequential(
            relu_conv_norm(in_channels, out_channels, 3, True, 2),
            relu_conv_norm(out_channels, out_channels, 3, True),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), conv(in_channels, out_channels, 1))

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


class Nb201Cell(nn.Module):
    """Six edges of five operations between four states; a state is the sum of its edges."""

    def __init__(self, channels, skip_none):
        super().__init__()
        self.edges = nn.ModuleList(
            MixedOp([self.operation(op, channels) for op in NB201_OPS], skip_none) for _ in range(6)
        )

    @staticmethod
    def operation(name, channels):
        if name.startswith("nor_conv"):
            return relu_conv_norm(channels, channels, int(name[-1]), False)
        return operation(name, channels, 1, False)

    def forward(self, x, mixing):
        states, edges = [x], zip(self.edges, mixing.unbind())
        for _ in range(3):
            states.append(total([edge(state, weights) for state, (edge, weights) in zip(states, edges)]))
        return states[-1]


class Nb201Net(nn.Module):
    """NAS-Bench-201's search network: stem, 5 cells, reduction, 5 cells, reduction, 5 cells, classifier."""

    def __init__(self, channels, cells=5, classes=10, skip_none=False):
        super().__init__()
        self.alpha = nn.Parameter(1e-3 * torch.randn(6, len(NB201_OPS)))
        layers = [stem(channels)]
        for stage in range(3):
            if stage > 0:
                layers.append(ResidualReduction(channels, 2 * channels))
                channels *= 2
            layers += [Nb201Cell(channels, skip_none) for _ in range(cells)]
        self.layers = nn.ModuleList(layers)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x):
        mixing = F.softmax(self.alpha, 1)
        for layer in self.layers:
            x = layer(x, mixing) if isinstance(layer, Nb201Cell) else layer(x)
        return self.classifier(x.mean((2, 3)))
