//! Emitters, programs that are no nodes, reach the clients of servers in every mode, and say what went wrong.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sockeye::Args;
use sockeye_cluster_suite::Fleet;
use sockeye_redis::{EmitterError, Mode, RedisEmitter, RedisOptions, Subscription};
use support::{Classic, Dynamic, DynamicPrivate, Native, Over, Redis, Static, Streams, Way, eventually, local};

fn emitter(redis: &Redis, mode: Mode) -> RedisEmitter {
    let mut options = RedisOptions::new(format!("redis://{}", local(redis.port)), mode);
    options.timeout = Duration::from_secs(2);
    RedisEmitter::new(options).unwrap()
}

/// Two nodes that are connected, the client of the second in the room `r`.
async fn fleet<W: Way>() -> (Fleet<Over<W>>, RedisEmitter) {
    let mut fleet = Fleet::<Over<W>>::of(2).await;
    fleet.socket(1).join("r").unwrap();
    let emitter = emitter(&fleet.cluster.redis, W::MODE);
    // The subscription to the room's channel takes a moment.
    fleet.heard_in(0, ["r"], 1).await;
    emitter.to("r").emit("probe", ()).await.unwrap();
    assert_eq!(fleet.next(1).await, r#"42["probe"]"#);
    (fleet, emitter)
}

async fn all_get_what_is_for_them<W: Way>() {
    let (mut fleet, emitter) = fleet::<W>().await;
    let ids = [fleet.socket(0).id().to_owned(), fleet.socket(1).id().to_owned()];
    let all = emitter.emit("all", (1, "é")).await.unwrap();
    let listeners = (W::MODE != Mode::Streams).then_some(2);
    assert_eq!(all.listeners, listeners);
    emitter.to("r").to("r").emit("room", ()).await.unwrap();
    emitter.to(["r", "s"]).except(&ids[1]).emit("nobody", ()).await.unwrap();
    emitter.except("r").emit("others", ()).await.unwrap();
    emitter.to(&ids[0]).volatile().compress(false).emit("one", ()).await.unwrap();
    let expected = [r#"42["all",1,"é"]"#, r#"42["others"]"#, r#"42["one"]"#];
    let mut got = fleet.received(&[3, 2]).await;
    // Channels are heard in an order of their own.
    got.iter_mut().for_each(|events| events.sort_unstable());
    let sorted = |mut events: Vec<&str>| -> Vec<String> {
        events.sort_unstable();
        events.into_iter().map(str::to_owned).collect()
    };
    assert_eq!(got, [sorted(expected.to_vec()), sorted(vec![expected[0], r#"42["room"]"#])]);
    emitter.of("elsewhere").emit("all", ()).await.unwrap();
    let bytes = Args::from_values(vec![sockeye::Value::Binary(vec![7, 8].into())]);
    emitter.emit("binary", bytes).await.unwrap();
    let binary = [r#"451-["binary",{"_placeholder":true,"num":0}]"#, "[7, 8]"];
    assert_eq!(fleet.received(&[2, 2]).await, [binary, binary]);
    assert!(fleet.nodes.iter().all(|node| node.metrics.garbage.value() == 0));
}

async fn orders_are_carried_out<W: Way>() {
    let (fleet, emitter) = fleet::<W>().await;
    let (first, second) = (fleet.socket(0), fleet.socket(1));
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    for node in &fleet.nodes {
        let heard = heard.clone();
        node.server.main_namespace().on_server_event("e", move |args: Args| {
            heard.lock().push(args.json_elements().to_owned());
            async { None }
        });
    }
    emitter.server_side_emit("e", ("text", 1)).await.unwrap();
    eventually("both programs hear it", || heard.lock().len() == 2).await;
    assert_eq!(*heard.lock(), [r#""text",1"#; 2]);
    emitter.to("r").sockets_join(["x", "y"]).await.unwrap();
    eventually("one joins", || second.is_in("x") && second.is_in("y")).await;
    emitter.sockets_join("all").await.unwrap();
    eventually("both join", || first.is_in("all") && second.is_in("all")).await;
    emitter.to("x").sockets_leave("y").await.unwrap();
    eventually("one leaves", || !second.is_in("y")).await;
    assert!(!first.is_in("x"));
    emitter.to("x").disconnect_sockets(true).await.unwrap();
    eventually("one is disconnected", || !second.is_connected()).await;
    assert!(first.is_connected());
    for at in 0..2 {
        assert_eq!(fleet.count(at).await, 2, "it is no node");
    }
    let missing = fleet.server(0).fetch_sockets().await.unwrap();
    assert!(missing.is_complete());
}

macro_rules! in_every_mode {
    ($($name:ident: $way:ident,)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn all_get_what_is_for_them() {
                super::all_get_what_is_for_them::<$way>().await;
            }

            #[tokio::test]
            async fn orders_are_carried_out() {
                super::orders_are_carried_out::<$way>().await;
            }
        }
    )*};
}
in_every_mode! {
    sharded: Dynamic,
    sharded_static: Static,
    sharded_private: DynamicPrivate,
    classic: Classic,
    streams: Streams,
    native: Native,
}

#[tokio::test]
async fn nobody_listens() {
    let redis = Redis::started();
    for mode in [Mode::Classic, Mode::Native] {
        assert_eq!(emitter(&redis, mode).emit("e", ()).await.unwrap().listeners, Some(0));
    }
    assert_eq!(emitter(&redis, Mode::Streams).emit("e", ()).await.unwrap().listeners, None);
    assert_eq!(redis.command::<usize>(&["XLEN", "socket.io"]), 1);
}

#[tokio::test]
async fn mistakes_of_the_program_are_told() {
    let emitter = emitter(&Redis::stopped(), Mode::Classic);
    let error = emitter.emit("disconnect", ()).await.unwrap_err();
    assert_eq!(error.to_string(), "\"disconnect\" is a reserved event name");
    let error = emitter.server_side_emit("connection", ()).await.unwrap_err();
    assert!(matches!(error, EmitterError::Emit(_)), "{error}");
    assert_eq!(emitter.of("chat").namespace(), "/chat");
    assert!(RedisEmitter::new(RedisOptions::new("http://secret@x", Mode::Native)).is_err());
}

/// Redis is not there, comes, goes and comes again.
#[tokio::test]
async fn it_connects_when_it_can() {
    let redis = Redis::stopped();
    let emitter = emitter(&redis, Mode::Native);
    let clone = emitter.of("/other");
    let error = emitter.emit("e", ()).await.unwrap_err();
    assert!(matches!(error, EmitterError::Unreachable(_)), "{error}");
    redis.start();
    emitter.emit("e", ()).await.unwrap();
    clone.emit("e", ()).await.unwrap();
    let clients: String = redis.command(&["CLIENT", "LIST", "TYPE", "normal"]);
    assert_eq!(clients.lines().count(), 2, "one of the emitter, one that asks: {clients}");
    redis.stop();
    let error = emitter.emit("e", ()).await.unwrap_err();
    assert!(matches!(error, EmitterError::Unreachable(_) | EmitterError::Lost(_)), "{error}");
    redis.start();
    emitter.emit("e", ()).await.unwrap();
}

/// An answer that does not come ends in time, and one connection that hangs does not keep the next from being made.
#[tokio::test]
async fn a_redis_that_hangs_is_given_up() {
    let redis = Redis::started();
    let mut options = RedisOptions::new(format!("redis://{}", local(redis.port)), Mode::Classic);
    options.timeout = Duration::from_millis(300);
    let emitter = RedisEmitter::new(options).unwrap();
    emitter.emit("e", ()).await.unwrap();
    redis.command::<()>(&["CLIENT", "PAUSE", "1500", "ALL"]);
    let error = emitter.emit("e", ()).await.unwrap_err();
    assert!(matches!(error, EmitterError::Lost(_)), "{error}");
    let error = emitter.emit("e", ()).await.unwrap_err();
    assert!(matches!(error, EmitterError::Unreachable(_)), "{error}");
    redis.command::<()>(&["PING"]);
    emitter.emit("e", ()).await.unwrap();
    // Idle for so long, it asks before it sends: nothing is lost.
    tokio::time::sleep(Duration::from_millis(350)).await;
    emitter.emit("e", ()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(350)).await;
    redis.command::<()>(&["CLIENT", "PAUSE", "1500", "ALL"]);
    let error = emitter.emit("e", ()).await.unwrap_err();
    assert!(matches!(error, EmitterError::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn what_redis_refuses_is_told() {
    let redis = Redis::started();
    redis.command::<()>(&["ACL", "SETUSER", "reader", "on", ">secret", "+hello", "+client", "+ping"]);
    let emitter = |user: &str, mode| {
        let url = format!("redis://{user}@{}", local(redis.port));
        RedisEmitter::new(RedisOptions::new(url, mode)).unwrap()
    };
    let error = emitter("reader:secret", Mode::Streams).emit("e", ()).await.unwrap_err();
    assert!(matches!(&error, EmitterError::Refused(text) if text.contains("xadd")), "{error}");
    let error = emitter("reader:wrong", Mode::Streams).emit("e", ()).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, EmitterError::Unreachable(_)) && text.contains("Redis is not reached"), "{text}");
    // What the guide says that a job needs.
    for (mode, rights) in [
        (Mode::Native, "&sockeye#* +publish"),
        (Mode::Classic, "&socket.io#* &socket.io-request#* +publish"),
        (Mode::Sharded { subscription: Subscription::Dynamic }, "&socket.io#* +spublish"),
        (Mode::Streams, "~socket.io +xadd"),
    ] {
        let rights = format!("ACL SETUSER job reset on >secret resetchannels {rights} +ping +hello");
        redis.command::<()>(&rights.split(' ').collect::<Vec<_>>());
        let job = emitter("job:secret", mode);
        job.of("/chat").to("r").emit("e", ()).await.unwrap();
        job.server_side_emit("e", ()).await.unwrap();
    }
}

/// Many at once share one connection, and each is told of its own.
#[tokio::test]
async fn many_emits_at_once() {
    let (mut fleet, emitter) = fleet::<Native>().await;
    let emits: Vec<_> = (0..500)
        .map(|number| {
            let emitter = emitter.clone();
            tokio::spawn(async move { emitter.emit("e", number).await.map(|receipt| receipt.listeners) })
        })
        .collect();
    for emit in emits {
        assert_eq!(emit.await.unwrap().unwrap(), Some(2));
    }
    assert_eq!(fleet.received(&[500]).await[0].len(), 500);
}
