//! The gradient of second-order DARTS against two computations that know nothing of its formula.
//!
//! Its Hessian-vector product, with the radius of a search, against second differences of losses alone: with weights
//! moved by ε v each way and architecture weights by t d, (L₊₊ − L₊₋ − L₋₊ + L₋₋) / (4 ε t). The whole gradient, with a
//! radius so small that curvature does not count, against differences of L_val(w′(α), α), w′ being stepped anew for
//! every α.

use std::cell::RefCell;
use std::collections::BTreeMap;

use burn_optim::ModuleOptimizer;
use cdarts_space::SpaceError;

use super::difference::root_mean_square;
use super::groups::{self, Direction, Group, Slot, Values};
use super::point::{Point, Term, batch, scalar};
use super::{Fault, Path, Row, Setup};
use crate::config::Config;
use crate::grads::GradBuffer;
use crate::networks::{Batch, SearchNets};
use crate::optimisers::{sgd, step};
use crate::unrolled::{RADIUS, Unrolled, Unrolling};

/// Learning rate of the step ahead: large, so that the product counts.
const RATE: f64 = 0.2;
const MOMENTUM: f64 = 0.9;
const WEIGHT_DECAY: f64 = 3e-2;

/// Steps of the architecture weights, in the order tried.
const STEPS: [f64; 4] = [1e-4, 1e-5, 1e-6, 1e-3];
/// Radii of the whole gradient, in the order tried.
const RADII: [f64; 3] = [1e-5, 1e-6, 1e-4];

const GROUPS: [Group; 4] =
    [Group::AlphaNormal, Group::AlphaReduction, Group::BetaNormal, Group::BetaReduction];

/// The largest relative error.
fn tolerance(path: Path, term: Term) -> f64 {
    match (path, term) {
        (Path::Fused, _) => 5e-2,
        (Path::Stock, Term::HessianVector) => 1e-5,
        (Path::Stock, _) => 1e-4,
    }
}

/// Networks with an optimiser that has momentum, and a batch of each half.
struct Scene {
    nets: SearchNets,
    optimiser: ModuleOptimizer,
    train: Batch,
    validation: Batch,
}

impl Scene {
    fn new(path: Path, config: &Config, seed: u64) -> Result<(Self, Vec<Slot>), SpaceError> {
        let (point, slots) = Point::new(path, config, seed)?;
        let Point { nets, batch: train } = point;
        let mut optimiser = sgd(MOMENTUM, WEIGHT_DECAY);
        let mut grads = GradBuffer::default();
        let (loss, _) = nets.search_label_loss(&batch(path, seed + 1));
        grads.absorb(&mut loss.backward(), &[&nets.stem, &nets.supernet]);
        step(&mut optimiser, RATE, &mut nets.stem.clone(), &mut grads);
        step(&mut optimiser, RATE, &mut nets.supernet.clone(), &mut grads);
        Ok((Self { nets, optimiser, train, validation: batch(path, seed + 2) }, slots))
    }

    fn unrolling<'a>(&'a self, nets: &'a SearchNets, radius: f64) -> Unrolling<'a> {
        Unrolling { nets, optimiser: &self.optimiser, rate: RATE, radius }
    }

    fn unrolled(&self, radius: f64) -> Unrolled {
        self.unrolling(&self.nets, radius).gradient(&self.train, &self.validation)
    }

    /// A gradient of the architecture weights among zeros for everything else.
    fn values(&self, gradient: &mut GradBuffer, slots: &[Slot]) -> Values {
        let mut read = gradient.read(&[&self.nets.arch]).into_iter();
        let of = |slot: &Slot| {
            let gradient = if GROUPS.contains(&slot.group) { read.next().flatten() } else { None };
            gradient.map_or_else(|| vec![0.0; slot.len], |g| g.into_iter().map(f64::from).collect())
        };
        slots.iter().map(of).collect()
    }

    /// The product with the radius of a search.
    fn product(&self, path: Path, slots: &[Slot]) -> Candidate {
        let mut unrolled = self.unrolled(RADIUS);
        let product = self.values(&mut unrolled.product, slots);
        let computed = Computed { gradient: product.clone(), product, epsilon: unrolled.epsilon };
        Candidate { of: (path, Term::HessianVector), weight: 1.0, computed: vec![computed] }
    }

    /// The whole gradient with each of [`RADII`].
    fn whole(&self, path: Path, slots: &[Slot]) -> Candidate {
        let computed = RADII.map(|radius| {
            let mut unrolled = self.unrolled(radius);
            Computed {
                gradient: self.values(&mut unrolled.of(&self.nets.arch, RATE), slots),
                product: self.values(&mut unrolled.product, slots),
                epsilon: unrolled.epsilon,
            }
        });
        Candidate { of: (path, Term::SecondOrder), weight: -RATE, computed: computed.into() }
    }

    /// The product along a direction, from losses alone.
    fn second_difference(&self, along: &GradBuffer, epsilon: f64, direction: &Direction, step: f64) -> f64 {
        let unrolling = self.unrolling(&self.nets, RADIUS);
        let mut sum = 0.0;
        for weights in [1.0, -1.0] {
            let nets = unrolling.moved(along, weights * epsilon);
            for arch in [1.0, -1.0] {
                let moved = groups::moved(&nets, direction, arch * step);
                sum += weights * arch * scalar(moved.search_label_loss(&self.train).0);
            }
        }
        sum / (4.0 * epsilon * step)
    }

    /// The derivative of the loss after the step.
    fn total_difference(&self, direction: &Direction, step: f64) -> f64 {
        let at = |step: f64| {
            let nets = groups::moved(&self.nets, direction, step);
            let ahead = self.unrolling(&nets, RADIUS).ahead(&self.train);
            scalar(ahead.search_label_loss(&self.validation).0)
        };
        (at(step) - at(-step)) / (2.0 * step)
    }
}

/// The rows of each fault. Differences are taken once for all of them.
pub(super) fn rows(
    setup: &Setup,
    config: &Config,
    faults: &[&dyn Fault],
) -> Result<Vec<Vec<Row>>, SpaceError> {
    let (wide, slots) = Scene::new(Path::Stock, config, setup.seed)?;
    let (narrow, _) = Scene::new(Path::Fused, config, setup.seed)?;
    let candidates = [
        wide.product(Path::Stock, &slots),
        narrow.product(Path::Fused, &slots),
        wide.whole(Path::Stock, &slots),
    ];
    let Unrolled { direct, epsilon, .. } = wide.unrolled(RADIUS);
    let mut rows = vec![Vec::new(); faults.len()];
    for group in GROUPS {
        let directions = groups::directions(&slots, group, [setup.coordinates, setup.directions], setup.seed);
        if directions.is_empty() {
            continue;
        }
        let known = RefCell::new(BTreeMap::new());
        let numeric = |term: Term, direction: usize, step: usize| {
            *known.borrow_mut().entry((term, direction, step)).or_insert_with(|| {
                let (direction, step) = (&directions[direction], STEPS[step]);
                match term {
                    Term::HessianVector => wide.second_difference(&direct, epsilon, direction, step),
                    _ => wide.total_difference(direction, step),
                }
            })
        };
        for (rows, &fault) in rows.iter_mut().zip(faults) {
            let of =
                |candidate: &Candidate| candidate.row(group, &slots, &directions, config, fault, &numeric);
            rows.extend(candidates.iter().map(of));
        }
    }
    Ok(rows)
}

/// A gradient that is compared, computed in one way or several of which one has to agree.
struct Candidate {
    of: (Path, Term),
    /// What the product counts in the gradient.
    weight: f64,
    computed: Vec<Computed>,
}

struct Computed {
    gradient: Values,
    product: Values,
    epsilon: f64,
}

impl Candidate {
    /// The gradients with a fault put in.
    fn gradients(&self, slots: &[Slot], fault: &dyn Fault) -> Vec<Values> {
        let (path, term) = self.of;
        let faulty = |Computed { gradient, product, epsilon }: &Computed| {
            let more = self.weight * (fault.product_factor(*epsilon) - 1.0);
            let of = |((slot, gradient), product): ((&Slot, &Vec<f64>), &Vec<f64>)| {
                let mut values: Vec<f64> = gradient.iter().zip(product).map(|(g, p)| g + more * p).collect();
                fault.gradient(path, term, slot.group, &mut values);
                values
            };
            slots.iter().zip(gradient).zip(product).map(of).collect()
        };
        self.computed.iter().map(faulty).collect()
    }

    fn row(
        &self,
        group: Group,
        slots: &[Slot],
        directions: &[Direction],
        config: &Config,
        fault: &dyn Fault,
        numeric: &impl Fn(Term, usize, usize) -> f64,
    ) -> Row {
        let (path, term) = self.of;
        let tolerance = tolerance(path, term);
        let gradients = self.gradients(slots, fault);
        let error = directions.iter().enumerate().map(|(at, direction)| {
            let mut best = f64::INFINITY;
            for step in 0..STEPS.len() {
                let numeric = numeric(term, at, step);
                for gradient in &gradients {
                    let analytic = groups::along(gradient, direction);
                    let size = root_mean_square(slots, group, gradient);
                    let error = (analytic - numeric).abs() / analytic.abs().max(numeric.abs()).max(size);
                    best = if error.is_nan() { best } else { best.min(error) };
                }
                if best <= tolerance {
                    break;
                }
            }
            best
        });
        Row {
            path,
            edge_weights: config.search.edge_weights,
            term,
            with_respect_to: group,
            values: directions.len(),
            depends: true,
            error: error.fold(0.0, f64::max),
            tolerance,
        }
    }
}
