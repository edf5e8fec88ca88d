//! JSONP polling: payloads inside a script on the way out, inside a form on the way in.

use std::borrow::Cow;

use super::PacketError;
use super::request::{decode_component, form_pairs};

/// The script that hands a payload to callback `index`, the value of the query's `j`. Only its digits are used, so that
/// the client cannot choose what the script says.
///
/// ```
/// # use sockeye_protocol::engine::jsonp;
/// assert_eq!(jsonp::wrap("0", "4\"hi\""), r#"___eio[0]("4\"hi\"");"#);
/// ```
pub fn wrap(index: &str, payload: &str) -> String {
    let mut script = String::with_capacity(payload.len() + payload.len() / 8 + 24);
    script.push_str("___eio[");
    script.extend(index.chars().filter(char::is_ascii_digit));
    script.push_str("](\"");
    for character in payload.chars() {
        push_escaped(&mut script, character);
    }
    script.push_str("\");");
    script
}

/// The payload in the form `d=...` that a JSONP client posts.
///
/// Browsers change line ends in a form, so clients send a line feed as `\n` and a real `\n` as `\\n`; both are
/// turned back.
///
/// # Errors
/// There is no field `d`, or there are several.
pub fn unwrap_form(body: &[u8]) -> Result<String, PacketError> {
    let body = String::from_utf8_lossy(body);
    let mut values = form_pairs(&body).filter(|(name, _)| decode_component(name) == "d").map(|(_, value)| value);
    let value = values.next().ok_or(PacketError::InvalidForm)?;
    if values.next().is_some() {
        return Err(PacketError::InvalidForm);
    }
    Ok(match decode_component(value) {
        escaped if escaped.contains("\\n") => unescape_line_feeds(&escaped),
        plain => Cow::into_owned(plain),
    })
}

fn unescape_line_feeds(mut text: &str) -> String {
    let mut payload = String::with_capacity(text.len());
    while let Some((before, after)) = text.split_once('\\') {
        payload.push_str(before);
        if let Some(rest) = after.strip_prefix("\\n") {
            payload.push_str("\\n");
            text = rest;
        } else if let Some(rest) = after.strip_prefix('n') {
            payload.push('\n');
            text = rest;
        } else {
            payload.push('\\');
            text = after;
        }
    }
    payload.push_str(text);
    payload
}

/// Escapes as `JSON.stringify` does, and the two line ends that JSON allows in a string and older JavaScript does not.
fn push_escaped(script: &mut String, character: char) {
    match character {
        '"' => script.push_str("\\\""),
        '\\' => script.push_str("\\\\"),
        '\n' => script.push_str("\\n"),
        '\r' => script.push_str("\\r"),
        '\t' => script.push_str("\\t"),
        '\u{8}' => script.push_str("\\b"),
        '\u{c}' => script.push_str("\\f"),
        '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
            script.push_str("\\u");
            for shift in [12, 8, 4, 0] {
                let digit = u32::from(character) >> shift & 0xf;
                script.push(char::from_digit(digit, 16).unwrap_or('0'));
            }
        }
        _ => script.push(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_reach_the_script() {
        assert_eq!(wrap("1);alert(2", ""), "___eio[12](\"\");");
        assert_eq!(wrap("", "6"), "___eio[](\"6\");");
        assert_eq!(wrap("٣", "6"), "___eio[](\"6\");");
    }

    #[test]
    fn the_payload_is_a_valid_string_of_old_javascript() {
        let all: String = ('\0'..='\u{ff}').chain("\u{2028}\u{2029}\u{20ac}\u{1f600}".chars()).collect();
        let json = serde_json::to_string(&all).unwrap();
        let json = json.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
        assert_eq!(wrap("7", &all), format!("___eio[7]({json});"));
    }

    #[test]
    fn forms_are_decoded() {
        for (body, expected) in [
            ("d=4hello", "4hello"),
            ("d=4a%2Bb+c%C3%A9", "4a+b c\u{e9}"),
            ("x=1&d=4&y", "4"),
            ("%64=4", "4"),
            ("d=4a%5Cnb", "4a\nb"),
            ("d=4a%5C%5Cnb", "4a\\nb"),
            ("d=4a%5C%5C%5Cnb", "4a\\\\nb"),
            ("d=4a%5Cb%5C", "4a\\b\\"),
            ("d=4%zz%", "4%zz%"),
            ("d=", ""),
            ("d", ""),
            ("d=4=5", "4=5"),
        ] {
            assert_eq!(unwrap_form(body.as_bytes()).as_deref(), Ok(expected), "{body}");
        }
    }

    #[test]
    fn forms_without_one_payload_are_refused() {
        for body in ["", "x=1", "d=1&d=2", "D=1"] {
            assert_eq!(unwrap_form(body.as_bytes()), Err(PacketError::InvalidForm), "{body}");
        }
    }
}
