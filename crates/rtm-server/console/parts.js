// Pieces that pages are made of.
import { h, render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useSignal } from "@preact/signals";
import htm from "htm";
import { ask, href, isVisible, may, now, project, tell } from "./state.js";
import { fault, locale, t } from "./words.js";

export const html = htm.bind(h);
export { render };

// What `load` gives, again every so often while somebody looks, and at once where `deps` change. What was there stays until then.
export function useLoad(load, deps, every = 0) {
  const [state, set] = useState({ value: null, error: null });
  const [turn, again] = useState(0);
  useEffect(() => {
    let isOver = false, timer = 0;
    const control = new AbortController();
    const run = async () => {
      try {
        const value = await load(control.signal);
        if (!isOver) set({ value, error: null });
      } catch (error) {
        if (!isOver && error.name !== "AbortError") set((before) => ({ value: error.status === 404 ? null : before.value, error }));
      }
      if (!isOver && every) timer = setTimeout(run, every);
    };
    if (isVisible.value) run();
    return () => { isOver = true; clearTimeout(timer); control.abort(); };
  }, [...deps, turn, isVisible.value]);
  return { ...state, again: () => again((n) => n + 1) };
}

export const number = (value, digits = 0) =>
  value === null || value === undefined || Number.isNaN(value) ? "–" : value.toLocaleString(locale, { maximumFractionDigits: digits });
export const rate = (value) => (value === null || value === undefined ? "–" : number(value, value < 10 ? 1 : 0));
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit++; }
  return `${number(value, unit && value < 10 ? 1 : 0)} ${units[unit]}`;
}
// How long something took, or has been so.
export function span(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "–";
  if (ms < 1) return `${number(ms, 2)} ms`;
  if (ms < 1000) return `${number(ms, ms < 10 ? 1 : 0)} ms`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return t("{0} s", ms < 10_000 ? number(ms / 1000, 1) : seconds);
  if (seconds < 3600) return t("{0} min {1} s", Math.floor(seconds / 60), seconds % 60);
  if (seconds < 86_400) return t("{0} h {1} min", Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60);
  return t("{0} d {1} h", Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24);
}
export const since = (time) => (time ? span(Math.max(0, now.value - Date.parse(time))) : "–");
const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const date = new Intl.DateTimeFormat(locale, { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export function Time({ at, short }) {
  if (!at) return "–";
  const parsed = Date.parse(at);
  if (Number.isNaN(parsed)) return at === "forever" ? t("for ever") : at;
  return html`<time datetime=${at} title=${at}>${(short ? clock : date).format(parsed)}</time>`;
}

const STATE_KINDS = { online: "good", unreachable: "warn", offline: "", telling: "good", ok: "good" };
export const Pill = ({ kind = "", children }) => html`<span class="pill ${kind}">${children}</span>`;
export const State = ({ state }) => html`<${Pill} kind=${STATE_KINDS[state] ?? ""}>${t(state)}<//>`;

// A link to a user or a channel, if the name is one.
export const UserLink = ({ id }) => (id ? html`<a class="id" href=${href("users", id)}>${id}</a>` : html`<span class="faint">–</span>`);
export const ChannelLink = ({ id }) => html`<a class="id" href=${href("channels", id)}>${id}</a>`;

// A table; on a phone each row is a card. `columns`: [title, cell, class].
export function Table({ columns, rows, label, empty = t("There is nothing here"), row = (_, place) => place }) {
  if (!rows) return html`<p class="faint" aria-busy="true">${t("Loading…")}</p>`;
  if (!rows.length) return html`<p class="empty">${empty}</p>`;
  return html`<div class="table"><table aria-label=${label} class=${columns.length > 4 ? "many" : ""}>
    <thead><tr>${columns.map(([title, , kind]) => html`<th scope="col" class=${kind}>${title}</th>`)}</tr></thead>
    <tbody>${rows.map((one, place) => html`<tr key=${row(one, place)}>
      ${columns.map(([title, cell, kind]) => html`<td class=${kind} data-label=${title}><span class="cell">${cell(one)}</span></td>`)}
    </tr>`)}</tbody>
  </table></div>`;
}

// In a cluster: the node of each row.
export const ofNode = (rows) => (rows?.some((one) => one.node) ? [[t("Node"), (one) => html`<span class="id">${one.node}</span>`]] : []);

export const Fault = ({ error }) => error && html`<p class="fault" role="alert">${fault(error)}</p>`;

export const Section = ({ title, aside, children, kind = "" }) => html`<section class="panel ${kind}">
  <header><h2>${title}</h2>${aside && html`<div class="aside">${aside}</div>`}</header>${children}</section>`;

export const Facts = ({ facts }) => html`<dl class="facts">${facts.filter(Boolean).map(([name, value]) =>
  html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

// A button that needs a role: without it, it is off and says why.
export function Act({ role = "operate", kind = "", onClick, children, disabled, label }) {
  const isAllowed = may(role);
  return html`<button type="button" class=${kind} disabled=${disabled || !isAllowed} onClick=${onClick} aria-label=${label}
    title=${isAllowed ? undefined : t("This needs a key with the role {0}", role)}>${children}</button>`;
}

// Does something and says what came of it. True if it was done.
export async function attempt(work, said) {
  try {
    const answer = await work();
    const text = typeof said === "function" ? said(answer) : said;
    if (text) tell(text);
    return true;
  } catch (error) {
    tell(fault(error), "fault");
    return false;
  }
}

// A question before something is done. `fields`: what is asked for, as {name, label, type, value, options, required}.
export function Dialog({ title, text, fields = [], action, kind = "primary", onDone, onClose }) {
  const box = useRef(), isBusy = useSignal(false);
  useEffect(() => { box.current.showModal(); }, []);
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const values = Object.fromEntries(fields.map((field) => [field.name, field.type === "checkbox" ? form.has(field.name) : String(form.get(field.name) ?? "")]));
    isBusy.value = true;
    const isDone = await onDone(values);
    isBusy.value = false;
    if (isDone !== false) box.current?.close();
  };
  return html`<dialog ref=${box} onClose=${onClose} aria-labelledby="dialog-title"><form onSubmit=${submit}>
    <h2 id="dialog-title">${title}</h2>
    ${text && html`<p>${text}</p>`}
    ${fields.map((field) => html`<${Field} ...${field} key=${field.name} />`)}
    <div class="buttons">
      <button type="button" onClick=${() => box.current.close()}>${t("Cancel")}</button>
      <button class=${kind} disabled=${isBusy.value}>${action}</button>
    </div>
  </form></dialog>`;
}

let fields = 0;
export function Field({ name, label, type = "text", value, options, required, placeholder, hint, onInput, list }) {
  // Two forms of a page may have fields of one name.
  const id = useRef(`field-${++fields}`).current;
  // Where nobody listens, what the user enters stands in the field alone: pages are drawn again every second, and must not undo it.
  const begins = (prop) => ({ [onInput ? prop : `default${prop[0].toUpperCase()}${prop.slice(1)}`]: value });
  if (type === "checkbox") return html`<label class="check"><input type="checkbox" name=${name} ...${begins("checked")} onChange=${onInput} /> ${label}</label>`;
  let input;
  if (options) {
    input = html`<select id=${id} name=${name} ...${onInput ? { value } : {}} onChange=${onInput}>${options.map(([option, said]) =>
      html`<option value=${option} selected=${option === value}>${said}</option>`)}</select>`;
  } else if (type === "area") {
    input = html`<textarea id=${id} name=${name} required=${required} placeholder=${placeholder} rows="4" onInput=${onInput} spellcheck=${false}>${value}</textarea>`;
  } else {
    input = html`<input id=${id} name=${name} type=${type} ...${begins("value")} required=${required} placeholder=${placeholder} onInput=${onInput}
      autocomplete="off" autocapitalize="off" spellcheck=${false} list=${list} />`;
  }
  return html`<div class="field"><label for=${id}>${label}</label>${input}${hint && html`<small>${hint}</small>`}</div>`;
}

// A list that goes on by cursors, from its beginning again every so often as long as only that is shown.
export function usePages(path, query, every = 0) {
  const more = useSignal([]), next = useSignal(undefined), isBusy = useSignal(false);
  const deps = [path, JSON.stringify(query), project.value];
  useEffect(() => { more.value = []; next.value = undefined; }, deps);
  const first = useLoad((signal) => ask("GET", path, { query, signal }), deps, more.value.length ? 0 : every);
  const cursor = next.value === undefined ? first.value?.next : next.value;
  const load = async () => {
    isBusy.value = true;
    await attempt(async () => {
      const page = await ask("GET", path, { query: { ...query, cursor } });
      more.value = [...more.value, ...page.items];
      next.value = page.next;
      return page;
    }, null);
    isBusy.value = false;
  };
  return {
    rows: first.value && [...first.value.items, ...more.value],
    error: first.error,
    again: () => { more.value = []; next.value = undefined; first.again(); },
    more: cursor && html`<p class="more"><button type="button" disabled=${isBusy.value} onClick=${load}>${t("More")}</button></p>`,
  };
}

export function Copy({ text }) {
  const copy = () => attempt(() => navigator.clipboard.writeText(text), t("Copied"));
  return html`<button type="button" class="small" onClick=${copy}>${t("Copy")}</button>`;
}
