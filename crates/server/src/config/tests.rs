//! Tests of whole configurations: what is wrong is named, and nothing that the library can do is forgotten.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sockeye::{Limits, Options};

use super::setting::{Kind, Schema};
use super::*;

fn load_text(text: &str) -> Result<Config, Vec<String>> {
    parse("a.toml".to_owned(), text, [], Flags::default())
}

fn problems(text: &str) -> String {
    match load_text(text) {
        Ok(_) => "nothing is wrong".to_owned(),
        Err(problems) => problems.join("\n"),
    }
}

#[test]
fn every_mistake_is_named_with_its_key_and_its_line() {
    for (text, expected) in [
        ("sever = 1", "a.toml:1: sever: unknown key; did you mean \"server\"?"),
        ("[server]\nprot = 1", "a.toml:2: server.prot: unknown key; did you mean \"port\"?"),
        (
            "[cluster]\nadapter = \"redis-native\"",
            "a.toml:1: cluster.redis.url: is missing: such as \"redis://127.0.0.1:6379\"",
        ),
        (
            "[cluster]\n[cluster.redis]\nurl = \"redis://127.0.0.1\"",
            "a.toml:1: cluster.adapter: is missing: \"redis\", \"redis-sharded\", \"redis-streams\", \"redis-native\", \"nats\" or \"nats-jetstream\"",
        ),
        (
            "[cluster]\nadapter = \"redis\"\nurl = \"redis://x\"\n[cluster.redis]\nurl = \"redis://x\"",
            "a.toml:3: cluster.url: is now cluster.redis.url",
        ),
        (
            "[cluster]\nadapter = \"redis\"\nredis.url = \"redis://x\"\n[cluster.tls]\nca = \"/no\"",
            "a.toml:4: cluster.tls: is now cluster.redis.tls",
        ),
        (
            "[cluster]\nadapter = \"redis-native\"\n[cluster.redis]\nurl = \"redis://x\"\naddresses = [\"a:1=b\"]",
            "a.toml:5: cluster.redis.addresses: \"a:1=b\" is not of the form \"host:port=host:port\"",
        ),
        (
            "[cluster]\nadapter = \"redis-native\"\n[cluster.redis]\nurl = \"http://secret@x\"",
            "a.toml:4: cluster.redis.url: the url of Redis cannot be used",
        ),
        (
            "[cluster]\nadapter = \"redis-native\"\n[cluster.redis]\nurl = \"redis+sentinel://:secret@x\"",
            "a.toml:4: cluster.redis.url: the url of Redis cannot be used: the name of the sentinels' service is missing",
        ),
        (
            "[cluster]\nadapter = \"redis-native\"\n[cluster.redis]\nurl = \"rediss+cluster://x\"\ntls.ca = \"/no\"",
            "a.toml:5: cluster.redis.tls.ca: /no: No such file",
        ),
        (
            "[cluster]\nadapter = \"redis-native\"\n[cluster.redis]\nurl = \"rediss://x\"\n[cluster.redis.tls]\nca = \"/dev/null\"",
            "a.toml:5: cluster.redis.tls: a certificate or key of Redis cannot be used",
        ),
        ("[server]\nport = 70000", "a.toml:2: server.port: must be a whole number from 0 to 65535, not 70000"),
        ("[server]\nhost = 1", "a.toml:2: server.host: must be a string, not 1"),
        ("[server]\nhost = \"\"", "a.toml:2: server.host: must be an address or a host name"),
        (
            "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"10.0.0.1/8\"]",
            "a.toml:2: server.trusted_proxies[1]: must be an IP address, or a range such as \"10.0.0.0/8\", not \"10.0.0.1/8\"",
        ),
        ("[server]\nworkers = 5000", "a.toml:2: server.workers: must be at most 1024"),
        ("server = 1", "a.toml:1: server: must be a table, not 1"),
        ("[server.tls]\ncert = \"c.pem\"", "a.toml:1: server.tls.key: is missing"),
        ("[server.tls]\nkey = \"/no\"", "a.toml:1: server.tls.cert: is missing"),
        ("[engine]\npath = \"/\"", "a.toml:2: engine.path: must be a path below"),
        ("[engine]\nping_interval = 25", "a.toml:2: engine.ping_interval: must be a duration with its unit"),
        ("[engine]\nping_timeout = \"0s\"", "a.toml:2: engine.ping_timeout: must be greater than zero"),
        (
            "[engine]\nmax_http_buffer_size = \"1XB\"",
            "a.toml:2: engine.max_http_buffer_size: must be a number of bytes",
        ),
        ("[engine]\nmax_http_buffer_size = 0", "a.toml:2: engine.max_http_buffer_size: must be at least 1"),
        ("[engine]\ntransports = []", "a.toml:2: engine.transports: must name"),
        ("[engine]\ntransports = [\"ws\"]", "a.toml:2: engine.transports[0]: must be \"polling\" or \"websocket\""),
        ("[engine.cors]", "a.toml:1: engine.cors.origins: must name origins"),
        ("[engine.cors]\norigins = [\"*\"]\ncredentials = true", "a.toml:3: engine.cors.credentials: browsers refuse"),
        ("[engine.cors]\norigins = [\"*\", \"http://a\"]", "a.toml:2: engine.cors.origins: \"*\" allows all"),
        ("[engine.cors]\norigins = [\"http://a/\"]", "a.toml:2: engine.cors.origins[0]: must be a scheme and a host"),
        (
            "[engine.cors]\norigin_patterns = [\"(\"]",
            "a.toml:2: engine.cors.origin_patterns[0]: must be a regular expr",
        ),
        ("[engine]\nallowed_origins = [\"*\"]", "a.toml:2: engine.allowed_origins[0]: must be a scheme and a host"),
        ("[limits]\nwrite_timeout = \"0s\"", "a.toml:2: limits.write_timeout: must be"),
        ("[engine.cors]\norigins = [\"*\"]\nmethods = [\"A\\n\"]", "a.toml:3: engine.cors.methods[0]: must be a name"),
        ("[engine.cookie]\nname = \"a;b\"", "a.toml:2: engine.cookie.name: must be a name"),
        ("[engine.cookie]\npath = \"a\"", "a.toml:2: engine.cookie.path: must be a path"),
        ("[engine.cookie]\ndomain = \"-\"", "a.toml:2: engine.cookie.domain: must be a domain"),
        ("[engine.cookie]\nsame_site = \"none\"", "a.toml:2: engine.cookie.same_site: browsers refuse"),
        ("[engine.compression]\nlevel = 10", "a.toml:2: engine.compression.level: must be from 0 to 9"),
        ("[socket]\nparser = \"xml\"", "a.toml:2: socket.parser: must be \"json\" or \"msgpack\", not \"xml\""),
        (
            "[socket.recovery]\nenabled = \"yes\"",
            "a.toml:2: socket.recovery.enabled: must be true or false, not \"yes\"",
        ),
        ("[limits]\nmax_depth = 500", "a.toml:2: limits.max_depth: must be at most 127"),
        ("[limits]\nmax_tcp_connections = 0", "a.toml:2: limits.max_tcp_connections: must be at least 1"),
        ("[limits]\nmax_connections = 0", "a.toml:2: limits.max_connections: must be at least 1"),
        ("[limits]\nmax_rooms = -1", "a.toml:2: limits.max_rooms: must be a whole number, 0 or more, not -1"),
        ("[log]\nmax_queue_bytes = 100", "a.toml:2: log.max_queue_bytes: must be at least 4KiB"),
        ("[admin]\nhosts = [\"http://a\"]", "a.toml:2: admin.hosts[0]: must be the name of a host"),
        ("[log]\nlevel = \"loud=x\"", "a.toml:2: log.level: must be \"error\""),
        ("[log]\nformat = \"xml\"", "a.toml:2: log.format: must be \"auto\", \"text\" or \"json\", not \"xml\""),
    ] {
        let found = problems(text);
        assert!(
            found.starts_with(expected) && found.lines().count() == 1,
            "{text:?} gives {found:?}, not {expected:?}"
        );
    }
}

#[test]
fn mistakes_in_rules_are_named() {
    let namespace = "[[namespace]]\nname = \"/\"\n";
    for (text, expected) in [
        ("[[namespace]]", "a.toml:1: namespace[0]: must have a name, such as \"/\", or a pattern"),
        ("[[namespace]]\nname = \"a\"", "a.toml:2: namespace[0].name: must begin with a slash"),
        ("[[namespace]]\npattern = \"[\"", "a.toml:2: namespace[0].pattern: must be a regular expression"),
        ("[[namespace]]\nname = \"/\"\npattern = \"x\"", "a.toml:1: namespace[0]: has both name and pattern"),
        (
            "@[[namespace]]\nname = \"/\"",
            "a.toml:3: namespace[1]: is a second table for the namespace \"/\"; the first is namespace[0], a.toml:1",
        ),
        ("@max_room_bytes = 0", "a.toml:3: namespace[0].max_room_bytes: must be from 1 to 4096"),
        ("@auth_data = [\"\"]", "a.toml:3: namespace[0].auth_data[0]: must be the name of a key"),
        ("@unknown_events = \"drop\"", "a.toml:3: namespace[0].unknown_events: must be \"refuse\" or \"broadcast\""),
        ("@[[namespace.event]]\nroute = { kind = \"ack\" }", "a.toml:3: namespace[0].event[0].name: is missing"),
        ("@[[namespace.event]]\nname = \"a\"", "a.toml:3: namespace[0].event[0].route: is missing: a table, such as"),
        (
            "@event = [{ name = \"a\", route = { kind = \"x\" } }]",
            "a.toml:3: namespace[0].event[0].route.kind: must be \"broadcast\"",
        ),
        (
            "@event = [{ name = \"a\", route = { kind = \"room\" } }]",
            "a.toml:3: namespace[0].event[0].route.room: is missing",
        ),
        (
            "@event = [{ name = \"a\", route = { kind = \"room\", room = \"{x}\" } }]",
            "a.toml:3: namespace[0].event[0].route.room: has the unknown place {x}",
        ),
        (
            "@event = [{ name = \"a\", route = { kind = \"room\", room = \"{args.1}\", append_sender = true } }]",
            "a.toml:3: namespace[0].event[0].route.room: names argument 1",
        ),
        (
            "@event = [{ name = \"a\", route = { kind = \"join\", room = \"x\", volatile = true } }]",
            "a.toml:3: namespace[0].event[0].route.volatile: is not a key of the kind \"join\", which has the keys room",
        ),
        (
            "@event = [{ name = \"a\", route = { kind = \"refuse\", reply = 1 } }]",
            "a.toml:3: namespace[0].event[0].route.reply: is not a key of the kind \"refuse\", which has no keys but kind",
        ),
        (
            "@event = [{ name = \"a\", route = {} }]",
            "a.toml:3: namespace[0].event[0].route.kind: is missing: \"broadcast\"",
        ),
        ("@event = [{ name = \"a\", route = 1 }]", "a.toml:3: namespace[0].event[0].route: must be a table, not 1"),
        (
            "@event = [{ name = \"a\", route = \"room\" }]",
            "a.toml:3: namespace[0].event[0].route: is now a table with the keys of its kind in it: route = { kind = \"room\", … }",
        ),
        (
            "@event = [{ name = \"a\", route = { kind = \"room\", room = \"x\" }, volatile = true }]",
            "a.toml:3: namespace[0].event[0].volatile: is now namespace.event.route.volatile",
        ),
        (
            "@event = [{ name = \"a\", route = { kind = \"room\", room = \"x\", volatil = true } }]",
            "a.toml:3: namespace[0].event[0].route.volatil: unknown key; did you mean \"volatile\"?",
        ),
        (
            "@event = [{ name = \"connect\", route = { kind = \"ack\" } }]",
            "a.toml:3: namespace[0].event[0].name: \"connect\" is a name that the protocol keeps",
        ),
        (
            "@event = [{ name = \"sockeye:left\", route = { kind = \"ack\" } }]",
            "a.toml:3: namespace[0].event[0].name: must not begin with \"sockeye:\"",
        ),
        (
            "@event = [\n{ name = \"a\", route = { kind = \"ack\" } },\n{ name = \"a\", route = { kind = \"ack\" } }]",
            "a.toml:5: namespace[0].event[1].name: is a second table for the event \"a\"; the first is namespace[0].event[0], a.toml:4",
        ),
        (
            "@event = [{ name = \"a\", route = { kind = \"brodcast\" } }]",
            "a.toml:3: namespace[0].event[0].route.kind: must be \"broadcast\", \"room\", \"join\", \"leave\", \"members\", \"ack\" or \
             \"refuse\", not \"brodcast\"; did you mean \"broadcast\"?",
        ),
    ] {
        let found = problems(&text.replace('@', namespace));
        assert!(
            found.starts_with(expected) && found.lines().count() == 1,
            "{text:?} gives {found:?}, not {expected:?}"
        );
    }
}

#[test]
fn all_mistakes_are_reported_at_once_in_the_order_of_the_file() {
    let found = problems("[log]\nformat = 1\n[server]\nport = \"x\"\nhots = \"a\"");
    let starts: Vec<_> =
        found.lines().map(|line| line.rsplit_once(": ").unwrap().0.split(": ").nth(1).unwrap()).collect();
    assert_eq!(starts, ["log.format", "server.port", "server.hots"]);
}

#[test]
fn what_is_not_toml_is_shown_with_its_line() {
    let found = problems("[server]\nport = ");
    assert!(found.starts_with("a.toml: TOML parse error at line 2, column 8"), "{found}");
}

#[test]
fn a_key_that_is_there_twice_is_shown_with_both_lines() {
    for (text, second, first) in [
        ("[server]\nport = 1\nhost = \"a\"\n\nport = 2", 5, 2),
        ("[admin]\n[server]\nport = 1\n[log]\n[server]\nhost = \"a\"", 5, 2),
        ("[cluster.tls]\n[server.tls]\n[log]\n[ server . tls ]", 4, 2),
        ("[cluster]\nurl = \"a\"\n[[namespace]]\nname = \"/\"\n[[namespace]]\nname = \"/a\"\n\"name\" = \"/b\"", 7, 6),
        (
            "[server]\nport = 1\n[[namespace]]\nevent = [{ name = \"a\",\nroute = { kind = \"ack\" }, name = \"b\" }]",
            5,
            4,
        ),
    ] {
        let found = problems(text);
        assert!(found.contains(&format!("at line {second},")) && found.contains("duplicate key"), "{found}");
        assert!(found.ends_with(&format!("the first is in line {first}")), "{text}\n{found}");
    }
}

#[test]
fn the_command_line_goes_over_the_environment_and_this_over_the_file() {
    let variables = [("PORT", "2"), ("SOCKEYE__SERVER__HOST", "b")].map(|(name, value)| (name.into(), value.into()));
    let flags = Flags { host: None, port: Some(3) };
    let config = parse("a.toml".to_owned(), "[server]\nport = 1\nhost = \"a\"", variables, flags).unwrap();
    assert_eq!((config.host.as_str(), config.port), ("b", 3));
}

#[test]
fn a_missing_folder_of_client_files_is_only_a_warning() {
    let config = load_text("[server]\nclient_dir = \"/nonexistent\"\n[[namespace]]\nname = \"/\"").unwrap();
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].starts_with("server.client_dir: no file of the Socket.IO client in /nonexistent"));
    assert!(load_text("").unwrap().warnings[0].starts_with("there is no [[namespace]]"));
}

#[test]
fn the_chat_is_a_configuration_without_a_warning() {
    let config = load_text(CHAT).unwrap();
    assert!(config.demo && config.warnings.is_empty());
    assert!(config.options.connection_state_recovery.is_some());
}

#[test]
fn the_reference_is_a_configuration_of_nothing_but_defaults() {
    let text = reference();
    let config = load_text(&text).unwrap();
    let defaults = load_text("").unwrap();
    assert_eq!(format!("{config:?}"), format!("{defaults:?}"));
}

#[test]
fn the_examples_of_the_reference_are_right() {
    let is_key = |line: &str| {
        line.strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '['))
    };
    let enabled: String = reference()
        .lines()
        .map(|line| format!("{}\n", if is_key(line) { line.trim_start_matches('#') } else { line }))
        .collect();
    // These exclude one another.
    let enabled = enabled.replace("pattern = \"^/game", "# ").replace("cert = ", "# ").replace("\nkey = ", "\n# ");
    let enabled = enabled.replace("\nca = ", "\n# ");
    let enabled = enabled.replace("\n[server.tls]", "\n# ").replace("\nhandshake_timeout", "\n# ");
    // Each route is that of an event of its own.
    let mut number = 0;
    let mut events = String::new();
    for line in enabled.lines().filter(|line| *line != "name = \"message\"") {
        if line == "[namespace.event.route]" {
            number += 1;
            writeln!(events, "{}name = \"event {number}\"", if number > 1 { "[[namespace.event]]\n" } else { "" })
                .unwrap();
        }
        writeln!(events, "{line}").unwrap();
    }
    assert_eq!(problems(&events), "nothing is wrong", "{events}");
}

#[test]
fn every_option_and_limit_of_the_library_is_a_key_with_the_same_default() {
    let keys = keys_of(RawConfig::SCHEMA);
    let elsewhere = [
        "limits",
        "hooks",
        "mount_path",
        "serve_client",
        "http_compression",
        "connection_state_recovery",
        // The server knows itself what fits.
        "dedicated_threads",
    ];
    let fields = fields_of(&format!("{:#?}", Options::default())).into_iter();
    let fields = fields.filter(|field| !elsewhere.contains(&field.as_str()));
    for field in fields.chain(fields_of(&format!("{:#?}", Limits::default()))) {
        assert!(keys.contains(&field), "no key for {field}");
    }
    let mut ours = load_text("").unwrap().options;
    ours.transports = Options::default().engine.transports;
    assert_eq!(format!("{ours:?}"), format!("{:?}", Options::default()));
}

fn keys_of(schema: &'static Schema) -> BTreeSet<String> {
    let inner = |kind| match kind {
        Kind::Table(inner) | Kind::Tables(inner) => keys_of(inner),
        Kind::OneOf(kinds) => kinds.iter().flat_map(|kind| keys_of(kind.schema)).collect(),
        Kind::Text | Kind::Data => BTreeSet::new(),
    };
    let own = schema.keys.iter().map(|key| key.name.to_owned());
    own.chain(schema.keys.iter().flat_map(|key| inner(key.kind))).collect()
}

/// The fields of a struct, from how it is printed for debugging.
fn fields_of(debug: &str) -> Vec<String> {
    let own = debug
        .lines()
        .filter_map(|line| line.strip_prefix("    ").filter(|line| !line.starts_with([' ', '}', ']', ')'])));
    own.filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
}

#[test]
fn a_variable_of_a_key_that_has_moved_is_told_its_new_name() {
    let variables = [("SOCKEYE__CLUSTER__URL", "redis://x")].map(|(name, value)| (name.into(), value.into()));
    let problems = parse("a.toml".to_owned(), "", variables, Flags::default()).unwrap_err();
    assert!(problems.join("\n").contains("SOCKEYE__CLUSTER__URL: is now SOCKEYE__CLUSTER__REDIS__URL"), "{problems:?}");
}

#[test]
fn a_broker_that_was_left_out_is_named_with_its_flag() {
    let text = "[cluster]\nadapter = \"nats\"\n[cluster.nats]\nurl = \"nats://127.0.0.1\"\nprefix = \"p\"";
    match load_text(text) {
        Ok(config) => assert!(cfg!(feature = "nats") && config.cluster.is_some()),
        Err(problems) => {
            let expected = "a.toml:2: cluster.adapter: this program was built without \"nats\": build it with `cargo build --release --features nats`";
            assert!(!cfg!(feature = "nats") && problems.join("\n").contains(expected), "{problems:?}");
        }
    }
}

#[cfg(feature = "nats")]
#[test]
fn mistakes_about_nats_are_named() {
    for (rest, expected) in [
        ("", "a.toml:1: cluster.nats.url: is missing: such as"),
        ("[cluster.nats]\nurl = \"http://secret@x\"", "a.toml:3: cluster.nats: "),
        (
            "[cluster.nats]\nurl = \"nats://x\"\ncredentials = \"/no\"",
            "a.toml:5: cluster.nats.credentials: /no: No such file",
        ),
        (
            "[cluster.nats]\nurl = \"nats://x\"\nnkey = \"SU\"\ncredentials = \"/dev/null\"",
            "a.toml:5: cluster.nats.nkey: cannot be there beside credentials",
        ),
    ] {
        let told = problems(&format!("[cluster]\nadapter = \"nats\"\n{rest}"));
        assert!(told.contains(expected) && !told.contains("secret"), "{told}");
    }
}
