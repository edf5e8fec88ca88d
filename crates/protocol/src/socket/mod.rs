//! Socket.IO: packets, arguments, the JSON and MessagePack parsers.
