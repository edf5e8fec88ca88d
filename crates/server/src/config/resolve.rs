//! From the configuration as it is written to what the server works with: checked, typed, files read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use sockeye::peers::PeerOptions;
use sockeye::{
    Budgets, ClientFiles, ConnectionStateRecovery, Cookie, Cors, Holder, HttpCompression, Limits, Options,
    OriginPattern, Parser, PerMessageDeflate, SameSite, TransportKind,
};
use tracing_subscriber::EnvFilter;

use super::cluster::peers;
use super::namespaces::{NamespaceRule, resolve_namespaces};
use super::problems::{NOT_ZERO, Problems, regex_error};
use super::raw::{
    AdminSection, BudgetsSection, CookieSection, CorsSection, EngineSection, LimitsSection, LogFormat, ParserChoice,
    RawConfig, RecoverySection, SameSiteChoice, ServerSection, Transport,
};
use super::setting::Size;
use super::tls::{Tls, tls};
use crate::backend::{AdapterName, Backend, backend};

/// What the server works with.
#[derive(Debug)]
pub(crate) struct Config {
    /// The file, or what stands in for it, as the user is told.
    pub(crate) source: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) demo: bool,
    /// Threads; none for one per core.
    pub(crate) workers: Option<usize>,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) tls: Option<Tls>,
    /// Where operators are listened to.
    pub(crate) admin: Option<Admin>,
    /// What joins it to other nodes.
    pub(crate) cluster: Option<Cluster>,
    pub(crate) options: Options,
    pub(crate) log: Log,
    pub(crate) namespaces: Vec<NamespaceRule>,
    /// What is not wrong, but surely not meant.
    pub(crate) warnings: Vec<String>,
}

/// What joins the server to other nodes.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    /// The word in the configuration.
    pub(crate) name: &'static str,
    pub(crate) backend: Arc<dyn Backend>,
    /// Forwarding between the nodes.
    pub(crate) peers: Option<PeerOptions>,
}

/// The log.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// Directives that are known to be valid.
    pub(crate) directives: String,
    pub(crate) format: LogFormat,
    /// Lines of one place in the code that are logged in a second; 0 for all.
    pub(crate) max_repeats: u32,
    /// Bytes that may wait to be written.
    pub(crate) max_queue_bytes: usize,
}

/// The listener for operators.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    pub(crate) address: SocketAddr,
    /// Names that it may be asked by, in lower case.
    pub(crate) hosts: Vec<String>,
}

/// Checks everything. What is wrong is reported; without a word of that there is a result.
pub(super) fn resolve(raw: RawConfig, source: String, problems: &mut Problems) -> Option<Config> {
    let mut warnings = Vec::new();
    let mut options = engine(&raw.engine, problems);
    options.connect_timeout = raw.socket.connect_timeout;
    options.parser = match raw.socket.parser {
        ParserChoice::Json => Parser::Json,
        ParserChoice::MessagePack => Parser::MsgPack,
    };
    options.cleanup_empty_child_namespaces = raw.socket.cleanup_empty_child_namespaces;
    options.connection_state_recovery = recovery(&raw.socket.recovery);
    options.trusted_proxies.clone_from(&raw.server.trusted_proxies);
    options.limits = limits(&raw.limits, problems);
    options.budgets = budgets(&raw.budgets, problems);
    options.serve_client = client_files(&raw.server, &mut warnings);
    if raw.server.host.is_empty() {
        problems.add("server.host", "must be an address or a host name, such as \"0.0.0.0\" or \"localhost\"");
    }
    if raw.log.max_queue_bytes.0 < MIN_LOG_BYTES {
        problems.add("log.max_queue_bytes", "must be at least 4KiB");
    }
    if raw.server.workers > MAX_WORKERS {
        problems.add("server.workers", format!("must be at most {MAX_WORKERS}"));
    }
    if let Err(error) = EnvFilter::try_new(&raw.log.level) {
        let allowed =
            "\"error\", \"warn\", \"info\", \"debug\", \"trace\", or directives such as \"info,sockeye=debug\"";
        problems.add("log.level", format!("must be {allowed}: {error}"));
    }
    let admin = raw.admin.as_ref().map(|section| admin(section, problems));
    let tls = raw.server.tls.as_ref().map(|section| tls(section, problems));
    let cluster = raw.cluster.as_ref().map(|section| {
        let name = section.adapter.map(AdapterName::as_str).unwrap_or_default();
        let peers = section.peers.as_ref().map(|section| peers(section, problems));
        if peers.as_ref().is_some_and(Option::is_none) {
            return None;
        }
        backend(section, problems).map(|backend| Cluster { name, backend, peers: peers.flatten() })
    });
    let recovers = raw.cluster.as_ref().is_none_or(|section| section.adapter.is_some_and(AdapterName::recovers));
    if !recovers && options.connection_state_recovery.take().is_some() {
        let text = "socket.recovery is off in a [cluster] unless its adapter is \"redis-streams\" or \"nats-jetstream\"; who comes back is told that it is not recovered";
        warnings.push(text.to_owned());
    }
    for (path, duration) in [
        ("socket.connect_timeout", raw.socket.connect_timeout),
        ("limits.attachment_timeout", raw.limits.attachment_timeout),
        ("limits.keep_alive_timeout", raw.limits.keep_alive_timeout),
        ("limits.write_timeout", raw.limits.write_timeout),
    ] {
        if duration.is_zero() {
            problems.add(path, NOT_ZERO);
        }
    }
    let namespaces = resolve_namespaces(raw.namespace, raw.cluster.is_some(), problems);
    let has_chat = |rule: &NamespaceRule| rule.events.iter().any(|event| event.name == "join");
    if raw.server.demo && !namespaces.iter().any(has_chat) {
        let text = "server.demo: the chat page needs the events that `sockeye config --chat` has; it will not work";
        warnings.push(text.to_owned());
    }
    if namespaces.is_empty() {
        warnings.push("there is no [[namespace]]: clients can connect, and all their events are refused".to_owned());
    }
    if tls.as_ref().is_some_and(Option::is_none) || cluster.as_ref().is_some_and(Option::is_none) {
        return None;
    }
    Some(Config {
        source,
        host: raw.server.host,
        port: raw.server.port,
        demo: raw.server.demo,
        workers: (raw.server.workers > 0).then_some(raw.server.workers),
        shutdown_timeout: raw.server.shutdown_timeout,
        tls: tls.flatten(),
        admin: admin.flatten(),
        cluster: cluster.flatten(),
        options,
        log: Log {
            directives: raw.log.level,
            format: raw.log.format,
            max_repeats: raw.log.max_repeats,
            max_queue_bytes: raw.log.max_queue_bytes.0,
        },
        namespaces,
        warnings,
    })
}

/// The longest lines of the log are about as long.
const MIN_LOG_BYTES: usize = 4096;
/// More threads than any machine has cores.
const MAX_WORKERS: usize = 1024;

fn engine(raw: &EngineSection, problems: &mut Problems) -> Options {
    let mut options = Options::default();
    if !raw.path.starts_with('/') || raw.path.trim_matches('/').is_empty() || raw.path.contains(['?', '#', ' ']) {
        problems.add("engine.path", "must be a path below \"/\", such as \"/socket.io\"");
    }
    options.path.clone_from(&raw.path);
    options.add_trailing_slash = raw.add_trailing_slash;
    let times = [
        ("engine.ping_interval", raw.ping_interval, &mut options.engine.ping_interval),
        ("engine.ping_timeout", raw.ping_timeout, &mut options.engine.ping_timeout),
        ("engine.upgrade_timeout", raw.upgrade_timeout, &mut options.engine.upgrade_timeout),
    ];
    for (path, duration, option) in times {
        if duration.is_zero() {
            problems.add(path, NOT_ZERO);
        }
        *option = duration;
    }
    if raw.max_http_buffer_size.0 == 0 {
        problems.add("engine.max_http_buffer_size", "must be at least 1");
    }
    options.max_http_buffer_size = raw.max_http_buffer_size.0;
    if raw.transports.is_empty() {
        problems.add("engine.transports", "must name \"polling\", \"websocket\", or both");
    }
    let kinds = raw.transports.iter().map(|transport| match transport {
        Transport::Polling => TransportKind::Polling,
        Transport::WebSocket => TransportKind::WebSocket,
    });
    options.transports = kinds.collect();
    options.allow_upgrades = raw.allow_upgrades;
    options.allow_eio3 = raw.allow_eio3;
    options.initial_packet.clone_from(&raw.initial_packet);
    let allowed = origins(
        ["engine.allowed_origins", "engine.allowed_origin_patterns"],
        &raw.allowed_origins,
        &raw.allowed_origin_patterns,
        problems,
    );
    options.allowed_origins = Some(allowed).filter(|allowed| !allowed.is_empty());
    options.cors = raw.cors.as_ref().and_then(|section| cors(section, problems));
    options.cookie = raw.cookie.as_ref().and_then(|section| cookie(section, problems));
    if raw.compression.level > 9 {
        problems.add("engine.compression.level", "must be from 0 to 9");
    }
    options.http_compression = raw
        .compression
        .enabled
        .then(|| HttpCompression::new().threshold(raw.compression.threshold.0).level(raw.compression.level));
    let deflate = &raw.per_message_deflate;
    options.per_message_deflate = deflate.enabled.then(|| PerMessageDeflate::from_bytes(deflate.threshold.0));
    options
}

fn cors(raw: &CorsSection, problems: &mut Problems) -> Option<Cors> {
    let before = problems.len();
    let any = raw.origins.iter().any(|origin| origin == "*");
    if raw.origins.is_empty() && raw.origin_patterns.is_empty() {
        problems.add("engine.cors.origins", "must name origins such as \"https://app.example.com\", or \"*\" for all");
    }
    if any && (raw.origins.len() > 1 || !raw.origin_patterns.is_empty()) {
        problems.add("engine.cors.origins", "\"*\" allows all origins, and must stand alone");
    }
    if any && raw.credentials {
        problems.add("engine.cors.credentials", "browsers refuse credentials with origins = [\"*\"]; name the origins");
    }
    let named: &[String] = if any { &[] } else { &raw.origins };
    let paths = ["engine.cors.origins", "engine.cors.origin_patterns"];
    let allowed = origins(paths, named, &raw.origin_patterns, problems);
    let no_names = Vec::new();
    let lists = [
        ("methods", &raw.methods),
        ("allowed_headers", raw.allowed_headers.as_ref().unwrap_or(&no_names)),
        ("exposed_headers", &raw.exposed_headers),
    ];
    for (key, names) in lists {
        for (index, _) in names.iter().enumerate().filter(|(_, name)| !is_token(name)) {
            problems.add(&format!("engine.cors.{key}[{index}]"), "must be a name of letters, digits and dashes");
        }
    }
    if problems.len() > before {
        return None;
    }
    let cors = if any { Cors::any() } else { Cors::origins(allowed) };
    let mut cors = cors.credentials(raw.credentials).methods(&raw.methods).exposed_headers(&raw.exposed_headers);
    if let Some(names) = &raw.allowed_headers {
        cors = cors.allowed_headers(names);
    }
    if let Some(max_age) = raw.max_age {
        cors = cors.max_age(max_age);
    }
    Some(cors)
}

/// Origins by name and by pattern, which are at these two places of the configuration.
fn origins(paths: [&str; 2], names: &[String], patterns: &[String], problems: &mut Problems) -> Vec<OriginPattern> {
    let mut origins = Vec::new();
    for (index, origin) in names.iter().enumerate() {
        if origin.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.contains('/')) {
            origins.push(OriginPattern::Exact(origin.clone()));
        } else {
            let text =
                "must be a scheme and a host, with neither path nor slash at the end: \"https://app.example.com\"";
            problems.add(&format!("{}[{index}]", paths[0]), text);
        }
    }
    for (index, pattern) in patterns.iter().enumerate() {
        match Regex::new(pattern) {
            Ok(pattern) => origins.push(OriginPattern::Matching(pattern)),
            Err(error) => problems.add(&format!("{}[{index}]", paths[1]), regex_error(&error)),
        }
    }
    origins
}

fn cookie(raw: &CookieSection, problems: &mut Problems) -> Option<Cookie> {
    let before = problems.len();
    if !is_token(&raw.name) {
        problems.add("engine.cookie.name", "must be a name of letters, digits, dashes and underscores");
    }
    if !raw.path.starts_with('/') || !raw.path.bytes().all(|byte| byte.is_ascii_graphic() && !b";<".contains(&byte)) {
        problems.add("engine.cookie.path", "must be a path, such as \"/\"");
    }
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    if raw.domain.as_ref().is_some_and(|domain| !domain.trim_start_matches('.').split('.').all(is_label)) {
        problems.add("engine.cookie.domain", "must be a domain, such as \"example.com\"");
    }
    if matches!(raw.same_site, SameSiteChoice::None) && !raw.secure {
        problems.add("engine.cookie.same_site", "browsers refuse \"none\" without secure = true");
    }
    if problems.len() > before {
        return None;
    }
    let mut cookie = Cookie::new(&raw.name)
        .path(&raw.path)
        .http_only(raw.http_only)
        .secure(raw.secure)
        .partitioned(raw.partitioned)
        .same_site(match raw.same_site {
            SameSiteChoice::Lax => SameSite::Lax,
            SameSiteChoice::Strict => SameSite::Strict,
            SameSiteChoice::None => SameSite::None,
        });
    if let Some(domain) = &raw.domain {
        cookie = cookie.domain(domain.trim_start_matches('.'));
    }
    if let Some(max_age) = raw.max_age {
        cookie = cookie.max_age(max_age);
    }
    Some(cookie)
}

/// What can be the name of a header, method or cookie.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn recovery(raw: &RecoverySection) -> Option<ConnectionStateRecovery> {
    let mut recovery = ConnectionStateRecovery::within(raw.max_disconnection_duration);
    recovery.skip_middlewares = raw.skip_middlewares;
    recovery.max_log_bytes = raw.max_log_bytes.0;
    recovery.max_sessions = raw.max_sessions;
    raw.enabled.then_some(recovery)
}

fn limits(raw: &LimitsSection, problems: &mut Problems) -> Limits {
    if raw.max_depth > Limits::default().max_depth {
        problems.add("limits.max_depth", format!("must be at most {}", Limits::default().max_depth));
    }
    let least_one = [
        ("max_connections", raw.max_connections),
        ("max_tcp_connections", raw.max_tcp_connections),
        ("max_handshakes", raw.max_handshakes),
        ("max_unjoined", raw.max_unjoined),
        ("max_unjoined_per_tcp_connection", raw.max_unjoined_per_tcp_connection),
        ("max_namespaces", raw.max_namespaces),
        ("max_handlers", raw.max_handlers),
        ("max_depth", raw.max_depth),
    ];
    for (key, _) in least_one.into_iter().filter(|(_, value)| *value == 0) {
        problems.add(&format!("limits.{key}"), "must be at least 1");
    }
    let mut limits = Limits::default();
    limits.max_connections = raw.max_connections;
    limits.max_handshakes = raw.max_handshakes;
    limits.max_tcp_connections = raw.max_tcp_connections;
    limits.max_unjoined = raw.max_unjoined;
    limits.max_unjoined_per_tcp_connection = raw.max_unjoined_per_tcp_connection;
    limits.max_outbox_bytes = raw.max_outbox_bytes.0;
    limits.max_behind_bytes = raw.max_behind_bytes.0;
    limits.max_namespaces = raw.max_namespaces;
    limits.max_child_namespaces = raw.max_child_namespaces;
    limits.max_rooms = raw.max_rooms;
    limits.max_pending_acks = raw.max_pending_acks;
    limits.max_handlers = raw.max_handlers;
    limits.max_attachments = raw.max_attachments;
    limits.max_attachment_bytes = raw.max_attachment_bytes.0;
    limits.attachment_timeout = raw.attachment_timeout;
    limits.max_depth = raw.max_depth;
    limits.max_deflate_contexts = raw.max_deflate_contexts;
    limits.close_timeout = raw.close_timeout;
    limits.keep_alive_timeout = raw.keep_alive_timeout;
    limits.write_timeout = raw.write_timeout;
    limits
}

fn budgets(raw: &BudgetsSection, problems: &mut Problems) -> Budgets {
    let mut budgets = raw.memory.map_or_else(Budgets::default, |memory| Budgets::of(memory.0));
    for holder in Holder::ALL {
        let budget = match holder {
            Holder::Requests => raw.requests,
            Holder::Auth => raw.auth,
            Holder::Incoming => raw.incoming,
            Holder::Events => raw.events,
            Holder::Outboxes => raw.outboxes,
            Holder::Responses => raw.responses,
            Holder::Rooms => raw.rooms,
            Holder::Recovery => raw.recovery,
            _ => None,
        };
        let Some(Size(bytes)) = budget else { continue };
        if bytes < LEAST_BUDGET {
            problems
                .add(&format!("budgets.{}", holder.as_str()), "must be at least 64KiB, or hardly any client is served");
        }
        budgets.set(holder, bytes);
    }
    budgets
}

/// Less than this is a mistake.
const LEAST_BUDGET: usize = 64 * 1024;

/// The client bundles. Without them the server works, so that a wrong folder is not an error.
fn client_files(raw: &ServerSection, warnings: &mut Vec<String>) -> Option<ClientFiles> {
    let dir = raw.client_dir.as_deref()?;
    match ClientFiles::load(dir) {
        Ok(files) => Some(files),
        Err(error) => {
            warnings.push(format!("server.client_dir: {error}; the official client is not served"));
            None
        }
    }
}

/// The listener for operators; none where something is wrong, which is reported.
fn admin(raw: &AdminSection, problems: &mut Problems) -> Option<Admin> {
    let before = problems.len();
    let is_name = |host: &str| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    for (index, _) in raw.hosts.iter().enumerate().filter(|(_, host)| !is_name(host)) {
        let text = "must be the name of a host, without scheme and port: \"sockeye.internal\"";
        problems.add(&format!("admin.hosts[{index}]"), text);
    }
    let hosts = raw.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    (problems.len() == before).then_some(Admin { address: raw.listen, hosts })
}
