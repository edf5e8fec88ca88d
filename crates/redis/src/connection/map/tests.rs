//! Slots, and what servers say of them.

use redis::cmd;

use super::*;

fn text(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

fn range(first: i64, last: i64, servers: &[(Value, i64)]) -> Value {
    let servers = servers
        .iter()
        .map(|(host, port)| Value::Array(vec![host.clone(), Value::Int(*port), text("id"), Value::Array(Vec::new())]));
    Value::Array([Value::Int(first), Value::Int(last)].into_iter().chain(servers).collect())
}

fn three() -> Map {
    let answer = Value::Array(vec![
        range(0, 5460, &[(text("10.0.0.1"), 7000), (text("10.0.0.4"), 7003)]),
        range(5461, 10922, &[(Value::Nil, 7001)]),
        range(10923, 16383, &[(text(""), 7002)]),
    ]);
    Map::read(answer, &Address::new("asked", 7001)).unwrap()
}

#[test]
fn slots_are_those_of_redis() {
    // As `CLUSTER KEYSLOT` says.
    for (key, expected) in [
        ("123456789", 12739),
        ("socket.io", 9972),
        ("{user1000}.following", 3443),
        ("foo{}{bar}", 8363),
        ("foo{{bar}}zap", 4015),
        ("", 0),
    ] {
        assert_eq!(slot(key.as_bytes()), expected, "{key}");
    }
}

#[test]
fn a_map_is_read() {
    let map = three();
    let names: Vec<_> = map.owners().iter().map(Address::to_string).collect();
    assert_eq!(names, ["10.0.0.1:7000", "asked:7001", "asked:7002"]);
    assert_eq!(map.replicas(), [Address::new("10.0.0.4", 7003)]);
    assert_eq!(map.owner(b"socket.io").port, 7001);
    assert_eq!(map.owner(b"{user1000}.x").port, 7000);
    let moved = map.with_moved(slot(b"socket.io"), &Address::new("new", 1));
    assert_eq!(moved.owner(b"socket.io").port, 1);
    assert_eq!(moved.owners().len(), 4);
    assert!(!map.has_same_owners(&moved) && map.has_same_owners(&map.with_owner(&Address::new("new", 1))));
}

#[test]
fn nonsense_is_no_map() {
    let asked = Address::new("asked", 1);
    for answer in [
        Value::Nil,
        Value::Array(Vec::new()),
        Value::Array(vec![Value::Int(1), Value::Array(vec![Value::Int(0)])]),
        Value::Array(vec![range(0, 1, &[(text("a"), 70_000)])]),
        Value::Array(vec![range(-1, 5, &[(text("a"), 7)])]),
    ] {
        assert_eq!(Map::read(answer, &asked), None);
    }
    let beyond = Map::read(Value::Array(vec![range(0, 99_999, &[(text("a"), 7)])]), &asked).unwrap();
    assert_eq!(beyond.owner(b"123456789").port, 7);
}

#[test]
fn commands_go_to_the_owner_of_their_key() {
    let map = three();
    let to = |command: &mut Cmd| map.target(command).port;
    assert_eq!(to(cmd("SPUBLISH").arg("socket.io").arg("x")), 7001);
    assert_eq!(to(cmd("PUBSUB").arg("SHARDNUMSUB").arg("socket.io")), 7001);
    assert_eq!(to(cmd("XREAD").arg("COUNT").arg(1).arg("STREAMS").arg("socket.io").arg("0")), 7001);
    assert_eq!(to(cmd("EVAL").arg("return 1").arg(1).arg("socket.io").arg("x")), 7001);
    assert_eq!(to(cmd("PUBLISH").arg("socket.io").arg("x")), map.any().port);
    assert_eq!(to(cmd("PUBSUB").arg("NUMSUB").arg("socket.io")), map.any().port);
}

#[test]
fn what_any_can_do_stays_where_it_is() {
    let mut map = three();
    let before = Address::new("asked", 7002);
    map.choose_any(Some(&before), None);
    assert_eq!(*map.any(), before);
    for _ in 0..20 {
        map.choose_any(Some(&before), Some(&before));
        assert_ne!(*map.any(), before);
    }
}

#[test]
fn redirections_are_read() {
    let asked = Address::new("asked", 1);
    let read = |text: &str| {
        let value = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
        let Value::ServerError(error) = value else { panic!("{value:?}") };
        Redirect::read(&error, &asked)
    };
    let to = Address::new("10.0.0.1", 7000);
    assert_eq!(read("MOVED 3999 10.0.0.1:7000"), Some(Redirect::Moved { slot: 3999, to: to.clone() }));
    assert_eq!(read("ASK 3999 10.0.0.1:7000"), Some(Redirect::Ask { to }));
    assert_eq!(read("MOVED 3 :7"), Some(Redirect::Moved { slot: 3, to: Address::new("asked", 7) }));
    assert_eq!(read("CLUSTERDOWN The cluster is down"), Some(Redirect::Later));
    assert_eq!(read("READONLY You can't write"), Some(Redirect::Demoted));
    for nonsense in ["MOVED", "MOVED x y:z", "MOVED 99999 a:1", "NOPERM no"] {
        assert_eq!(read(nonsense), None);
    }
}
