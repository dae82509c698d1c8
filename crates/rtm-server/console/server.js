// The server itself: what it listens to, its log, its configuration, its end; webhooks and the audit log beside it.
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { path } from "./api.js";
import { Act, Dialog, Facts, Fault, Field, Pill, Section, Table, Time, attempt, html, number, since, span, useLoad, usePages } from "./parts.js";
import { ask, hasCluster, may, project, refresh, seesServer, server } from "./state.js";
import { Cluster, Disk, Reloaded, certificateKind, daysLeft } from "./overview.js";
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
        [t("Configuration read"), html`<${Reloaded} last=${said.last_reload} />`],
        said.disk && [t("Disk"), html`<${Disk} disk=${said.disk} />`],
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
    <${Certificates} />
    <${Configuration} read=${said?.last_reload.succeeded} />
    ${open.value === "drain" && html`<${Dialog} title=${t("Shut this server down?")} text=${t("It stops to accept, sends its {0} clients away and ends. Whoever started it has to start it again.", number(drain.value?.connections))} action=${t("Shut it down")} kind="danger" onClose=${close}
      onDone=${() => attempt(async () => { await ask("POST", "/drain"); drain.again(); }, t("The server goes down"))} />`}
    ${open.value === "log" && html`<${Dialog} title=${t("Set the log's level")} action=${t("Set")} onClose=${close}
      fields=${[{ name: "level", label: t("Level"), required: true, value: log.value.level, hint: "error, warn, info, debug, trace, info,rtm_server=debug" }]}
      onDone=${({ level }) => attempt(async () => { await ask("PUT", "/log", { body: { level } }); log.again(); }, t("The log's level is set"))} />`}`;
}

function Certificates() {
  const load = useLoad((signal) => ask("GET", "/certificates", { signal }), [], 60_000);
  const left = (one) => {
    const days = daysLeft(one.valid_until);
    return html`<${Pill} kind=${one.fault ? "bad" : certificateKind(days)}>${one.fault ? t(one.fault.startsWith("it is the certificate of an authority") ? "of an authority" : one.fault) : t("{0} days left", number(Math.max(0, days)))}<//>`;
  };
  return html`<${Section} title=${t("Certificates")}><${Fault} error=${load.error} />
    <${Table} label=${t("Certificates")} rows=${load.value?.items} row=${(one) => `${one.listener}${one.file}`} empty=${t("No listener speaks TLS")} columns=${[
      [t("Names"), (one) => html`<span class="id">${one.names.join(", ") || "–"}</span>`],
      [t("State"), left],
      [t("Valid until"), (one) => html`<${Time} at=${one.valid_until} />`],
      [t("Valid from"), (one) => html`<${Time} at=${one.valid_from} />`],
      [t("Listener"), (one) => t(one.listener)],
      [t("File"), (one) => html`<span class="id">${one.file}</span>`],
    ]} /><//>`;
}

const SOURCES = { default: "", file: "good", environment: "warn", flag: "warn", program: "" };

// The settings that the server goes by, and who said each. `read`: when the server took them.
function Configuration({ read }) {
  const prefix = useSignal(""), isAll = useSignal(false);
  const pages = usePages("/config", { prefix: prefix.value, set: isAll.value ? undefined : true });
  useEffect(pages.again, [read]);
  return html`<${Section} title=${t("Configuration")}>
    <p class="hint">${t("What the server goes by. A flag comes before the environment, that before the file, and that before the default. Secrets are not shown.")}</p>
    <form class="filters" onSubmit=${(event) => event.preventDefault()}>
      <${Field} name="prefix" label=${t("Key begins with")} type="search" placeholder="project[0].limits" onInput=${(event) => { prefix.value = event.target.value.trim(); }} />
      <${Field} name="all" label=${t("Defaults too")} type="checkbox" value=${isAll.value} onInput=${(event) => { isAll.value = event.target.checked; }} />
    </form>
    <${Fault} error=${pages.error} />
    <${Table} label=${t("Configuration")} rows=${pages.rows} row=${(one) => one.key} empty=${t("There is no such setting")} columns=${[
      [t("Key"), (one) => html`<code title=${one.about}>${one.key}</code>`, "fixed"],
      [t("Value"), (one) => html`<span class="id">${one.value}</span>`, "flowing"],
      [t("From"), (one) => html`<${Pill} kind=${SOURCES[one.source]}>${t(one.source)}<//>${one.from && html` <code>${one.from}</code>`}`, "flowing"],
      [t("Takes effect"), (one) => (one.reload ? t("with a reload") : t("with a restart")), "fixed"],
    ]} />${pages.more}<//>`;
}

export function Webhooks() {
  const load = useLoad((signal) => ask("GET", `/projects/${project.value}/webhooks`, { signal }), [project.value], 2000);
  const rows = load.value?.items;
  return html`<div class="title"><h1>${t("Webhooks")}</h1></div>
    <p class="hint">${t("Endpoints of your back end that are told what happens. They stand in the configuration.")}</p>
    <${Fault} error=${load.error} />
    ${!rows ? html`<p class="faint" aria-busy="true">${t("Loading…")}</p>` : !rows.length ? html`<p class="empty">${t("This project has no webhooks")}</p>`
      : rows.map((one) => html`<${Webhook} one=${one} again=${load.again} isOpen=${rows.length === 1} key=${`${project.value}/${one.name}`} />`)}`;
}

const WEBHOOK_KINDS = { working: "good", elsewhere: "", waiting: "", paused: "warn", retrying: "warn", failing: "bad", gone: "bad" };

function Webhook({ one, again, isOpen }) {
  const at = `/projects/${project.value}${path("webhooks", one.name)}`;
  const isShown = useSignal(isOpen), isAsking = useSignal(false), isTesting = useSignal(false);
  const isOff = one.state === "paused" || one.state === "gone";
  const order = async (what, said) => { if (await attempt(() => ask("POST", `${at}/${what}`), said)) setTimeout(again, 200); };
  const test = async () => {
    isTesting.value = true;
    await attempt(async () => {
      const { taken, answer, took_ms } = await ask("POST", `${at}/test`);
      if (!taken) throw new Error(t("{0} did not take the test event: {1}", one.name, answer));
      return took_ms;
    }, (ms) => t("{0} took the test event within {1}", one.name, span(ms)));
    isTesting.value = false;
  };
  return html`<${Section} title=${html`<span class="id">${one.name}</span> <${Pill} kind=${WEBHOOK_KINDS[one.state] ?? ""}>${t(one.state)}<//>`}>
    <div class="buttons">
      <${Act} onClick=${test} disabled=${isTesting.value}>${t("Send a test event")}<//>
      <${Act} onClick=${() => { isAsking.value = true; }} disabled=${["elsewhere", "waiting"].includes(one.state)}>${t("Send again…")}<//>
      ${isOff ? html`<${Act} kind="primary" onClick=${() => order("enable", t("{0} gets events again", one.name))}>${t("Go on")}<//>`
        : html`<${Act} onClick=${() => order("pause", t("{0} gets no more events for now", one.name))} disabled=${one.state === "elsewhere"}>${t("Pause")}<//>`}
    </div>
    <${Facts} facts=${[
      ["URL", html`<span class="id">${one.url}</span>`],
      [t("Waits for it"), one.pending ? t("{0} events, the oldest for {1}", number(one.pending), span(one.lag_ms)) : t("nothing")],
      [t("Has all up to"), html`${number(one.settled)} <span class="faint">${t("of {0} read", number(one.read))}</span>`],
      [t("Since the start"), t("{0} events taken, {1} requests failed", number(one.events), number(one.failures))],
      one.last_failure && [t("Last failure"), html`<${Time} at=${one.last_failure.time} /> <span class="id">${one.last_failure.what}</span>`],
    ]} />
    <details open=${isShown.value} onToggle=${(event) => { isShown.value = event.currentTarget.open; }}><summary>${t("Last requests")}</summary>
      ${isShown.value && html`<${Attempts} at=${at} />`}</details>
    ${isAsking.value && html`<${Dialog} title=${t("Send events to {0} again?", one.name)} text=${t("It gets all events from then on once more, in their order.")} action=${t("Send again")} onClose=${() => { isAsking.value = false; }}
      fields=${[{ name: "ago", label: t("From when on"), value: "10", options: [["10", t("10 minutes ago")], ["60", t("1 hour ago")], ["1440", t("1 day ago")], ["10080", t("7 days ago")]] },
        { name: "time", label: t("Or from this time on"), type: "datetime-local" }]}
      onDone=${({ ago, time }) => attempt(() => ask("POST", `${at}/replay`, { body: { time: (time ? new Date(time) : new Date(Date.now() - ago * 60_000)).toISOString() } }),
        ({ after }) => t("Events behind number {0} are sent again", after))} />`}
  <//>`;
}

function Attempts({ at }) {
  const load = useLoad((signal) => ask("GET", `${at}/attempts`, { signal }), [at], 2000);
  const which = (one) => one.first === 0 ? "webhook.test" : (one.first === one.last ? number(one.first) : `${number(one.first)} … ${number(one.last)}`);
  return html`<${Fault} error=${load.error} /><${Table} label=${t("Last requests")} rows=${load.value?.items} row=${(one) => `${one.time}${one.first}`} empty=${t("It was sent nothing yet")} columns=${[
    [t("Time"), (one) => html`<${Time} at=${one.time} />`],
    [t("Answer"), (one) => html`<${Pill} kind=${one.taken ? "good" : "bad"}>${one.status ?? t("none")}<//> <span class="id">${one.answer.replace(/^\d+ /, "")}</span>`],
    [t("Events"), (one) => html`${number(one.events)} <span class="faint">(${which(one)})</span>`, "num"],
    [t("Try"), (one) => number(one.attempt), "num"],
    [t("Took"), (one) => span(one.took_ms), "num"],
  ]} />`;
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
