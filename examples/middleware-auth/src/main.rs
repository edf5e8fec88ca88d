//! Who may connect, and what each may do: a token checked once per connection, rights checked for every event.
//!
//! `io("http://localhost:3000", { auth: { token: "reader" } })` may listen; with the token `writer` it may also write.
#![allow(clippy::print_stdout, reason = "an example says what it does")]

use serde::Deserialize;
use serde_json::json;
use sockeye::{ConnectError, Data, EventContext, RequestInfo, Server, Socket};

/// What the program knows of a user. It stays in this process; what others should see goes into the socket's data.
struct User {
    name: &'static str,
    may_write: bool,
}

#[derive(Deserialize)]
struct Credentials {
    token: String,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let io = Server::builder().allow_request(allow_request).build();

    io.middleware(authenticate);
    io.event_middleware(authorize);
    io.on_error(|context, error| context.socket().emit("refused", (context.event(), error)));

    io.on("write", |socket: Socket, Data(text): Data<String>| {
        let name = socket.extension::<User>().map_or("nobody", |user| user.name);
        socket.namespace().emit("text", (name, text));
    });

    println!("listening on port 3000");
    io.listen("127.0.0.1:3000").await
}

/// Before there is a session: refuses with HTTP 403. Here the request is all there is to go by.
async fn allow_request(request: RequestInfo) -> Result<(), String> {
    match request.header("user-agent") {
        Some(agent) if agent.contains("BadBot") => Err("go away".to_owned()),
        _ => Ok(()),
    }
}

/// Before the namespace is joined: refuses with a `connect_error`, whose `data` the client can read.
async fn authenticate(socket: Socket) -> Result<(), ConnectError> {
    let credentials: Credentials = socket.auth().map_err(|_| ConnectError::new("a token is needed"))?;
    let user = look_up(&credentials.token).await;
    let user = user.ok_or_else(|| ConnectError::new("unknown token").with_data(json!({ "code": 401 })))?;
    socket.set_data("name", user.name);
    socket.set_extension(user);
    Ok(())
}

/// Stands in for a look-up in a database.
async fn look_up(token: &str) -> Option<User> {
    match token {
        "reader" => Some(User { name: "Ann", may_write: false }),
        "writer" => Some(User { name: "Ben", may_write: true }),
        _ => None,
    }
}

/// Before an event is handled: an error goes to the listeners of `on_error`, and no handler is called.
async fn authorize(context: EventContext) -> Result<(), String> {
    let may_write = context.socket().extension::<User>().is_some_and(|user| user.may_write);
    if context.event() == "write" && !may_write {
        return Err("not allowed to write".to_owned());
    }
    Ok(())
}
