//! Writing packets: JSON text and attachments to MessagePack.

use bytes::Bytes;

use super::primitives::{ARRAY, Form, MAP, write_binary, write_f64, write_head, write_i64, write_text, write_u64};
use crate::socket::{
    json::ReadError,
    name::EventName,
    number::as_safe_integer,
    packet::{Packet, PacketBody, number_text},
    scan::{Kind, MAX_DEPTH, PlaceholderState, Scanner},
};

/// Appends a packet.
pub(crate) fn write_packet(packet: &Packet, out: &mut Vec<u8>) {
    let (kind, has_data) = match &packet.body {
        PacketBody::Connect(data) => (0, data.is_some()),
        PacketBody::Disconnect => (1, false),
        PacketBody::Event { .. } => (2, true),
        PacketBody::Ack(_) => (3, true),
        PacketBody::ConnectError(data) => (4, !data.is_empty()),
    };
    out.push(0x82 + u8::from(has_data) + u8::from(packet.id.is_some()));
    write_text(out, "type");
    out.push(kind);
    if has_data {
        write_text(out, "data");
        match &packet.body {
            PacketBody::Connect(Some(data)) | PacketBody::ConnectError(data) => write_json(out, data, &[]),
            PacketBody::Event { name, args } => {
                write_head(out, args.len() + 1, ARRAY);
                write_name(out, name);
                write_elements(out, args.json_elements(), args.len(), args.attachments());
            }
            PacketBody::Ack(args) => {
                write_head(out, args.len(), ARRAY);
                write_elements(out, args.json_elements(), args.len(), args.attachments());
            }
            PacketBody::Connect(None) | PacketBody::Disconnect => {}
        }
    }
    write_text(out, "nsp");
    write_text(out, if packet.namespace.is_empty() { "/" } else { &packet.namespace });
    if let Some(id) = packet.id {
        write_text(out, "id");
        write_u64(out, id);
    }
}

fn write_name(out: &mut Vec<u8>, name: &EventName) {
    if name.is_number() {
        write_number(out, number_text(name));
    } else {
        write_text(out, name);
    }
}

/// Appends so many values, separated by commas. What cannot be read is `null`; arguments can, by construction.
fn write_elements(out: &mut Vec<u8>, elements: &str, count: usize, attachments: &[Bytes]) {
    // One level is the array around, which is not in the text.
    let scanner = Scanner::new(elements, MAX_DEPTH - 1, attachments.len());
    let mut writer = Writer { scanner, out, attachments };
    for index in 0..count {
        writer.scanner.skip_whitespace();
        if index > 0 && writer.scanner.expect(b',').is_ok() {
            writer.scanner.skip_whitespace();
        }
        writer.value_or_nil();
    }
}

/// Appends one value; nil if the text is not JSON.
fn write_json(out: &mut Vec<u8>, text: &str, attachments: &[Bytes]) {
    let scanner = Scanner::new(text, MAX_DEPTH, attachments.len());
    let mut writer = Writer { scanner, out, attachments };
    writer.scanner.skip_whitespace();
    writer.value_or_nil();
}

struct Writer<'a, 'b> {
    scanner: Scanner<'a>,
    out: &'b mut Vec<u8>,
    attachments: &'a [Bytes],
}

impl Writer<'_, '_> {
    fn value_or_nil(&mut self) {
        let start = self.out.len();
        if self.value().is_err() {
            self.out.truncate(start);
            self.out.push(0xc0);
        }
    }

    /// Appends one value. The recursion is bounded by the scanner's depth.
    fn value(&mut self) -> Result<(), ReadError> {
        match self.scanner.peek() {
            Some(b'"') => {
                let text = self.scanner.string()?;
                write_text(self.out, &text.unescape());
            }
            Some(b'-' | b'0'..=b'9') => write_number(self.out, self.scanner.number()?),
            Some(b'[') => self.array()?,
            Some(b'{') => self.object()?,
            _ => self.out.push(match self.scanner.literal()? {
                Kind::True => 0xc3,
                Kind::False => 0xc2,
                _ => 0xc0,
            }),
        }
        Ok(())
    }

    fn array(&mut self) -> Result<(), ReadError> {
        self.scanner.open(b'[')?;
        let head = self.open_head();
        let mut count = 0;
        while self.scanner.next_item(count == 0, b']')? {
            self.value()?;
            count += 1;
        }
        self.close_head(head, count, ARRAY);
        Ok(())
    }

    fn object(&mut self) -> Result<(), ReadError> {
        self.scanner.open(b'{')?;
        let head = self.open_head();
        let mut placeholder = PlaceholderState::default();
        let mut count = 0;
        while self.scanner.next_item(count == 0, b'}')? {
            let key = self.scanner.key()?;
            write_text(self.out, &key.unescape());
            let at = self.scanner.position();
            let first_byte = self.scanner.peek();
            self.value()?;
            count += 1;
            if !self.attachments.is_empty() {
                let (kind, number) = match first_byte {
                    Some(b't') => (Kind::True, ""),
                    Some(b'-' | b'0'..=b'9') => (Kind::Number, self.scanner.slice(at)?),
                    _ => (Kind::Null, ""),
                };
                placeholder.see(key, kind, number);
            }
        }
        if placeholder.is_placeholder() {
            self.out.truncate(head);
            let index = placeholder.index(self.attachments.len()).ok_or(ReadError::Placeholder)?;
            let data = self.attachments.get(index).ok_or(ReadError::Placeholder)?;
            write_binary(self.out, data);
        } else {
            self.close_head(head, count, MAP);
        }
        Ok(())
    }

    /// Leaves room for the head of an array or map whose length is not known yet: one byte, which does for most.
    fn open_head(&mut self) -> usize {
        self.out.push(0);
        self.out.len() - 1
    }

    fn close_head(&mut self, at: usize, count: usize, form: Form) {
        match (self.out.get_mut(at), u8::try_from(count)) {
            (Some(byte), Ok(count @ 0..=15)) => *byte = form.fixed | count,
            _ => {
                let mut head = Vec::with_capacity(5);
                write_head(&mut head, count, form);
                self.out.splice(at..=at, head);
            }
        }
    }
}

/// Appends the number of a JSON text: an integer if it is a whole one, else a double.
fn write_number(out: &mut Vec<u8>, text: &str) {
    if let Ok(number) = text.parse::<u64>() {
        write_u64(out, number);
    } else if let Ok(number) = text.parse::<i64>() {
        write_i64(out, number);
    } else {
        match text.parse::<f64>() {
            Ok(number) => match as_safe_integer(number) {
                Some(integer) => write_i64(out, integer),
                None => write_f64(out, number),
            },
            Err(_) => out.push(0xc0),
        }
    }
}
