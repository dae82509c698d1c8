// What all pages share: the key and its role, the server as it was heard last, and where in the console the user is.
import { batch, computed, effect, signal } from "@preact/signals";
import { ApiError, call, events } from "./api.js";

const KEY = "rtm.key", PROJECT = "rtm.project";
const SILENT_MS = 12_000;

// Kept for this tab only.
export const key = signal(sessionStorage.getItem(KEY));
// {name, role, projects}: what the key may do. Null until the server has said so.
export const who = signal(null);
// Why there is no key.
export const keyFault = signal("");
export const server = signal(null);
export const projects = signal([]);
export const hasCluster = computed(() => server.value?.cluster ?? false);
// Samples of the last ten minutes, oldest first.
export const samples = signal([]);
// "connecting", "live", or "lost" since `lostAt`.
export const link = signal("connecting");
export const lostAt = signal(0);
export const isVisible = signal(!document.hidden);
export const now = signal(Date.now());
export const notices = signal([]);

const ROLES = ["read", "operate", "admin"];
export const may = (role) => ROLES.indexOf(who.value?.role) >= ROLES.indexOf(role);
// Whether the key is for the server too.
export const seesServer = () => who.value && !who.value.projects;

// Where the user is: "#/page/part?query".
export const route = signal(readRoute());
function readRoute() {
  const [where, search] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = where.split("/").map((part) => {
    try { return decodeURIComponent(part); } catch { return part; }
  });
  return { page: parts[0] || "overview", part: parts[1] ?? "", query: Object.fromEntries(new URLSearchParams(search)) };
}

// The project that is looked at.
const chosen = signal(sessionStorage.getItem(PROJECT));
export const project = computed(() => {
  const known = (id) => id && projects.value.some((one) => one.app_id === id);
  return [route.value.query.project, chosen.value].find(known) ?? projects.value[0]?.app_id ?? null;
});
effect(() => { if (project.value) sessionStorage.setItem(PROJECT, project.value); });

export function href(page, part = "", query = {}) {
  const wanted = { ...query };
  if (project.value && page !== "server" && page !== "audit") wanted.project ??= project.value;
  const search = new URLSearchParams(wanted).toString();
  return `#/${page}${part ? `/${encodeURIComponent(part)}` : ""}${search ? `?${search}` : ""}`;
}
export const go = (...where) => { location.hash = href(...where); };
export function choose(id) {
  chosen.value = id;
  const { page, part } = route.value;
  // What is open belongs to the project before.
  location.hash = href(page, part && projects.value.length > 1 && ["users", "channels"].includes(page) ? "" : part, { project: id });
}

// A call with the key of this tab.
export async function ask(method, path, options) {
  try {
    return await call(key.value, method, path, options);
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) forget(error.message);
    throw error;
  }
}
export const listen = (path, options) => events(key.value, path, options);

export function tell(text, kind = "done") {
  const notice = { text, kind, id: Math.random() };
  notices.value = [...notices.value.slice(-3), notice];
  setTimeout(() => { notices.value = notices.value.filter((one) => one !== notice); }, kind === "fault" ? 10_000 : 5000);
}

export function use(text) {
  sessionStorage.setItem(KEY, text);
  batch(() => { key.value = text; keyFault.value = ""; who.value = null; });
}
export function forget(why = "") {
  sessionStorage.removeItem(KEY);
  batch(() => {
    key.value = null; who.value = null; keyFault.value = why;
    server.value = null; projects.value = []; samples.value = []; link.value = "connecting";
  });
}

// Takes a key out of the address, so that it stays in no history and no bookmark.
function takeKey() {
  const given = /^#key=([^&]+)(?:&(.*))?$/.exec(location.hash);
  if (!given) return false;
  use(decodeURIComponent(given[1]));
  history.replaceState(null, "", `${location.pathname}${location.search}#/${given[2] ?? ""}`);
  return true;
}

export async function refresh() {
  const mine = key.value;
  const [list, said] = await Promise.all([ask("GET", "/projects"), seesServer() ? ask("GET", "/server") : null]);
  if (key.value === mine) batch(() => { projects.value = list.items; server.value = said; });
}

// Follows the server for as long as there is a key and somebody looks.
let following = null;
function follow() {
  following?.abort();
  following = null;
  if (!key.value || !isVisible.value) return;
  const control = new AbortController();
  following = control;
  run(control.signal);
}
async function run(signal) {
  for (let pause = 500; !signal.aborted; pause = Math.min(pause * 2, 5000)) {
    try {
      who.value ??= await ask("GET", "/key");
      await refresh();
      let isFirst = true, seen = 0;
      // A server that stands still breaks no connection.
      const silence = new AbortController();
      let timer = setTimeout(() => silence.abort(), SILENT_MS);
      for await (const { data } of listen("/watch", { signal: AbortSignal.any([signal, silence.signal]) })) {
        if (signal.aborted) return;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENT_MS);
        const more = JSON.parse(data).samples;
        batch(() => {
          samples.value = (isFirst ? more : [...samples.value, ...more]).slice(-300);
          link.value = "live";
        });
        pause = 500;
        // The state of the server and the list of projects change seldom.
        if (!isFirst && ++seen % 2 === 0) await refresh();
        isFirst = false;
      }
    } catch (error) {
      if (signal.aborted || !key.value) return;
      if (error instanceof ApiError && error.status === 401) return;
      if (error instanceof ApiError && error.status === 403 && !who.value) return forget(error.message);
      if (error instanceof ApiError && error.status === 429) return forget(error.message);
    }
    if (signal.aborted) return;
    if (link.value !== "lost") batch(() => { link.value = "lost"; lostAt.value = Date.now(); });
    await new Promise((done) => setTimeout(done, pause));
  }
}

export function start() {
  takeKey();
  route.value = readRoute();
  addEventListener("hashchange", () => { takeKey(); route.value = readRoute(); });
  document.addEventListener("visibilitychange", () => { isVisible.value = !document.hidden; });
  setInterval(() => { if (!document.hidden) now.value = Date.now(); }, 1000);
  effect(() => { key.value; isVisible.value; setTimeout(follow); });
}

// What a figure of the samples was, one value for each: of one project, or of all.
export function series(figure, id) {
  return samples.value.map((sample) => {
    const wanted = sample.projects.filter((one) => !id || one.app_id === id);
    return wanted.reduce((sum, one) => sum + figure(one), 0);
  });
}
export const times = () => samples.value.map((sample) => Date.parse(sample.time) / 1000);
// The rate of a counter, for each second, at each sample.
export function rates(figure, id) {
  const values = series(figure, id), at = times();
  return values.map((value, place) => {
    const seconds = at[place] - at[place - 1];
    return place === 0 || value < values[place - 1] || !(seconds > 0) ? null : (value - values[place - 1]) / seconds;
  });
}
