//! The table as CSV: a header with the columns `index`, `arch` and one for each data set, then a line a cell.

use std::collections::HashMap;

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};

use super::table::{Column, Row, Table};
use super::{CELLS, Genotype};
use crate::SpaceError;

/// Characters of a field that an error shows.
const SHOWN: usize = 60;

impl Table {
    /// Reads a table from CSV. `index` is the cell's place in the benchmark's enumeration, `arch` the cell in the
    /// benchmark's notation, every other column an accuracy in percent.
    ///
    /// # Errors
    ///
    /// [`SpaceError::TableLine`] with line and reason for a wrong header, a row of another length, a text that is no
    /// cell, an accuracy that is NaN or not from 0 to 100, an index that is no whole number, and for a cell or index
    /// that was there before; [`SpaceError::TableEmpty`] without rows.
    pub fn parse(csv: impl AsRef<[u8]>) -> Result<Table, SpaceError> {
        let csv = csv.as_ref();
        let mut reader =
            ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(csv);
        let mut record = StringRecord::new();
        let mut contents: Option<Contents> = None;
        while reader.read_record(&mut record).map_err(|error| syntax(csv, &error))? {
            let offset = record.position().map_or(0, csv::Position::byte);
            let added = match &mut contents {
                None => Contents::with_header(&record).map(|fresh| contents = Some(fresh)),
                Some(contents) => contents.add(csv, &record, offset),
            };
            added.map_err(|error| error.on_line(line(csv, offset)))?;
        }
        match contents {
            Some(contents) if !contents.rows.is_empty() => Ok(contents.into_table()),
            Some(_) => Err(SpaceError::TableEmpty),
            None => Contents::with_header(&record).and(Err(SpaceError::TableEmpty)),
        }
    }
}

/// What has been read.
struct Contents {
    /// Fields of a row.
    fields: usize,
    index_field: usize,
    arch_field: usize,
    accuracy_fields: Vec<usize>,
    columns: Vec<Column>,
    rows: Vec<Row>,
    /// Where each row begins, in bytes.
    offsets: Vec<u64>,
    row_of: Vec<Option<u32>>,
    row_at: HashMap<u64, u32>,
}

impl Contents {
    fn with_header(header: &StringRecord) -> Result<Self, SpaceError> {
        let names: Vec<&str> = header.iter().collect();
        for (i, name) in names.iter().enumerate() {
            if name.is_empty() || names[..i].contains(name) {
                return Err(SpaceError::TableColumnName { column: i + 1, found: shown(name) });
            }
        }
        let field = |wanted: &'static str| {
            names.iter().position(|&name| name == wanted).ok_or_else(|| SpaceError::TableColumn {
                missing: wanted,
                found: names.iter().map(|name| shown(name)).collect(),
            })
        };
        let (index_field, arch_field) = (field("index")?, field("arch")?);
        let accuracy_fields: Vec<usize> =
            (0..names.len()).filter(|&field| field != index_field && field != arch_field).collect();
        if accuracy_fields.is_empty() {
            return Err(SpaceError::TableWithoutAccuracies);
        }
        let columns = accuracy_fields.iter().map(|&field| Column::new(names[field].to_owned())).collect();
        Ok(Self {
            fields: names.len(),
            index_field,
            arch_field,
            accuracy_fields,
            columns,
            rows: Vec::new(),
            offsets: Vec::new(),
            row_of: vec![None; CELLS],
            row_at: HashMap::new(),
        })
    }

    fn add(&mut self, csv: &[u8], record: &StringRecord, offset: u64) -> Result<(), SpaceError> {
        if record.len() != self.fields {
            return Err(SpaceError::TableFields { expected: self.fields, found: record.len() });
        }
        let (index, arch) = (&record[self.index_field], &record[self.arch_field]);
        let number = self.rows.len() as u32;
        let row = Row { index: parse_index(index)?, genotype: arch.parse::<Genotype>()? };
        let repeated = |column, found: &str, first: u32| SpaceError::TableRepeated {
            column,
            found: shown(found),
            first: line(csv, self.offsets[first as usize]),
        };
        if let Some(&first) = self.row_at.get(&row.index) {
            return Err(repeated("index", index, first));
        }
        if let Some(first) = self.row_of[row.genotype.ordinal()] {
            return Err(repeated("arch", arch, first));
        }
        for (column, &field) in self.columns.iter_mut().zip(&self.accuracy_fields) {
            column.accuracies.push(parse_accuracy(&column.name, &record[field])?);
        }
        self.row_at.insert(row.index, number);
        self.row_of[row.genotype.ordinal()] = Some(number);
        self.rows.push(row);
        self.offsets.push(offset);
        Ok(())
    }

    fn into_table(self) -> Table {
        Table::new(self.columns, self.rows, self.row_of, self.row_at)
    }
}

fn parse_index(field: &str) -> Result<u64, SpaceError> {
    field.parse().map_err(|_| SpaceError::TableIndex { found: shown(field) })
}

fn parse_accuracy(column: &str, field: &str) -> Result<f64, SpaceError> {
    let accuracy = field.parse().ok().filter(|accuracy| (0.0..=100.0).contains(accuracy));
    // Adding zero turns -0 into 0, so that equal accuracies sort as equal.
    accuracy
        .map(|accuracy: f64| accuracy + 0.0)
        .ok_or_else(|| SpaceError::TableAccuracy { column: shown(column), found: shown(field) })
}

fn shown(field: &str) -> String {
    field.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

/// Line, counted from 1, of the record that begins at `offset`. Empty lines in front of it count as part of it to
/// the reader, but not to whoever looks for it.
fn line(csv: &[u8], offset: u64) -> u64 {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(csv.len());
    let empty = csv[offset..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    1 + csv[..offset + empty].iter().filter(|&&byte| byte == b'\n').count() as u64
}

fn syntax(csv: &[u8], error: &csv::Error) -> SpaceError {
    let offset = match error.kind() {
        ErrorKind::Utf8 { pos: Some(position), .. } => position.byte(),
        _ => 0,
    };
    let reason = match error.kind() {
        ErrorKind::Utf8 { err, .. } => format!("field {}: {err}", err.field() + 1),
        _ => error.to_string(),
    };
    SpaceError::TableSyntax { reason }.on_line(line(csv, offset))
}
