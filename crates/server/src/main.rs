//! The standalone server.

#![cfg_attr(not(feature = "redis"), allow(dead_code, reason = "some of it is for Redis only"))]

mod admin;
mod backend;
mod cli;
mod config;
mod emit;
mod exposition;
mod log;
mod metrics;
mod page;
mod readiness;
mod routes;
mod serve;
mod signals;
mod startup;
mod sticky;
mod tls;

use std::process::ExitCode;

/// Keeps what is short-lived apart from what stays as long as a connection: else connecting leaves holes between connections, a third
/// of the memory in all.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::run()
}
