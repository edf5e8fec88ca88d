//! The methods that register handlers, the same for a server, a namespace and a pattern of namespaces.

/// Implements the methods for a type whose `listeners` method gives the table to register in.
macro_rules! register_methods {
    () => {
        /// Calls `handler` when a client has connected to the namespace.
        pub fn on_connection<M, H: $crate::Handler<M>>(&self, handler: H) {
            self.listeners().add($crate::handler::Kind::Connection, handler);
        }

        /// Calls `handler` on an event of this name, from any client. See [`Handler`](crate::Handler) for its arguments.
        ///
        /// Several handlers of one event are all called, in the order in which they were registered.
        pub fn on<M, H: $crate::Handler<M>>(&self, event: &str, handler: H) {
            self.listeners().on(event, handler);
        }

        /// Takes away the handlers of an event.
        pub fn off(&self, event: &str) {
            self.listeners().update(|table| drop(table.events.remove(event)));
        }

        /// Calls `handler` on every event, before its own handlers.
        pub fn on_any<M, H: $crate::Handler<M>>(&self, handler: H) {
            self.listeners().add($crate::handler::Kind::Any, handler);
        }

        /// Calls `handler` on every event that has no handler of its own.
        pub fn on_fallback<M, H: $crate::Handler<M>>(&self, handler: H) {
            self.listeners().add($crate::handler::Kind::Fallback, handler);
        }

        /// Calls `listener` with every event that goes out, once for each client that it goes to. It must not wait.
        ///
        /// Acknowledgements are left out.
        pub fn on_any_outgoing(&self, listener: impl Fn(&$crate::Socket, &str, &$crate::Args) + Send + Sync + 'static) {
            let listener: $crate::handler::OutgoingListener = std::sync::Arc::new(listener);
            self.listeners().update(|table| table.outgoing.push(listener.clone()));
        }

        /// Calls `handler` when a client is about to be disconnected: its rooms are still there.
        pub fn on_disconnecting<M, H: $crate::Handler<M>>(&self, handler: H) {
            self.listeners().add($crate::handler::Kind::Disconnecting, handler);
        }

        /// Calls `handler` when a client was disconnected; it can take the [`Reason`](crate::Reason).
        pub fn on_disconnect<M, H: $crate::Handler<M>>(&self, handler: H) {
            self.listeners().add($crate::handler::Kind::Disconnect, handler);
        }

        /// Lets `middleware` decide on each connection, in the order of registration. On an error the client gets a
        /// `connect_error` with it.
        ///
        /// In it the socket is not connected yet, so what is emitted to it comes after its `connect`.
        pub fn middleware<F, Fut>(&self, middleware: F)
        where
            F: Fn($crate::Socket) -> Fut + Send + Sync + 'static,
            Fut: std::future::Future<Output = Result<(), $crate::ConnectError>> + Send + 'static,
        {
            let middleware: $crate::handler::Middleware =
                std::sync::Arc::new(move |socket| Box::pin(middleware(socket)));
            self.listeners().update(|table| table.middlewares.push(middleware.clone()));
        }

        /// Lets `middleware` decide on each event, in the order of registration. On an error no handler is called but those of
        /// [`on_error`](Self::on_error).
        pub fn event_middleware<F, Fut>(&self, middleware: F)
        where
            F: Fn($crate::EventContext) -> Fut + Send + Sync + 'static,
            Fut: std::future::Future<Output = Result<(), String>> + Send + 'static,
        {
            let middleware: $crate::handler::EventMiddleware =
                std::sync::Arc::new(move |context| Box::pin(middleware(context)));
            self.listeners().update(|table| table.event_middlewares.push(middleware.clone()));
        }

        /// Calls `listener` with an event that an [`event_middleware`](Self::event_middleware) refused, and its error.
        pub fn on_error(&self, listener: impl Fn(&$crate::EventContext, &str) + Send + Sync + 'static) {
            let listener: $crate::handler::ErrorListener = std::sync::Arc::new(listener);
            self.listeners().update(|table| table.errors.push(listener.clone()));
        }

        /// Handles the events of each client one at a time: a handler that waits holds up the client's next event.
        pub fn sequential(&self) {
            self.listeners().update(|table| table.sequential = true);
        }
    };
}

/// Implements the methods that emit to many, for a type whose `emitter` method gives an [`Emit`](crate::Emit).
macro_rules! emit_methods {
    () => {
        /// An emit to the clients in a room, or in several. Who is in more than one of them gets the event once.
        pub fn to(&self, rooms: impl $crate::IntoRooms) -> $crate::Emit {
            self.emitter().to(rooms)
        }

        /// The same as [`to`](Self::to).
        pub fn within(&self, rooms: impl $crate::IntoRooms) -> $crate::Emit {
            self.emitter().to(rooms)
        }

        /// An emit to everybody but the clients in this room, or in one of several.
        pub fn except(&self, rooms: impl $crate::IntoRooms) -> $crate::Emit {
            self.emitter().except(rooms)
        }

        /// An emit to everybody of this node.
        pub fn local(&self) -> $crate::Emit {
            self.emitter().local()
        }

        /// An emit that clients which are not ready to take it do without.
        pub fn volatile(&self) -> $crate::Emit {
            self.emitter().volatile()
        }

        /// An emit that may, or may not, be compressed.
        pub fn compress(&self, compress: bool) -> $crate::Emit {
            self.emitter().compress(compress)
        }

        /// An emit whose acknowledgements may take this long.
        pub fn timeout(&self, timeout: std::time::Duration) -> $crate::Emit {
            self.emitter().timeout(timeout)
        }

        /// Sends an event to everybody. A tuple becomes several arguments, `()` none, anything else one.
        ///
        /// A failure is a mistake of the program; it is logged and counted, see [`try_emit`](Self::try_emit).
        pub fn emit(&self, event: &str, args: impl $crate::IntoArgs) {
            self.emitter().emit(event, args);
        }

        /// [`emit`](Self::emit), with its failure.
        ///
        /// # Errors
        ///
        /// The name is reserved, or an argument cannot be encoded. Nothing was sent.
        pub fn try_emit(&self, event: &str, args: impl $crate::IntoArgs) -> Result<(), $crate::EmitError> {
            self.emitter().try_emit(event, args)
        }

        /// Sends the event `message` to everybody.
        pub fn send(&self, args: impl $crate::IntoArgs) {
            self.emitter().send(args);
        }

        /// The sockets of the namespace, on all nodes that answer in time.
        ///
        /// # Errors
        ///
        /// The other nodes cannot be reached.
        pub async fn fetch_sockets(
            &self,
        ) -> Result<$crate::adapter::Answers<$crate::RemoteSocket>, $crate::adapter::AdapterError> {
            self.emitter().fetch_sockets().await
        }

        /// Makes all sockets join a room, or several.
        pub fn sockets_join(&self, rooms: impl $crate::IntoRooms) {
            self.emitter().sockets_join(rooms);
        }

        /// Makes all sockets leave a room, or several.
        pub fn sockets_leave(&self, rooms: impl $crate::IntoRooms) {
            self.emitter().sockets_leave(rooms);
        }

        /// Disconnects all sockets: from the namespace, or closing their connections.
        pub fn disconnect_sockets(&self, close: bool) {
            self.emitter().disconnect_sockets(close);
        }

        /// Sends an event to the programs of the other nodes: see
        /// [`on_server_event`](crate::Namespace::on_server_event).
        ///
        /// # Errors
        ///
        /// The name is reserved, or an argument cannot be encoded. Nothing was sent.
        pub fn server_side_emit(&self, event: &str, args: impl $crate::IntoArgs) -> Result<(), $crate::EmitError> {
            let args = $crate::namespace::server_event_args(event, args)?;
            self.adapter().server_side_emit(event, args);
            Ok(())
        }

        /// Sends an event to the programs of the other nodes, and collects what they answer in time.
        ///
        /// # Errors
        ///
        /// The other nodes cannot be reached, or the event could not be sent.
        ///
        /// # Cancel safety
        ///
        /// Dropping the future gives up the answers; the event was sent.
        pub async fn server_side_emit_with_ack(
            &self,
            event: &str,
            args: impl $crate::IntoArgs,
            timeout: std::time::Duration,
        ) -> Result<$crate::adapter::Answers<$crate::Args>, $crate::ServerSideError> {
            let args = $crate::namespace::server_event_args(event, args)?;
            let adapter = self.adapter().clone();
            Ok(adapter.server_side_emit_with_ack(event, args, timeout).await?)
        }
    };
}

pub(crate) use {emit_methods, register_methods};
