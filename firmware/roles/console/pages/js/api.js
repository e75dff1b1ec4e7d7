// Speaks to the appliance: one function a call, problems as errors, and who is logged in.

const listeners = new Set();
let csrf = "";

/** What GET /session last said; null before the first answer. */
export let session = null;

/** A refusal or a failure, in words: `detail` says what is wrong, `remedy` what to do, `errors` which fields. */
export class Problem extends Error {
  constructor(body, status) {
    super(body.detail || body.title || "This did not work.");
    this.status = status;
    this.code = body.code || "";
    this.detail = this.message;
    this.remedy = body.remedy || "";
    this.errors = Array.isArray(body.errors) ? body.errors : [];
    this.body = body;
  }
}

/** Told of `session`, `lost`, `back` and `no-session`. */
export function onChange(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
export const tell = (what, detail) => listeners.forEach((listener) => listener(what, detail));

/** What vendor and product are called, as it stands within a sentence. */
export const names = () => ({ appliance: "Support Appliance", array: "the storage array", support: "the vendor’s support", ...session?.profile });

export const person = () => session?.person || null;
export const isAdmin = () => person()?.role === "admin";
/** The grant that somebody has come by: it is all that he may open. */
export const ownGrant = () => (person()?.role === "grant" ? person().grant : null);
export const maySupport = () => isAdmin() || ownGrant() !== null;

const AWAY = {
  detail: "The appliance does not answer.", code: "away",
  remedy: "It may be restarting, or the network may have changed. What you typed stays here: try again when the banner above is gone.",
};
const WAIT_MILLISECONDS = 30_000;

function headers(method, body, quietly) {
  const found = { Accept: "application/json" };
  if (method !== "GET") found["X-CSRF-Token"] = csrf;
  if (body !== undefined) found["Content-Type"] = "application/json";
  // Asked by the page and by no person: it is no reason to keep a session that nobody uses.
  if (quietly) found["X-Background"] = "1";
  return found;
}

async function once(method, path, body, quietly = false) {
  let answer;
  try {
    answer = await fetch(`/api/v1${path}`, {
      method, headers: headers(method, body, quietly), body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin", cache: "no-store", redirect: "error", signal: AbortSignal.timeout(WAIT_MILLISECONDS),
    });
  } catch {
    throw new Problem(AWAY, 0);
  }
  let value = null;
  try {
    const text = await answer.text();
    if (text && (answer.headers.get("Content-Type") || "").includes("json")) value = JSON.parse(text);
  } catch {
    if (answer.ok) throw new Problem(AWAY, 0);
  }
  if (answer.ok) return value;
  const problem = new Problem(value || { detail: `The appliance answered with status ${answer.status}.`, remedy: "Try again. If it stays so, look at Logs and Health." }, answer.status);
  const wait = Number(answer.headers.get("Retry-After"));
  if (answer.status === 429 && wait > 0 && !problem.remedy) problem.remedy = `Wait ${wait} seconds, then try again.`;
  throw problem;
}

/** One call. A stale token is fetched anew once; a session that is over is told to all. */
export async function call(method, path, body, quietly) {
  try {
    return await once(method, path, body, quietly);
  } catch (problem) {
    if (problem.code === "csrf") {
      await refresh();
      return once(method, path, body);
    }
    if (problem.code === "away") tell("lost");
    if (problem.code === "no-session") {
      await refresh().catch(() => {});
      tell("no-session");
    }
    throw problem;
  }
}

/** `quietly`: by the page itself, and not because a person wished it. */
export const get = (path, quietly = false) => call("GET", path, undefined, quietly);
export const post = (path, body = {}) => call("POST", path, body);
export const put = (path, body) => call("PUT", path, body);
export const remove = (path) => call("DELETE", path);

function adopt(next) {
  session = next;
  csrf = next.csrf || csrf;
  tell("session", next);
  return next;
}

/** Asks who is logged in. */
export const refresh = async () => adopt(await once("GET", "/session", undefined, true));
export const logIn = async (body) => adopt(await call("POST", "/session", body));
export const respond = async (response) => adopt(await call("POST", "/challenge/response", { response }));
export async function logOut() {
  await call("DELETE", "/session");
  await refresh();
}
