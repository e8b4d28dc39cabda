"""Golden values of search and evaluation cells (facts 3.2) and of small networks (facts 3.3, 3.4): outputs in training and
in inference, and all gradients of a sum over the outputs with generated coefficients."""

import torch

from networks import GENOTYPES, ArchWeights, CellPlan, EvalCell, EvalNet, SearchCell, Supernet, stage_plans, stem
from values import Record


def weighted(generator, outputs):
    """The sum over tensors with generated coefficients."""
    coefficients = {name: generator.uniform(f"coefficient/{name}", list(x.shape)) for name, x in outputs.items()}
    return sum((coefficients[name] * output).sum() for name, output in outputs.items())


def gradients(loss, modules, inputs):
    """Gradients of modules' parameters and of tensors, by name."""
    named = dict(inputs)
    for prefix, module in modules.items():
        named |= {prefix + name: parameter for name, parameter in module.named_parameters()}
    return {"gradient": dict(zip(named, torch.autograd.grad(loss, list(named.values()))))}


def on_states(build, shapes, mixing=None):
    """A computation of a cell on generated states of `shapes`, by name, mixed by generated weights of the shape `mixing`."""

    def compute(generator):
        module = generator.fill(build())
        inputs = {name: generator.uniform(name, shape, 2.0) for name, shape in shapes.items()}
        if mixing:
            inputs["mixing"] = generator.uniform("mixing", mixing)
        inputs = {name: x.requires_grad_() for name, x in inputs.items()}
        output = module(*inputs.values())
        found = gradients(weighted(generator, {"output": output}), {"": module}, inputs)
        with torch.no_grad():
            inference = module.eval()(*inputs.values())
        return {"output": output, "inference/output": inference} | found

    return compute


def cell(plan, build, size, images, mixed):
    """A cell of two inputs. `size` is that of the newer one."""
    older = [2 * side for side in size] if plan.previous_reduces else size
    shapes = {"two_back": [images, plan.two_back, *older], "one_back": [images, plan.one_back, *size]}
    return on_states(lambda: build(plan), shapes, [14, 8] if mixed else None)


def cells():
    record = Record("crates/nets/tests/golden/cells.safetensors")
    for name, plan, size in [
        ("normal", CellPlan(5, 7, 6, False, False), [6, 5]),
        ("reduction", CellPlan(8, 4, 6, True, False), [8, 6]),
        ("after_reduction", CellPlan(4, 3, 6, False, True), [4, 5]),
    ]:
        record.add(f"search/{name}", cell(plan, SearchCell, size, 4, True))
    for name, published, plan, size, affine in [
        ("normal", "cdarts-cifar", CellPlan(5, 7, 6, False, False), [6, 5], True),
        ("reduction", "cdarts-cifar", CellPlan(8, 4, 6, True, False), [8, 6], True),
        ("after_reduction", "cdarts-imagenet", CellPlan(8, 3, 6, False, True), [4, 5], False),
        ("reduction_again", "cdarts-imagenet", CellPlan(4, 3, 6, True, True), [7, 6], False),
    ]:
        edges = GENOTYPES[published][1 if plan.reduces else 0]
        record.add(f"evaluation/{name}", cell(plan, lambda plan: EvalCell(plan, edges, affine), size, 4, False))
    record.save()


def network(kind, stem_channels, shape, build, arch=None):
    """A network behind its stem. `arch` builds the architecture weights of a search network."""

    def compute(generator):
        modules = {
            "stem.": generator.fill(stem(kind, shape[1], stem_channels), "stem."),
            "net.": generator.fill(build(), "net."),
        }
        if arch is not None:
            modules["arch."] = generator.fill(arch(), "arch.")
        images = generator.uniform("images", shape, 2.0).requires_grad_()

        def outputs():
            weights = [modules["arch."]] if arch is not None else []
            stages, logits = modules["net."](modules["stem."](images), *weights)
            return {"logits": logits} | {f"stage{index}": stage for index, stage in enumerate(stages)}

        training = outputs()
        found = gradients(weighted(generator, training), modules, {"images": images})
        for module in modules.values():
            module.eval()
        with torch.no_grad():
            inference = outputs()["logits"]
        return training | {"inference/logits": inference} | found

    return compute


def networks():
    record = Record("crates/nets/tests/golden/networks.safetensors")
    stages = stage_plans(6, 2, [2, 1])
    record.add("search", network("Cifar", 6, [6, 3, 8, 10], lambda: Supernet(stages, 5), lambda: ArchWeights(True)))
    for name, kind, multiplier, shape, published in [
        ("cifar", "Cifar", 3, [6, 3, 8, 10], "cdarts-cifar"),
        ("imagenet", "Imagenet", 1, [4, 3, 24, 32], "cdarts-imagenet"),
    ]:
        stages = stage_plans(4 * multiplier, 4, [2, 1], previous_reduces=kind == "Imagenet")
        build = lambda: EvalNet(stages, GENOTYPES[published], 5, True)
        record.add(f"evaluation/{name}", network(kind, 4 * multiplier, shape, build))
    record.save()


if __name__ == "__main__":
    cells()
    networks()
