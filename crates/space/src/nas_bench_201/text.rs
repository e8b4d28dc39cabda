//! Cells in the benchmark's notation, read by a parser that points at what is wrong:
//!
//! ```text
//! cell = node "+" node "+" node
//! node = "|" edge { edge }          node k has k edges, from node 0, 1, … in this order
//! edge = operation "~" source "|"
//! ```

use std::fmt;
use std::str::FromStr;

use super::{EDGES, Genotype, NODES, Op, edge_index, json};
use crate::SpaceError;
use crate::cursor::Cursor;
use crate::genotype_json::looks_like_json;

impl FromStr for Genotype {
    type Err = SpaceError;

    /// Reads the benchmark's text or this crate's JSON. Space between the parts is ignored.
    ///
    /// # Errors
    ///
    /// [`SpaceError`] with the position of what is wrong; nothing is guessed.
    fn from_str(text: &str) -> Result<Genotype, SpaceError> {
        if looks_like_json(text) { json::parse(text) } else { parse(text) }
    }
}

impl fmt::Display for Genotype {
    /// The benchmark's text: `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (node, source, op) in self.edges() {
            match source {
                0 if node > 1 => f.write_str("+|")?,
                0 => f.write_str("|")?,
                _ => {}
            }
            write!(f, "{op}~{source}|")?;
        }
        Ok(())
    }
}

/// Reads the benchmark's text.
pub(super) fn parse(text: &str) -> Result<Genotype, SpaceError> {
    let mut cursor = Cursor::new(text);
    let mut ops = [Op::None; EDGES];
    for node in 1..NODES {
        if node > 1 {
            cursor.expect('+')?;
        }
        cursor.expect('|')?;
        for source in 0..node {
            ops[edge_index(node, source)] = cursor.edge_from(source)?;
        }
    }
    cursor.expect_end()?;
    Ok(Genotype { ops })
}

impl Cursor<'_> {
    /// An edge with the mark that closes it.
    fn edge_from(&mut self, source: usize) -> Result<Op, SpaceError> {
        let before = *self;
        let name = self.word();
        if name.is_empty() {
            return Err(before.unexpected("the name of an operation"));
        }
        let op = name.parse::<Op>().map_err(|error| error.at(before.position()))?;
        self.expect('~')?;
        let before = *self;
        if self.word() != source.to_string() {
            return Err(before.unexpected(&format!("`{source}`, the node that this edge comes from")));
        }
        self.expect('|')?;
        Ok(op)
    }
}
