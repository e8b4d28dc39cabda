"""Golden values of NAS-Bench-201 (facts section 6): operations, the residual block, cells and networks, as `ops.py` and
`cells.py` have them of the DARTS space."""

from cells import network, on_states
from nas_bench_201_networks import GENOTYPES, OPS, ArchWeights, EvalCell, EvalNet, ResidualBlock, SearchCell, Supernet, operation
from ops import run
from values import Record


STATE = {"x": [4, 5, 6, 5]}

record = Record("crates/nets/tests/golden/nas_bench_201.safetensors")
for size, shape in {"even": [2, 5, 8, 6], "odd": [2, 8, 7, 5]}.items():
    for index, name in enumerate(OPS):
        record.add(f"{name}/{size}", run(lambda: operation(index, shape[1], True), shape))
    record.add(f"residual_block/{size}", run(lambda: ResidualBlock(shape[1], 2 * shape[1]), shape))
record.add("search/cell", on_states(lambda: SearchCell(5), STATE, [6, 5]))
for name, genotype in GENOTYPES.items():
    record.add(f"evaluation/{name}", on_states(lambda: EvalCell(5, genotype, True), STATE))
images = [6, 3, 8, 10]
record.add("search/network", network("Cifar", 4, images, lambda: Supernet(4, 1, 5), ArchWeights))
for affine in (False, True):
    build = lambda: EvalNet(4, 2, 5, GENOTYPES["nas-bench-201-cell-2"], affine)
    record.add(f"evaluation/network/{'affine' if affine else 'plain'}", network("Cifar", 4, images, build))
record.save()
