//! Rooms, and acknowledgements in both directions: a quiz whose host asks a question and gets everybody's answer.
//!
//! A client joins with `await socket.emitWithAck("join", "team a")`, answers with
//! `socket.on("question", (text, answer) => answer("42"))`, and asks with `await socket.emitWithAck("ask", "team a", "6 * 7?")`.
#![allow(clippy::print_stdout, reason = "an example says what it does")]
#![allow(clippy::needless_pass_by_value, reason = "handlers get their arguments by value")]

use std::time::Duration;

use serde::Serialize;
use sockeye::adapter::AdapterError;
use sockeye::{Ack, AckError, BroadcastError, Data, JoinError, Namespace, Server, Socket};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let io = Server::new();
    io.on("join", join);
    io.on("leave", |socket: Socket, Data(room): Data<String>| socket.leave(room));
    io.on("members", members);
    io.on("ask", ask);
    io.on("ready", ready);
    println!("listening on port 3000");
    io.listen("127.0.0.1:3000").await
}

/// The client waits for the answer to know that it is in. An error is logged, and the client gets no answer.
fn join(socket: Socket, Data(room): Data<String>, ack: Ack) -> Result<(), JoinError> {
    socket.join(&room)?;
    ack.send("joined");
    socket.to(&room).emit("joined", (room, socket.id()));
    Ok(())
}

/// The ids of those in a room, on all nodes.
async fn members(namespace: Namespace, Data(room): Data<String>, ack: Ack) -> Result<(), AdapterError> {
    let members = namespace.to(room).fetch_sockets().await?;
    let ids: Vec<_> = members.iter().map(|member| member.id()).collect();
    ack.send(ids);
    Ok(())
}

#[derive(Serialize)]
struct Answers {
    answers: Vec<String>,
    missing: usize,
}

/// Asks all others in the room. Who does not answer within 5 seconds is not waited for.
async fn ask(socket: Socket, Data((room, question)): Data<(String, String)>, ack: Ack) -> Result<(), BroadcastError> {
    let others = socket.to(room).timeout(Duration::from_secs(5));
    let answers = match others.emit_with_ack::<String>("question", question).await {
        Ok(answers) => Answers { answers, missing: 0 },
        Err(BroadcastError::Incomplete(error)) => Answers {
            missing: error.expected.saturating_sub(error.responses.len()),
            answers: error.responses.iter().filter_map(|answer| answer.deserialize().ok()).collect(),
        },
        Err(error) => return Err(error),
    };
    ack.send(answers);
    Ok(())
}

/// Asks one client. The handler waits; other events of the same client are handled meanwhile.
async fn ready(socket: Socket) -> Result<(), AckError> {
    match socket.timeout(Duration::from_secs(5)).emit_with_ack::<bool>("are you ready?", ()).await {
        Ok(true) => socket.emit("go", ()),
        Ok(false) | Err(AckError::Timeout) => socket.emit("another time", ()),
        Err(error) => return Err(error),
    }
    Ok(())
}
