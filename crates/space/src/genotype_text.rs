//! Genotypes as the published code prints and reads them: a named tuple in Python's notation (facts section
//! 4), here read by a parser and never evaluated.
//!
//! ```text
//! genotype = [ word "=" ] "Genotype" "(" field { "," field } [ "," ] ")"
//! field    = ( "normal" | "reduce" ) "=" cell | ( "normal_concat" | "reduce_concat" ) "=" concat
//! cell     = "[" node { "," node } "]"         one list of pairs a node, or
//!          | "[" pair { "," pair } "]"         DARTS's flat form: eight pairs, two a node
//! node     = "[" pair { "," pair } "]"
//! pair     = "(" string "," number ")"
//! concat   = "range" "(" number "," number ")" | "[" number { "," number } "]"
//! ```
//!
//! The fields come in any order, each once. Lists may end in a comma.

use std::fmt;
use std::str::FromStr;

use crate::cursor::Cursor;
use crate::genotype::{validate_concat, validate_concat_state, validate_edge, validate_node};
use crate::{CellGenotype, CellKind, Edge, Genotype, NODES, Op, SpaceError, genotype_json};

/// Edges of a node in DARTS's flat form.
const FLAT_EDGES: usize = 2;

impl FromStr for Genotype {
    type Err = SpaceError;

    /// Reads any text form: the published named tuple, DARTS's flat form, this crate's JSON, or a file of
    /// stages if all of them are equal.
    ///
    /// # Errors
    ///
    /// [`SpaceError`] with the position of what is wrong; nothing is guessed.
    fn from_str(text: &str) -> Result<Genotype, SpaceError> {
        if genotype_json::looks_like_json(text) { genotype_json::parse(text) } else { parse(text) }
    }
}

impl fmt::Display for Genotype {
    /// The published form, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (normal, reduce) = (Nodes(&self.normal.nodes), Nodes(&self.reduce.nodes));
        let (normal_concat, reduce_concat) = (Concat(&self.normal.concat), Concat(&self.reduce.concat));
        write!(
            f,
            "Genotype(normal={normal}, normal_concat={normal_concat}, \
             reduce={reduce}, reduce_concat={reduce_concat})"
        )
    }
}

struct Nodes<'a>(&'a [Vec<Edge>]);

impl fmt::Display for Nodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = self.0.iter().map(|edges| {
            let pairs: Vec<String> =
                edges.iter().map(|edge| format!("('{}', {})", edge.op, edge.source)).collect();
            format!("[{}]", pairs.join(", "))
        });
        write!(f, "[{}]", nodes.collect::<Vec<_>>().join(", "))
    }
}

struct Concat<'a>(&'a [usize]);

impl fmt::Display for Concat<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [first, .., last] if self.0.windows(2).all(|pair| pair[0] + 1 == pair[1]) => {
                write!(f, "range({first}, {})", last + 1)
            }
            states => write!(f, "{states:?}"),
        }
    }
}

/// Reads the named tuple.
pub(crate) fn parse(text: &str) -> Result<Genotype, SpaceError> {
    let mut cursor = Cursor::new(text);
    cursor.opening()?;
    let mut fields = Fields::default();
    loop {
        fields.read_one(&mut cursor)?;
        if !cursor.separator(')')? {
            break;
        }
    }
    let genotype = fields.finish(&cursor)?;
    cursor.expect_end()?;
    Ok(genotype)
}

#[derive(Default)]
struct Fields {
    nodes: [Option<Vec<Vec<Edge>>>; 2],
    concat: [Option<Vec<usize>>; 2],
}

const FIELDS: [(&str, CellKind); 4] = [
    ("normal", CellKind::Normal),
    ("normal_concat", CellKind::Normal),
    ("reduce", CellKind::Reduction),
    ("reduce_concat", CellKind::Reduction),
];

impl Fields {
    fn is_read(&self, name: &str, kind: CellKind) -> bool {
        let slot = kind as usize;
        if name.ends_with("concat") { self.concat[slot].is_some() } else { self.nodes[slot].is_some() }
    }

    fn missing(&self) -> String {
        let missing = FIELDS.iter().filter(|(name, kind)| !self.is_read(name, *kind));
        missing.map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
    }

    fn read_one(&mut self, cursor: &mut Cursor<'_>) -> Result<(), SpaceError> {
        let before = *cursor;
        let name = cursor.word();
        let field = FIELDS.iter().find(|(known, kind)| *known == name && !self.is_read(known, *kind));
        let Some(&(name, kind)) = field else {
            let missing = self.missing();
            return Err(before.unexpected(if missing.is_empty() { "`)`" } else { &missing }));
        };
        cursor.expect('=')?;
        if name.ends_with("concat") {
            self.concat[kind as usize] = Some(cursor.concat(kind)?);
        } else {
            self.nodes[kind as usize] = Some(cursor.cell(kind)?);
        }
        Ok(())
    }

    /// `cursor` stands behind the closing parenthesis.
    fn finish(self, cursor: &Cursor<'_>) -> Result<Genotype, SpaceError> {
        let missing = self.missing();
        let ([Some(normal), Some(reduce)], [Some(normal_concat), Some(reduce_concat)]) =
            (self.nodes, self.concat)
        else {
            return Err(cursor.back_over(')').unexpected(&missing));
        };
        Ok(Genotype {
            normal: CellGenotype { nodes: normal, concat: normal_concat },
            reduce: CellGenotype { nodes: reduce, concat: reduce_concat },
        })
    }
}

impl Cursor<'_> {
    /// Everything up to and with the opening parenthesis.
    fn opening(&mut self) -> Result<(), SpaceError> {
        let mut before = *self;
        let mut word = self.word();
        if word != "Genotype" && !word.is_empty() && self.eat('=') {
            before = *self;
            word = self.word();
        }
        if word != "Genotype" {
            return Err(before.unexpected("`Genotype(` or a JSON object"));
        }
        self.expect('(')
    }

    fn cell(&mut self, kind: CellKind) -> Result<Vec<Vec<Edge>>, SpaceError> {
        let before = *self;
        let mut inside = *self;
        inside.expect('[')?;
        if inside.peek() == Some('(') {
            return self.flat_cell(kind);
        }
        let nodes = self.list(|cursor, node| {
            let before_node = *cursor;
            let edges = cursor.list(|cursor, _| cursor.edge(kind, node))?;
            validate_node(kind, node, &edges).map_err(|error| error.at(before_node.position()))?;
            Ok(edges)
        })?;
        if nodes.len() != NODES {
            return Err(SpaceError::NodeCount { cell: kind, found: nodes.len() }.at(before.position()));
        }
        Ok(nodes)
    }

    fn flat_cell(&mut self, kind: CellKind) -> Result<Vec<Vec<Edge>>, SpaceError> {
        let before = *self;
        let edges = self.list(|cursor, pair| cursor.edge(kind, pair / FLAT_EDGES))?;
        if edges.len() != NODES * FLAT_EDGES {
            return Err(SpaceError::Syntax {
                position: before.position(),
                expected: format!("{} pairs, {FLAT_EDGES} for each node", NODES * FLAT_EDGES),
                found: format!("{} pairs", edges.len()),
            });
        }
        for (node, edges) in edges.chunks(FLAT_EDGES).enumerate() {
            validate_node(kind, node, edges).map_err(|error| error.at(before.position()))?;
        }
        Ok(edges.chunks(FLAT_EDGES).map(<[Edge]>::to_vec).collect())
    }

    fn edge(&mut self, kind: CellKind, node: usize) -> Result<Edge, SpaceError> {
        self.expect('(')?;
        let name = self.position_then(|cursor| cursor.string()?.parse::<Op>())?;
        self.expect(',')?;
        let source = self.position_then(Self::number)?;
        self.expect(')')?;
        validate_edge(kind, node, name.value, source.value).map_err(|error| {
            let about_op = matches!(error, SpaceError::NoneKept { .. });
            error.at(if about_op { name.position } else { source.position })
        })?;
        // Validated: below 6 for the nodes of the space, and the node count is checked afterwards.
        Ok(Edge { op: name.value, source: source.value as usize })
    }

    fn concat(&mut self, kind: CellKind) -> Result<Vec<usize>, SpaceError> {
        let before = *self;
        let states =
            if self.peek() == Some('[') { self.concat_list(kind)? } else { self.concat_range(kind)? };
        validate_concat(kind, &states).map_err(|error| error.at(before.position()))?;
        Ok(states)
    }

    fn concat_list(&mut self, kind: CellKind) -> Result<Vec<usize>, SpaceError> {
        self.list(|cursor, _| {
            let before = *cursor;
            let state = cursor.number()?;
            validate_concat_state(kind, state).map_err(|error| error.at(before.position()))?;
            Ok(state as usize)
        })
    }

    fn concat_range(&mut self, kind: CellKind) -> Result<Vec<usize>, SpaceError> {
        let before = *self;
        if self.word() != "range" {
            return Err(before.unexpected("`range(` or `[`"));
        }
        self.expect('(')?;
        let first = self.number()?;
        self.expect(',')?;
        let end = self.number()?;
        self.expect(')')?;
        // Checked before the range is written out, which could be long.
        for state in [first, end.saturating_sub(1)] {
            validate_concat_state(kind, state).map_err(|error| error.at(before.position()))?;
        }
        Ok((first as usize..end as usize).collect())
    }
}
