//! Values as JSON text.

use bytestring::ByteString;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use sockeye::{Args, Value};

use super::CodecError;

/// Reads a value. What JavaScript allows in JSON and serde_json does not, such as halves of surrogate pairs, is read as well.
pub fn read(text: &str) -> Result<Value, CodecError> {
    // The parser of arguments wants an array, and bounds how deep it nests.
    let array = ByteString::from(format!("[{text}]"));
    let args = Args::from_json_array(&array, Vec::new()).map_err(|_| CodecError::Json)?;
    let mut values = args.to_values().map_err(|_| CodecError::Json)?;
    match (values.len(), values.pop()) {
        (1, Some(value)) => Ok(value),
        _ => Err(CodecError::Json),
    }
}

/// Writes an object; none if there are binaries in it.
pub fn write(object: &Value) -> Result<Option<String>, CodecError> {
    if has_binary(object) {
        return Ok(None);
    }
    let args = Args::from_serialize(object).map_err(|_| CodecError::Unwritable)?;
    Ok(Some(args.json_elements().to_owned()))
}

/// Writes a value as `JSON.stringify` of Node.js does: binaries become `{"type":"Buffer","data":[…]}`.
pub fn stringify(value: &Value) -> Result<String, CodecError> {
    let args = Args::from_serialize(&Stringified(value)).map_err(|_| CodecError::Unwritable)?;
    Ok(args.json_elements().to_owned())
}

struct Stringified<'a>(&'a Value);

impl Serialize for Stringified<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Binary(data) => {
                let mut buffer = serializer.serialize_struct("Buffer", 2)?;
                buffer.serialize_field("type", "Buffer")?;
                buffer.serialize_field("data", &data[..])?;
                buffer.end()
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Stringified)),
            Value::Object(members) => {
                serializer.collect_map(members.iter().map(|(key, value)| (&**key, Stringified(value))))
            }
            plain => plain.serialize(serializer),
        }
    }
}

pub fn has_binary(value: &Value) -> bool {
    match value {
        Value::Binary(_) => true,
        Value::Array(items) => items.iter().any(has_binary),
        Value::Object(members) => members.iter().any(|(_, value)| has_binary(value)),
        _ => false,
    }
}
