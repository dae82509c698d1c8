// The server itself: what it listens to, its log, its configuration, its end; webhooks and the audit log beside it.
import { useSignal } from "@preact/signals";
import { path } from "./api.js";
import { Act, Dialog, Facts, Fault, Pill, Section, State, Table, Time, attempt, html, number, since, useLoad, usePages } from "./parts.js";
import { ask, hasCluster, may, project, refresh, seesServer, server } from "./state.js";
import { Cluster } from "./overview.js";
import { reason, t } from "./words.js";

const Restricted = () => html`<p class="empty">${t("This key is for some projects only.")}</p>`;

export function Server() {
  if (!seesServer()) return html`<div class="title"><h1>${t("Server")}</h1></div><${Restricted} />`;
  const said = server.value;
  const drain = useLoad((signal) => ask("GET", "/drain", { signal }), [], 1000);
  const log = useLoad((signal) => ask("GET", "/log", { signal }), []);
  const open = useSignal(null), reloaded = useSignal(null), most = useSignal(0);
  const close = () => { open.value = null; };
  const isDraining = drain.value?.draining;
  if (drain.value && !isDraining) most.value = drain.value.connections;
  const reload = () => attempt(async () => { reloaded.value = null; reloaded.value = await ask("POST", "/reload"); refresh(); },
    t("The configuration was read again"));
  return html`
    <div class="title"><h1>${t("Server")}</h1></div>
    ${isDraining && html`<${Section} title=${t("Going down")} kind="bad"><p>${t("{0} connections are left.", number(drain.value.connections))}</p>
      <progress max=${Math.max(1, most.value)} value=${Math.max(0, most.value - drain.value.connections)} aria-label=${t("Going down")}></progress><//>`}
    ${said && html`<div class="columns">
      <${Section} title=${t("State")}><${Facts} facts=${[
        [t("Version"), said.version],
        [t("Ready"), said.ready ? html`<${Pill} kind="good">${t("yes")}<//>` : html`<${Pill} kind="bad">${t("no")}<//> ${said.reasons.map((one) => reason(one)).join(", ")}`],
        [t("Started"), html`<${Time} at=${said.started} /> (${t("{0} ago", since(said.started))})`],
        [t("Listens on"), html`<span class="id">${said.listen.join(", ") || "–"}</span>${said.tls && " (TLS)"}`],
        [t("Connections"), t("{0} of at most {1}", number(said.connections), number(said.connections_limit))],
        [t("Projects"), number(said.projects)],
      ]} /><//>
      <${Section} title=${t("Actions")}>
        <div class="stack">
          <div><div class="buttons"><${Act} role="admin" onClick=${reload}>${t("Read the configuration again")}<//></div>
            ${reloaded.value && html`<p class="hint" role="status">${reloaded.value.changed.length ? t("Changed: {0}.", reloaded.value.changed.join(", ")) : t("Nothing has changed.")}
              ${reloaded.value.needs_restart.length > 0 && ` ${t("Needs a restart: {0}.", reloaded.value.needs_restart.join(", "))}`}</p>`}</div>
          <div><div class="buttons"><${Act} role="admin" onClick=${() => { open.value = "log"; }} disabled=${!log.value}>${t("Set the log's level")}<//></div>
            <p class="hint">${log.value ? t("Now: {0}", log.value.level) : log.error?.message}</p></div>
          <div><div class="buttons"><${Act} role="admin" kind="danger" onClick=${() => { open.value = "drain"; }} disabled=${isDraining}>${t("Shut it down…")}<//></div>
            <p class="hint">${t("Clients are sent away one after the other, with a word to come back, and the server ends.")}</p></div>
        </div><//>
    </div>`}
    ${hasCluster.value && html`<${Cluster} />`}
    ${open.value === "drain" && html`<${Dialog} title=${t("Shut this server down?")} text=${t("It stops to accept, sends its {0} clients away and ends. Whoever started it has to start it again.", number(drain.value?.connections))} action=${t("Shut it down")} kind="danger" onClose=${close}
      onDone=${() => attempt(async () => { await ask("POST", "/drain"); drain.again(); }, t("The server goes down"))} />`}
    ${open.value === "log" && html`<${Dialog} title=${t("Set the log's level")} action=${t("Set")} onClose=${close}
      fields=${[{ name: "level", label: t("Level"), required: true, value: log.value.level, hint: "error, warn, info, debug, trace, info,rtm_server=debug" }]}
      onDone=${({ level }) => attempt(async () => { await ask("PUT", "/log", { body: { level } }); log.again(); }, t("The log's level is set"))} />`}`;
}

export function Webhooks() {
  const load = useLoad((signal) => ask("GET", `/projects/${project.value}/webhooks`, { signal }), [project.value], 2000);
  const replayed = useSignal(null);
  return html`<div class="title"><h1>${t("Webhooks")}</h1></div>
    <p class="hint">${t("Endpoints of your back end that are told what happens. They stand in the configuration.")}</p>
    <${Fault} error=${load.error} />
    <${Table} label=${t("Webhooks")} rows=${load.value?.items} row=${(one) => one.name} empty=${t("This project has no webhooks")} columns=${[
      [t("Name"), (one) => html`<strong class="id">${one.name}</strong>`],
      [t("State"), (one) => html`<${Pill} kind=${one.state === "working" ? "good" : one.state === "elsewhere" ? "" : "warn"}>${t(one.state)}<//>`],
      ["URL", (one) => html`<span class="id">${one.url}</span>`],
      [t("Has all up to"), (one) => number(one.settled), "num"],
      [t("Read ahead"), (one) => number(one.read), "num"],
      [t("Events taken"), (one) => number(one.events), "num"],
      [t("Failures"), (one) => number(one.failures), "num"],
      [t("Last failure"), (one) => (one.last_failure ? html`<${Time} at=${one.last_failure.time} /> <span class="id">${one.last_failure.what}</span>` : "–")],
      ["", (one) => html`<${Act} kind="small" onClick=${() => { replayed.value = one.name; }}>${t("Send again…")}<//>`, "act"],
    ]} />
    ${replayed.value && html`<${Dialog} title=${t("Send events to {0} again?", replayed.value)} text=${t("It gets all events from then on once more, in their order.")} action=${t("Send again")} onClose=${() => { replayed.value = null; }}
      fields=${[{ name: "ago", label: t("From when on"), value: "10", options: [["10", t("10 minutes ago")], ["60", t("1 hour ago")], ["1440", t("1 day ago")], ["10080", t("7 days ago")]] }]}
      onDone=${({ ago }) => attempt(() => ask("POST", `/projects/${project.value}${path("webhooks", replayed.value, "replay")}`, { body: { time: new Date(Date.now() - ago * 60_000).toISOString() } }),
        ({ after }) => t("Events behind number {0} are sent again", after))} />`}`;
}

export function AuditLog() {
  if (!seesServer()) return html`<div class="title"><h1>${t("Audit log")}</h1></div><${Restricted} />`;
  if (!may("admin")) return html`<div class="title"><h1>${t("Audit log")}</h1></div><p class="empty">${t("This needs a key with the role {0}", "admin")}</p>`;
  const pages = usePages("/audit", {}, 5000);
  return html`<div class="title"><h1>${t("Audit log")}</h1></div>
    <p class="hint">${t("What operators changed and read since the server started. The server's log has the same.")}</p>
    <${Fault} error=${pages.error} />
    <${Table} label=${t("Audit log")} rows=${pages.rows} row=${(one) => one.number} empty=${t("Nobody has changed anything")} columns=${[
      [t("Time"), (one) => html`<${Time} at=${one.time} />`],
      [t("Key"), (one) => html`<strong>${one.key}</strong>`],
      [t("What"), (one) => html`<code>${one.action}</code>`],
      [t("On"), (one) => html`<span class="id">${one.target}</span>`],
      [t("From"), (one) => html`<span class="id">${one.address}</span>`],
    ]} />${pages.more}`;
}
