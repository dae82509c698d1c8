// Access tokens: what is in one and what the server makes of it, and new ones.
import { useSignal } from "@preact/signals";
import { Copy, Facts, Fault, Field, Pill, Section, Time, html } from "./parts.js";
import { ask, may, project } from "./state.js";
import { t } from "./words.js";

export function Tokens() {
  const made = useSignal(null), makeError = useSignal(null), said = useSignal(null), explainError = useSignal(null);
  const make = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    makeError.value = made.value = null;
    try { made.value = await ask("POST", `/projects/${project.value}/tokens`, { body: Object.fromEntries(form) }); } catch (error) { makeError.value = error; }
  };
  const explain = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target), user = form.get("user_id").trim();
    explainError.value = said.value = null;
    try { said.value = await ask("POST", `/projects/${project.value}/tokens/explain`, { body: { token: form.get("token"), user_id: user || undefined } }); } catch (error) { explainError.value = error; }
  };
  const verdicts = { valid: ["good", t("The server lets this user in")], refused: ["bad", t("The server refuses it")], undecided: ["warn", t("It depends on who logs in")] };
  const verdict = said.value && verdicts[said.value.verdict];
  return html`<div class="title"><h1>${t("Tokens")}</h1></div>
    <div class="columns">
      <${Section} title=${t("Explain a token")}>
        <form class="stack" onSubmit=${explain}>
          <${Field} name="token" label=${t("Token")} type="area" required=${true} />
          <${Field} name="user_id" label=${t("Who logs in with it")} hint=${t("Tokens of the format 006 do not contain their user.")} />
          <div class="buttons"><button class="primary">${t("Explain")}</button></div>
        </form>
        <${Fault} error=${explainError.value} />
        ${said.value && html`<div role="status"><p><${Pill} kind=${verdict[0]}>${verdict[1]}<//> ${said.value.reason ?? ""}</p>
          ${said.value.version && html`<${Facts} facts=${[
            [t("Format"), said.value.version], [t("App ID"), html`<span class="id">${said.value.app_id}</span>`], said.value.user_id && [t("User"), html`<span class="id">${said.value.user_id}</span>`],
            [t("Issued"), html`<${Time} at=${said.value.issued} />`], [t("Ends"), html`<${Time} at=${said.value.ends} />`]]} />`}</div>`}
      <//>
      <${Section} title=${t("Make a token")}>
        <form class="stack" onSubmit=${make}>
          <${Field} name="user_id" label=${t("User ID")} required=${true} />
          <${Field} name="for" label=${t("For how long")} value="1h" options=${[["10m", t("10 minutes")], ["1h", t("1 hour")], ["24h", t("1 day")]]} />
          <${Field} name="version" label=${t("Format")} value="006" options=${[["006", "006"], ["007", "007"]]} />
          <p class="hint">${t("Whoever has the token can log in as this user. That it was made is written into the audit log.")}</p>
          <div class="buttons"><button class="primary" disabled=${!may("admin")} title=${may("admin") ? undefined : t("This needs a key with the role {0}", "admin")}>${t("Make it")}</button></div>
        </form>
        <${Fault} error=${makeError.value} />
        ${made.value && html`<div role="status"><p>${t("Ends")}: <${Time} at=${made.value.ends} /> <${Copy} text=${made.value.token} /></p><pre class="id">${made.value.token}</pre></div>`}
      <//>
    </div>`;
}
