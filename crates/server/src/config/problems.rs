//! What is wrong with a configuration: all of it at once, each with its key and its place.

use std::collections::BTreeMap;
use std::fmt;

use super::tree::Origin;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    origin: Origin,
    path: String,
    text: String,
}

/// What is wrong, and where each key was set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Problems {
    /// The file, as it is named to the user.
    file: String,
    origins: BTreeMap<String, Origin>,
    list: Vec<Problem>,
}

impl Problems {
    pub(crate) fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), ..Self::default() }
    }

    /// Remembers where a key was set.
    pub(crate) fn set(&mut self, path: &str, origin: &Origin) {
        self.origins.insert(path.to_owned(), origin.clone());
    }

    /// Whether somebody set the key.
    pub(crate) fn is_set(&self, path: &str) -> bool {
        self.origins.contains_key(path)
    }

    /// Where a key was set, as the user is told: "a.toml:7".
    pub(crate) fn place(&self, path: &str) -> String {
        self.describe(self.origins.get(path).unwrap_or(&Origin::Unset))
    }

    fn describe(&self, origin: &Origin) -> String {
        match origin {
            Origin::Line(line) => format!("{}:{line}", self.file),
            origin => origin.to_string(),
        }
    }

    /// Something is wrong with a key that may or may not be set.
    pub(crate) fn add(&mut self, path: &str, text: impl Into<String>) {
        let mut known = path;
        let origin = loop {
            if let Some(origin) = self.origins.get(known) {
                break origin.clone();
            }
            match known.rfind(['.', '[']).and_then(|end| known.get(..end)) {
                Some(parent) => known = parent,
                None => break Origin::Unset,
            }
        };
        self.add_at(path, origin, text);
    }

    /// Something is wrong at a place.
    pub(crate) fn add_at(&mut self, path: &str, origin: Origin, text: impl Into<String>) {
        self.list.push(Problem { origin, path: path.to_owned(), text: text.into() });
    }

    /// What is wrong, in the order of the file.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut list = self.list.clone();
        list.sort();
        list.dedup();
        let line = |problem: &Problem| {
            let place = match &problem.origin {
                Origin::Unset if problem.path.is_empty() => format!("{}: ", self.file),
                Origin::Unset => String::new(),
                origin => format!("{}: ", self.describe(origin)),
            };
            let path = if problem.path.is_empty() { String::new() } else { format!("{}: ", problem.path) };
            format!("{place}{path}{}", problem.text)
        };
        list.iter().map(line).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }
}

/// One line each.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

/// The known name that is most like `name`, if one is much like it.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<_> = known.into_iter().collect();
    let scored = known.iter().map(|each| (strsim::damerau_levenshtein(name, each), *each));
    let (distance, nearest) = scored.min_by_key(|(distance, _)| *distance)?;
    if distance <= (name.chars().count() / 3).clamp(1, 4) {
        return Some(nearest);
    }
    let is_part = |each: &&str| name.len() >= 4 && (each.contains(name) || name.contains(each));
    known.into_iter().find(is_part)
}

/// `"a", "b" or "c"`.
pub(crate) fn one_of(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// What is said of a time that is none.
pub(crate) const NOT_ZERO: &str = "must be greater than zero";

/// The last line of what the parser says, which tells what is wrong; the rest draws a picture.
pub(crate) fn regex_error(error: &regex::Error) -> String {
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("must be a regular expression: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_key_and_nonsense_none() {
        let known = ["host", "port", "client_dir", "shutdown_timeout"];
        assert_eq!(nearest("prot", known), Some("port"));
        assert_eq!(nearest("clientdir", known), Some("client_dir"));
        assert_eq!(nearest("shutdown", known), Some("shutdown_timeout"));
        assert_eq!(nearest("zebra", known), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn a_key_that_is_not_set_is_reported_where_its_table_is() {
        let mut problems = Problems::new("a.toml");
        problems.set("namespace[0].event[1]", &Origin::Line(9));
        problems.add("namespace[0].event[1].room", "is missing");
        problems.add("server.port", "is odd");
        assert_eq!(problems.to_string(), "server.port: is odd\na.toml:9: namespace[0].event[1].room: is missing");
    }
}
