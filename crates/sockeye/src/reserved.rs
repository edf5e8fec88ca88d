//! Names of events that programs cannot use.

use crate::error::EmitError;

/// Event names that the protocol keeps for itself.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Refuses a name that no event for clients may have.
///
/// # Errors
///
/// The protocol keeps it for itself.
pub fn check_event(event: &str) -> Result<(), EmitError> {
    if RESERVED.contains(&event) { Err(EmitError::ReservedName(event.to_owned())) } else { Ok(()) }
}

/// Refuses a name that no event between the servers' programs may have.
///
/// # Errors
///
/// The servers keep it for themselves.
pub fn check_server_event(event: &str) -> Result<(), EmitError> {
    check_event(event)?;
    match event {
        "connection" | "new_namespace" => Err(EmitError::ReservedName(event.to_owned())),
        _ => Ok(()),
    }
}
