// Runs what the pages show for a browser, with the vendor's SDK as there: node snippet.mjs FILE
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import "./peers/node.mjs";

globalThis.ArRTM = createRequire(import.meta.url)("ar-rtm-sdk").ArRTM;
await import(pathToFileURL(resolve(process.argv[2])));
process.exit(0);
