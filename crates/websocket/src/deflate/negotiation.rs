//! Agreeing on permessage-deflate in the opening handshake (RFC 7692, 5 and 7.1).

use crate::error::Error;

/// How an endpoint wishes to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeflateConfig {
    /// The server compresses each message on its own.
    pub server_no_context_takeover: bool,
    /// The client compresses each message on its own.
    pub client_no_context_takeover: bool,
    /// The server's window has at most two to the power of this many bytes: 9 to 15; other values count as the nearest.
    pub server_max_window_bits: u8,
    /// The same for the client's window. A client that cannot be told so keeps to 15.
    pub client_max_window_bits: u8,
    /// How hard to compress, from 0 (not at all) to 9.
    pub level: u32,
}

impl Default for DeflateConfig {
    /// No context takeover, full windows, and a quick level.
    fn default() -> Self {
        Self {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: MAX_BITS,
            client_max_window_bits: MAX_BITS,
            level: 3,
        }
    }
}

/// What both endpoints have agreed on; the fields are those of [`DeflateConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Agreed {
    /// The server compresses each message on its own.
    pub server_no_context_takeover: bool,
    /// The client compresses each message on its own.
    pub client_no_context_takeover: bool,
    /// The size of the server's window, as a power of two: 9 to 15.
    pub server_max_window_bits: u8,
    /// The size of the client's window, as a power of two: 8 to 15.
    pub client_max_window_bits: u8,
    /// How hard this endpoint compresses.
    pub level: u32,
}

/// A server's choice among the offers of a client: the first of permessage-deflate that is well-formed and can be met, with
/// the value of `Sec-WebSocket-Extensions` for the response.
///
/// `offers` is the whole header of the request; several headers are joined by commas. `None` means to go on without
/// compression and without that header.
#[must_use]
pub fn negotiate(offers: &str, config: &DeflateConfig) -> Option<(Agreed, String)> {
    split(offers, ',').filter_map(|offer| Params::parse(offer).ok()?).find_map(|offer| offer.answer(config))
}

/// The value of `Sec-WebSocket-Extensions` by which a client offers permessage-deflate.
#[must_use]
pub fn offer(config: &DeflateConfig) -> String {
    let mut out = NAME.to_owned();
    push_flag(&mut out, SERVER_NO_TAKEOVER, config.server_no_context_takeover);
    push_flag(&mut out, CLIENT_NO_TAKEOVER, config.client_no_context_takeover);
    push_bits(&mut out, SERVER_BITS, clamp(config.server_max_window_bits));
    out.push_str("; ");
    out.push_str(CLIENT_BITS);
    if clamp(config.client_max_window_bits) < MAX_BITS {
        out.push('=');
        out.push_str(&clamp(config.client_max_window_bits).to_string());
    }
    out
}

/// A client's reading of the server's answer to [`offer`] with the same `config`: the whole `Sec-WebSocket-Extensions`
/// header of the response.
///
/// # Errors
///
/// [`Error::Extension`] if the answer is malformed, names another extension, does not grant what was asked for, or wants a
/// window that cannot be made. The client fails the connection.
pub fn accept_response(header: &str, config: &DeflateConfig) -> Result<Agreed, Error> {
    let mut answers = split(header, ',');
    let answer = answers.next().ok_or(Error::Extension)?;
    let params = Params::parse(answer)?.ok_or(Error::Extension)?;
    if answers.next().is_some() {
        return Err(Error::Extension);
    }
    let asked_bits = clamp(config.server_max_window_bits);
    let server_max_window_bits = params.server_bits.unwrap_or(MAX_BITS);
    let granted =
        (params.server_no_takeover || !config.server_no_context_takeover) && server_max_window_bits <= asked_bits;
    // What this end compresses with; zlib makes no window of 8 bits.
    let client_max_window_bits = match params.client_bits {
        Some(Some(bits)) if bits >= MIN_BITS => bits.min(clamp(config.client_max_window_bits)),
        None => clamp(config.client_max_window_bits),
        Some(_) => return Err(Error::Extension),
    };
    if !granted {
        return Err(Error::Extension);
    }
    Ok(Agreed {
        server_no_context_takeover: params.server_no_takeover,
        client_no_context_takeover: params.client_no_takeover || config.client_no_context_takeover,
        server_max_window_bits,
        client_max_window_bits,
        level: config.level,
    })
}

/// The parameters of one offer or answer.
#[derive(Debug, Default)]
struct Params {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: Option<u8>,
    /// `Some(None)` if named without a value, as an offer may.
    client_bits: Option<Option<u8>>,
}

impl Params {
    /// Reads one element of the header; `Ok(None)` if it is another extension.
    fn parse(element: &str) -> Result<Option<Self>, Error> {
        let mut parts = split(element, ';');
        if !parts.next().is_some_and(|name| name.eq_ignore_ascii_case(NAME)) {
            return Ok(None);
        }
        let mut params = Self::default();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim(), Some(unquote(value.trim()))),
                None => (part, None),
            };
            let repeated = if name.eq_ignore_ascii_case(SERVER_NO_TAKEOVER) && value.is_none() {
                std::mem::replace(&mut params.server_no_takeover, true)
            } else if name.eq_ignore_ascii_case(CLIENT_NO_TAKEOVER) && value.is_none() {
                std::mem::replace(&mut params.client_no_takeover, true)
            } else if name.eq_ignore_ascii_case(SERVER_BITS) {
                params.server_bits.replace(parse_bits(value.ok_or(Error::Extension)?)?).is_some()
            } else if name.eq_ignore_ascii_case(CLIENT_BITS) {
                params.client_bits.replace(value.map(parse_bits).transpose()?).is_some()
            } else {
                return Err(Error::Extension);
            };
            if repeated {
                return Err(Error::Extension);
            }
        }
        Ok(Some(params))
    }

    /// A server's answer to this offer; `None` if it cannot be met.
    fn answer(&self, config: &DeflateConfig) -> Option<(Agreed, String)> {
        let server_bits = clamp(config.server_max_window_bits).min(self.server_bits.unwrap_or(MAX_BITS));
        if server_bits < MIN_BITS {
            // zlib makes no window of 8 bits.
            return None;
        }
        // A client that does not name the parameter does not understand it.
        let client_bits = match self.client_bits {
            None => MAX_BITS,
            Some(most) => clamp(config.client_max_window_bits).min(most.unwrap_or(MAX_BITS)),
        };
        let agreed = Agreed {
            server_no_context_takeover: config.server_no_context_takeover || self.server_no_takeover,
            client_no_context_takeover: config.client_no_context_takeover || self.client_no_takeover,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
            level: config.level,
        };
        let mut out = NAME.to_owned();
        push_flag(&mut out, SERVER_NO_TAKEOVER, agreed.server_no_context_takeover);
        push_flag(&mut out, CLIENT_NO_TAKEOVER, agreed.client_no_context_takeover);
        push_bits(&mut out, SERVER_BITS, server_bits);
        push_bits(&mut out, CLIENT_BITS, client_bits);
        Some((agreed, out))
    }
}

fn push_flag(out: &mut String, name: &str, set: bool) {
    if set {
        out.push_str("; ");
        out.push_str(name);
    }
}

/// Leaves out the full window, which is meant when nothing is said.
fn push_bits(out: &mut String, name: &str, bits: u8) {
    if bits < MAX_BITS {
        push_flag(out, name, true);
        out.push('=');
        out.push_str(&bits.to_string());
    }
}

fn clamp(bits: u8) -> u8 {
    bits.clamp(MIN_BITS, MAX_BITS)
}

/// A window size: one or two digits without a leading zero, 8 to 15.
fn parse_bits(value: &str) -> Result<u8, Error> {
    let digits = !value.starts_with('0') && value.bytes().all(|byte| byte.is_ascii_digit());
    let bits = value.parse().ok().filter(|bits| (8..=MAX_BITS).contains(bits));
    bits.filter(|_| digits).ok_or(Error::Extension)
}

fn unquote(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// The parts of a header between separators that are not quoted, trimmed, without empty ones.
fn split(header: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    let parts = header.split(move |character| {
        let plain = !escaped;
        escaped = quoted && plain && character == '\\';
        quoted ^= plain && character == '"';
        !quoted && character == separator
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

const NAME: &str = "permessage-deflate";
const SERVER_NO_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";
/// The smallest window that zlib makes.
const MIN_BITS: u8 = 9;
const MAX_BITS: u8 = 15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::fuzz_negotiate;

    fn takeover() -> DeflateConfig {
        DeflateConfig {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            ..DeflateConfig::default()
        }
    }

    fn answer(offers: &str, config: &DeflateConfig) -> Option<String> {
        negotiate(offers, config).map(|(_, answer)| answer)
    }

    #[test]
    fn answers_what_browsers_offer() {
        let default = DeflateConfig::default();
        let no_takeover = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        for offers in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
            "PerMessage-Deflate ;\tclient_max_window_bits=\"15\" ",
        ] {
            assert_eq!(answer(offers, &default).as_deref(), Some(no_takeover), "{offers}");
        }
        assert_eq!(answer("permessage-deflate", &takeover()).as_deref(), Some("permessage-deflate"));
        assert_eq!(answer("", &default), None);
        assert_eq!(answer("x-webkit-deflate-frame", &default), None);
    }

    #[test]
    fn grants_what_the_client_asks_for() {
        let offers =
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=12";
        let (agreed, answer) = negotiate(offers, &takeover()).expect("granted");
        assert_eq!(answer, offers);
        assert_eq!(
            agreed,
            Agreed {
                server_no_context_takeover: true,
                client_no_context_takeover: false,
                server_max_window_bits: 10,
                client_max_window_bits: 12,
                level: takeover().level,
            }
        );
        assert_eq!(
            answer_of("permessage-deflate; client_no_context_takeover").as_deref(),
            Some("permessage-deflate; client_no_context_takeover")
        );
    }

    fn answer_of(offers: &str) -> Option<String> {
        answer(offers, &takeover())
    }

    #[test]
    fn a_smaller_client_window_is_asked_for_only_where_it_is_understood() {
        let config = DeflateConfig { server_max_window_bits: 11, client_max_window_bits: 10, ..takeover() };
        let server_only = "permessage-deflate; server_max_window_bits=11";
        assert_eq!(answer("permessage-deflate", &config).as_deref(), Some(server_only));
        let both = "permessage-deflate; server_max_window_bits=11; client_max_window_bits=10";
        assert_eq!(answer("permessage-deflate; client_max_window_bits", &config).as_deref(), Some(both));
        let smaller = "permessage-deflate; server_max_window_bits=11; client_max_window_bits=9";
        assert_eq!(answer("permessage-deflate; client_max_window_bits=9", &config).as_deref(), Some(smaller));
    }

    #[test]
    fn passes_over_offers_it_cannot_meet() {
        for bad in [
            "permessage-deflate; unknown",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=010",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
        ] {
            assert_eq!(answer_of(bad), None, "{bad}");
            let second = format!("{bad}, permessage-deflate");
            assert_eq!(answer_of(&second).as_deref(), Some("permessage-deflate"), "{second}");
        }
        let quoted = "other; value=\"a, permessage-deflate; x\\\", b\", permessage-deflate";
        assert_eq!(answer_of(quoted).as_deref(), Some("permessage-deflate"));
    }

    #[test]
    fn a_client_accepts_answers_within_its_offer() {
        let config = DeflateConfig { client_max_window_bits: 12, ..takeover() };
        assert_eq!(offer(&config), "permessage-deflate; client_max_window_bits=12");
        let agreed = accept_response("permessage-deflate; client_max_window_bits=10", &config).expect("accepted");
        assert_eq!((agreed.client_max_window_bits, agreed.server_max_window_bits), (10, 15));
        assert!(!agreed.client_no_context_takeover);
        // A hint is no more than that, and may be exceeded by a server that does not repeat it; the client keeps to it.
        let agreed = accept_response("permessage-deflate; server_no_context_takeover", &config).expect("accepted");
        assert_eq!((agreed.client_max_window_bits, agreed.server_no_context_takeover), (12, true));
    }

    #[test]
    fn a_client_refuses_answers_beyond_its_offer() {
        let config = DeflateConfig { server_max_window_bits: 12, ..DeflateConfig::default() };
        for bad in [
            "",
            "x-webkit-deflate-frame",
            "permessage-deflate; server_max_window_bits=12",
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=13",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=12; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=12; client_max_window_bits=8",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=12, permessage-deflate",
        ] {
            assert_eq!(accept_response(bad, &config), Err(Error::Extension), "{bad}");
        }
        let good = "permessage-deflate; server_no_context_takeover; server_max_window_bits=12";
        assert!(accept_response(good, &config).is_ok());
    }

    proptest! {
        #[test]
        fn any_header_does_no_harm(header in "([a-z=;, \"\\\\0-9]|permessage-deflate|client_max_window_bits){0,20}") {
            fuzz_negotiate(&header);
        }

        #[test]
        fn our_client_and_our_server_agree(server in any_config(), client in any_config()) {
            let (server_side, answer) = negotiate(&offer(&client), &server).expect("the server can meet any offer of ours");
            let client_side = accept_response(&answer, &client).expect("the client takes any answer of ours");
            // What one end compresses with, the other can inflate.
            prop_assert!(client_side.client_max_window_bits <= server_side.client_max_window_bits);
            prop_assert!(server_side.server_max_window_bits <= client_side.server_max_window_bits);
            prop_assert_eq!(client_side.server_no_context_takeover, server_side.server_no_context_takeover);
            prop_assert!(client_side.client_no_context_takeover || !server_side.client_no_context_takeover);
        }
    }

    fn any_config() -> impl Strategy<Value = DeflateConfig> {
        (any::<bool>(), any::<bool>(), 8u8..=16, 8u8..=16).prop_map(|(server, client, server_bits, client_bits)| {
            DeflateConfig {
                server_no_context_takeover: server,
                client_no_context_takeover: client,
                server_max_window_bits: server_bits,
                client_max_window_bits: client_bits,
                level: 3,
            }
        })
    }
}
