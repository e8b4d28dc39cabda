//! Everything that can be wrong with an architecture: one error type for the crate.

use crate::{CellKind, CostLimits, EDGES, NODES, Op};

/// What was wrong with a genotype, its text, architecture weights or a network's description.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpaceError {
    // ---- operations -------------------------------------------------------------------------------
    /// A name that is no operation of the search space.
    #[error("unknown operation `{found}`; the nearest known one is `{nearest}`")]
    UnknownOp {
        /// The name as written.
        found: String,
        /// The most similar name of an operation.
        nearest: &'static str,
    },

    // ---- genotypes --------------------------------------------------------------------------------
    /// A cell with more or fewer nodes than the space has.
    #[error("{cell} cell: expected {NODES} nodes, found {found}")]
    NodeCount {
        /// Which cell.
        cell: CellKind,
        /// Nodes found.
        found: usize,
    },
    /// A node without any incoming edge.
    #[error("{cell} cell, node {node}: expected at least one edge, found none")]
    NodeWithoutEdges {
        /// Which cell.
        cell: CellKind,
        /// Node, from 0.
        node: usize,
    },
    /// An edge from a state that comes later than its node.
    #[error("{cell} cell, node {node}: expected a source below {limit}, found {found}")]
    SourceOutOfRange {
        /// Which cell.
        cell: CellKind,
        /// Node, from 0.
        node: usize,
        /// Sources are below this.
        limit: usize,
        /// The source as written.
        found: u64,
    },
    /// `none` on a kept edge.
    #[error("{cell} cell, node {node}: expected an operation that computes something, found `none`")]
    NoneKept {
        /// Which cell.
        cell: CellKind,
        /// Node, from 0.
        node: usize,
    },
    /// The same operation twice on one edge; the two could not have weights of their own.
    #[error(
        "{cell} cell, node {node}: expected distinct edges, found `{op}` from source {source_state} twice"
    )]
    RepeatedEdge {
        /// Which cell.
        cell: CellKind,
        /// Node, from 0.
        node: usize,
        /// The repeated operation.
        op: Op,
        /// The repeated source.
        source_state: usize,
    },
    /// A concatenation that names something other than a node.
    #[error("{cell} cell: expected concatenated states from 2 to {}, found {found}", NODES + 1)]
    ConcatOutOfRange {
        /// Which cell.
        cell: CellKind,
        /// The state as written.
        found: u64,
    },
    /// A concatenation that does not hold every node once, as the channel plan needs.
    #[error(
        "{cell} cell: expected every node once in the concatenation (2 to {}), found {found:?}",
        NODES + 1
    )]
    ConcatNotEveryNode {
        /// Which cell.
        cell: CellKind,
        /// The concatenation as written.
        found: Vec<usize>,
    },

    // ---- text forms -------------------------------------------------------------------------------
    /// Text that does not follow the grammar.
    #[error("character {position}: expected {expected}, found {found}")]
    Syntax {
        /// Character, counted from 1.
        position: usize,
        /// What could have stood there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// Text that follows the grammar but means nothing; `cause` says why.
    #[error("character {position}: {cause}")]
    At {
        /// Character, counted from 1.
        position: usize,
        /// What is wrong there.
        cause: Box<SpaceError>,
    },
    /// JSON that does not parse or has other fields than a genotype.
    #[error("character {position} of the JSON text: {reason}")]
    Json {
        /// Character, counted from 1.
        position: usize,
        /// What was expected and found.
        reason: String,
    },
    /// A genotype document of another version.
    #[error("genotype document: expected version {expected}, found {found}")]
    Version {
        /// The version this program reads.
        expected: u64,
        /// The version of the document.
        found: u64,
    },
    /// A genotype document of another search space.
    #[error("genotype document: expected search space `{expected}`, found `{found}`")]
    Space {
        /// The space this type describes.
        expected: &'static str,
        /// The space of the document.
        found: String,
    },
    /// A file of stages whose keys are not "0", "1", … without gaps.
    #[error("stage file: expected keys \"0\", \"1\", … without gaps, found {found:?} as number {index}")]
    StageKey {
        /// Which entry, from 0.
        index: usize,
        /// Its key.
        found: String,
    },
    /// One stage of a file of stages is wrong.
    #[error("stage {stage}: {cause}")]
    Stage {
        /// Which stage, from 0.
        stage: usize,
        /// What is wrong with it.
        cause: Box<SpaceError>,
    },
    /// A file of stages that differ, read where one genotype for all stages is wanted.
    #[error("expected one genotype for all stages, found stage {stage} different from stage 0")]
    StagesDiffer {
        /// The first stage that differs.
        stage: usize,
    },

    // ---- the table of NAS-Bench-201 ---------------------------------------------------------------
    /// A line of the table is wrong; `cause` says why.
    #[error("line {line}: {cause}")]
    TableLine {
        /// Line, counted from 1.
        line: u64,
        /// What is wrong there.
        cause: Box<SpaceError>,
    },
    /// A table that is not CSV in UTF-8.
    #[error("expected CSV in UTF-8: {reason}")]
    TableSyntax {
        /// What the reader found.
        reason: String,
    },
    /// A header without a column that every table has.
    #[error("expected a column `{missing}`, found {}", listed(found))]
    TableColumn {
        /// The column.
        missing: &'static str,
        /// The columns there are.
        found: Vec<String>,
    },
    /// A header without accuracies.
    #[error("expected a column of accuracies beside `index` and `arch`, found none")]
    TableWithoutAccuracies,
    /// A column whose name is no name.
    #[error("expected a name of its own for column {column}, found `{found}`")]
    TableColumnName {
        /// Column, counted from 1.
        column: usize,
        /// Its name.
        found: String,
    },
    /// A table without rows.
    #[error("expected at least one cell below the header, found none")]
    TableEmpty,
    /// A row with more or fewer fields than the header.
    #[error("expected {expected} fields, found {found}")]
    TableFields {
        /// Fields of the header.
        expected: usize,
        /// Fields of the row.
        found: usize,
    },
    /// An index that is no whole number.
    #[error("column `index`: expected a whole number, found `{found}`")]
    TableIndex {
        /// The field.
        found: String,
    },
    /// An accuracy that is no percentage.
    #[error("column `{column}`: expected an accuracy from 0 to 100, found `{found}`")]
    TableAccuracy {
        /// The column.
        column: String,
        /// The field.
        found: String,
    },
    /// A cell or an index for the second time.
    #[error("column `{column}`: expected each value once, found `{found}` as on line {first}")]
    TableRepeated {
        /// `index` or `arch`.
        column: &'static str,
        /// The repeated value.
        found: String,
        /// The line that has it already.
        first: u64,
    },

    // ---- rankings ---------------------------------------------------------------------------------
    /// Two rankings of different things.
    #[error("rank correlation: expected as many values on both sides, found {} and {}", found[0], found[1])]
    RankingLengths {
        /// Values on either side.
        found: [usize; 2],
    },
    /// A value that has no rank.
    #[error("rank correlation: expected numbers, found NaN as value {index} of side {side}")]
    RankingNan {
        /// 0 or 1.
        side: usize,
        /// Which value, from 0.
        index: usize,
    },
    /// A ranking without an order.
    #[error(
        "rank correlation: expected at least two different values on side {side}, found none among {found}"
    )]
    RankingTied {
        /// 0 or 1.
        side: usize,
        /// Number of values.
        found: usize,
    },

    // ---- architecture weights ---------------------------------------------------------------------
    /// More or fewer rows than edges.
    #[error("architecture weights: expected {EDGES} rows of {what}, found {found}")]
    EdgeCount {
        /// `alpha` or `beta`.
        what: &'static str,
        /// Rows found.
        found: usize,
    },
    /// A logit that is NaN or infinite.
    #[error("architecture weights: expected finite logits, found {found} in {what} of edge {edge}")]
    NonFinite {
        /// `alpha` or `beta`.
        what: &'static str,
        /// Edge, from 0.
        edge: usize,
        /// The value, as text (NaN has no equality).
        found: String,
    },

    // ---- plans ------------------------------------------------------------------------------------
    /// A count that must not be zero.
    #[error("network: expected `{what}` of at least {minimum}, found {found}")]
    TooFew {
        /// The value's name.
        what: &'static str,
        /// The least that works.
        minimum: usize,
        /// The value.
        found: usize,
    },
    /// A count beyond what a network can be planned for.
    #[error("network: expected `{what}` of at most {limit}, found {found}")]
    TooMany {
        /// The value's name.
        what: &'static str,
        /// The most that is accepted.
        limit: usize,
        /// The value.
        found: usize,
    },
    /// Even the narrowest network is beyond the limits.
    #[error(
        "network: expected at most {}; the narrowest, of {width} channels, has {params} parameters and {macs} \
         multiply-adds",
        told(limits)
    )]
    NoWidthFits {
        /// Channels of the narrowest.
        width: usize,
        /// Its parameters.
        params: u64,
        /// Its multiply-adds.
        macs: u64,
        /// What was allowed.
        limits: CostLimits,
    },
    /// Channels that have to be halved are odd.
    #[error("network: expected an even number of channels in `{what}`, found {found}")]
    OddChannels {
        /// The value's name.
        what: &'static str,
        /// The value.
        found: usize,
    },
    /// A stage without cells.
    #[error("network: expected at least one cell in stage {stage}, found none")]
    EmptyStage {
        /// Stage, from 0.
        stage: usize,
    },
    /// An image that would be reduced to nothing.
    #[error(
        "network: images of {height}x{width} are too small; {wanted}",
        height = found[0],
        width = found[1]
    )]
    ImageTooSmall {
        /// Height and width of the images.
        found: [usize; 2],
        /// What would be large enough.
        wanted: String,
    },
    /// Neither one genotype for all stages nor one for each.
    #[error("network of {expected} stages: expected 1 or {expected} genotypes, found {found}")]
    GenotypeCount {
        /// Stages of the network.
        expected: usize,
        /// Genotypes given.
        found: usize,
    },
}

impl SpaceError {
    /// Where in the text the error is (character, counted from 1), if it came from text.
    pub fn position(&self) -> Option<usize> {
        match self {
            Self::Syntax { position, .. } | Self::At { position, .. } | Self::Json { position, .. } => {
                Some(*position)
            }
            Self::Stage { cause, .. } => cause.position(),
            _ => None,
        }
    }

    pub(crate) fn at(self, position: usize) -> Self {
        Self::At { position, cause: Box::new(self) }
    }

    /// The same error in a text that has `characters` more in front.
    pub(crate) fn moved(mut self, characters: usize) -> Self {
        if let Self::Syntax { position, .. } | Self::At { position, .. } = &mut self {
            *position += characters;
        }
        self
    }

    pub(crate) fn on_line(self, line: u64) -> Self {
        Self::TableLine { line, cause: Box::new(self) }
    }
}

fn listed(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() { "no columns".to_owned() } else { quoted.join(", ") }
}

fn told(limits: &CostLimits) -> String {
    let told = |most: Option<u64>, what: &str| most.map(|most| format!("{most} {what}"));
    let both = [told(limits.params, "parameters"), told(limits.macs, "multiply-adds")];
    both.into_iter().flatten().collect::<Vec<_>>().join(" and ")
}
