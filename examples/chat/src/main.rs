//! A chat: axum serves the page, Sockeye the messages. Open http://localhost:3000 in two browser tabs.
#![allow(clippy::print_stdout, reason = "an example says what it does")]

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::Html;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use sockeye::{Auth, Data, Server, Socket};
use tokio::net::TcpListener;

/// What the page gives as `auth` when it connects.
#[derive(Deserialize)]
struct Hello {
    name: String,
}

#[derive(Serialize)]
struct Line {
    from: String,
    text: String,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let io = Server::new();
    register(&io);

    let app = Router::new()
        .route("/", get(|| async { Html(include_str!("index.html")) }))
        .route("/sockeye.js", get(|| async { ([(CONTENT_TYPE, "text/javascript")], CLIENT) }))
        .layer(io.layer());
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://localhost:3000");
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            // Without a handler for Ctrl-C there is nothing to wait for: stop.
            let _result = tokio::signal::ctrl_c().await;
            io.close().await;
        })
        .await
}

/// The small client of the standalone server; the official one works as well.
const CLIENT: &str = include_str!("../../../crates/server/assets/sockeye.js");

fn register(io: &Server) {
    io.on_connection(|socket: Socket, Auth(hello): Auth<Hello>| {
        socket.set_data("name", &hello.name);
        socket.broadcast().emit("joined", hello.name);
    });

    io.on("chat message", |io: Server, socket: Socket, Data(text): Data<String>| {
        io.emit("chat message", Line { from: name(&socket), text });
    });

    // Nobody minds if this one is lost.
    io.on("typing", |socket: Socket| socket.broadcast().volatile().emit("typing", name(&socket)));

    io.on_disconnect(|socket: Socket| socket.broadcast().emit("left", name(&socket)));
}

fn name(socket: &Socket) -> String {
    socket.data("name").unwrap_or_else(|| "somebody".to_owned())
}
