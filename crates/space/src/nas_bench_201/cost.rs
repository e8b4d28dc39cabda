//! Parameters and multiply-adds of a network of the space, layer by layer, counted as in [`crate::cost`].

use super::{CellPlan, Genotype, NODES, NetworkPlan, Op, ReductionPlan, edge_index};
use crate::cost::{Cost, Work, conv, linear};

/// Cost of the search network: every operation on every edge, batch norm without scale and shift in the cells; with
/// stem, residual blocks and classifier, without distillation heads.
pub fn search_network(plan: &NetworkPlan) -> Cost {
    network(plan, false, |_, _| &Op::ALL)
}

/// Cost of the network made of `genotype`. `affine` says whether the cells' batch norms have scale and shift; they
/// do in the published evaluation network and in the benchmark.
///
/// Every edge counts, also one that leads to no output.
pub fn evaluation_network(plan: &NetworkPlan, genotype: &Genotype, affine: bool) -> Cost {
    network(plan, affine, |node, source| std::slice::from_ref(&genotype.ops[edge_index(node, source)]))
}

fn network<'a>(plan: &NetworkPlan, affine: bool, ops: impl Fn(usize, usize) -> &'a [Op]) -> Cost {
    let mut cost = Cost::default();
    let (channels, size) = (plan.stem_channels, [plan.image.height, plan.image.width]);
    let stem = conv(plan.image.channels, channels, [3, 3], size).with_norm(channels, true);
    cost.push("stem.conv0".to_owned(), stem, shape(channels, size));
    for (s, stage) in plan.stages.iter().enumerate() {
        for (c, cell) in stage.cells.iter().enumerate() {
            for (node, source) in (1..NODES).flat_map(|node| (0..node).map(move |source| (node, source))) {
                for &op in ops(node, source) {
                    let name = format!("stages.{s}.cells.{c}.edges.{}.{op}", edge_index(node, source));
                    cost.push(name, op_work(op, cell, affine), shape(cell.channels, cell.size));
                }
            }
        }
        if let Some(block) = &stage.reduction {
            residual_block(&mut cost, &format!("stages.{s}.reduction"), block);
        }
    }
    cost.push("classifier".to_owned(), linear(plan.classifier_in, plan.classes), [plan.classes, 1, 1]);
    cost
}

fn op_work(op: Op, cell: &CellPlan, affine: bool) -> Work {
    op.kernel().map_or_else(Work::default, |kernel| {
        conv(cell.channels, cell.channels, [kernel, kernel], cell.size).with_norm(cell.channels, affine)
    })
}

fn residual_block(cost: &mut Cost, at: &str, block: &ReductionPlan) {
    let (from, to, size) = (block.in_channels, block.out_channels, block.out_size);
    let layers = [
        ("conv0", conv(from, to, [3, 3], size).with_norm(to, true)),
        ("conv1", conv(to, to, [3, 3], size).with_norm(to, true)),
        ("shortcut", conv(from, to, [1, 1], size)),
    ];
    for (name, work) in layers {
        cost.push(format!("{at}.{name}"), work, shape(to, size));
    }
}

fn shape(channels: usize, [height, width]: [usize; 2]) -> [usize; 3] {
    [channels, height, width]
}
