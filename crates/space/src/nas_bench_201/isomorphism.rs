//! Which cells are the same: canonical forms (Dong and Yang, arXiv 2001.00326, section 2.1 and the benchmark's
//! code).
//!
//! A canonical form is the cell written as a formula of its input: a node is the sorted sum of its edges, an edge
//! is `(source)@operation`, `skip_connect` is its source, and `#` is zero.

use super::{Genotype, NODES, Op};

/// How far two cells may differ and still count as the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isomorphism {
    /// The order of a sum does not matter, skip connections are followed, and what is never read does not count;
    /// `none` is an operation like any other. There are 12,751 classes.
    Skip,
    /// As [`Skip`](Self::Skip), and an edge is zero if it is `none` or comes from node 1 while that is zero. This is
    /// the benchmark's count of unique cells: 6,466 classes.
    ///
    /// Two limits are the benchmark's own. A convolution of zero counts as zero, although the shift of its batch
    /// norm may make it a constant. And cells of different classes may compute the same: sums of sums are not
    /// flattened, and zero terms stay in them, so that a node which is a sum of zeros is not taken for zero.
    SkipAndZero,
}

impl Genotype {
    /// The canonical form: two cells are the same under `isomorphism` exactly if their forms are equal.
    ///
    /// ```
    /// use cdarts_space::nas_bench_201::{Genotype, Isomorphism};
    ///
    /// # fn main() -> Result<(), cdarts_space::SpaceError> {
    /// // Node 1 is the input itself, so that it does not matter which convolution of node 2 reads which.
    /// let a: Genotype = "|skip_connect~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|none~0|none~1|skip_connect~2|".parse()?;
    /// let b: Genotype = "|skip_connect~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|".parse()?;
    /// assert_eq!(a.canonical(Isomorphism::SkipAndZero), "#+#+(0)@nor_conv_1x1+(0)@nor_conv_3x3");
    /// assert_eq!(a.canonical(Isomorphism::SkipAndZero), b.canonical(Isomorphism::SkipAndZero));
    /// # Ok(())
    /// # }
    /// ```
    pub fn canonical(&self, isomorphism: Isomorphism) -> String {
        let mut nodes = vec!["0".to_owned()];
        for node in 1..NODES {
            let mut terms: Vec<String> =
                (0..node).map(|source| term(self.op(node, source), &nodes[source], isomorphism)).collect();
            terms.sort_unstable();
            nodes.push(terms.join("+"));
        }
        nodes.swap_remove(NODES - 1)
    }
}

fn term(op: Op, source: &str, isomorphism: Isomorphism) -> String {
    let is_zero = op == Op::None || source == "#";
    match op {
        _ if is_zero && isomorphism == Isomorphism::SkipAndZero => "#".to_owned(),
        Op::SkipConnect => source.to_owned(),
        _ => format!("({source})@{op}"),
    }
}
