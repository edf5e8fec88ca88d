//! Writes the reference: a configuration file with every key, its documentation and its default.

use std::fmt::Write as _;

use super::raw::RawConfig;
use super::setting::{KIND_KEY, Key, Kind, OneOf, Schema, Section};

/// The reference. It is a configuration itself, of nothing but defaults. Keys that are unset by default are there as `#key`,
/// with a value as an example.
pub(crate) fn reference() -> String {
    let mut text = String::from(HEAD);
    table(&mut text, RawConfig::SCHEMA, "", false);
    text
}

const HEAD: &str = "\
# Every key of the configuration, with its default.
#
# Keys that are unset by default are written as #key, with an example. Durations have a unit (\"25s\", \"500ms\"); sizes are
# bytes, with a unit or without (65536, \"64KiB\", \"1MB\").
#
# Each key can also be set by an environment variable, which takes precedence: port in [server] is SOCKEYE__SERVER__PORT.
# Lists and tables are given as JSON or TOML. With _FILE at the end of its name, a variable names a file with the value.
";

fn table(text: &mut String, schema: &'static Schema, path: &str, disabled: bool) {
    let mark = if disabled { "#" } else { "" };
    let mut tables = Vec::new();
    let mut choices = Vec::new();
    let mut is_first = true;
    for key in schema.keys {
        let default = (key.default)();
        match key.kind {
            Kind::Text | Kind::Data => {
                if !std::mem::take(&mut is_first) {
                    text.push('\n');
                }
                documentation(text, key.doc);
                let (mark, value) = match default {
                    Some(value) if key.example.is_empty() || value != "[]" => (mark, value),
                    _ => ("#", key.example.to_owned()),
                };
                line(text, format_args!("{mark}{} = {value}", key.name));
            }
            Kind::Table(inner) => tables.push((key, inner, false, default.is_none())),
            Kind::Tables(inner) => tables.push((key, inner, true, true)),
            Kind::OneOf(kinds) => choices.push((key, kinds)),
        }
    }
    for (key, kinds) in choices {
        one_of(text, key, kinds, path);
    }
    for (key, inner, is_list, is_unset) in tables {
        let path = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        let disabled = disabled || is_unset;
        text.push('\n');
        documentation(text, key.doc);
        let mark = if disabled { "#" } else { "" };
        match is_list {
            true => line(text, format_args!("{mark}[[{path}]]")),
            false => line(text, format_args!("{mark}[{path}]")),
        }
        table(text, inner, &path, disabled);
    }
}

/// A table of several kinds: one after the other, each with its keys.
fn one_of(text: &mut String, key: &Key, kinds: &'static [OneOf], path: &str) {
    text.push('\n');
    documentation(text, key.doc);
    for kind in kinds {
        text.push('\n');
        documentation(text, kind.doc);
        line(text, format_args!("#[{path}.{}]", key.name));
        line(text, format_args!("#{KIND_KEY} = \"{}\"", kind.word));
        if !kind.schema.keys.is_empty() {
            text.push('\n');
        }
        table(text, kind.schema, &format!("{path}.{}", key.name), true);
    }
}

fn documentation(text: &mut String, doc: &[&str]) {
    for each in doc {
        line(text, format_args!("#{each}"));
    }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    writeln!(text, "{content}").unwrap_or_default();
}
