//! Widths fitted to limits of parameters and multiply-adds.
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its network should fail")]

use cdarts_space::{
    CostLimits, Genotype, ImageShape, NetworkSpec, Op, PUBLISHED, ReductionPosition, SpaceError, Stem,
    WIDTH_STEP, cost, dearest_genotype, published, widest,
};

fn spec(side: usize) -> NetworkSpec {
    NetworkSpec {
        stem: Stem::Cifar,
        image: ImageShape { channels: 3, height: side, width: side },
        classes: 10,
        init_channels: 1,
        stem_multiplier: 3,
        cells_per_stage: vec![7, 7, 6],
        reduction: ReductionPosition::Last,
    }
}

fn genotype() -> Genotype {
    published("darts-v2").unwrap()
}

fn costs(init_channels: usize) -> cost::Cost {
    let plan = NetworkSpec { init_channels, ..spec(32) }.plan().unwrap();
    cost::evaluation_network(&plan, &[genotype()], true).unwrap()
}

fn width(params: Option<u64>, macs: Option<u64>) -> usize {
    widest(&spec(32), &[genotype()], CostLimits { params, macs }).unwrap().init_channels
}

#[test]
fn the_published_width_is_the_widest_of_its_own_cost() {
    // Facts 3.6: DARTS-V2 with 36 channels has 3,349,342 parameters.
    assert_eq!(width(Some(3_349_342), None), 36);
    assert_eq!(width(Some(3_349_341), None), 32);
    assert_eq!(width(None, Some(costs(36).macs)), 36);
    assert_eq!(width(None, Some(costs(36).macs - 1)), 32);
    assert_eq!(width(Some(costs(40).params), Some(costs(24).macs)), 24, "both limits hold");
}

#[test]
fn no_wider_network_would_fit() {
    for params in [100_000, 250_000, 1_000_000, 10_000_000, 123_456_789] {
        let width = width(Some(params), None);
        assert!(width.is_multiple_of(WIDTH_STEP), "{width}");
        assert!(
            costs(width).params <= params && costs(width + WIDTH_STEP).params > params,
            "{params}: {width}"
        );
    }
    assert_eq!(width(Some(u64::MAX), None), 4096);
}

#[test]
fn limits_below_every_network_name_its_cost() {
    let limits = CostLimits { params: Some(10), macs: Some(1_000_000_000) };
    let narrowest = costs(WIDTH_STEP);
    let error = widest(&spec(32), &[genotype()], limits).unwrap_err();
    let (params, macs) = (narrowest.params, narrowest.macs);
    assert_eq!(error, SpaceError::NoWidthFits { width: WIDTH_STEP, params, macs, limits });
    let said = error.to_string();
    for part in ["10 parameters and 1000000000 multiply-adds", &params.to_string(), &macs.to_string()] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    let too_small = widest(&spec(2), &[genotype()], CostLimits { params: Some(10_000_000), macs: None });
    assert!(matches!(too_small, Err(SpaceError::ImageTooSmall { .. })), "{too_small:?}");
}

#[test]
fn no_published_genotype_costs_more_than_the_dearest() {
    let plan = NetworkSpec { init_channels: 16, ..spec(32) }.plan().unwrap();
    let cost =
        |genotype: &Genotype| cost::evaluation_network(&plan, std::slice::from_ref(genotype), true).unwrap();
    let dearest = dearest_genotype();
    dearest.validate().unwrap();
    assert!(dearest.normal.edges().all(|(_, edge)| edge.op == Op::SepConv5x5));
    for known in PUBLISHED {
        let other = published(known.name).unwrap();
        assert!(cost(&other).params <= cost(&dearest).params && cost(&other).macs <= cost(&dearest).macs);
    }
}
