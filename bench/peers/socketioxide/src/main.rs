//! The load contract on socketioxide: sockeye-peer-socketioxide PORT

use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One thread, as it is measured on one core.
#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(3000);
    let (layer, io) = SocketIo::new_layer();
    let everybody = io.clone();
    io.ns("/", async move |socket: SocketRef| serve(&socket, everybody));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, axum::Router::new().layer(layer)).await
}

fn serve(socket: &SocketRef, io: SocketIo) {
    socket.on("echo", async |socket: SocketRef, Data::<Value>(x)| drop(socket.emit("echo", &x)));
    socket.on("ack", async |Data::<Value>(x), ack: AckSender| drop(ack.send(&x)));
    let everybody = io.clone();
    socket.on("broadcast", async move |Data::<Value>(x)| drop(everybody.emit("broadcast", &x).await));
    socket.on("join", async |socket: SocketRef, Data::<String>(room), ack: AckSender| {
        socket.join(room);
        drop(ack.send(&()));
    });
    socket.on("room", async move |Data::<(String, Value)>((room, x))| drop(io.to(room).emit("room", &x).await));
}
