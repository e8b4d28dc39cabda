//! Running statistics of batch norms, as a module of our own: of burn's `RunningState` every visit makes a parameter, and
//! every update goes through a table of threads and a division. That took 43 ms of a joint step, in which networks are
//! visited a dozen times and move 3,000 statistics.

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::module::{
    Content, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param, ParamId,
};
use burn::tensor::{Device, Tensor, TensorData};

use crate::arch::host_values;
use crate::switch;

thread_local! {
    static HIDDEN: Cell<bool> = const { Cell::new(false) };
}

/// Does `action`, in which visitors and mappers of modules see parameters alone, not batch norms' running statistics.
pub fn without_statistics<T>(action: impl FnOnce() -> T) -> T {
    switch::on(&HIDDEN, action)
}

/// A statistic by channel that moves while a network is used, though that is not borrowed for it. Clones share it; visitors
/// see it as a parameter that asks for no gradient.
#[derive(Clone, Debug)]
pub(crate) struct Running(Arc<Mutex<Statistic>>);

#[derive(Debug)]
struct Statistic {
    param: Param<Tensor<1>>,
    /// The newest values, where they were asked for: a tensor is made of them when somebody wants one.
    values: Option<Vec<f32>>,
    /// Whether the values are newer than the tensor.
    ahead: bool,
}

impl Statistic {
    fn new(id: ParamId, value: Tensor<1>) -> Self {
        Self { param: Param::initialized(id, value), values: None, ahead: false }
    }

    fn settled(&mut self) -> &Param<Tensor<1>> {
        if let (true, Some(values)) = (self.ahead, &self.values) {
            let data = TensorData::new(values.clone(), [values.len()]);
            let value = Tensor::from_data(data, &self.param.device());
            self.param = Param::initialized(self.param.id, value);
            self.ahead = false;
        }
        &self.param
    }

    fn values(&mut self) -> &mut [f32] {
        self.values.get_or_insert_with(|| host_values(self.param.val()))
    }
}

impl Running {
    /// A statistic that begins at `value`.
    pub fn new(value: Tensor<1>) -> Self {
        Self::of(ParamId::new(), value)
    }

    fn of(id: ParamId, value: Tensor<1>) -> Self {
        Self(Arc::new(Mutex::new(Statistic::new(id, value))))
    }

    fn held(&self) -> MutexGuard<'_, Statistic> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `[channels]`
    pub fn value(&self) -> Tensor<1> {
        self.held().settled().val()
    }

    /// The value on the host.
    pub fn values(&self) -> Vec<f32> {
        self.held().values().to_vec()
    }

    /// Number of channels.
    pub fn len(&self) -> usize {
        self.held().param.dims()[0]
    }

    /// Takes the place of the value.
    pub fn set(&self, value: Tensor<1>) {
        let mut held = self.held();
        *held = Statistic::new(held.param.id, value);
    }

    /// Moves towards a batch's statistic, by `momentum`. On the host: every operation on an autodiff device leaves a node in
    /// its graph, constant or not.
    pub fn approach(&self, batch: &[f32], momentum: f64) {
        let (kept, new) = ((1.0 - momentum) as f32, momentum as f32);
        let mut held = self.held();
        held.values().iter_mut().zip(batch).for_each(|(old, batch)| *old = *old * kept + batch * new);
        held.ahead = true;
    }
}

impl Module for Running {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        if !HIDDEN.get() {
            // A copy, so that the visitor may look at the statistic itself.
            let param = self.held().settled().clone();
            visitor.visit_float(&param);
        }
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        if !HIDDEN.get() {
            let param = self.held().settled().clone();
            self.set(mapper.map_float(param).into_value().set_require_grad(false));
        }
        self
    }

    fn to_device(self, device: &Device) -> Self {
        self.set(self.value().to_device(device));
        self
    }

    fn fork(self, device: &Device) -> Self {
        self.to_device(device)
    }

    fn collect_devices(&self, mut devices: Vec<Device>) -> Vec<Device> {
        let device = self.held().param.device();
        if !devices.contains(&device) {
            devices.push(device);
        }
        devices
    }

    fn materialize(self) -> Self {
        self
    }

    fn valid(&self) -> Self {
        let mut held = self.held();
        let value = held.settled().val().without_autodiff();
        Self::of(held.param.id, value)
    }

    fn train(self) -> Self {
        let mut held = self.held();
        let value = Tensor::from_inner(held.settled().val());
        Self::of(held.param.id, value)
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Running(id={})", self.held().param.id)
    }
}

impl ModuleDisplayDefault for Running {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&"Running".to_string()).optional()
    }
}

impl ModuleDisplay for Running {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Vec<Vec<f32>>);

    impl ModuleVisitor for Seen {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            assert!(!param.is_require_grad());
            self.0.push(host_values(param.val()));
        }
    }

    impl ModuleMapper for Seen {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| value.mul_scalar(2.0))
        }
    }

    fn seen(running: &Running) -> Vec<Vec<f32>> {
        let mut seen = Seen::default();
        running.visit(&mut seen);
        seen.0
    }

    fn running() -> Running {
        let running = Running::new(Tensor::ones([2], &Device::flex().autodiff()));
        running.approach(&[5.0, 3.0], 0.25);
        running
    }

    #[test]
    fn what_moved_is_seen_by_every_reader_and_every_clone() {
        let running = running();
        let clone = running.clone();
        assert_eq!(seen(&clone), [[2.0, 1.5]]);
        running.approach(&[2.0, 1.5], 0.5);
        running.approach(&[4.0, 1.5], 0.5);
        let moved = vec![3.0, 1.5];
        assert_eq!(host_values(clone.value()), moved);
        assert_eq!(clone.values(), moved);
        assert_eq!(seen(&running), [moved]);
    }

    #[test]
    fn what_is_set_or_mapped_takes_the_place_of_what_moved() {
        let running = running().map(&mut Seen::default());
        assert_eq!(running.values(), [4.0, 3.0]);
        running.set(Tensor::zeros([2], &Device::flex().autodiff()));
        assert_eq!(running.values(), [0.0, 0.0]);
        running.approach(&[4.0, 8.0], 0.25);
        assert_eq!(seen(&running), [[1.0, 2.0]]);
    }

    #[test]
    fn an_inference_form_keeps_its_values_and_its_identity() {
        let running = running();
        let valid = running.valid();
        assert!(!valid.value().device().is_autodiff());
        running.approach(&[0.0, 0.0], 1.0);
        assert_eq!(valid.values(), [2.0, 1.5]);
        assert_eq!(valid.to_string(), running.to_string());
        let trained = valid.train();
        assert!(trained.value().device().is_autodiff());
        assert_eq!(trained.values(), [2.0, 1.5]);
    }

    #[test]
    fn statistics_can_be_left_out() {
        let running = running();
        let mapped = without_statistics(|| {
            assert!(seen(&running).is_empty());
            running.clone().map(&mut Seen::default())
        });
        assert_eq!(seen(&mapped), [[2.0, 1.5]]);
    }
}
