"""What `compare` and `torch_peer.py` can measure: names, usual shapes, and how many steps a process times."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """One kind of work at its usual shape."""

    what: str
    channels: int = 16
    size: int = 32
    batch: int = 64
    steps: int = 20
    """Steps that one PyTorch process times, after the warm-up step."""


WORKLOADS = {
    "cell": Workload(
        "one search cell, 14 edges of 8 operations, 3C to C channels, forward and backward", steps=3
    ),
    "supernet": Workload(
        "the search network of 8 cells with stem and cross entropy, forward and backward", batch=32, steps=2
    ),
    "joint-step": Workload(
        "a whole joint step: both networks, distillation, all optimisers", batch=32, steps=1
    ),
    "retrain-step": Workload(
        "a training step of the found network of 20 cells with auxiliary head",
        channels=36,
        batch=128,
        steps=1,
    ),
    "nas-bench-201": Workload(
        "the search network of NAS-Bench-201 with cross entropy, forward and backward", batch=32, steps=2
    ),
    "dense": Workload("dense 3x3 convolution and norm, forward and backward"),
    "max-pool-3x3": Workload("maximum pooling, forward and backward"),
    "avg-pool-3x3": Workload("average pooling, forward and backward"),
    "sep-conv-3x3": Workload("separable 3x3 convolution, forward and backward"),
    "sep-conv-5x5": Workload("separable 5x5 convolution, forward and backward"),
    "dil-conv-3x3": Workload("dilated separable 3x3 convolution, forward and backward"),
    "dil-conv-5x5": Workload("dilated separable 5x5 convolution, forward and backward"),
    "factorized-reduce": Workload("FactorizedReduce, the skip connection of stride 2, forward and backward"),
}


def listing() -> str:
    """The workloads, one a line, for help texts."""
    width = max(map(len, WORKLOADS))
    shape = "C={0.channels}, {0.size}x{0.size}, batch {0.batch}"
    return "\n".join(
        f"  {name:{width}}  {work.what}; {shape.format(work)}" for name, work in WORKLOADS.items()
    )


def positive(text: str) -> int:
    """A whole number from 1 on, for argparse, which words the error by this function's name."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number
