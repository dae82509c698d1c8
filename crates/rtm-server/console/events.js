// The tap: what happens in a project, as it happens, for ten minutes at most.
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { ChannelLink, Fault, Field, Time, UserLink, html, number, span } from "./parts.js";
import { ask, isVisible, listen, now, project } from "./state.js";
import { t } from "./words.js";

const SHOWN = 500, TAP_MS = 10 * 60 * 1000;
const GROUPS = [["usual", "What is usual"], ["all", "Everything"], ["user.*,session.*", "Users and sessions"], ["channel.*", "Channels"], ["message.*", "Messages"], ["invitation.*", "Invitations"], ["server.*,log.*", "The server"]];

// Whether an event concerns a user or a channel.
function concerns({ user, channel }, { data }) {
  if (user) return [data.user_id, data.from, data.to, data.caller_id, data.callee_id].includes(user);
  if (channel) return data.channel_id === channel;
  return true;
}

export function Events() {
  const types = useSignal("usual"), user = useSignal(""), channel = useSignal("");
  return html`<div class="title"><h1>${t("Live events")}</h1></div>
    <form class="filters" onSubmit=${(event) => event.preventDefault()}>
      <${Field} name="types" label=${t("What")} options=${GROUPS.map(([value, said]) => [value, t(said)])} value=${types.value} onInput=${(event) => { types.value = event.target.value; }} />
      <${Field} name="user" label=${t("Only of this user")} type="search" onInput=${(event) => { user.value = event.target.value.trim(); }} />
      <${Field} name="channel" label=${t("Only of this channel")} type="search" onInput=${(event) => { channel.value = event.target.value.trim(); }} />
    </form>
    <p class="hint">${t("No event has the text of a message. Messages are there only if the configuration has them logged: events.types.")}</p>
    <${Feed} about=${{ user: user.value, channel: user.value ? "" : channel.value }} types=${types.value} key=${types.value} isOpen=${true} />`;
}

// A tap. It begins with what happens from now on; `isOpen`: at once.
export function Feed({ about, types = "all", isOpen = false }) {
  const isRunning = useSignal(isOpen), lines = useSignal([]), older = useSignal(0), ended = useSignal(null), error = useSignal(null), since = useSignal(0);
  const wanted = JSON.stringify(about);
  useEffect(() => {
    if (!isRunning.value || !isVisible.value) return;
    const control = new AbortController();
    since.value ||= Date.now();
    const timer = setTimeout(() => { ended.value = "time"; isRunning.value = false; }, Math.max(0, since.value + TAP_MS - Date.now()));
    let waiting = [], drawing = 0;
    const draw = () => {
      drawing = 0;
      const all = [...waiting.reverse(), ...lines.value];
      waiting = [];
      older.value += Math.max(0, all.length - SHOWN);
      lines.value = all.slice(0, SHOWN);
    };
    (async () => {
      try {
        const { items } = await ask("GET", "/projects", { signal: control.signal });
        const after = items.find((one) => one.app_id === project.value)?.last_event;
        for await (const { data } of listen(`/projects/${project.value}/events`, { query: { types, after }, signal: control.signal })) {
          const event = JSON.parse(data);
          if (!concerns(JSON.parse(wanted), event)) continue;
          waiting.push(event);
          drawing ||= setTimeout(draw, 150);
        }
        ended.value = "server";
      } catch (failed) {
        if (control.signal.aborted) return;
        error.value = failed;
      }
      isRunning.value = false;
    })();
    return () => { control.abort(); clearTimeout(timer); clearTimeout(drawing); };
  }, [isRunning.value, isVisible.value, wanted, types, project.value]);
  const start = () => { error.value = null; ended.value = null; since.value = Date.now(); isRunning.value = true; };
  const stop = () => { ended.value = "stopped"; isRunning.value = false; };
  const why = { time: t("The tap has ended after 10 minutes."), server: t("The server has ended the tap."), stopped: t("Stopped.") };
  return html`<div class="tap">
    <div class="buttons">
      ${isRunning.value ? html`<button type="button" onClick=${stop}>${t("Stop")}</button>` : html`<button type="button" class="primary" onClick=${start}>${t("Listen")}</button>`}
      <button type="button" onClick=${() => { lines.value = []; older.value = 0; }} disabled=${!lines.value.length}>${t("Clear")}</button>
      <span class="faint" role="status">${isRunning.value ? t("Listening; ends by itself in {0}", span(Math.max(0, since.value + TAP_MS - now.value))) : why[ended.value] ?? ""}
        ${older.value > 0 && ` ${t("{0} older ones are not shown any more.", number(older.value))}`}</span>
    </div>
    <${Fault} error=${error.value} />
    ${(isRunning.value || lines.value.length > 0) && html`<ol class="feed" tabindex="0" aria-label=${t("Live events")}>${lines.value.map((event) => html`<li key=${event.seq}>
      <${Time} at=${event.time} short=${true} /><code class="type">${event.type}</code><span class="data">${describe(event)}</span></li>`)}
      ${!lines.value.length && html`<li class="faint">${t("Nothing has happened yet.")}</li>`}</ol>`}
  </div>`;
}

function describe({ type, data }) {
  const hidden = ["session", "message_id", "call_id", ...(type.startsWith("session.") ? ["server"] : [])];
  const shown = { user_id: UserLink, from: UserLink, to: UserLink, caller_id: UserLink, callee_id: UserLink, channel_id: ChannelLink };
  return Object.entries(data).filter(([name]) => !hidden.includes(name)).map(([name, value]) => {
    const Link = shown[name];
    return html`<span key=${name}><span class="faint">${name.replace("_id", "")}</span> ${Link ? html`<${Link} id=${value} />` : String(value)}</span>`;
  });
}
