//! What is followed of requests, cut at every place.

use super::*;

/// Reads `text` whole, and cut at every place; all must give the same.
fn read(text: &str) -> (Option<usize>, Framing) {
    let bytes = text.as_bytes();
    let mut whole = Framing::new();
    let at = whole.read(bytes);
    for cut in 0..bytes.len() {
        let mut framing = Framing::new();
        let (first, second) = bytes.split_at(cut);
        let cut_at = framing.read(first).or_else(|| framing.read(second).map(|at| at + cut));
        assert_eq!((cut_at, framing.stage), (at, whole.stage), "cut at {cut} of {text:?}");
    }
    let mut bytewise = Framing::new();
    let found = bytes.iter().position(|byte| bytewise.read(&[*byte]).is_some());
    assert_eq!((found, bytewise.stage), (at, whole.stage), "byte by byte: {text:?}");
    (at, whole)
}

fn stage(text: &str) -> Stage {
    let (at, framing) = read(text);
    assert_eq!(at, None, "{text:?}");
    framing.stage
}

#[test]
fn requests_follow_one_another() {
    let get = "GET /socket.io/?EIO=4 HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(stage(get), Stage::Between);
    assert_eq!(stage(&format!("{get}\r\n\r\n")), Stage::Between);
    assert_eq!(stage(&format!("\r\n{get}{get}GET /")), Stage::Head);
    let post = "POST / HTTP/1.1\r\ncontent-LENGTH:  11 \r\nContent-Type: a\r\n\r\n";
    assert_eq!(stage(&format!("{post}one\ntwo")), Stage::Body { left: 4, is_chunk: false });
    assert_eq!(stage(&format!("{post}one\ntwo\n\n\n\n{get}")), Stage::Between);
    assert_eq!(stage(&format!("{post}one\ntwo\n\n\n\nx")), Stage::Head);
    let empty = "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(stage(&format!("{empty}{get}")), Stage::Between);
}

#[test]
fn chunks_are_skipped() {
    let post = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(stage(post), Stage::ChunkSize);
    assert_eq!(stage(&format!("{post}a;x=y\r\n0\n23456789\r\n0")), Stage::ChunkSize);
    assert_eq!(stage(&format!("{post}a\r\n0\n23456789\r\n0\r\nT: a\r\n")), Stage::Trailers);
    assert_eq!(stage(&format!("{post}A\r\n0\n23456789\r\n0\r\nT: a\r\n\r\n")), Stage::Between);
    assert_eq!(stage(&format!("{post}nope\r\n")), Stage::Unknown);
    assert_eq!(stage(&format!("{post}fffffffffffffffff\r\n")), Stage::Unknown);
}

#[test]
fn a_bare_line_feed_is_found_in_heads_only() {
    assert_eq!(read("GET / HTTP/1.1\nHost: a\r\n\r\n").0, Some(14));
    assert_eq!(read("GET / HTTP/1.1\r\nHost: a\n\r\n").0, Some(23));
    assert_eq!(read("GET / HTTP/1.1\r\nHost: a\r\n\n").0, Some(25));
    let long = format!("GET / HTTP/1.1\r\nCookie: {}\n", "a".repeat(100));
    assert_eq!(read(&long).0, Some(long.len() - 1));
    let second = "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\n\n";
    assert_eq!(read(second).0, Some(32));
    assert!(read(second).1.is_unfinished());
}

#[test]
fn a_length_and_chunks_exclude_each_other() {
    for text in [
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: five\r\ntransfer-encoding: chunked\r\n\r\n",
    ] {
        assert_eq!(read(&format!("{text}0\r\n\r\n")).0, Some(text.len() - 1), "{text:?}");
    }
}

#[test]
fn what_is_not_understood_is_left_to_the_library() {
    assert_eq!(stage("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\x01\n\n"), Stage::Unknown);
    assert_eq!(stage("CONNECT a:1 HTTP/1.1\r\n\r\n\n\n"), Stage::Unknown);
    assert_eq!(stage("POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n\n"), Stage::Unknown);
    let padded = format!("POST / HTTP/1.1\r\nContent-Length: {}5\r\n\r\n", " ".repeat(60));
    let mut cut = Framing::new();
    let (first, second) = padded.as_bytes().split_at(20);
    assert_eq!((cut.read(first), cut.read(second)), (None, None));
    assert_eq!(cut.stage, Stage::Unknown);
    assert_eq!(stage("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\n\n\n"), Stage::Http2);
    assert_eq!(stage("GET / HTTP/1.1\r\n\r\nPRI * HTTP/2.0\r\n"), Stage::Head);
}
