//! Networks of a few channels, built and stepped without a run.

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use cdarts_nets::params;
use cdarts_search::config::{Config, Preset};
use cdarts_search::method::Moment;
use cdarts_search::networks::{Batch, SearchNets};
use cdarts_search::optimisers::Optimisers;
use cdarts_search::step::{Rates, SearchState};
use cdarts_space::{ImageShape, SkeletonPlan, published};

pub const RATES: Rates = Rates { supernet: 0.1, eval: 0.1, arch: 0.01 };

/// A moment of a search with these learning rates, its first step.
pub fn moment(rates: Rates, penalty_weight: f64) -> Moment {
    Moment { rates, penalty_weight, temperature: 1.0, place: [1, 0, 0] }
}

const IMAGE: ImageShape = ImageShape { channels: 1, height: 8, width: 8 };

pub fn config(preset: Preset) -> Config {
    let mut config = preset.config();
    let search = &mut config.search;
    (search.init_channels, search.stem_multiplier) = (4, 1);
    (search.cells, search.eval_cells) = (vec![1, 1], vec![2, 1]);
    config
}

pub fn search_plan(config: &Config) -> SkeletonPlan {
    config.search_spec(IMAGE, 3).plan().unwrap()
}

pub fn eval_plan(config: &Config) -> SkeletonPlan {
    config.eval_spec(IMAGE, 3).plan().unwrap()
}

pub fn state(config: &Config) -> SearchState {
    let device = Device::flex().autodiff();
    let mut nets = SearchNets::new(config, &search_plan(config), 1, &device);
    nets.build_evalnet(config, &eval_plan(config), published("cdarts-cifar").unwrap(), 1, &device);
    SearchState { nets, optimisers: Optimisers::new(&config.search), grads: Default::default() }
}

pub fn batch(seed: u64) -> Batch {
    let device = Device::flex().autodiff();
    device.seed(seed);
    let classes = vec![0, 1, 2, 1];
    Batch {
        images: Tensor::random([4, 1, 8, 8], Distribution::Normal(0.0, 1.0), &device),
        labels: Tensor::from_data(TensorData::new(classes.clone(), [4]), &device),
        classes,
        mixed: None,
    }
}

pub fn bytes<M: Module>(module: &M) -> Vec<u8> {
    params::values(module).iter().flat_map(|value| value.data.as_bytes().to_vec()).collect()
}
