//! The time of each path whose instructions are counted: codecs, and the server with a few clients in its own thread.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use hot_paths::{Operation, Path, paths};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for path in paths() {
        let (group, name) = path.name.split_once('/').expect("a path has a group");
        let mut operation = None;
        let mut group = criterion.benchmark_group(group);
        group.throughput(Throughput::Elements(path.per_run));
        group.bench_function(name, |bencher| {
            let operation = operation.get_or_insert_with(path.open);
            bencher.iter_custom(|runs| time(path, operation, runs));
        });
        group.finish();
    }
    criterion.final_summary();
}

/// In portions of what `path` says is enough: so few connections are open at a time.
fn time(path: &Path, operation: &mut Operation, runs: u64) -> Duration {
    let mut taken = Duration::ZERO;
    let mut left = runs;
    while left > 0 {
        let portion = left.min(path.runs);
        let start = Instant::now();
        operation(portion);
        taken += start.elapsed();
        left -= portion;
    }
    taken
}
