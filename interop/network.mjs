// A network of its own between clients and a server: a relay for TCP that a case can cut, close, silence, slow down and delay.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

// Starts a network in front of `server`, which may be a proxy. Its conditions:
//   bytesPerSecond  what goes through each way, all connections together. What does not fit waits at its sender.
//   narrow          a megabyte at most is on its way at a time, and not the four that the kernel takes within one machine.
//   buffers         the network takes all that is sent at once and hands it on at its own pace, as a large proxy does.
//   from            the address that clients come from; of this machine, as 127.0.0.2 is.
//   roundTrip       milliseconds there and back; the opening of a connection costs one as well.
export async function network(server, conditions = {}) {
  const one = new Network(server, conditions);
  await one.listen();
  return one;
}

class Network {
  #server;
  #conditions;
  #listener;
  #narrow;
  #open = new Set();
  #closed = false;
  #spoken; // while the network is silent: resolved when it speaks again
  #speak;
  #free = { up: 0, down: 0 };
  // What has gone through to the server, and to the clients.
  bytes = { up: 0, down: 0 };
  opened = 0;

  constructor(server, { bytesPerSecond = Infinity, narrow = false, buffers = false, from, roundTrip = 0 }) {
    this.#server = server;
    this.#conditions = { bytesPerSecond, narrow, buffers, from, roundTrip };
    // The name matters to a server that speaks TLS.
    this.host = server.tls ? server.host : "127.0.0.1";
    this.tls = server.tls;
    this.authority = server.authority;
  }

  async listen() {
    if (this.#conditions.narrow) {
      this.#narrow = spawn("python3", [fileURLToPath(new URL("narrow.py", import.meta.url)), this.#server.port], { stdio: ["pipe", "pipe", "inherit"] });
      const [port] = await once(createInterface({ input: this.#narrow.stdout }), "line");
      this.#server = { host: "127.0.0.1", port: Number(port) };
    }
    this.#listener = createServer({ allowHalfOpen: true, noDelay: true }, (near) => this.#connect(near));
    this.#listener.listen(0, "127.0.0.1");
    await once(this.#listener, "listening");
    this.port = this.#listener.address().port;
  }

  // Nothing goes through, and no connection breaks.
  silence() {
    this.#spoken ??= new Promise((resolve) => { this.#speak = resolve; });
  }

  speak() {
    this.#spoken = undefined;
    this.#speak?.();
  }

  get conditions() {
    return this.#conditions;
  }

  // All connections break: nobody says goodbye. New ones go through.
  cut() {
    for (const socket of this.#open) socket.resetAndDestroy();
  }

  // All connections break, and new ones are refused until `up`.
  down() {
    this.#closed = true;
    this.cut();
  }

  up() {
    this.#closed = false;
  }

  close() {
    this.#listener.close();
    this.#narrow?.stdin.end();
    this.down();
    this.speak();
  }

  #connect(near) {
    if (this.#closed) return near.resetAndDestroy();
    this.opened++;
    const opened = Date.now() + this.#conditions.roundTrip;
    let down;
    const far = connect({
      port: this.#server.port, host: this.#server.host.replace(/[[\]]/g, ""), allowHalfOpen: true, noDelay: true,
      ...(this.#conditions.from && { localAddress: this.#conditions.from, family: 4 }),
      // A small buffer, so that what does not fit through the network is left with the server.
      onread: { buffer: Buffer.alloc(4096), callback: (length, buffer) => down.take(Buffer.from(buffer.subarray(0, length))) },
    });
    const up = new Lane(near, far, this, "up", opened);
    down = new Lane(far, near, this, "down", opened);
    near.on("data", (data) => { if (!up.take(data)) near.pause(); });
    for (const [socket, towards] of [[near, up], [far, down]]) {
      this.#open.add(socket);
      socket.on("error", () => {});
      socket.on("end", () => towards.end());
      socket.on("close", (broken) => {
        this.#open.delete(socket);
        towards.end(broken);
      });
    }
  }

  // Whether a sender that has `waiting` bytes on their way may send more.
  takes(waiting) {
    const { buffers, bytesPerSecond, roundTrip } = this.#conditions;
    if (buffers) return true;
    return !this.#spoken && (bytesPerSecond === Infinity || waiting <= bytesPerSecond * roundTrip / 1000);
  }

  // Waits until `length` bytes that may arrive at `due` have gone through.
  async pass(length, way, due) {
    await until(due);
    // A timer that is late costs nothing of the pace.
    this.#free[way] = Math.max(Date.now() - 500, this.#free[way]) + length * 1000 / this.#conditions.bytesPerSecond;
    await until(this.#free[way]);
    while (this.#spoken) await this.#spoken;
    this.bytes[way] += length;
  }
}

// One direction of one connection.
class Lane {
  #from;
  #to;
  #network;
  #way;
  #opened;
  #waiting = [];
  #bytes = 0;
  #moving = false;
  #end; // what comes after the last byte: "fin" or "reset"

  constructor(from, to, network, way, opened) {
    this.#from = from;
    this.#to = to;
    this.#network = network;
    this.#way = way;
    this.#opened = opened;
  }

  // Takes what `from` sent, and says whether it may send more at once.
  take(data) {
    this.#waiting.push({ data, due: Math.max(Date.now(), this.#opened) + this.#network.conditions.roundTrip / 2 });
    this.#bytes += data.length;
    this.#move();
    return this.#network.takes(this.#bytes);
  }

  end(broken = false) {
    this.#end = broken ? "reset" : this.#end ?? "fin";
    this.#move();
  }

  async #move() {
    if (this.#moving) return;
    this.#moving = true;
    const { bytesPerSecond, buffers } = this.#network.conditions;
    const step = bytesPerSecond === Infinity ? Infinity : Math.max(64, Math.floor(bytesPerSecond / 20));
    while (this.#waiting.length && !this.#to.destroyed) {
      const { data, due } = this.#waiting.shift();
      for (let at = 0; at < data.length; at += step) {
        const part = data.subarray(at, at + step);
        await this.#network.pass(part.length, this.#way, due);
        if (this.#to.destroyed) break;
        if (!this.#to.write(part) && !buffers) await Promise.race([once(this.#to, "drain"), once(this.#to, "close")]).catch(() => {});
      }
      this.#bytes -= data.length;
      if (this.#network.takes(this.#bytes)) this.#from.resume();
    }
    this.#moving = false;
    if (this.#to.destroyed) this.#from.destroy();
    else if (this.#end === "reset") this.#to.resetAndDestroy();
    else if (this.#end) this.#to.end();
  }
}

async function until(moment) {
  const wait = moment - Date.now();
  if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
}
