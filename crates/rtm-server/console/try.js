// Two users side by side, on either wire, with all that they are told as it comes.
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { Copy, Fault, Field, Pill, Section, Time, html } from "./parts.js";
import { NativeUser } from "./native.js";
import { VendorUser } from "./vendor-wire.js";
import { ask, project, seesServer, server } from "./state.js";
import { t } from "./words.js";

// Where clients reach the server, as the page's rules allow it: the one port that all of it is at.
function gateway() {
  const { listen = [], tls } = server.value ?? {};
  const [first] = listen;
  if (!first) return null;
  const at = first.lastIndexOf(":"), host = first.slice(0, at), port = first.slice(at + 1);
  const name = ["0.0.0.0", "[::]"].includes(host) ? location.hostname : host;
  return `${tls ? "wss" : "ws"}://${name}:${port}`;
}

export function Try() {
  const channel = useSignal("lobby"), one = useSignal("ann"), two = useSignal("ben");
  if (!seesServer()) return html`<div class="title"><h1>${t("Try it")}</h1></div><p class="empty">${t("This key is for some projects only.")}</p>`;
  const url = gateway();
  if (!url) return html`<div class="title"><h1>${t("Try it")}</h1></div><p class="empty">${t("This server listens nowhere by itself.")}</p>`;
  return html`<div class="title"><h1>${t("Try it")}</h1></div>
    <p class="hint">${t("Log in two users from this browser and watch what each of them is told. Both wires lead to the same users and channels.")} <span class="id">${url}</span></p>
    <div class="filters"><${Field} name="channel" label=${t("Channel")} value=${channel.value} onInput=${(event) => { channel.value = event.target.value.trim() || "lobby"; }} /></div>
    <div class="pair" key=${project.value}>
      <${Person} me=${one} other=${two} channel=${channel.value} url=${url} wire="native" />
      <${Person} me=${two} other=${one} channel=${channel.value} url=${url} wire="vendor" />
    </div>
    <${Section} title=${t("The same from a terminal")}>
      <${Lines} lines=${[
        `rtm listen --gateway ${url.replace("ws", "http")} --app-id ${project.value} --uid carol --channel ${channel.value}`,
        `rtm send --gateway ${url.replace("ws", "http")} --app-id ${project.value} --uid dave --to ${one.value} 'hello'`,
        `curl -H "Authorization: Bearer $RTM_ADMIN_KEY" -H 'Content-Type: application/json' -d '{"from":"support","text":"hello"}' ${location.origin}${location.pathname}admin/v1/projects/${project.value}/users/${encodeURIComponent(one.value)}/messages`,
      ]} />
    <//>`;
}

const Lines = ({ lines }) => html`<ul class="lines">${lines.map((line) => html`<li key=${line}><code class="id">${line}</code><${Copy} text=${line} /></li>`)}</ul>`;

function Person({ me, other, channel, url, wire: usual }) {
  const wire = useSignal(usual), user = useSignal(null), state = useSignal("out"), lines = useSignal([]), text = useSignal(""), error = useSignal(null);
  const ringing = useSignal([]), joined = useSignal([]), number = useRef(0);
  const tell = (kind, name, data) => {
    if (kind === "state") state.value = name;
    if (name === "RemoteInvitationReceived") ringing.value = [...ringing.value, data];
    if (/^RemoteInvitation(Canceled|Failure|Accepted)$/.test(name)) ringing.value = ringing.value.filter((one) => one.call_id !== data.call_id);
    lines.value = [{ kind, name, data, at: new Date().toISOString(), number: number.current++ }, ...lines.value].slice(0, 300);
  };
  useEffect(() => () => user.value?.logout(), []);
  const login = async (event) => {
    event.preventDefault();
    error.value = null;
    state.value = "CONNECTING";
    try {
      const token = await ask("POST", `/projects/${project.value}/tokens`, { body: { user_id: me.value, for: "1h" } }).then(({ token }) => token, (failed) => {
        // An open project has no tokens.
        if (failed.code === "unavailable" || failed.status === 403) return null;
        throw failed;
      });
      const Wire = wire.value === "native" ? NativeUser : VendorUser;
      const made = new Wire({ url, appId: project.value, userId: me.value, token, tell, ended: () => { user.value = null; joined.value = []; ringing.value = []; state.value = "out"; } });
      await made.login();
      user.value = made;
    } catch (failed) {
      error.value = failed;
      state.value = "out";
    }
  };
  const is_in = user.value && state.value === "CONNECTED";
  const take = (work) => (event) => { event?.preventDefault(); work(); };
  const say = (toChannel) => take(() => {
    if (!text.value) return;
    if (toChannel) user.value.sendToChannel(channel, text.value); else user.value.sendToPeer(other.value, text.value);
    text.value = "";
  });
  const isMember = joined.value.includes(channel);
  const join = take(async () => {
    if (isMember) { await user.value.leave(channel); joined.value = joined.value.filter((one) => one !== channel); }
    else if ((await user.value.join(channel)) === "ok") joined.value = [...joined.value, channel];
  });
  return html`<section class="panel person" aria-label=${me.value}>
    <header><h2 class="id">${me.value}</h2><div class="aside"><${Pill} kind=${is_in ? "good" : state.value === "out" ? "" : "warn"}>${state.value === "out" ? t("logged out") : state.value}<//></div></header>
    ${!user.value ? html`<form class="filters" onSubmit=${login}>
      <${Field} name=${`user-${usual}`} label=${t("User ID")} value=${me.value} required=${true} onInput=${(event) => { me.value = event.target.value.trim(); }} />
      <${Field} name=${`wire-${usual}`} label=${t("Wire")} value=${wire.value} options=${[["native", t("native")], ["vendor", t("vendor")]]} onInput=${(event) => { wire.value = event.target.value; }} />
      <button class="primary" disabled=${state.value !== "out"}>${t("Log in")}</button>
    </form>` : html`<form class="say" onSubmit=${say(false)}>
      <${Field} name=${`text-${usual}`} label=${t("Message")} value=${text.value} onInput=${(event) => { text.value = event.target.value; }} />
      <button class="primary" disabled=${!is_in || !text.value}>${t("To {0}", other.value)}</button>
      <button type="button" disabled=${!is_in || !text.value || !isMember} onClick=${say(true)}>${t("To the channel")}</button>
    </form>
    <div class="buttons">
      <button type="button" class="small" disabled=${!is_in} onClick=${join}>${isMember ? t("Leave the channel") : t("Join the channel")}</button>
      <button type="button" class="small" disabled=${!is_in} onClick=${take(() => user.value.watch(other.value))}>${t("Watch {0}", other.value)}</button>
      <button type="button" class="small" disabled=${!is_in} onClick=${take(() => user.value.invite(other.value, "a call?"))}>${t("Call {0}", other.value)}</button>
      <button type="button" class="small" disabled=${!is_in} onClick=${take(() => user.value.cut())}>${t("Cut the connection")}</button>
      <button type="button" class="small" onClick=${take(() => user.value.logout())}>${t("Log out")}</button>
    </div>`}
    ${ringing.value.map((call) => html`<p class="ringing" role="alert" key=${call.call_id}>${t("{0} calls", call.caller_id)}
      <button type="button" class="primary small" onClick=${() => { user.value?.accept(call); ringing.value = ringing.value.filter((one) => one !== call); }}>${t("Accept")}</button>
      <button type="button" class="small" onClick=${() => { user.value?.refuse(call); ringing.value = ringing.value.filter((one) => one !== call); }}>${t("Refuse")}</button></p>`)}
    <${Fault} error=${error.value} />
    <ol class="feed" tabindex="0" aria-label=${t("What {0} is told", me.value)}>
      ${lines.value.map((line) => html`<li key=${line.number} class=${line.kind}><${Time} at=${line.at} short=${true} /><code class="type">${{ call: "→", answer: "←", refused: "✕", event: "●", state: "○" }[line.kind]} ${line.name}</code>
        <span class="data">${Object.entries(line.data).map(([name, value]) => html`<span key=${name}><span class="faint">${name}</span> ${typeof value === "object" && value !== null ? JSON.stringify(value) : String(value)}</span>`)}</span></li>`)}
      ${!lines.value.length && html`<li class="faint">${t("Nothing has happened yet.")}</li>`}
    </ol>
  </section>`;
}
