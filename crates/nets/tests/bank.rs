//! The weight bank moves exactly what it says (facts 1.6).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use cdarts_nets::{EvalNet, Initialiser, PastSkip, WeightBank, params};
use cdarts_space::{
    CellGenotype, CellKind, Edge, Genotype, ImageShape, NODES, NetworkPlan, NetworkSpec, Op,
    ReductionPosition, Stem, nas_bench_201, published,
};
use proptest::prelude::*;

fn plan() -> NetworkPlan {
    NetworkSpec {
        stem: Stem::Cifar,
        image: ImageShape { channels: 1, height: 8, width: 8 },
        classes: 3,
        init_channels: 4,
        stem_multiplier: 1,
        cells_per_stage: vec![1, 2],
        reduction: ReductionPosition::Last,
    }
    .plan()
    .unwrap()
}

fn net(genotype: &Genotype, seed: u64) -> EvalNet {
    EvalNet::new(&plan(), genotype, false, &Initialiser::new(seed, &Device::flex()))
}

fn bytes<M: Module>(module: &M) -> Vec<Vec<u8>> {
    params::values(module).into_iter().map(|value| value.data.as_bytes().to_vec()).collect()
}

/// Parameters of the cells, which the bank moves; the classifier lives on by itself.
fn cell_params(net: &EvalNet) -> usize {
    params::count(net) - (16 * 2 * 3 + 3)
}

#[test]
fn what_was_deposited_is_inherited() {
    let genotype = published("cdarts-2020-cifar").unwrap();
    let trained = net(&genotype, 1);
    let mut bank = WeightBank::default();
    let deposited = bank.deposit(&trained, &plan(), &genotype, PastSkip::Move);
    assert_eq!(deposited.parameters, cell_params(&trained));
    assert_eq!(deposited.passed_over, 0);

    let mut fresh = net(&genotype, 2);
    let bank = WeightBank::from_bytes(&bank.to_bytes().unwrap()).unwrap();
    let inherited = bank.inherit(&mut fresh, &plan(), &genotype, PastSkip::Move);
    assert_eq!((inherited.slots, inherited.parameters), (deposited.slots, deposited.parameters));
    let fresh = fresh.with_classifier_of(trained.clone());
    assert_eq!(bytes(&fresh), bytes(&trained));
    let ids = |net: &EvalNet| params::values(net).iter().map(|value| value.id.val()).collect::<Vec<_>>();
    assert_eq!(ids(&fresh), ids(&trained));
}

#[test]
fn published_inheritance_leaves_out_what_follows_a_skip() {
    // The normal cell's last node keeps (skip, 0), (skip, 4); its third (sep 3×3, 0), (sep 3×3, 1).
    let text = "Genotype(normal=[[('skip_connect', 0), ('sep_conv_3x3', 1)], [('sep_conv_3x3', 0), ('sep_conv_3x3', 1)], \
                [('sep_conv_3x3', 1), ('skip_connect', 0)], [('dil_conv_3x3', 0), ('dil_conv_5x5', 1)]], \
                normal_concat=range(2, 6), reduce=[[('skip_connect', 0), ('sep_conv_3x3', 1)], \
                [('skip_connect', 2), ('sep_conv_5x5', 1)], [('sep_conv_3x3', 0), ('sep_conv_3x3', 1)], \
                [('sep_conv_3x3', 0), ('sep_conv_3x3', 1)]], reduce_concat=range(2, 6))";
    let genotype: Genotype = text.parse().unwrap();
    let trained = net(&genotype, 1);
    let mut bank = WeightBank::default();
    let moved = bank.deposit(&trained, &plan(), &genotype, PastSkip::LeaveOut);
    // Two normal cells lose one separable convolution each; the reduction cell loses the one after the skip of
    // stride 1. Its skip of stride 2 has weights and breaks nothing off.
    assert_eq!(moved.passed_over, 3);
    // 2·(9 C + C²) with C = 8 for the normal cells of stage 2; 2·(25 C + C²) with C = 8 for the reduction cell.
    let lost = 2 * 2 * (9 * 8 + 64) + 2 * (25 * 8 + 64);
    assert_eq!(moved.parameters, cell_params(&trained) - lost);
}

#[test]
fn a_slot_that_was_never_used_keeps_its_initial_value() {
    let first = published("darts-v1").unwrap();
    let second = published("cdarts-2019-imagenet").unwrap();
    let mut bank = WeightBank::default();
    bank.deposit(&net(&first, 1), &plan(), &first, PastSkip::Move);
    let mut inherited = net(&second, 7);
    let moved = bank.inherit(&mut inherited, &plan(), &second, PastSkip::Move);
    assert!(moved.slots > 0 && moved.passed_over > 0, "{moved:?}");
    let untouched = bytes(&net(&second, 7)).iter().zip(bytes(&inherited)).filter(|(a, b)| **a == *b).count();
    let touched = bytes(&inherited).len() - untouched;
    assert!(touched > 0 && untouched > 0);
}

#[test]
fn a_damaged_bank_is_refused() {
    let genotype = published("darts-v1").unwrap();
    let mut bank = WeightBank::default();
    bank.deposit(&net(&genotype, 1), &plan(), &genotype, PastSkip::Move);
    let stored = bank.to_bytes().unwrap();
    for cut in [0, 7, 100, stored.len() - 1] {
        assert!(WeightBank::from_bytes(&stored[..cut]).is_err(), "{cut}");
    }
    let renamed = String::from_utf8_lossy(&stored).replace("sep_conv_3x3", "sep_conv_9x9").into_bytes();
    assert!(WeightBank::from_bytes(&renamed).is_err());
}

#[test]
fn weights_are_read_back_by_name() {
    let genotype = published("darts-v1").unwrap();
    let stored = cdarts_nets::weights::to_bytes(&net(&genotype, 1)).unwrap();
    let read = cdarts_nets::weights::from_bytes(net(&genotype, 2), &stored).unwrap();
    assert_eq!(bytes(&read), bytes(&net(&genotype, 1)));
    let other = published("darts-v2").unwrap();
    assert!(cdarts_nets::weights::from_bytes(net(&other, 2), &stored).is_err());
    let x = Tensor::<4>::ones([2, 4, 8, 8], &Device::flex());
    let x = cdarts_nets::State::new(x);
    let _ = read.forward([x.clone(), x], None);
}

#[test]
fn an_empty_bank_reads_back_empty() {
    // The safetensors library writes a header that it cannot read where there is metadata and no tensor.
    let stored = WeightBank::default().to_bytes().unwrap();
    assert!(WeightBank::from_bytes(&stored).unwrap().is_empty());
}

#[test]
fn running_statistics_are_not_inherited() {
    // Facts 1.6: parameters only. In training a norm uses the batch's own statistics, so nothing depends on them.
    let genotype = published("darts-v2").unwrap();
    let init = Initialiser::new(1, &Device::flex().autodiff());
    let build = || EvalNet::new(&plan(), &genotype, false, &init);
    let trained = build();
    let x = cdarts_nets::State::new(Tensor::<4>::ones([2, 4, 8, 8], &Device::flex().autodiff()));
    let _ = trained.forward([x.clone(), x], None);
    let stored = |net: &EvalNet| cdarts_nets::weights::to_bytes(net).unwrap();
    assert_ne!(stored(&trained), stored(&build()), "the forward pass was recorded");
    let mut bank = WeightBank::default();
    bank.deposit(&trained, &plan(), &genotype, PastSkip::Move);
    let mut inherited = build();
    bank.inherit(&mut inherited, &plan(), &genotype, PastSkip::Move);
    assert_eq!(stored(&inherited), stored(&build()));
}

#[test]
fn cells_of_nas_bench_201_and_their_residual_blocks_go_both_ways() {
    let image = ImageShape { channels: 1, height: 8, width: 8 };
    let plan = nas_bench_201::NetworkSpec { image, classes: 3, init_channels: 4, cells_per_stage: 2 };
    let plan = plan.plan().unwrap();
    let [first, second] =
        [1, 3].map(|cell| nas_bench_201::published(&format!("nas-bench-201-cell-{cell}")).unwrap());
    let net = |genotype, seed| EvalNet::new(&plan, genotype, true, &Initialiser::new(seed, &Device::flex()));
    let trained = net(first, 1);
    let mut bank = WeightBank::default();
    let moved = bank.deposit(&trained, &plan, first, PastSkip::LeaveOut);
    // Five convolutions in each of six cells, two blocks; nothing is left out behind the skip.
    assert_eq!((moved.slots, moved.passed_over), (6 * 5 + 2, 0));
    assert_eq!(moved.parameters, params::count(&trained) - (16 * 3 + 3));
    let bank = WeightBank::from_bytes(&bank.to_bytes().unwrap()).unwrap();

    let mut same = net(first, 2);
    bank.inherit(&mut same, &plan, first, PastSkip::Move);
    assert_eq!(bytes(&same.with_classifier_of(trained.clone())), bytes(&trained));
    let mut other = net(second, 2);
    let inherited = bank.inherit(&mut other, &plan, second, PastSkip::Move);
    let shared = first.ops.iter().zip(second.ops).filter(|(a, b)| **a == *b && a.kernel().is_some()).count();
    assert_eq!((shared, inherited.slots), (3, 6 * shared + 2));
}

// ---- any two genotypes ----------------------------------------------------------------------------

fn any_genotype() -> impl Strategy<Value = Genotype> {
    let node = |node: usize| {
        let edge = (0..Op::COUNT - 1, 0..node + 2).prop_map(|(op, source)| Edge { op: Op::ALL[op], source });
        (edge.clone(), edge).prop_map(|(a, b)| if a == b { vec![a] } else { vec![a, b] })
    };
    let cell = move || {
        (node(0), node(1), node(2), node(3)).prop_map(|(a, b, c, d)| CellGenotype::new(vec![a, b, c, d]))
    };
    (cell(), cell()).prop_map(|(normal, reduce)| Genotype { normal, reduce })
}

/// The edges with weights that a rule for skips moves, with their nodes.
fn moved_edges(genotype: &Genotype, kind: CellKind, past_skip: PastSkip) -> Vec<(usize, Edge)> {
    let mut moved = Vec::new();
    let nodes = &genotype.cell(kind).nodes;
    assert_eq!(nodes.len(), NODES);
    for (node, edges) in nodes.iter().enumerate() {
        for edge in edges {
            let identity = edge.op == Op::SkipConnect && (kind == CellKind::Normal || edge.source > 1);
            let pooling = matches!(edge.op, Op::MaxPool3x3 | Op::AvgPool3x3);
            if !identity && !pooling {
                moved.push((node, *edge));
            }
            if identity && past_skip == PastSkip::LeaveOut {
                break;
            }
        }
    }
    moved
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn exactly_the_weights_that_two_genotypes_share_are_moved(
        first in any_genotype(),
        second in any_genotype(),
        past_skip in prop::sample::select(vec![PastSkip::Move, PastSkip::LeaveOut]),
    ) {
        let mut bank = WeightBank::default();
        bank.deposit(&net(&first, 1), &plan(), &first, past_skip);
        let before = net(&second, 2);
        let mut after = before.clone();
        let moved = bank.inherit(&mut after, &plan(), &second, past_skip);

        let shared = |kind: CellKind| {
            let (first, second) = (moved_edges(&first, kind, past_skip), moved_edges(&second, kind, past_skip));
            second.iter().filter(|edge| first.contains(edge)).count()
        };
        // One reduction cell and two normal ones, each with its pre-processing.
        prop_assert_eq!(moved.slots, 3 + shared(CellKind::Reduction) + 2 * shared(CellKind::Normal));
        // Two random numbers of different seeds are never the same.
        let (before, after) = (bytes(&before), bytes(&after));
        let changed = before.iter().zip(&after).map(|(before, after)| {
            before.chunks(4).zip(after.chunks(4)).filter(|(before, after)| before != after).count()
        });
        prop_assert_eq!(moved.parameters, changed.sum::<usize>());
    }
}
