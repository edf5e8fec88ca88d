//! The standalone server.

mod cli;
mod config;
mod emit;
mod log;
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
