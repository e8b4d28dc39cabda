//! Defects of the published code (facts section 10) as choices: what `official` reproduces and `corrected` mends.
//! `docs/defects.md` lists them all with their tests, which lie beside the code that they are about.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod tiny;

use std::collections::BTreeSet;

use burn::tensor::Device;
use cdarts_data::{Dataset, ImageShape, Images, SourceKind, Split, SplitSpec};
use cdarts_nets::WeightBank;
use cdarts_runs::{Event, Journal};
use cdarts_search::config::Preset;
use cdarts_search::optimisers::Optimisers;
use cdarts_search::transfer;
use cdarts_space::{Architecture, published};

use tiny::nets::{RATES, batch, config, eval_plan, state};
use tiny::runs::run;

#[test]
fn halves_of_a_class_sorted_folder_share_no_class_when_cut_by_index() {
    let shape = ImageShape { channels: 1, height: 1, width: 1 };
    let labels: Vec<u32> = (0..40).map(|index| index / 10).collect();
    let images = Images::new(shape, vec![0; 40], labels).unwrap();
    let classes = (0..4).map(|class| format!("class {class}")).collect();
    let dataset = Dataset::new(SourceKind::Folder, "sorted", classes, images, None).unwrap();
    let shared = |preset: Preset| {
        let split =
            Split::new(&dataset, &SplitSpec { halves: preset.config().data.halves, ..SplitSpec::default() });
        let split = split.unwrap();
        let of =
            |half: &[usize]| half.iter().map(|&index| dataset.train.label(index)).collect::<BTreeSet<_>>();
        of(&split.weight_half).intersection(&of(&split.arch_half)).count()
    };
    assert_eq!((shared(Preset::Official), shared(Preset::Corrected)), (0, 4));
}

#[test]
fn momenta_are_thrown_away_or_live_on_when_a_cycle_begins() {
    for (preset, lives_on) in [(Preset::Official, false), (Preset::Corrected, true)] {
        let config = config(preset);
        let (mut state, plan) = (state(&config), eval_plan(&config));
        let built = Architecture::from(published("cdarts-cifar").unwrap());
        state.joint(&batch(1), &batch(2), RATES, 0.0, &config);
        let mut bank = WeightBank::default();
        transfer::deposit(&state, &mut bank, &config, &plan, &built);
        transfer::build(&mut state, &bank, &config, &plan, &built, 1, &Device::flex().autodiff());
        let fresh = Optimisers::new(&config.search);
        for (kept, fresh) in [
            (&state.optimisers.supernet, &fresh.supernet),
            (&state.optimisers.eval, &fresh.eval),
            (&state.optimisers.arch, &fresh.arch),
        ] {
            let size = |optimiser: &burn_optim::ModuleOptimizer| optimiser.into_bytes().unwrap().len();
            assert_eq!(size(kept) > size(fresh), lives_on, "{preset:?}");
        }
    }
}

#[test]
fn the_test_part_is_read_once_after_the_last_epoch() {
    for preset in ["preset=official", "preset=corrected"] {
        let ended = run(&[preset, "retrain.epochs=2", "search.cycles=1"]);
        let records = Journal::read(&ended.run().journal_path()).unwrap();
        let places = |wanted: fn(&Event) -> bool| {
            let found = records.iter().filter(|record| wanted(&record.event)).map(|record| record.seq);
            found.collect::<Vec<u64>>()
        };
        let tests = places(|event| matches!(event, Event::Test { .. }));
        assert_eq!(tests.len(), 1);
        assert!(places(|event| matches!(event, Event::Epoch { .. })).iter().all(|&epoch| epoch < tests[0]));
    }
}
