//! Cells of NAS-Bench-201: their texts, which of them are the same, and how they come out of architecture weights
//! (facts section 6).
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a test that cannot read its cell should fail")]

use std::collections::BTreeSet;

use cdarts_space::nas_bench_201::{
    Alphas, EDGES, Genotype, Isomorphism, Op, PUBLISHED, edge_index, published,
};
use cdarts_space::{Architecture, SpaceError};
use proptest::prelude::*;

const CELL_1: &str =
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|";
const CELL_1_JSON: &str = "{\"version\":1,\"space\":\"nas-bench-201\",\"arch\":\"|nor_conv_3x3~0|+|nor_conv_3x3~0|\
     nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|\"}";

fn cell(text: &str) -> Genotype {
    text.parse().unwrap()
}

// ---- texts ----------------------------------------------------------------------------------------

#[test]
fn every_cell_survives_every_form() {
    for genotype in Genotype::all() {
        assert_eq!(genotype.to_string().parse(), Ok(genotype));
        let json = genotype.to_json();
        assert_eq!(json.parse(), Ok(genotype), "{json}");
        assert_eq!(serde_json::from_str::<Genotype>(&json).unwrap(), genotype);
    }
}

#[test]
fn published_cells() {
    let texts = [
        CELL_1,
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|",
        "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_3x3~1|+|skip_connect~0|skip_connect~1|nor_conv_3x3~2|",
    ];
    assert_eq!(PUBLISHED.len(), texts.len());
    for (i, (known, text)) in PUBLISHED.iter().zip(texts).enumerate() {
        assert_eq!(known.name, format!("nas-bench-201-cell-{}", i + 1));
        assert_eq!(known.genotype().to_string(), text);
        assert_eq!(published(known.name), Some(cell(text)));
    }
    assert_eq!(published("nas-bench-201-cell-4"), None);
    let counts = [Op::None, Op::SkipConnect].map(|op| cell(texts[2]).count(op));
    assert_eq!(counts, [0, 3]);
}

#[test]
fn edges_stand_in_the_benchmark_s_order() {
    let genotype = cell("|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|");
    let ops = [Op::None, Op::SkipConnect, Op::NorConv1x1, Op::NorConv3x3, Op::AvgPool3x3, Op::None];
    assert_eq!(genotype.ops, ops);
    assert_eq!((genotype.op(2, 1), genotype.op(3, 0)), (Op::NorConv1x1, Op::NorConv3x3));
    assert!(genotype.edges().all(|(node, source, op)| op == ops[edge_index(node, source)]));
}

#[test]
fn the_json_document() {
    assert_eq!(cell(CELL_1).to_json(), CELL_1_JSON);
    let airy = CELL_1_JSON.replace(':', " :\n ").replace('~', "\\u007e");
    assert_eq!(cell(&airy), cell(CELL_1));
}

#[test]
fn space_between_the_parts_is_ignored() {
    assert_eq!(cell(&format!("\n {} ", CELL_1.replace('+', " + ").replace('~', " ~ "))), cell(CELL_1));
}

#[test]
fn a_text_of_either_space_is_told_apart() {
    let darts = cdarts_space::published("darts-v2").unwrap();
    for text in
        [darts.to_string(), darts.to_json(), cdarts_space::stages_to_json(std::slice::from_ref(&darts))]
    {
        assert_eq!(text.parse(), Ok(Architecture::from(darts.clone())), "{text}");
    }
    for text in [CELL_1, CELL_1_JSON, &format!(" {CELL_1}\n")] {
        assert_eq!(text.parse(), Ok(Architecture::NasBench201(cell(CELL_1))), "{text}");
    }
    for (name, space) in [("darts-v2", "darts"), ("nas-bench-201-cell-2", "nas-bench-201")] {
        let known = Architecture::published(name).unwrap();
        assert_eq!(known.space(), space);
        assert_eq!([known.to_string().parse(), known.to_json().parse()], [Ok(known.clone()), Ok(known)]);
    }
    assert_eq!(Architecture::published("resnet"), None);
    let third = "{\"version\": 1, \"space\": \"mars\"}".parse::<Architecture>().unwrap_err();
    let expected = "genotype document: expected search space `darts` or `nas-bench-201`, found `mars`";
    assert_eq!(third.to_string(), expected);
}

// ---- what is refused ------------------------------------------------------------------------------

fn refused(text: &str) -> SpaceError {
    text.parse::<Genotype>().unwrap_err()
}

fn syntax(position: usize, expected: &str, found: &str) -> SpaceError {
    SpaceError::Syntax { position, expected: expected.to_owned(), found: found.to_owned() }
}

#[test]
fn errors_point_at_the_character() {
    assert_eq!(refused(""), syntax(1, "`|`", "the end of the text"));
    assert_eq!(refused("  eggs"), syntax(3, "`|`", "`eggs`"));
    assert_eq!(refused(&CELL_1.replacen("~0", "-0", 1)), syntax(14, "`~`", "`-`"));
    let from_0 = "`0`, the node that this edge comes from";
    assert_eq!(refused(&CELL_1.replacen("~0", "~1", 1)), syntax(15, from_0, "`1`"));
    let from_1 = "`1`, the node that this edge comes from";
    assert_eq!(refused(&CELL_1.replacen("~1", "~01", 1)), syntax(47, from_1, "`01`"));
    assert_eq!(
        refused(&CELL_1.replacen("|nor_conv_3x3~1|", "|", 1)),
        syntax(34, "the name of an operation", "`+`")
    );
    assert_eq!(refused(&CELL_1[..CELL_1.len() - 1]), syntax(CELL_1.len(), "`|`", "the end of the text"));
    assert_eq!(refused(&format!("{CELL_1}+|")), syntax(CELL_1.len() + 1, "the end of the text", "`+`"));
    let cause = Box::new(SpaceError::UnknownOp { found: "sep_conv_3x3".to_owned(), nearest: "nor_conv_3x3" });
    let unknown = CELL_1.replacen("+|nor_conv_3x3", "+|sep_conv_3x3", 1);
    assert_eq!(refused(&unknown), SpaceError::At { position: 19, cause });
    assert_eq!(refused("|größe~0|").position(), Some(2));
}

#[test]
fn errors_in_json_point_into_the_whole_text() {
    let start = CELL_1_JSON.find('|').unwrap();
    let wrong = CELL_1_JSON.replacen("~0", "-0", 1);
    assert_eq!(refused(&wrong), syntax(start + 14, "`~`", "`-`"));
    // An escape shifts what stands behind it; positions then count within the string.
    let escaped = wrong.replacen("+|", "\\u002b|", 1);
    assert_eq!(refused(&escaped), syntax(14, "`~`", "`-`"));
    assert_eq!(refused(&CELL_1_JSON.replace(":1", ":2")), SpaceError::Version { expected: 1, found: 2 });
    let darts = cdarts_space::published("darts-v1").unwrap().to_json();
    assert_eq!(refused(&darts), SpaceError::Space { expected: "nas-bench-201", found: "darts".to_owned() });
    let more = refused(&CELL_1_JSON.replace("\"arch\"", "\"more\":1,\"arch\"")).to_string();
    assert!(more.contains("unknown field `more`"), "{more}");
    let serde = serde_json::from_str::<Genotype>(&wrong).unwrap_err().to_string();
    assert!(serde.contains("character 14: expected `~`"), "{serde}");
}

// ---- which cells are the same ---------------------------------------------------------------------

fn classes(isomorphism: Isomorphism) -> usize {
    Genotype::all().map(|genotype| genotype.canonical(isomorphism)).collect::<BTreeSet<_>>().len()
}

#[test]
fn unique_cells_are_as_many_as_published() {
    // Dong and Yang count 6,466 unique cells; their code, told not to consider zero, 12,751.
    assert_eq!(classes(Isomorphism::SkipAndZero), 6_466);
    assert_eq!(classes(Isomorphism::Skip), 12_751);
}

#[test]
fn canonical_forms_by_hand() {
    let form = |text: &str| cell(text).canonical(Isomorphism::SkipAndZero);
    // Node 1 is zero, and so is what comes from it.
    assert_eq!(
        form("|none~0|+|skip_connect~0|nor_conv_3x3~1|+|none~0|none~1|avg_pool_3x3~2|"),
        "#+#+(#+0)@avg_pool_3x3"
    );
    let kept = cell("|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|").canonical(Isomorphism::Skip);
    assert_eq!(kept, "((0)@none)@none+((0)@none)@none+(0)@none+(0)@none");
    let same = |a: &str, b: &str| assert_eq!(form(a), form(b));
    // Node 2 is read by nothing, whatever feeds it.
    same(
        "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|none~0|avg_pool_3x3~1|none~2|",
        "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_3x3~1|+|none~0|avg_pool_3x3~1|none~2|",
    );
    // Node 1 is the input itself.
    same(
        "|skip_connect~0|+|none~0|none~1|+|nor_conv_3x3~0|nor_conv_1x1~1|none~2|",
        "|skip_connect~0|+|none~0|none~1|+|nor_conv_1x1~0|nor_conv_3x3~1|none~2|",
    );
    let differ = |a: &str, b: &str| assert_ne!(form(a), form(b));
    differ(
        "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|skip_connect~2|",
        "|nor_conv_1x1~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|",
    );
}

/// Value of a cell whose operations are fixed functions of one number: equal forms must give equal values.
fn value(genotype: &Genotype, x: f64) -> f64 {
    let mut nodes = vec![x];
    for node in 1..4 {
        let terms = (0..node).map(|source| match genotype.op(node, source) {
            Op::None => 0.0,
            Op::SkipConnect => nodes[source],
            Op::NorConv1x1 => 0.7 * nodes[source].tanh(),
            Op::NorConv3x3 => 1.3 * nodes[source].sin(),
            Op::AvgPool3x3 => 0.4 * nodes[source],
        });
        let mut terms: Vec<f64> = terms.collect();
        terms.sort_by(f64::total_cmp);
        nodes.push(terms.iter().sum());
    }
    nodes[3]
}

#[test]
fn cells_of_one_class_compute_the_same() {
    let mut first = std::collections::BTreeMap::new();
    for genotype in Genotype::all() {
        let seen = *first.entry(genotype.canonical(Isomorphism::SkipAndZero)).or_insert(genotype);
        for x in [0.3, -1.1] {
            let (a, b) = (value(&seen, x), value(&genotype, x));
            assert!((a - b).abs() < 1e-12, "{seen} {genotype}: {a} {b}");
        }
    }
}

// ---- architecture weights -------------------------------------------------------------------------

#[test]
fn ties_go_to_the_lower_operation_and_none_may_win() {
    assert_eq!(Alphas::zeros().discretise(), Ok(Genotype { ops: [Op::None; EDGES] }));
    let mut alphas = Alphas::zeros();
    for (edge, op) in
        [Op::None, Op::SkipConnect, Op::NorConv1x1, Op::NorConv3x3, Op::AvgPool3x3].into_iter().enumerate()
    {
        alphas.alpha[edge][op.index()] = 1e-3;
    }
    alphas.alpha[5] = [-1.0, -0.5, -0.25, -0.25, -0.25];
    let ops = [Op::None, Op::SkipConnect, Op::NorConv1x1, Op::NorConv3x3, Op::AvgPool3x3, Op::NorConv1x1];
    assert_eq!(alphas.discretise(), Ok(Genotype { ops }));
}

#[test]
fn weights_and_entropy_by_hand() {
    let mut alphas = Alphas::zeros();
    assert!((alphas.entropy().unwrap() - 5f64.ln()).abs() < 1e-12);
    alphas.alpha[2][3] = 4f32.ln();
    let weights = alphas.weights().unwrap();
    for (found, expected) in [(weights[2][3], 0.5), (weights[2][0], 0.125), (weights[0][0], 0.2)] {
        assert!((found - expected).abs() < 1e-7, "{found} {expected}");
    }
    alphas.alpha = [[0.0, 0.0, 1e4, 0.0, 0.0]; EDGES];
    assert_eq!(alphas.entropy(), Ok(0.0));
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let mut alphas = Alphas::zeros();
    alphas.alpha[4][1] = f32::NAN;
    let expected = SpaceError::NonFinite { what: "alpha", edge: 4, found: "NaN".to_owned() };
    assert_eq!(alphas.discretise(), Err(expected.clone()));
    assert_eq!(alphas.weights(), Err(expected.clone()));
    assert_eq!(alphas.entropy(), Err(expected));
}

#[test]
fn only_none_is_penalised() {
    assert_eq!(Op::ALL.map(Op::is_penalised), [true, false, false, false, false]);
}

proptest! {
    #[test]
    fn the_kept_operation_weighs_most(rows in prop::collection::vec(prop::array::uniform5(-5f32..5.0), EDGES)) {
        let alphas = Alphas { alpha: std::array::from_fn(|edge| rows[edge]) };
        let weights = alphas.weights().unwrap();
        let genotype = alphas.discretise().unwrap();
        for (row, op) in weights.iter().zip(genotype.ops) {
            prop_assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            prop_assert!(row.iter().all(|&weight| weight <= row[op.index()]));
        }
        let json = serde_json::to_string(&alphas).unwrap();
        prop_assert_eq!(serde_json::from_str::<Alphas>(&json).unwrap(), alphas);
    }

    #[test]
    fn damaged_text_is_read_whole_or_refused_with_a_place(
        start in 0..CELL_1.len(),
        length in 0usize..8,
        patch in "[|~+a-z0-9_ ]{0,8}",
        json in any::<bool>(),
    ) {
        let text = if json { CELL_1_JSON } else { CELL_1 };
        let end = (start + length).min(text.len());
        let damaged = format!("{}{patch}{}", &text[..start], &text[end..]);
        match damaged.parse::<Genotype>() {
            Ok(genotype) => prop_assert_eq!(genotype.to_string().parse(), Ok(genotype)),
            Err(error) => {
                let inside = error.position().is_none_or(|at| (1..=damaged.chars().count() + 1).contains(&at));
                prop_assert!(inside, "{}", error);
                prop_assert!(json || error.position().is_some(), "{}", error);
            }
        }
    }

    #[test]
    fn any_text_is_refused_without_panic(text in "\\PC*") {
        for damaged in [format!("|none~0|+|{text}"), format!("{{{text}"), text] {
            prop_assert!(damaged.parse::<Genotype>().is_err());
            prop_assert!(damaged.parse::<Architecture>().is_err());
        }
    }
}
