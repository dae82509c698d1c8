// One user: who it is, where it is, and what an operator can do about it.
import { useSignal } from "@preact/signals";
import { path } from "./api.js";
import { Act, ChannelLink, Dialog, Facts, Fault, Section, State, Table, Time, UserLink, attempt, bytes, html, number, since, span, useLoad, usePages, Pill } from "./parts.js";
import { ask, may, project, route } from "./state.js";
import { Find, KickDialog } from "./lists.js";
import { Feed } from "./events.js";
import { refusal, t } from "./words.js";

export function Users() {
  const id = route.value.part;
  if (id) return html`<${User} id=${id} key=${`${project.value}/${id}`} />`;
  return html`<div class="title"><h1>${t("Users")}</h1></div><${Find} what="users" label=${t("User ID")} /><${Bans} />`;
}

function Bans() {
  const pages = usePages(`/projects/${project.value}/bans`, {}, 5000);
  return html`<${Section} title=${t("Banned, or with revoked tokens")}><${Fault} error=${pages.error} />
    <${Table} label=${t("Banned, or with revoked tokens")} rows=${pages.rows} row=${(one) => one.user_id} empty=${t("Nobody")} columns=${[
      [t("User"), (one) => html`<${UserLink} id=${one.user_id} />`],
      [t("Banned until"), (one) => html`<${Time} at=${one.banned_until} />`],
      [t("Tokens are refused that were issued before"), (one) => html`<${Time} at=${one.tokens_revoked_before} />`],
    ]} />${pages.more}<//>`;
}

function User({ id }) {
  const at = `/projects/${project.value}${path("users", id)}`;
  const load = useLoad((signal) => ask("GET", at, { signal }), [at], 2000);
  const open = useSignal(null);
  const close = () => { open.value = null; };
  const done = async (work, said) => { const isDone = await attempt(work, said); if (isDone) load.again(); return isDone; };
  const user = load.value, session = user?.session;
  const dialogs = {
    kick: () => html`<${KickDialog} user=${id} onClose=${close} onDone=${load.again} />`,
    ban: () => html`<${Dialog} title=${t("Ban {0}?", id)} text=${t("Its session ends and its logins are refused. The ban survives a restart if the server keeps a store.")} action=${t("Ban")} kind="danger" onClose=${close}
      fields=${[{ name: "for", label: t("For how long"), options: [["10m", t("10 minutes")], ["1h", t("1 hour")], ["24h", t("1 day")], ["7d", t("7 days")], ["forever", t("for ever")]], value: "1h" },
        { name: "until", label: t("Or until this time"), type: "datetime-local" }]}
      onDone=${({ until, for: span }) => done(() => ask("PUT", `${at}/ban`, { body: until ? { until: new Date(until).toISOString() } : span === "forever" ? { until: span } : { for: span } }), t("{0} is banned", id))} />`,
    revoke: () => html`<${Dialog} title=${t("Revoke the tokens of {0}?", id)} text=${t("Tokens that were issued until now are refused, and sessions that use them end.")} action=${t("Revoke")} kind="danger" onClose=${close}
      onDone=${() => done(() => ask("POST", `${at}/revoke-tokens`, { body: { issued_before: "now" } }), t("Tokens are revoked"))} />`,
    send: () => html`<${Dialog} title=${t("Send a message to {0}", id)} action=${t("Send")} onClose=${close}
      fields=${[{ name: "from", label: t("In whose name"), required: true, value: "support" }, { name: "text", label: t("Text"), type: "area", required: true }, { name: "offline", label: t("Store it if the user is away"), type: "checkbox" }]}
      onDone=${(values) => done(() => ask("POST", `${at}/messages`, { body: values }), ({ outcome }) => t(`Message: ${outcome}`))} />`,
    unstore: () => html`<${Dialog} title=${t("Delete the messages that wait for {0}?", id)} text=${t("{0} messages. Their senders were told that they are stored, and are not told that they are gone.", number(user?.stored_messages))} action=${t("Delete")} kind="danger" onClose=${close}
      onDone=${() => done(() => ask("DELETE", `${at}/stored`), (gone) => t("Deleted: {0} waiting messages", number(gone.stored_messages)))} />`,
    remove: () => html`<${Dialog} title=${t("Delete what is kept of {0}?", id)} text=${t("Messages that wait for it, messages in histories that it sent, its subscriptions and attributes. This cannot be undone.")} action=${t("Delete")} kind="danger" onClose=${close}
      onDone=${() => done(() => ask("DELETE", `${at}/data`), (gone) => t("Deleted: {0} waiting messages, {1} in histories", gone.stored_messages, gone.history_messages))} />`,
  };
  const show = (name) => () => { open.value = name; };
  const unban = () => done(() => ask("DELETE", `${at}/ban`), t("{0} may log in again", id));
  const isBanned = Boolean(user?.banned_until);
  return html`
    <div class="title"><h1><span class="faint">${t("User")}</span> <span class="id">${id}</span>
      ${user?.state && html` <${State} state=${user.state} />`} ${isBanned && html`<${Pill} kind="bad">${t("banned")}<//>`}</h1></div>
    <div class="buttons">
      <${Act} onClick=${show("send")}>${t("Send a message")}<//>
      <${Act} onClick=${show("kick")} disabled=${!session && !user?.node}>${t("Disconnect")}<//>
      ${isBanned ? html`<${Act} onClick=${unban}>${t("Lift the ban")}<//>` : html`<${Act} kind="danger" onClick=${show("ban")}>${t("Ban…")}<//>`}
      <${Act} onClick=${show("revoke")}>${t("Revoke tokens…")}<//>
      <${Act} onClick=${show("unstore")} disabled=${!user?.stored_messages}>${t("Delete stored messages…")}<//>
      <${Act} onClick=${show("remove")}>${t("Delete data…")}<//>
    </div>
    ${load.error?.status === 404 ? html`<p class="empty">${t("This server knows nothing of this user now: no session, no attributes, no ban, no waiting messages.")}</p>` : html`<${Fault} error=${load.error} />`}
    ${user && html`<div class="columns">
      <${Section} title=${t("Session")}>${session ? html`<${Facts} facts=${[
        [t("State"), html`<${State} state=${session.state} />`],
        [t("Connected"), session.connected ? t("yes, for {0}", since(session.connected_since)) : t("no: its session waits for it")],
        [t("Address"), html`<span class="id">${session.address ?? "–"}</span>`],
        [t("Wire"), session.wire ? t(session.wire) : "–"],
        user.node && [t("Node"), html`<span class="id">${user.node}</span>`],
        [t("Client"), html`<span class="id">${session.instance}</span>`],
        [t("Last heard"), t("{0} ago", span(session.silent_ms))],
        session.rtt_ms !== null && [t("Round trip"), span(session.rtt_ms)],
        [t("Waits for its client"), t("{0} events, {1}", number(session.queued_events), bytes(session.queued_bytes))],
        [t("On the way at once"), session.window ? t("at most {0} events", number(session.window)) : t("as many events as there are")],
        [t("Refused calls"), session.refused_calls ? html`${number(session.refused_calls)} <ul class="plain">${Object.entries(user.refused).map(([why, count]) => html`<li key=${why}>${refusal(why)}: ${number(count)}</li>`)}</ul>` : t("none")],
        session.away_dropped > 0 && [t("Lost while away"), t("{0} events of channels", number(session.away_dropped))],
        session.token_ends && [t("Token ends"), html`<${Time} at=${session.token_ends} />`],
      ]} />` : html`<p class="empty">${user.node ? t("It is on the node {0}", user.node) : t("Not logged in")}</p>`}<//>
      <${Section} title=${t("What is known")}><${Facts} facts=${[
        [t("Stored messages"), number(user?.stored_messages)],
        [t("Open invitations"), number(user.invitations)],
        [t("Watched by"), t("{0} users", number(user.watchers))],
        user.banned_until && [t("Banned until"), html`<${Time} at=${user.banned_until} />`],
        user.tokens_revoked_before && [t("Tokens are refused that were issued before"), html`<${Time} at=${user.tokens_revoked_before} />`],
      ]} /><//>
      <${Section} title=${t("Channels ({0})", user.channels.length)}><${Tags} ids=${user.channels} link=${ChannelLink} /><//>
      <${Section} title=${t("Watches ({0})", user.subscriptions.length)}><${Tags} ids=${user.subscriptions} link=${UserLink} /><//>
      ${Object.keys(user.attributes).length > 0 && html`<${Section} title=${t("Attributes")}><${Table} label=${t("Attributes")} rows=${Object.entries(user.attributes)} row=${([name]) => name}
        columns=${[[t("Key"), ([name]) => html`<span class="id">${name}</span>`], [t("Value"), ([, value]) => html`<span class="id">${value}</span>`]]} /><//>`}
    </div>`}
    <${Section} title=${t("What happens now")}><${Feed} about=${{ user: id }} key=${id} /><//>
    <${History} at=${`${at}/history`} />
    ${open.value && dialogs[open.value]()}`;
}

const Tags = ({ ids, link: Link }) => (ids.length ? html`<ul class="tags">${ids.map((id) => html`<li key=${id}><${Link} id=${id} /></li>`)}</ul>` : html`<p class="empty">${t("none")}</p>`);

// Messages of a history. Reading it is written down, so nobody does without wanting to.
export function History({ at }) {
  const isWanted = useSignal(false);
  return html`<${Section} title=${t("History")}>
    ${isWanted.value ? html`<${Messages} at=${at} />` : html`<p class="hint">${t("The texts of messages are private. That you read them is written into the audit log.")}</p>
      <p><${Act} onClick=${() => { isWanted.value = true; }}>${t("Read the history")}<//></p>`}<//>`;
}

function Messages({ at }) {
  const pages = usePages(at, { newest_first: true });
  return html`<${Fault} error=${pages.error} /><${Table} label=${t("History")} rows=${pages.rows} row=${(one) => `${one.time}${one.from}${one.message_id}`} empty=${t("No message is kept: senders ask for that")} columns=${[
    [t("Time"), (one) => html`<${Time} at=${one.time} />`],
    [t("From"), (one) => html`<${UserLink} id=${one.from} />`],
    [t("To"), (one) => (one.to_channel ? html`<${ChannelLink} id=${one.to_channel} />` : html`<${UserLink} id=${one.to_user} />`)],
    [t("Text"), (one) => one.text ?? html`<span class="faint">${t("{0} of bytes", bytes(one.bytes))}</span>`, "text"],
  ]} />${pages.more}`;
}
