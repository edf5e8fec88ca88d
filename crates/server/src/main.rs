//! The standalone server.

mod cli;
mod config;
mod log;
mod page;
mod routes;
mod serve;
mod signals;
mod startup;
mod tls;

use std::process::ExitCode;

/// The connections' small allocations of many threads are what it is best at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
