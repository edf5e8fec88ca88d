//! Reading a plain socket, and writing a single buffer to it.
//!
//! By the system calls themselves, where there is a crate for it: the C library's `recv` and `send` are places where a thread may be
//! cancelled, and each notes twice, with an atomic operation, that none is.

use std::io;

use mio::net::TcpStream;

/// Reads what has come.
#[cfg(unix)]
pub(crate) fn recv(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let (_written, read) = rustix::net::recv(stream, buffer, rustix::net::RecvFlags::empty())?;
    Ok(read)
}

/// Writes as much as the socket takes.
#[cfg(unix)]
pub(crate) fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    // Without it, writing to a socket that is closed ends the process. On Apple's systems that is an option of the socket.
    #[cfg(not(target_vendor = "apple"))]
    let flags = rustix::net::SendFlags::NOSIGNAL;
    #[cfg(target_vendor = "apple")]
    let flags = rustix::net::SendFlags::empty();
    Ok(rustix::net::send(stream, bytes, flags)?)
}

#[cfg(not(unix))]
pub(crate) fn recv(mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    io::Read::read(&mut stream, buffer)
}

#[cfg(not(unix))]
pub(crate) fn send(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    io::Write::write(&mut stream, bytes)
}
