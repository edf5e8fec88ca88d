//! The configuration, in two stages: as it is written ([`raw`]), and as the server uses it ([`Config`]).
//!
//! A file of TOML, then environment variables over it ([`environment`]), then options of the command line. All that is wrong
//! is reported at once, each with its key and its place.

mod cluster;
mod environment;
mod namespaces;
mod problems;
mod raw;
mod reference;
mod resolve;
mod section;
mod setting;
mod tree;

use std::ffi::OsString;
use std::path::Path;

pub(crate) use namespaces::{EventRule, NamespaceName, NamespaceRule, OWN_EVENTS, RelayRule, RouteRule};
pub(crate) use raw::{LogFormat, UnknownEvents};
pub(crate) use reference::reference;
pub(crate) use resolve::{Config, Log, Tls};

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
    let mut table = parse_toml(text).map_err(|error| vec![format!("{name}: {}", error.trim_end())])?;
    let mut problems = Problems::new(name.as_str());
    environment::overlay(&mut table, RawConfig::SCHEMA, variables, &mut problems);
    let host = flags.host.map(|host| ("host", Value::Text(host), "--host"));
    let port = flags.port.map(|port| ("port", Value::Integer(port.into()), "--port"));
    for (key, value, flag) in host.into_iter().chain(port) {
        set_server(&mut table, key, Node { value, origin: Origin::Flag(flag) });
    }
    let raw = RawConfig::read_table(&table, "", &mut problems);
    resolve::resolve(raw, name, &mut problems).filter(|_| problems.is_empty()).ok_or_else(|| problems.lines())
}

fn read(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
    read.map_err(|error| format!("cannot read the configuration {}: {error}", path.display()))?;
    Ok(text)
}

fn set_server(table: &mut Table, key: &str, node: Node) {
    let empty = || Node { value: Value::Table(Table::new()), origin: node.origin.clone() };
    if let Value::Table(server) = &mut table.entry("server".to_owned()).or_insert_with(empty).value {
        server.insert(key.to_owned(), node);
    }
}

#[cfg(test)]
mod tests;
