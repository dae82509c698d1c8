// One channel: who is in it, its attributes, its history.
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { path } from "./api.js";
import { Act, Dialog, Fault, Section, Table, Time, UserLink, attempt, html, number, rate, useLoad, usePages } from "./parts.js";
import { ask, project, route } from "./state.js";
import { Channels as List } from "./lists.js";
import { Feed } from "./events.js";
import { Figure } from "./overview.js";
import { History } from "./user.js";
import { t } from "./words.js";

export function Channels() {
  const id = route.value.part;
  return id ? html`<${Channel} id=${id} key=${`${project.value}/${id}`} />` : html`<${List} />`;
}

function Channel({ id }) {
  const at = `/projects/${project.value}${path("channels", id)}`;
  const load = useLoad((signal) => ask("GET", at, { signal }), [at], 2000);
  const members = usePages(`${at}/members`, {}, 3000);
  const isSending = useSignal(false), looks = useSignal([]);
  const channel = load.value;
  // The rate is that of the last ten seconds or so.
  useEffect(() => { if (channel) looks.value = [...looks.value.slice(-5), { at: Date.now(), messages: channel.messages }]; }, [channel]);
  const [first, last] = [looks.value[0], looks.value.at(-1)];
  const perSecond = last?.at > first?.at && last.messages >= first.messages ? ((last.messages - first.messages) * 1000) / (last.at - first.at) : null;
  return html`
    <div class="title"><h1><span class="faint">${t("Channel")}</span> <span class="id">${id}</span></h1></div>
    <div class="buttons"><${Act} onClick=${() => { isSending.value = true; }}>${t("Send a message")}<//></div>
    ${load.error?.status === 404 ? html`<p class="empty">${t("This channel has no members and no attributes here.")}</p>` : html`<${Fault} error=${load.error} />`}
    ${channel && html`<div class="figures three">
      <${Figure} name=${t("Members")} value=${number(channel.members + channel.members_elsewhere)} note=${t("{0} more on other nodes", number(channel.members_elsewhere))} />
      <${Figure} name=${t("Messages per second")} value=${rate(perSecond)} note=${t("{0} messages since it has members", number(channel.messages))} />
      <${Figure} name=${t("Attributes")} value=${number(channel.attribute_values.length)} note=${t("revision {0}", channel.revision)} />
    </div>`}
    ${channel && html`<div class="columns">
      <${Section} title=${t("Members ({0})", number(channel.members + channel.members_elsewhere))}>
        ${members.rows?.length ? html`<ul class="tags">${members.rows.map((user) => html`<li key=${user}><${UserLink} id=${user} /></li>`)}</ul>` : html`<p class="empty">${t("none")}</p>`}${members.more}<//>
      <${Section} title=${t("Attributes ({0})", channel.attribute_values.length)} aside=${t("revision {0}", channel.revision)}>
        <${Table} label=${t("Attributes")} rows=${channel.attribute_values} row=${(one) => one.key} empty=${t("none")} columns=${[
          [t("Key"), (one) => html`<span class="id">${one.key}</span>`],
          [t("Value"), (one) => html`<span class="id">${one.value}</span>`],
          [t("Set by"), (one) => html`<${UserLink} id=${one.last_update_user_id} />`],
          [t("Time"), (one) => html`<${Time} at=${one.last_update} />`],
        ]} /><//>
    </div>`}
    <${Section} title=${t("What happens now")}><${Feed} about=${{ channel: id }} key=${id} /><//>
    <${History} at=${`${at}/history`} />
    ${isSending.value && html`<${Dialog} title=${t("Send a message to the channel {0}", id)} action=${t("Send")} onClose=${() => { isSending.value = false; }}
      fields=${[{ name: "from", label: t("In whose name"), required: true, value: "support" }, { name: "text", label: t("Text"), type: "area", required: true }]}
      onDone=${(body) => attempt(() => ask("POST", `${at}/messages`, { body }), t("The message was sent"))} />`}`;
}
