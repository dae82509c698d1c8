#!/usr/bin/env node
// Serves the pages of this folder and the SDK. By hand: `node page/serve.mjs [PORT]`, then open the address it prints.
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

const FILES = {
  "/": ["page/index.html", "text/html"],
  "/program.mjs": ["page/program.mjs", "text/javascript"],
  "/agent.html": ["page/agent.html", "text/html"],
  "/agent.mjs": ["peers/agent.mjs", "text/javascript"],
  "/ar-rtm-sdk.mjs": ["node_modules/ar-rtm-sdk/dist/ar-rtm-sdk.esm.js", "text/javascript"],
};

export async function servePages(port = 0) {
  const server = createServer(async (request, response) => {
    const file = FILES[new URL(request.url, "http://localhost").pathname];
    if (!file) return response.writeHead(404).end();
    const body = await readFile(new URL(`../${file[0]}`, import.meta.url));
    response.writeHead(200, { "content-type": `${file[1]}; charset=utf-8` }).end(body);
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await servePages(Number(process.argv[2] ?? 0));
  console.log(`${url}/?server=127.0.0.1:8080&app=0123456789abcdef0123456789abcdef&uid=alice`);
}
