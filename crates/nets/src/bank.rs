//! The weight bank (the published code's "super layer pool"): what the evaluation network of one cycle leaves
//! to the next (facts 1.6).
//!
//! The published bank is a whole network of which nothing is ever run. This one holds the parameters of the
//! slots that were used, on the host, with their identities: an optimiser that is kept finds its momentum again. A slot
//! that was never used has no entry: the evaluation network then keeps its initial value, which depends on the slot
//! alone, as the published bank's does. A pre-trained bank holds every slot.

use std::collections::{BTreeMap, HashMap};

use burn::module::ParamId;
use burn::tensor::TensorData;
use cdarts_space::{
    Architecture, CellKind, NetworkPlan, Op, PlanView, StageGenotypes, edge_ends, nas_bench_201,
};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::NetsError;
use crate::cell::Preprocess;
use crate::evalnet::{EvalNet, EvalStage};
use crate::nas_bench_201::ResidualBlock;
use crate::ops::Operation;
use crate::params::{self, Value};
use crate::supernet::Supernet;

/// Where weights belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// Stage, from 0.
    pub stage: usize,
    /// Cell within the stage, from 0.
    pub cell: usize,
    /// Which part of the cell.
    pub part: Part,
}

/// A part of a cell that may have weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The pre-processing of both inputs.
    Preprocess,
    /// An operation on an edge.
    Edge {
        /// The node that the edge enters.
        node: usize,
        /// The state or node that the edge leaves.
        source: usize,
        /// Name of the operation on it.
        op: &'static str,
    },
    /// The residual block of NAS-Bench-201, which counts as the stage's last cell.
    Residual,
}

/// What is moved where a node keeps a skip connection without weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastSkip {
    /// The edges listed after it are moved too.
    Move,
    /// The edges listed after it are left out, as the published code does (facts 1.6, 10.4).
    LeaveOut,
}

/// What an inheritance or a deposit moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Slots with weights that were moved.
    pub slots: usize,
    /// Parameters in them.
    pub parameters: usize,
    /// Slots with weights that the bank does not hold yet, and those left out.
    pub passed_over: usize,
}

/// The bank: values by slot.
#[derive(Clone, Debug, Default)]
pub struct WeightBank {
    slots: BTreeMap<Slot, Vec<Value>>,
}

enum PartMut<'a> {
    Preprocess(&'a mut Preprocess),
    Edge(&'a mut Operation),
    Residual(&'a mut ResidualBlock),
}

impl PartMut<'_> {
    fn values(&self) -> Vec<Value> {
        match self {
            Self::Preprocess(module) => params::values::<Preprocess>(module),
            Self::Edge(module) => params::values::<Operation>(module),
            Self::Residual(module) => params::values::<ResidualBlock>(module),
        }
    }

    fn load(&mut self, values: &[Value]) {
        match self {
            Self::Preprocess(module) => **module = params::with_values((**module).clone(), values),
            Self::Edge(module) => **module = params::with_values((**module).clone(), values),
            Self::Residual(module) => **module = params::with_values((**module).clone(), values),
        }
    }
}

impl WeightBank {
    /// Copies the bank's values into `net`, which was built from `plan` and `architecture`.
    pub fn inherit<'a>(
        &self,
        net: &mut EvalNet,
        plan: impl Into<PlanView<'a>>,
        architecture: impl Into<Architecture>,
        past_skip: PastSkip,
    ) -> Moved {
        let mut moved = Moved::default();
        for_each_slot(
            net,
            plan.into(),
            &architecture.into(),
            past_skip,
            |slot, mut part, included| match self.slots.get(&slot) {
                Some(values) if included => {
                    part.load(values);
                    moved.add(values);
                }
                _ => moved.passed_over += usize::from(!part.values().is_empty()),
            },
        );
        moved
    }

    /// Copies the values of `net`, which was built from `plan` and `architecture`, into the bank.
    pub fn deposit<'a>(
        &mut self,
        net: &EvalNet,
        plan: impl Into<PlanView<'a>>,
        architecture: impl Into<Architecture>,
        past_skip: PastSkip,
    ) -> Moved {
        let mut moved = Moved::default();
        let (plan, architecture) = (plan.into(), architecture.into());
        for_each_slot(&mut net.clone(), plan, &architecture, past_skip, |slot, part, included| {
            let values = part.values();
            if included {
                self.put(slot, values, &mut moved);
            } else {
                moved.passed_over += usize::from(!values.is_empty());
            }
        });
        moved
    }

    /// Copies the values of every slot of `pool` into the bank: a network of mixed cells as deep as the evaluation
    /// network (facts 1.9).
    pub fn deposit_all(&mut self, pool: &Supernet) -> Moved {
        let mut moved = Moved::default();
        for (stage, built) in pool.stages.iter().enumerate() {
            for (cell, built) in built.cells.iter().enumerate() {
                let at = |part| Slot { stage, cell, part };
                self.put(at(Part::Preprocess), params::values(&built.preprocess), &mut moved);
                for ((node, source), edge) in edge_ends().zip(&built.edges) {
                    for (op, operation) in Op::ALL.into_iter().zip(&edge.ops) {
                        let part = Part::Edge { node, source, op: op.name() };
                        self.put(at(part), params::values(operation), &mut moved);
                    }
                }
            }
        }
        moved
    }

    fn put(&mut self, slot: Slot, values: Vec<Value>, moved: &mut Moved) {
        if !values.is_empty() {
            moved.add(&values);
            self.slots.insert(slot, values);
        }
    }

    /// Number of slots that hold values.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing was deposited yet.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The bank in the safetensors format, one tensor a parameter.
    ///
    /// # Errors
    /// [`NetsError::Format`] where the format refuses a tensor.
    pub fn to_bytes(&self) -> Result<Vec<u8>, NetsError> {
        let named: Vec<(String, &Value)> = self
            .slots
            .iter()
            .flat_map(|(slot, values)| {
                values
                    .iter()
                    .enumerate()
                    .map(move |(index, value)| (format!("{}.{index}", slot.name()), value))
            })
            .collect();
        let ids: HashMap<String, String> =
            named.iter().map(|(name, value)| (name.clone(), value.id.val().to_string())).collect();
        let views: Vec<(String, TensorView)> = named
            .into_iter()
            .map(|(name, Value { data, .. })| {
                Ok((name, TensorView::new(Dtype::F32, data.shape().to_vec(), data.as_bytes())?))
            })
            .collect::<Result<_, safetensors::SafeTensorError>>()?;
        // The format cannot be read back with metadata and no tensor.
        Ok(safetensors::serialize(views, (!ids.is_empty()).then_some(ids))?)
    }

    /// The bank that [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`NetsError::Format`] where the bytes are not safetensors, [`NetsError::BankTensor`] where a tensor has no
    /// place in a bank.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NetsError> {
        let mut indexed: BTreeMap<Slot, BTreeMap<usize, Value>> = BTreeMap::new();
        let (_, metadata) = SafeTensors::read_metadata(bytes)?;
        let id_of =
            |name: &str| metadata.metadata().as_ref()?.get(name)?.parse::<u64>().ok().map(ParamId::from);
        for (name, view) in SafeTensors::deserialize(bytes)?.iter() {
            let place = Slot::parse(name).filter(|_| view.dtype() == Dtype::F32).zip(id_of(name));
            let ((slot, index), id) = place.ok_or_else(|| NetsError::BankTensor { name: name.to_owned() })?;
            let values: Vec<f32> =
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            let data = TensorData::new(values, view.shape().to_vec());
            indexed.entry(slot).or_default().insert(index, Value { id, data });
        }
        let slots =
            indexed.into_iter().map(|(slot, values)| (slot, values.into_values().collect())).collect();
        Ok(Self { slots })
    }
}

impl Moved {
    fn add(&mut self, values: &[Value]) {
        self.slots += 1;
        self.parameters += values.iter().map(|value| value.data.num_elements()).sum::<usize>();
    }
}

impl Slot {
    fn name(&self) -> String {
        let Self { stage, cell, part } = self;
        match part {
            Part::Preprocess => format!("{stage}.{cell}.preprocess"),
            Part::Edge { node, source, op } => format!("{stage}.{cell}.{node}.{source}.{op}"),
            Part::Residual => format!("{stage}.{cell}.residual"),
        }
    }

    /// The slot and the index of a parameter in it.
    fn parse(name: &str) -> Option<(Self, usize)> {
        let fields: Vec<&str> = name.split('.').collect();
        let number = |index: usize| fields.get(index)?.parse::<usize>().ok();
        let (stage, cell) = (number(0)?, number(1)?);
        let (part, index) = match fields.len() {
            4 if fields[2] == "preprocess" => (Part::Preprocess, number(3)?),
            4 if fields[2] == "residual" => (Part::Residual, number(3)?),
            6 => {
                let of_darts = Op::from_name(fields[4]).map(Op::name);
                let of_other = || nas_bench_201::Op::from_name(fields[4]).map(nas_bench_201::Op::name);
                let op = of_darts.or_else(of_other)?;
                (Part::Edge { node: number(2)?, source: number(3)?, op }, number(5)?)
            }
            _ => return None,
        };
        Some((Self { stage, cell, part }, index))
    }
}

/// Calls `visit` with every slot of `net`, its part, and whether the rule for skips includes it.
fn for_each_slot(
    net: &mut EvalNet,
    plan: PlanView<'_>,
    architecture: &Architecture,
    past_skip: PastSkip,
    visit: impl FnMut(Slot, PartMut<'_>, bool),
) {
    match (plan, architecture) {
        (PlanView::Darts(plan), Architecture::Darts(genotypes)) => {
            for_each_darts_slot(&mut net.stages, plan, genotypes, past_skip, visit);
        }
        (_, Architecture::NasBench201(genotype)) => {
            for_each_nas_bench_201_slot(&mut net.stages, genotype, visit);
        }
        // Such a network cannot be built.
        (PlanView::NasBench201(_), Architecture::Darts(_)) => {}
    }
}

/// As [`for_each_slot`]; the rule for skips is not one of this space, where every edge is kept and copied (facts 6).
fn for_each_nas_bench_201_slot(
    stages: &mut [EvalStage],
    genotype: &nas_bench_201::Genotype,
    mut visit: impl FnMut(Slot, PartMut<'_>, bool),
) {
    for (stage, built) in stages.iter_mut().enumerate() {
        let cells = built.nas_bench_201.len();
        for (cell, built) in built.nas_bench_201.iter_mut().enumerate() {
            for (operation, (node, source, op)) in built.ops.iter_mut().zip(genotype.edges()) {
                let part = Part::Edge { node, source, op: op.name() };
                visit(Slot { stage, cell, part }, PartMut::Edge(operation), true);
            }
        }
        if let Some(block) = &mut built.reduction {
            visit(Slot { stage, cell: cells, part: Part::Residual }, PartMut::Residual(block), true);
        }
    }
}

fn for_each_darts_slot(
    stages: &mut [EvalStage],
    plan: &NetworkPlan,
    genotypes: &StageGenotypes,
    past_skip: PastSkip,
    mut visit: impl FnMut(Slot, PartMut<'_>, bool),
) {
    for (stage, (built, planned)) in stages.iter_mut().zip(&plan.stages).enumerate() {
        for (cell, (built, planned)) in built.cells.iter_mut().zip(&planned.cells).enumerate() {
            let at = |part| Slot { stage, cell, part };
            visit(at(Part::Preprocess), PartMut::Preprocess(&mut built.preprocess), true);
            let kind: CellKind = planned.kind;
            for (node, edges) in genotypes.of(stage).cell(kind).nodes.iter().enumerate() {
                let mut included = true;
                for (operation, edge) in built.nodes[node].ops.iter_mut().zip(edges) {
                    let is_identity = operation.is_identity();
                    let part = Part::Edge { node, source: edge.source, op: edge.op.name() };
                    visit(at(part), PartMut::Edge(operation), included);
                    included &= !is_identity || past_skip == PastSkip::Move;
                }
            }
        }
    }
}
