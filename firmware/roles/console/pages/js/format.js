// Says times, sizes and fingerprints as people do.

const part = (number, unit) => `${number} ${unit}`;

/** 3725 -> "1 h 2 min"; below an hour with seconds. */
export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [days, hours] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24];
  const [minutes, rest] = [Math.floor(whole / 60) % 60, whole % 60];
  if (days) return part(days, days === 1 ? "day" : "days") + (hours ? ` ${part(hours, "h")}` : "");
  if (hours) return part(hours, "h") + (minutes ? ` ${part(minutes, "min")}` : "");
  if (minutes) return part(minutes, "min") + (rest ? ` ${part(rest, "s")}` : "");
  return part(rest, "s");
}

/** "1 hour 30 minutes", for reading aloud and for long stays. */
export function minutesInWords(minutes) {
  const [days, hours, rest] = [Math.floor(minutes / 1440), Math.floor(minutes / 60) % 24, minutes % 60];
  const count = (number, unit) => (number ? `${number} ${unit}${number === 1 ? "" : "s"}` : "");
  return [count(days, "day"), count(hours, "hour"), count(rest, "minute")].filter(Boolean).join(" ") || "no time";
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayName = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long" });
const full = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const exact = new Intl.DateTimeFormat("en-GB", { month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** "Friday 27 November, 03:40", by the browser's clock. */
export const moment = (milliseconds) => `${dayName.format(milliseconds).replace(",", "")}, ${clock.format(milliseconds)}`;
export const hour = (milliseconds) => clock.format(milliseconds);
export const date = (seconds) => full.format(seconds * 1000);
export const stamp = (milliseconds) => exact.format(milliseconds);

/** 2048 -> "2 MiB". */
export function kib(number) {
  if (number >= 1048576) return `${(number / 1048576).toFixed(1)} GiB`;
  return number >= 1024 ? `${Math.round(number / 1024)} MiB` : `${number} KiB`;
}

/** "AABBCC…" or "AA:BB:…" -> groups of four bytes, which a person can compare. */
export function groups(fingerprint) {
  const bytes = String(fingerprint || "").replace(/[^0-9A-Fa-f]/g, "").toUpperCase().match(/.{1,2}/g) || [];
  const found = [];
  for (let at = 0; at < bytes.length; at += 4) found.push(bytes.slice(at, at + 4).join(":"));
  return found;
}

/** One entry a line, without empty lines. */
export const lines = (text) => String(text || "").split(/\r?\n/).map((line) => line.trim()).filter(Boolean);
/** A number when it is one; else what was typed, so that the appliance can say what is wrong with it. */
export const number = (text) => (/^\d+$/.test(String(text).trim()) ? Number(text) : String(text).trim());
