// The first page: how the server is, what it does now, and what it did in the last ten minutes.
import { Chart } from "./charts.js";
import { Facts, Section, Table, Time, Pill, html, bytes, number, rate, since, span, useLoad } from "./parts.js";
import { ask, choose, hasCluster, href, now, project, projects, rates, route, samples, seesServer, series, server, times } from "./state.js";
import { reason, t } from "./words.js";

const last = (values) => values.at(-1) ?? null;
const worst = (figure, id) => samples.value.map((sample) => {
  const all = sample.projects.filter((one) => !id || one.app_id === id).map(figure).filter((value) => value !== null);
  return all.length ? Math.max(...all) : null;
});

export const Figure = ({ name, value, note, kind = "" }) => html`<div class="figure ${kind}"><span class="name">${name}</span>
  <span class="value">${value}</span><span class="note">${note}</span></div>`;

export function Overview() {
  const all = route.value.query.all === "1" || projects.value.length < 2;
  const id = all ? null : project.value;
  const at = times();
  const native = series((one) => one.native, id), vendor = series((one) => one.vendor, id);
  const peer = rates((one) => one.peer_messages, id), channel = rates((one) => one.channel_messages, id);
  const events = rates((one) => one.events, id), refused = rates((one) => one.refused_calls, id);
  const p50 = worst((one) => one.receipt_p50_ms, id), p99 = worst((one) => one.receipt_p99_ms, id);
  const behind = last(series((one) => one.sessions_behind, id)), queued = last(series((one) => one.queued_bytes, id));
  const messages = last(peer) === null ? null : last(peer) + last(channel);
  const sample = samples.value.at(-1)?.server;
  const fresh = (values) => values.slice(-10).findLast((value) => value !== null) ?? null;
  return html`
    <div class="title"><h1>${t("Overview")}</h1>
      ${projects.value.length > 1 && html`<a class="button small" href=${all ? "#/overview" : "#/overview?all=1"}>${all ? t("One project") : t("All projects")}</a>`}
    </div>
    <${Health} />
    <div class="figures">
      <${Figure} name=${t("Users online")} value=${number(last(series((one) => one.users_online, id)))} note=${t("{0} sessions", number(last(series((one) => one.sessions, id))))} />
      <${Figure} name=${t("Connections")} value=${number(last(native) + last(vendor))} note=${t("{0} native, {1} vendor", number(last(native)), number(last(vendor)))} />
      <${Figure} name=${t("Channels")} value=${number(last(series((one) => one.channels, id)))} note=${t("{0} open invitations", number(last(series((one) => one.invitations, id))))} />
      <${Figure} name=${t("Messages per second")} value=${rate(messages)} note=${t("{0} events per second to clients", rate(last(events)))} />
      <${Figure} name=${t("Time to delivery")} value=${span(fresh(p50))} note=${t("half of them; 99 of 100 within {0}", span(fresh(p99)))} />
      <${Figure} name=${t("Waits for clients")} value=${bytes(queued)} note=${t("{0} sessions far behind", number(behind))} kind=${behind ? "warn" : ""} />
      <${Figure} name=${t("Refused calls per second")} value=${rate(last(refused))} note=${t("of {0} calls per second", rate(last(rates((one) => one.calls, id))))} kind=${last(refused) > 0 ? "warn" : ""} />
      ${sample && html`<${Figure} name=${t("Waits for the store")} value=${bytes(sample.store_queue_bytes)} note=${t("{0} connections turned away", number(sample.turned_away))} />`}
    </div>
    <div class="charts">
      <${Chart} title=${t("Connections")} at=${at} unit=${number} lines=${[
        { label: t("native"), values: native, colour: "one" }, { label: t("vendor"), values: vendor, colour: "two" }]} />
      <${Chart} title=${t("Messages per second")} at=${at} unit=${rate} lines=${[
        { label: t("to channels"), values: channel, colour: "one" }, { label: t("to users"), values: peer, colour: "two" }]} />
      <${Chart} title=${t("Time to delivery")} at=${at} unit=${span} lines=${[
        { label: t("half of them"), values: p50, colour: "one" }, { label: t("99 of 100"), values: p99, colour: "two" }]} />
      <${Chart} title=${t("Events to clients per second")} at=${at} unit=${rate} lines=${[{ label: t("events"), values: events, colour: "one" }]} />
    </div>
    <div class="columns">
      ${project.value && html`<${Ends} />`}
      <${Projects} />
      <${Machine} />
    </div>
    ${hasCluster.value && html`<${Cluster} />`}`;
}

function Health() {
  if (!seesServer()) return html`<div class="banner">${t("This key is for some projects only: the server itself is not shown.")}</div>`;
  const said = server.value;
  if (!said) return null;
  const state = said.draining ? t("Going down: clients are sent away") : said.ready ? t("Ready") : t("Not ready");
  return html`<div class="banner ${said.ready ? "good" : "bad"}" role="status"><strong>${state}</strong>
    ${!said.ready && html` <span>${said.reasons.map((one) => reason(one)).join(", ")}</span>`}
    <span class="facts-line">RTM ${said.version} · ${t("up for {0}", since(said.started))} · ${t("{0} of {1} connections", number(said.connections), number(said.connections_limit))}</span></div>`;
}

// The last connections that ended, by reason.
function Ends() {
  const { value } = useLoad((signal) => ask("GET", `/projects/${project.value}/closed`, { query: { limit: 500 }, signal }), [project.value], 5000);
  const counts = new Map();
  for (const one of value?.items ?? []) counts.set(one.reason, (counts.get(one.reason) ?? 0) + 1);
  const rows = [...counts].sort((a, b) => b[1] - a[1]);
  const most = rows[0]?.[1] ?? 1;
  return html`<${Section} title=${t("How the last {0} connections ended", number(value?.items.length ?? 0))}>
    ${rows.length ? html`<ul class="bars">${rows.map(([name, count]) => html`<li key=${name}><span>${reason(name)}</span>
      <meter min="0" max=${most} value=${count}></meter><b>${number(count)}</b></li>`)}</ul>` : html`<p class="empty">${t("None has ended yet")}</p>`}
  <//>`;
}

// How long a certificate is still valid.
export const daysLeft = (time) => Math.floor((Date.parse(time) - now.value) / 86_400_000);
export const certificateKind = (days) => (days < 1 ? "bad" : days < 14 ? "warn" : "good");

export const Reloaded = ({ last }) => html`<${Time} at=${last.succeeded} />${last.fault && html` <${Pill} kind="bad">${t("the last one failed")}<//> <span class="text">${last.fault}</span>`}`;
export const Disk = ({ disk }) => html`${t("{0} used, {1} free", bytes(disk.used_bytes), bytes(disk.free_bytes))} ${
  disk.free_bytes !== null && disk.free_bytes < 1024 ** 3 && html`<${Pill} kind="warn">${t("nearly full")}<//>`} <span class="id faint">${disk.data_dir}</span>`;

// What the server stands on.
function Machine() {
  const said = server.value;
  if (!said) return null;
  const days = said.certificate_ends && daysLeft(said.certificate_ends);
  return html`<${Section} title=${t("The server")} aside=${html`<a href=${href("server")}>${t("More")}</a>`}><${Facts} facts=${[
    [t("Configuration read"), html`<${Reloaded} last=${said.last_reload} />`],
    [t("Certificate"), said.certificate_ends ? html`<${Pill} kind=${certificateKind(days)}>${t("{0} days left", number(Math.max(0, days)))}<//>` : t("none: it does not speak TLS")],
    [t("Disk"), said.disk ? html`<${Disk} disk=${said.disk} />` : hasCluster.value ? t("none: NATS keeps everything") : t("none: all is in memory")],
  ]} /><//>`;
}

function Projects() {
  return html`<${Section} title=${t("Projects")}><${Table} label=${t("Projects")} row=${(one) => one.app_id} rows=${projects.value} columns=${[
    [t("App ID"), (one) => html`<button type="button" class="link id" onClick=${() => choose(one.app_id)}>${one.app_id}</button>`],
    [t("Online"), (one) => number(one.users_online), "num"],
    [t("Channels"), (one) => number(one.channels), "num"],
    [t("Messages"), (one) => number(one.peer_messages + one.channel_messages), "num"],
  ]} /><//>`;
}

export function Cluster() {
  const { value, error } = useLoad((signal) => ask("GET", "/cluster", { signal }), [], 3000);
  if (!value) return null;
  return html`<${Section} title=${t("Cluster")} aside=${t("view {0}", value.epoch)}><${Table} label=${t("Nodes")} rows=${value.nodes} row=${(one) => one.node} columns=${[
    [t("Node"), (one) => html`<span class="id">${one.node}</span>${one.node === value.node && html` <${Pill} kind="good">${t("this one")}<//>`}`],
    [t("Role"), (one) => t(one.role)],
    [t("Version"), (one) => one.version ?? "–"],
    [t("Sessions"), (one) => number(one.sessions), "num"],
  ]} /><//>`;
}
