//! Engine.IO: packets, payloads, requests and the session state machine.
