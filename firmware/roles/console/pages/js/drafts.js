// Remembers what was typed: in this window's storage, and secrets in memory only.

const memory = new Map();
const SECRET = /^(secret|password|enrolment|token|code|pem|response|grant)$/;

function without(value) {
  if (Array.isArray(value)) return value.map(without);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).filter(([name]) => !SECRET.test(name)).map(([name, inner]) => [name, without(inner)]));
  }
  return value;
}

export function keep(name, model) {
  memory.set(name, model);
  try { sessionStorage.setItem(`draft:${name}`, JSON.stringify(without(model))); } catch { /* full, or forbidden: memory does */ }
}

/** What was typed, or null. */
export function kept(name) {
  if (memory.has(name)) return memory.get(name);
  try { return JSON.parse(sessionStorage.getItem(`draft:${name}`)); } catch { return null; }
}

export function drop(name) {
  memory.delete(name);
  try { sessionStorage.removeItem(`draft:${name}`); } catch { /* as above */ }
}

/** Somebody else sits here now, or nobody. */
export function dropAll() {
  memory.clear();
  try {
    for (const key of Object.keys(sessionStorage)) if (key.startsWith("draft:")) sessionStorage.removeItem(key);
  } catch { /* as above */ }
}

/** Keeps a form's model whenever something in it changes; `more()` does so after rows came or went. */
export function follow(form, name, read) {
  const note = () => keep(name, read());
  form.addEventListener("input", note);
  form.addEventListener("change", note);
  return note;
}
