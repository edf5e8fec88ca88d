//! Arguments of an event from the command line, with errors that show the place.

use bytes::Bytes;
use serde::de::IgnoredAny;
use sockeye::Args;

/// The arguments: texts of JSON, which are passed on as they are, then binaries.
///
/// # Errors
///
/// One is not JSON, told with its place.
pub(super) fn arguments(texts: &[String], binaries: Vec<Bytes>) -> Result<Args, String> {
    let mut elements = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => elements.push(text.trim().to_owned()),
            Err(error) => return Err(complaint(number + 1, text, &error)),
        }
    }
    elements.extend((0..binaries.len()).map(|number| format!(r#"{{"_placeholder":true,"num":{number}}}"#)));
    let array = format!("[{}]", elements.join(",")).into();
    Args::from_json_array(&array, binaries).map_err(|error| format!("the arguments cannot be sent: {error}"))
}

/// What is wrong, the line that it is in, and a mark below the place.
fn complaint(number: usize, text: &str, error: &serde_json::Error) -> String {
    let what = error.to_string();
    let what = what.split(" at line ").next().unwrap_or_default();
    let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
    // Columns are counted in bytes, from 1.
    let before = line.bytes().take(error.column().saturating_sub(1)).filter(|byte| !is_inside(*byte)).count();
    let skipped = before.saturating_sub(BEFORE);
    let shown: String = line.chars().skip(skipped).take(SHOWN).collect();
    let shown = shown.replace(char::is_control, " ");
    let mark = " ".repeat(before - skipped);
    let place = match text.lines().count() {
        0 | 1 => format!("column {}", before + 1),
        _ => format!("line {} column {}", error.line(), before + 1),
    };
    let hint = if is_word(text) { format!("\nA text has quotes of its own: '\"{text}\"'") } else { String::new() };
    format!("argument {number} is not JSON: {what} at {place}\n{shown}\n{mark}^{hint}")
}

/// Whether a byte goes on with a character of UTF-8.
const fn is_inside(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Whether somebody has forgotten quotes, or the shell has taken them.
fn is_word(text: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || " -_.,:!?/'".contains(c);
    text.chars().count() <= SHOWN && text.starts_with(char::is_alphanumeric) && text.chars().all(is_plain)
}

/// How many characters are shown of a line, and how many of these at most before the place.
const SHOWN: usize = 72;
const BEFORE: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        arguments(&["1".to_owned(), text.to_owned()], Vec::new()).unwrap_err()
    }

    #[test]
    fn texts_are_passed_on_as_they_are() {
        let texts = [" 1.50 ", r#"{"b":1,"a":"é"}"#, "-0"].map(str::to_owned);
        let args = arguments(&texts, vec![Bytes::from_static(&[1, 2])]).unwrap();
        let elements = r#"1.50,{"b":1,"a":"é"},-0,{"_placeholder":true,"num":0}"#;
        assert_eq!((args.json_elements(), args.attachments().len()), (elements, 1));
        assert!(arguments(&[], Vec::new()).unwrap().is_empty());
    }

    #[test]
    fn the_place_is_shown() {
        let expected = "argument 2 is not JSON: expected `,` or `}` at column 10\n{\"é\": 12 \"b\": 2}\n         ^";
        assert_eq!(error(r#"{"é": 12 "b": 2}"#), expected);
        assert!(error("[1,\n2,\n 3 4]").contains("at line 3 column 4\n 3 4]\n   ^"), "{}", error("[1,\n2,\n 3 4]"));
        let long = format!("[{}x]", "1,".repeat(500));
        let told = error(&long);
        assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
        assert_eq!(told.lines().nth(2).unwrap().len(), BEFORE + 1);
        assert!(error("").contains("EOF while parsing a value"));
    }

    #[test]
    fn forgotten_quotes_are_told() {
        assert!(error("hello").ends_with("\nA text has quotes of its own: '\"hello\"'"), "{}", error("hello"));
        assert!(!error("{a}").contains("quotes"), "{}", error("{a}"));
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert_eq!(error(&deep), "the arguments cannot be sent: the arguments nest deeper than 127");
        let forged = [r#"{"_placeholder":true,"num":7}"#.to_owned()];
        let told = arguments(&forged, vec![Bytes::new()]).unwrap_err();
        assert_eq!(told, "the arguments cannot be sent: a placeholder points to no attachment");
    }
}
