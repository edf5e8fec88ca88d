//! The command line: what it prints, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::process::Output;

use support::{config, sockeye};

fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> (Option<i32>, String, String) {
    text(sockeye(arguments).output().unwrap())
}

fn text(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn version_is_that_of_the_package() {
    let expected = format!("sockeye {}\n", env!("CARGO_PKG_VERSION"));
    for argument in ["version", "--version"] {
        assert_eq!(run([argument]), (Some(0), expected.clone(), String::new()));
    }
}

#[test]
fn help_has_every_command_and_examples() {
    let (code, help, _) = run(["--help"]);
    assert_eq!(code, Some(0));
    for expected in
        ["serve", "check", "config", "emit", "bench", "version", "--config <FILE>", "--port", "--host", "Examples:"]
    {
        assert!(help.contains(expected), "no {expected} in:\n{help}");
    }
    let (code, same, _) = run(["help"]);
    assert_eq!((code, same), (Some(0), help));
    let (code, help, _) = run(["help", "emit"]);
    assert!(code == Some(0) && help.contains("--require-recipient"), "{help}");
    let (code, _, complaint) = run(["serv"]);
    assert_eq!(code, Some(2));
    assert!(complaint.contains("'serve'"), "{complaint}");
}

#[test]
fn check_tells_what_would_be_served() {
    let (code, output, complaint) = run(["check"]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    for expected in ["the built-in chat is valid", "port 3000", "polling, websocket", "to the room {data.room}"] {
        assert!(output.contains(expected), "no {expected} in:\n{output}");
    }
    let (_dir, path) = config("[[namespace]]\npattern = \"^/game-[0-9]+$\"");
    let (code, output, _) = run(["check", "--config", &path, "--port", "81", "--host", "::1"]);
    assert_eq!(code, Some(0));
    assert!(output.contains("::1 port 81") && output.contains("/^/game-[0-9]+$/"), "{output}");
}

#[test]
fn check_and_serve_refuse_a_wrong_configuration() {
    let (_dir, path) = config("[server]\nprot = 1\n[engine]\nping_timeout = 3\n");
    for command in ["check", "serve"] {
        let (code, output, complaint) = run([command, "--config", &path]);
        assert_eq!((code, output.as_str()), (Some(1), ""));
        let lines: Vec<_> = complaint.lines().collect();
        assert_eq!(lines[0], format!("error: {path}:2: server.prot: unknown key; did you mean \"port\"?"));
        assert!(
            lines[1].starts_with(&format!("error: {path}:4: engine.ping_timeout: must be a duration")),
            "{lines:?}"
        );
        assert_eq!(lines.len(), 2);
    }
    let (_dir, path) = config("[server]\nport =\n");
    let (code, _, complaint) = run(["check", "--config", &path]);
    assert_eq!(code, Some(1));
    assert!(complaint.starts_with(&format!("error: {path}: TOML parse error at line 2")), "{complaint}");
    assert_eq!(complaint.matches("error: ").count(), 1, "{complaint}");
    let (code, _, complaint) = run(["check", "--config", "/nonexistent.toml"]);
    assert_eq!(code, Some(1));
    assert!(complaint.starts_with("error: cannot read the configuration /nonexistent.toml: "), "{complaint}");
}

#[test]
fn the_environment_configures_and_its_mistakes_are_named() {
    let with = |name: &str, value: &str| text(sockeye(["check"]).env(name, value).output().unwrap());
    let (code, output, _) = with("SOCKEYE__SERVER__PORT", "4444");
    assert_eq!(code, Some(0));
    assert!(output.contains("port 4444"), "{output}");
    assert!(with("PORT", "4445").1.contains("port 4445"));
    let (code, _, complaint) = with("SOCKEYE__SERVER__PROT", "4444");
    assert_eq!(code, Some(1));
    assert_eq!(complaint, "error: SOCKEYE__SERVER__PROT: unknown variable; did you mean SOCKEYE__SERVER__PORT?\n");
    let (code, _, complaint) = with("SOCKEYE_PORT", "4444");
    assert_eq!(code, Some(1));
    assert_eq!(complaint, "error: SOCKEYE_PORT: unknown variable; did you mean SOCKEYE__SERVER__PORT?\n");
    assert_eq!(with("SOCKEYE_PORT", "tcp://10.0.0.7:3000").0, Some(0), "Kubernetes sets it");
    let (_dir, path) = config("[server]\nport = 5555");
    assert!(with("SOCKEYE_CONFIG", &path).1.contains("port 5555"));
}

#[test]
fn the_printed_configurations_are_valid() {
    for arguments in [&["config"][..], &["config", "--chat"]] {
        let (code, output, complaint) = run(arguments.iter().copied());
        assert_eq!((code, complaint.as_str()), (Some(0), ""));
        let (_dir, path) = config(&output);
        let (code, _, complaint) = run(["check", "--config", &path]);
        assert_eq!((code, complaint.as_str()), (Some(0), ""));
    }
}

#[test]
fn the_documented_reference_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sockeye.toml");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let how = "docs/sockeye.toml is out of date; make it anew with: cargo run --features full -- config > docs/sockeye.toml && docs/check --write";
    // A program without all brokers does not know all keys.
    let is_whole = cfg!(all(feature = "nats", feature = "redis"));
    assert!(!is_whole || committed == run(["config"]).1, "{how}");
}

#[test]
fn emit_says_what_it_needs() {
    let (code, help, _) = run(["emit", "--help"]);
    assert_eq!(code, Some(0));
    for expected in ["--url", "--adapter", "--namespace", "--room", "--except", "--binary", "--join", "Examples:"] {
        assert!(help.contains(expected), "no {expected} in:\n{help}");
    }
    let fails = |arguments: &[&str]| {
        let (code, output, complaint) = run(arguments.iter().copied());
        assert!(code == Some(1) && output.is_empty(), "{arguments:?}: {code:?} {output}");
        complaint
    };
    let (_dir, alone) = config("[server]\nport = 1");
    let (_dir, wrong) = config("[cluster]\nadapter = \"redis-nativ\"\n[cluster.redis]\nurl = \"redis://127.0.0.1:1\"");
    let closed = ["emit", "--url", "redis://127.0.0.1:1", "--adapter", "redis-native"];
    let with = |more: &[&'static str]| [&closed[..], more].concat();
    for (arguments, expected) in [
        (vec!["emit", "e"], "error: which cluster? Name it with --url and --adapter, or a configuration"),
        (vec!["emit", "--config", &alone, "e"], "has no [cluster]"),
        (vec!["emit", "--config", &wrong, "e"], ":2: cluster.adapter: must be \"redis\", \"redis-sharded\""),
        (vec!["emit", "--url", "redis://x", "e"], "cluster.adapter: is missing"),
        (vec!["emit", "--adapter", "kafka", "e"], "error: --adapter: cluster.adapter: must be"),
        (vec!["emit", "--config", "/none.toml", "e"], "error: cannot read the configuration /none.toml"),
        (
            with(&["e", "{\"a\":}"]),
            "argument 1 is not JSON: expected value at column 6\n       {\"a\":}\n            ^",
        ),
        (with(&["e", "--binary", "/none.bin"]), "error: cannot read /none.bin"),
        (
            vec!["emit", "--url", "redis://127.0.0.1:1", "--adapter", "redis-streams", "e", "--require-recipient"],
            "error: --require-recipient: with redis-streams",
        ),
        (with(&["disconnect"]), "error: \"disconnect\" is a reserved event name"),
        // Ids of clients may begin so.
        (with(&["e", "-5", "--room", "-3oZ", "--except", "-x"]), "error: Redis is not reached: "),
    ] {
        let complaint = fails(&arguments);
        assert!(complaint.contains(expected), "{arguments:?}: {complaint}");
        assert!(!complaint.contains("secret"), "{complaint}");
    }
    // The flag takes precedence over the file.
    let complaint = fails(&["emit", "--config", &wrong, "--adapter", "redis", "e"]);
    assert!(complaint.contains("Redis is not reached") && complaint.contains("Nothing was sent"), "{complaint}");
    for arguments in [&["emit"][..], &["emit", "e", "--join", "r"], &["emit", "e", "--servers", "--room", "r"]] {
        assert_eq!(run(arguments.iter().copied()).0, Some(2), "{arguments:?}");
    }
}
