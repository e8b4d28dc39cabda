//! Widths fitted to limits of parameters and multiply-adds.
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its network should fail")]

use cdarts_space::{
    Architecture, CostLimits, Genotype, ImageShape, NetworkSpec, PUBLISHED, ReductionPosition, Skeleton,
    SpaceError, Stem, WIDTH_STEP, cost, nas_bench_201, published, widest,
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
    fitted(32, CostLimits { params, macs }).unwrap().init_channels()
}

fn fitted(side: usize, limits: CostLimits) -> Result<Skeleton, SpaceError> {
    widest(&Skeleton::Darts(spec(side)), &genotype().into(), limits)
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
    let error = fitted(32, limits).unwrap_err();
    let (params, macs) = (narrowest.params, narrowest.macs);
    assert_eq!(error, SpaceError::NoWidthFits { width: WIDTH_STEP, params, macs, limits });
    let said = error.to_string();
    for part in ["10 parameters and 1000000000 multiply-adds", &params.to_string(), &macs.to_string()] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    let too_small = fitted(2, CostLimits { params: Some(10_000_000), macs: None });
    assert!(matches!(too_small, Err(SpaceError::ImageTooSmall { .. })), "{too_small:?}");
}

#[test]
fn no_published_genotype_costs_more_than_the_dearest() {
    let nas_bench_201 =
        nas_bench_201::NetworkSpec { init_channels: 16, ..nas_bench_201::NetworkSpec::published(10) };
    for skeleton in
        [Skeleton::Darts(NetworkSpec { init_channels: 16, ..spec(32) }), Skeleton::NasBench201(nas_bench_201)]
    {
        let plan = skeleton.plan().unwrap();
        let dearest = plan.evaluation_cost(&skeleton.dearest_architecture(), true).unwrap();
        let names = PUBLISHED.iter().map(|known| known.name);
        let mut compared = 0;
        for name in names.chain(nas_bench_201::PUBLISHED.iter().map(|known| known.name)) {
            let architecture = Architecture::published(name).unwrap();
            let Ok(cost) = plan.evaluation_cost(&architecture, true) else { continue };
            assert!(cost.params <= dearest.params && cost.macs <= dearest.macs, "{name}");
            compared += 1;
        }
        assert!(compared > 2);
    }
}

#[test]
fn networks_of_nas_bench_201_are_fitted_too() {
    let spec = Skeleton::NasBench201(nas_bench_201::NetworkSpec::published(10));
    let cell = Architecture::published("nas-bench-201-cell-1").unwrap();
    let cost = spec.plan().unwrap().evaluation_cost(&cell, true).unwrap();
    let limits = CostLimits { params: Some(cost.params), macs: None };
    assert_eq!(widest(&spec, &cell, limits).unwrap().init_channels(), 16, "the published width");
}
