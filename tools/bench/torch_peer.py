#!/usr/bin/env python3
"""Does in PyTorch what `cdarts bench NAME` does, same shapes and meaning, and says how long it took."""

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
except ImportError as error:
    sys.exit(
        f"error: this interpreter cannot import PyTorch: {error}\nhint: run the script by one that has it"
    )
import torch_networks as networks
from torch_workloads import PREPARE, FoundNet, Setting, distillation_heads

EPILOG = """names:
{names}

For all of them: f32; batch norms use the batch's statistics and keep running ones. Times are of whole
steps, the clearing of gradients included, after a warm-up step that is not counted.
- cell and the single operations: gradients of the inputs, all weights and (cell) the architecture weights,
  from a given gradient of the output. Pools have no norm, as in CDARTS. `dense` has no ReLU before it,
  and an affine norm, as in stems.
- joint-step: the evaluation network has 20 cells (7, 7, 6) of the genotype that was found on CIFAR-10; both
  networks share the stem, two frozen heads and the learned stage mixture. Part A: cross entropies, T^2
  times smooth L1, and penalty on one batch; backward, clip, SGD and Adam. Part B: cross entropy of the
  search network on another; backward, clip, SGD.
- retrain-step: affine norms, drop path 0.15, auxiliary loss times 0.4; backward, clip, SGD.
Peak memory is the process's, interpreter and library included (base_mb is theirs), in MB of 2^20 bytes."""


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def check():
    """Compares parameter counts with the published ones, and forms and layouts of a cell with each other."""
    stem, found, nb201 = networks.stem(48), FoundNet(36, 32), networks.Nb201Net(16)
    heads = distillation_heads(16, 32)
    nb201_cells = count(nb201) - count(nb201.classifier) - nb201.alpha.numel()
    for what, published, counted in [
        ("search network with stem and classifier", 1_930_618, count(stem, networks.Supernet(16))),
        ("distillation head on 128 channels", 417_290, count(heads[0])),
        ("distillation head on 256 channels", 433_674, count(heads[1])),
        ("evaluation network, genotype cifar", 805_306, count(stem, networks.EvalNet(16))),
        ("found network, C=36, 20 cells", 3_859_318, count(found.stem, found.cells)),
        ("NAS-Bench-201 search network", 1_685_328, nb201_cells),
        ("NAS-Bench-201 classifier", 650, count(nb201.classifier)),
    ]:
        if counted != published:
            sys.exit(f"error: {what}: {counted:,} parameters, published {published:,}")
        print(f"{what}: {counted:,} parameters")
    reference = cell_gradients(False, torch.contiguous_format)
    for form in [(True, torch.contiguous_format), (False, torch.channels_last), (True, torch.channels_last)]:
        for one, other in zip(reference, cell_gradients(*form), strict=True):
            distance = ((one - other).norm() / one.norm()).item()
            if not distance < 1e-12:
                sys.exit(f"error: two forms of one search cell differ by {distance}")
    print("search cell, with and without `none`, both layouts: the same gradients")


def cell_gradients(skip_none, memory_format):
    """Gradients of a small search cell in f64, the same at every call."""
    torch.manual_seed(1)
    arch = networks.ArchWeights().double()
    searched = (
        networks.SearchCell(networks.CellShape(12, 12, 4), skip_none).double().to(memory_format=memory_format)
    )
    inputs = [
        torch.randn(2, 12, 6, 6).double().contiguous(memory_format=memory_format).requires_grad_()
        for _ in range(2)
    ]
    output = searched(*inputs, arch.mixing(arch.normal))
    output.backward(torch.randn(output.shape).double())
    leaves = [*inputs, arch.normal, *searched.parameters()]
    return [output.detach(), *(leaf.grad for leaf in leaves)]


def measure(step, steps):
    """Milliseconds of every step after the first."""
    times = []
    for index in range(steps + 1):
        start = time.perf_counter()
        try:
            value = step()
        except (ValueError, RuntimeError) as error:  # too small for a norm, out of memory
            sys.exit(f"error: PyTorch refuses this shape: {error}")
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
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EPILOG.format(names=listing()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", choices=WORKLOADS, metavar="NAME", help="what to do; see below")
    parser.add_argument(
        "--channels", type=positive, metavar="C", help="channels of the first cell, or of the operation"
    )
    parser.add_argument("--size", type=positive, metavar="S", help="height and width of the images")
    parser.add_argument("--batch", type=positive, metavar="N", help="images a batch")
    parser.add_argument("--steps", type=positive, metavar="K", help="steps to time")
    parser.add_argument("--threads", type=positive, metavar="T", help="threads; by default PyTorch's choice")
    parser.add_argument(
        "--layout",
        choices=["contiguous", "channels-last"],
        default="contiguous",
        help="how activations and weights lie in memory (default: %(default)s)",
    )
    parser.add_argument(
        "--skip-none",
        action="store_true",
        help="leave the operation `none` out instead of multiplying by zero, as published codes do",
    )
    parser.add_argument(
        "--check", action="store_true", help="check the networks against published figures instead"
    )
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
    least_sizes = {
        "supernet": 4,
        "joint-step": 16,
        "retrain-step": 16,
        "nas-bench-201": 4,
        "factorized-reduce": 2,
    }
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
    setting = Setting(options)
    times = measure(PREPARE[options.name](setting), options.steps)
    result = {
        "name": options.name,
        "channels": options.channels,
        "size": options.size,
        "batch": options.batch,
        "layout": options.layout,
        "skip_none": options.skip_none,
        "threads": torch.get_num_threads(),
        "params": setting.params,
        "ms": times,
        "median_ms": statistics.median(times),
        "peak_mb": peak_mb(),
        "base_mb": base,
        "torch": torch.__version__,
    }
    if options.json:
        print(json.dumps(result))
    else:
        shown = "{name}: {median_ms:.1f} ms a step, peak {peak_mb:.0f} MB, {threads} threads, torch {torch}"
        print(shown.format(**result))


if __name__ == "__main__":
    main()
