//! The standalone server.

mod admin;
mod cli;
mod config;
mod emit;
mod log;
mod metrics;
mod page;
mod routes;
mod serve;
mod signals;
mod startup;
mod tls;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
