//! Names of rooms that clients give.
//!
//! Every client is in a room of its own, named by its id, and others get to see that id. So a name that looks like an id must
//! not lead there, whether a client has this id now, had it before or will have it again. Such names get a mark that no
//! client can write, for names with control characters are refused.

use std::fmt;

/// Characters of a client's id.
const ID_LENGTH: usize = 20;
/// Goes before a name that looks like an id.
const MARK: char = '\u{1}';

/// Why a name cannot be that of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadName {
    Empty,
    TooLong,
    ControlCharacter,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the name of the room is empty",
            Self::TooLong => "the name of the room is too long",
            Self::ControlCharacter => "the name of the room holds control characters",
        })
    }
}

/// The room for a name that a client gives.
pub(super) fn room_for(name: &str, max_bytes: usize) -> Result<String, BadName> {
    if name.is_empty() {
        return Err(BadName::Empty);
    }
    if name.len() > max_bytes {
        return Err(BadName::TooLong);
    }
    if name.contains(char::is_control) {
        return Err(BadName::ControlCharacter);
    }
    let is_like_an_id =
        name.len() == ID_LENGTH && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    Ok(if is_like_an_id { format!("{MARK}{name}") } else { name.to_owned() })
}

/// The name that clients know the room by.
pub(super) fn name_of(room: &str) -> &str {
    room.strip_prefix(MARK).unwrap_or(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_like_an_id_leads_to_another_room() {
        let id = "a1B2c3D4e5F6g7H8-_90";
        let room = room_for(id, 100).unwrap();
        assert_ne!(room, id);
        assert_eq!(name_of(&room), id);
        assert_eq!(room_for(&room, 100), Err(BadName::ControlCharacter), "nobody can write the mark");
        for plain in ["lobby", "twenty characters ok", "nineteen-characters"] {
            assert_eq!(room_for(plain, 100).as_deref(), Ok(plain));
        }
    }

    #[test]
    fn names_are_bounded() {
        assert_eq!(room_for("", 3), Err(BadName::Empty));
        assert_eq!(room_for("äö", 3), Err(BadName::TooLong));
        assert_eq!(room_for("a\n", 3), Err(BadName::ControlCharacter));
        assert!(room_for("abc", 3).is_ok());
    }
}
