//! Exact sizes of the published networks (facts 3.6 and 4): the built modules against known numbers, and
//! against the counts that `cdarts-space` makes without building anything.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use burn::tensor::Device;
use cdarts_nets::{DistillHeads, EvalNet, FoundNet, Head, Initialiser, Stem, Supernet, params};
use cdarts_space::{
    Genotype, ImageShape, NetworkPlan, NetworkSpec, PUBLISHED, ReductionPosition, Stem as StemKind, cost,
    nas_bench_201, published,
};

fn cifar(init_channels: usize, cells: [usize; 3]) -> NetworkPlan {
    NetworkSpec {
        stem: StemKind::Cifar,
        image: ImageShape { channels: 3, height: 32, width: 32 },
        classes: 10,
        init_channels,
        stem_multiplier: 3,
        cells_per_stage: cells.to_vec(),
        reduction: ReductionPosition::Last,
    }
    .plan()
    .unwrap()
}

fn init() -> Initialiser {
    Initialiser::new(0, &Device::flex())
}

fn genotype(name: &str) -> Genotype {
    published(name).unwrap()
}

#[test]
fn the_search_network_has_darts_size() {
    let plan = cifar(16, [3, 3, 2]);
    let stem = params::count(&Stem::of(&plan, &mut init()));
    let network = params::count(&Supernet::new(&plan, &init()));
    assert_eq!(stem + network, 1_930_618);
}

#[test]
fn the_distillation_heads_have_the_published_sizes() {
    let plan = cifar(16, [3, 3, 2]);
    let sizes: Vec<usize> =
        plan.distillation_heads().iter().map(|p| params::count(&Head::new(p, false, &mut init()))).collect();
    assert_eq!(sizes, [417_290, 433_674]);
    assert_eq!(params::count(&DistillHeads::new(&plan, &init())), 417_290 + 433_674);
}

#[test]
fn found_networks_have_the_published_sizes() {
    let plan = cifar(36, [7, 7, 6]);
    for (name, expected) in [("cdarts-cifar", 3_859_318), ("darts-v2", 3_349_342)] {
        assert_eq!(FoundNet::new(&plan, genotype(name), true, &init()).params(), expected, "{name}");
    }
}

#[test]
fn the_search_time_evaluation_network_has_its_size() {
    let plan = cifar(16, [7, 7, 6]);
    let stem = params::count(&Stem::of(&plan, &mut init()));
    let network = params::count(&EvalNet::new(&plan, genotype("cdarts-cifar"), false, &init()));
    assert_eq!(stem + network, 805_306);
}

#[test]
fn every_published_cell_is_built_as_it_is_counted() {
    let imagenet = NetworkSpec {
        stem: StemKind::Imagenet,
        image: ImageShape { channels: 3, height: 64, width: 48 },
        classes: 7,
        init_channels: 8,
        stem_multiplier: 1,
        cells_per_stage: vec![2, 1, 2],
        reduction: ReductionPosition::Last,
    };
    let resnet = NetworkSpec {
        stem: StemKind::ResNet,
        cells_per_stage: vec![1, 2, 1, 1],
        reduction: ReductionPosition::First,
        ..imagenet.clone()
    };
    let plans = [cifar(4, [2, 2, 1]), imagenet.plan().unwrap(), resnet.plan().unwrap()];
    for published in PUBLISHED {
        for plan in &plans {
            let counted = cost::evaluation_network(plan, &[published.genotype()], true).unwrap().params;
            let built = FoundNet::new(plan, published.genotype(), true, &init()).params();
            assert_eq!(built as u64, counted, "{}", published.name);
        }
    }
}

#[test]
fn networks_of_nas_bench_201_have_the_published_sizes() {
    let plan = nas_bench_201::NetworkSpec::published(10).plan().unwrap();
    let stem = params::count(&Stem::of(&plan, &mut init()));
    let net = Supernet::new(&plan, &init());
    let classifier = params::count(net.classifier());
    assert_eq!((stem + params::count(&net) - classifier, classifier), (1_685_328, 650));
    let heads: Vec<usize> =
        plan.distillation_heads().iter().map(|p| params::count(&Head::new(p, false, &mut init()))).collect();
    assert_eq!(heads, [405_002, 409_098]);
    assert_eq!(params::count(&DistillHeads::new(&plan, &init())), 405_002 + 409_098);
    for (cell, expected) in [(1, 1_073_338), (2, 830_298), (3, 802_298)] {
        let genotype = nas_bench_201::published(&format!("nas-bench-201-cell-{cell}")).unwrap();
        assert_eq!(FoundNet::new(&plan, genotype, true, &init()).params(), expected, "cell {cell}");
        let net = EvalNet::new(&plan, genotype, true, &init());
        assert_eq!(stem + params::count(&net), expected, "cell {cell}");
        for affine in [false, true] {
            let counted = nas_bench_201::cost::evaluation_network(&plan, &genotype, affine).params;
            let built = stem + params::count(&EvalNet::new(&plan, genotype, affine, &init()));
            assert_eq!(built as u64, counted, "cell {cell}, affine {affine}");
        }
    }
}
