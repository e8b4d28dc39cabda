//! Mean, spread and paired differences over a few seeds.

/// What a case comes to over its seeds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Summary {
    /// Number of seeds.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, over n − 1; none for one seed.
    pub deviation: Option<f64>,
    /// The least.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

/// How far a case is from the first, seed by seed.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Difference {
    /// Number of seeds that both have.
    pub n: usize,
    /// Mean of the differences.
    pub mean: f64,
    /// Half the width of the mean's 95 % confidence interval, by Student's t; none for one seed.
    pub margin: Option<f64>,
}

impl Summary {
    /// Of `values`; none where there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let (mean, deviation) = moments(values)?;
        Some(Self {
            n: values.len(),
            mean,
            deviation,
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

impl Difference {
    /// Of paired `values`, each less the one it is `compared` with; none where there is no pair.
    pub fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        let differences: Vec<f64> = pairs.iter().map(|(value, compared)| value - compared).collect();
        let (mean, deviation) = moments(&differences)?;
        let n = differences.len();
        let margin = deviation.map(|deviation| student_t(n - 1) * deviation / (n as f64).sqrt());
        Some(Self { n, mean, margin })
    }
}

fn moments(values: &[f64]) -> Option<(f64, Option<f64>)> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((mean, (n > 1).then(|| (squares / (n - 1) as f64).sqrt())))
}

/// The 97.5 % point of Student's t with 1 to 30 degrees of freedom.
const STUDENT_T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// The 97.5 % point with `freedom` degrees; beyond 30 by the first terms of Cornish and Fisher's expansion about the
/// normal distribution's, 1.96, which are good to three digits there.
fn student_t(freedom: usize) -> f64 {
    const Z: f64 = 1.959_964;
    match STUDENT_T.get(freedom.saturating_sub(1)) {
        Some(&t) => t,
        None => {
            let freedom = freedom as f64;
            let second = 5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z;
            Z + (Z.powi(3) + Z) / (4.0 * freedom) + second / (96.0 * freedom * freedom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_values_are_summarised() {
        let summary = Summary::of(&[2.0, 4.0, 9.0]).unwrap();
        assert_eq!((summary.n, summary.mean, summary.least, summary.most), (3, 5.0, 2.0, 9.0));
        assert!((summary.deviation.unwrap() - 13.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(Summary::of(&[1.0]).unwrap().deviation, None);
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn differences_are_paired() {
        // 1, 2, 3: mean 2, deviation 1, t(2) = 4.303.
        let difference = Difference::of(&[(11.0, 10.0), (52.0, 50.0), (103.0, 100.0)]).unwrap();
        assert_eq!(difference.mean, 2.0);
        assert!((difference.margin.unwrap() - 4.303 / 3.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(Difference::of(&[(1.0, 2.0)]).unwrap().margin, None);
    }

    #[test]
    fn student_t_goes_on_smoothly_behind_its_table() {
        assert!((student_t(31) - 2.040).abs() < 2e-3 && (student_t(120) - 1.980).abs() < 1e-3);
        assert!((0..200).map(student_t).skip(1).is_sorted_by(|a, b| a >= b));
    }
}
