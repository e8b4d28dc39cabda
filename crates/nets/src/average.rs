//! Exponential moving average of a module's values, running statistics included.

use std::vec::IntoIter;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

/// `average` with every value v moved towards that of `module`, w: decay · v + (1 − decay) · w. Both have the same
/// layout; they must not be clones of each other, since clones share their running statistics.
pub fn moving_average<M: Module>(average: M, module: &M, decay: f64) -> M {
    let mut newest = Newest(Vec::new());
    module.visit(&mut newest);
    average.map(&mut Mover { newest: newest.0.into_iter(), share: (1.0 - decay) as f32 })
}

/// A module's values on the host, in its order.
struct Newest(Vec<TensorData>);

impl ModuleVisitor for Newest {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().into_data());
    }
}

struct Mover {
    newest: IntoIter<TensorData>,
    share: f32,
}

impl ModuleMapper for Mover {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(newest) = self.newest.next() else { return param };
        let old = param.val();
        // On the host: every operation on an autodiff device leaves a node in its graph.
        let data = old.to_data();
        let pairs = data.iter::<f32>().zip(newest.iter::<f32>());
        let moved: Vec<f32> = pairs.map(|(old, new)| old + (new - old) * self.share).collect();
        let new = Tensor::from_data(TensorData::new(moved, old.dims()), &old.device());
        Param::initialized(param.id, new.set_require_grad(old.is_require_grad()))
    }
}
