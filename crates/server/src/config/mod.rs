//! The configuration, in two stages: as it is written ([`raw`]), and as the server uses it ([`Config`]).
//!
//! A file of TOML, then environment variables over it ([`environment`]), then options of the command line. All that is wrong
//! is reported at once, each with its key and its place.

mod cluster;
mod environment;
mod moved;
mod namespaces;
pub(crate) mod problems;
mod raw;
mod reference;
mod resolve;
pub(crate) mod section;
pub(crate) mod setting;
mod tls;
pub(crate) mod tree;

use std::ffi::OsString;
use std::path::Path;

pub(crate) use namespaces::{NamespaceName, NamespaceRule};
pub(crate) use raw::{LogFormat, UnknownEvents};
pub(crate) use reference::reference;
pub(crate) use resolve::{Admin, Config, Log};
pub(crate) use tls::Tls;

use crate::backend::{self, Emitter};
use problems::Problems;
use raw::RawConfig;
use setting::Section;
use tree::{Node, Origin, Table, Value, parse_toml};

/// The chat, which is what the server is when no file says otherwise.
pub(crate) const CHAT: &str = include_str!("../chat.toml");

/// Bytes of a configuration file.
const MAX_FILE: u64 = 16 << 20;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
}

/// Loads the configuration of a file, or of the chat, with the environment and the command line over it.
///
/// # Errors
///
/// All that is wrong.
pub(crate) fn load(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    flags: Flags,
) -> Result<Config, Vec<String>> {
    let (name, text) = match file {
        Some(path) => (path.display().to_string(), read(path).map_err(|error| vec![error])?),
        None => ("the built-in chat".to_owned(), CHAT.to_owned()),
    };
    parse(name, &text, variables, flags)
}

fn parse(
    name: String,
    text: &str,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    flags: Flags,
) -> Result<Config, Vec<String>> {
    let mut problems = Problems::new(name.as_str());
    let host = flags.host.map(|host| (&["server", "host"][..], Value::Text(host), "--host"));
    let port = flags.port.map(|port| (&["server", "port"][..], Value::Integer(port.into()), "--port"));
    let raw = read_raw(text, variables, host.into_iter().chain(port), &mut problems)
        .map_err(|error| vec![format!("{name}: {error}")])?;
    resolve::resolve(raw, name, &mut problems).filter(|_| problems.is_empty()).ok_or_else(|| problems.lines())
}

/// Loads what sends to the cluster of a configuration, with the environment and the command line over it: of the other tables, only
/// the names are checked. None if there is no `[cluster]`. Without a file, the rest is enough.
///
/// # Errors
///
/// All that is wrong.
pub(crate) fn load_emitter(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    flags: impl IntoIterator<Item = (&'static [&'static str], String, &'static str)>,
) -> Result<Option<Box<dyn Emitter>>, Vec<String>> {
    let name = file.map_or_else(|| "no configuration".to_owned(), |path| path.display().to_string());
    let text = file.map_or_else(|| Ok(String::new()), read).map_err(|error| vec![error])?;
    let flags = flags.into_iter().map(|(key, value, flag)| (key, Value::Text(value), flag));
    let mut problems = Problems::new(name.as_str());
    let raw = read_raw(&text, variables, flags, &mut problems).map_err(|error| vec![format!("{name}: {error}")])?;
    let emitter = raw.cluster.map(|section| backend::emitter(&section, &mut problems));
    if problems.is_empty() { Ok(emitter.flatten()) } else { Err(problems.lines()) }
}

/// Reads a text, with the environment over it, and over that options of the command line, each with the path of its key. The error is
/// one of the text.
fn read_raw(
    text: &str,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    flags: impl Iterator<Item = (&'static [&'static str], Value, &'static str)>,
    problems: &mut Problems,
) -> Result<RawConfig, String> {
    let mut table = parse_toml(text).map_err(|error| error.trim_end().to_owned())?;
    environment::overlay(&mut table, RawConfig::SCHEMA, variables, problems);
    for (path, value, flag) in flags {
        set(&mut table, path, Node { value, origin: Origin::Flag(flag) });
    }
    Ok(RawConfig::read_table(&table, "", problems))
}

fn read(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
    read.map_err(|error| format!("cannot read the configuration {}: {error}", path.display()))?;
    Ok(text)
}

fn set(table: &mut Table, path: &[&str], node: Node) {
    match path {
        [] => {}
        [key] => drop(table.insert((*key).to_owned(), node)),
        [section, rest @ ..] => {
            let empty = || Node { value: Value::Table(Table::new()), origin: node.origin.clone() };
            if let Value::Table(section) = &mut table.entry((*section).to_owned()).or_insert_with(empty).value {
                set(section, rest, node);
            }
        }
    }
}

/// The rules of a text, for tests.
#[cfg(test)]
pub(crate) fn rules(text: &str) -> Vec<NamespaceRule> {
    parse("a.toml".to_owned(), text, [], Flags::default()).map(|config| config.namespaces).unwrap_or_default()
}

#[cfg(test)]
mod tests;
