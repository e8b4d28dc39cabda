"""The workloads in PyTorch: each prepares a step, to be run and timed again and again by `torch_peer.py`."""

import torch
import torch.nn.functional as F
import torch_networks as networks
from torch import nn


class Setting:
    """What a workload is run with."""

    def __init__(self, options):
        self.channels, self.size, self.batch = options.channels, options.size, options.batch
        self.skip_none = options.skip_none
        self.params = 0
        self.format = torch.channels_last if options.layout == "channels-last" else torch.contiguous_format

    def tensor(self, channels, size=None):
        """Random values of a batch in the layout."""
        size = self.size if size is None else size
        return torch.randn(self.batch, channels, size, size).contiguous(memory_format=self.format)

    def module(self, module):
        """A module that the workload trains, in the layout; its parameters are counted."""
        self.params += sum(p.numel() for p in module.parameters())
        return module.train().to(memory_format=self.format)

    def batch_of_images(self):
        return self.tensor(3), torch.randint(10, (self.batch,))


def gradient_step(modules, inputs, forward):
    """A step that runs `forward` and goes back from a random gradient of its output."""
    leaves = [p for module in modules for p in module.parameters()] + inputs
    upstream = []

    def step():
        for leaf in leaves:
            leaf.grad = None
        output = forward()
        if not upstream:
            upstream.append(torch.randn_like(output))
        output.backward(upstream[0])
        return output[0, 0, 0, 0].item()

    return step


def single(build):
    """The workload of one module from C channels; `build(channels)` makes it."""

    def prepare(setting):
        module = setting.module(build(setting.channels))
        x = setting.tensor(setting.channels).requires_grad_()
        return gradient_step([module], [x], lambda: module(x))

    return prepare


def operation(name):
    return single(lambda channels: networks.operation(name, channels, 1, False))


def dense(channels):
    return nn.Sequential(networks.conv(channels, channels, 3, 1, 1), networks.norm(channels, True))


def cell(setting):
    shape = networks.CellShape(3 * setting.channels, 3 * setting.channels, setting.channels)
    searched = setting.module(networks.SearchCell(shape, setting.skip_none))
    arch = setting.module(networks.ArchWeights())
    inputs = [setting.tensor(3 * setting.channels).requires_grad_() for _ in range(2)]
    return gradient_step([searched, arch], inputs, lambda: searched(*inputs, arch.mixing(arch.normal)))


def classify_step(modules, logits, setting):
    """A step of cross entropy and its gradients."""
    images, labels = setting.batch_of_images()

    def step():
        for module in modules:
            module.zero_grad()
        loss = F.cross_entropy(logits(images), labels)
        loss.backward()
        return loss.item()

    return step


def supernet(setting):
    stem = setting.module(networks.stem(3 * setting.channels))
    supernet = setting.module(networks.Supernet(setting.channels, skip_none=setting.skip_none))
    arch = setting.module(networks.ArchWeights())
    return classify_step([stem, supernet, arch], lambda images: supernet(stem(images), arch)[1], setting)


def nas_bench_201(setting):
    net = setting.module(networks.Nb201Net(setting.channels, skip_none=setting.skip_none))
    return classify_step([net], net, setting)


class SearchNets(nn.Module):
    """All that a joint step trains."""

    TEMPERATURE, PENALTY, DISTILL, CLIP = 2.0, 5.0, 1.0, 5.0

    def __init__(self, channels, size, skip_none):
        super().__init__()
        self.stem = networks.stem(3 * channels)
        self.supernet = networks.Supernet(channels, skip_none=skip_none)
        self.evalnet = networks.EvalNet(channels)
        self.heads = distillation_heads(channels, size)
        self.mixture = nn.Parameter(0.333 * torch.rand(3))
        self.arch = networks.ArchWeights()
        self.heads.requires_grad_(False)
        shared = [*self.stem.parameters(), self.mixture]
        self.supernet_params = [*shared, *self.supernet.parameters()]
        self.eval_params = [*shared, *self.evalnet.parameters()]

    def stacked(self, outputs, logits):
        """What a network says at all stages, each times its share: [3 n, classes]"""
        shares = F.softmax(self.mixture, 0)
        said = [head(output) for head, output in zip(self.heads, outputs)] + [logits]
        return torch.cat([share * logits for share, logits in zip(shares, said)])

    def joint_loss(self, images, labels):
        state = self.stem(images)
        search, evaluation = self.supernet(state, self.arch), self.evalnet(state)
        classify = F.cross_entropy(search[1], labels) + F.cross_entropy(evaluation[1], labels)
        distance = F.smooth_l1_loss(self.stacked(*search), self.stacked(*evaluation))
        distill = self.DISTILL * self.TEMPERATURE**2 * distance
        return classify / self.DISTILL + distill + self.PENALTY * self.arch.penalty()


def distillation_heads(channels, size):
    return nn.ModuleList(
        [
            networks.Head(8 * channels, size // 2, 6, 2, False),
            networks.Head(16 * channels, size // 4, 6, 2, False),
        ]
    )


def joint_step(setting):
    nets = setting.module(SearchNets(setting.channels, setting.size, setting.skip_none))
    sgd = {"lr": 0.08, "momentum": 0.9, "weight_decay": 3e-4}
    supernet_optim = torch.optim.SGD(nets.supernet_params, **sgd)
    eval_optim = torch.optim.SGD(nets.eval_params, **sgd)
    arch_optim = torch.optim.Adam(nets.arch.parameters(), lr=3e-4, betas=(0.5, 0.999))
    arch_batch, weight_batch = setting.batch_of_images(), setting.batch_of_images()

    def step():
        nets.zero_grad()
        joint = nets.joint_loss(*arch_batch)
        joint.backward()
        nn.utils.clip_grad_norm_(nets.eval_params, nets.CLIP)
        nn.utils.clip_grad_norm_(nets.arch.parameters(), nets.CLIP)
        eval_optim.step()
        arch_optim.step()

        nets.zero_grad()
        images, labels = weight_batch
        loss = F.cross_entropy(nets.supernet(nets.stem(images), nets.arch)[1], labels)
        loss.backward()
        nn.utils.clip_grad_norm_(nets.supernet_params, nets.CLIP)
        supernet_optim.step()
        return joint.item() + loss.item()

    return step


class FoundNet(nn.Module):
    """The found network, with an auxiliary head for training."""

    def __init__(self, channels, size, counts=(7, 7, 6)):
        super().__init__()
        self.stem = networks.stem(3 * channels)
        self.cells = networks.EvalNet(channels, counts, affine=True)
        self.auxiliary = networks.Head(16 * channels, size // 4, 5, 3, True)

    def forward(self, images, drop):
        outputs, logits = self.cells(self.stem(images), drop)
        return logits, self.auxiliary(outputs[-2])


def retrain_step(setting):
    net = setting.module(FoundNet(setting.channels, setting.size))
    optimiser = torch.optim.SGD(net.parameters(), lr=0.025, momentum=0.9, weight_decay=5e-4)
    images, labels = setting.batch_of_images()

    def step():
        optimiser.zero_grad()
        logits, auxiliary = net(images, 0.15)
        loss = F.cross_entropy(logits, labels) + 0.4 * F.cross_entropy(auxiliary, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        return loss.item()

    return step


PREPARE = {
    "cell": cell,
    "supernet": supernet,
    "joint-step": joint_step,
    "retrain-step": retrain_step,
    "nas-bench-201": nas_bench_201,
    "dense": single(dense),
    "factorized-reduce": single(lambda channels: networks.FactorizedReduce(channels, channels, False)),
    **{name.replace("_", "-"): operation(name) for name in networks.OPS if "pool" in name or "conv" in name},
}
