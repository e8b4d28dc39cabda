//! Networks of NAS-Bench-201: channels, sizes, heads and counts (facts section 6).
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a test that cannot plan its network should fail")]

use cdarts_space::cost::head;
use cdarts_space::nas_bench_201::{
    CELLS, CellPlan, EDGES, Genotype, NetworkPlan, NetworkSpec, Op, PUBLISHED, ReductionPlan, cost,
};
use cdarts_space::{HeadPlan, ImageShape, SpaceError};
use proptest::prelude::*;

fn published() -> NetworkPlan {
    NetworkSpec::published(10).plan().unwrap()
}

fn with_side(side: usize) -> NetworkPlan {
    let image = ImageShape { channels: 1, height: side, width: side };
    NetworkSpec { image, classes: 10, init_channels: 4, cells_per_stage: 1 }.plan().unwrap()
}

// ---- layout ---------------------------------------------------------------------------------------

#[test]
fn the_published_skeleton() {
    let plan = published();
    assert_eq!((plan.stem_channels, plan.classifier_in, plan.stages.len()), (16, 64, 3));
    for (stage, (channels, side)) in plan.stages.iter().zip([(16, 32), (32, 16), (64, 8)]) {
        assert_eq!(stage.cells, vec![CellPlan { channels, size: [side; 2] }; 5]);
    }
    let outputs: Vec<_> = plan.stages.iter().map(|stage| (stage.out_channels, stage.out_size)).collect();
    assert_eq!(outputs, [(32, [16; 2]), (64, [8; 2]), (64, [8; 2])]);
    let block = ReductionPlan { in_channels: 32, out_channels: 64, in_size: [16; 2], out_size: [8; 2] };
    assert_eq!(plan.stages[1].reduction, Some(block));
    assert_eq!(plan.stages[2].reduction, None);
}

#[test]
fn heads_at_every_size() {
    let windows = |plan: &NetworkPlan| -> Vec<[usize; 4]> {
        let window =
            |head: &HeadPlan| [head.size[0], head.pool[0], head.pool_stride[0], head.feature_size()[0]];
        plan.distillation_heads().iter().map(window).collect()
    };
    assert_eq!(windows(&published()), [[16, 6, 2, 5], [8, 6, 2, 1]]);
    assert_eq!(windows(&with_side(8)), [[4, 2, 2, 1], [2, 1, 1, 1]]);
    assert_eq!(windows(&with_side(3)), [[2, 1, 1, 1], [1, 1, 1, 1]]);
    let heads = published().distillation_heads();
    assert!(heads.iter().enumerate().all(|(stage, head)| head.stage == stage && !head.affine));
}

#[test]
fn counts_out_of_range_are_named() {
    let good = NetworkSpec::published(10);
    let refused = |change: &dyn Fn(&mut NetworkSpec)| {
        let mut bad = good.clone();
        change(&mut bad);
        bad.plan().unwrap_err()
    };
    let few = |what| SpaceError::TooFew { what, minimum: 1, found: 0 };
    assert_eq!(refused(&|bad| bad.init_channels = 0), few("init_channels"));
    assert_eq!(refused(&|bad| bad.cells_per_stage = 0), few("cells_per_stage"));
    assert_eq!(refused(&|bad| bad.classes = 0), few("classes"));
    assert_eq!(refused(&|bad| bad.image.channels = 0), few("image.channels"));
    for absurd in [usize::MAX, 1 << 40] {
        let many = |error: SpaceError| assert!(matches!(error, SpaceError::TooMany { .. }), "{error}");
        many(refused(&|bad| bad.init_channels = absurd));
        many(refused(&|bad| bad.cells_per_stage = absurd));
        many(refused(&|bad| bad.image.width = absurd));
    }
    let small = refused(&|bad| bad.image.height = 2);
    assert_eq!(small.to_string(), "network: images of 2x32 are too small; 2 halvings need at least 3x3");
}

// ---- counts ---------------------------------------------------------------------------------------

#[test]
fn sizes_of_the_search_network_and_its_heads() {
    let plan = published();
    let net = cost::search_network(&plan);
    let classifier = net.layers.last().unwrap();
    assert_eq!((classifier.name.as_str(), classifier.params), ("classifier", 650));
    assert_eq!(net.params - classifier.params, 1_685_328);
    let heads: Vec<u64> = plan.distillation_heads().iter().map(|plan| head(plan).params).collect();
    assert_eq!(heads, [405_002, 409_098]);
    // Stem, classifier, two residual blocks of three convolutions, and 15 cells of 6 edges of 5 operations.
    assert_eq!(net.layers.len(), 2 + 2 * 3 + 15 * EDGES * Op::COUNT);
}

#[test]
fn sizes_of_the_published_cells() {
    let sizes: Vec<u64> = PUBLISHED
        .iter()
        .map(|known| cost::evaluation_network(&published(), &known.genotype(), true).params)
        .collect();
    assert_eq!(sizes, [1_073_338, 830_298, 802_298]);
}

#[test]
fn multiply_adds_by_hand() {
    let net = cost::evaluation_network(&published(), &PUBLISHED[0].genotype(), true);
    // 16 channels at 1024 pixels, 32 at 256 and 64 at 64 cost the same; a cell has four 3x3 and one 1x1.
    let cell = (4 * 9 + 1) * 16 * 16 * 1024;
    // A block from c at a stage's size: 3x3 c to 2c, 3x3 2c to 2c, 1x1 c to 2c at a quarter of the pixels.
    let block = (18 + 36 + 2) * 16 * 16 * 256;
    assert_eq!(net.macs, 27 * 16 * 1024 + 15 * cell + 2 * block + 640);
    let layer = |name: &str| net.layers.iter().find(|layer| layer.name == name).unwrap();
    assert_eq!(layer("stages.1.cells.4.edges.4.nor_conv_1x1").params, 32 * 32 + 64);
    assert_eq!(layer("stages.0.reduction.conv0").out, [32, 16, 16]);
    assert_eq!(layer("stages.1.reduction.shortcut").params, 32 * 64);
    assert_eq!(layer("stages.2.cells.0.edges.3.skip_connect").params, 0);
}

#[test]
fn batch_norms_of_cells_lose_scale_and_shift_where_they_are_not_affine() {
    for known in PUBLISHED {
        let genotype = known.genotype();
        let [affine, plain] =
            [true, false].map(|affine| cost::evaluation_network(&published(), &genotype, affine));
        let convolutions = genotype.ops.iter().filter(|op| op.kernel().is_some()).count() as u64;
        // Five cells of 16, 32 and 64 channels.
        assert_eq!(affine.params - plain.params, convolutions * 5 * 2 * (16 + 32 + 64));
        assert_eq!(affine.macs, plain.macs);
    }
}

#[test]
fn an_edge_of_the_evaluation_network_is_one_of_the_search_network() {
    let plan = with_side(9);
    let search = cost::search_network(&plan);
    for genotype in Genotype::all().step_by(CELLS / 40) {
        let net = cost::evaluation_network(&plan, &genotype, false);
        assert_eq!(net.layers.iter().map(|layer| layer.params).sum::<u64>(), net.params);
        assert!(net.layers.iter().all(|layer| search.layers.contains(layer)));
    }
}

proptest! {
    #[test]
    fn stages_fit_together(
        height in 3usize..200, width in 3usize..200, colours in 1usize..5, init_channels in 1usize..40, cells_per_stage in 1usize..9,
    ) {
        let image = ImageShape { channels: colours, height, width };
        let plan = NetworkSpec { image, classes: 7, init_channels, cells_per_stage }.plan().unwrap();
        let (mut channels, mut size) = (init_channels, [height, width]);
        for stage in &plan.stages {
            prop_assert_eq!(stage.cells.len(), cells_per_stage);
            prop_assert!(stage.cells.iter().all(|cell| (cell.channels, cell.size) == (channels, size)));
            if let Some(block) = stage.reduction {
                prop_assert_eq!((block.in_channels, block.in_size), (channels, size));
                prop_assert_eq!(block.out_size, size.map(|side| side.div_ceil(2)));
                (channels, size) = (2 * channels, block.out_size);
            }
            prop_assert_eq!((stage.out_channels, stage.out_size), (channels, size));
        }
        prop_assert_eq!(plan.classifier_in, channels);
        for plan in plan.distillation_heads() {
            for d in [0, 1] {
                prop_assert!(plan.pool[d] <= plan.size[d] && plan.conv_kernel[d] <= plan.pooled_size()[d]);
            }
        }
    }

    #[test]
    fn any_numbers_plan_or_are_refused(numbers in any::<[usize; 6]>()) {
        let [channels, height, width, classes, init_channels, cells_per_stage] = numbers;
        let spec = NetworkSpec { image: ImageShape { channels, height, width }, classes, init_channels, cells_per_stage };
        if let Ok(plan) = spec.plan() {
            cost::search_network(&plan);
        }
        let json = serde_json::to_string(&spec).unwrap();
        prop_assert_eq!(serde_json::from_str::<NetworkSpec>(&json).unwrap(), spec);
    }
}
