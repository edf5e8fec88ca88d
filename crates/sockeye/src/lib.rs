//! A Socket.IO server library.
