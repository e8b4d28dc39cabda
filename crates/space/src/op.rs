//! The eight candidate operations of the DARTS space, in the published index order (facts 3.1; Liu et al.,
//! arXiv 1806.09055, section 3.1.1). The index order decides ties and is the column order of every table of
//! architecture weights.

use crate::SpaceError;

/// A candidate operation: it maps `[n, c, h, w]` to `[n, c, h, w]`, or to half the size with stride 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// Max pooling 3x3, padding 1.
    MaxPool3x3,
    /// Average pooling 3x3, padding 1; padded positions are not counted.
    AvgPool3x3,
    /// Identity; with stride 2 a factorised reduction.
    SkipConnect,
    /// Two blocks of ReLU, depthwise 3x3, pointwise, batch norm.
    SepConv3x3,
    /// Two blocks of ReLU, depthwise 5x5, pointwise, batch norm.
    SepConv5x5,
    /// One block of ReLU, depthwise 3x3 with dilation 2, pointwise, batch norm.
    DilConv3x3,
    /// One block of ReLU, depthwise 5x5 with dilation 2, pointwise, batch norm.
    DilConv5x5,
    /// Zero: no connection.
    None,
}

impl Op {
    /// How many operations there are.
    pub const COUNT: usize = 8;

    /// All operations, in index order.
    pub const ALL: [Op; Self::COUNT] = [
        Op::MaxPool3x3,
        Op::AvgPool3x3,
        Op::SkipConnect,
        Op::SepConv3x3,
        Op::SepConv5x5,
        Op::DilConv3x3,
        Op::DilConv5x5,
        Op::None,
    ];

    /// The published name, as genotypes write it.
    pub fn name(self) -> &'static str {
        match self {
            Op::MaxPool3x3 => "max_pool_3x3",
            Op::AvgPool3x3 => "avg_pool_3x3",
            Op::SkipConnect => "skip_connect",
            Op::SepConv3x3 => "sep_conv_3x3",
            Op::SepConv5x5 => "sep_conv_5x5",
            Op::DilConv3x3 => "dil_conv_3x3",
            Op::DilConv5x5 => "dil_conv_5x5",
            Op::None => "none",
        }
    }

    /// The operation with this published name.
    pub fn from_name(name: &str) -> Option<Op> {
        Op::ALL.into_iter().find(|op| op.name() == name)
    }

    /// Position in [`Op::ALL`] and in a row of architecture weights.
    pub fn index(self) -> usize {
        self as usize
    }

    /// All operations but `none`, in index order: those that a genotype may keep.
    pub fn kept() -> impl Iterator<Item = Op> {
        Op::ALL.into_iter().filter(|&op| op != Op::None)
    }

    /// Whether the operation is one of the three that the penalty on architecture weights acts on: the two
    /// poolings and the skip connection (facts 1.5). `None` has no weights either but is not penalised.
    pub fn is_weight_free(self) -> bool {
        matches!(self, Op::MaxPool3x3 | Op::AvgPool3x3 | Op::SkipConnect)
    }
}

/// The error that none of the `known` operations is called `name`; it names the most similar, of equally similar
/// ones the first.
pub(crate) fn unknown_op(name: &str, known: &[&'static str]) -> SpaceError {
    // Names far longer than any operation's are compared by their beginning only, to keep this cheap.
    let beginning: String = name.chars().take(64).collect();
    let (mut nearest, mut likeness) = ("", f64::NEG_INFINITY);
    for known in known {
        // Jaro-Winkler favours a common beginning, so that `skip` finds `skip_connect`.
        let like = strsim::jaro_winkler(&beginning, known);
        if like > likeness {
            (nearest, likeness) = (known, like);
        }
    }
    SpaceError::UnknownOp { found: name.chars().take(40).collect(), nearest }
}

/// What an operation does by its published name: it prints, parses and is stored as that. For enumerations with `ALL`,
/// `name` and `from_name`.
macro_rules! by_name {
    ($op:ty) => {
        impl std::fmt::Display for $op {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $op {
            type Err = $crate::SpaceError;

            fn from_str(name: &str) -> Result<Self, $crate::SpaceError> {
                Self::from_name(name).ok_or_else(|| $crate::op::unknown_op(name, &Self::ALL.map(Self::name)))
            }
        }

        impl serde::Serialize for $op {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $op {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use by_name;

by_name!(Op);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_indices_round_trip() {
        for (i, op) in Op::ALL.into_iter().enumerate() {
            assert_eq!(op.index(), i);
            assert_eq!(Op::from_name(op.name()), Some(op));
            assert_eq!(serde_json::to_string(&op).unwrap(), format!("\"{op}\""));
            assert_eq!(serde_json::from_str::<Op>(&format!("\"{op}\"")).unwrap(), op);
        }
        assert_eq!(Op::from_name("sep_conv_7x7"), None);
    }

    #[test]
    fn the_penalised_operations_are_the_published_three() {
        let weight_free: Vec<usize> =
            Op::ALL.into_iter().filter(|op| op.is_weight_free()).map(Op::index).collect();
        assert_eq!(weight_free, [0, 1, 2]);
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_known_one() {
        for (found, nearest) in
            [("sep_conv3x3", Op::SepConv3x3), ("skip", Op::SkipConnect), ("dil_conv_5x6", Op::DilConv5x5)]
        {
            let error = found.parse::<Op>().unwrap_err();
            assert_eq!(error, SpaceError::UnknownOp { found: found.to_owned(), nearest: nearest.name() });
        }
        let json = serde_json::from_str::<Op>("\"sepconv_3x3\"").unwrap_err().to_string();
        assert!(json.contains("the nearest known one is `sep_conv_3x3`"), "{json}");
    }
}
