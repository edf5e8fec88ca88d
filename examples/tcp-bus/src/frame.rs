//! What goes over a connection: a length of four bytes, and as many bytes.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    let len = stream.read_u32().await? as usize;
    if len > MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame is too large"));
    }
    let mut frame = vec![0; len];
    stream.read_exact(&mut frame).await?;
    Ok(frame.into())
}

pub(crate) fn put(out: &mut Vec<u8>, frame: &[u8]) -> io::Result<()> {
    let len = u32::try_from(frame.len()).map_err(io::Error::other)?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(frame);
    Ok(())
}

/// The length comes from the network, so it has a bound.
const MAX: usize = 16 << 20;
