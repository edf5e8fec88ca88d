//! Several packets in one polling body.
//!
//! | revision | body |
//! |---|---|
//! | 4 | packets joined by `\x1e`; binary as `b<base64>` |
//! | 3, text | `<length in UTF-16 units>:<packet>`, again and again; binary as `b4<base64>` |
//! | 3, binary | `00` (text) or `01` (binary), the length in bytes as one byte per digit, `ff`, the packet |

mod decode;
mod encode;
mod frame;

pub use decode::{Payload, decode_payload};
pub use encode::{PayloadBody, PayloadEncoder};
