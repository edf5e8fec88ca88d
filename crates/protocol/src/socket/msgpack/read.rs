//! Reading packets: MessagePack to JSON text and attachments.

use bytes::Bytes;
use bytestring::ByteString;

use super::cursor::{Cursor, Token, deeper, key_text};
use crate::socket::{
    args::Args,
    date::iso_string,
    error::DecodeError,
    json::{write_placeholder, write_string},
    limits::Limits,
    name::EventName,
    number::{push_f64, push_i64, push_u64},
    packet::{Packet, PacketBody},
    scan::PLACEHOLDER,
};

/// Reads the packet that `data` is, to its last byte.
pub(crate) fn read_packet(data: &Bytes, limits: &Limits) -> Result<Packet, DecodeError> {
    let envelope = Envelope::read(data, limits)?;
    let (namespace, id) = (envelope.namespace(limits)?, envelope.id()?);
    let body = match envelope.kind()? {
        0 => PacketBody::Connect(match envelope.data {
            None => None,
            Some(data) if data.is_map() => Some(plain_json(data, limits)?),
            Some(_) => return Err(DecodeError::InvalidPayload),
        }),
        1 if envelope.data.is_none() => PacketBody::Disconnect,
        4 => match envelope.data {
            Some(data) if data.is_map() || data.is_string() => PacketBody::ConnectError(plain_json(data, limits)?),
            _ => return Err(DecodeError::InvalidPayload),
        },
        kind @ (2 | 3) => {
            let mut data = envelope.data.ok_or(DecodeError::InvalidPayload)?;
            let Token::Array(len) = data.token()? else { return Err(DecodeError::InvalidPayload) };
            if kind == 2 {
                let len = len.checked_sub(1).ok_or(DecodeError::InvalidEventName)?;
                let name = event_name(&mut data, limits)?;
                PacketBody::Event { name, args: args(data, len, limits)? }
            } else {
                PacketBody::Ack(args(data, len, limits)?)
            }
        }
        _ => return Err(DecodeError::InvalidPayload),
    };
    Ok(Packet { namespace, id, body })
}

/// The members of a packet, each at its place in the message.
#[derive(Default)]
struct Envelope<'a> {
    kind: Option<Cursor<'a>>,
    namespace: Option<Cursor<'a>>,
    id: Option<Cursor<'a>>,
    data: Option<Cursor<'a>>,
}

impl<'a> Envelope<'a> {
    fn read(source: &'a Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        let mut cursor = Cursor { source, at: 0 };
        if source.is_empty() {
            return Err(DecodeError::Empty);
        }
        let mut envelope = Self::default();
        // The whole message is checked, as in the official parser; what is read later is known to be complete.
        let Token::Map(len) = cursor.token()? else {
            return Err(DecodeError::InvalidPayload);
        };
        for _ in 0..len {
            let key = cursor.token()?;
            let key = key_text(&key)?;
            let value = cursor.clone();
            let undefined = cursor.skip(limits.depth(), limits)?;
            let member = (!undefined).then_some(value);
            match &*key {
                "type" => envelope.kind = member,
                "nsp" => envelope.namespace = member,
                "id" => envelope.id = member,
                "data" => envelope.data = member,
                // `options` says how the sender's transport shall treat the packet.
                _ => {}
            }
        }
        if cursor.at != source.len() {
            return Err(DecodeError::InvalidMsgPack);
        }
        Ok(envelope)
    }

    fn kind(&self) -> Result<u64, DecodeError> {
        let mut cursor = self.kind.clone().ok_or(DecodeError::UnknownType)?;
        cursor.token()?.as_index().filter(|kind| *kind <= 4).ok_or(DecodeError::UnknownType)
    }

    fn namespace(&self, limits: &Limits) -> Result<ByteString, DecodeError> {
        let mut cursor = self.namespace.clone().ok_or(DecodeError::InvalidNamespace)?;
        let Token::Text(text) = cursor.token()? else { return Err(DecodeError::InvalidNamespace) };
        if text == b"/" {
            return Ok(ByteString::from_static("/"));
        }
        if text.len() > limits.max_namespace_len {
            return Err(DecodeError::NamespaceTooLong { limit: limits.max_namespace_len });
        }
        // What JSON could not write is no namespace.
        if !text.starts_with(b"/") || text.contains(&b',') {
            return Err(DecodeError::InvalidNamespace);
        }
        Ok(String::from_utf8_lossy(text).into_owned().into())
    }

    /// As in JSON, an id that is a whole number and that no number of ours can hold is as none.
    fn id(&self) -> Result<Option<u64>, DecodeError> {
        let Some(mut cursor) = self.id.clone() else { return Ok(None) };
        let id = cursor.token()?;
        let is_whole = id.as_f64().is_some_and(|number| number.fract() == 0.0);
        if is_whole { Ok(id.as_index()) } else { Err(DecodeError::InvalidId) }
    }
}

fn event_name(data: &mut Cursor<'_>, limits: &Limits) -> Result<EventName, DecodeError> {
    let name = match data.token()? {
        Token::Text(text) if text.len() > limits.max_event_name_len => {
            return Err(DecodeError::EventNameTooLong { limit: limits.max_event_name_len });
        }
        Token::Text(text) => EventName::from(&*String::from_utf8_lossy(text)),
        number @ (Token::Unsigned(_) | Token::Signed(_) | Token::Float(_)) => {
            let number = number.as_f64().filter(|number| !number.is_nan()).ok_or(DecodeError::InvalidEventName)?;
            EventName::from_number(number)
        }
        _ => return Err(DecodeError::InvalidEventName),
    };
    limits.check_event_name(&name)?;
    Ok(name)
}

/// The next `len` values as arguments.
fn args(mut data: Cursor<'_>, len: usize, limits: &Limits) -> Result<Args, DecodeError> {
    let mut json = ToJson::new(&data, Some(Vec::new()), limits);
    json.out.push(b'[');
    json.items(&mut data, len, limits.depth().saturating_sub(1))?;
    json.out.push(b']');
    let attachments = json.attachments.unwrap_or_default();
    if json.forged && !attachments.is_empty() {
        return Err(DecodeError::IllegalPlaceholder);
    }
    let text = ByteString::try_from(json.out).map_err(|_| DecodeError::InvalidMsgPack)?;
    Ok(Args::from_scanned(text, 1, 0, len).with_attachments(attachments))
}

/// A value as JSON without attachments: binary is what `JSON.stringify` makes of a Node.js `Buffer`.
fn plain_json(mut data: Cursor<'_>, limits: &Limits) -> Result<ByteString, DecodeError> {
    let mut json = ToJson::new(&data, None, limits);
    json.value(&mut data, limits.depth())?;
    ByteString::try_from(json.out).map_err(|_| DecodeError::InvalidMsgPack)
}

/// Writes values as JSON.
///
/// The text is at most six times as large as what was read, but for binaries: their placeholders are bounded in number.
struct ToJson<'a, 'b> {
    source: &'a Bytes,
    limits: &'b Limits,
    out: Vec<u8>,
    /// Where binaries go; `None` if they are to be written as text.
    attachments: Option<Vec<Bytes>>,
    /// Whether an object looks like the placeholder of an attachment, and is not.
    forged: bool,
}

impl<'a, 'b> ToJson<'a, 'b> {
    fn new(data: &Cursor<'a>, attachments: Option<Vec<Bytes>>, limits: &'b Limits) -> Self {
        Self {
            source: data.source,
            limits,
            out: Vec::with_capacity(data.source.len() - data.at + 16),
            attachments,
            forged: false,
        }
    }

    fn value(&mut self, data: &mut Cursor<'a>, depth_left: usize) -> Result<(), DecodeError> {
        match data.token()? {
            Token::Nil | Token::Undefined => self.out.extend_from_slice(b"null"),
            Token::Bool(true) => self.out.extend_from_slice(b"true"),
            Token::Bool(false) => self.out.extend_from_slice(b"false"),
            Token::Unsigned(number) => push_u64(&mut self.out, number),
            Token::Signed(number) => push_i64(&mut self.out, number),
            Token::Float(number) if number == 0.0 && number.is_sign_negative() => self.out.extend_from_slice(b"-0"),
            Token::Float(number) => push_f64(&mut self.out, number),
            Token::Text(text) => write_string(&mut self.out, &String::from_utf8_lossy(text)),
            Token::Binary(data) => self.binary(data, depth_left)?,
            Token::Date(milliseconds) => match iso_string(milliseconds) {
                Some(text) => write_string(&mut self.out, &text),
                None => self.out.extend_from_slice(b"null"),
            },
            Token::Extension(kind, data) => {
                self.out.push(b'[');
                push_i64(&mut self.out, kind.into());
                self.out.push(b',');
                self.binary(data, deeper(depth_left, self.limits)?)?;
                self.out.push(b']');
            }
            Token::Array(len) => {
                self.out.push(b'[');
                self.items(data, len, deeper(depth_left, self.limits)?)?;
                self.out.push(b']');
            }
            Token::Map(len) => self.map(data, len, deeper(depth_left, self.limits)?)?,
        }
        Ok(())
    }

    fn items(&mut self, data: &mut Cursor<'a>, len: usize, depth_left: usize) -> Result<(), DecodeError> {
        for index in 0..len {
            if index > 0 {
                self.out.push(b',');
            }
            self.value(data, depth_left)?;
        }
        Ok(())
    }

    fn map(&mut self, data: &mut Cursor<'a>, len: usize, depth_left: usize) -> Result<(), DecodeError> {
        self.out.push(b'{');
        let mut first = true;
        for _ in 0..len {
            let key = data.token()?;
            let key = key_text(&key)?;
            if data.is_undefined() {
                data.token()?;
                continue;
            }
            if !first {
                self.out.push(b',');
            }
            first = false;
            self.forged |= key == PLACEHOLDER && self.source.get(data.at) == Some(&0xc3);
            write_string(&mut self.out, &key);
            self.out.push(b':');
            self.value(data, depth_left)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    /// In JSON it is an object, so it nests like one.
    fn binary(&mut self, data: &[u8], depth_left: usize) -> Result<(), DecodeError> {
        let depth_left = deeper(depth_left, self.limits)?;
        let Some(attachments) = &mut self.attachments else {
            deeper(depth_left, self.limits)?;
            self.out.extend_from_slice(b"{\"type\":\"Buffer\",\"data\":[");
            for (index, byte) in data.iter().enumerate() {
                if index > 0 {
                    self.out.push(b',');
                }
                push_u64(&mut self.out, (*byte).into());
            }
            self.out.extend_from_slice(b"]}");
            return Ok(());
        };
        if attachments.len() >= self.limits.max_inline_binaries {
            return Err(DecodeError::TooManyAttachments { limit: self.limits.max_inline_binaries });
        }
        write_placeholder(&mut self.out, attachments.len());
        // An empty slice of the message has no place in it.
        attachments.push(if data.is_empty() { Bytes::new() } else { self.source.slice_ref(data) });
        Ok(())
    }
}
