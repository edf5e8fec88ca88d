//! A broadcast to many sockets: from the emit until the last client has read it.
//!
//! The clients are a process of their own, this program with `--clients`: neither has to have all the files open.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use hot_paths::{Client, TEXT, frame_len};
use sockeye::{NotFound, Server};

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, first, server, control, count] = &arguments[..]
        && first == "--clients"
    {
        return read_broadcasts(address(server), address(control), count.parse().expect("a number of clients"));
    }
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(8))
        .configure_from_args();
    let mut group = criterion.benchmark_group("fan-out");
    for count in [100, 10_000] {
        if open_files() < count + SPARE_FILES {
            eprintln!("fan-out/{count} is left out: it needs `ulimit -n {}`", count + SPARE_FILES);
            continue;
        }
        let mut hall = None;
        group.throughput(Throughput::Elements(count));
        group.bench_function(count.to_string(), |bencher| {
            let hall = hall.get_or_insert_with(|| Hall::open(count));
            bencher.iter_custom(|broadcasts| hall.time(broadcasts));
        });
    }
    group.finish();
    criterion.final_summary();
}

/// A server with clients.
struct Hall {
    io: Server,
    clients: Child,
    /// Where the clients' process says that all have read the last broadcast.
    control: TcpStream,
    _runtime: tokio::runtime::Runtime,
}

impl Hall {
    fn open(count: u64) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
        // No ping comes between the broadcasts.
        let io = Server::builder().ping_interval(Duration::from_secs(3600)).build();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let serving = io.clone();
        runtime.spawn(async move { serving.serve(listener, NotFound).await });

        let control = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let clients = Command::new(std::env::current_exe().expect("the path of this program"))
            .arg("--clients")
            .args([address, control.local_addr().expect("it is bound")].map(|address| address.to_string()))
            .arg(count.to_string())
            .spawn()
            .expect("this program starts once more");
        // They come when all have joined.
        let (control, _) = control.accept().expect("the clients come");
        Self { io, clients, control, _runtime: runtime }
    }

    fn time(&mut self, broadcasts: u64) -> Duration {
        let start = Instant::now();
        for _ in 0..broadcasts {
            self.io.emit("news", TEXT);
            self.control.read_exact(&mut [0]).expect("the clients are there");
        }
        start.elapsed()
    }
}

impl Drop for Hall {
    fn drop(&mut self) {
        // Clients that have gone already are gone.
        let _gone = self.clients.kill();
        let _gone = self.clients.wait();
    }
}

/// The clients' process. It ends when the server does.
fn read_broadcasts(server: SocketAddr, control: SocketAddr, count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(runtime.block_on(Client::join(server)).into_blocking());
    }
    let mut control = TcpStream::connect(control).expect("the benchmark listens");
    let mut broadcast = vec![0; frame_len(&format!("42[\"news\",\"{TEXT}\"]"))];
    loop {
        for client in &mut clients {
            if client.read_exact(&mut broadcast).is_err() {
                return;
            }
        }
        if control.write_all(&[1]).is_err() {
            return;
        }
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// How many files a process may have open.
fn open_files() -> u64 {
    let told = Command::new("sh").args(["-c", "ulimit -n"]).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&told).trim().parse().unwrap_or(u64::MAX)
}

/// What a process has open besides its sockets.
const SPARE_FILES: u64 = 100;
