//! What each configuration key means, in the words of the one place that says so: the documentation of
//! [`cdarts_search::config`].

use std::collections::BTreeMap;

const SOURCE: &str = include_str!("../../../search/src/config/mod.rs");

/// Fields with their type and documentation, by name of the structure.
type Structures = BTreeMap<&'static str, Vec<Field>>;

struct Field {
    name: &'static str,
    of_type: &'static str,
    lines: Vec<&'static str>,
}

/// A resolved configuration with a comment above every key.
pub fn explained(toml: &str) -> String {
    let structures = structures();
    let fields = |structure: &str| structures.get(structure).map_or(&[][..], Vec::as_slice);
    let mut current = fields("Config");
    let mut text = String::new();
    for line in toml.lines() {
        let section = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let key = section.or_else(|| line.split_once(" = ").map(|(key, _)| key));
        let among = if section.is_some() { fields("Config") } else { current };
        let field = key.and_then(|key| among.iter().find(|field| field.name == key));
        for explanation in field.iter().flat_map(|field| &field.lines) {
            text += &format!("# {explanation}\n");
        }
        if let (Some(_), Some(field)) = (section, field) {
            current = fields(field.of_type);
        }
        text += &format!("{line}\n");
    }
    text
}

/// Reads off documented fields: `///` lines, perhaps attributes, then `pub name: Type,`.
fn structures() -> Structures {
    let mut structures = Structures::new();
    let mut structure = "";
    let mut lines = Vec::new();
    for line in SOURCE.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("pub struct ") {
            structure = name.trim_end_matches([' ', '{']);
        }
        if let Some(explanation) = line.strip_prefix("/// ") {
            lines.push(explanation);
        } else if !line.starts_with("#[") {
            let lines = std::mem::take(&mut lines);
            if let Some((name, of_type)) = line.strip_prefix("pub ").and_then(|rest| rest.split_once(": ")) {
                let field = Field { name, of_type: of_type.trim_end_matches(','), lines };
                structures.entry(structure).or_default().push(field);
            }
        }
    }
    structures
}

#[cfg(test)]
mod tests {
    use cdarts_search::Preset;
    use cdarts_search::config::{self, Source};

    use super::*;

    #[test]
    fn every_key_and_section_is_explained() {
        let text = explained(&Preset::Corrected.config().to_toml().unwrap());
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        let mut keys = 0;
        for pair in lines.windows(2) {
            if !pair[1].starts_with('#') {
                keys += 1;
                assert!(pair[0].starts_with("# "), "{} has no explanation", pair[1]);
            }
        }
        assert!(keys > 60, "{keys}");
        let cycles = "# Cycles: build, inherit, warm up, optimise jointly, discretise.\ncycles = 30\n";
        assert!(text.contains(cycles), "{text}");
        assert!(
            text.contains("# First learning rate, by SGD; it falls to 0 along half a cosine.\nlr = "),
            "{text}"
        );
    }

    #[test]
    fn explanations_change_no_value() {
        let config = Preset::Official.config();
        let text = explained(&config.to_toml().unwrap());
        assert_eq!(config::resolve(Some(Source { name: "explained", text: &text }), &[]).unwrap(), config);
    }
}
