//! `sockeye emit`: sends to the clients of a cluster from outside.

mod json;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::Bytes;
use clap::Args;

use crate::backend::{Emitter, Order, Sent};
use crate::log::complain;
use crate::{config, log};

/// Sends an event to the clients of a cluster, and ends when Redis has taken it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Emit {
    /// The name of the event.
    #[arg(required_unless_present_any = ["join", "leave", "disconnect"])]
    event: Option<String>,

    /// The event's arguments, each of them JSON: '"a text"', 5, '{"a":[true,null]}'. "-" reads one from standard input.
    #[arg(value_name = "JSON")]
    args: Vec<String>,

    /// A file whose bytes are one more argument, after those in JSON. Repeat for more.
    #[arg(long, value_name = "FILE", requires = "event")]
    binary: Vec<PathBuf>,

    /// The namespace.
    #[arg(long, short, default_value = "/", value_name = "NAME")]
    namespace: String,

    /// Only the clients in this room, or with this id. Repeat for more: who is in one of them gets it.
    #[arg(long, short, value_name = "ROOM", allow_hyphen_values = true)]
    room: Vec<String>,

    /// Not the clients in this room, or with this id. Repeat for more.
    #[arg(long, short, value_name = "ROOM", allow_hyphen_values = true)]
    except: Vec<String>,

    /// Clients that are not ready to take it do without.
    #[arg(long, requires = "event")]
    volatile: bool,

    /// Send the event to the programs of the servers instead of the clients.
    #[arg(long, requires = "event", conflicts_with_all = ["room", "except", "volatile"])]
    servers: bool,

    /// Instead of an event: let the clients join this room. Repeat for more.
    #[arg(long, value_name = "ROOM", conflicts_with = "event", allow_hyphen_values = true)]
    join: Vec<String>,

    /// Instead of an event: let the clients leave this room. Repeat for more.
    #[arg(long, value_name = "ROOM", conflicts_with = "event", allow_hyphen_values = true)]
    leave: Vec<String>,

    /// Instead of an event: disconnect the clients from the namespace.
    #[arg(long, conflicts_with = "event")]
    disconnect: bool,

    /// With --disconnect: close their connections, too.
    #[arg(long, requires = "disconnect")]
    close: bool,

    /// End with status 3 if nobody got it: no server heard it, or the one room is empty, as far as Redis can tell. Without this a
    /// note says so. Not with redis-streams, where Redis does not know who reads.
    #[arg(long)]
    require_recipient: bool,

    #[command(flatten, next_help_heading = "The cluster, over what [cluster] of the configuration says")]
    cluster: Cluster,
}

/// The keys of `[cluster]` that matter to who sends.
#[derive(Debug, Args)]
struct Cluster {
    /// Where Redis is: redis://HOST:PORT. Others on this machine see the command line: keep a password in the configuration, or in
    /// SOCKEYE__CLUSTER__REDIS__URL.
    #[arg(long)]
    url: Option<String>,

    /// How the servers talk to one another: redis, redis-sharded, redis-streams or redis-native.
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,

    /// What the names of their channels begin with, where it is not the default.
    #[arg(long, value_name = "PREFIX")]
    channel_prefix: Option<String>,

    /// Which channels servers with redis-sharded subscribe to: dynamic, dynamic-private or static.
    #[arg(long, value_name = "MODE")]
    subscription_mode: Option<String>,
}

const EXAMPLES: &str = r#"Examples:
  sockeye emit --url redis://127.0.0.1:6379 --adapter redis-native news '{"title":"hello"}'
  sockeye emit --config sockeye.toml --namespace /chat --room lobby --except muted message '"hello"' 5
  sockeye emit --config sockeye.toml --binary picture.png picture '{"name":"picture.png"}'
  date --iso-8601=seconds | jq -R . | sockeye emit --config sockeye.toml time -
  sockeye emit --config sockeye.toml --room lobby --join archive
  sockeye emit --config sockeye.toml --room banned --disconnect --close

The status is 0 when Redis has taken it: then every server that is connected to Redis gets it. With --require-recipient it is 3 when
nobody got it."#;

/// Does it.
pub(crate) fn run(emit: &Emit, file: Option<&Path>) -> ExitCode {
    let emitter = match config::load_emitter(file, std::env::vars_os(), emit.cluster.flags()) {
        Ok(Some(emitter)) => emitter,
        Ok(None) => return complain(&[match file {
            Some(file) => {
                format!("{}: has no [cluster]: a server alone cannot be reached from outside", file.display())
            }
            None => {
                "which cluster? Name it with --url and --adapter, or a configuration that has [cluster] with --config"
                    .to_owned()
            }
        }]),
        Err(problems) => return complain(&problems),
    };
    let args = match emit.arguments(&mut io::stdin().lock()) {
        Ok(args) => args,
        Err(error) => return complain(&[error]),
    };
    if let Some(reason) = emitter.cannot_tell_recipients().filter(|_| emit.require_recipient) {
        return complain(&[format!("--require-recipient: {reason}")]);
    }
    match send(&*emitter, &emit.order(args)) {
        Ok(Sent { unheard: Some(text) }) if emit.require_recipient => {
            complain(&[text]);
            ExitCode::from(NOBODY)
        }
        Ok(sent) => {
            if let Some(text) = sent.unheard {
                note(&text);
            }
            ExitCode::SUCCESS
        }
        Err(error) => complain(&[error]),
    }
}

fn send(emitter: &dyn Emitter, order: &Order) -> Result<Sent, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(emitter.send(order))
}

impl Emit {
    /// What is to be sent.
    fn order(&self, args: sockeye::Args) -> Order {
        Order {
            namespace: self.namespace.clone(),
            rooms: self.room.clone(),
            except: self.except.clone(),
            volatile: self.volatile,
            to_servers: self.servers,
            event: self.event.clone().map(|event| (event, args)),
            join: self.join.clone(),
            leave: self.leave.clone(),
            disconnect: self.disconnect.then_some(self.close),
        }
    }

    /// The arguments of the event.
    fn arguments(&self, input: &mut impl Read) -> Result<sockeye::Args, String> {
        let mut texts = self.args.clone();
        for text in texts.iter_mut().filter(|text| *text == "-") {
            let bytes = read(input).map_err(|error| format!("cannot read standard input: {error}"))?;
            *text = String::from_utf8(bytes).map_err(|_| "standard input is not UTF-8".to_owned())?;
        }
        let mut files = Vec::new();
        for path in &self.binary {
            let bytes = File::open(path).and_then(|mut file| read(&mut file));
            files.push(Bytes::from(bytes.map_err(|error| format!("cannot read {}: {error}", path.display()))?));
        }
        json::arguments(&texts, files)
    }
}

impl Cluster {
    /// Path of the key, value and name of the options that are given.
    fn flags(&self) -> impl Iterator<Item = (&'static [&'static str], String, &'static str)> {
        let all = [
            (&["cluster", "redis", "url"][..], &self.url, "--url"),
            (&["cluster", "adapter"], &self.adapter, "--adapter"),
            (&["cluster", "redis", "channel_prefix"], &self.channel_prefix, "--channel-prefix"),
            (&["cluster", "redis", "subscription_mode"], &self.subscription_mode, "--subscription-mode"),
        ];
        all.into_iter().filter_map(|(key, value, flag)| Some((key, value.clone()?, flag)))
    }
}

/// All of it, up to a bound.
fn read(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it has more than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

/// Tells something that is not wrong in itself.
fn note(text: &str) {
    log::print(&format!("note: {text}\n"));
}

/// The status when nobody got it, and somebody had to.
const NOBODY: u8 = 3;

/// Bytes of a file, or of standard input: as much as a node lets wait of what comes.
const MAX_BYTES: u64 = 64 << 20;
