//! Channels and sizes of planned networks against facts 3.3 to 3.5, and what any plan must satisfy.
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its network should fail")]

use cdarts_space::{
    CellKind, CellPlan, HeadPlan, ImageShape, NetworkPlan, NetworkSpec, ReductionPosition, SpaceError, Stem,
    cost,
};
use proptest::prelude::*;

fn spec(stem: Stem, side: usize, channels: usize, multiplier: usize, cells: &[usize]) -> NetworkSpec {
    NetworkSpec {
        stem,
        image: ImageShape { channels: 3, height: side, width: side },
        classes: 10,
        init_channels: channels,
        stem_multiplier: multiplier,
        cells_per_stage: cells.to_vec(),
        reduction: if stem == Stem::ResNet { ReductionPosition::First } else { ReductionPosition::Last },
    }
}

fn plan(stem: Stem, side: usize, channels: usize, multiplier: usize, cells: &[usize]) -> NetworkPlan {
    spec(stem, side, channels, multiplier, cells).plan().unwrap()
}

fn cells(plan: &NetworkPlan) -> Vec<&CellPlan> {
    plan.stages.iter().flat_map(|stage| &stage.cells).collect()
}

fn reduction_cells(plan: &NetworkPlan) -> Vec<usize> {
    let cells = cells(plan);
    (0..cells.len()).filter(|&cell| cells[cell].kind == CellKind::Reduction).collect()
}

fn stage_outputs(plan: &NetworkPlan) -> Vec<(usize, usize)> {
    plan.stages.iter().map(|stage| (stage.out_channels, stage.out_size[0])).collect()
}

// ---- published networks ---------------------------------------------------------------------------

#[test]
fn stage_outputs_of_the_published_networks() {
    let search = plan(Stem::Cifar, 32, 16, 3, &[3, 3, 2]);
    assert_eq!((search.stem.out_channels, search.stem.size_s0, search.stem.size_s1), (48, [32; 2], [32; 2]));
    assert_eq!(stage_outputs(&search), [(128, 16), (256, 8), (256, 8)]);
    let retrain = plan(Stem::Cifar, 32, 36, 3, &[7, 7, 6]);
    assert_eq!(retrain.stem.out_channels, 108);
    assert_eq!(stage_outputs(&retrain), [(288, 16), (576, 8), (576, 8)]);
    let search = plan(Stem::Imagenet, 224, 16, 1, &[3, 3, 2]);
    assert_eq!((search.stem.out_channels, search.stem.size_s0, search.stem.size_s1), (16, [56; 2], [28; 2]));
    assert_eq!(stage_outputs(&search), [(128, 14), (256, 7), (256, 7)]);
    let retrain = plan(Stem::Imagenet, 224, 48, 1, &[5, 5, 4]);
    assert_eq!(retrain.stem.out_channels, 48);
    assert_eq!(stage_outputs(&retrain), [(384, 14), (768, 7), (768, 7)]);
    assert_eq!(retrain.classifier_in, 768);
}

#[test]
fn reduction_cells_of_the_published_networks() {
    assert_eq!(reduction_cells(&plan(Stem::Cifar, 32, 16, 3, &[3, 3, 2])), [2, 5]);
    assert_eq!(reduction_cells(&plan(Stem::Cifar, 32, 36, 3, &[7, 7, 6])), [6, 13]);
    assert_eq!(reduction_cells(&plan(Stem::Imagenet, 224, 48, 1, &[5, 5, 4])), [4, 9]);
    assert_eq!(reduction_cells(&plan(Stem::ResNet, 224, 16, 1, &[2, 2, 2, 2])), [2, 4, 6]);
    assert_eq!(reduction_cells(&plan(Stem::ResNet, 224, 16, 1, &[3, 4, 3, 4])), [3, 7, 10]);
}

#[test]
fn a_stage_after_a_reducing_stage() {
    let search = plan(Stem::Cifar, 32, 16, 3, &[3, 3, 2]);
    let first_of_second_stage = CellPlan {
        kind: CellKind::Normal,
        channels: 32,
        channels_two_back: 64,
        channels_one_back: 128,
        previous_reduces: true,
        size_two_back: [32; 2],
        size_one_back: [16; 2],
        out_size: [16; 2],
    };
    assert_eq!(search.stages[1].cells[0], first_of_second_stage);
    assert!(!search.stages[0].cells[0].previous_reduces);
    assert!(!search.stages[1].cells[1].previous_reduces);
}

#[test]
fn the_imagenet_stem_counts_as_a_reduction() {
    let first = &plan(Stem::Imagenet, 224, 48, 1, &[5, 5, 4]).stages[0].cells[0];
    assert!(first.previous_reduces);
    assert_eq!((first.size_two_back, first.size_one_back), ([56; 2], [28; 2]));
    assert_eq!((first.channels_two_back, first.channels_one_back), (48, 48));
}

#[test]
fn stages_that_reduce_first() {
    let net = plan(Stem::ResNet, 224, 16, 1, &[2, 2, 2, 2]);
    assert_eq!(stage_outputs(&net), [(64, 56), (128, 28), (256, 14), (512, 7)]);
    for stage in &net.stages {
        let start = &stage.cells[0];
        assert_eq!(start.channels_two_back, start.channels_one_back);
        assert!(!start.previous_reduces);
    }
    let second = &net.stages[1].cells[1];
    assert!(second.previous_reduces);
    assert_eq!((second.channels_two_back, second.channels_one_back), (64, 128));
}

// ---- heads ----------------------------------------------------------------------------------------

fn shape(head: &HeadPlan) -> (usize, usize, usize, usize, usize) {
    assert_eq!(head.size[0], head.size[1]);
    (head.stage, head.in_channels, head.size[0], head.pool[0], head.feature_size()[0])
}

#[test]
fn distillation_heads_of_the_published_networks() {
    let heads = |plan: &NetworkPlan| plan.distillation_heads().iter().map(shape).collect::<Vec<_>>();
    let cifar = heads(&plan(Stem::Cifar, 32, 16, 3, &[3, 3, 2]));
    assert_eq!(cifar, [(0, 128, 16, 6, 5), (1, 256, 8, 6, 1)]);
    let imagenet = heads(&plan(Stem::Imagenet, 224, 16, 1, &[3, 3, 2]));
    assert_eq!(imagenet, [(0, 128, 14, 6, 4), (1, 256, 7, 5, 1)]);
    let res_stem = heads(&plan(Stem::ResNet, 224, 16, 1, &[2, 2, 2, 2]));
    assert_eq!(res_stem, [(1, 128, 28, 14, 7), (2, 256, 14, 6, 4)]);
}

#[test]
fn auxiliary_heads_of_the_published_networks() {
    let head = |stem, side, channels, multiplier, cells: &[usize]| {
        plan(stem, side, channels, multiplier, cells).auxiliary_head().unwrap()
    };
    let cifar = head(Stem::Cifar, 32, 36, 3, &[7, 7, 6]);
    assert_eq!((shape(&cifar), cifar.pool_stride), ((1, 576, 8, 5, 1), [3; 2]));
    assert!(cifar.norm_after_conv && cifar.affine);
    // 1x1 and 2x2 convolutions, two affine norms, a linear layer.
    let params = 576 * 128 + 2 * 128 + 128 * 768 * 4 + 2 * 768 + 768 * 10 + 10;
    assert_eq!(cost::head(&cifar).params, params);
    let imagenet = head(Stem::Imagenet, 224, 48, 1, &[5, 5, 4]);
    assert_eq!((shape(&imagenet), imagenet.pool_stride), ((1, 768, 7, 5, 1), [2; 2]));
    assert!(!imagenet.norm_after_conv);
    let params = 768 * 128 + 2 * 128 + 128 * 768 * 4 + 768 * 10 + 10;
    assert_eq!(cost::head(&imagenet).params, params);
    let res_stem = head(Stem::ResNet, 224, 48, 1, &[3, 4, 3, 4]);
    assert_eq!((shape(&res_stem), res_stem.pool_stride), ((2, 768, 14, 12, 1), [2; 2]));
}

#[test]
fn heads_on_small_features() {
    // 8x8 images leave 4x4, 2x2 and 1x1 features in three reducing stages.
    let digits = plan(Stem::Cifar, 8, 4, 3, &[1, 1, 1, 1]);
    let windows: Vec<_> = digits
        .distillation_heads()
        .iter()
        .map(|head| (head.size[0], head.pool[0], head.pool_stride[0], head.conv_kernel[0]))
        .collect();
    assert_eq!(windows, [(4, 2, 2, 2), (2, 1, 1, 2), (1, 1, 1, 1)]);
    let auxiliary = |side: usize| {
        let head = plan(Stem::Cifar, side, 4, 3, &[1, 1]).auxiliary_head().unwrap();
        (head.size[0], head.pool[0], head.pool_stride[0], head.conv_kernel[0], head.feature_size()[0])
    };
    assert_eq!([auxiliary(8), auxiliary(14)], [(4, 1, 3, 2, 1), (7, 4, 3, 2, 1)]);
    let two = plan(Stem::Cifar, 8, 4, 3, &[1, 1, 1]).auxiliary_head().unwrap();
    assert_eq!((two.size[0], two.pool[0], two.pool_stride[0], two.conv_kernel[0]), (2, 1, 1, 2));
    let three = plan(Stem::Cifar, 9, 4, 3, &[1, 1, 1]).auxiliary_head().unwrap();
    assert_eq!((three.size[0], three.pool[0], three.pool_stride[0], three.conv_kernel[0]), (3, 2, 1, 2));
    assert_eq!(three.feature_size(), [1, 1]);
}

#[test]
fn a_network_of_one_stage_has_no_heads() {
    let net = plan(Stem::Cifar, 32, 16, 3, &[4]);
    assert!(reduction_cells(&net).is_empty());
    assert!(net.distillation_heads().is_empty());
    assert_eq!(net.auxiliary_head(), None);
}

#[test]
fn sides_of_an_image_are_planned_apart() {
    let mut wide = spec(Stem::Cifar, 28, 16, 3, &[2, 2, 2]);
    wide.image = ImageShape { channels: 1, height: 9, width: 33 };
    let net = wide.plan().unwrap();
    assert_eq!(net.stages.iter().map(|stage| stage.out_size).collect::<Vec<_>>(), [[5, 17], [3, 9], [3, 9]]);
    let heads = net.distillation_heads();
    assert_eq!((heads[1].size, heads[1].pool, heads[1].pooled_size()), ([3, 9], [1, 6], [2, 2]));
}

// ---- what is refused ------------------------------------------------------------------------------

#[test]
fn counts_out_of_range_are_named() {
    let good = spec(Stem::Cifar, 32, 16, 3, &[3, 3, 2]);
    let refused = |change: &dyn Fn(&mut NetworkSpec)| {
        let mut bad = good.clone();
        change(&mut bad);
        bad.plan().unwrap_err()
    };
    let few = |what| SpaceError::TooFew { what, minimum: 1, found: 0 };
    assert_eq!(refused(&|bad| bad.init_channels = 0), few("init_channels"));
    assert_eq!(refused(&|bad| bad.stem_multiplier = 0), few("stem_multiplier"));
    assert_eq!(refused(&|bad| bad.classes = 0), few("classes"));
    assert_eq!(refused(&|bad| bad.image.channels = 0), few("image.channels"));
    assert_eq!(refused(&|bad| bad.image.width = 0), few("image.width"));
    assert_eq!(refused(&|bad| bad.cells_per_stage.clear()), few("cells_per_stage"));
    assert_eq!(refused(&|bad| bad.cells_per_stage[1] = 0), SpaceError::EmptyStage { stage: 1 });
    for absurd in [usize::MAX, usize::MAX / 8, 1 << 40] {
        let many = |error: SpaceError| assert!(matches!(error, SpaceError::TooMany { .. }), "{error}");
        many(refused(&|bad| bad.init_channels = absurd));
        many(refused(&|bad| bad.stem_multiplier = absurd));
        many(refused(&|bad| bad.classes = absurd));
        many(refused(&|bad| bad.image.height = absurd));
        many(refused(&|bad| bad.cells_per_stage[0] = absurd));
        many(refused(&|bad| bad.cells_per_stage = vec![absurd; 3]));
    }
    // Channels double in every stage but one.
    let error = refused(&|bad| bad.cells_per_stage = vec![1; 100]);
    assert!(error.to_string().contains("channels of the last stage"), "{error}");
}

#[test]
fn the_imagenet_stem_needs_even_channels() {
    let error = spec(Stem::Imagenet, 224, 15, 2, &[3, 3, 2]).plan().unwrap_err();
    assert_eq!(error, SpaceError::OddChannels { what: "init_channels", found: 15 });
    assert!(spec(Stem::Cifar, 32, 15, 3, &[3, 3, 2]).plan().is_ok());
}

#[test]
fn small_images_are_refused_at_the_exact_side() {
    for (stem, stages, needed) in [
        (Stem::Cifar, 1, 8),
        (Stem::Cifar, 3, 8),
        (Stem::Cifar, 5, 9),
        (Stem::Imagenet, 1, 5),
        (Stem::Imagenet, 3, 17),
        (Stem::ResNet, 4, 17),
    ] {
        let net = |side| spec(stem, side, 4, 1, &vec![1; stages]).plan();
        assert!(net(needed).is_ok(), "{stem:?} {stages} {needed}");
        let error = net(needed - 1).unwrap_err();
        assert!(
            matches!(error, SpaceError::ImageTooSmall { found, .. } if found == [needed - 1; 2]),
            "{error}"
        );
        assert!(error.to_string().contains(&format!("at least {needed}x{needed}")), "{error}");
    }
}

// ---- any network ----------------------------------------------------------------------------------

prop_compose! {
    fn any_spec()(
        stem in prop_oneof![Just(Stem::Cifar), Just(Stem::Imagenet), Just(Stem::ResNet)],
        height in 1usize..300,
        width in 1usize..300,
        colours in 1usize..5,
        half_channels in 1usize..20,
        stem_multiplier in 1usize..4,
        cells_per_stage in prop::collection::vec(1usize..5, 1..6),
        first in any::<bool>(),
    ) -> NetworkSpec {
        NetworkSpec {
            stem,
            image: ImageShape { channels: colours, height, width },
            classes: 7,
            init_channels: 2 * half_channels,
            stem_multiplier,
            cells_per_stage,
            reduction: if first { ReductionPosition::First } else { ReductionPosition::Last },
        }
    }
}

/// Channels and size of stem and cell outputs, in order: s0, s1, cell 0, cell 1, …
fn outputs(plan: &NetworkPlan) -> Vec<(usize, [usize; 2])> {
    let stem = [plan.stem.size_s0, plan.stem.size_s1].map(|size| (plan.stem.out_channels, size));
    stem.into_iter().chain(cells(plan).iter().map(|cell| (cell.out_channels(), cell.out_size))).collect()
}

proptest! {
    #[test]
    fn every_cell_reads_the_two_outputs_before_it(spec in any_spec()) {
        let Ok(plan) = spec.plan() else { return Ok(()) };
        let outputs = outputs(&plan);
        let mut channels = spec.init_channels;
        for (i, cell) in cells(&plan).into_iter().enumerate() {
            prop_assert_eq!((cell.channels_two_back, cell.size_two_back), outputs[i]);
            prop_assert_eq!((cell.channels_one_back, cell.size_one_back), outputs[i + 1]);
            let half = |size: [usize; 2]| size.map(|side| side.div_ceil(2));
            let two_back = if cell.previous_reduces { half(cell.size_two_back) } else { cell.size_two_back };
            prop_assert_eq!(two_back, cell.size_one_back);
            if cell.kind == CellKind::Reduction {
                channels *= 2;
                prop_assert_eq!(cell.out_size, half(cell.size_one_back));
                prop_assert!(cell.size_one_back.iter().all(|&side| side > 1));
            } else {
                prop_assert_eq!(cell.out_size, cell.size_one_back);
            }
            prop_assert_eq!(cell.channels, channels);
        }
        prop_assert_eq!(reduction_cells(&plan).len(), plan.stages.len() - 1);
        prop_assert_eq!(plan.classifier_in, outputs[outputs.len() - 1].0);
        for (stage, cells) in plan.stages.iter().zip(&spec.cells_per_stage) {
            prop_assert_eq!(stage.cells.len(), *cells);
        }
    }

    #[test]
    fn every_head_leaves_something_to_classify(spec in any_spec()) {
        let Ok(plan) = spec.plan() else { return Ok(()) };
        let mut heads = plan.distillation_heads();
        prop_assert!(heads.windows(2).all(|pair| pair[0].stage < pair[1].stage));
        heads.extend(plan.auxiliary_head());
        for head in heads {
            let stage = &plan.stages[head.stage];
            prop_assert_eq!((head.in_channels, head.size), (stage.out_channels, stage.out_size));
            for d in [0, 1] {
                prop_assert!(head.pool[d] <= head.size[d] && head.pool_stride[d] >= 1);
                prop_assert!(head.conv_kernel[d] <= head.pooled_size()[d]);
                prop_assert!(head.feature_size()[d] >= 1);
            }
            prop_assert!(cost::head(&head).params > 0);
        }
    }

    #[test]
    fn any_numbers_plan_or_are_refused(
        image in any::<[usize; 3]>(),
        numbers in any::<[usize; 3]>(),
        cells_per_stage in prop::collection::vec(any::<usize>(), 0..4),
    ) {
        let [channels, height, width] = image;
        let [classes, init_channels, stem_multiplier] = numbers;
        let image = ImageShape { channels, height, width };
        let reduction = ReductionPosition::Last;
        for stem in [Stem::Cifar, Stem::Imagenet, Stem::ResNet] {
            let cells_per_stage = cells_per_stage.clone();
            let spec = NetworkSpec {
                stem, image, classes, init_channels, stem_multiplier, cells_per_stage, reduction,
            };
            if let Ok(plan) = spec.plan() {
                cost::search_network(&plan);
            }
        }
    }

    #[test]
    fn specs_survive_json(spec in any_spec()) {
        let json = serde_json::to_string(&spec).unwrap();
        prop_assert_eq!(serde_json::from_str::<NetworkSpec>(&json).unwrap(), spec);
    }
}
