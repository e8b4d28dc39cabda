//! Parameters of a module: counted, copied out and copied in. Batch norms' running statistics are not
//! parameters.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Tensor, TensorData};

pub use crate::running::without_statistics;

/// A parameter on the host. The identity goes with the value, so that an optimiser finds its momentum again.
#[derive(Clone, Debug)]
pub struct Value {
    /// The parameter's identity.
    pub id: ParamId,
    /// Its value.
    pub data: TensorData,
}

/// Number of parameters, trained or frozen.
pub fn count<M: Module>(module: &M) -> usize {
    let mut counter = Counter(0);
    without_statistics(|| module.visit(&mut counter));
    counter.0
}

/// All parameters, in the module's order.
pub fn values<M: Module>(module: &M) -> Vec<Value> {
    let mut reader = Reader(Vec::new());
    without_statistics(|| module.visit(&mut reader));
    reader.0
}

/// The module with its parameters set to `values`, in its order; shapes must agree.
pub fn with_values<M: Module>(module: M, values: &[Value]) -> M {
    without_statistics(|| module.map(&mut Writer(values.iter())))
}

/// The module in double precision: what gradients are checked with. It runs on burn's own operations, since the kernels
/// are for single precision. Clones of a module share their running statistics, which become double ones with it.
pub fn in_double_precision<M: Module>(module: M) -> M {
    module.map(&mut Widener)
}

struct Widener;

impl ModuleMapper for Widener {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let old = param.val();
        let new = Tensor::from_data(old.to_data(), (&old.device(), DType::F64));
        Param::initialized(param.id, new.set_require_grad(old.is_require_grad()))
    }
}

struct Counter(usize);

impl ModuleVisitor for Counter {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0 += param.lazy_shape().num_elements();
    }
}

struct Reader(Vec<Value>);

impl ModuleVisitor for Reader {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(Value { id: param.id, data: param.val().into_data() });
    }
}

struct Writer<'a>(std::slice::Iter<'a, Value>);

impl ModuleMapper for Writer<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(value) = self.0.next() else { return param };
        let old = param.val();
        let new = Tensor::from_data(value.data.clone(), &old.device());
        Param::initialized(value.id, new.set_require_grad(old.is_require_grad()))
    }
}
