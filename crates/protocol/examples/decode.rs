//! Reads connections from standard input, one JSON object a line, and answers each with what the decoder made of it.
//!
//! A line is `{"parser":"json","messages":["2[\"a\"]",{"binary":"<base64>"}]}`. The answer is `{"packets":[…]}`, each packet
//! with its values and with what encoding it again gives, or `{"error":"…"}`. `testing/differential` compares the answers
//! with those of the official parsers.

use std::io::{self, BufRead, BufWriter, Write};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value as Json, json};
use sockeye_protocol::{
    ByteString, Message,
    socket::{Args, Decoder, Limits, Packet, PacketBody, Parser, Value},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let connection: Json = serde_json::from_str(&line?)?;
        serde_json::to_writer(&mut out, &answer(&connection)?)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

fn answer(connection: &Json) -> Result<Json, Box<dyn std::error::Error>> {
    let parser = if connection["parser"] == "msgpack" { Parser::MsgPack } else { Parser::Json };
    let limits = Limits::default();
    let mut decoder = Decoder::new(parser);
    let mut packets = Vec::new();
    for message in connection["messages"].as_array().ok_or("no messages")? {
        let decoded = match message.as_str() {
            Some(text) => decoder.decode_text(text, &limits),
            None => {
                let data = STANDARD.decode(message["binary"].as_str().ok_or("no binary")?)?;
                decoder.decode_binary(Bytes::from(data), &limits)
            }
        };
        match decoded {
            Ok(Some(packet)) => packets.push(describe(&packet)?),
            Ok(None) => {}
            Err(error) => return Ok(json!({ "error": error.to_string() })),
        }
    }
    Ok(json!({ "packets": packets, "pending": decoder.is_pending() }))
}

fn describe(packet: &Packet) -> Result<Json, Box<dyn std::error::Error>> {
    let (kind, data) = match &packet.body {
        PacketBody::Connect(None) => (0, None),
        PacketBody::Connect(Some(data)) => (0, Some(tagged(&parse(data)?))),
        PacketBody::Disconnect => (1, None),
        PacketBody::Event { name, args } => {
            let name = match name.as_str() {
                // Not finite, which the comparison takes for null.
                "Infinity" | "-Infinity" => Json::Null,
                number if name.is_number() => tagged(&number.parse::<f64>()?.into()),
                text => tagged(&text.into()),
            };
            (2, Some(list(std::iter::once(name).chain(args.to_values()?.iter().map(tagged)))))
        }
        PacketBody::Ack(args) => (3, Some(list(args.to_values()?.iter().map(tagged)))),
        PacketBody::ConnectError(data) if data.is_empty() => (4, None),
        PacketBody::ConnectError(data) => (4, Some(tagged(&parse(data)?))),
    };
    let json = packet.encode(Parser::Json);
    let msgpack = packet.encode(Parser::MsgPack);
    Ok(json!({
        "type": kind,
        "nsp": &*packet.namespace,
        "id": packet.id,
        "data": data,
        "json": std::iter::once(message(&json.head)).chain(json.attachments.iter().map(binary)).collect::<Json>(),
        "msgpack": message(&msgpack.head),
    }))
}

fn parse(text: &str) -> Result<Value, Box<dyn std::error::Error>> {
    let array = ByteString::from(format!("[{text}]"));
    let values = Args::from_json_array(&array, Vec::new())?.to_values()?;
    Ok(values.into_iter().next().unwrap_or_default())
}

/// A value with its type, and numbers as their bits, so that nothing is lost on the way.
fn tagged(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => json!({ "n": format!("{:016x}", number.as_f64().unwrap_or(f64::NAN).to_bits()) }),
        Value::String(text) => json!({ "s": &**text }),
        Value::Binary(data) => json!({ "b": STANDARD.encode(data) }),
        Value::Array(items) => list(items.iter().map(tagged)),
        Value::Object(members) => {
            json!({ "o": members.iter().map(|(key, value)| json!([&**key, tagged(value)])).collect::<Json>() })
        }
    }
}

fn list(items: impl Iterator<Item = Json>) -> Json {
    json!({ "a": items.collect::<Json>() })
}

fn message(message: &Message) -> Json {
    match message {
        Message::Text(text) => (**text).into(),
        Message::Binary(data) => binary(data),
    }
}

fn binary(data: &Bytes) -> Json {
    json!({ "binary": STANDARD.encode(data) })
}
