//! The five candidate operations, in the benchmark's index order (facts section 6). The index order decides ties
//! and is the column order of every table of architecture weights.

use crate::op::by_name;

/// A candidate operation: it maps `[n, c, h, w]` to `[n, c, h, w]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// Zero: no connection.
    None,
    /// Identity.
    SkipConnect,
    /// ReLU, 1x1 convolution, batch norm.
    NorConv1x1,
    /// ReLU, 3x3 convolution with padding 1, batch norm.
    NorConv3x3,
    /// Average pooling 3x3, padding 1; padded positions are not counted.
    AvgPool3x3,
}

impl Op {
    /// How many operations there are.
    pub const COUNT: usize = 5;

    /// All operations, in index order.
    pub const ALL: [Op; Self::COUNT] =
        [Op::None, Op::SkipConnect, Op::NorConv1x1, Op::NorConv3x3, Op::AvgPool3x3];

    /// The benchmark's name, as genotypes write it.
    pub fn name(self) -> &'static str {
        match self {
            Op::None => "none",
            Op::SkipConnect => "skip_connect",
            Op::NorConv1x1 => "nor_conv_1x1",
            Op::NorConv3x3 => "nor_conv_3x3",
            Op::AvgPool3x3 => "avg_pool_3x3",
        }
    }

    /// The operation with this name.
    pub fn from_name(name: &str) -> Option<Op> {
        Op::ALL.into_iter().find(|op| op.name() == name)
    }

    /// Position in [`Op::ALL`] and in a row of architecture weights.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Side of the convolution's kernel; none for an operation without weights.
    pub fn kernel(self) -> Option<usize> {
        match self {
            Op::NorConv1x1 => Some(1),
            Op::NorConv3x3 => Some(3),
            Op::None | Op::SkipConnect | Op::AvgPool3x3 => None,
        }
    }

    /// Whether the penalty on architecture weights acts on the operation: in this space on `none` alone.
    pub fn is_penalised(self) -> bool {
        self == Op::None
    }
}

by_name!(Op);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SpaceError;

    #[test]
    fn the_order_is_the_published_one() {
        let names = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"];
        assert_eq!(Op::ALL.map(Op::name), names);
        for (i, op) in Op::ALL.into_iter().enumerate() {
            assert_eq!(op.index(), i);
            assert_eq!(op.name().parse(), Ok(op));
            assert_eq!(serde_json::from_str::<Op>(&serde_json::to_string(&op).unwrap()).unwrap(), op);
        }
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_of_this_space() {
        for (found, nearest) in
            [("sep_conv_3x3", "nor_conv_3x3"), ("skip", "skip_connect"), ("max_pool_3x3", "avg_pool_3x3")]
        {
            assert_eq!(found.parse::<Op>(), Err(SpaceError::UnknownOp { found: found.to_owned(), nearest }));
        }
    }
}
