// The lists of connections and channels, and who is slow or refused.
import { useSignal } from "@preact/signals";
import { Chart } from "./charts.js";
import { Act, ChannelLink, Dialog, Fault, Field, Section, State, Table, Time, UserLink, attempt, bytes, html, number, ofNode, rate, since, span, usePages, useLoad } from "./parts.js";
import { ask, go, project, rates, route, series, times } from "./state.js";
import { path } from "./api.js";
import { reason, t } from "./words.js";

const any = (all) => [["", t("any")], ...all];

export const kick = (user) => attempt(() => ask("POST", `/projects/${project.value}${path("users", user, "kick")}`),
  ({ done }) => (done ? t("{0} was disconnected", user) : t("{0} has no session", user)));

export function KickDialog({ user, onClose, onDone }) {
  return html`<${Dialog} title=${t("Disconnect {0}?", user)} text=${t("Its session ends. Its client may log in again at once.")} action=${t("Disconnect")} kind="danger"
    onClose=${onClose} onDone=${async () => { const done = await kick(user); if (done) onDone?.(); return done; }} />`;
}

export function Connections() {
  const isEnded = route.value.part === "ended";
  return html`<div class="title"><h1>${t("Connections")}</h1></div>
    <nav class="tabs" aria-label=${t("Connections")}>
      <a href="#/connections" aria-current=${isEnded ? undefined : "page"}>${t("Open")}</a>
      <a href="#/connections/ended" aria-current=${isEnded ? "page" : undefined}>${t("Ended")}</a>
    </nav>
    ${isEnded ? html`<${Ended} />` : html`<${Open} />`}`;
}

function Open() {
  const filter = useSignal({}), kicked = useSignal(null);
  const pages = usePages(`/projects/${project.value}/sessions`, filter.value, 3000);
  const set = (name) => (event) => { filter.value = { ...filter.value, [name]: event.target.value.trim() }; };
  return html`
    <form class="filters" onSubmit=${(event) => event.preventDefault()}>
      <${Field} name="prefix" label=${t("User begins with")} type="search" onInput=${set("prefix")} />
      <${Field} name="state" label=${t("State")} options=${any(["online", "unreachable", "offline"].map((one) => [one, t(one)]))} onInput=${set("state")} />
      <${Field} name="wire" label=${t("Wire")} options=${any(["native", "vendor"].map((one) => [one, t(one)]))} onInput=${set("wire")} />
      <${Field} name="address" label=${t("Address")} type="search" placeholder="192.0.2.7" onInput=${set("address")} />
      <${Field} name="sort" label=${t("Most first")} options=${[["", t("not sorted")], ["queued_bytes", t("Bytes waiting")], ["queued_events", t("Events waiting")], ["silent_ms", t("Silent")], ["connected_ms", t("Connected for")], ["rtt_ms", t("Round trip")], ["limited_calls", t("Calls above a limit")], ["away_dropped", t("Lost while away")], ["channels", t("Channels")], ["subscriptions", t("Subscriptions")]]} onInput=${set("sort")} />
    </form>
    <${Fault} error=${pages.error} />
    <${Table} label=${t("Open connections")} rows=${pages.rows} row=${(one) => one.user_id} empty=${t("Nobody is connected, or nobody fits")} columns=${[
      [t("User"), (one) => html`<${UserLink} id=${one.user_id} />`],
      ...ofNode(pages.rows),
      [t("State"), (one) => html`<${State} state=${one.state} />`],
      [t("Wire"), (one) => (one.wire ? t(one.wire) : "–")],
      [t("Address"), (one) => html`<span class="id">${one.address ?? "–"}</span>`],
      [t("Connected for"), (one) => since(one.connected_since), "num"],
      [t("Silent"), (one) => span(one.silent_ms), "num"],
      [t("Round trip"), (one) => span(one.rtt_ms), "num"],
      [t("Waiting"), (one) => html`${number(one.queued_events)} <span class="faint">(${bytes(one.queued_bytes)})</span>`, "num"],
      [t("Channels"), (one) => number(one.channels), "num"],
      ["", (one) => html`<${Act} kind="small" onClick=${() => { kicked.value = one.user_id; }} label=${t("Disconnect {0}", one.user_id)}>${t("Disconnect")}<//>`, "act"],
    ]} />
    ${pages.more}
    ${kicked.value && html`<${KickDialog} user=${kicked.value} onClose=${() => { kicked.value = null; }} onDone=${pages.again} />`}`;
}

const REASONS = ["logout", "remote_login", "token_expired", "banned", "draining", "replaced", "keep_alive_timeout", "login_timeout", "slow_consumer", "protocol_error", "internal", "gone", "refused", "kicked"];

function Ended() {
  const filter = useSignal({ reason: route.value.query.reason ?? "" });
  const pages = usePages(`/projects/${project.value}/closed`, filter.value, 3000);
  const set = (name) => (event) => { filter.value = { ...filter.value, [name]: event.target.value.trim() }; };
  return html`
    <form class="filters" onSubmit=${(event) => event.preventDefault()}>
      <${Field} name="prefix" label=${t("User begins with")} type="search" onInput=${set("prefix")} />
      <${Field} name="reason" label=${t("Reason")} value=${filter.value.reason} options=${any(REASONS.map((one) => [one, reason(one)]))} onInput=${set("reason")} />
      <${Field} name="wire" label=${t("Wire")} options=${any(["native", "vendor"].map((one) => [one, t(one)]))} onInput=${set("wire")} />
      <${Field} name="address" label=${t("Address")} type="search" placeholder="192.0.2.7" onInput=${set("address")} />
    </form>
    <${Fault} error=${pages.error} />
    <${EndedTable} rows=${pages.rows} />${pages.more}`;
}

export const EndedTable = ({ rows }) => html`<${Table} label=${t("Connections that ended")} rows=${rows} row=${(one) => `${one.node ?? ""} ${one.number}`} empty=${t("No connection has ended yet")} columns=${[
  [t("Ended"), (one) => html`<${Time} at=${one.ended} />`],
  [t("User"), (one) => html`<${UserLink} id=${one.user_id} />`],
  ...ofNode(rows),
  [t("Reason"), (one) => reason(one.reason)],
  [t("Lasted"), (one) => span(Date.parse(one.ended) - Date.parse(one.connected_since)), "num"],
  [t("Wire"), (one) => t(one.wire)],
  [t("Address"), (one) => html`<span class="id">${one.address ?? "–"}</span>`],
]} />`;

export function Limits() {
  const id = project.value;
  const by = (sort) => useLoad((signal) => ask("GET", `/projects/${id}/sessions`, { query: { sort, limit: 10 }, signal }), [id], 2000);
  const queued = by("queued_bytes"), limited = by("limited_calls"), dropped = by("away_dropped"), silent = by("silent_ms");
  const cut = useLoad((signal) => ask("GET", `/projects/${id}/closed`, { query: { reason: "slow_consumer", limit: 20 }, signal }), [id], 5000);
  const top = (title, load, name, figure, cell) => html`<${Section} title=${title}><${Fault} error=${load.error} />
    <${Table} label=${title} rows=${load.value?.items.filter((one) => figure(one) > 0)} row=${(one) => one.user_id} empty=${t("Nobody")} columns=${[
    [t("User"), (one) => html`<${UserLink} id=${one.user_id} />`], [name, cell, "num"], [t("State"), (one) => html`<${State} state=${one.state} />`], [t("Wire"), (one) => (one.wire ? t(one.wire) : "–")],
  ]} /><//>`;
  return html`<div class="title"><h1>${t("Slow clients and limits")}</h1></div>
    <div class="charts">
      <${Chart} title=${t("What waits for clients")} at=${times()} unit=${bytes} isBinary=${true} lines=${[{ label: t("bytes"), values: series((one) => one.queued_bytes, id), colour: "one" }]} />
      <${Chart} title=${t("Calls above a limit, or refused otherwise, per second")} at=${times()} unit=${rate} lines=${[{ label: t("refused"), values: rates((one) => one.refused_calls, id), colour: "two" }]} />
      <${Chart} title=${t("Events lost while their receivers were away, per second")} at=${times()} unit=${rate} lines=${[{ label: t("events"), values: rates((one) => one.away_dropped, id), colour: "one" }]} />
      <${Chart} title=${t("Disconnected as too slow, since the start")} at=${times()} unit=${number} lines=${[{ label: t("connections"), values: series((one) => one.slow_consumers, id), colour: "two" }]} />
    </div>
    <p class="hint">${t("A session for which more than 4 MiB wait is disconnected as too slow. Its client may come back, and misses nothing if it reads then.")}</p>
    <div class="columns">
      ${top(t("Most waits for them"), queued, t("Waiting"), (one) => one.queued_bytes, (one) => `${number(one.queued_events)} (${bytes(one.queued_bytes)})`)}
      ${top(t("Most calls above a limit"), limited, t("Calls"), (one) => one.limited_calls, (one) => number(one.limited_calls))}
      ${top(t("Lost most while away"), dropped, t("Events"), (one) => one.away_dropped, (one) => number(one.away_dropped))}
      ${top(t("Silent the longest"), silent, t("Silent"), (one) => one.silent_ms, (one) => span(one.silent_ms))}
    </div>
    <${Section} title=${t("Disconnected as too slow")}><${EndedTable} rows=${cut.value?.items} /><//>`;
}

export function Channels() {
  const pages = usePages(`/projects/${project.value}/channels`, {}, 3000);
  return html`<div class="title"><h1>${t("Channels")}</h1></div>
    <${Find} what="channels" label=${t("Channel")} />
    <${Fault} error=${pages.error} />
    <${Table} label=${t("Channels")} rows=${pages.rows} row=${(one) => `${one.node ?? ""} ${one.channel_id}`} empty=${t("No channel has members or attributes")} columns=${[
      [t("Channel"), (one) => html`<${ChannelLink} id=${one.channel_id} />`],
      ...ofNode(pages.rows),
      [t("Members here"), (one) => number(one.members), "num"],
      [t("Members elsewhere"), (one) => number(one.members_elsewhere), "num"],
      [t("Messages"), (one) => number(one.messages), "num"],
      [t("Attributes"), (one) => number(one.attributes), "num"],
    ]} />${pages.more}`;
}

// Opens the page of whatever has this name.
export function Find({ what, label }) {
  const find = (event) => {
    event.preventDefault();
    const id = new FormData(event.target).get("id").trim();
    if (id) go(what, id);
  };
  return html`<form class="filters" onSubmit=${find}><${Field} name="id" label=${label} type="search" required=${true} /><button class="primary">${t("Open it")}</button></form>`;
}
