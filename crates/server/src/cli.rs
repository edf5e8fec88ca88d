//! The command line.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, CHAT, Config, Flags};
use crate::emit::Emit;
use crate::log::complain;
use crate::{emit, serve, startup};

/// A Socket.IO server. Without a configuration it serves a chat: open http://localhost:3000 in two browser tabs.
#[derive(Debug, Parser)]
#[command(name = "sockeye", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten, next_help_heading = "The configuration")]
    global: Global,
}

#[derive(Debug, Args)]
struct Global {
    /// The configuration, a TOML file. Default: the built-in chat.
    #[arg(long, short, global = true, value_name = "FILE", env = "SOCKEYE_CONFIG")]
    config: Option<PathBuf>,

    /// The TCP port; 0 takes a free one. Takes precedence over the configuration and the environment.
    #[arg(long, short, global = true)]
    port: Option<u16>,

    /// The address or host name to listen on. Takes precedence over the configuration and the environment.
    #[arg(long, global = true, value_name = "ADDRESS")]
    host: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT (Ctrl-C). The default.
    Serve,
    /// Check the configuration, and print what it would serve, or all that is wrong with it.
    Check,
    /// Print the reference of the configuration: a file with every key, its documentation and its default.
    Config {
        /// Print the configuration of the built-in chat instead.
        #[arg(long)]
        chat: bool,
    },
    /// Send an event to the clients of a cluster, from outside: from a script, a cron job, another machine.
    Emit(Box<Emit>),
    /// Load a Socket.IO server, this one or another, and measure how it does.
    Bench(Box<sockeye_load::Bench>),
    /// Print the version.
    Version,
}

const EXAMPLES: &str = "\
Examples:
  sockeye                                  serve the chat on port 3000
  sockeye --port 8080 --host 127.0.0.1     on another port, for this machine only
  sockeye config > sockeye.toml            start a configuration with every key in it
  sockeye config --chat > sockeye.toml     or from that of the chat
  sockeye check --config sockeye.toml      see whether it is right
  sockeye serve --config sockeye.toml      use it
  sockeye emit --help                      how to send an event to all clients of a cluster
  sockeye bench echo --help                how to measure a server, for example by its echo

Every key can also be set by the environment, for example [engine] ping_interval:
  SOCKEYE__ENGINE__PING_INTERVAL=10s sockeye";

/// Does what the command line says.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => with_config(cli.global, serve::run),
        Command::Check => with_config(cli.global, |config| print(&startup::describe(&config))),
        Command::Config { chat: true } => print(CHAT),
        Command::Config { chat: false } => print(&config::reference()),
        Command::Emit(emit) => emit::run(&emit, cli.global.config.as_deref()),
        Command::Bench(bench) => measure(&bench),
        Command::Version => print(&format!("sockeye {}\n", env!("CARGO_PKG_VERSION"))),
    }
}

fn with_config(global: Global, then: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    let flags = Flags { host: global.host, port: global.port };
    match config::load(global.config.as_deref(), std::env::vars_os(), flags) {
        Ok(config) => then(config),
        Err(problems) => complain(&problems),
    }
}

/// Runs a load. The status is that of a failure, too, where something was lost.
fn measure(bench: &sockeye_load::Bench) -> ExitCode {
    match sockeye_load::run(bench) {
        Ok(report) => {
            let text = if bench.wants_json() { report.to_json() } else { report.to_text() };
            let printed = print(&text);
            if report.is_clean() { printed } else { ExitCode::FAILURE }
        }
        Err(error) => complain(&[error.to_string()]),
    }
}

/// Prints to standard output. A reader that has gone away is none of our business.
fn print(text: &str) -> ExitCode {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
