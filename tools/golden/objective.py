"""The losses of the search in PyTorch (facts 1.4, 1.5)."""

from torch.nn import functional as F


def kl(search, evaluation, temperature, reduction):
    """Divergence of the search network's softmax from the evaluation network's: its mean over rows ("batch"), or over all
    elements as published ("element")."""
    p, q = F.log_softmax(search / temperature, dim=1), F.softmax(evaluation / temperature, dim=1)
    return F.kl_div(p, q, reduction="sum") / {"batch": len(p), "element": p.numel()}[reduction]


def distance(search, evaluation, kind, weight, temperature, kl_reduction="batch"):
    """weight * T^2 * D(search, evaluation) of outputs `[rows, classes]`."""
    distances = {
        "kl": lambda: kl(search, evaluation, temperature, kl_reduction),
        "cosine": lambda: -F.cosine_similarity(search, evaluation, dim=1, eps=1e-6).mean(),
        "mse": lambda: F.mse_loss(search, evaluation),
        "smooth-l1": lambda: F.smooth_l1_loss(search, evaluation),
    }
    return weight * temperature**2 * distances[kind]()


def penalty(arch, weight, repeats):
    """L1 norm of the raw architecture weights of operations without weights; in NAS-Bench-201 that of `none`, as a mean."""
    return weight * repeats * arch.penalised_l1()
