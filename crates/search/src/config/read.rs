//! From a preset, a TOML text and `key=value` settings to a [`Config`]; later ones win.

use toml::{Table, Value};

use super::{Config, Preset, Space};
use crate::SearchError;

/// Where a text came from, for error messages.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file's path or another name for it.
    pub name: &'a str,
    /// The TOML text.
    pub text: &'a str,
}

/// The configuration of a TOML text, if any, and of settings `key=value` such as `search.arch_lr=3e-4`. What
/// neither says comes from the preset that they name, or from [`Preset::Corrected`].
///
/// # Errors
/// [`SearchError::ConfigSyntax`], [`SearchError::ConfigKey`] with the nearest known key,
/// [`SearchError::ConfigType`] and [`SearchError::ConfigValue`].
pub fn resolve(source: Option<Source<'_>>, settings: &[String]) -> Result<Config, SearchError> {
    let mut given = match source {
        Some(Source { name, text }) => text.parse::<Table>().map_err(|error| SearchError::ConfigSyntax {
            name: name.to_owned(),
            reason: error.to_string(),
        })?,
        None => Table::new(),
    };
    for setting in settings {
        set(&mut given, setting)?;
    }
    let preset: Preset = choice(given.get("preset"), "preset", "\"corrected\" or \"official\"")?;
    let space = given.get("search").and_then(|search| search.get("space"));
    let space: Space = choice(space, "search.space", "\"darts\" or \"nas-bench-201\"")?;
    let mut values = Table::try_from(preset.config_for(space))
        .map_err(|error| SearchError::ConfigType { key: "preset".to_owned(), reason: error.to_string() })?;
    merge(&mut values, given, "")?;
    let config = typed(values)?;
    config.validate()?;
    Ok(config)
}

impl Config {
    /// The configuration as TOML.
    ///
    /// # Errors
    /// [`SearchError::ConfigType`] where a value has no TOML form.
    pub fn to_toml(&self) -> Result<String, SearchError> {
        toml::to_string(self)
            .map_err(|error| SearchError::ConfigType { key: "config".to_owned(), reason: error.to_string() })
    }
}

/// A value that decides where others come from.
fn choice<T: Default + for<'a> serde::Deserialize<'a>>(
    value: Option<&Value>,
    key: &str,
    expected: &str,
) -> Result<T, SearchError> {
    let Some(value) = value else { return Ok(T::default()) };
    value.clone().try_into().map_err(|_| SearchError::ConfigValue {
        key: key.to_owned(),
        found: value.to_string(),
        expected: expected.to_owned(),
    })
}

/// Applies one `key=value`. The value is TOML; what is not TOML is taken as text.
fn set(table: &mut Table, setting: &str) -> Result<(), SearchError> {
    let Some((key, text)) = setting.split_once('=') else {
        return Err(SearchError::ConfigSetting { setting: setting.to_owned() });
    };
    let (key, text) = (key.trim(), text.trim());
    let parsed = format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    let value = parsed.unwrap_or_else(|| Value::String(text.to_owned()));
    let mut path: Vec<&str> = key.split('.').collect();
    let Some(last) = path.pop().filter(|last| !last.is_empty()) else {
        return Err(SearchError::ConfigSetting { setting: setting.to_owned() });
    };
    let mut table = table;
    for part in path {
        let entry = table.entry(part.to_owned()).or_insert_with(|| Value::Table(Table::new()));
        table =
            entry.as_table_mut().ok_or_else(|| SearchError::ConfigSetting { setting: setting.to_owned() })?;
    }
    table.insert(last.to_owned(), value);
    Ok(())
}

/// Lays `given` over `values`, which has every key there is.
fn merge(values: &mut Table, given: Table, prefix: &str) -> Result<(), SearchError> {
    for (key, new) in given {
        let full = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match (values.get_mut(&key), new) {
            (None, _) => return Err(unknown_key(full)),
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new, &full)?,
            (Some(Value::Table(_)), new) => {
                return Err(SearchError::ConfigType {
                    key: full,
                    reason: format!("expected a table, found {new}"),
                });
            }
            // Whole numbers are accepted where a number is meant.
            (Some(old @ Value::Float(_)), Value::Integer(new)) => *old = Value::Float(new as f64),
            (Some(old), new) => *old = new,
        }
    }
    Ok(())
}

/// An error that names the nearest key there is.
fn unknown_key(key: String) -> SearchError {
    let nearest = known_keys()
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&known, &key).min(tail_distance(&known, &key)), known))
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len() / 3)
        .map(|(_, known)| known);
    SearchError::ConfigKey { key, nearest }
}

/// Distance of the last parts, for keys given in the wrong table; one more, so that the right table wins.
fn tail_distance(known: &str, key: &str) -> usize {
    let tail = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    1 + strsim::damerau_levenshtein(&tail(known), &tail(key))
}

fn known_keys() -> Vec<String> {
    let Ok(values) = Table::try_from(Preset::default().config()) else { return Vec::new() };
    values
        .into_iter()
        .flat_map(|(section, value)| match value {
            Value::Table(table) => {
                let keys = table.into_iter().map(|(key, _)| format!("{section}.{key}"));
                std::iter::once(section.clone()).chain(keys).collect()
            }
            _ => vec![section],
        })
        .collect()
}

/// The typed configuration; an error names the key, which a plain conversion of the whole would not.
fn typed(values: Table) -> Result<Config, SearchError> {
    let text = values.to_string();
    toml::from_str(&text).map_err(|error| {
        let line =
            error.span().and_then(|span| text.get(..span.start)).map_or(0, |before| before.lines().count());
        let key = key_at(&text, line.max(1));
        SearchError::ConfigType { key, reason: error.message().to_owned() }
    })
}

/// The full key of a line of a flat TOML text.
fn key_at(text: &str, line: usize) -> String {
    let mut section = String::new();
    let mut key = String::new();
    for content in text.lines().take(line) {
        if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
        } else if let Some((name, _)) = content.split_once('=') {
            key = format!("{section}{}", name.trim());
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Distance, ImageSize};

    fn read(text: &str, settings: &[&str]) -> Result<Config, SearchError> {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        resolve(Some(Source { name: "test.toml", text }), &settings)
    }

    #[test]
    fn a_resolved_configuration_reads_back_the_same() {
        for preset in [Preset::Corrected, Preset::Official] {
            for space in [Space::Darts, Space::NasBench201] {
                let config = preset.config_for(space);
                assert_eq!(read(&config.to_toml().unwrap(), &[]).unwrap(), config);
            }
        }
    }

    #[test]
    fn settings_win_over_the_file_and_the_file_over_the_preset() {
        let text = "preset = \"official\"\n[search]\ncycles = 3\nsupernet_lr = 1\n[data]\nsize = [27, 18]";
        let config = read(text, &["search.cycles=5", "search.distance=kl", "data.path=/a b"]).unwrap();
        assert_eq!((config.search.cycles, config.search.supernet_lr), (5, 1.0));
        assert_eq!(config.search.distance, Distance::Kl);
        assert_eq!(config.data.size, ImageSize::Sides([27, 18]));
        assert_eq!(config.data.path, "/a b");
        assert_eq!(config.search.penalty_repeats, 3);
    }

    #[test]
    fn the_space_brings_its_published_recipe() {
        let config = read("[search]\nspace = \"nas-bench-201\"", &["search.cycles=3"]).unwrap();
        assert_eq!((config.search.cells, config.search.cycles), (vec![5, 5, 5], 3));
        assert!(config.search.eval_affine && !config.search.fix_heads);
        assert_eq!((config.retrain.init_channels, config.retrain.epochs), (16, 200));
        let unknown = read("", &["search.space=nasnet"]).unwrap_err();
        assert!(matches!(unknown, SearchError::ConfigValue { key, .. } if key == "search.space"));
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        for (key, nearest) in [
            ("search.arch_lrr", "search.arch_lr"),
            ("serach.cycles", "search"),
            ("retrain.cycles", "search.cycles"),
            ("presets", "preset"),
        ] {
            match read("", &[&format!("{key}=1")]).unwrap_err() {
                SearchError::ConfigKey { key: found, nearest: Some(near) } => {
                    assert!(key.starts_with(&found), "{found}");
                    assert_eq!(near, nearest);
                }
                other => panic!("{other}"),
            }
        }
        let far = read("", &["search.zzzzzzzzzzzzzzzz=1"]).unwrap_err();
        assert!(matches!(far, SearchError::ConfigKey { nearest: None, .. }), "{far}");
    }

    #[test]
    fn wrong_types_and_values_name_the_key() {
        let wrong_type = read("[search]\ncycles = \"many\"", &[]).unwrap_err();
        assert!(
            matches!(&wrong_type, SearchError::ConfigType { key, .. } if key == "search.cycles"),
            "{wrong_type}"
        );
        let unknown_word = read("[search]\ndistance = \"manhattan\"", &[]).unwrap_err();
        assert!(matches!(&unknown_word, SearchError::ConfigType { key, .. } if key == "search.distance"));
        for (given, meant) in [("dart", "darts"), ("darts-first", "darts-first-order"), ("cdart", "cdarts")] {
            let misspelt = read("", &[&format!("search.method={given}")]).unwrap_err();
            assert!(misspelt.hint().is_some_and(|hint| hint.contains(meant)), "{misspelt}");
        }
        assert_eq!(read("", &["search.method=evolution"]).unwrap_err().hint(), None);
        let out_of_range = read("[search]\nepoch_fraction = 0.0", &[]).unwrap_err();
        assert!(
            matches!(&out_of_range, SearchError::ConfigValue { key, .. } if key == "search.epoch_fraction")
        );
        assert!(matches!(read("", &["nonsense"]).unwrap_err(), SearchError::ConfigSetting { .. }));
        assert!(matches!(read("[search", &[]).unwrap_err(), SearchError::ConfigSyntax { .. }));
    }
}
