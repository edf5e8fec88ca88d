// All attacks, in the order of the table.
//
// An attack is an object:
//
//   name       for --only
//   about      what it does, for the table
//   bound      what bounds it: an option, a key or a constant, for the table
//   server     what it needs of the server, see Server.start; none is the standalone server with server.toml
//   run        ({ target, deadline }): attacks until the deadline. It may return `note`, words for the report
//   members    { namespace, room, count }: clients in a room that is attacked, none of which may be closed
//   visitors   what new clients do meanwhile, if they do not just connect: (n) => namespace, or false if none are tried
//   most       the most memory that the server may take, in bytes, where that is far from all it may have
//   begin      (server): what is done to the server before the attack
//   check      (server): what else must hold a second after the attack began, as a list of complaints

import { connections } from "./connections.mjs";
import { held } from "./held.mjs";
import { http } from "./http.mjs";
import { messages } from "./messages.mjs";
import { operations } from "./operations.mjs";
import { rooms } from "./rooms.mjs";
import { unread } from "./unread.mjs";

export const attacks = [...messages, ...rooms, ...held, ...unread, ...connections, ...http, ...operations];
