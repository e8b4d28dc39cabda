//! Genotypes read from and written as text (facts section 4).
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a test that cannot read its genotype should fail")]

use cdarts_space::{
    CellGenotype, CellKind, Edge, Genotype, NODES, Op, PUBLISHED, SpaceError, parse_stages, published,
    stages_to_json,
};
use proptest::prelude::*;

fn cifar() -> Genotype {
    published("cdarts-cifar").unwrap()
}

const CIFAR_TEXT: &str = "Genotype(normal=[[('sep_conv_3x3', 0), ('sep_conv_3x3', 1)], \
    [('sep_conv_3x3', 1), ('sep_conv_3x3', 2)], [('sep_conv_3x3', 0), ('sep_conv_3x3', 1)], \
    [('skip_connect', 0), ('skip_connect', 2)]], normal_concat=range(2, 6), \
    reduce=[[('sep_conv_5x5', 1), ('max_pool_3x3', 0)], [('dil_conv_5x5', 2), ('skip_connect', 0)], \
    [('sep_conv_3x3', 0), ('sep_conv_5x5', 1)], [('sep_conv_3x3', 0), ('dil_conv_5x5', 2)]], \
    reduce_concat=range(2, 6))";

// ---- what is read and written ---------------------------------------------------------------------

#[test]
fn the_published_form() {
    assert_eq!(cifar().to_string(), CIFAR_TEXT);
    assert_eq!(CIFAR_TEXT.parse(), Ok(cifar()));
}

#[test]
fn notation_may_vary() {
    let listed = CIFAR_TEXT.replace("range(2, 6)", "[2, 3, 4, 5]");
    let quoted = CIFAR_TEXT.replace('\'', "\"");
    let airy = format!("\n CDARTS = {} \n", CIFAR_TEXT.replace(", ", " ,\n\t").replace('=', " = "));
    let commas = CIFAR_TEXT.replace(")]", "),]").replace("))", "),)");
    let (head, tail) = CIFAR_TEXT[9..CIFAR_TEXT.len() - 1].split_once(", reduce=").unwrap();
    let reordered = format!("Genotype(reduce={tail}, {head})");
    for text in [listed, quoted, airy, commas, reordered] {
        assert_eq!(text.parse(), Ok(cifar()), "{text}");
    }
}

#[test]
fn the_flat_form_of_darts() {
    let flat = "Genotype(
        normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1),
                ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)],
        normal_concat=[2, 3, 4, 5],
        reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0),
                ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)],
        reduce_concat=[2, 3, 4, 5])";
    assert_eq!(flat.parse::<Genotype>().ok(), published("darts-v1"));
}

#[test]
fn the_json_document() {
    let json = cifar().to_json();
    let start = r#"{"version":1,"space":"darts","normal":{"nodes":[[{"op":"sep_conv_3x3","source":0},"#;
    assert!(json.starts_with(start), "{json}");
    assert!(json.contains(r#""concat":[2,3,4,5]"#));
    assert_eq!(json.parse(), Ok(cifar()));
    assert_eq!(serde_json::from_str::<Genotype>(&json).unwrap(), cifar());
}

#[test]
fn the_file_of_stages() {
    let equal = stages_to_json(&[cifar(), cifar(), cifar()]);
    assert!(equal.starts_with("{\n  \"0\": \"Genotype(normal=[[('sep_conv_3x3', 0)"), "{equal}");
    assert_eq!(parse_stages(&equal), Ok(vec![cifar(); 3]));
    assert_eq!(equal.parse(), Ok(cifar()));
    let other = published("pdarts").unwrap();
    let mixed = stages_to_json(&[cifar(), cifar(), other.clone()]);
    assert_eq!(parse_stages(&mixed), Ok(vec![cifar(), cifar(), other.clone()]));
    assert_eq!(mixed.parse::<Genotype>(), Err(SpaceError::StagesDiffer { stage: 2 }));
    let many = vec![other; 12];
    assert_eq!(parse_stages(&stages_to_json(&many)), Ok(many));
    for single in [CIFAR_TEXT.to_owned(), cifar().to_json()] {
        assert_eq!(parse_stages(&single), Ok(vec![cifar()]));
    }
}

#[test]
fn every_published_genotype_survives_every_form() {
    for known in PUBLISHED {
        let genotype = known.genotype();
        assert_eq!(genotype.validate(), Ok(()), "{}", known.name);
        assert_eq!(genotype.to_string().parse::<Genotype>().as_ref(), Ok(&genotype), "{}", known.name);
        assert_eq!(genotype.to_json().parse::<Genotype>().as_ref(), Ok(&genotype), "{}", known.name);
        assert_eq!(published(known.name), Some(genotype));
    }
    assert_eq!(published("darts-v3"), None);
    assert_eq!([cifar().normal.skip_count(), cifar().skip_count()], [2, 3]);
}

// ---- what is refused ------------------------------------------------------------------------------

fn refused(text: &str) -> SpaceError {
    text.parse::<Genotype>().unwrap_err()
}

/// The published text with one occurrence changed, and the character where the change begins.
fn changed(from: &str, to: &str) -> (String, usize) {
    let at = CIFAR_TEXT.find(from).unwrap();
    (CIFAR_TEXT.replacen(from, to, 1), at + 1)
}

fn syntax(position: usize, expected: &str, found: &str) -> SpaceError {
    SpaceError::Syntax { position, expected: expected.to_owned(), found: found.to_owned() }
}

#[test]
fn syntax_errors_say_where_and_what() {
    let (text, at) = changed("('sep_conv_3x3', 0)", "('sep_conv_3x3'; 0)");
    assert_eq!(refused(&text), syntax(at + 15, "`,`", "`;`"));
    let (text, at) = changed("0)", "zero)");
    assert_eq!(refused(&text), syntax(at, "a whole number below 2^64", "`zero`"));
    let (text, at) = changed("0)", "-1)");
    assert_eq!(refused(&text), syntax(at, "a whole number below 2^64", "`-`"));
    let (text, at) = changed("0)", "99999999999999999999)");
    assert_eq!(refused(&text), syntax(at, "a whole number below 2^64", "`99999999999999999999`"));
    let (text, at) = changed("normal_concat", "normal_concats");
    let missing = "`normal_concat` or `reduce` or `reduce_concat`";
    assert_eq!(refused(&text), syntax(at, missing, "`normal_concats`"));
    let (text, at) = changed("reduce=", "normal=");
    assert_eq!(refused(&text), syntax(at, "`reduce` or `reduce_concat`", "`normal`"));
    let (text, at) = changed("range(2, 6)", "(2, 6)");
    assert_eq!(refused(&text), syntax(at, "`range(` or `[`", "`(`"));
    assert_eq!(refused(""), syntax(1, "`Genotype(` or a JSON object", "the end of the text"));
    assert_eq!(refused("  import os"), syntax(3, "`Genotype(` or a JSON object", "`import`"));
    assert_eq!(refused("x = Genotipo("), syntax(5, "`Genotype(` or a JSON object", "`Genotipo`"));
    let trailing = format!("{CIFAR_TEXT} + 1");
    assert_eq!(refused(&trailing), syntax(CIFAR_TEXT.len() + 2, "the end of the text", "`+`"));
    let cut = &CIFAR_TEXT[..CIFAR_TEXT.find(", reduce_concat").unwrap()];
    let length = cut.len() + 1;
    assert_eq!(refused(cut), syntax(length, "`,` or `)`", "the end of the text"));
    assert_eq!(refused(&format!("{cut})")), syntax(length, "`reduce_concat`", "`)`"));
    let open_string = &CIFAR_TEXT[..20];
    assert_eq!(refused(open_string), syntax(21, "a closing `'`", "the end of the text"));
}

#[test]
fn positions_count_characters() {
    let text = "größe = Genotype(normal=[[('sep_conv_3x3' 0)";
    assert_eq!(refused(text), syntax(43, "`,`", "`0`"));
    let error = refused("{\"version\": 1,\n \"space\": \"größe\",\n \"normal\": {\"nodes\": !");
    assert_eq!(error.position(), Some(56), "{error}");
}

#[test]
fn meaningless_cells_are_named() {
    let at = |position: usize, cause: SpaceError| SpaceError::At { position, cause: Box::new(cause) };
    let normal = CellKind::Normal;

    let (text, place) = changed("'sep_conv_3x3', 0", "'sep_convs_3x3', 0");
    let cause = SpaceError::UnknownOp { found: "sep_convs_3x3".to_owned(), nearest: "sep_conv_3x3" };
    assert_eq!(refused(&text), at(place, cause));
    assert_eq!(
        refused(&text).to_string(),
        "character 20: unknown operation `sep_convs_3x3`; the nearest known one is `sep_conv_3x3`"
    );

    let (text, place) = changed("1)]", "2)]");
    let cause = SpaceError::SourceOutOfRange { cell: normal, node: 0, limit: 2, found: 2 };
    assert_eq!(refused(&text), at(place, cause));

    let (text, place) = changed("'sep_conv_3x3', 0", "'none', 0");
    assert_eq!(refused(&text), at(place, SpaceError::NoneKept { cell: normal, node: 0 }));

    let (text, place) = changed("[('skip_connect', 0), ('skip_connect', 2)]", "[]");
    assert_eq!(refused(&text), at(place, SpaceError::NodeWithoutEdges { cell: normal, node: 3 }));

    let (text, place) =
        changed("[('skip_connect', 0), ('skip_connect', 2)]", "[('skip_connect', 2), ('skip_connect', 2)]");
    let cause = SpaceError::RepeatedEdge { cell: normal, node: 3, op: Op::SkipConnect, source_state: 2 };
    assert_eq!(refused(&text), at(place, cause));

    let (text, _) = changed(", [('skip_connect', 0), ('skip_connect', 2)]", "");
    assert_eq!(refused(&text), at(17, SpaceError::NodeCount { cell: normal, found: 3 }));

    for (concat, cause) in [
        ("range(1, 6)", SpaceError::ConcatOutOfRange { cell: normal, found: 1 }),
        // Never written out.
        (
            "range(2, 18446744073709551615)",
            SpaceError::ConcatOutOfRange { cell: normal, found: u64::MAX - 1 },
        ),
        ("range(0, 18446744073709551615)", SpaceError::ConcatOutOfRange { cell: normal, found: 0 }),
        ("range(5, 3)", SpaceError::ConcatNotEveryNode { cell: normal, found: vec![] }),
        ("[2, 3, 4]", SpaceError::ConcatNotEveryNode { cell: normal, found: vec![2, 3, 4] }),
        ("[2, 3, 4, 4]", SpaceError::ConcatNotEveryNode { cell: normal, found: vec![2, 3, 4, 4] }),
        ("[]", SpaceError::ConcatNotEveryNode { cell: normal, found: vec![] }),
    ] {
        let (text, place) = changed("range(2, 6)", concat);
        assert_eq!(refused(&text), at(place, cause), "{concat}");
    }
    let (text, place) = changed("range(2, 6)", "[2, 6]");
    assert_eq!(refused(&text), at(place + 4, SpaceError::ConcatOutOfRange { cell: normal, found: 6 }));
}

#[test]
fn a_flat_cell_needs_eight_pairs() {
    let text = "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0)], normal_concat=range(2, 6))";
    assert_eq!(refused(text), syntax(17, "8 pairs, 2 for each node", "2 pairs"));
}

#[test]
fn wrong_documents_are_named() {
    let json = cifar().to_json();
    let with = |from: &str, to: &str| refused(&json.replacen(from, to, 1));
    assert_eq!(with(r#""version":1"#, r#""version":2"#), SpaceError::Version { expected: 1, found: 2 });
    // Whatever else a later version has, its version is what gets reported.
    assert_eq!(
        refused(r#"{"version":3,"space":"darts","cells":[]}"#),
        SpaceError::Version { expected: 1, found: 3 }
    );
    assert_eq!(
        with("\"darts\"", "\"nasbench201\""),
        SpaceError::Space { expected: "darts", found: "nasbench201".to_owned() }
    );
    let reason = |error: SpaceError| match error {
        SpaceError::Json { reason, .. } => reason,
        other => panic!("{other}"),
    };
    assert!(reason(with("sep_conv_3x3", "sep_conv")).contains("nearest known one is `sep_conv_3x3`"));
    assert!(reason(with("\"source\":0", "\"source\":-1")).contains("expected usize"));
    assert!(reason(with("\"reduce\"", "\"normal\"")).contains("duplicate field"));
    assert!(reason(with("\"concat\"", "\"extra\":0,\"concat\"")).contains("unknown field `extra`"));
    assert!(reason(refused("{}")).contains("missing field `version`"));
    assert!(reason(refused(&json[..40])).contains("EOF"));
    assert!(reason(refused(&"{\"a\":".repeat(100_000))).contains("EOF"));
    let error = with("\"source\":0", "\"source\":2");
    assert_eq!(error, SpaceError::SourceOutOfRange { cell: CellKind::Normal, node: 0, limit: 2, found: 2 });
    assert_eq!(
        with("[2,3,4,5]", "[2,3,4,9]"),
        SpaceError::ConcatOutOfRange { cell: CellKind::Normal, found: 9 }
    );
}

#[test]
fn wrong_files_of_stages_are_named() {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let good = quoted(CIFAR_TEXT);
    let gap = format!("{{\"0\": {good}, \"2\": {good}}}");
    assert_eq!(parse_stages(&gap), Err(SpaceError::StageKey { index: 1, found: "2".to_owned() }));
    let twice = format!("{{\"0\": {good}, \"0\": {good}}}");
    assert_eq!(parse_stages(&twice), Err(SpaceError::StageKey { index: 1, found: "0".to_owned() }));
    let padded = format!("{{\"00\": {good}}}");
    assert_eq!(parse_stages(&padded), Err(SpaceError::StageKey { index: 0, found: "00".to_owned() }));
    let backwards = format!("{{\"1\": {good}, \"0\": {good}}}");
    assert_eq!(parse_stages(&backwards).unwrap().len(), 2);
    let broken = format!("{{\"0\": {good}, \"1\": {}}}", quoted("Genotype(norm"));
    let error = parse_stages(&broken).unwrap_err();
    assert!(matches!(&error, SpaceError::Stage { stage: 1, .. }), "{error}");
    assert_eq!(error.position(), Some(10));
    assert!(matches!(parse_stages("{\"0\": 1}"), Err(SpaceError::Json { .. })));
}

// ---- any genotype, any text -----------------------------------------------------------------------

fn any_node(node: usize) -> impl Strategy<Value = Vec<Edge>> {
    let edge = (0..Op::COUNT - 1, 0..node + 2).prop_map(|(op, source)| Edge { op: Op::ALL[op], source });
    prop::collection::vec(edge, 1..6).prop_map(|edges| {
        let mut distinct: Vec<Edge> = Vec::new();
        edges.into_iter().for_each(|edge| {
            if !distinct.contains(&edge) {
                distinct.push(edge);
            }
        });
        distinct
    })
}

fn any_cell() -> impl Strategy<Value = CellGenotype> {
    let nodes =
        (any_node(0), any_node(1), any_node(2), any_node(3)).prop_map(|(a, b, c, d)| vec![a, b, c, d]);
    let concat = Just((2..NODES + 2).collect::<Vec<_>>()).prop_shuffle();
    (nodes, concat).prop_map(|(nodes, concat)| CellGenotype { nodes, concat })
}

fn any_genotype() -> impl Strategy<Value = Genotype> {
    (any_cell(), any_cell()).prop_map(|(normal, reduce)| Genotype { normal, reduce })
}

/// As discretisation gives them, which DARTS's flat form can write.
fn two_edges_a_node() -> impl Strategy<Value = Genotype> {
    let node = |node: usize| {
        let edge = (0..Op::COUNT - 1, 0..node + 2).prop_map(|(op, source)| Edge { op: Op::ALL[op], source });
        (edge.clone(), edge).prop_filter_map("the same edge twice", |(a, b)| (a != b).then(|| vec![a, b]))
    };
    let cell = move || {
        (node(0), node(1), node(2), node(3)).prop_map(|(a, b, c, d)| CellGenotype::new(vec![a, b, c, d]))
    };
    (cell(), cell()).prop_map(|(normal, reduce)| Genotype { normal, reduce })
}

fn flat(genotype: &Genotype) -> String {
    let pairs = |cell: &CellGenotype| {
        let pair = |(_, edge): (usize, Edge)| format!("('{}', {})", edge.op.name(), edge.source);
        cell.edges().map(pair).collect::<Vec<_>>().join(", ")
    };
    format!(
        "Genotype(normal=[{}], normal_concat=range(2, 6), reduce=[{}], reduce_concat=range(2, 6))",
        pairs(&genotype.normal),
        pairs(&genotype.reduce),
    )
}

proptest! {
    #[test]
    fn any_genotype_survives_every_form(genotype in any_genotype()) {
        prop_assert_eq!(genotype.validate(), Ok(()));
        prop_assert_eq!(genotype.to_string().parse(), Ok(genotype.clone()));
        prop_assert_eq!(genotype.to_json().parse(), Ok(genotype.clone()));
        let stages = vec![genotype; 3];
        prop_assert_eq!(parse_stages(&stages_to_json(&stages)), Ok(stages));
    }

    #[test]
    fn any_cells_of_two_edges_a_node_survive_the_flat_form_of_darts(genotype in two_edges_a_node()) {
        prop_assert_eq!(flat(&genotype).parse(), Ok(genotype.clone()));
    }

    #[test]
    fn any_stages_survive_their_file(stages in prop::collection::vec(any_genotype(), 1..5)) {
        prop_assert_eq!(parse_stages(&stages_to_json(&stages)), Ok(stages));
    }

    #[test]
    fn an_unknown_operation_is_pointed_at(genotype in any_genotype(), which in any::<prop::sample::Index>()) {
        let text = genotype.to_string();
        let names: Vec<usize> = text.match_indices("('").map(|(at, _)| at).collect();
        let at = names[which.index(names.len())] + 2;
        let broken = format!("{}no_{}", &text[..at], &text[at..]);
        let error = broken.parse::<Genotype>().unwrap_err();
        prop_assert!(matches!(&error, SpaceError::At { cause, .. }
            if matches!(**cause, SpaceError::UnknownOp { .. })), "{}", error);
        // Characters count from 1; the quote in front of the name is where it begins.
        prop_assert_eq!(error.position(), Some(at), "{}", broken);
    }

    #[test]
    fn a_cut_text_is_pointed_at_or_behind_its_end(genotype in any_genotype(), cut in any::<prop::sample::Index>()) {
        let text = genotype.to_string();
        let cut = &text[..cut.index(text.len())];
        let position = cut.parse::<Genotype>().unwrap_err().position();
        prop_assert!(position.is_some_and(|at| (1..=cut.len() + 1).contains(&at)), "{:?}", position);
    }

    #[test]
    fn damaged_text_is_refused_or_means_something_valid(
        genotype in any_genotype(),
        form in 0..3usize,
        cut in any::<prop::sample::Index>(),
        length in 0..12usize,
        patch in "[\\[\\]()'\",:0-9a-z_{} é]{0,6}",
    ) {
        let text = match form {
            0 => genotype.to_string(),
            1 => genotype.to_json(),
            _ => stages_to_json(&[genotype.clone(), genotype]),
        };
        let start = cut.index(text.len());
        let end = (start + length).min(text.len());
        let damaged = format!("{}{patch}{}", &text[..start], &text[end..]);
        match parse_stages(&damaged) {
            Ok(stages) => for stage in stages {
                prop_assert_eq!(stage.validate(), Ok(()));
            },
            Err(error) => {
                let characters = damaged.chars().count();
                prop_assert!(error.position().is_none_or(|at| (1..=characters + 1).contains(&at)), "{}", error);
            }
        }
    }

    #[test]
    fn any_text_is_refused_without_panic(text in "\\PC*") {
        for damaged in [format!("Genotype(normal=[{text}"), format!("{{{text}"), text] {
            prop_assert!(damaged.parse::<Genotype>().is_err());
        }
    }
}
