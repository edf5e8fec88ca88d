//! Micro benchmarks of the hot paths, in `benches`: `cargo bench -p sockeye-micro`.
