#!/usr/bin/env python3
"""Does in PyTorch what `cdarts bench NAME` does, with the same shapes and the same meaning, and says how long it took."""

import argparse
import json
import math
import resource
import statistics
import sys
import time

from workloads import WORKLOADS, listing, positive

try:
    import torch
    import torch.nn.functional as F
except ImportError as error:
    sys.exit(f"error: this interpreter cannot import PyTorch: {error}\nhint: run the script by one that has it")
from torch import nn

import torch_networks as networks

EPILOG = """names:
{names}

Details, the same for all: f32, batch norms with the batch's statistics, running statistics kept. Times are of whole
steps, gradients cleared at the start, and come after a warm-up step that is not counted.
- cell and the single operations: gradients of the inputs, all weights and (cell) the architecture weights, from a
  given gradient of the output. Pools have no norm, as in CDARTS. `dense` has no ReLU before it.
- joint-step: the evaluation network has 20 cells (7, 7, 6) of the genotype that was found on CIFAR-10; both share
  the stem, two frozen heads and the learned stage mixture. Part A: cross entropies + T^2 smooth L1 + penalty on one
  batch, backward, clip, SGD and Adam. Part B: cross entropy of the search network on another, backward, clip, SGD.
- retrain-step: affine norms, drop path 0.15, auxiliary loss times 0.4, clip, SGD.
Peak memory is the process's, with the interpreter and the library (see base_mb), in MB of 2^20 bytes."""


class Setting:
    """What a workload is run with."""

    def __init__(self, options):
        self.channels, self.size, self.batch = options.channels, options.size, options.batch
        self.skip_none = options.skip_none
        self.format = torch.channels_last if options.layout == "channels-last" else torch.contiguous_format

    def tensor(self, channels, size=None):
        """Random values of a batch in the layout."""
        size = self.size if size is None else size
        return torch.randn(self.batch, channels, size, size).contiguous(memory_format=self.format)

    def module(self, module):
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
    return nn.Sequential(networks.conv(channels, channels, 3, 1, 1), networks.norm(channels, False))


def cell(setting):
    shape = networks.CellShape(3 * setting.channels, 3 * setting.channels, setting.channels)
    searched = setting.module(networks.SearchCell(shape, setting.skip_none))
    arch = networks.ArchWeights()
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
    arch = networks.ArchWeights()
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
    return nn.ModuleList([networks.Head(8 * channels, size // 2, 6, 2, False),
                          networks.Head(16 * channels, size // 4, 6, 2, False)])


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

    def __init__(self, channels, size):
        super().__init__()
        self.stem = networks.stem(3 * channels)
        self.cells = networks.EvalNet(channels, affine=True)
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


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def check():
    """The networks' parameter counts against the published ones, and the two forms of a search cell and the two
    layouts against each other.
    """
    stem, found = networks.stem(48), FoundNet(36, 32)
    nb201 = networks.Nb201Net(16)
    expected = {
        "search network with stem and classifier": (1_930_618, count(stem, networks.Supernet(16))),
        "distillation head on 128 channels": (417_290, count(distillation_heads(16, 32)[0])),
        "distillation head on 256 channels": (433_674, count(distillation_heads(16, 32)[1])),
        "evaluation network, genotype cifar": (805_306, count(stem, networks.EvalNet(16))),
        "found network, C=36, 20 cells": (3_859_318, count(found.stem, found.cells)),
        "NAS-Bench-201 search network": (1_685_328, count(nb201) - count(nb201.classifier) - nb201.alpha.numel()),
        "NAS-Bench-201 classifier": (650, count(nb201.classifier)),
    }
    for what, (published, found) in expected.items():
        assert found == published, f"{what}: {found:,} parameters, published {published:,}"
        print(f"{what}: {found:,}")
    forms = [cell_gradients(skip_none, layout) for skip_none in (False, True)
             for layout in (torch.contiguous_format, torch.channels_last)]
    for gradients in forms[1:]:
        for one, other in zip(forms[0], gradients):
            distance = ((one - other).norm() / one.norm()).item()
            assert distance < 1e-12, f"two forms of one search cell differ by {distance}"
    print("search cell, with and without `none`, both layouts: the same gradients")


def cell_gradients(skip_none, memory_format):
    """Gradients of a small search cell in f64, the same at every call."""
    torch.manual_seed(1)
    arch = networks.ArchWeights().double()
    searched = networks.SearchCell(networks.CellShape(12, 12, 4), skip_none).double().to(memory_format=memory_format)
    inputs = [torch.randn(2, 12, 6, 6).double().contiguous(memory_format=memory_format).requires_grad_()
              for _ in range(2)]
    output = searched(*inputs, arch.mixing(arch.normal))
    output.backward(torch.randn(output.shape).double())
    leaves = [*inputs, arch.normal, *searched.parameters()]
    return [output.detach(), *(leaf.grad for leaf in leaves)]


def measure(step, steps):
    """Milliseconds of every step after the first."""
    times = []
    for index in range(steps + 1):
        start = time.perf_counter()
        value = step()
        elapsed = time.perf_counter() - start
        if not math.isfinite(value):
            sys.exit(f"error: step {index} gave {value}")
        if index > 0:
            times.append(1e3 * elapsed)
    return times


def peak_mb():
    """Most memory that this process ever had, in MB of 2^20 bytes."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except OSError:
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def parse():
    parser = argparse.ArgumentParser(description=__doc__, epilog=EPILOG.format(names=listing()),
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=WORKLOADS, metavar="NAME", help="what to do; see below")
    parser.add_argument("--channels", type=positive, metavar="C", help="channels of the first cell, or of the operation")
    parser.add_argument("--size", type=positive, metavar="S", help="height and width of the images")
    parser.add_argument("--batch", type=positive, metavar="N", help="images a batch")
    parser.add_argument("--steps", type=positive, metavar="K", help="steps to time")
    parser.add_argument("--threads", type=positive, metavar="T", help="threads; by default PyTorch's choice")
    parser.add_argument("--layout", choices=["contiguous", "channels-last"], default="contiguous",
                        help="how activations and weights lie in memory (default: %(default)s)")
    parser.add_argument("--skip-none", action="store_true",
                        help="leave the operation `none` out instead of multiplying by zero, as published codes do")
    parser.add_argument("--check", action="store_true", help="check the networks against published figures instead")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.check:
        return options
    if options.name is None:
        parser.error("NAME is missing")
    work = WORKLOADS[options.name]
    for field in ("channels", "size", "batch", "steps"):
        if getattr(options, field) is None:
            setattr(options, field, getattr(work, field))
    if reason := unfit(options):
        parser.error(reason)
    return options


def unfit(options):
    """Why a workload does not exist at a shape."""
    least_sizes = {"supernet": 4, "joint-step": 16, "retrain-step": 16, "nas-bench-201": 4, "factorized-reduce": 2}
    least = least_sizes.get(options.name, 1)
    step = min(least, 4)
    if options.size < least or options.size % step:
        return f"--size {options.size}: {options.name} needs a multiple of {step}, at least {least}"
    return None


def main():
    options = parse()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    if options.check:
        return check()
    base = peak_mb()
    torch.manual_seed(0)
    times = measure(PREPARE[options.name](Setting(options)), options.steps)
    result = {
        "name": options.name, "channels": options.channels, "size": options.size, "batch": options.batch,
        "layout": options.layout, "skip_none": options.skip_none, "threads": torch.get_num_threads(),
        "ms": times, "median_ms": statistics.median(times), "peak_mb": peak_mb(), "base_mb": base,
        "torch": torch.__version__,
    }
    if options.json:
        print(json.dumps(result))
    else:
        print("{name}: {median_ms:.1f} ms a step, peak {peak_mb:.0f} MB, {threads} threads, torch {torch}"
              .format(**result))


if __name__ == "__main__":
    main()
