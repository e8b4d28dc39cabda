//! The table of NAS-Bench-201: what it answers, and what it refuses.
//!
//! `fixtures/nas_bench_201_few.csv` holds 46 cells of NATS-Bench's topology space with their CIFAR-10 test accuracy
//! after 200 epochs. Tests on all 15,625 read the file that `CDARTS_NAS_BENCH_201` names, or say that they skip.
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a test that cannot read its table should fail")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use cdarts_space::SpaceError;
use cdarts_space::nas_bench_201::{CELLS, Genotype, PUBLISHED, Standing, Table, published};
use proptest::prelude::*;

const FEW: &str = include_str!("fixtures/nas_bench_201_few.csv");

const TWO_COLUMNS: &str = "\
arch,valid,index,test
|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|,40,3,10
|none~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|,60,1,30.5
|none~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|,60,2,20
|none~0|+|none~0|none~1|+|none~0|none~1|avg_pool_3x3~2|,0,0,100
";

fn cell(last: &str) -> Genotype {
    format!("|none~0|+|none~0|none~1|+|none~0|none~1|{last}~2|").parse().unwrap()
}

// ---- answers --------------------------------------------------------------------------------------

#[test]
fn columns_and_rows_come_from_the_file() {
    let table = Table::parse(TWO_COLUMNS).unwrap();
    assert_eq!(table.rows(), 4);
    assert_eq!(table.columns().collect::<Vec<_>>(), ["valid", "test"]);
    assert_eq!((table.column("test"), table.column("index")), (Some(1), None));
    assert_eq!(table.row_of(&cell("nor_conv_3x3")), Some(2));
    assert_eq!((table.index(2), table.genotype(2)), (2, cell("nor_conv_3x3")));
    assert_eq!((table.row_at(0), table.row_at(4)), (Some(3), None));
    assert_eq!((table.accuracy(0, 0), table.accuracy(1, 1)), (40.0, 30.5));
    assert_eq!(table.row_of(&cell("none")), None);
}

#[test]
fn standings_by_hand() {
    let table = Table::parse(TWO_COLUMNS).unwrap();
    let standing = |column, last| table.standing(column, table.row_of(&cell(last)).unwrap());
    let best = Standing { accuracy: 60.0, rank: 1, percentile: 100.0, regret: 0.0 };
    assert_eq!([standing(0, "nor_conv_1x1"), standing(0, "nor_conv_3x3")], [best; 2]);
    // Two are better, so that 2 of 4 are not.
    let third = Standing { accuracy: 40.0, rank: 3, percentile: 50.0, regret: 20.0 };
    assert_eq!(standing(0, "skip_connect"), third);
    let last = Standing { accuracy: 0.0, rank: 4, percentile: 25.0, regret: 60.0 };
    assert_eq!(standing(0, "avg_pool_3x3"), last);
    let second = Standing { accuracy: 30.5, rank: 2, percentile: 75.0, regret: 69.5 };
    assert_eq!(standing(1, "nor_conv_1x1"), second);
}

#[test]
fn the_best_and_the_mean() {
    let table = Table::parse(TWO_COLUMNS).unwrap();
    let stats = table.stats(0);
    // Of the two best, that with the lower index, which stands later in none of the ways to sort text.
    assert_eq!((stats.best, stats.best_genotype, stats.best_count), (60.0, cell("nor_conv_1x1"), 2));
    assert_eq!((stats.mean, table.stats(1).mean), (40.0, 40.125));
    let best = |column, count| -> Vec<(usize, u64)> {
        table.best(column, count).iter().map(|best| (best.rank, best.index)).collect()
    };
    assert_eq!(best(0, 1), [(1, 1), (1, 2)]);
    assert_eq!(best(0, 2), [(1, 1), (1, 2)]);
    assert_eq!(best(0, 3), [(1, 1), (1, 2), (3, 3)]);
    assert_eq!(best(1, 9), [(1, 0), (2, 1), (3, 2), (4, 3)]);
    assert!(best(0, 0).is_empty());
}

#[test]
fn notation_may_vary() {
    let expected = Table::parse(TWO_COLUMNS).unwrap();
    let windows = TWO_COLUMNS.replace('\n', "\r\n");
    let quoted = TWO_COLUMNS.replace("|none~0|+", "\"|none~0|+").replace("~2|,", "~2|\",");
    let airy = format!("\u{feff}{}", TWO_COLUMNS.replace(',', " , ").replace('\n', "\n\n"));
    for text in [&windows, &quoted, &airy, TWO_COLUMNS.trim_end()] {
        assert_eq!(Table::parse(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn the_published_cells_have_their_published_accuracies() {
    let table = Table::parse(FEW).unwrap();
    assert_eq!(table.rows(), 46);
    let accuracies = PUBLISHED.iter().map(|known| {
        let row = table.row_of(&known.genotype()).unwrap();
        (table.index(row), format!("{:.2}", table.accuracy(0, row) + 1e-9))
    });
    let expected = [(13_714, "94.37"), (1_317, "94.09"), (11_351, "93.62")];
    assert_eq!(accuracies.collect::<Vec<_>>(), expected.map(|(index, text)| (index, text.to_owned())));
}

/// The file of all cells, if there is one.
fn whole() -> Option<Vec<u8>> {
    let path = std::env::var_os("CDARTS_NAS_BENCH_201");
    if path.is_none() {
        eprintln!("skipped: CDARTS_NAS_BENCH_201 names no table of all cells");
    }
    Some(std::fs::read(path?).unwrap())
}

#[test]
fn the_whole_benchmark() {
    let Some(csv) = whole() else { return };
    let table = Table::parse(csv).unwrap();
    assert_eq!(table.rows(), CELLS);
    assert!(Genotype::all().all(|genotype| table.row_of(&genotype).is_some()));
    assert!((0..CELLS as u64).all(|index| table.row_at(index).is_some()));
    let column = table.column("cifar10_test").unwrap();
    let stats = table.stats(column);
    assert_eq!(stats.best, 94.3733);
    // Two cells share it; CDARTS's first published cell is the other.
    assert_eq!(stats.best_count, 2);
    let best = table.best(column, 1);
    assert_eq!(best[0].genotype, stats.best_genotype);
    assert_eq!(Some(best[1].genotype), published("nas-bench-201-cell-1"));
    let third =
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|";
    let third = table.row_of(&third.parse().unwrap()).unwrap();
    assert_eq!(table.index(third), 9_930);
    let standing = table.standing(column, third);
    assert_eq!((standing.accuracy, standing.rank), (94.3633, 3));
    assert_eq!(standing.percentile, 100.0 * 15_623.0 / 15_625.0);
    assert!((standing.regret - 0.01).abs() < 1e-9);
    assert!((stats.mean - 87.062_930_803).abs() < 1e-6);
}

// ---- refusals -------------------------------------------------------------------------------------

fn refused(text: &str) -> String {
    Table::parse(text).unwrap_err().to_string()
}

#[test]
fn headers_that_miss_something() {
    let body = TWO_COLUMNS.split_once('\n').unwrap().1;
    for (header, reason) in [
        ("arch,valid,number,test", "expected a column `index`, found `arch`, `valid`, `number`, `test`"),
        ("cell,valid,index,test", "expected a column `arch`, found `cell`, `valid`, `index`, `test`"),
        ("arch,valid,index,", "expected a name of its own for column 4, found ``"),
        ("arch,valid,index,valid", "expected a name of its own for column 4, found `valid`"),
        ("arch,index", "expected a column of accuracies beside `index` and `arch`, found none"),
    ] {
        assert_eq!(refused(&format!("{header}\n{body}")), format!("line 1: {reason}"));
    }
    assert_eq!(refused(""), "expected a column `index`, found no columns");
    assert_eq!(refused("index,arch,test\n"), "expected at least one cell below the header, found none");
}

#[test]
fn rows_that_are_wrong_are_named_with_line_and_reason() {
    let replaced = |from: &str, to: &str| TWO_COLUMNS.replacen(from, to, 1);
    for (text, reason) in [
        (replaced(",60,2,20", ",60,2"), "line 4: expected 4 fields, found 3"),
        (replaced(",60,2,20", ",60,2,20,"), "line 4: expected 4 fields, found 5"),
        (
            replaced(",60,2,20", ",60,2,NaN"),
            "line 4: column `test`: expected an accuracy from 0 to 100, found `NaN`",
        ),
        (
            replaced(",60,2,20", ",,2,20"),
            "line 4: column `valid`: expected an accuracy from 0 to 100, found ``",
        ),
        (
            replaced("100", "100.1"),
            "line 5: column `test`: expected an accuracy from 0 to 100, found `100.1`",
        ),
        (replaced(",10\n", ",-1\n"), "line 2: column `test`: expected an accuracy from 0 to 100, found `-1`"),
        (
            replaced(",10\n", ",inf\n"),
            "line 2: column `test`: expected an accuracy from 0 to 100, found `inf`",
        ),
        (replaced(",10\n", ",1O\n"), "line 2: column `test`: expected an accuracy from 0 to 100, found `1O`"),
        (replaced(",40,3,", ",40,3.0,"), "line 2: column `index`: expected a whole number, found `3.0`"),
        (replaced(",40,3,", ",40,-3,"), "line 2: column `index`: expected a whole number, found `-3`"),
        (
            replaced(",60,2,", ",60,3,"),
            "line 4: column `index`: expected each value once, found `3` as on line 2",
        ),
        (
            replaced("avg_pool_3x3", "nor_conv_1x1"),
            "line 5: column `arch`: expected each value once, found \
             `|none~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|` as on line 3",
        ),
        (
            replaced("nor_conv_3x3", "sep_conv_3x3"),
            "line 4: character 41: unknown operation `sep_conv_3x3`; the nearest known one is `nor_conv_3x3`",
        ),
        (
            replaced("|none~0|+|none~0|", "|none~0|+|none~1|"),
            "line 2: character 16: expected `0`, the node that this edge comes from, found `1`",
        ),
        (
            replaced("nor_conv_3x3", "\"nor_conv_3x3"),
            "line 4: character 41: expected the name of an operation, found `\\\"`",
        ),
    ] {
        assert_eq!(refused(&text), reason);
    }
}

#[test]
fn lines_are_counted_as_an_editor_does() {
    let later = TWO_COLUMNS.replace("100", "many").replace('\n', "\n\n");
    assert!(refused(&later).starts_with("line 9: "), "{}", refused(&later));
    let windows = TWO_COLUMNS.replace("100", "many").replace('\n', "\r\n");
    assert!(refused(&windows).starts_with("line 5: "), "{}", refused(&windows));
    let repeated = TWO_COLUMNS.replace(",60,2,", ",60,3,").replace('\n', "\r\n\r\n");
    let expected = "line 7: column `index`: expected each value once, found `3` as on line 3";
    assert_eq!(refused(&repeated), expected);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let mut bytes = TWO_COLUMNS.as_bytes().to_vec();
    let at = TWO_COLUMNS.find("nor_conv_1x1").unwrap();
    bytes[at] = 0xff;
    let error = Table::parse(&bytes).unwrap_err();
    assert!(matches!(error, SpaceError::TableLine { line: 3, .. }), "{error}");
    assert!(
        error.to_string().starts_with("line 3: expected CSV in UTF-8: field 1: invalid utf-8"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn a_damaged_table_is_refused_without_panic(
        start in 0..TWO_COLUMNS.len(),
        length in 0usize..40,
        patch in prop_oneof!["[,\"\n0-9.|]{0,6}", "\\PC{0,4}"],
    ) {
        let end = (start + length).min(TWO_COLUMNS.len());
        let damaged = format!("{}{patch}{}", &TWO_COLUMNS[..start], &TWO_COLUMNS[end..]);
        match Table::parse(&damaged) {
            Ok(table) => {
                for row in 0..table.rows() {
                    prop_assert_eq!(table.row_of(&table.genotype(row)), Some(row));
                    prop_assert_eq!(table.row_at(table.index(row)), Some(row));
                    for column in 0..table.columns().len() {
                        let standing = table.standing(column, row);
                        prop_assert!((0.0..=100.0).contains(&standing.accuracy));
                        prop_assert!((1..=table.rows()).contains(&standing.rank) && standing.regret >= 0.0);
                    }
                }
            }
            Err(SpaceError::TableLine { line, .. }) => {
                prop_assert!((1..=damaged.lines().count() as u64 + 1).contains(&line));
            }
            Err(error) => prop_assert_eq!(error, SpaceError::TableEmpty),
        }
    }

    #[test]
    fn ranks_are_what_their_definition_says(accuracies in prop::collection::vec(0u8..20, 1..50)) {
        let mut csv = "index,arch,test\n".to_owned();
        for (i, (genotype, accuracy)) in Genotype::all().zip(&accuracies).enumerate() {
            csv += &format!("{},{genotype},{accuracy}\n", 100 - i);
        }
        let table = Table::parse(&csv).unwrap();
        for (row, accuracy) in accuracies.iter().enumerate() {
            let standing = table.standing(0, row);
            prop_assert_eq!(standing.rank, 1 + accuracies.iter().filter(|other| *other > accuracy).count());
            let not_better = accuracies.iter().filter(|other| *other <= accuracy).count();
            prop_assert_eq!(standing.percentile, 100.0 * not_better as f64 / accuracies.len() as f64);
            prop_assert_eq!(standing.regret, f64::from(accuracies.iter().max().unwrap() - accuracy));
        }
    }
}
