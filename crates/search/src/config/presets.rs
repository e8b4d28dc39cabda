//! Where values that a configuration does not give come from: the published CIFAR-10 recipe, once as it was run
//! and once with its defects mended.

use cdarts_data::{AutoAugment, Axes, Halves};
use serde::{Deserialize, Serialize};

use super::{
    Auto, ClipScope, Config, DataConfig, Distance, Feedback, GumbelScores, ImageSize, KlReduction, Layout,
    LrSchedule, Method, OnCollapse, Regularisation, RetrainConfig, RunConfig, SearchConfig, Space,
    StageEnsemble,
};

/// A complete set of values to start from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// The published recipe without the published code's defects.
    #[default]
    Corrected,
    /// What the published runs did, defects that change results included (facts section 10).
    Official,
}

impl Preset {
    /// The preset's values for the DARTS space.
    pub fn config(self) -> Config {
        self.config_for(Space::Darts)
    }

    /// The preset's values for a search space.
    pub fn config_for(self, space: Space) -> Config {
        let mut config = corrected();
        if self == Self::Official {
            make_official(&mut config);
        }
        if space == Space::NasBench201 {
            make_nas_bench_201(&mut config);
        }
        config
    }
}

/// The published one-GPU CIFAR-10 recipe (facts 2.1 column C1, 2.2 column R1, section 11), defects mended.
fn corrected() -> Config {
    Config {
        preset: Preset::Corrected,
        data: DataConfig {
            path: String::new(),
            size: ImageSize::Auto(Auto::Auto),
            channels: 0,
            axes: Axes::Auto,
            skip_broken: 0,
            fine_labels: true,
            test_fraction: 0.2,
            val_fraction: 0.1,
            halves: Halves::Stratified,
            crop_padding: 4,
            resized_crop: 0.0,
            flip: true,
            jitter: [0.0; 4],
            autoaugment: AutoAugment::None,
        },
        search: SearchConfig {
            method: Method::Cdarts,
            feedback: Feedback::Joint,
            gdas_temperature: [10.0, 0.1],
            space: Space::Darts,
            layout: Layout::Cifar,
            init_channels: 16,
            stem_multiplier: 3,
            cells: vec![3, 3, 2],
            eval_cells: vec![7, 7, 6],
            same_structure: false,
            share_classifier: false,
            one_stage: true,
            repeat_cell: true,
            clean_arch: true,
            batch_size: 64,
            warmup_epochs: 2,
            warmup_decay: 0,
            cycles: 30,
            eval_warmup_epochs: 1,
            joint_epochs: 1,
            epoch_fraction: 1.0,
            epoch_overrun: false,
            supernet_lr: 0.08,
            eval_lr: 0.08,
            lr_min: 0.001,
            lr_schedule: LrSchedule::Cosine,
            momentum: 0.9,
            weight_decay: 3e-4,
            arch_lr: 3e-4,
            arch_betas: [0.5, 0.999],
            arch_weight_decay: 0.0,
            grad_clip: 5.0,
            clip_scope: ClipScope::PerOptimiser,
            keep_optimiser_state: true,
            decay_idle: false,
            distance: Distance::SmoothL1,
            distill_weight: 1.0,
            distill_temperature: 2.0,
            kl_reduction: KlReduction::Batch,
            detach_teacher: false,
            learn_stage_mixture: true,
            stage_ensemble: StageEnsemble::Stack,
            fix_heads: true,
            penalty: 5.0,
            penalty_ratio: 0.667,
            penalty_repeats: 1,
            watch_iterations: 5,
            on_collapse: OnCollapse::Warn,
            edge_weights: false,
            eval_affine: false,
            inherit_past_skip: true,
            gumbel_sample: false,
            gumbel_scores: GumbelScores::LogProbabilities,
            bank_pretrain_epochs: 0,
            sample_archs: 0,
            pretrained_lr_factor: 0.1,
        },
        retrain: RetrainConfig {
            layout: Layout::Cifar,
            init_channels: 36,
            stem_multiplier: 3,
            cells: vec![7, 7, 6],
            batch_size: 128,
            epochs: 600,
            epoch_fraction: 1.0,
            warmup_epochs: 0,
            lr: 0.025,
            momentum: 0.9,
            regularisation: Regularisation::BySize,
            weight_decay: 5e-4,
            drop_path: 0.3,
            grad_clip: 5.0,
            auxiliary_weight: 0.4,
            cutout: 16,
            label_smoothing: 0.0,
            mixup: 0.0,
        },
        run: RunConfig { checkpoint_minutes: 10.0, journal_steps: 10, ranking_cells: 0 },
    }
}

fn make_official(config: &mut Config) {
    config.preset = Preset::Official;
    config.data.halves = Halves::ByIndex;
    config.data.val_fraction = 0.0;
    config.search = SearchConfig {
        epoch_overrun: true,
        lr_schedule: LrSchedule::Constant,
        clip_scope: ClipScope::AllParameters,
        keep_optimiser_state: false,
        decay_idle: true,
        kl_reduction: KlReduction::Element,
        penalty_repeats: 3,
        inherit_past_skip: false,
        gumbel_scores: GumbelScores::Probabilities,
        ..config.search.clone()
    };
}

/// The published one-GPU recipe of NAS-Bench-201 (facts 2.1 column NB, section 6). The found network is trained as the
/// benchmark trains (Dong and Yang, arXiv 2001.00326, table 1), but for Nesterov's momentum.
fn make_nas_bench_201(config: &mut Config) {
    config.search = SearchConfig {
        space: Space::NasBench201,
        stem_multiplier: 1,
        cells: vec![5, 5, 5],
        eval_cells: vec![5, 5, 5],
        warmup_epochs: 0,
        cycles: 50,
        fix_heads: false,
        penalty_repeats: 1,
        eval_affine: true,
        ..config.search.clone()
    };
    config.retrain = RetrainConfig {
        init_channels: 16,
        stem_multiplier: 1,
        cells: vec![5, 5, 5],
        batch_size: 256,
        epochs: 200,
        lr: 0.1,
        regularisation: Regularisation::Fixed,
        weight_decay: 5e-4,
        drop_path: 0.0,
        grad_clip: 0.0,
        auxiliary_weight: 0.0,
        cutout: 0,
        ..config.retrain.clone()
    };
}
