//! What the server says of itself: as text for people, or as one entry of the log.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::config::{Config, NamespaceName, UnknownEvents};

/// The addresses to open, the first for this machine.
pub(crate) fn urls(config: &Config, local: SocketAddr) -> Vec<String> {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let port = local.port();
    let host = match local.ip() {
        ip if ip.is_unspecified() => "localhost".to_owned(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    let mut urls = vec![format!("{scheme}://{host}:{port}")];
    if local.ip().is_unspecified() {
        urls.push(format!("{scheme}://{local}"));
    }
    urls
}

/// What a running server tells people.
pub(crate) fn banner(config: &Config, local: SocketAddr, admin: Option<SocketAddr>) -> String {
    let urls = urls(config, local);
    let mut text = format!("\n  Sockeye {}\n\n", env!("CARGO_PKG_VERSION"));
    let here = urls.first().map(String::as_str).unwrap_or_default();
    if config.demo {
        row(&mut text, "chat", &format!("{here}/  (open it in two browser tabs)"));
    }
    let everywhere = if urls.len() > 1 { format!("  (all interfaces: {local})") } else { String::new() };
    row(&mut text, "listening", &format!("{here}{everywhere}"));
    if let Some(admin) = admin {
        row(&mut text, "operators", &format!("http://{admin}/readyz, /healthz, /metrics"));
    }
    facts(&mut text, config);
    text.push_str("\n  Ctrl-C stops it.\n\n");
    text
}

/// What a configuration would serve.
pub(crate) fn describe(config: &Config) -> String {
    let mut text = format!("{} is valid. It serves:\n\n", config.source);
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    row(&mut text, "listening", &format!("{scheme}, {} port {}", config.host, config.port));
    if config.demo {
        row(&mut text, "chat", "the page at /");
    }
    if let Some(admin) = &config.admin {
        row(&mut text, "operators", &format!("http, {}", admin.address));
    }
    facts(&mut text, config);
    for namespace in &config.namespaces {
        line(&mut text, format_args!("\n  events in {}", name(&namespace.name)));
        for event in &namespace.events {
            row(&mut text, &format!("  {}", event.name), &event.chain.describe());
        }
        let unknown = match namespace.unknown_events {
            UnknownEvents::Refuse => "refused",
            UnknownEvents::Broadcast => "to all others",
        };
        row(&mut text, "  (others)", unknown);
    }
    for warning in &config.warnings {
        line(&mut text, format_args!("\nwarning: {warning}"));
    }
    text
}

/// One entry of the log.
pub(crate) fn log(config: &Config, local: SocketAddr) {
    let names: Vec<_> = config.namespaces.iter().map(|namespace| name(&namespace.name)).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = config.source,
        address = %local,
        url = urls(config, local).first(),
        path = config.options.path,
        transports = transports(config).join(","),
        namespaces = names.join(" "),
        chat = config.demo,
        cluster = config.cluster.as_ref().map(|cluster| cluster.name),
        "listening"
    );
}

fn facts(text: &mut String, config: &Config) {
    let options = &config.options;
    row(text, "socket.io", &format!("{}/ by {}", options.path.trim_end_matches('/'), transports(config).join(", ")));
    let names: Vec<_> = config.namespaces.iter().map(|namespace| name(&namespace.name)).collect();
    row(text, "namespaces", &if names.is_empty() { "/ (no events)".to_owned() } else { names.join(" ") });
    let path = options.path.trim_end_matches('/');
    let client = match &options.serve_client {
        Some(files) => format!("/sockeye.js, {path}/socket.io.js (version {})", files.version()),
        None => "/sockeye.js".to_owned(),
    };
    row(text, "client", &client);
    if let Some(cluster) = &config.cluster {
        row(text, "cluster", &format!("{}, as node {}", cluster.name, cluster.backend.node()));
    }
    row(text, "config", &config.source);
}

fn transports(config: &Config) -> Vec<&'static str> {
    config.options.transports.iter().map(|transport| transport.as_str()).collect()
}

fn name(name: &NamespaceName) -> String {
    match name {
        NamespaceName::One(name) => name.clone(),
        NamespaceName::Pattern(pattern) => format!("/{pattern}/"),
    }
}

fn row(text: &mut String, label: &str, value: &str) {
    line(text, format_args!("  {label:<12} {value}"));
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    writeln!(text, "{content}").unwrap_or_default();
}
