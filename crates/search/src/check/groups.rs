//! Parameters by what they are for, and values and directions over all of them.

use std::fmt;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};
use cdarts_space::{CellKind, SkeletonPlan};
use serde::Serialize;

use crate::networks::SearchNets;

/// What a gradient is taken with respect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Not a gradient but the term itself.
    Value,
    /// Alpha of the normal cells.
    AlphaNormal,
    /// Alpha of the reduction cells.
    AlphaReduction,
    /// Beta of the normal cells.
    BetaNormal,
    /// Beta of the reduction cells.
    BetaReduction,
    /// The stage mixture.
    Mixture,
    /// Weights of the search network's normal cells.
    SearchNormal,
    /// Weights of the search network's reduction cells.
    SearchReduction,
    /// Weights of the evaluation network's normal cells.
    EvalNormal,
    /// Weights of the evaluation network's reduction cells.
    EvalReduction,
    /// The stem.
    Stem,
    /// The distillation heads.
    Heads,
    /// Both classifiers.
    Classifiers,
    /// The images.
    Images,
}

impl Group {
    /// All that have a gradient.
    pub const ALL: [Self; 13] = [
        Self::AlphaNormal,
        Self::AlphaReduction,
        Self::BetaNormal,
        Self::BetaReduction,
        Self::Mixture,
        Self::SearchNormal,
        Self::SearchReduction,
        Self::EvalNormal,
        Self::EvalReduction,
        Self::Stem,
        Self::Heads,
        Self::Classifiers,
        Self::Images,
    ];
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Value => "the value itself",
            Self::AlphaNormal => "alpha, normal cells",
            Self::AlphaReduction => "alpha, reduction cells",
            Self::BetaNormal => "beta, normal cells",
            Self::BetaReduction => "beta, reduction cells",
            Self::Mixture => "stage mixture",
            Self::SearchNormal => "search network, normal cells",
            Self::SearchReduction => "search network, reduction cells",
            Self::EvalNormal => "evaluation network, normal cells",
            Self::EvalReduction => "evaluation network, reduction cells",
            Self::Stem => "stem",
            Self::Heads => "distillation heads",
            Self::Classifiers => "classifiers",
            Self::Images => "images",
        })
    }
}

/// A group of every parameter of the networks, in their order.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub group: Group,
    pub len: usize,
}

/// Values of every parameter, a slot each; the images are the last.
pub(super) type Values = Vec<Vec<f64>>;

/// Which slot a parameter is, by its name.
pub(super) fn slots(nets: &SearchNets, plans: [&SkeletonPlan; 2]) -> Vec<Slot> {
    let mut reader = Reader::new(None);
    reader.networks(nets);
    let group = |(name, values): &(String, Vec<f64>)| Slot { group: group(name, plans), len: values.len() };
    reader.found.iter().map(group).collect()
}

fn group(name: &str, [search, eval]: [&SkeletonPlan; 2]) -> Group {
    let parts: Vec<&str> = name.split('.').collect();
    let normal = match parts.as_slice() {
        ["arch", .., cell, _] => *cell == "normal",
        [network, "stages", stage, "cells", cell, ..] => {
            let plan = if *network == "supernet" { search } else { eval };
            let place = stage.parse().ok().zip(cell.parse().ok());
            place.is_none_or(|(stage, cell)| is_normal(plan, stage, cell))
        }
        _ => true,
    };
    let of_kind = |[of_normal, of_reduction]: [Group; 2]| if normal { of_normal } else { of_reduction };
    match (parts[0], parts[1], parts[parts.len() - 1]) {
        ("arch", _, "alpha") => of_kind([Group::AlphaNormal, Group::AlphaReduction]),
        ("arch", _, _) => of_kind([Group::BetaNormal, Group::BetaReduction]),
        ("supernet", "stages", _) => of_kind([Group::SearchNormal, Group::SearchReduction]),
        ("evalnet", "stages", _) => of_kind([Group::EvalNormal, Group::EvalReduction]),
        ("supernet" | "evalnet", _, _) => Group::Classifiers,
        ("mixture", _, _) => Group::Mixture,
        ("heads", _, _) => Group::Heads,
        _ => Group::Stem,
    }
}

/// The one cell of NAS-Bench-201 counts as normal.
fn is_normal(plan: &SkeletonPlan, stage: usize, cell: usize) -> bool {
    let SkeletonPlan::Darts(plan) = plan else { return true };
    let cell = plan.stages.get(stage).and_then(|stage| stage.cells.get(cell));
    cell.is_none_or(|cell| cell.kind == CellKind::Normal)
}

/// The gradients of all parameters; zeros where there is none.
pub(super) fn gradients(nets: &SearchNets, grads: &Gradients) -> Values {
    let mut reader = Reader::new(Some(grads));
    reader.networks(nets);
    reader.found.into_iter().map(|(_, values)| values).collect()
}

/// Names, and values or gradients, of parameters; running statistics are none.
struct Reader<'a> {
    path: Vec<String>,
    grads: Option<&'a Gradients>,
    found: Vec<(String, Vec<f64>)>,
}

impl<'a> Reader<'a> {
    fn new(grads: Option<&'a Gradients>) -> Self {
        Self { path: Vec::new(), grads, found: Vec::new() }
    }

    fn networks(&mut self, nets: &SearchNets) {
        self.module("stem", &nets.stem);
        self.module("supernet", &nets.supernet);
        nets.evalnet.iter().for_each(|evalnet| self.module("evalnet", evalnet));
        self.module("heads", &nets.heads);
        self.module("mixture", &nets.mixture);
        self.module("arch", &nets.arch);
    }

    fn module<M: Module>(&mut self, name: &str, module: &M) {
        self.path.push(name.to_owned());
        module.visit(self);
        self.path.pop();
    }
}

impl ModuleVisitor for Reader<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if is_statistic(&self.path) {
            return;
        }
        let value = param.val();
        let values = match self.grads {
            None => host(value),
            Some(grads) => value.grad(grads).map_or_else(|| vec![0.0; value.dims().iter().product()], host),
        };
        self.found.push((self.path.join("."), values));
    }
}

fn is_statistic(path: &[String]) -> bool {
    path.iter().any(|part| part.starts_with("running_"))
}

pub(super) fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// `tensor` plus `step` times `direction`, its values row by row.
pub(super) fn shifted<const D: usize>(tensor: Tensor<D>, direction: &[f64], step: f64) -> Tensor<D> {
    let inner = tensor.clone().inner();
    let shift: Vec<f64> = direction.iter().map(|d| d * step).collect();
    let shift = Tensor::from_data(TensorData::new(shift, inner.dims()), (&inner.device(), inner.dtype()));
    Tensor::from_inner(inner + shift).set_require_grad(tensor.is_require_grad())
}

/// A direction over all slots; nothing where it does not move one.
pub(super) type Direction = Vec<Option<Vec<f64>>>;

/// The networks moved by `step` along a direction.
pub(super) fn moved(nets: &SearchNets, direction: &Direction, step: f64) -> SearchNets {
    let mut mover = Mover { path: Vec::new(), directions: direction.iter(), step };
    let mut nets = nets.clone();
    nets.stem = nets.stem.map(&mut mover);
    nets.supernet = nets.supernet.map(&mut mover);
    nets.evalnet = nets.evalnet.map(|evalnet| evalnet.map(&mut mover));
    nets.heads = nets.heads.map(&mut mover);
    nets.mixture = nets.mixture.map(&mut mover);
    nets.arch = nets.arch.map(&mut mover);
    nets
}

struct Mover<'a> {
    path: Vec<String>,
    directions: std::slice::Iter<'a, Option<Vec<f64>>>,
    step: f64,
}

impl ModuleMapper for Mover<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if is_statistic(&self.path) {
            return param;
        }
        match self.directions.next() {
            Some(Some(direction)) => Param::initialized(param.id, shifted(param.val(), direction, self.step)),
            _ => param,
        }
    }
}

/// Coordinates and random directions of length 1 over a group.
pub(super) fn directions(
    slots: &[Slot],
    group: Group,
    [coordinates, random]: [usize; 2],
    seed: u64,
) -> Vec<Direction> {
    use rand::{Rng, SeedableRng};
    let len: usize = slots.iter().filter(|slot| slot.group == group).map(|slot| slot.len).sum();
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed ^ ((group as u64 + 1) << 32));
    let mut flat: Vec<Vec<f64>> = Vec::new();
    if len == 0 {
        return Vec::new();
    }
    for at in rand::seq::index::sample(&mut rng, len, coordinates.min(len)).into_iter() {
        let mut direction = vec![0.0; len];
        direction[at] = 1.0;
        flat.push(direction);
    }
    let entry = 1.0 / (len as f64).sqrt();
    for _ in 0..random {
        flat.push((0..len).map(|_| if rng.random() { entry } else { -entry }).collect());
    }
    flat.into_iter().map(|direction| spread(slots, group, &direction)).collect()
}

fn spread(slots: &[Slot], group: Group, mut flat: &[f64]) -> Direction {
    let own = |slot: &Slot| {
        (slot.group == group).then(|| {
            let (own, rest) = flat.split_at(slot.len);
            flat = rest;
            own.to_vec()
        })
    };
    slots.iter().map(own).collect()
}

/// The derivative along a direction.
pub(super) fn along(gradient: &[Vec<f64>], direction: &Direction) -> f64 {
    let dot = |(g, d): (&Vec<f64>, &Option<Vec<f64>>)| {
        d.as_ref().map_or(0.0, |d| g.iter().zip(d).map(|(g, d)| g * d).sum())
    };
    gradient.iter().zip(direction).map(dot).sum()
}
