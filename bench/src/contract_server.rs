//! Serves the load contract.

fn main() {}
