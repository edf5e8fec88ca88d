//! What clients say of themselves when they connect, as far as others get to see it.

use serde_json::{Map, Value};
use sockeye::{ConnectError, Socket};

/// Bytes of a string.
const MAX_TEXT: usize = 200;

/// Copies keys of the client's `auth` into its data. Missing ones are left out.
///
/// # Errors
///
/// A value is not a number, a boolean or a short string.
pub(super) fn copy(socket: &Socket, keys: &[String]) -> Result<(), ConnectError> {
    if keys.is_empty() {
        return Ok(());
    }
    let auth: Map<String, Value> = socket.auth().map_err(|_| ConnectError::new("auth must be an object"))?;
    for key in keys {
        match auth.get(key) {
            None | Some(Value::Null) => {}
            Some(value) if is_small(value) => socket.set_data(key.as_str(), value),
            Some(Value::String(_)) => {
                return Err(ConnectError::new(format!("auth.{key} is longer than {MAX_TEXT} bytes")));
            }
            Some(_) => {
                return Err(ConnectError::new(format!("auth.{key} must be a string, a number or a boolean")));
            }
        }
    }
    Ok(())
}

fn is_small(value: &Value) -> bool {
    match value {
        Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => text.len() <= MAX_TEXT,
        _ => false,
    }
}
