"""Golden values of whole joint steps (facts 1.4, 1.5, 1.7) under the presets `official` and `corrected` and with options
that neither has: terms, gradients, and by how much two steps move every parameter; and the terms of ten steps."""

from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional as F

from networks import GENOTYPES, ArchWeights, EvalNet, Head, Supernet, stage_plans, stem
from objective import distance, penalty
from values import Record


@dataclass
class Options:
    """What decides a joint step, under the names of the configuration's keys."""

    distance: str = "smooth-l1"
    distill_weight: float = 1.0
    distill_temperature: float = 2.0
    kl_reduction: str = "batch"
    detach_teacher: bool = False
    stage_ensemble: str = "stack"
    penalty_repeats: int = 1
    clip_scope: str = "per-optimiser"
    decay_idle: bool = False
    edge_weights: bool = False
    grad_clip: float = 5.0
    momentum: float = 0.9
    weight_decay: float = 3e-4
    arch_betas: tuple = field(default=(0.5, 0.999))


OFFICIAL = Options(penalty_repeats=3, clip_scope="all-parameters", decay_idle=True, kl_reduction="element")
CORRECTED = Options()
OTHER = Options(
    distance="kl", distill_weight=0.5, detach_teacher=True, stage_ensemble="sum", edge_weights=True, weight_decay=1e-3
)
CASES = {"official": OFFICIAL, "corrected": CORRECTED, "other": OTHER}

RATES = {"supernet": 0.05, "eval": 0.04, "arch": 0.003}
PENALTY = 0.2
CLASSES = 3
IMAGES = [6, 3, 12, 10]


class Mixture(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.logits = nn.Parameter(torch.empty(outputs))


class Heads(nn.Module):
    """On every stage but the last, here one of 6x5 pixels."""

    def __init__(self, stages):
        super().__init__()
        self.heads = nn.ModuleList([Head(4 * stages[0][-1].channels, CLASSES, pool=[4, 3], stride=2)])


class Search:
    """All that a search trains. The heads stay as they are, as in both presets."""

    def __init__(self, generator, options):
        self.options = options
        stages = stage_plans(6, 2, [1, 1])
        deep = stage_plans(6, 2, [2, 1])
        self.modules = {
            "stem": generator.fill(stem("Cifar", 3, 6), "stem."),
            "supernet": generator.fill(Supernet(stages, CLASSES), "supernet."),
            "evalnet": generator.fill(EvalNet(deep, GENOTYPES["cdarts-cifar"], CLASSES, False), "evalnet."),
            "mixture": generator.fill(Mixture(2), "mixture."),
            "arch": generator.fill(ArchWeights(options.edge_weights), "arch."),
        }
        self.heads = generator.fill(Heads(stages), "heads.").requires_grad_(False)
        owned = {"eval": ("stem", "evalnet", "mixture"), "supernet": ("stem", "supernet", "mixture"), "arch": ("arch",)}
        self.owned = {owner: self.parameters(*names) for owner, names in owned.items()}
        sgd = dict(momentum=options.momentum, weight_decay=options.weight_decay)
        self.optimisers = {
            owner: torch.optim.SGD(self.owned[owner], lr=RATES[owner], **sgd) for owner in ("eval", "supernet")
        }
        self.optimisers["arch"] = torch.optim.Adam(self.owned["arch"], lr=RATES["arch"], betas=options.arch_betas)

    def parameters(self, *names):
        return [parameter for name in names for parameter in self.modules[name].parameters()]

    def named(self):
        return {
            f"{name}.{place}": parameter
            for name, module in self.modules.items()
            for place, parameter in module.named_parameters()
        }

    def ensemble(self, stages, logits):
        """What heads and classifier say, each times its share."""
        shares = F.softmax(self.modules["mixture"].logits, 0)
        said = [head(stage) for head, stage in zip(self.heads.heads, stages)] + [logits]
        weighted = [share * one for share, one in zip(shares, said)]
        return torch.cat(weighted) if self.options.stage_ensemble == "stack" else sum(weighted)

    def search(self, images):
        return self.modules["supernet"](self.modules["stem"](images), self.modules["arch"])

    def joint_loss(self, images, labels):
        """Both networks on images of the architecture half: the terms, and what is minimised."""
        options = self.options
        states = self.modules["stem"](images)
        search_stages, search = self.modules["supernet"](states, self.modules["arch"])
        eval_stages, evaluation = self.modules["evalnet"](states)
        teacher = self.ensemble(eval_stages, evaluation)
        terms = {
            "arch_classify": F.cross_entropy(search, labels),
            "eval_classify": F.cross_entropy(evaluation, labels),
            "distill": distance(
                self.ensemble(search_stages, search),
                teacher.detach() if options.detach_teacher else teacher,
                options.distance,
                options.distill_weight,
                options.distill_temperature,
                options.kl_reduction,
            ),
            "penalty": penalty(self.modules["arch"], PENALTY, options.penalty_repeats),
        }
        classify = (terms["arch_classify"] + terms["eval_classify"]) / options.distill_weight
        return terms, classify + terms["distill"] + terms["penalty"]

    def forget(self, *owners):
        """Clears gradients before a backward pass. Of the published code each optimiser clears its own, to zero."""
        everything = list(self.named().values())
        if self.options.clip_scope == "per-optimiser":
            for parameter in everything:
                parameter.grad = None
        if self.options.decay_idle:
            for parameter in (parameter for owner in owners for parameter in self.owned[owner]):
                parameter.grad = torch.zeros_like(parameter)

    def step(self, *owners):
        """Clips, and steps the optimisers of `owners`."""
        limit = self.options.grad_clip
        if self.options.clip_scope == "all-parameters":
            nn.utils.clip_grad_norm_(list(self.named().values()), limit)
        else:
            for owner in owners:
                nn.utils.clip_grad_norm_(self.owned[owner], limit)
        for owner in owners:
            self.optimisers[owner].step()

    def joint(self, arch_half, weight_half):
        """A joint step. The terms of its losses."""
        self.forget("eval", "arch")
        terms, loss = self.joint_loss(*arch_half)
        loss.backward()
        self.step("eval", "arch")

        self.forget("supernet")
        classify = F.cross_entropy(self.search(weight_half[0])[1], weight_half[1])
        classify.backward()
        self.step("supernet")
        return {name: term.detach() for name, term in terms.items()} | {"supernet_classify": classify.detach()}


def batch(generator, name):
    return generator.uniform(f"{name}/images", IMAGES, 2.0), generator.labels(f"{name}/labels", IMAGES[0], CLASSES)


def values(search):
    return {name: parameter.detach().clone() for name, parameter in search.named().items()}


def one_step(options):
    """The terms of the first step's losses, the gradients of its part A before clipping, and by how much two steps move
    every parameter: the first by its gradient, the second by momenta and moments too."""

    def compute(generator):
        search = Search(generator, options)
        _, loss = search.joint_loss(*batch(generator, "arch0"))
        named = search.named()
        gradient = dict(zip(named, torch.autograd.grad(loss, list(named.values()))))
        found = {"gradient": gradient}
        for step in (0, 1):
            before = values(search)
            terms = search.joint(batch(generator, f"arch{step}"), batch(generator, f"weight{step}"))
            found[f"terms{step}"] = {name: term.reshape(1) for name, term in terms.items()}
            found[f"moved{step}"] = {name: after - before[name] for name, after in values(search).items()}
        return found

    return compute


def curve(options):
    """The terms of ten steps' losses."""

    def compute(generator):
        search = Search(generator, options)
        curves = {}
        for step in range(10):
            terms = search.joint(batch(generator, f"arch{step}"), batch(generator, f"weight{step}"))
            for name, term in terms.items():
                curves.setdefault(name, []).append(term)
        return {"curve": {name: torch.stack(terms) for name, terms in curves.items()}}

    return compute


record = Record("crates/search/tests/golden/steps.safetensors")
for name, options in CASES.items():
    record.add(f"{name}/step", one_step(options), seeds=12)
for name in ("official", "corrected"):
    record.add(f"{name}/curve", curve(CASES[name]), seeds=6)
record.save()
