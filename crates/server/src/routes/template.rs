//! Names of rooms as templates: text with places that an event, or its sender, fills in.

use std::fmt;

use sockeye::{Args, EventContext, Socket, Value};

use super::pick::pick;

/// A template, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A value in an argument, by its keys; without keys the argument itself.
    Argument(usize, Vec<String>),
    SocketId,
    SocketData(String),
}

/// A place that could not be filled in: the event, or the sender's data, has no string or whole number there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfilled(String);

impl fmt::Display for Unfilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be a string or a whole number", self.0)
    }
}

impl Template {
    /// Parses the text of a template.
    ///
    /// # Errors
    ///
    /// A brace without its partner, or a place that there is not; the text says what is allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
            literal.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                literal.extend(from.chars().next());
                rest = after;
                continue;
            }
            let place = from.strip_prefix('{').ok_or("has a } without its {; write }} for a brace")?;
            let (place, after) = place.split_once('}').ok_or("has a { without its }; write {{ for a brace")?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::parse(place)?);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        if parts.is_empty() {
            return Err("must name a room".to_owned());
        }
        Ok(Self(parts))
    }

    /// The highest argument that it names, counted from 0.
    pub(crate) fn last_argument(&self) -> Option<usize> {
        let arguments = self.0.iter().filter_map(|part| match part {
            Part::Argument(index, _) => Some(*index),
            _ => None,
        });
        arguments.max()
    }

    /// Fills in the places.
    pub(crate) fn fill(&self, context: &EventContext) -> Result<String, Unfilled> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::SocketId => text.push_str(context.socket().id()),
                Part::Argument(index, keys) => {
                    let value = argument(context.args(), *index, keys);
                    text.push_str(&value.ok_or_else(|| Unfilled(part.to_string()))?);
                }
                Part::SocketData(key) => {
                    let value = socket_data(context.socket(), key);
                    text.push_str(&value.ok_or_else(|| Unfilled(part.to_string()))?);
                }
            }
        }
        Ok(text)
    }
}

impl Part {
    fn parse(place: &str) -> Result<Self, String> {
        let mut keys = place.split('.').map(str::to_owned);
        let root = keys.next().unwrap_or_default();
        let keys: Vec<_> = keys.collect();
        let part = match (root.as_str(), keys.as_slice()) {
            ("data", keys) => Some(Self::Argument(0, keys.to_vec())),
            ("args", [index, keys @ ..]) => index
                .parse()
                .ok()
                .filter(|index| *index < MAX_ARGUMENTS)
                .map(|index| Self::Argument(index, keys.to_vec())),
            ("socket", [id]) if id == "id" => Some(Self::SocketId),
            ("socket", [data, key]) if data == "data" => Some(Self::SocketData(key.clone())),
            _ => None,
        };
        let has_gap = place.split('.').any(str::is_empty);
        part.filter(|_| !has_gap).ok_or_else(|| {
            format!(
                "has the unknown place {{{place}}}; there are {{data}}, {{data.key}}, {{args.1}}, {{args.1.key}}, \
                     {{socket.id}} and {{socket.data.key}}"
            )
        })
    }
}

/// As it is written in the configuration.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            place => write!(f, "{{{place}}}"),
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Argument(0, keys) if keys.is_empty() => f.write_str("data"),
            Self::Argument(0, keys) => write!(f, "data.{}", keys.join(".")),
            Self::Argument(index, keys) => {
                write!(f, "args.{index}")?;
                keys.iter().try_for_each(|key| write!(f, ".{key}"))
            }
            Self::SocketId => f.write_str("socket.id"),
            Self::SocketData(key) => write!(f, "socket.data.{key}"),
        }
    }
}

/// Arguments that a place can name.
const MAX_ARGUMENTS: usize = 16;

fn argument(args: &Args, index: usize, keys: &[String]) -> Option<String> {
    // The text of the first argument is there already; the others must be looked for, and what only JavaScript reads.
    if index == 0
        && let Ok(found) = pick(args.json_elements(), keys)
    {
        return found;
    }
    let values = args.to_values().ok()?;
    let mut value = values.get(index)?;
    for key in keys {
        value = value.get(key)?;
    }
    match value {
        Value::String(text) => Some(text.to_string()),
        Value::Number(_) => value.as_i64().map(|number| number.to_string()),
        _ => None,
    }
}

fn socket_data(socket: &Socket, key: &str) -> Option<String> {
    match socket.data::<serde_json::Value>(key)? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => number.as_i64().map(|number| number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_text_are_told_apart() {
        let template = Template::parse("a:{data.room}-{args.1}{{x}}{socket.data.team}").unwrap();
        let expected = [
            Part::Text("a:".into()),
            Part::Argument(0, vec!["room".into()]),
            Part::Text("-".into()),
            Part::Argument(1, vec![]),
            Part::Text("{x}".into()),
            Part::SocketData("team".into()),
        ];
        assert_eq!(template.0, expected);
        assert_eq!(template.last_argument(), Some(1));
        assert_eq!(template.to_string(), "a:{data.room}-{args.1}{{x}}{socket.data.team}");
        assert_eq!(Template::parse("lobby").unwrap().last_argument(), None);
    }

    #[test]
    fn mistakes_say_what_is_allowed() {
        for (text, error) in [
            ("", "must name a room"),
            ("{data.room", "has a { without its }; write {{ for a brace"),
            ("x}", "has a } without its {; write }} for a brace"),
        ] {
            assert_eq!(Template::parse(text), Err(error.to_owned()));
        }
        for place in ["", "room", "data.", "data..x", "args", "args.x", "args.99", "socket", "socket.data"] {
            let error = Template::parse(&format!("{{{place}}}")).unwrap_err();
            assert!(error.starts_with(&format!("has the unknown place {{{place}}}; there are {{data}}")), "{error}");
        }
    }
    #[test]
    fn half_of_a_surrogate_pair_in_an_argument_is_text() {
        let array = r#"[{"room":"r\ud83c","\ud83c":"other","far":1e400},"\ud83c"]"#;
        let args = Args::from_json_array(&array.into(), Vec::new()).unwrap();
        let taken =
            |index, key: &str| argument(&args, index, &Vec::from_iter((!key.is_empty()).then(|| key.to_owned())));
        assert_eq!(taken(0, "room").as_deref(), Some("r\u{fffd}"));
        assert_eq!(taken(0, "\u{fffd}").as_deref(), Some("other"));
        assert_eq!(taken(1, "").as_deref(), Some("\u{fffd}"));
        assert_eq!((taken(0, "far"), taken(0, "missing")), (None, None));
    }
}
