//! Serves the load contract with nothing but the library's public API: the neutral load generator is run against it.

mod tls;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, ValueEnum};
use sockeye::{Ack, Args, Data, Namespace, PerMessageDeflate, Server, Socket};
use sockeye_nats::{JetStreamOptions, NatsAdapter, NatsOptions};
use sockeye_redis::{Mode, RedisAdapter, RedisOptions};
use tokio::net::TcpListener;

/// The one of the standalone server.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Serves `echo`, `ack`, `broadcast`, `join` and `room` for load generators.
#[derive(Parser)]
struct Options {
    /// The port to listen on.
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Threads that serve.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// How packets are written.
    #[arg(long, default_value = "json")]
    parser: PacketParser,
    /// Agree to permessage-deflate, and compress messages of so many bytes and more.
    #[arg(long, value_name = "BYTES", num_args = 0..=1, default_missing_value = "1024")]
    deflate: Option<usize>,
    /// Serve https, with this certificate and its key, in PEM.
    #[arg(long, num_args = 2, value_names = ["CERT", "KEY"])]
    tls: Option<Vec<PathBuf>>,
    /// Serve together with other nodes: redis, redis-sharded, redis-streams, redis-native, nats, nats-jetstream.
    #[arg(long, value_name = "NAME", requires = "url")]
    adapter: Option<Broker>,
    /// Where the broker is.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Serve the same in so many namespaces: / and /ns-1, /ns-2, ...
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    namespaces: u32,
}

/// What the nodes talk over.
#[derive(Clone, Copy)]
enum Broker {
    Redis(Mode),
    Nats,
    NatsJetStream,
}

impl FromStr for Broker {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "nats" => Ok(Self::Nats),
            "nats-jetstream" => Ok(Self::NatsJetStream),
            _ => name.parse().map(Self::Redis).map_err(|error| format!("{error}, nats, nats-jetstream")),
        }
    }
}

/// How packets are written.
#[derive(Clone, Copy, ValueEnum)]
enum PacketParser {
    Json,
    Msgpack,
}

fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(options.workers).enable_all().build()?;
    // In a task: the main thread is not one of the workers.
    let serving = runtime.spawn(serve(options));
    runtime.block_on(serving).map_err(std::io::Error::other)?
}

async fn serve(options: Options) -> std::io::Result<()> {
    let parser = match options.parser {
        PacketParser::Json => sockeye::Parser::Json,
        PacketParser::Msgpack => sockeye::Parser::MsgPack,
    };
    // No handler waits; but what goes through an adapter does.
    let mut builder = Server::builder().parser(parser).dedicated_threads(options.adapter.is_none());
    if let Some(threshold) = options.deflate {
        builder = builder.per_message_deflate(PerMessageDeflate::from_bytes(threshold));
    }
    builder = match options.adapter.zip(options.url) {
        None => builder,
        Some((Broker::Redis(mode), url)) => {
            let redis = RedisAdapter::new(RedisOptions::new(url, mode)).map_err(std::io::Error::other)?;
            builder.adapter(redis.factory())
        }
        Some((broker, url)) => {
            let mut options = NatsOptions::new(url);
            options.jetstream = matches!(broker, Broker::NatsJetStream).then(JetStreamOptions::default);
            let nats = NatsAdapter::new(options).map_err(std::io::Error::other)?;
            builder.adapter(nats.factory())
        }
    };
    let io = builder.build();
    serve_contract(&io.main_namespace());
    for number in 1..options.namespaces {
        serve_contract(&io.of(&format!("/ns-{number}")));
    }
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    match options.tls.as_deref() {
        Some([certificate, key]) => tls::serve(&io, listener, tls::acceptor(certificate, key)?).await,
        _ => io.serve(listener, sockeye::NotFound).await,
    }
    Ok(())
}

fn serve_contract(namespace: &Namespace) {
    namespace.on("echo", |socket: Socket, args: Args| socket.emit("echo", args));
    namespace.on("ack", |args: Args, ack: Ack| ack.send(args));
    namespace.on("broadcast", |namespace: Namespace, args: Args| namespace.emit("broadcast", args));
    namespace.on("join", |socket: Socket, Data(room): Data<String>, ack: Ack| {
        let joined = socket.join(room);
        ack.send(());
        joined
    });
    namespace.on("room", |namespace: Namespace, Data(room): Data<String>, args: Args| {
        // What a client has sent can always be read.
        namespace.to(room).emit("room", args.skip(1).unwrap_or_default());
    });
}
