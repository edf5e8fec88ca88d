//! Sockeye in a program that accepts connections itself, with hyper and no framework.
#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::convert::Infallible;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use sockeye::{RemoteAddr, Server, Socket};
use tokio::net::TcpListener;
use tower::{ServiceExt as _, service_fn};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let io = Server::new();
    io.on_connection(|socket: Socket| println!("{} from {:?}", socket.id(), socket.request().address()));
    io.on("echo", |socket: Socket, args: sockeye::Args| socket.emit("echo", args));

    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on port 3000");
    loop {
        let (stream, address) = listener.accept().await?;
        // Requests below /socket.io/ are the server's, the rest go to `hello`.
        let service = io.service(service_fn(hello)).map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(RemoteAddr(address));
            request
        });
        tokio::spawn(async move {
            // With upgrades: without them there is no WebSocket.
            let result = Builder::new(TokioExecutor::new())
                .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service))
                .await;
            if let Err(error) = result {
                println!("{address}: {error}");
            }
        });
    }
}

async fn hello(_request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("hello\n")))
}
