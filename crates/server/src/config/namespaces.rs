//! The rules of namespaces and events, checked.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use regex::Regex;

use super::problems::{Problems, regex_error};
use super::raw::{EventSection, NamespaceSection, UnknownEvents};
use crate::routes::{Arguments, Chain, Check, OWN_EVENTS, Place, Shared, Size};

/// What clients may do in a namespace.
#[derive(Clone, Debug)]
pub(crate) struct NamespaceRule {
    pub(crate) name: NamespaceName,
    pub(crate) unknown_events: UnknownEvents,
    /// Keys of `auth` that become the client's data.
    pub(crate) auth_data: Vec<String>,
    pub(crate) shared: Shared,
    pub(crate) events: Vec<EventRule>,
}

impl NamespaceRule {
    /// Whether a check or a route of one of its events waits.
    pub(crate) fn may_wait(&self) -> bool {
        self.events.iter().any(|event| event.chain.may_wait())
    }
}

/// One namespace, or all that a pattern matches.
#[derive(Clone, Debug)]
pub(crate) enum NamespaceName {
    One(String),
    Pattern(Regex),
}

/// An event that clients may send.
#[derive(Clone, Debug)]
pub(crate) struct EventRule {
    pub(crate) name: String,
    pub(crate) chain: Arc<Chain>,
}

/// Names that the protocol keeps for itself.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Checks the rules. `is_clustered`: there may be other nodes.
pub(super) fn resolve_namespaces(
    raw: Vec<NamespaceSection>,
    is_clustered: bool,
    problems: &mut Problems,
) -> Vec<NamespaceRule> {
    let mut names = BTreeMap::new();
    let rules = raw.into_iter().enumerate().filter_map(|(index, section)| {
        let path = format!("namespace[{index}]");
        if let Some(name) = section.name.clone().or_else(|| section.pattern.clone()) {
            refuse_second(&mut names, name, &path, &path, "namespace", problems);
        }
        namespace(section, is_clustered, &path, problems)
    });
    rules.collect()
}

fn namespace(raw: NamespaceSection, is_clustered: bool, path: &str, problems: &mut Problems) -> Option<NamespaceRule> {
    let name = match (raw.name, raw.pattern) {
        (Some(name), None) => {
            if !name.starts_with('/') || name.contains([',', '?']) {
                let text = "must begin with a slash, and hold neither commas nor question marks, such as \"/chat\"";
                problems.add(&format!("{path}.name"), text);
            }
            Some(NamespaceName::One(name))
        }
        (None, Some(pattern)) => match Regex::new(&pattern) {
            Ok(pattern) => Some(NamespaceName::Pattern(pattern)),
            Err(error) => {
                problems.add(&format!("{path}.pattern"), regex_error(&error));
                None
            }
        },
        (Some(_), Some(_)) => {
            problems.add(path, "has both name and pattern; one of them must go");
            None
        }
        (None, None) => {
            problems.add(path, "must have a name, such as \"/\", or a pattern");
            None
        }
    };
    if raw.max_room_bytes.0 == 0 || raw.max_room_bytes.0 > MAX_ROOM_BYTES {
        problems.add(&format!("{path}.max_room_bytes"), format!("must be from 1 to {MAX_ROOM_BYTES}"));
    }
    for (index, _) in raw.auth_data.iter().enumerate().filter(|(_, key)| key.is_empty()) {
        problems.add(&format!("{path}.auth_data[{index}]"), "must be the name of a key");
    }
    let mut names = BTreeMap::new();
    let mut events = Vec::new();
    for (index, section) in raw.event.iter().enumerate() {
        let path = format!("{path}.event[{index}]");
        if let Some(name) = section.name.clone() {
            refuse_second(&mut names, name, &path, &format!("{path}.name"), "event", problems);
        }
        events.extend(event(section, is_clustered, &path, problems));
    }
    Some(NamespaceRule {
        name: name?,
        unknown_events: raw.unknown_events,
        auth_data: raw.auth_data,
        shared: Shared { presence: raw.presence, max_room_bytes: raw.max_room_bytes.0 },
        events,
    })
}

/// Reports a second table for a name, with the place of the first. `names` has the path of the table for each name so far.
fn refuse_second(
    names: &mut BTreeMap<String, String>,
    name: String,
    table: &str,
    path: &str,
    kind: &str,
    problems: &mut Problems,
) {
    match names.entry(name) {
        Entry::Vacant(entry) => drop(entry.insert(table.to_owned())),
        Entry::Occupied(entry) => {
            let (name, first) = (entry.key(), entry.get());
            let text =
                format!("is a second table for the {kind} {name:?}; the first is {first}, {}", problems.place(first));
            problems.add(path, text);
        }
    }
}

/// The longest name of a room that can be asked for.
const MAX_ROOM_BYTES: usize = 4096;

fn event(raw: &EventSection, is_clustered: bool, path: &str, problems: &mut Problems) -> Option<EventRule> {
    let before = problems.len();
    match &raw.name {
        None => problems.add(&format!("{path}.name"), "is missing: the name of an event"),
        Some(name) if RESERVED.contains(&name.as_str()) => {
            problems.add(&format!("{path}.name"), format!("\"{name}\" is a name that the protocol keeps for itself"));
        }
        Some(name) if name.starts_with(OWN_EVENTS) => {
            problems.add(
                &format!("{path}.name"),
                format!("must not begin with \"{OWN_EVENTS}\": those come from the server"),
            );
        }
        Some(_) => {}
    }
    let chain = chain(raw, is_clustered, path, problems);
    if problems.len() > before {
        return None;
    }
    Some(EventRule { name: raw.name.clone()?, chain: Arc::new(chain?) })
}

/// What happens with an event: what does not depend on its route is checked first.
fn chain(event: &EventSection, is_clustered: bool, path: &str, problems: &mut Problems) -> Option<Chain> {
    let path = format!("{path}.route");
    let Some(route) = &event.route else {
        if !problems.is_set(&path) {
            problems.add(&path, "is missing: a table, such as { kind = \"room\", room = \"{data.room}\" }");
        }
        return None;
    };
    let kind = route.get();
    let args = event.args.or_else(|| kind.args());
    let chain = kind.resolve(&mut Place { path: &path, args, is_clustered, problems })?;
    let mut checks: Vec<Box<dyn Check>> = Vec::new();
    checks.extend(args.map(|count| Box::new(Arguments(count)) as Box<dyn Check>));
    checks.extend(event.max_bytes.map(|bytes| Box::new(Size(bytes.0)) as Box<dyn Check>));
    Some(chain.after(checks))
}
