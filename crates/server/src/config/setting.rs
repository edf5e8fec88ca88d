//! Types of settings: how each is read from a configuration, and how its default is written into the reference.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sockeye::AddressRange;

use super::moved::{moved, moved_text};
use super::problems::{Problems, nearest, one_of};
use super::tree::{Node, Table, Value};

/// What a key holds, as far as reading the environment and writing the reference must know.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Text: an environment variable is taken as it is.
    Text,
    /// Anything else: an environment variable is JSON or TOML.
    Data,
    /// A table with keys of its own.
    Table(&'static Schema),
    /// A list of such tables.
    Tables(&'static Schema),
    /// A table whose key `kind` says which of these it is.
    OneOf(&'static [OneOf]),
}

/// One kind of a table, and what it may hold.
#[derive(Debug)]
pub(crate) struct OneOf {
    /// The value of `kind`.
    pub(crate) word: &'static str,
    pub(crate) doc: &'static [&'static str],
    /// The keys besides `kind`.
    pub(crate) schema: &'static Schema,
}

/// What a table may hold.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) keys: &'static [Key],
}

/// One key of a table.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static [&'static str],
    pub(crate) kind: Kind,
    /// The default as TOML; none where the key is unset by default.
    pub(crate) default: fn() -> Option<String>,
    /// A value as TOML, for keys that are unset by default.
    pub(crate) example: &'static str,
}

impl Schema {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The nearest key to one that there is not.
    pub(crate) fn suggestion(&self, name: &str) -> String {
        match nearest(name, self.keys.iter().map(|key| key.name)) {
            Some(key) => format!("unknown key; did you mean \"{key}\"?"),
            None => {
                let names: Vec<_> = self.keys.iter().map(|key| key.name).collect();
                format!("unknown key; known here: {}", names.join(", "))
            }
        }
    }
}

/// A type that a key can have.
pub(crate) trait Setting: Sized {
    /// What a key of this type holds.
    const KIND: Kind;

    /// Reads the value; what is wrong with it is reported, and then there is none.
    fn read(node: &Node, path: &str, problems: &mut Problems) -> Option<Self>;

    /// As TOML; none where it is unset.
    fn show(&self) -> Option<String>;
}

/// A table with keys of its own. The [`section`](super::section) macro implements it.
pub(crate) trait Section: Default {
    /// What it may hold.
    const SCHEMA: &'static Schema;

    /// Reads the keys; unknown ones and wrong values are reported.
    fn read_table(table: &Table, path: &str, problems: &mut Problems) -> Self;
}

impl<T: Section> Setting for T {
    const KIND: Kind = Kind::Table(T::SCHEMA);

    fn read(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
        Some(T::read_table(table_of(node, path, problems)?, path, problems))
    }

    fn show(&self) -> Option<String> {
        Some(String::new())
    }
}

/// Reports the keys of a table that the schema does not know.
pub(crate) fn refuse_unknown(table: &Table, schema: &Schema, path: &str, problems: &mut Problems) {
    for (name, node) in table {
        if schema.key(name).is_none() {
            let path = join(path, name);
            let text = moved(&path).map_or_else(|| schema.suggestion(name), |new| format!("is now {new}"));
            problems.add_at(&path, node.origin.clone(), text);
        }
    }
}

/// The path of a key in a table.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Reports a value that is not what it should be.
fn refuse<T>(node: &Node, path: &str, problems: &mut Problems, allowed: &str, found: &Value) -> Option<T> {
    problems.add_at(path, node.origin.clone(), format!("must be {allowed}, not {}", shown(found)));
    None
}

/// A value in a message.
fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) if text.len() <= 60 => format!("{text:?}"),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) if value.abs() < 1e9 => value.to_string(),
        Value::Bool(value) => value.to_string(),
        other => other.describe().to_owned(),
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Setting for $type {
            const KIND: Kind = Kind::Data;

            fn read(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
                if let Value::Integer(value) = &node.value
                    && let Ok(value) = Self::try_from(*value)
                {
                    return Some(value);
                }
                let allowed = match u64::try_from(Self::MAX) {
                    Ok(most) if most <= u64::from(u32::MAX) => format!("a whole number from 0 to {most}"),
                    _ => "a whole number, 0 or more".to_owned(),
                };
                refuse(node, path, problems, &allowed, &node.value)
            }

            fn show(&self) -> Option<String> {
                Some(grouped(&self.to_string()))
            }
        }
    )*};
}
integers!(u16, u32, usize);

/// `1000000` as `1_000_000`.
fn grouped(digits: &str) -> String {
    if digits.len() <= 4 {
        return digits.to_owned();
    }
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

impl Setting for bool {
    const KIND: Kind = Kind::Data;

    fn read(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
        match node.value {
            Value::Bool(value) => Some(value),
            ref other => refuse(node, path, problems, "true or false", other),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for String {
    const KIND: Kind = Kind::Text;

    fn read(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Text(text) => Some(text.clone()),
            other => refuse(node, path, problems, "a string", other),
        }
    }

    fn show(&self) -> Option<String> {
        Some(toml::Value::from(self.as_str()).to_string())
    }
}

impl Setting for PathBuf {
    const KIND: Kind = Kind::Text;

    fn read(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Text(text) if !text.is_empty() => Some(Self::from(text)),
            other => refuse(node, path, problems, "the path of a file or folder", other),
        }
    }

    fn show(&self) -> Option<String> {
        Some(toml::Value::from(self.to_string_lossy().into_owned()).to_string())
    }
}

impl Setting for SocketAddr {
    const KIND: Kind = Kind::Text;

    fn read(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
        let allowed = "an IP address and a port, such as \"10.0.0.7:3001\"";
        match &node.value {
            Value::Text(text) if text.parse::<Self>().is_ok() => text.parse().ok(),
            other => refuse(node, path, problems, allowed, other),
        }
    }

    fn show(&self) -> Option<String> {
        Some(toml::Value::from(self.to_string()).to_string())
    }
}

impl Setting for AddressRange {
    const KIND: Kind = Kind::Text;

    fn read(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
        let allowed = "an IP address, or a range such as \"10.0.0.0/8\"";
        match &node.value {
            Value::Text(text) if text.parse::<Self>().is_ok() => text.parse().ok(),
            other => refuse(node, path, problems, allowed, other),
        }
    }

    fn show(&self) -> Option<String> {
        Some(toml::Value::from(self.to_string()).to_string())
    }
}

impl Setting for Duration {
    const KIND: Kind = Kind::Text;

    fn read(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
        if let Value::Text(text) = &node.value
            && let Ok(duration) = humantime::parse_duration(text)
            && duration <= MAX_DURATION
        {
            return Some(duration);
        }
        let allowed = "a duration with its unit, such as \"25s\", \"500ms\" or \"2m\" (a year at most)";
        refuse(node, path, problems, allowed, &node.value)
    }

    fn show(&self) -> Option<String> {
        Some(format!("\"{}\"", humantime::format_duration(*self).to_string().replace(' ', "")))
    }
}

/// Longer ones are surely not meant, and would overflow where they are added up.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 3600);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) usize);

/// Units of sizes, the longest name first.
const UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let unit = UNITS.iter().find_map(|(name, bytes)| {
            let at = text.len().checked_sub(name.len())?;
            let (number, tail) = text.split_at_checked(at)?;
            tail.eq_ignore_ascii_case(name).then_some((number, *bytes))
        });
        let (number, bytes) = unit.unwrap_or((text, 1));
        let number: u64 = number.trim().replace('_', "").parse().ok()?;
        usize::try_from(number.checked_mul(bytes)?).ok().map(Self)
    }
}

impl Setting for Size {
    const KIND: Kind = Kind::Text;

    fn read(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
        let size = match &node.value {
            Value::Integer(value) => usize::try_from(*value).ok().map(Self),
            Value::Text(text) => Self::parse(text),
            _ => None,
        };
        let allowed = "a number of bytes, such as 65536, \"64KiB\" or \"1MB\"";
        size.or_else(|| refuse(node, path, problems, allowed, &node.value))
    }

    fn show(&self) -> Option<String> {
        let bytes = self.0 as u64;
        let unit = [2, 1, 0, 5, 4, 3]
            .into_iter()
            .filter_map(|at| UNITS.get(at))
            .find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
        Some(match unit {
            Some((name, unit)) => format!("\"{}{name}\"", bytes / unit),
            None => grouped(&bytes.to_string()),
        })
    }
}

/// Any JSON value.
impl Setting for serde_json::Value {
    const KIND: Kind = Kind::Data;

    fn read(node: &Node, _path: &str, _problems: &mut Problems) -> Option<Self> {
        Some(node.to_json())
    }

    fn show(&self) -> Option<String> {
        toml::Value::try_from(self).ok().map(|value| value.to_string())
    }
}

impl<T: Setting> Setting for Option<T> {
    const KIND: Kind = T::KIND;

    fn read(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
        T::read(node, path, problems).map(Some)
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }
}

impl<T: Setting> Setting for Vec<T> {
    const KIND: Kind = match T::KIND {
        Kind::Table(schema) => Kind::Tables(schema),
        _ => Kind::Data,
    };

    fn read(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
        let Value::Array(items) = &node.value else {
            return refuse(node, path, problems, "a list, such as [\"a\", \"b\"]", &node.value);
        };
        let read = items.iter().enumerate().map(|(index, item)| {
            let path = format!("{path}[{index}]");
            problems.set(&path, &item.origin);
            T::read(item, &path, problems)
        });
        // All are read, so that all that is wrong is reported.
        let read: Vec<_> = read.collect();
        read.into_iter().collect()
    }

    fn show(&self) -> Option<String> {
        let items: Option<Vec<_>> = self.iter().map(T::show).collect();
        items.map(|items| format!("[{}]", items.join(", ")))
    }
}

/// The keys of a table; none if it is something else.
fn table_of<'a>(node: &'a Node, path: &str, problems: &mut Problems) -> Option<&'a Table> {
    match &node.value {
        Value::Table(table) => Some(table),
        Value::Text(text) => {
            let now = moved_text(path, text);
            let now = now.unwrap_or_else(|| format!("must be a table, not {}", shown(&node.value)));
            problems.add_at(path, node.origin.clone(), now);
            None
        }
        other => refuse(node, path, problems, "a table", other),
    }
}

/// Reads which kind of a table it is; the rest is its keys. Keys that only other kinds have are reported, and left out.
pub(crate) fn read_kind(
    kinds: &'static [OneOf],
    node: &Node,
    path: &str,
    problems: &mut Problems,
) -> Option<(&'static str, Table)> {
    let mut table = table_of(node, path, problems)?.clone();
    let kind_path = join(path, KIND_KEY);
    let Some(kind) = table.remove(KIND_KEY) else {
        let words: Vec<_> = kinds.iter().map(|kind| kind.word).collect();
        problems.add(&kind_path, format!("is missing: {}", one_of(&words)));
        return None;
    };
    problems.set(&kind_path, &kind.origin);
    let choices: Vec<_> = kinds.iter().map(|kind| (kind.word, kind)).collect();
    let kind = read_choice(&choices, &kind, &kind_path, problems)?;
    let is_of_others =
        |name: &str| kind.schema.key(name).is_none() && kinds.iter().any(|other| other.schema.key(name).is_some());
    table.retain(|name, node| {
        let is_wrong = is_of_others(name);
        if is_wrong {
            let own: Vec<_> = kind.schema.keys.iter().map(|key| key.name).collect();
            let own = if own.is_empty() { "no keys but kind".into() } else { format!("the keys {}", own.join(", ")) };
            let text = format!("is not a key of the kind \"{}\", which has {own}", kind.word);
            problems.add_at(&join(path, name), node.origin.clone(), text);
        }
        !is_wrong
    });
    Some((kind.word, table))
}

/// The key that says which kind of a table it is.
pub(crate) const KIND_KEY: &str = "kind";

/// Reads one of a few words.
pub(crate) fn read_choice<T: Copy>(
    choices: &[(&str, T)],
    node: &Node,
    path: &str,
    problems: &mut Problems,
) -> Option<T> {
    if let Value::Text(text) = &node.value
        && let Some((_, choice)) = choices.iter().find(|(name, _)| name == text)
    {
        return Some(*choice);
    }
    let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
    let meant = match &node.value {
        Value::Text(text) => nearest(text, names.iter().copied()),
        _ => None,
    };
    let hint = meant.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default();
    problems.add_at(path, node.origin.clone(), format!("must be {}, not {}{hint}", one_of(&names), shown(&node.value)));
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::Origin;

    fn read<T: Setting>(value: Value) -> Result<T, String> {
        let mut problems = Problems::new("x");
        let node = Node { value, origin: Origin::Unset };
        T::read(&node, "key", &mut problems).ok_or_else(|| problems.to_string())
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn sizes_have_units_and_are_written_with_the_largest_that_fits() {
        for (written, bytes) in [("1MB", 1_000_000), ("64KiB", 65536), ("5 kb", 5000), ("1_000", 1000), ("7B", 7)] {
            assert_eq!(read::<Size>(text(written)), Ok(Size(bytes)), "{written}");
        }
        for wrong in ["", "MB", "-1", "1.5MB", "1TB", "99999999999GiB"] {
            assert!(read::<Size>(text(wrong)).is_err(), "{wrong}");
        }
        let shown: Vec<_> = [4 << 20, 1_000_000, 1024, 100, 0].map(|bytes| Size(bytes).show().unwrap()).into();
        assert_eq!(shown, ["\"4MiB\"", "\"1MB\"", "\"1KiB\"", "100", "0"]);
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(read::<Duration>(text("500ms")), Ok(Duration::from_millis(500)));
        assert_eq!(read::<Duration>(text("2m")), Ok(Duration::from_secs(120)));
        let error = read::<Duration>(Value::Integer(25)).unwrap_err();
        assert!(error.starts_with("key: must be a duration with its unit") && error.ends_with("not 25"), "{error}");
        assert!(read::<Duration>(text("9999999999years")).is_err());
        assert_eq!(Duration::from_secs(120).show().as_deref(), Some("\"2m\""));
    }

    #[test]
    fn numbers_say_their_range() {
        assert_eq!(
            read::<u16>(Value::Integer(70000)),
            Err("key: must be a whole number from 0 to 65535, not 70000".into())
        );
        assert_eq!(read::<usize>(text("7")), Err("key: must be a whole number, 0 or more, not \"7\"".into()));
        assert_eq!(1_000_000_usize.show().as_deref(), Some("1_000_000"));
    }

    #[test]
    fn every_wrong_item_of_a_list_is_reported() {
        let items = [Value::Integer(1), text("a"), Value::Bool(true)];
        let nodes = items.map(|value| Node { value, origin: Origin::Unset }).into();
        let error = read::<Vec<String>>(Value::Array(nodes)).unwrap_err();
        assert_eq!(error, "key[0]: must be a string, not 1\nkey[2]: must be a string, not true");
    }
}
