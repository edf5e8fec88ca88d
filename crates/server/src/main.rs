//! The standalone server.

mod admin;
mod cli;
mod config;
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
