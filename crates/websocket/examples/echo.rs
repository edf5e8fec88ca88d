//! An echo server: what the conformance suite talks to, and how the codec is driven.
//!
//! usage: echo [ADDRESS] [--no-takeover | --no-deflate]
//!
//! Prints the address it listens on, by default one with a free port. One thread per connection, as only a few come.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use sockeye_websocket::{
    Decoder, Deflater, Event, Inflater, Input, Limits, OpCode, Role,
    deflate::{Agreed, DeflateConfig, negotiate},
    handshake::accept_key,
    write_close, write_frame, write_header,
};

fn main() -> io::Result<()> {
    let mut address = "127.0.0.1:0".to_owned();
    let keep = DeflateConfig {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        ..DeflateConfig::default()
    };
    let mut deflate = Some(keep);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--no-takeover" => deflate = Some(DeflateConfig::default()),
            "--no-deflate" => deflate = None,
            _ => address = argument,
        }
    }
    let listener = TcpListener::bind(address)?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || {
            if let Err(error) = serve(stream, deflate.as_ref()) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

fn serve(mut stream: TcpStream, deflate: Option<&DeflateConfig>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Some(agreed) = handshake(&mut stream, deflate)? else {
        return stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    };
    let mut echo = Echo::new(agreed.as_ref());
    let mut buffer = vec![0; 64 * 1024];
    while !echo.closed {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        echo.receive(buffer.get_mut(..count).unwrap_or_default());
        stream.write_all(&echo.out)?;
        echo.out.clear();
    }
    // The client may still be sending; were the socket closed now, the answer could be lost with it.
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    while matches!(stream.read(&mut buffer), Ok(count) if count > 0) {}
    Ok(())
}

/// One connection, without its socket.
struct Echo {
    decoder: Decoder,
    deflater: Option<Deflater>,
    packed: Vec<u8>,
    out: Vec<u8>,
    closed: bool,
}

impl Echo {
    fn new(agreed: Option<&Agreed>) -> Self {
        // Enough for the performance cases of the suite.
        let mut decoder = Decoder::new(Role::Server, Limits { max_message: 32 << 20, max_fragments: 1 << 20 });
        if let Some(agreed) = agreed {
            decoder = decoder.with_deflate(Inflater::new(agreed, Role::Server));
        }
        let deflater = agreed.map(|agreed| Deflater::new(agreed, Role::Server));
        Self { decoder, deflater, packed: Vec::new(), out: Vec::new(), closed: false }
    }

    fn receive(&mut self, chunk: &mut [u8]) {
        let Self { decoder, deflater, packed, out, closed } = self;
        let mut input = Input::new(chunk);
        loop {
            let (opcode, payload) = match decoder.decode(&mut input) {
                Ok(Some(Event::Text(text))) => (OpCode::Text, text.as_bytes()),
                Ok(Some(Event::Binary(bytes))) => (OpCode::Binary, bytes),
                Ok(Some(Event::Ping(bytes))) => {
                    write_frame(out, OpCode::Pong, bytes);
                    continue;
                }
                Ok(Some(Event::Pong(_))) => continue,
                Ok(Some(Event::Close { code, reason })) => {
                    write_close(out, code, reason);
                    *closed = true;
                    continue;
                }
                Ok(None) => return,
                Err(error) => {
                    write_close(out, Some(error.close_code()), &error.to_string());
                    *closed = true;
                    return;
                }
            };
            packed.clear();
            match deflater.as_mut().map(|deflater| deflater.compress(payload, packed)) {
                Some(Ok(())) => {
                    write_header(out, opcode, true, packed.len());
                    out.extend_from_slice(packed);
                }
                _ => write_frame(out, opcode, payload),
            }
        }
    }
}

/// Reads the request and answers it; `None` if it is no WebSocket handshake, else what was agreed on about compression.
fn handshake(stream: &mut TcpStream, deflate: Option<&DeflateConfig>) -> io::Result<Option<Option<Agreed>>> {
    let (mut key, mut offers) = (None, String::new());
    // A client waits for the answer before it sends frames, so nothing is lost in this buffer.
    let mut request = BufReader::new(&*stream).take(16 * 1024);
    loop {
        let mut line = String::new();
        if request.read_line(&mut line)? <= 2 {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("sec-websocket-key") {
            key = accept_key(value.trim());
        } else if name.eq_ignore_ascii_case("sec-websocket-extensions") {
            offers.push_str(value.trim());
            offers.push(',');
        }
    }
    let Some(accept) = key else { return Ok(None) };
    let mut response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
    );
    let agreed = deflate.and_then(|config| negotiate(&offers, config)).map(|(agreed, answer)| {
        response.push_str("Sec-WebSocket-Extensions: ");
        response.push_str(&answer);
        response.push_str("\r\n");
        agreed
    });
    response.push_str("\r\n");
    stream.write_all(response.as_bytes())?;
    Ok(Some(agreed))
}
