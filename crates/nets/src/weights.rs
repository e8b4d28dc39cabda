//! A module's values as a safetensors file, named by their place in the module, running statistics included.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::NetsError;

/// All values of `module` in the safetensors format.
///
/// # Errors
/// [`NetsError::Format`] where the format refuses a tensor.
pub fn to_bytes<M: Module>(module: &M) -> Result<Vec<u8>, NetsError> {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    let views: Vec<(&String, TensorView)> = collector
        .tensors
        .iter()
        .map(|(name, data)| Ok((name, TensorView::new(Dtype::F32, data.shape().to_vec(), data.as_bytes())?)))
        .collect::<Result<_, safetensors::SafeTensorError>>()?;
    Ok(safetensors::serialize(views, None)?)
}

/// `module` with the values that [`to_bytes`] wrote.
///
/// # Errors
/// [`NetsError::Format`] where the bytes are not safetensors; [`NetsError::Missing`], [`NetsError::Shape`] and
/// [`NetsError::Unused`] where they are another module's.
pub fn from_bytes<M: Module>(module: M, bytes: &[u8]) -> Result<M, NetsError> {
    let mut tensors = BTreeMap::new();
    for (name, view) in SafeTensors::deserialize(bytes)?.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(NetsError::Unused { name: format!("{name} of type {:?}", view.dtype()) });
        }
        let values: Vec<f32> =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        tensors.insert(name.to_owned(), TensorData::new(values, view.shape().to_vec()));
    }
    let mut loader = Loader { path: Vec::new(), tensors, error: None };
    let module = module.map(&mut loader);
    match (loader.error, loader.tensors.into_keys().next()) {
        (Some(error), _) => Err(error),
        (None, Some(name)) => Err(NetsError::Unused { name }),
        (None, None) => Ok(module),
    }
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    tensors: BTreeMap<String, TensorData>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.tensors.insert(self.path.join("."), param.val().into_data());
    }
}

struct Loader {
    path: Vec<String>,
    tensors: BTreeMap<String, TensorData>,
    error: Option<NetsError>,
}

impl Loader {
    fn take(&mut self, shape: &[usize]) -> Result<TensorData, NetsError> {
        let name = self.path.join(".");
        let data = self.tensors.remove(&name).ok_or_else(|| NetsError::Missing { name: name.clone() })?;
        if data.shape().to_vec() == shape {
            Ok(data)
        } else {
            Err(NetsError::Shape { name, expected: shape.to_vec(), found: data.shape().to_vec() })
        }
    }
}

impl ModuleMapper for Loader {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let old = param.val();
        match self.take(&old.dims()) {
            Ok(data) => {
                let new = Tensor::from_data(data, &old.device()).set_require_grad(old.is_require_grad());
                Param::initialized(param.id, new)
            }
            Err(error) => {
                self.error.get_or_insert(error);
                param
            }
        }
    }
}
