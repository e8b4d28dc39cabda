//! Parameters of a module: counted, copied out and copied in. Batch norms' running statistics are not
//! parameters.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Tensor, TensorData};

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
    let mut counter = Counter { place: Place::default(), count: 0 };
    module.visit(&mut counter);
    counter.count
}

/// All parameters, in the module's order.
pub fn values<M: Module>(module: &M) -> Vec<Value> {
    let mut reader = Reader { place: Place::default(), values: Vec::new() };
    module.visit(&mut reader);
    reader.values
}

/// The module with its parameters set to `values`, in its order; shapes must agree.
pub fn with_values<M: Module>(module: M, values: &[Value]) -> M {
    module.map(&mut Writer { place: Place::default(), values: values.iter() })
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

/// Whether the visit stands at a running statistic: burn visits those like parameters.
#[derive(Default)]
struct Place(Vec<bool>);

impl Place {
    fn enter(&mut self, name: &str) {
        self.0.push(name.starts_with("running_"));
    }

    fn exit(&mut self) {
        self.0.pop();
    }

    fn is_parameter(&self) -> bool {
        !self.0.contains(&true)
    }
}

struct Counter {
    place: Place,
    count: usize,
}

impl ModuleVisitor for Counter {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.place.enter(name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.place.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.place.is_parameter() {
            self.count += param.lazy_shape().num_elements();
        }
    }
}

struct Reader {
    place: Place,
    values: Vec<Value>,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.place.enter(name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.place.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.place.is_parameter() {
            self.values.push(Value { id: param.id, data: param.val().into_data() });
        }
    }
}

struct Writer<'a> {
    place: Place,
    values: std::slice::Iter<'a, Value>,
}

impl ModuleMapper for Writer<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.place.enter(name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.place.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !self.place.is_parameter() {
            return param;
        }
        match self.values.next() {
            Some(value) => {
                let old = param.val();
                let new = Tensor::from_data(value.data.clone(), &old.device());
                Param::initialized(value.id, new.set_require_grad(old.is_require_grad()))
            }
            None => param,
        }
    }
}
