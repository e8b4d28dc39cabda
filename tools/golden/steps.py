"""Golden values of whole joint steps (facts 1.4, 1.5, 1.7), in the DARTS space under the presets `official` and `corrected`
and with options that neither has, and in NAS-Bench-201 (facts section 6) under both: terms, gradients, and by how much two
steps move every parameter; and the terms of ten steps."""

from dataclasses import dataclass, field, replace

import torch
from torch import nn
from torch.nn import functional as F

import nas_bench_201_networks as nas_bench_201
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
    fix_heads: bool = True
    grad_clip: float = 5.0
    momentum: float = 0.9
    weight_decay: float = 3e-4
    arch_betas: tuple = field(default=(0.5, 0.999))


OFFICIAL = Options(penalty_repeats=3, clip_scope="all-parameters", decay_idle=True, kl_reduction="element")
CORRECTED = Options()
OTHER = Options(
    distance="kl",
    distill_weight=0.5,
    detach_teacher=True,
    stage_ensemble="sum",
    edge_weights=True,
    fix_heads=False,
    decay_idle=True,
    weight_decay=1e-3,
)
CASES = {"official": OFFICIAL, "corrected": CORRECTED, "other": OTHER}

# Only stages of one set of architecture weights count the penalty three times; the heads are trained here.
NAS_BENCH_201 = {name: replace(CASES[name], penalty_repeats=1, fix_heads=False) for name in ("official", "corrected")}

RATES = {"supernet": 0.05, "eval": 0.04, "arch": 0.003}
PENALTY = 0.2
CLASSES = 3
IMAGES = [6, 3, 12, 10]


class Mixture(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.logits = nn.Parameter(torch.empty(outputs))


class Heads(nn.Module):
    """On every stage but the last; narrower than the published ones, so that their gradients take no megabytes."""

    def __init__(self, *heads):
        super().__init__()
        shape = dict(stride=2, hidden=6, features=10)
        self.heads = nn.ModuleList(Head(inputs, CLASSES, pool=pool, **shape) for inputs, pool in heads)


def darts(options):
    """The modules of a search in the DARTS space. The first of two stages ends at 6x5 pixels."""
    stages, deep = stage_plans(6, 2, [1, 1]), stage_plans(6, 2, [2, 1])
    return {
        "stem": stem("Cifar", 3, 6),
        "supernet": Supernet(stages, CLASSES),
        "evalnet": EvalNet(deep, GENOTYPES["cdarts-cifar"], CLASSES, False),
        "heads": Heads((4 * stages[0][-1].channels, [4, 3])),
        "mixture": Mixture(2),
        "arch": ArchWeights(options.edge_weights),
    }


def nas_bench_201_modules(_):
    """The modules of a search in NAS-Bench-201. The first two stages end at 6x5 and 3x3 pixels."""
    genotype = nas_bench_201.GENOTYPES["nas-bench-201-cell-2"]
    return {
        "stem": stem("Cifar", 3, 4),
        "supernet": nas_bench_201.Supernet(4, 1, CLASSES),
        "evalnet": nas_bench_201.EvalNet(4, 1, CLASSES, genotype, True),
        "heads": Heads((8, [4, 3]), (16, [1, 1])),
        "mixture": Mixture(3),
        "arch": nas_bench_201.ArchWeights(),
    }


class Search:
    """All that a search trains. Both presets leave the heads as they are."""

    def __init__(self, generator, options, build):
        self.options = options
        self.modules = {name: generator.fill(module, f"{name}.") for name, module in build(options).items()}
        self.heads = self.modules["heads"].requires_grad_(not options.fix_heads)
        if options.fix_heads:
            del self.modules["heads"]
        shared = [name for name in ("stem", "heads", "mixture") if name in self.modules]
        owned = {"eval": (*shared, "evalnet"), "supernet": (*shared, "supernet"), "arch": ("arch",)}
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


def one_step(options, build):
    """The terms of two steps' losses, the gradients of both parts at the start, before clipping, and by how much each step
    moves every parameter: the first by its gradient, the second by momenta and moments too (SGD moves a parameter by its
    momentum times the rate)."""

    def compute(generator):
        search = Search(generator, options, build)
        _, loss = search.joint_loss(*batch(generator, "arch0"))
        named = search.named()
        gradient = dict(zip(named, torch.autograd.grad(loss, list(named.values()))))
        images, labels = batch(generator, "weight0")
        parts = {name: parameter for name, parameter in named.items() if name.split(".")[0] in ("stem", "supernet", "arch")}
        loss = F.cross_entropy(search.search(images)[1], labels)
        found = {"gradient": gradient, "gradient_search": dict(zip(parts, torch.autograd.grad(loss, list(parts.values()))))}
        for step in (0, 1):
            before = values(search)
            terms = search.joint(batch(generator, f"arch{step}"), batch(generator, f"weight{step}"))
            found[f"terms{step}"] = {name: term.reshape(1) for name, term in terms.items()}
            found[f"moved{step}"] = {name: after - before[name] for name, after in values(search).items()}
        return found

    return compute


def curve(options, build):
    """The terms of ten steps' losses."""

    def compute(generator):
        search = Search(generator, options, build)
        curves = {}
        for step in range(10):
            terms = search.joint(batch(generator, f"arch{step}"), batch(generator, f"weight{step}"))
            for name, term in terms.items():
                curves.setdefault(name, []).append(term)
        return {"curve": {name: torch.stack(terms) for name, terms in curves.items()}}

    return compute


record = Record("crates/search/tests/golden/steps.safetensors")
for name, options in CASES.items():
    record.add(f"{name}/step", one_step(options, darts), seeds=12)
for name in ("official", "corrected"):
    record.add(f"{name}/curve", curve(CASES[name], darts), seeds=6)
for name, options in NAS_BENCH_201.items():
    record.add(f"nas-bench-201/{name}/step", one_step(options, nas_bench_201_modules), seeds=12)
    record.add(f"nas-bench-201/{name}/curve", curve(options, nas_bench_201_modules), seeds=6)
record.save()
