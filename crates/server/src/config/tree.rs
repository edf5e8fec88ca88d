//! What a configuration says before anybody knows what it means: a tree of values, each with the place that it comes from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table: keys and their values.
pub(crate) type Table = BTreeMap<String, Node>;

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// A value of TOML, of JSON, or of an environment variable.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Date(String),
    Array(Vec<Node>),
    Table(Table),
}

/// Where a value comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// Nowhere: the key is not set.
    #[default]
    Unset,
    /// This line of the file.
    Line(usize),
    /// The environment variable of this name.
    Variable(Arc<str>),
    /// The command line option of this name.
    Flag(&'static str),
}

impl Value {
    /// What it is, with its article.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number with a fraction",
            Self::Bool(_) => "a boolean",
            Self::Date(_) => "a date",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Node {
    /// As plain JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Text(text) | Value::Date(text) => text.as_str().into(),
            Value::Integer(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Bool(value) => (*value).into(),
            Value::Array(items) => items.iter().map(Self::to_json).collect(),
            Value::Table(table) => {
                serde_json::Value::Object(table.iter().map(|(key, node)| (key.clone(), node.to_json())).collect())
            }
        }
    }

    /// From plain JSON.
    fn from_json(json: serde_json::Value, origin: &Origin) -> Self {
        let value = match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(value),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(value) => Value::Integer(value),
                None => Value::Float(number.as_f64().unwrap_or(f64::MAX)),
            },
            serde_json::Value::String(text) => Value::Text(text),
            serde_json::Value::Array(items) => {
                Value::Array(items.into_iter().map(|item| Self::from_json(item, origin)).collect())
            }
            serde_json::Value::Object(members) => {
                Value::Table(members.into_iter().map(|(key, item)| (key, Self::from_json(item, origin))).collect())
            }
        };
        Self { value, origin: origin.clone() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => Ok(()),
            Self::Line(line) => write!(f, "line {line}"),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Reads a TOML document.
///
/// # Errors
///
/// It is not TOML; the text shows the line.
pub(crate) fn parse_toml(text: &str) -> Result<Table, String> {
    let lines = Lines::of(text);
    let document = DeTable::parse(text).map_err(|error| match first_of_two(text, &error) {
        Some(at) => format!("{}\nthe first is in line {}", error.to_string().trim_end(), lines.number(at)),
        None => error.to_string(),
    })?;
    Ok(table_of(document.into_inner(), &|at| Origin::Line(lines.number(at))))
}

/// Where the first of two equal keys is, if the second is what is wrong.
fn first_of_two(text: &str, error: &toml::de::Error) -> Option<usize> {
    let second = error.span().filter(|_| error.message().contains("duplicate key"))?;
    let name = text.get(second.clone())?.trim_matches(['"', '\'']);
    // In what is before the second, so that it does not take the place of the first.
    let (table, _) = DeTable::parse_recoverable(text.get(..second.start)?);
    let mut places = Vec::new();
    find(table.get_ref(), name, &mut places);
    let header = |at: usize| {
        let line = text.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
        let line = text.get(line..)?.lines().next()?.split('#').next()?;
        line.trim_start().starts_with('[').then(|| line.replace([' ', '\t'], ""))
    };
    let here = header(second.start);
    places.retain(|at| header(*at) == here);
    places.into_iter().max()
}

/// Where in the text a key is, in this table and all below.
fn find(table: &DeTable<'_>, name: &str, places: &mut Vec<usize>) {
    for (key, value) in table {
        if key.get_ref() == name {
            places.push(key.span().start);
        }
        find_in(value.get_ref(), name, places);
    }
}

fn find_in(value: &DeValue<'_>, name: &str, places: &mut Vec<usize>) {
    match value {
        DeValue::Table(table) => find(table, name, places),
        DeValue::Array(items) => items.iter().for_each(|item| find_in(item.get_ref(), name, places)),
        _ => {}
    }
}

/// Reads a value that is written as JSON or TOML, on its own.
///
/// # Errors
///
/// It is neither.
pub(crate) fn parse_value(text: &str, origin: &Origin) -> Result<Node, String> {
    if let Ok(json) = serde_json::from_str(text) {
        return Ok(Node::from_json(json, origin));
    }
    let document = format!("value = {}", text.trim());
    let parsed = DeTable::parse(&document).map_err(|error| error.message().to_owned())?;
    let mut table = table_of(parsed.into_inner(), &|_| origin.clone());
    match table.remove("value") {
        Some(node) if table.is_empty() => Ok(node),
        _ => Err("expected one value".to_owned()),
    }
}

/// Where each line of a text begins.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    fn number(&self, at: usize) -> usize {
        self.0.partition_point(|&end| end < at) + 1
    }
}

fn table_of(table: DeTable<'_>, place: &dyn Fn(usize) -> Origin) -> Table {
    let entries = table.into_iter().map(|(key, value)| {
        let origin = place(key.span().start);
        let node = Node { value: value_of(value, place), origin };
        (key.into_inner().into_owned(), node)
    });
    entries.collect()
}

fn value_of(value: Spanned<DeValue<'_>>, place: &dyn Fn(usize) -> Origin) -> Value {
    match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) => Value::Integer(value),
            Err(_) => Value::Float(f64::MAX),
        },
        DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Value::Bool(value),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(items) => {
            let nodes = items.into_iter().map(|item| {
                let origin = place(item.span().start);
                Node { value: value_of(item, place), origin }
            });
            Value::Array(nodes.collect())
        }
        DeValue::Table(table) => Value::Table(table_of(table, place)),
    }
}
