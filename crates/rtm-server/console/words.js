// The words of the console, in the language of the browser: English, or Chinese.

const languages = navigator.languages?.length ? navigator.languages : [navigator.language ?? "en"];
const first = languages.find((one) => /^(en|zh)\b/i.test(one)) ?? "en";
export const lang = /^zh/i.test(first) ? "zh" : "en";
export const locale = lang === "zh" ? first : /^en/i.test(first) ? first : "en";
const WORDS = lang === "zh" ? (await import("./zh.js")).WORDS : {};

// The words for an English text; {0} and so on stand for what follows.
export function t(text, ...values) {
  return (WORDS[text] ?? text).replace(/\{(\d)\}/g, (_, place) => values[place] ?? "");
}

// Why a connection ended, or why a server is not ready.
const REASONS = {
  logout: "logged out", remote_login: "logged in elsewhere", token_expired: "token expired", banned: "banned", draining: "server going down",
  replaced: "came back on another connection", keep_alive_timeout: "silent for too long", login_timeout: "did not log in", slow_consumer: "read too slowly",
  protocol_error: "broke the protocol", internal: "fault of the server", gone: "closed or lost by the client", refused: "login refused", kicked: "disconnected by an operator",
  store: "the store fails", fds: "no file descriptor is left", tls: "the certificate is not valid now", memory: "the memory limit is reached", cluster: "out of touch with the cluster",
};
export const reason = (name) => t(REASONS[name] ?? name);

// Why a call was refused.
const REFUSALS = {
  invalid_argument: "an argument breaks the rules", too_often: "above a call limit", too_much: "too many or too large", not_there: "the user or channel is not there",
  revision_conflict: "the attributes have another revision", timeout: "no answer in time", failure: "the server or its store failed", other: "for another reason",
};
export const refusal = (name) => t(REFUSALS[name] ?? name);

// What went wrong, for a person.
const FAULTS = {
  unreachable: "The server does not answer",
  too_often: "Too many wrong keys came from this address: try again in a minute",
};
export const fault = (error) => (FAULTS[error.code] ? t(FAULTS[error.code]) : t(error.message.replace(/^./, (letter) => letter.toUpperCase())));
