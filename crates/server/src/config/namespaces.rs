//! The rules of namespaces and events, checked.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use regex::Regex;
use serde_json::json;

use super::problems::{Problems, regex_error};
use super::raw::{EventSection, NamespaceSection, RouteChoice, RouteSection, UnknownEvents};
use crate::routes::Template;

/// What clients may do in a namespace.
#[derive(Clone, Debug)]
pub(crate) struct NamespaceRule {
    pub(crate) name: NamespaceName,
    pub(crate) unknown_events: UnknownEvents,
    /// Keys of `auth` that become the client's data.
    pub(crate) auth_data: Vec<String>,
    /// Whether the members of a room are told who comes and goes.
    pub(crate) presence: bool,
    pub(crate) max_room_bytes: usize,
    pub(crate) events: Vec<EventRule>,
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
    /// How many arguments it must have.
    pub(crate) args: Option<usize>,
    /// Bytes that its arguments may have.
    pub(crate) max_bytes: Option<usize>,
    pub(crate) route: RouteRule,
}

/// Where an event goes.
#[derive(Clone, Debug)]
pub(crate) enum RouteRule {
    Broadcast(RelayRule),
    Room { room: Template, require_membership: bool, relay: RelayRule },
    Join { room: Template },
    Leave { room: Template },
    Members { room: Template, require_membership: bool, max_members: usize },
    Ack { reply: serde_json::Value },
    Refuse,
}

/// How an event is passed on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RelayRule {
    pub(crate) exclude_sender: bool,
    pub(crate) volatile: bool,
    pub(crate) append_sender: bool,
}

/// What the server's own events begin with.
pub(crate) const OWN_EVENTS: &str = "sockeye:";
/// Names that the protocol keeps for itself.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

pub(super) fn resolve_namespaces(raw: Vec<NamespaceSection>, problems: &mut Problems) -> Vec<NamespaceRule> {
    let mut names = BTreeMap::new();
    let rules = raw.into_iter().enumerate().filter_map(|(index, section)| {
        let path = format!("namespace[{index}]");
        if let Some(name) = section.name.clone().or_else(|| section.pattern.clone()) {
            refuse_second(&mut names, name, &path, &path, "namespace", problems);
        }
        namespace(section, &path, problems)
    });
    rules.collect()
}

fn namespace(raw: NamespaceSection, path: &str, problems: &mut Problems) -> Option<NamespaceRule> {
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
        events.extend(event(section, &path, problems));
    }
    Some(NamespaceRule {
        name: name?,
        unknown_events: raw.unknown_events,
        auth_data: raw.auth_data,
        presence: raw.presence,
        max_room_bytes: raw.max_room_bytes.0,
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

fn event(raw: &EventSection, path: &str, problems: &mut Problems) -> Option<EventRule> {
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
    let route = route(raw, path, problems);
    if problems.len() > before {
        return None;
    }
    let max_bytes = raw.max_bytes.map(|size| size.0);
    Some(EventRule { name: raw.name.clone()?, args: arguments(raw), max_bytes, route: route? })
}

/// How many arguments an event must have.
fn arguments(event: &EventSection) -> Option<usize> {
    event.args.or_else(|| event.route.as_ref().is_some_and(|route| route.append_sender).then_some(1))
}

/// The route of an event. Its table has just the keys of its kind.
fn route(event: &EventSection, path: &str, problems: &mut Problems) -> Option<RouteRule> {
    let path = format!("{path}.route");
    let Some(raw) = &event.route else {
        if !problems.is_set(&path) {
            problems.add(&path, "is missing: a table, such as { kind = \"room\", room = \"{data.room}\" }");
        }
        return None;
    };
    let Some(kind) = raw.kind else {
        let path = format!("{path}.kind");
        if !problems.is_set(&path) {
            let allowed = "\"broadcast\", \"room\", \"join\", \"leave\", \"members\", \"ack\" or \"refuse\"";
            problems.add(&path, format!("is missing: {allowed}"));
        }
        return None;
    };
    refuse_other_kinds(kind, &path, problems);
    let args = arguments(event);
    let relay =
        RelayRule { exclude_sender: raw.exclude_sender, volatile: raw.volatile, append_sender: raw.append_sender };
    let require_membership = raw.require_membership;
    match kind {
        RouteChoice::Broadcast => Some(RouteRule::Broadcast(relay)),
        RouteChoice::Ack => Some(RouteRule::Ack { reply: raw.reply.clone().unwrap_or_else(|| json!({ "ok": true })) }),
        RouteChoice::Refuse => Some(RouteRule::Refuse),
        RouteChoice::Room => {
            template(raw, args, &path, problems).map(|room| RouteRule::Room { room, require_membership, relay })
        }
        RouteChoice::Join => template(raw, args, &path, problems).map(|room| RouteRule::Join { room }),
        RouteChoice::Leave => template(raw, args, &path, problems).map(|room| RouteRule::Leave { room }),
        RouteChoice::Members => template(raw, args, &path, problems).map(|room| RouteRule::Members {
            room,
            require_membership,
            max_members: raw.max_members,
        }),
    }
}

/// Reports the keys of a route that only other kinds have.
fn refuse_other_kinds(kind: RouteChoice, path: &str, problems: &mut Problems) {
    let own: Vec<_> = ONLY_FOR.iter().filter(|(_, kinds)| kinds.contains(&kind)).map(|(key, _)| *key).collect();
    for (key, kinds) in ONLY_FOR {
        let key_path = format!("{path}.{key}");
        if problems.is_set(&key_path) && !kinds.contains(&kind) {
            let keys =
                if own.is_empty() { "no keys but kind".to_owned() } else { format!("the keys {}", own.join(", ")) };
            problems.add(&key_path, format!("is not a key of the kind \"{}\", which has {keys}", kind.as_str()));
        }
    }
}

fn template(raw: &RouteSection, args: Option<usize>, path: &str, problems: &mut Problems) -> Option<Template> {
    let path = format!("{path}.room");
    let Some(text) = &raw.room else {
        problems.add(&path, "is missing: the room, such as \"{data.room}\"");
        return None;
    };
    match Template::parse(text) {
        Ok(template) => {
            if let (Some(args), Some(last)) = (args, template.last_argument())
                && last >= args
            {
                problems.add(&path, format!("names argument {last}, and the event has {args} of them, from 0 on"));
            }
            Some(template)
        }
        Err(error) => {
            problems.add(&path, error);
            None
        }
    }
}

/// The keys of routes, each with the kinds that have it.
const ONLY_FOR: [(&str, &[RouteChoice]); 7] = {
    const ROOMS: &[RouteChoice] = &[RouteChoice::Room, RouteChoice::Join, RouteChoice::Leave, RouteChoice::Members];
    const RELAYS: &[RouteChoice] = &[RouteChoice::Broadcast, RouteChoice::Room];
    [
        ("room", ROOMS),
        ("exclude_sender", RELAYS),
        ("volatile", RELAYS),
        ("append_sender", RELAYS),
        ("require_membership", &[RouteChoice::Room, RouteChoice::Members]),
        ("max_members", &[RouteChoice::Members]),
        ("reply", &[RouteChoice::Ack]),
    ]
};
