// The admin API as the page calls it: with the key, and with its errors as they are.

// Why a call failed. `status` is 0 where nobody answered.
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

// A path made of parts, each as it is: ids may hold any character.
export const path = (...parts) => parts.map((part) => `/${encodeURIComponent(part)}`).join("");

export async function call(key, method, path, { query, body, signal, accept } = {}) {
  const wanted = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = wanted.length ? `?${new URLSearchParams(wanted)}` : "";
  const headers = { Authorization: `Bearer ${key}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (accept) headers.Accept = accept;
  let response;
  try {
    response = await fetch(`admin/v1${path}${search}`, {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "the server does not answer");
  }
  if (response.ok) return accept ? response : response.json();
  const said = await response.json().catch(() => null);
  throw new ApiError(response.status, said?.error?.code ?? "failed", said?.error?.message ?? response.statusText);
}

// Server-sent events, until the server ends them, the connection breaks or `signal` is aborted. Not an EventSource: that
// cannot send the key.
export async function* events(key, path, { query, signal } = {}) {
  const response = await call(key, "GET", path, { query, signal, accept: "text/event-stream" });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      let end;
      while ((end = text.indexOf("\n\n")) >= 0) {
        const event = { type: "message", data: "" };
        for (const line of text.slice(0, end).split("\n")) {
          const colon = line.indexOf(":");
          if (colon <= 0) continue;
          const field = line.slice(0, colon), said = line.slice(colon + 1).replace(/^ /, "");
          if (field === "event") event.type = said;
          else if (field === "data") event.data += said;
          else if (field === "id") event.id = said;
        }
        text = text.slice(end + 2);
        if (event.data) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
