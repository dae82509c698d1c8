// The frame of the console: the key, the way around, and the page that the address names.
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { html, render, since, Field, Pill } from "./parts.js";
import { choose, forget, href, key, keyFault, link, lostAt, notices, project, projects, route, seesServer, server, start, use, who } from "./state.js";
import { Overview } from "./overview.js";
import { Connections, Limits } from "./lists.js";
import { Users } from "./user.js";
import { Channels } from "./channel.js";
import { Events } from "./events.js";
import { AuditLog, Server, Webhooks } from "./server.js";
import { Tokens } from "./tokens.js";
import { Try } from "./try.js";
import { fault, lang, t } from "./words.js";

const PAGES = [
  ["overview", "Overview", Overview], ["connections", "Connections", Connections], ["users", "Users", Users], ["channels", "Channels", Channels],
  ["limits", "Slow clients", Limits], ["events", "Live events", Events], ["try", "Try it", Try], ["tokens", "Tokens", Tokens],
  ["webhooks", "Webhooks", Webhooks], ["server", "Server", Server], ["audit", "Audit log", AuditLog],
];

function App() {
  if (!key.value) return html`<${Login} />`;
  return html`<${Frame} /><${Notices} />`;
}

function Login() {
  const enter = (event) => {
    event.preventDefault();
    const text = new FormData(event.target).get("key").trim();
    if (text) use(text);
  };
  return html`<main class="login"><form onSubmit=${enter}>
    <h1><img src="console/icon.svg" alt="" width="32" height="32" /> RTM</h1>
    ${keyFault.value && html`<p class="fault" role="alert">${fault({ message: keyFault.value })}</p>`}
    <${Field} name="key" label=${t("Key of the admin API")} type="password" required=${true} placeholder="rtm_admin_…" />
    <button class="primary">${t("Log in")}</button>
    <p class="hint">${t("It stays in this tab. A new one:")} <code>rtm admin new-key --name NAME --role read</code></p>
  </form></main>`;
}

function Frame() {
  const isOpen = useSignal(false), main = useRef();
  const { page } = route.value;
  const [, title] = PAGES.find(([name]) => name === page) ?? [null, "Not found"];
  useEffect(() => { document.title = `${t(title)} · RTM`; isOpen.value = false; scrollTo(0, 0); }, [page, route.value.part]);
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>${t("To the content")}</a>
    <header class="bar">
      <a class="brand" href=${href("overview")}><img src="console/icon.svg" alt="" width="24" height="24" /> RTM</a>
      <button type="button" class="menu" aria-expanded=${isOpen.value} aria-controls="nav" onClick=${() => { isOpen.value = !isOpen.value; }}>${t("Menu")}</button>
      ${projects.value.length > 0 && html`<label class="project"><span>${t("Project")}</span><select onChange=${(event) => choose(event.target.value)} value=${project.value}>
        ${projects.value.map((one) => html`<option key=${one.app_id} value=${one.app_id} selected=${one.app_id === project.value}>${one.app_id}</option>`)}</select></label>`}
      <span class="spacer"></span>
      <${Live} />
      ${who.value && html`<span class="who" title=${t("Role: {0}", who.value.role)}>${who.value.name} <span class="faint">${who.value.role}</span></span>`}
      <button type="button" class="small" onClick=${() => forget()}>${t("Log out")}</button>
    </header>
    <div class="frame">
      <nav id="nav" class=${isOpen.value ? "open" : ""} aria-label=${t("Pages")}><ul>${PAGES.map(([name, title]) => html`<li key=${name}>
        <a href=${href(name)} aria-current=${name === page ? "page" : undefined}>${t(title)}</a></li>`)}</ul></nav>
      <main id="main" tabindex="-1" ref=${main}><${Content} /></main>
    </div>`;
}

// The page that the address names, once it has what it needs.
function Content() {
  const { page } = route.value;
  const [, , Page] = PAGES.find(([name]) => name === page) ?? [null, null, NotFound];
  if (who.value && (project.value || ["server", "audit"].includes(page))) return html`<${Page} key=${page} />`;
  if (link.value === "live") return html`<p class="empty">${t("This key sees no project that the server has")}</p>`;
  return html`<p class="faint" aria-busy="true">${t("Loading…")}</p>`;
}

function Live() {
  if (link.value === "lost") return html`<${Pill} kind="bad"><span role="alert">${t("No answer for {0}; trying again", since(new Date(lostAt.value).toISOString()))}</span><//>`;
  if (link.value === "connecting") return html`<${Pill}>${t("Connecting…")}<//>`;
  if (!seesServer() || !server.value) return html`<${Pill} kind="good">${t("Live")}<//>`;
  if (server.value.draining) return html`<${Pill} kind="warn">${t("Going down")}<//>`;
  return server.value.ready ? html`<${Pill} kind="good">${t("Ready")}<//>` : html`<${Pill} kind="bad">${t("Not ready")}<//>`;
}

const NotFound = () => html`<p class="empty">${t("There is nothing here")}</p>`;

const Notices = () => html`<div class="notices" role="status" aria-live="polite">${notices.value.map((one) =>
  html`<p key=${one.id} class=${one.kind}>${one.text}</p>`)}</div>`;

document.documentElement.lang = lang;
start();
render(html`<${App} />`, document.body);
