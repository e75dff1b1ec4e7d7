// The two ways in: the array's user and password, or a challenge that the vendor's support answers.

import { logIn, names, post, respond } from "./api.js";
import { certificate, copyButton } from "./widgets.js";
import { field, form, submit, action } from "./forms.js";
import { fill, h, heading, theirs, unique } from "./dom.js";
import { span } from "./format.js";
import { qr } from "./qr.js";

let typed = { user: "", host: "", code: "" };
let timer = 0;

/** The login. `over`: it lies over a page whose inputs stay; `done()` is called when somebody is in. */
export function login(session, over, done) {
  clearInterval(timer);
  const ways = h("div.way");
  const at = unique("way");
  const choose = (way) => {
    clearInterval(timer);
    for (const input of picks.querySelectorAll("input")) input.checked = input.value === way;
    fill(ways, way === "array" ? byArray(session, done, choose) : byChallenge(session, done, choose));
  };
  const pick = (value, text, hint) => {
    const id = unique("w");
    return h("div.tick", {}, h("input", { type: "radio", name: at, id, value, "aria-describedby": `${id}-h`, onchange: () => choose(value) }),
      h("div", {}, h("label", { for: id }, text), h("p.hint", { id: `${id}-h` }, hint)));
  };
  const picks = h("fieldset.ways", {}, h("legend", {}, "How do you want to log in?"),
    pick("array", `With my user of ${names().array}`, ["The array checks user and password. ", theirs(session.profile?.login)]),
    pick("challenge", "With a challenge", ["For when the array is down: ", theirs(names().support), " gives you a response, or has sent you a grant."]));
  const title = over ? h("h2", { tabindex: "-1", id: "login-title" }, "Log in again") : heading("Log in");
  const place = h("div.login.sheet", {}, title,
    over ? h("p", {}, "Your session is over. What you typed is still there: log in, and go on where you were.")
      : h("p", {}, session.system?.name ? [`${names().appliance} `, h("bdi", { dir: "auto" }, session.system.name), session.system.serial && `, serial number ${session.system.serial}`] : names().appliance),
    picks, ways);
  choose("array");
  return place;
}

function byArray(session, done, choose) {
  let facts = null;
  const user = field({ at: "user", label: "User", value: typed.user, autocomplete: "username", required: true });
  const password = field({ at: "password", label: "Password", kind: "password", autocomplete: "current-password", required: true });
  const host = field({ at: "setup.host", also: ["host"], label: "Address of the array", hint: "Name or IP address of the array’s management, as array.example.com", value: typed.host, required: true });
  const code = field({ at: "setup.code", also: ["code"], label: "Set-up code", hint: "It stands on the appliance’s screen and serial line.", value: typed.code, required: true });
  const known = session.array?.set !== false;
  const setup = h("fieldset", { hidden: known }, h("legend", {}, known ? "Set the array anew" : "First use: which array is this?"),
    h("p", {}, `${known ? "Only if the array’s certificate was replaced on purpose." : "No array is set yet."} The set-up code shows that you stand at this appliance.`), host, code);
  if (known && !host.input.value) host.input.value = session.array?.host || "";
  const shown = h("div");
  const offer = h("div");
  const button = submit("Log in", "Checking at the array …");
  const element = form("Log in with the array", [setup, user, password, shown, h("div.buttons", {}, button), offer], async () => {
    fill(offer);
    typed = { user: user.input.value, host: host.input.value, code: code.input.value };
    const body = { user: typed.user, password: password.input.value };
    if (!setup.hidden) body.setup = { code: typed.code.trim(), host: typed.host.trim(), ...(facts && { fingerprint: facts.fingerprint }) };
    try {
      await logIn(body);
      typed.code = "";
      done();
    } catch (problem) {
      if (!refused(problem)) throw problem;
    }
  });

  /** What the login offers after a refusal. True when that says all: the array is new, and its certificate is to be compared. */
  function refused(problem) {
    if (problem.code === "array-unset") {
      setup.hidden = false;
      problem.errors = problem.errors.length ? problem.errors : [{ field: "setup.host", wrong: "the appliance does not know its array yet", right: "the array’s address, and the set-up code" }];
    } else if (problem.code === "array-certificate") {
      facts = problem.body.shown;
      setup.hidden = false;
      fill(shown, h("section.facts-box", { "aria-label": "The array’s certificate" }, h("h2", { tabindex: "-1" }, "Is this your array?"),
        h("p", {}, "Compare the fingerprint with the one that the array itself shows. Go on only if they are the same: from then on the appliance trusts this certificate and no other."),
        certificate(facts)));
      button.dataset.text = "They are the same: log in";
      if (!known) {
        shown.querySelector("h2").focus();
        shown.scrollIntoView({ block: "nearest" });
        return true;
      }
    } else if (problem.code === "array-down" || problem.code === "array-fault") {
      fill(offer, h("p", {}, "Nobody can be checked at the array now. You can log in with a challenge in its place."),
        h("button", { type: "button", onclick: () => choose("challenge") }, "Log in with a challenge"));
    }
    return false;
  }
  return element;
}

function byChallenge(session, done, choose) {
  const place = h("div");
  const ask = action("Make a challenge", "Making a challenge …", async () => {
    const challenge = await post("/challenge");
    fill(place, challengeView(challenge, done, () => choose("challenge")));
    place.querySelector("h2").focus();
  }, () => start, { class: "main" });
  const start = h("div", {}, h("div.problem", { role: "alert", hidden: true, tabindex: "-1" }),
    h("p", {}, "The appliance makes a challenge: a text that is good once. You give it to ", theirs(names().support), ", by telephone, mail or camera, and they give you a response."),
    session.profile?.challenge && h("p", {}, theirs(session.profile.challenge)),
    h("div.buttons", {}, ask));
  place.append(start, h("h2", {}, "Or use a grant"), h("p", {}, "A grant is an approval that ", theirs(names().support), " has sent you beforehand, for one engineer and one session. It needs no challenge."),
    responseForm(done));
  return place;
}

function challengeView(challenge, done, anew) {
  const ends = Date.now() + challenge.expires_seconds * 1000;
  const left = h("p.countdown", { role: "timer" });
  const text = h("p.challenge", { dir: "ltr", tabindex: "0", "aria-label": "The challenge" }, String(challenge.text).split("-").map((group, at) => [at > 0 && "-", h("wbr"), h("span", {}, group)]));
  const element = responseForm(done, anew);
  const tick = () => {
    const seconds = Math.round((ends - Date.now()) / 1000);
    fill(left, seconds > 0 ? `Good for another ${span(seconds)}. ${challenge.tries_left} tries.` : "This challenge has run out. Begin again to get a new one.");
    if (seconds <= 0) clearInterval(timer);
  };
  clearInterval(timer);
  timer = setInterval(tick, 1000);
  tick();
  return [h("h2", { tabindex: "-1" }, "1. Give this challenge to support"),
    text, h("div.buttons", {}, copyButton("Copy the challenge", () => challenge.text, () => text)),
    left,
    challenge.qr?.length > 0 && h("figure", {}, qr(challenge.qr, "QR code of the challenge: its text stands above"), h("figcaption", {}, "The same as a QR code, for a camera.")),
    challenge.keys?.length > 0 && h("p.hint", {}, "These may answer: ", challenge.keys.map((key, at) => [at > 0 && ", ", h("bdi", { dir: "auto" }, key)])),
    h("h2", {}, "2. Type in the response, or a grant"), element];
}

/** What was answered to a challenge, or a grant: the appliance tells them apart. */
function responseForm(done, anew) {
  const response = field({ at: "response", label: "Response or grant", kind: "area", rows: 4, hint: "Paste it, or type it. Spaces and line ends do not matter.", dir: "ltr" });
  const again = anew && h("button", { type: "button", onclick: anew }, "Begin again");
  const element = form("Response or grant to log in with", [
    response, h("div.buttons", {}, submit("Log in", "Checking it …"), again)], async () => {
    try {
      await respond(response.input.value.trim());
      clearInterval(timer);
      done();
    } catch (problem) {
      if (["response-damaged", "response-wrong"].includes(problem.code) && !problem.errors.length) {
        problem.errors = [{ field: "response", wrong: problem.detail, right: "the whole text, as support gave it" }];
      } else if (problem.code.startsWith("grant-")) {
        problem.errors = [{ field: "response", wrong: problem.detail }];
      }
      throw problem;
    }
  });
  return element;
}
