// node server.mjs PORT: hands each message to its receiver, and the receiver's acknowledgement to the sender.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const users = new Map();
new Server(http, { transports: ["websocket"], perMessageDeflate: false }).on("connection", (socket) => {
  users.set(socket.handshake.auth.user, socket);
  socket.on("message", (to, text, acknowledge) => users.get(to).emit("message", text, () => acknowledge()));
});
http.listen(Number(process.argv[2]), "127.0.0.1");
