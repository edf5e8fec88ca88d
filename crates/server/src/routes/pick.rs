//! Takes one value out of JSON text without building the rest of it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The string or whole number at the end of `keys`, in the JSON value with which the text begins. As in JavaScript, the last of
/// equal keys counts.
///
/// # Errors
///
/// It is in what serde_json does not read and JavaScript does: a key or name with half of a surrogate pair, a number out of range.
pub(super) fn pick(text: &str, keys: &[String]) -> Result<Option<String>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Pick(keys).deserialize(&mut deserializer)
}

struct Pick<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Pick<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pick<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _value: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _value: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let (key, rest) = self.0.split_first().map_or((None, self.0), |(key, rest)| (Some(key.as_str()), rest));
        while let Some(is_ours) = members.next_key_seed(Is(key))? {
            if is_ours {
                found = members.next_value_seed(Pick(rest))?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a key is this one.
struct Is<'a>(Option<&'a str>);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(self.0 == Some(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(text: &str, path: &str) -> Option<String> {
        let keys: Vec<_> = path.split('.').filter(|key| !key.is_empty()).map(str::to_owned).collect();
        pick(text, &keys).ok().flatten()
    }

    #[test]
    fn a_value_is_found_by_its_keys() {
        let text = r#"{"a":[1,{"room":"no"}],"room":"ä\n","n":{"m":-7,"room":1.5},"t":true,"z":null},"next",5"#;
        assert_eq!(picked(text, "room").as_deref(), Some("ä\n"));
        assert_eq!(picked(text, "n.m").as_deref(), Some("-7"));
        for path in ["", "a", "a.room", "n", "n.room", "t", "z", "missing", "room.x", "n.m.x"] {
            assert_eq!(picked(text, path), None, "{path}");
        }
        assert_eq!(picked(r#""lobby",{"x":1}"#, "").as_deref(), Some("lobby"));
        assert_eq!(picked("12", "").as_deref(), Some("12"));
        assert_eq!(picked("", ""), None);
        assert_eq!(picked("", "room"), None);
    }

    #[test]
    fn the_last_of_equal_keys_counts_as_in_javascript() {
        assert_eq!(picked(r#"{"room":"a","room":"b"}"#, "room").as_deref(), Some("b"));
        assert_eq!(picked(r#"{"room":"a","room":{}}"#, "room"), None);
        assert_eq!(picked(r#"{"room":"a","r\u006fom":"b"}"#, "room").as_deref(), Some("b"));
    }

    #[test]
    fn half_of_a_surrogate_pair_is_for_another_reader_where_it_matters() {
        assert_eq!(picked(r#"{"text":"\ud800","room":"a"}"#, "room").as_deref(), Some("a"));
        assert!(pick(r#"{"room":"\ud800"}"#, &["room".to_owned()]).is_err());
        assert!(pick(r#"{"\ud800":1,"room":"a"}"#, &["room".to_owned()]).is_err());
    }
}
