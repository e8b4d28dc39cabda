//! Parameter and multiply-add counts against the published networks (facts 3.6 and section 4).
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its network should fail")]

#[path = "support/published_costs.rs"]
mod published_costs;

use cdarts_space::{
    Genotype, ImageShape, NetworkPlan, NetworkSpec, Op, PUBLISHED, ReductionPosition, Stem, cost, published,
};
use published_costs::{TABLE, tenths_of_a_million};

fn cifar(init_channels: usize, classes: usize, cells: [usize; 3]) -> NetworkPlan {
    NetworkSpec {
        stem: Stem::Cifar,
        image: ImageShape { channels: 3, height: 32, width: 32 },
        classes,
        init_channels,
        stem_multiplier: 3,
        cells_per_stage: cells.to_vec(),
        reduction: ReductionPosition::Last,
    }
    .plan()
    .unwrap()
}

fn imagenet(init_channels: usize, cells: [usize; 3]) -> NetworkPlan {
    NetworkSpec {
        stem: Stem::Imagenet,
        image: ImageShape { channels: 3, height: 224, width: 224 },
        classes: 1000,
        init_channels,
        stem_multiplier: 1,
        cells_per_stage: cells.to_vec(),
        reduction: ReductionPosition::Last,
    }
    .plan()
    .unwrap()
}

fn evaluation(plan: &NetworkPlan, genotype: &Genotype, affine: bool) -> cost::Cost {
    cost::evaluation_network(plan, std::slice::from_ref(genotype), affine).unwrap()
}

#[test]
fn search_networks() {
    assert_eq!(cost::search_network(&cifar(16, 10, [3, 3, 2])).params, 1_930_618);
    assert_eq!(cost::search_network(&imagenet(16, [3, 3, 2])).params, 2_185_872);
}

#[test]
fn weight_banks_with_stem_and_classifier() {
    let outside_cells = |plan: &NetworkPlan| -> u64 {
        let all = cost::search_network(plan);
        all.layers.iter().filter(|layer| !layer.name.starts_with("stages.")).map(|layer| layer.params).sum()
    };
    for (plan, published) in [(cifar(16, 10, [7, 7, 6]), 4_548_730), (imagenet(16, [5, 5, 4]), 3_494_928)] {
        let bank = cost::weight_bank(&plan);
        assert_eq!(bank.params + outside_cells(&plan), published);
        assert_eq!(bank.macs, 0);
    }
}

#[test]
fn evaluation_networks_during_the_search() {
    let cifar_net = evaluation(&cifar(16, 10, [7, 7, 6]), &published("cdarts-cifar").unwrap(), false);
    assert_eq!(cifar_net.params, 805_306);
    let imagenet_net = evaluation(&imagenet(16, [5, 5, 4]), &published("cdarts-imagenet").unwrap(), false);
    assert_eq!(imagenet_net.params, 955_376);
}

#[test]
fn distillation_heads() {
    let heads = cifar(16, 10, [3, 3, 2]).distillation_heads();
    let params: Vec<u64> = heads.iter().map(|head| cost::head(head).params).collect();
    assert_eq!(params, [417_290, 433_674]);
}

#[test]
fn the_table_of_published_genotypes() {
    let names: Vec<&str> = PUBLISHED.iter().map(|known| known.name).collect();
    assert_eq!(names, TABLE.map(|row| row.0));
    for (name, cifar10, cifar10_macs, cifar100, imagenet_params, imagenet_macs, search_time) in TABLE {
        let genotype = published(name).unwrap();
        let small = evaluation(&cifar(36, 10, [7, 7, 6]), &genotype, true);
        assert_eq!(small.params, cifar10, "{name}, CIFAR-10");
        assert_eq!(tenths_of_a_million(small.macs), cifar10_macs, "{name}, CIFAR-10");
        let hundred = evaluation(&cifar(36, 100, [7, 7, 6]), &genotype, true);
        assert_eq!(hundred.params, cifar100, "{name}, CIFAR-100");
        let large = evaluation(&imagenet(48, [5, 5, 4]), &genotype, true);
        assert_eq!(large.params, imagenet_params, "{name}, ImageNet");
        assert_eq!(tenths_of_a_million(large.macs), imagenet_macs, "{name}, ImageNet");
        let searching = evaluation(&cifar(16, 10, [7, 7, 6]), &genotype, false);
        assert_eq!(searching.params, search_time, "{name}, during the search");
    }
}

#[test]
fn layers_add_up_and_are_named_once() {
    let net = cost::search_network(&cifar(16, 10, [3, 3, 2]));
    assert_eq!(net.layers.iter().map(|layer| layer.params).sum::<u64>(), net.params);
    assert_eq!(net.layers.iter().map(|layer| layer.macs).sum::<u64>(), net.macs);
    // Stem, classifier, and in each of 8 cells two pre-processings and 14 edges of 8 operations.
    assert_eq!(net.layers.len(), 2 + 8 * (2 + 14 * Op::COUNT));
    let mut names: Vec<&str> = net.layers.iter().map(|layer| layer.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), net.layers.len());
}

#[test]
fn single_layers_by_hand() {
    let net = cost::search_network(&cifar(16, 10, [3, 3, 2]));
    let layer = |name: &str| net.layers.iter().find(|layer| layer.name == name).unwrap();
    let stem = layer("stem.conv0");
    assert_eq!((stem.params, stem.macs, stem.out), (27 * 48 + 96, 27 * 48 * 1024, [48, 32, 32]));
    // Depthwise and pointwise, twice, on 16 channels of 32x32.
    let separable = layer("stages.0.cells.0.edges.0.sep_conv_5x5");
    assert_eq!(separable.params, 2 * (25 * 16 + 16 * 16));
    assert_eq!(separable.macs, 2 * (25 * 16 + 16 * 16) * 1024);
    // From an input of a reduction cell: a factorised reduction on 32 channels, put out at 16x16.
    let skip = layer("stages.0.cells.2.edges.0.skip_connect");
    assert_eq!((skip.params, skip.macs, skip.out), (32 * 32, 32 * 32 * 256, [32, 16, 16]));
    // From a node of it: the identity.
    assert_eq!(layer("stages.0.cells.2.edges.4.skip_connect").params, 0);
    assert_eq!(layer("classifier").macs, 2560);
}

#[test]
fn a_genotype_a_stage() {
    let plan = cifar(16, 10, [7, 7, 6]);
    let [a, b] = ["cdarts-cifar", "darts-v1"].map(|name| published(name).unwrap());
    let same = cost::evaluation_network(&plan, &[a.clone(), a.clone(), a.clone()], false).unwrap();
    assert_eq!(same, evaluation(&plan, &a, false));
    let mixed = cost::evaluation_network(&plan, &[a.clone(), b.clone(), b.clone()], false).unwrap();
    assert!(mixed.params < same.params && mixed.params > evaluation(&plan, &b, false).params);
    for wrong in [vec![], vec![a.clone(), b]] {
        let error = cost::evaluation_network(&plan, &wrong, false).unwrap_err();
        assert_eq!(error, cdarts_space::SpaceError::GenotypeCount { expected: 3, found: wrong.len() });
    }
    let mut broken = a;
    broken.normal.nodes[0][0].op = Op::None;
    assert!(cost::evaluation_network(&plan, &[broken], false).is_err());
}

#[test]
fn output_values_count_every_layer() {
    let head = &cifar(16, 10, [3, 3, 2]).distillation_heads()[1];
    let cost = cost::head(head);
    assert_eq!((cost.output_values(), cost.activation_bytes), (128 * 4 + 768 + 10, 4 * (128 * 4 + 768 + 10)));
    let bytes: Vec<u64> = cost.layers.iter().map(|layer| layer.activation_bytes).collect();
    assert_eq!(bytes.iter().sum::<u64>(), cost.activation_bytes);
}

#[test]
fn costs_of_absurd_networks_saturate() {
    let plan = NetworkSpec {
        stem: Stem::Cifar,
        image: ImageShape { channels: 1 << 20, height: 1 << 16, width: 1 << 16 },
        classes: 1 << 24,
        init_channels: 1 << 18,
        stem_multiplier: 4,
        cells_per_stage: vec![2],
        reduction: ReductionPosition::Last,
    }
    .plan()
    .unwrap();
    assert_eq!(cost::search_network(&plan).macs, u64::MAX);
}
