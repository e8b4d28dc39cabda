//! The benchmark's accuracies: a table of cells, asked for accuracy, rank, percentile and regret.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::Genotype;

/// Accuracies in percent of cells that were trained to the end, one column a data set.
///
/// It is read from CSV by [`Table::parse`]; `tools/nas_bench_201_table.py` writes one from the benchmark's files.
/// A table need not hold all cells; ranks are then among those it holds.
///
/// ```
/// use cdarts_space::nas_bench_201::{Genotype, Table};
///
/// # fn main() -> Result<(), cdarts_space::SpaceError> {
/// let table = Table::parse("index,arch,cifar10_test
/// 9930,|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|,94.3633
/// 15614,|none~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_3x3~2|,10.0
/// ")?;
/// let genotype: Genotype = "|none~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_3x3~2|".parse()?;
/// if let Some(row) = table.row_of(&genotype) {
///     println!("index {}: rank {}", table.index(row), table.standing(0, row).rank);
/// }
/// # assert_eq!(table.row_of(&genotype).map(|row| (table.index(row), table.standing(0, row).rank)), Some((15614, 2)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
    /// Row of every cell, by [`Genotype::ordinal`].
    row_of: Vec<Option<u32>>,
    row_at: HashMap<u64, u32>,
}

/// One data set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub name: String,
    /// By row.
    pub accuracies: Vec<f64>,
    /// Rows from the highest accuracy to the lowest; of equal ones the lower index first.
    order: Vec<u32>,
}

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row {
    /// Its place in the benchmark's enumeration.
    pub index: u64,
    pub genotype: Genotype,
}

/// Where a cell stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// In percent.
    pub accuracy: f64,
    /// One more than there are cells with a higher accuracy, so that equal ones share it.
    pub rank: usize,
    /// Cells, in percent of all, whose accuracy is not higher; 100 for the best.
    pub percentile: f64,
    /// The best accuracy less this one, in percentage points.
    pub regret: f64,
}

/// A cell among the best of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// One more than there are cells with a higher accuracy.
    pub rank: usize,
    /// In percent.
    pub accuracy: f64,
    /// Its place in the benchmark's enumeration.
    pub index: u64,
    /// The cell.
    pub genotype: Genotype,
}

/// A column in short.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColumnStats {
    /// The highest accuracy.
    pub best: f64,
    /// The cell that has it; of several the one with the lowest index.
    pub best_genotype: Genotype,
    /// How many cells have it.
    pub best_count: usize,
    /// The mean accuracy.
    pub mean: f64,
}

impl Column {
    pub(super) fn new(name: String) -> Self {
        Self { name, accuracies: Vec::new(), order: Vec::new() }
    }

    fn sort(&mut self, rows: &[Row]) {
        self.order = (0..rows.len() as u32).collect();
        let key = |row: u32| (self.accuracies[row as usize], rows[row as usize].index);
        self.order.sort_unstable_by(|&a, &b| {
            let ((a, a_index), (b, b_index)) = (key(a), key(b));
            b.total_cmp(&a).then(a_index.cmp(&b_index))
        });
    }

    /// Cells with a higher accuracy.
    fn above(&self, accuracy: f64) -> usize {
        self.order.partition_point(|&row| self.accuracies[row as usize] > accuracy)
    }
}

impl Table {
    /// Of checked parts: at least one row, in every column an accuracy from 0 to 100 for each row, and the rows by
    /// [`Genotype::ordinal`] and by index.
    pub(super) fn new(
        mut columns: Vec<Column>,
        rows: Vec<Row>,
        row_of: Vec<Option<u32>>,
        row_at: HashMap<u64, u32>,
    ) -> Self {
        columns.iter_mut().for_each(|column| column.sort(&rows));
        Self { columns, rows, row_of, row_at }
    }

    /// Number of cells.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Names of the columns of accuracies, in the order of the header.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// Position of the column of this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns().position(|column| column == name)
    }

    /// The row that holds a cell, counted from 0.
    pub fn row_of(&self, genotype: &Genotype) -> Option<usize> {
        self.row_of[genotype.ordinal()].map(|row| row as usize)
    }

    /// The row that holds the cell with this place in the benchmark's enumeration.
    pub fn row_at(&self, index: u64) -> Option<usize> {
        self.row_at.get(&index).map(|&row| row as usize)
    }

    /// The cell of a row.
    ///
    /// # Panics
    ///
    /// As every function that takes a row or a column: if there is none of this number.
    pub fn genotype(&self, row: usize) -> Genotype {
        self.rows[row].genotype
    }

    /// The place of a row's cell in the benchmark's enumeration.
    pub fn index(&self, row: usize) -> u64 {
        self.rows[row].index
    }

    /// Accuracy of a row's cell in percent.
    pub fn accuracy(&self, column: usize, row: usize) -> f64 {
        self.columns[column].accuracies[row]
    }

    /// Where a row's cell stands in a column.
    pub fn standing(&self, column: usize, row: usize) -> Standing {
        let column = &self.columns[column];
        let accuracy = column.accuracies[row];
        let above = column.above(accuracy);
        Standing {
            accuracy,
            rank: above + 1,
            percentile: 100.0 * (self.rows() - above) as f64 / self.rows() as f64,
            regret: column.accuracies[column.order[0] as usize] - accuracy,
        }
    }

    /// The best `count` cells of a column and all that equal the last of them, best first; of equal ones the lower
    /// index first.
    pub fn best(&self, column: usize, count: usize) -> Vec<Best> {
        let column = &self.columns[column];
        let best = |&row: &u32| {
            let accuracy = column.accuracies[row as usize];
            let Row { index, genotype } = self.rows[row as usize];
            Best { rank: column.above(accuracy) + 1, accuracy, index, genotype }
        };
        column.order.iter().map(best).take_while(|best| best.rank <= count).collect()
    }

    /// A column in short.
    pub fn stats(&self, column: usize) -> ColumnStats {
        let column = &self.columns[column];
        let first = column.order[0] as usize;
        let best = column.accuracies[first];
        ColumnStats {
            best,
            best_genotype: self.rows[first].genotype,
            best_count: column.accuracies.iter().filter(|&&accuracy| accuracy == best).count(),
            mean: column.accuracies.iter().sum::<f64>() / self.rows() as f64,
        }
    }
}
