"""Golden values of the operations (facts 3.1), of FactorizedReduce and the 1x1 pre-processing, of the heads (facts 3.5)
and the stems (facts 3.3): outputs and all gradients of a sum over the output with generated coefficients."""

import torch

from networks import OPS, FactorizedReduce, Head, ReluConvNorm, operation, stem
from values import Record


def run(build, shape):
    """A computation of one module on generated images."""

    def compute(generator):
        module = generator.fill(build())
        images = generator.uniform("input", shape, 2.0).requires_grad_()
        outputs = module(images)
        outputs = dict(zip(("output", "second"), outputs if isinstance(outputs, tuple) else (outputs,)))
        loss = sum(
            (output * generator.uniform(f"coefficient/{name}", list(output.shape))).sum()
            for name, output in outputs.items()
        )
        names, parameters = zip(("input", images), *module.named_parameters())
        return outputs | {"gradient": dict(zip(names, torch.autograd.grad(loss, parameters)))}

    return compute


def operations():
    record = Record("crates/nets/tests/golden/ops.safetensors")
    for size, shape in {"even": [2, 5, 8, 6], "odd": [2, 8, 7, 5]}.items():
        for stride in (1, 2):
            for index, name in enumerate(OPS):
                if size == "even" or name not in ("avg_pool_3x3", "none"):
                    record.add(f"{name}/{stride}/{size}", run(lambda: operation(index, shape[1], stride, True), shape))
        record.add(f"factorized_reduce/{size}", run(lambda: FactorizedReduce(shape[1], 7, True), shape))
        record.add(f"relu_conv_norm/{size}", run(lambda: ReluConvNorm(shape[1], 6, False), shape))
    record.save()


def heads():
    record = Record("crates/nets/tests/golden/heads.safetensors")
    width = dict(classes=4, hidden=6, features=10)
    record.add("distillation/16", run(lambda: Head(5, pool=6, stride=2, **width), [3, 5, 16, 16]))
    record.add("distillation/8", run(lambda: Head(5, pool=6, stride=2, **width), [8, 5, 8, 8]))
    record.add("auxiliary/cifar", run(lambda: Head(5, pool=5, stride=3, affine=True, **width), [8, 5, 8, 8]))
    record.add("auxiliary/imagenet", run(lambda: Head(5, pool=5, stride=2, affine=True, norm=False, **width), [8, 5, 7, 7]))
    record.save()


def stems():
    record = Record("crates/nets/tests/golden/stems.safetensors")
    record.add("cifar", run(lambda: stem("Cifar", 3, 12), [2, 3, 9, 8]))
    record.add("imagenet", run(lambda: stem("Imagenet", 3, 8), [3, 3, 16, 24]))
    record.add("resnet", run(lambda: stem("ResNet", 3, 6), [2, 3, 16, 20]))
    record.save()


if __name__ == "__main__":
    operations()
    heads()
    stems()
