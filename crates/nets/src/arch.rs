//! Architecture weights: alpha, one logit an operation and edge, and beta, one logit an edge (facts 1.1).

use burn::module::{Module, Param};
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Tensor, TensorData};
use cdarts_space::{Alphas, CellAlphas, CellKind, EDGES, NODES, NetworkPlan, Op, edges_of};

use crate::init::Initialiser;
use crate::nas_bench_201;

/// Deviation of the initial logits.
pub(crate) const DEVIATION: f64 = 1e-3;

/// The architecture weights of a network: of DARTS cells one set that all stages share, or one set a stage; or those
/// of the one cell of NAS-Bench-201.
#[derive(Module, Debug)]
pub struct ArchWeights {
    sets: Vec<ArchSet>,
    nas_bench_201: Option<nas_bench_201::CellWeights>,
}

/// The architecture weights of both cells, shared by all cells of a kind.
#[derive(Module, Debug)]
struct ArchSet {
    normal: CellWeights,
    reduce: CellWeights,
    /// Whether a cell of each kind is there to be searched; what is not there stays frozen (facts 3.7).
    searched: [bool; 2],
}

/// The architecture weights of one kind of cell.
#[derive(Module, Debug)]
pub struct CellWeights {
    /// `[14, 8]`
    alpha: Param<Tensor<2>>,
    /// `[14]`; absent where edges are not weighted, which makes a node the mean of its edges.
    beta: Option<Param<Tensor<1>>>,
}

impl ArchWeights {
    /// One set for all stages, logits near zero; `edge_weights` adds trainable beta.
    pub fn new(edge_weights: bool, init: &Initialiser) -> Self {
        Self { sets: vec![ArchSet::new([true, true], edge_weights, init, 0)], nas_bench_201: None }
    }

    /// Those of NAS-Bench-201's cell, logits near zero.
    pub fn of_nas_bench_201(init: &Initialiser) -> Self {
        Self { sets: Vec::new(), nas_bench_201: Some(nas_bench_201::CellWeights::new(&mut init.at(0))) }
    }

    /// A set for each stage of `plan`. The weights of a kind of cell that a stage does not have are frozen.
    pub fn by_stage(plan: &NetworkPlan, edge_weights: bool, init: &Initialiser) -> Self {
        let set = |(stage, planned): (usize, &cdarts_space::StagePlan)| {
            let searched = CellKind::ALL.map(|kind| planned.cells.iter().any(|cell| cell.kind == kind));
            ArchSet::new(searched, edge_weights, init, stage)
        };
        Self { sets: plan.stages.iter().enumerate().map(set).collect(), nas_bench_201: None }
    }

    /// The same with every logit frozen at `value`, so that all operations and all edges weigh alike.
    pub fn uniform(self, value: f64) -> Self {
        let level = |cell: CellWeights| CellWeights {
            alpha: frozen_at(value, &cell.alpha),
            beta: cell.beta.map(|beta| frozen_at(value, &beta)),
        };
        let set = |set: ArchSet| ArchSet { normal: level(set.normal), reduce: level(set.reduce), ..set };
        Self {
            sets: self.sets.into_iter().map(set).collect(),
            nas_bench_201: self.nas_bench_201.map(|cell| cell.uniform(value)),
        }
    }

    /// Freezes the sets of the stages before `stage`.
    pub fn freeze_before(self, stage: usize) -> Self {
        let sets = self.sets.into_iter().enumerate();
        let sets = sets.map(|(own, set)| if own < stage { set.no_grad() } else { set }).collect();
        Self { sets, ..self }
    }

    /// The sets of the stages before `stage`, and those of `fresh` from there on.
    pub fn renewed_from(self, stage: usize, fresh: Self) -> Self {
        let later = fresh.sets.into_iter().skip(stage);
        let sets = self.sets.into_iter().take(stage).chain(later).collect();
        Self { sets, nas_bench_201: fresh.nas_bench_201 }
    }

    /// Whether each stage has a set of its own.
    pub fn is_by_stage(&self) -> bool {
        self.sets.len() > 1
    }

    /// The weights of NAS-Bench-201's cell, where they are those.
    pub fn nas_bench_201(&self) -> Option<&nas_bench_201::CellWeights> {
        self.nas_bench_201.as_ref()
    }

    /// The weights of one kind of DARTS cell in a stage, from 0.
    pub fn cell(&self, stage: usize, kind: CellKind) -> &CellWeights {
        self.sets[self.set_of(stage)].cell(kind)
    }

    fn set_of(&self, stage: usize) -> usize {
        if self.is_by_stage() { stage } else { 0 }
    }

    /// The weights of DARTS cells that a search from `stage` on decides.
    pub fn searched_from(&self, stage: usize) -> impl Iterator<Item = &CellWeights> {
        self.sets.iter().skip(self.set_of(stage)).flat_map(ArchSet::searched)
    }

    /// The raw logits of DARTS cells on the host, a set each.
    pub fn logits(&self) -> Vec<Alphas> {
        let set = |set: &ArchSet| Alphas { normal: set.normal.logits(), reduce: set.reduce.logits() };
        self.sets.iter().map(set).collect()
    }

    /// The sum of |alpha| over the operations without weights, raw logits, of all cells that a search from `stage`
    /// on decides (facts 1.5); in NAS-Bench-201 the mean of |alpha| of `none` over the edges (facts 6).
    ///
    /// # Shapes
    /// returns `[1]`
    pub fn penalised_l1(&self, stage: usize) -> Tensor<1> {
        if let Some(cell) = &self.nas_bench_201 {
            return cell.penalised_l1();
        }
        let mut cells = self.searched_from(stage).map(CellWeights::weight_free_l1);
        let first = cells.next().unwrap_or_else(|| Tensor::zeros([1], &self.device()));
        cells.fold(first, |sum, cell| sum + cell)
    }

    /// What cells mix their operations by, see [`CellWeights::mixing`].
    pub fn mixing(&self) -> Mixing {
        self.mixing_by(&mut |alpha| softmax(alpha, 1))
    }

    /// As [`Self::mixing`], with a single operation on each edge, drawn by Gumbel noise: forward it alone counts, back
    /// the gradient is that of softmax((log softmax(alpha) + noise) / temperature) (Dong and Yang, "Searching for a
    /// Robust Neural Architecture in Four GPU Hours", CVPR 2019, equations 3 to 5).
    pub fn drawn_mixing(&self, temperature: f64, gumbel: &mut dyn FnMut() -> f64) -> Mixing {
        self.mixing_by(&mut |alpha| drawn(alpha, temperature, gumbel))
    }

    /// `weigh` makes of logits what the operations of an edge weigh.
    fn mixing_by(&self, weigh: &mut dyn FnMut(Tensor<2>) -> Tensor<2>) -> Mixing {
        match &self.nas_bench_201 {
            Some(cell) => Mixing::NasBench201(weigh(cell.alpha())),
            None => {
                let sets = self.sets.iter();
                Mixing::Darts(
                    sets.map(|set| [&set.normal, &set.reduce].map(|cell| cell.mixing_by(weigh))).collect(),
                )
            }
        }
    }

    fn device(&self) -> Device {
        match &self.nas_bench_201 {
            Some(cell) => cell.device(),
            None => self.sets[0].normal.alpha.val().device(),
        }
    }
}

/// Mixing weights of every kind of cell: how much each operation counts on each edge.
#[derive(Clone, Debug)]
pub enum Mixing {
    /// One pair for all stages or one a stage.
    Darts(Vec<[Tensor<2>; 2]>),
    /// Of the one cell.
    NasBench201(Tensor<2>),
}

impl Mixing {
    pub(crate) fn of(&self, stage: usize, kind: CellKind) -> &Tensor<2> {
        match self {
            Self::Darts(sets) => &sets[if sets.len() == 1 { 0 } else { stage }][kind as usize],
            Self::NasBench201(cell) => cell,
        }
    }

    pub(crate) fn nas_bench_201(&self) -> &Tensor<2> {
        self.of(0, CellKind::Normal)
    }
}

impl ArchSet {
    fn new(searched: [bool; 2], edge_weights: bool, init: &Initialiser, set: usize) -> Self {
        let cell = |kind: CellKind| {
            let mut init = init.at(2 * set + kind as usize);
            let cell = CellWeights {
                alpha: init.normal([EDGES, Op::COUNT], DEVIATION),
                beta: edge_weights.then(|| init.normal([EDGES], DEVIATION)),
            };
            if searched[kind as usize] { cell } else { cell.no_grad() }
        };
        Self { normal: cell(CellKind::Normal), reduce: cell(CellKind::Reduction), searched }
    }

    fn cell(&self, kind: CellKind) -> &CellWeights {
        match kind {
            CellKind::Normal => &self.normal,
            CellKind::Reduction => &self.reduce,
        }
    }

    fn searched(&self) -> impl Iterator<Item = &CellWeights> {
        CellKind::ALL
            .into_iter()
            .filter(move |&kind| self.searched[kind as usize])
            .map(|kind| self.cell(kind))
    }
}

impl CellWeights {
    /// What every operation on every edge is multiplied by: softmax of alpha over an edge's operations times
    /// softmax of beta over a node's edges. Without beta an edge of node i weighs 1/(i+2).
    ///
    /// # Shapes
    /// returns `[14, 8]`
    pub fn mixing(&self) -> Tensor<2> {
        self.mixing_by(&mut |alpha| softmax(alpha, 1))
    }

    fn mixing_by(&self, weigh: &mut dyn FnMut(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        let alpha = self.alpha.val();
        let like = (&alpha.device(), alpha.dtype());
        let by_node = (0..NODES).map(|node| {
            let edges = edges_of(node);
            match &self.beta {
                Some(beta) => softmax(beta.val().slice([edges]), 0),
                None => Tensor::full([edges.len()], 1.0 / edges.len() as f64, like),
            }
        });
        let edge_weights: Tensor<1> = Tensor::cat(by_node.collect(), 0);
        weigh(alpha).mul(edge_weights.reshape([EDGES, 1]))
    }

    /// The raw logits on the host.
    pub fn logits(&self) -> CellAlphas {
        let values = host_values(self.alpha.val());
        let alpha = values.chunks_exact(Op::COUNT).map(|row| std::array::from_fn(|op| row[op])).collect();
        let beta = match &self.beta {
            Some(beta) => host_values(beta.val()),
            None => vec![0.0; EDGES],
        };
        CellAlphas { alpha, beta }
    }

    fn weight_free_l1(&self) -> Tensor<1> {
        let alpha = self.alpha.val();
        let mask: [f32; Op::COUNT] = Op::ALL.map(|op| if op.is_weight_free() { 1.0 } else { 0.0 });
        let mask = Tensor::<1>::from_data(mask, (&alpha.device(), alpha.dtype()));
        alpha.abs().mul(mask.reshape([1, Op::COUNT as i32])).sum()
    }
}

/// One operation on each edge, its weight 1 with the gradient of a soft choice.
fn drawn(alpha: Tensor<2>, temperature: f64, gumbel: &mut dyn FnMut() -> f64) -> Tensor<2> {
    let like = (&alpha.device(), alpha.dtype());
    let [edges, ops] = alpha.dims();
    let noise: Vec<f32> = (0..edges * ops).map(|_| gumbel() as f32).collect();
    let noise = Tensor::<2>::from_data(TensorData::new(noise, [edges, ops]), like);
    let soft = softmax((log_softmax(alpha, 1) + noise).div_scalar(temperature), 1);
    let chosen: Vec<f32> = host_values(soft.clone()).chunks_exact(ops).flat_map(one_hot).collect();
    let chosen = Tensor::<2>::from_data(TensorData::new(chosen, [edges, ops]), like);
    chosen - soft.clone().detach() + soft
}

/// 1 at the largest value, of equals the first.
fn one_hot(row: &[f32]) -> Vec<f32> {
    let largest = (0..row.len()).reduce(|best, place| if row[place] > row[best] { place } else { best });
    (0..row.len()).map(|place| if Some(place) == largest { 1.0 } else { 0.0 }).collect()
}

pub(crate) fn frozen_at<const D: usize>(value: f64, like: &Param<Tensor<D>>) -> Param<Tensor<D>> {
    let like = like.val();
    Param::from_tensor(Tensor::full(like.dims(), value, &like.device())).set_require_grad(false)
}

/// A tensor's values, row by row.
pub fn host_values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data();
    match data.as_slice::<f32>() {
        Ok(values) => values.to_vec(),
        Err(_) => data.iter::<f32>().collect(),
    }
}
