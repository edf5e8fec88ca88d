//! Serves the interop contract (`../interop/CONTRACT.md`) with nothing but the library's public API.

mod balancer;
mod control;
mod events;
mod report;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use regex::Regex;
use sockeye::{
    ConnectError, ConnectionStateRecovery, Cookie, Cors, Limits, NotFound, PerMessageDeflate, Server, Socket,
    TransportKind,
};
use sockeye_redis::{Mode, RedisAdapter, RedisOptions, Subscription};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use balancer::Balancer;
use report::Report;

/// A server for the interop suites.
#[derive(Debug, Parser)]
struct Flags {
    /// The port; 0 lets the kernel choose.
    #[arg(long, env = "PORT", default_value_t = 0)]
    port: u16,
    #[arg(long, default_value = "/socket.io")]
    path: String,
    /// The encoding of packets.
    #[arg(long, default_value = "json")]
    parser: PacketParser,
    /// Accepts clients of Engine.IO 3.
    #[arg(long)]
    eio3: bool,
    /// Recovers sessions for this long, in milliseconds.
    #[arg(long)]
    csr: Option<u64>,
    #[arg(long, default_value_t = 25_000)]
    ping_interval: u64,
    #[arg(long, default_value_t = 20_000)]
    ping_timeout: u64,
    #[arg(long, default_value_t = 10_000)]
    upgrade_timeout: u64,
    #[arg(long, default_value_t = 45_000)]
    connect_timeout: u64,
    /// Bytes of one message or POST body.
    #[arg(long, default_value_t = 1_000_000)]
    max_payload: usize,
    /// The origin that is allowed, `*` for all.
    #[arg(long)]
    cors: Option<String>,
    /// The name of the handshake's cookie.
    #[arg(long)]
    cookie: Option<String>,
    #[arg(long, value_delimiter = ',', default_value = "polling,websocket")]
    transports: Vec<Transport>,
    #[arg(long)]
    no_upgrades: bool,
    /// Turns permessage-deflate on.
    #[arg(long)]
    deflate: bool,
    /// Three nodes, and a load balancer in front that sends no request to the node that has its session.
    #[arg(long)]
    forwarded: bool,
    /// Joins a cluster.
    #[arg(long, requires = "url")]
    adapter: Option<Mode>,
    /// Where the cluster's broker is.
    #[arg(long)]
    url: Option<String>,
    /// Whose certificates to trust there, a file in PEM.
    #[arg(long, requires = "url")]
    ca: Option<PathBuf>,
    /// Which channels a node of `redis-sharded` subscribes to.
    #[arg(long, default_value = "dynamic")]
    subscription_mode: Subscription,
    /// What `redis-streams` does not keep in its stream goes by sharded channels.
    #[arg(long)]
    sharded_pubsub: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PacketParser {
    Json,
    Msgpack,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Transport {
    Polling,
    Websocket,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    // RUST_LOG=sockeye=debug tells why requests were refused and sessions closed.
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).from_env_lossy();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    let flags = Flags::parse();
    let io = build(&flags)?;
    serve(&io, &Report::default());

    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(("127.0.0.1", flags.port)).await?;
    let mut out = std::io::stdout();
    writeln!(out, "listening {}", listener.local_addr()?.port())?;
    out.flush()?;

    let balancer = match flags.forwarded {
        true => {
            let nodes = Balancer::new(io.clone(), [build(&flags)?, build(&flags)?]).await;
            Some(nodes.map_err(std::io::Error::other)?)
        }
        false => None,
    };
    let serving = tokio::spawn({
        let (io, balancer) = (io.clone(), balancer.clone());
        async move {
            match balancer {
                Some(balancer) => balancer.serve(listener).await,
                None => io.serve(listener, NotFound).await,
            }
        }
    });
    let _signal = terminate.recv().await;
    io.close().await;
    if let Some(balancer) = balancer {
        balancer.close().await;
    }
    serving.await.map_err(std::io::Error::other)
}

fn build(flags: &Flags) -> std::io::Result<Server> {
    let mut limits = Limits::default();
    // The contract gives the whole process three seconds to end.
    limits.close_timeout = Duration::from_secs(2);
    let mut builder = Server::builder()
        .path(&flags.path)
        .parser(match flags.parser {
            PacketParser::Json => sockeye::Parser::Json,
            PacketParser::Msgpack => sockeye::Parser::MsgPack,
        })
        .allow_eio3(flags.eio3)
        .ping_interval(Duration::from_millis(flags.ping_interval))
        .ping_timeout(Duration::from_millis(flags.ping_timeout))
        .upgrade_timeout(Duration::from_millis(flags.upgrade_timeout))
        .connect_timeout(Duration::from_millis(flags.connect_timeout))
        .max_http_buffer_size(flags.max_payload)
        .transports(flags.transports.iter().map(|transport| match transport {
            Transport::Polling => TransportKind::Polling,
            Transport::Websocket => TransportKind::WebSocket,
        }))
        .allow_upgrades(!flags.no_upgrades)
        // On tasks, too, as the same suites run against nodes that forward.
        .dedicated_threads(!flags.forwarded && flags.adapter.is_none())
        .limits(limits);
    if let Some(longest) = flags.csr {
        builder = builder.connection_state_recovery(ConnectionStateRecovery::within(Duration::from_millis(longest)));
    }
    if let Some(origin) = &flags.cors {
        builder = builder.cors(match origin.as_str() {
            "*" => Cors::any(),
            origin => Cors::origin(origin).credentials(true),
        });
    }
    if let Some(name) = &flags.cookie {
        builder = builder.cookie(Cookie::new(name));
    }
    if flags.deflate {
        builder = builder.per_message_deflate(PerMessageDeflate::from_bytes(1024));
    }
    if let Some((adapter, url)) = flags.adapter.zip(flags.url.as_ref()) {
        let mode = match adapter {
            Mode::Sharded { .. } => Mode::Sharded { subscription: flags.subscription_mode },
            other => other,
        };
        let mut options = RedisOptions::new(url, mode);
        options.stream.sharded_pubsub = flags.sharded_pubsub;
        options.tls.ca = flags.ca.as_ref().map(std::fs::read).transpose()?;
        let redis = RedisAdapter::new(options).map_err(std::io::Error::other)?;
        builder = builder.adapter(redis.factory());
    }
    Ok(builder.build())
}

/// Registers the contract's namespaces and their events.
fn serve(io: &Server, report: &Report) {
    events::serve!(io, report);
    events::serve_nodes(&io.main_namespace());

    let custom = io.of("/custom");
    custom.on_connection(|socket: Socket| socket.emit("welcome", socket.id()));
    events::serve!(custom, report);
    events::serve_nodes(&custom);

    let digits = Regex::new(r"^/dyn-\d+$").expect("a pattern that is one");
    let dynamic = io.of_pattern(digits);
    events::serve!(dynamic, report);
    let by_function = io.of_function(|name, auth| async move { name.starts_with("/fn-") && auth["ok"] != false });
    events::serve!(by_function, report);

    let deny = io.of("/deny");
    deny.middleware(|_socket| async { Err(ConnectError::new("nope").with_data(serde_json::json!({ "a": 1 }))) });
    events::serve!(deny, report);

    let auth = io.of("/auth");
    auth.middleware(check_token);
    auth.on_connection(|socket: Socket| socket.emit("auth", socket.auth::<sockeye::Value>().unwrap_or_default()));
    events::serve!(auth, report);

    let recovery = io.of("/csr");
    let counted = report.clone();
    recovery.middleware(move |_socket| {
        counted.count_middleware();
        std::future::ready(Ok(()))
    });
    events::serve!(recovery, report);

    control::serve(io, report);
}

async fn check_token(socket: Socket) -> Result<(), ConnectError> {
    let auth: serde_json::Value = socket.auth().unwrap_or_default();
    match auth["token"].as_str() {
        Some("plain") => Err("unauthorized".into()),
        Some("bad") => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Err(ConnectError::new("unauthorized").with_data(serde_json::json!({ "code": 401 })))
        }
        _ => Ok(()),
    }
}
