//! Counts as people write them: 3300000, 3.3M, 600M, 1G.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A count; 0 often stands for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Amount(pub u64);

/// What a count looks like.
const EXPECTED: &str = "a number such as 3300000, 3.3M, 600M or 1G";

/// The largest count that a configuration can hold.
const LARGEST: f64 = i64::MAX as f64;

impl Amount {
    /// The count as a limit: 0 is none.
    pub fn limit(self) -> Option<u64> {
        (self.0 > 0).then_some(self.0)
    }

    fn of(number: f64) -> Option<Self> {
        let whole = number.round();
        (number.is_finite() && (0.0..LARGEST).contains(&whole)).then_some(Self(whole as u64))
    }
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (number, unit) = match text.char_indices().next_back() {
            Some((at, 'k' | 'K')) => (&text[..at], 1e3),
            Some((at, 'm' | 'M')) => (&text[..at], 1e6),
            Some((at, 'g' | 'G')) => (&text[..at], 1e9),
            _ => (text, 1.0),
        };
        let number = number.replace('_', "").parse().ok().and_then(|number: f64| Self::of(number * unit));
        number.ok_or_else(|| format!("expected {EXPECTED}"))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'a> Deserialize<'a> for Amount {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Amount, E> {
                u64::try_from(number).map(Amount).map_err(|_| E::custom(format!("expected {EXPECTED}")))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Amount, E> {
                Ok(Amount(number))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Amount, E> {
                Amount::of(number).ok_or_else(|| E::custom(format!("expected {EXPECTED}")))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Written)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::resolve;

    use super::*;

    #[test]
    fn counts_have_units() {
        let cases = [("0", 0), ("3300000", 3_300_000), ("3.3M", 3_300_000), ("1e6", 1_000_000)];
        for (text, expected) in
            cases.into_iter().chain([("600m", 600_000_000), ("1G", 1_000_000_000), (" 2_5k", 25_000)])
        {
            assert_eq!(text.parse(), Ok(Amount(expected)), "{text}");
        }
        for wrong in ["", "M", "-1", "3.3MB", "NaN", "inf", "1e30", "3,3M"] {
            assert!(wrong.parse::<Amount>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn configurations_take_them_with_and_without_units() {
        for written in ["3.3M", "\"3.3M\"", "3300000", "3.3e6"] {
            let config = resolve(None, &[format!("retrain.max_params={written}")]).unwrap();
            assert_eq!(config.retrain.max_params, Amount(3_300_000), "{written}");
            assert!(config.to_toml().unwrap().contains("max_params = 3300000\n"));
        }
        let refused = resolve(None, &["retrain.max_macs=-5".to_owned()]).unwrap_err().to_string();
        assert!(refused.contains("retrain.max_macs") && refused.contains("600M"), "{refused}");
    }
}
