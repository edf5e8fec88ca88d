//! Events between the nodes' programs.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sockeye::Args;

use crate::fleet::eventually;
use crate::{Cluster, Fleet};

/// But not its own.
pub async fn an_event_reaches_the_other_programs<C: Cluster>() {
    let fleet = Fleet::<C>::of(3).await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    for at in 0..3 {
        let heard = heard.clone();
        fleet.server(at).main_namespace().on_server_event("news", move |args: Args| {
            heard.lock().push((at, args.json_elements().to_owned()));
            async { None }
        });
    }
    fleet.server(1).server_side_emit("news", ("a", 1)).unwrap();
    fleet.server(1).server_side_emit("unheard", ()).unwrap();
    eventually("both have heard", || async { heard.lock().len() == 2 }).await;
    let mut heard = heard.lock().clone();
    heard.sort_unstable();
    assert_eq!(heard, [(0, "\"a\",1".to_owned()), (2, "\"a\",1".to_owned())]);
}

/// At once, or after a while.
pub async fn the_other_programs_answer<C: Cluster>() {
    let fleet = Fleet::<C>::of(3).await;
    for at in 0..3_u32 {
        fleet.server(at as usize).main_namespace().on_server_event("add", move |args: Args| async move {
            if at == 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let number: u32 = args.deserialize().ok()?;
            Args::from_serialize(&(number + at)).ok()
        });
    }
    let answers = fleet.server(0).server_side_emit_with_ack("add", 10, LONG).await.unwrap();
    assert!(answers.is_complete());
    let mut numbers: Vec<u32> = answers.iter().map(|args| args.deserialize().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [11, 12]);
}

/// What the others said is there.
pub async fn a_program_that_is_silent_is_missing<C: Cluster>() {
    let fleet = Fleet::<C>::of(3).await;
    fleet.server(1).main_namespace().on_server_event("q", |_| async { Some(Args::from_values(vec![true.into()])) });
    let answers = fleet.server(0).server_side_emit_with_ack("q", (), SHORT).await.unwrap();
    assert_eq!((answers.len(), answers.missing.len()), (1, 1));
    if fleet.cluster.names_nodes() {
        assert_eq!(answers.missing, [fleet.name(2)]);
    }
}

/// Of one sender.
pub async fn the_order_of_events_is_kept<C: Cluster>() {
    let fleet = Fleet::<C>::of(2).await;
    let heard = Arc::new(Mutex::new(Vec::<u32>::new()));
    let log = heard.clone();
    fleet.server(1).main_namespace().on_server_event("n", move |args: Args| {
        log.lock().push(args.deserialize().unwrap());
        async { None }
    });
    for number in 0..200_u32 {
        fleet.server(0).server_side_emit("n", number).unwrap();
    }
    eventually("all were heard", || async { heard.lock().len() == 200 }).await;
    assert!(heard.lock().is_sorted());
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_secs(2);

/// Its handlers panic at once, or after a while: that costs those events, and their answers.
pub async fn a_program_that_panics_holds_up_nothing<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let program = fleet.server(1).main_namespace();
    program.on_server_event("at once", |_: Args| -> std::future::Ready<Option<Args>> { panic!("on purpose") });
    program.on_server_event("later", |_: Args| async {
        tokio::task::yield_now().await;
        panic!("on purpose")
    });
    let all = heard.clone();
    program.on_server_event("good", move |args: Args| {
        all.lock().push(args.json_elements().to_owned());
        async { None }
    });
    for number in 0..3 {
        fleet.server(0).server_side_emit("at once", ()).unwrap();
        fleet.server(0).server_side_emit("later", ()).unwrap();
        fleet.server(0).server_side_emit("good", number).unwrap();
        fleet.server(0).emit("e", number);
    }
    eventually("what is good is heard", || async { heard.lock().len() == 3 }).await;
    assert_eq!(*heard.lock(), ["0", "1", "2"]);
    let got = fleet.received(&[3, 3]).await;
    assert_eq!(got, [["42[\"e\",0]", "42[\"e\",1]", "42[\"e\",2]"]; 2]);
    let panics = fleet.server(1).metrics().handler_panics.value();
    let server = fleet.server(0).clone();
    let asking = tokio::spawn(async move { server.server_side_emit_with_ack("later", (), LONG).await });
    eventually("it panics", || async { fleet.server(1).metrics().handler_panics.value() > panics }).await;
    assert!(fleet.server(0).fetch_sockets().await.unwrap().is_complete(), "questions are answered as ever");
    assert!(!asking.is_finished(), "a panic is no answer");
    asking.abort();
}
