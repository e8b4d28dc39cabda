"""Golden values of the losses (facts 1.4, 1.5): every distance with a temperature and a weight, cross entropy with and
without smoothing, and the penalty counted once and three times; values and all gradients."""

import torch
from torch.nn import functional as F

from networks import ArchWeights
from objective import distance, penalty
from values import Record


def outputs(loss):
    """A loss of both networks' outputs, `[9, 5]` each."""

    def compute(generator):
        named = {name: generator.uniform(name, [9, 5], 3.0).requires_grad_() for name in ("search", "evaluation")}
        value = loss(**named)
        return {"loss": value, "gradient": dict(zip(named, torch.autograd.grad(value, list(named.values()))))}

    return compute


def labels(smoothing):
    """Cross entropy of outputs `[9, 5]`."""

    def compute(generator):
        logits = generator.uniform("logits", [9, 5], 3.0).requires_grad_()
        value = F.cross_entropy(logits, generator.labels("labels", 9, 5), label_smoothing=smoothing)
        return {"loss": value, "gradient": {"logits": torch.autograd.grad(value, logits)[0]}}

    return compute


def penalised(repeats):
    """The penalty on architecture weights with edge weights, which it leaves alone."""

    def compute(generator):
        arch = generator.fill(ArchWeights(True), "arch.")
        value = penalty(arch, 0.7, repeats)
        value.backward()
        alphas = {f"arch.{name}": p.grad for name, p in arch.named_parameters() if p.grad is not None}
        return {"loss": value, "gradient": alphas}

    return compute


record = Record("crates/search/tests/golden/losses.safetensors")
for kind in ("cosine", "mse", "smooth-l1"):
    record.add(f"distance/{kind}", outputs(lambda search, evaluation: distance(search, evaluation, kind, 1.5, 3.0)))
for reduction in ("batch", "element"):
    compute = lambda search, evaluation: distance(search, evaluation, "kl", 1.5, 3.0, reduction)
    record.add(f"distance/kl/{reduction}", outputs(compute))
for smoothing in (0.0, 0.1):
    record.add(f"cross_entropy/{smoothing}", labels(smoothing))
for repeats in (1, 3):
    record.add(f"penalty/{repeats}", penalised(repeats))
record.save()
