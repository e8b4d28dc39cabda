//! What the documents say about the tests is true.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(folder: &Path, found: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.extension() {
            None if path.is_dir() => sources(&path, found),
            Some(extension) if extension == "rs" => found.push_str(&std::fs::read_to_string(&path).unwrap()),
            _ => {}
        }
    }
}

#[test]
fn every_test_that_the_list_of_defects_names_exists() {
    let text = std::fs::read_to_string(root().join("docs/defects.md")).unwrap();
    let mut code = String::new();
    sources(&root().join("crates"), &mut code);
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| no."));
    let mut named = 0;
    for row in rows {
        let last = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap();
        // Every other piece between backticks is a name.
        for test in last.split('`').skip(1).step_by(2).filter(|name| name.len() > 20) {
            named += 1;
            assert!(code.contains(&format!("fn {test}(")), "no test `{test}`");
        }
    }
    assert!(named > 40, "{named}");
}
