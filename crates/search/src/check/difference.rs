//! Gradients of loss terms against central differences of the same terms.

use cdarts_space::SpaceError;

use super::groups::{self, Direction, Group, Slot, Values};
use super::point::{Point, Term};
use super::{Fault, Path, Report, Row, Setup};
use crate::config::Config;

/// Steps of the differences along directions of length 1, in the order tried. Rounding leaves 1e-11 of the loss at the
/// first; smaller ones step over fewer kinks, the larger one rounds less.
const STEPS: [f64; 4] = [1e-5, 1e-6, 1e-4, 1e-7];

/// Part of the loss below which derivatives are not told apart.
const FLOOR: f64 = 1e-3;

/// The largest relative error of a gradient. Found were 4e-8 and 6e-5, the latter where the gradient is next to nothing.
pub(super) fn tolerance(path: Path) -> f64 {
    match path {
        Path::Stock => 1e-5,
        Path::Fused => 1e-3,
    }
}

/// A term's gradient by one path, and how large it is over a group.
struct Analytic {
    path: Path,
    term: usize,
    value: f64,
    gradient: Values,
}

pub(super) fn report(setup: &Setup, config: &Config, fault: &dyn Fault) -> Result<Report, SpaceError> {
    let (wide, slots) = Point::new(Path::Stock, config, setup.seed)?;
    let (narrow, _) = Point::new(Path::Fused, config, setup.seed)?;
    let mut found = Vec::new();
    for (path, point) in [(Path::Stock, &wide), (Path::Fused, &narrow)] {
        for (term, &of) in Term::LOSSES.iter().enumerate() {
            let Some((value, mut gradient)) = point.gradient(term, config) else { continue };
            for (slot, gradient) in slots.iter().zip(&mut gradient) {
                fault.gradient(path, of, slot.group, gradient);
            }
            found.push(Analytic { path, term, value, gradient });
        }
    }
    let losses = wide.losses(config);
    let mut rows: Vec<Row> = found.iter().map(|found| value_row(found, losses[found.term], config)).collect();
    for group in Group::ALL {
        rows.extend(group_rows(setup, config, &slots, group, &wide, &losses, &found));
    }
    Ok(Report { rows, smooth_l1_branches: wide.smooth_l1_branches(config) })
}

fn value_row(found: &Analytic, expected: f64, config: &Config) -> Row {
    Row {
        path: found.path,
        edge_weights: config.search.edge_weights,
        term: Term::LOSSES[found.term],
        with_respect_to: Group::Value,
        values: 1,
        depends: true,
        error: (found.value - expected).abs() / expected.abs().max(f64::MIN_POSITIVE),
        tolerance: tolerance(found.path),
    }
}

fn group_rows(
    setup: &Setup,
    config: &Config,
    slots: &[Slot],
    group: Group,
    wide: &Point,
    losses: &[f64],
    found: &[Analytic],
) -> Vec<Row> {
    let directions = groups::directions(slots, group, [setup.coordinates, setup.directions], setup.seed);
    if directions.is_empty() {
        return Vec::new();
    }
    let sizes: Vec<f64> = found.iter().map(|found| root_mean_square(slots, group, &found.gradient)).collect();
    let mut errors = vec![0.0_f64; found.len()];
    let mut depends = vec![false; found.len()];
    for direction in &directions {
        let analytic: Vec<f64> = found.iter().map(|f| groups::along(&f.gradient, direction)).collect();
        let mut best = vec![f64::INFINITY; found.len()];
        for step in STEPS {
            let numeric = derivatives(wide, direction, step, config);
            for (index, found) in found.iter().enumerate() {
                let (a, n) = (analytic[index], numeric[found.term]);
                depends[index] |= a != 0.0 || n != 0.0;
                let scale = a.abs().max(n.abs()).max(sizes[index]).max(FLOOR * losses[found.term].abs());
                let error = if a == n { 0.0 } else { (a - n).abs() / scale };
                best[index] = if error.is_nan() { best[index] } else { best[index].min(error) };
            }
            // A kink shows in double precision; what single precision loses no other step gives back.
            let wide = best.iter().zip(found).filter(|(_, found)| found.path == Path::Stock);
            if wide.into_iter().all(|(&error, found)| error <= tolerance(found.path)) {
                break;
            }
        }
        errors.iter_mut().zip(best).for_each(|(worst, error)| *worst = worst.max(error));
    }
    found
        .iter()
        .enumerate()
        .map(|(index, found)| Row {
            path: found.path,
            edge_weights: config.search.edge_weights,
            term: Term::LOSSES[found.term],
            with_respect_to: group,
            values: directions.len(),
            depends: depends[index],
            error: errors[index],
            tolerance: tolerance(found.path),
        })
        .collect()
}

fn derivatives(point: &Point, direction: &Direction, step: f64, config: &Config) -> Vec<f64> {
    let [ahead, behind] = [step, -step].map(|step| point.moved(direction, step).losses(config));
    ahead.iter().zip(behind).map(|(ahead, behind)| (ahead - behind) / (2.0 * step)).collect()
}

/// Over a group's derivatives.
pub(super) fn root_mean_square(slots: &[Slot], group: Group, gradient: &[Vec<f64>]) -> f64 {
    let own = slots.iter().zip(gradient).filter(|(slot, _)| slot.group == group);
    let (mut squares, mut count) = (0.0, 0.0);
    for (_, gradient) in own {
        squares += gradient.iter().map(|g| g * g).sum::<f64>();
        count += gradient.len() as f64;
    }
    if count > 0.0 { (squares / count).sqrt() } else { 0.0 }
}
