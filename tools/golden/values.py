"""Values that Python and Rust both generate, and the files that golden values are kept in.

A value depends on a seed, a name and a position only, so that neither weights nor images have to be stored. The same
generator is crates/nets/tests/support/golden.rs. Golden values are computed in double precision; beside each stands the
error that PyTorch itself makes in single precision.
"""

import math
import sys
from pathlib import Path

import numpy
import torch
from safetensors.torch import save_file

# More threads than one would only be faster on larger networks, and add up in another order.
torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[2]

_INCREMENT = 0x9E3779B97F4A7C15


class Generator:
    """The stream of values of one seed. All values are exact in single precision."""

    def __init__(self, seed, dtype):
        self.seed = seed
        self.dtype = dtype

    def uniform(self, name, shape, bound=1.0):
        """Uniform in [-bound, bound)."""
        return torch.from_numpy(self._units(name, shape) * bound).to(torch.float32).to(self.dtype)

    def labels(self, name, count, classes):
        """Class labels."""
        return torch.from_numpy(numpy.floor((self._units(name, [count]) + 1.0) / 2.0 * classes)).to(torch.int64)

    def parameter(self, name, shape):
        """A value for a parameter or running statistic, by the kind that its name ends in."""
        kind = name.rsplit(".", 1)[-1]
        if kind == "weight":
            fan_in = shape[0] if len(shape) == 2 else math.prod(shape[1:])
            return self.uniform(name, shape, 1.0 / math.sqrt(fan_in))
        if kind in ("gamma", "running_variance"):
            return torch.from_numpy(1.0 + 0.25 * self._units(name, shape)).to(torch.float32).to(self.dtype)
        return self.uniform(name, shape, 0.25)

    def fill(self, module, prefix=""):
        """Gives every parameter and running statistic of a module its value."""
        module.to(self.dtype)
        with torch.no_grad():
            for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
                tensor.copy_(self.parameter(prefix + name, list(tensor.shape)))
        return module

    def _units(self, name, shape):
        """Multiples of 2^-23 in [-1, 1), as doubles: SplitMix64 on a start that the name decides (FNV-1a)."""
        start = 0xCBF29CE484222325
        for byte in f"{self.seed}:{name}".encode():
            start = (start ^ byte) * 0x100000001B3 % 2**64
        with numpy.errstate(over="ignore"):
            z = numpy.arange(1, math.prod(shape) + 1, dtype=numpy.uint64) * numpy.uint64(_INCREMENT)
            z += numpy.uint64(start)
            z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
            z ^= z >> numpy.uint64(31)
        units = (z >> numpy.uint64(40)).astype(numpy.float64) / 2.0**23 - 1.0
        return units.reshape(shape)


def difference(found, expected):
    """Largest difference, relative to the largest value."""
    found, expected = found.double(), expected.double()
    largest = expected.abs().max().item() if expected.numel() else 0.0
    apart = (found - expected).abs().max().item() if expected.numel() else 0.0
    return apart / largest if largest > 0.0 else apart


class Margin:
    """The smallest distance from a tie since the last reset: of a value before a ReLU from 0, of a maximum from the next
    largest value of its window."""

    value = float("inf")

    @classmethod
    def reset(cls):
        cls.value = float("inf")

    @classmethod
    def count(cls, distances):
        if distances.numel():
            cls.value = min(cls.value, distances.min().item())


class Record:
    """A golden file in the making: cases, each of many tensors."""

    def __init__(self, path):
        self.path = ROOT / path
        self.tensors = {}
        self.metadata = {
            "script": Path(sys.argv[0]).resolve().relative_to(ROOT).as_posix(),
            "torch": torch.__version__.split("+")[0],
        }
        self.worst = 0.0

    def add(self, case, compute, seeds=40, exact=()):
        """Computes a case in double and single precision, from the seed of `seeds` that keeps farthest from ties.
        `compute` takes a generator and gives tensors, or groups of named tensors, by name. A group is kept as one
        tensor, its members one behind the other in the order of their names. `exact` are kept in double precision."""
        seed, margin = clearest_seed(compute, seeds)
        expected, single = (compute(Generator(seed, dtype)) for dtype in (torch.float64, torch.float32))
        self.metadata[f"{case}/seed"] = str(seed)
        self.metadata[f"{case}/margin"] = f"{margin:.1e}"
        for name, tensors in expected.items():
            grouped = isinstance(tensors, dict)
            pairs = [(tensors[key], single[name][key]) for key in sorted(tensors)] if grouped else [(tensors, single[name])]
            flat = torch.cat([tensor.detach().flatten() for tensor, _ in pairs])
            errors = [difference(found.detach(), tensor.detach()) for tensor, found in pairs]
            self.tensors[f"{case}/{name}"] = flat.to(torch.float64 if name in exact else torch.float32)
            self.tensors[f"{case}/{name}/error"] = torch.tensor(errors, dtype=torch.float32)
            self.worst = max(self.worst, *errors)

    def save(self):
        """Writes the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        save_file(self.tensors, self.path, metadata=self.metadata)
        self.path.chmod(0o644)
        margins = {key: value for key, value in self.metadata.items() if key.endswith("/margin")}
        print(f"{self.path.relative_to(ROOT)}: {self.path.stat().st_size} bytes, single precision {self.worst:.1e}")
        print(*(f"  {key} {value}" for key, value in margins.items()), sep="\n")


def clearest_seed(compute, seeds):
    """The seed whose values keep farthest from where a ReLU or a maximum changes its mind, and how far that is."""
    margins = {}
    for seed in range(seeds):
        Margin.reset()
        compute(Generator(seed, torch.float64))
        margins[seed] = Margin.value
    return max(margins.items(), key=lambda entry: entry[1])
