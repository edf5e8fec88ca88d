//! Settings from the environment: `SOCKEYE__SECTION__KEY`, laid over those of the file.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use super::moved::moved;
use super::problems::{Problems, nearest};
use super::setting::{Kind, Schema};
use super::tree::{Node, Origin, Table, Value, parse_value};

/// What the names of our variables begin with.
const PREFIX: &str = "SOCKEYE__";
/// What the names begin with that are surely meant for us.
const OURS: &str = "SOCKEYE_";
/// The variable that names the file. The command line reads it.
const FILE: &str = "SOCKEYE_CONFIG";
/// What the name of a variable ends in that names a file with the value.
const FILE_SUFFIX: &str = "_file";
/// Bytes of a value that is read from a file.
const MAX_VALUE: u64 = 1 << 20;

/// Lays the variables over a table. Unknown ones, and values that cannot be read, are reported.
///
/// A variable whose name ends in `_FILE` names a file that holds the value.
pub(crate) fn overlay(
    table: &mut Table,
    schema: &'static Schema,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    problems: &mut Problems,
) {
    // In the order of their names, so that a table given as a whole comes before its keys.
    let ours: BTreeMap<_, _> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, value)| {
            name == "PORT" || (name.starts_with(OURS) && name != FILE && !is_service_link(name, value))
        })
        .collect();
    for (name, value) in ours {
        let origin = Origin::Variable(Arc::from(name.as_str()));
        let segments = match name.strip_prefix(PREFIX) {
            Some(rest) => rest.to_lowercase().split("__").map(str::to_owned).collect(),
            None if name == "PORT" => vec!["server".to_owned(), "port".to_owned()],
            None => Vec::new(),
        };
        let Ok(value) = value.into_string() else {
            problems.add_at("", origin, "is not text");
            continue;
        };
        if let Err(text) = set(table, schema, &segments, value, &origin) {
            let now = || moved(&segments.join(".")).map(|new| format!("is now {}{}", PREFIX, variable(new)));
            let text = text.or_else(now).unwrap_or_else(|| unknown(&name, schema));
            problems.add_at("", origin, text);
        }
    }
}

/// Sets one key. The error is what is wrong with the value; none if there is no such key.
fn set(
    table: &mut Table,
    schema: &'static Schema,
    segments: &[String],
    value: String,
    origin: &Origin,
) -> Result<(), Option<String>> {
    let (first, rest) = segments.split_first().ok_or(None)?;
    let Some(key) = schema.key(first) else {
        let name = first.strip_suffix(FILE_SUFFIX).filter(|_| rest.is_empty()).ok_or(None)?;
        let value = read_file(&value).map_err(Some)?;
        return set(table, schema, &[name.to_owned()], value, origin);
    };
    if let (Kind::Table(inner), false) = (key.kind, rest.is_empty()) {
        let empty = || Node { value: Value::Table(Table::new()), origin: origin.clone() };
        return match &mut table.entry(first.clone()).or_insert_with(empty).value {
            Value::Table(table) => set(table, inner, rest, value, origin),
            // The file has something else there; that is reported when it is read.
            _ => Ok(()),
        };
    }
    if !rest.is_empty() {
        return Err(None);
    }
    let text = |value| Node { value: Value::Text(value), origin: origin.clone() };
    let node = match key.kind {
        Kind::Text => text(value),
        // What cannot be read is refused where it is known what it should be.
        Kind::Data => parse_value(&value, origin).unwrap_or_else(|_| text(value)),
        Kind::Table(_) | Kind::Tables(_) | Kind::OneOf(_) => {
            parse_value(&value, origin).map_err(|error| Some(format!("must be JSON or TOML: {error}")))?
        }
    };
    table.insert(first.clone(), node);
    Ok(())
}

/// How the path of a key is written in the name of a variable.
fn variable(path: &str) -> String {
    path.replace('.', "__").to_uppercase()
}

fn read_file(path: &str) -> Result<String, String> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_VALUE).read_to_string(&mut text));
    read.map_err(|error| format!("cannot read {path:?}: {error}"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Whether Kubernetes has set it: each container gets such variables for every service of its namespace, so that one called
/// `sockeye` sets `SOCKEYE_SERVICE_HOST` and `SOCKEYE_PORT=tcp://10.0.0.7:3000`.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let is_port = |rest: &str| {
        let mut parts = rest.split('_');
        let is_number = parts.next().is_some_and(|number| number.parse::<u16>().is_ok());
        is_number && parts.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.match_indices("_PORT_").any(|(at, found)| name.get(at + found.len()..).is_some_and(is_port))
        || (name.ends_with("_PORT") && value.to_str().is_some_and(|value| value.contains("://")))
}

fn unknown(name: &str, schema: &'static Schema) -> String {
    let mut known = vec![FILE.to_owned()];
    collect(schema, PREFIX.trim_end_matches('_'), &mut known);
    // One underscore for two is the usual mistake, the section left out the next.
    let single = name.replace("__", "_");
    let key = name.trim_start_matches(OURS).trim_start_matches('_');
    let is_meant = |each: &&String| each.replace("__", "_") == single;
    let ends_in = |each: &&String| !key.is_empty() && each.strip_suffix(key).is_some_and(|rest| rest.ends_with('_'));
    let meant = known.iter().find(is_meant).or_else(|| known.iter().filter(ends_in).min_by_key(|each| each.len()));
    match meant.map(String::as_str).or_else(|| nearest(name, known.iter().map(String::as_str))) {
        Some(nearest) => format!("unknown variable; did you mean {nearest}?"),
        None => "unknown variable; `sockeye config` prints all keys: [server] port is SOCKEYE__SERVER__PORT".to_owned(),
    }
}

/// The names of all variables.
fn collect(schema: &'static Schema, prefix: &str, names: &mut Vec<String>) {
    for key in schema.keys {
        let name = format!("{prefix}__{}", key.name.to_uppercase());
        if let Kind::Table(inner) = key.kind {
            collect(inner, &name, names);
        }
        names.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw::RawConfig;
    use crate::config::setting::Section;

    fn read(toml: &str, variables: &[(&str, &str)]) -> Result<RawConfig, String> {
        let mut problems = Problems::new("a.toml");
        let mut table = super::super::tree::parse_toml(toml)?;
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        overlay(&mut table, RawConfig::SCHEMA, variables, &mut problems);
        let raw = RawConfig::read_table(&table, "", &mut problems);
        if problems.is_empty() { Ok(raw) } else { Err(problems.to_string()) }
    }

    #[test]
    fn variables_go_over_the_file_and_their_own_over_port() {
        let toml = "[server]\nport = 1\nhost = \"a\"";
        assert_eq!(read(toml, &[]).unwrap().server.port, 1);
        assert_eq!(read(toml, &[("PORT", "2")]).unwrap().server.port, 2);
        let both = read(toml, &[("PORT", "2"), ("SOCKEYE__SERVER__PORT", "3"), ("HOME", "/")]).unwrap();
        assert_eq!((both.server.port, both.server.host.as_str()), (3, "a"));
    }

    #[test]
    fn text_is_taken_as_it_is_and_the_rest_is_json_or_toml() {
        let raw = read(
            "",
            &[
                ("SOCKEYE__SERVER__HOST", "127"),
                ("SOCKEYE__ENGINE__TRANSPORTS", "[\"websocket\"]"),
                ("SOCKEYE__ENGINE__CORS", "{ origins = ['https://a'] }"),
                ("SOCKEYE__ENGINE__CORS__CREDENTIALS", "true"),
                ("SOCKEYE__ENGINE__PING_INTERVAL", "5s"),
                ("SOCKEYE__LIMITS__MAX_OUTBOX_BYTES", "64KiB"),
                ("SOCKEYE__NAMESPACE", r#"[{"name": "/", "event": [{"name": "x", "route": {"kind": "broadcast"}}]}]"#),
            ],
        )
        .unwrap();
        assert_eq!(raw.server.host, "127");
        assert_eq!(raw.engine.transports.len(), 1);
        let cors = raw.engine.cors.unwrap();
        assert_eq!((cors.origins, cors.credentials), (vec!["https://a".to_owned()], true));
        assert_eq!(raw.engine.ping_interval.as_secs(), 5);
        assert_eq!(raw.limits.max_outbox_bytes.0, 65536);
        assert_eq!(raw.namespace[0].event[0].name.as_deref(), Some("x"));
    }

    #[test]
    fn a_value_can_come_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value");
        std::fs::write(&path, "10.0.0.1\n").unwrap();
        let raw = read("", &[("SOCKEYE__SERVER__HOST_FILE", path.to_str().unwrap())]).unwrap();
        assert_eq!(raw.server.host, "10.0.0.1");
        let error = read("", &[("SOCKEYE__SERVER__HOST_FILE", "/nonexistent")]).unwrap_err();
        assert!(error.starts_with("SOCKEYE__SERVER__HOST_FILE: cannot read \"/nonexistent\""), "{error}");
    }

    #[test]
    fn mistakes_name_the_variable() {
        for (name, value, expected) in [
            (
                "SOCKEYE__SERVER__PROT",
                "1",
                "SOCKEYE__SERVER__PROT: unknown variable; did you mean SOCKEYE__SERVER__PORT?",
            ),
            ("PORT", "80x", "PORT: server.port: must be a whole number from 0 to 65535, not \"80x\""),
            ("PORT", "", "PORT: server.port: must be a whole number from 0 to 65535, not \"\""),
            (
                "SOCKEYE__ENGINE__TRANSPORTS",
                "polling",
                "SOCKEYE__ENGINE__TRANSPORTS: engine.transports: must be a list, such as [\"a\", \"b\"], not \"polling\"",
            ),
            ("SOCKEYE__NAMESPACE", "[", "SOCKEYE__NAMESPACE: must be JSON or TOML: "),
            ("PORT", "99999", "PORT: server.port: must be a whole number from 0 to 65535, not 99999"),
            ("SOCKEYE__SERVER__PORT__X", "1", "SOCKEYE__SERVER__PORT__X: unknown variable"),
            ("SOCKEYE__", "1", "SOCKEYE__: unknown variable"),
            (
                "SOCKEYE_SERVER_CLIENT_DIR",
                "x",
                "SOCKEYE_SERVER_CLIENT_DIR: unknown variable; did you mean SOCKEYE__SERVER__CLIENT_DIR?",
            ),
            ("SOCKEYE_PORT", "80", "SOCKEYE_PORT: unknown variable; did you mean SOCKEYE__SERVER__PORT?"),
            ("SOCKEYE__PORT", "80", "SOCKEYE__PORT: unknown variable; did you mean SOCKEYE__SERVER__PORT?"),
            ("SOCKEYE__CONFIG", "x", "SOCKEYE__CONFIG: unknown variable; did you mean SOCKEYE_CONFIG?"),
            ("SOCKEYE_ZEBRA", "x", "SOCKEYE_ZEBRA: unknown variable; `sockeye config` prints all keys"),
        ] {
            let error = read("", &[(name, value)]).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn variables_of_kubernetes_are_not_for_us() {
        let variables = [
            ("SOCKEYE_CONFIG", "sockeye.toml"),
            ("SOCKEYE_SERVICE_HOST", "10.0.0.7"),
            ("SOCKEYE_SERVICE_PORT", "3000"),
            ("SOCKEYE_SERVICE_PORT_HTTP", "3000"),
            ("SOCKEYE_PORT", "tcp://10.0.0.7:3000"),
            ("SOCKEYE_PORT_3000_TCP", "tcp://10.0.0.7:3000"),
            ("SOCKEYE_PORT_3000_TCP_PROTO", "tcp"),
            ("SOCKEYE_PORT_3000_TCP_PORT", "3000"),
            ("SOCKEYE_PORT_3000_TCP_ADDR", "10.0.0.7"),
            ("SOCKEYE_REDIS_PORT_6379_TCP_ADDR", "10.0.0.8"),
        ];
        assert_eq!(read("", &variables).unwrap().server.port, 3000);
    }
}
