// The playground with its editor, and its answers while somebody types. Everything works without it, by the buttons.
// Nothing of an answer ever runs: it is read as a page of this service, whose parts take the place of the old ones.

import { makeEditor } from "./editor.js";

const WAIT_MS = 400;
const AGAIN_MS = 1000;
const form = document.getElementById("playground");
const said = document.getElementById("said");
const host = document.createElement("div");
host.className = "editor";
let waiting = 0;
let isAsking = false;
let isAskedAgain = false;
let isLeaving = false;
let isChanged = form.elements.changes.value !== "{}";

const editor = makeEditor(host, { changed, ask: askAtCursor, say: (text) => (said.textContent = text) });

function field() {
  return document.getElementById("text");
}

function changed(text) {
  field().value = text;
  isChanged = true;
  askSoon(WAIT_MS);
}

function askSoon(milliseconds) {
  clearTimeout(waiting);
  waiting = setTimeout(judge, milliseconds);
}

function send(more) {
  const body = new URLSearchParams(new FormData(form));
  body.delete("new");
  for (const [name, value] of Object.entries(more)) body.set(name, value);
  return fetch(form.getAttribute("action"), { method: "POST", body, credentials: "same-origin" });
}

async function pageOf(answer) {
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

async function askAtCursor(deed, line, column) {
  try {
    const answer = await send({ do: deed, line, column });
    return answer.ok ? (await answer.json())[deed] : null;
  } catch {
    return null;
  }
}

// One question at a time: what was typed meanwhile is asked by itself.
async function judge() {
  if (isAsking) {
    isAskedAgain = true;
    return;
  }
  isAsking = true;
  document.getElementById("result").setAttribute("aria-busy", "true");
  try {
    const answer = await send({ do: "live" });
    const page = await pageOf(answer);
    const found = page.getElementById("result");
    if (found !== null) {
      document.getElementById("result").replaceWith(found);
      mark();
      said.textContent = found.querySelector("[data-said]").textContent;
    } else if (answer.status === 503) {
      said.textContent = "Waiting for another copy to be looked at.";
      askSoon(AGAIN_MS);
    } else {
      const fault = page.querySelector("[role=alert]");
      tell(fault === null ? "The answer cannot be read; press Check." : fault.textContent);
    }
  } catch {
    tell("The service does not answer; what you wrote is still here.");
  }
  isAsking = false;
  if (isAskedAgain) {
    isAskedAgain = false;
    askSoon(WAIT_MS);
  }
}

function tell(text) {
  const told = document.createElement("p");
  told.className = "fault";
  told.textContent = text;
  const place = document.createElement("div");
  place.id = "result";
  place.append(told);
  document.getElementById("result").replaceWith(place);
  said.textContent = text;
}

function warn(text) {
  const fault = document.getElementById("fault");
  fault.textContent = text;
  fault.hidden = text === "";
}

function mark() {
  const text = field();
  if (text === null) return;
  const here = Array.from(document.querySelectorAll("#result li[data-file]")).filter((one) => one.dataset.file === text.dataset.name);
  editor.mark(
    here.map((one) => ({
      line: Number(one.dataset.line),
      column: Number(one.dataset.column),
      severity: one.dataset.severity === "error" ? "error" : "warning",
      message: one.querySelector(".message").textContent,
    })),
  );
}

// The editor stands in place of the text field, which holds what is sent.
function dress() {
  const text = field();
  if (text === null) return;
  text.after(host);
  text.hidden = true;
  editor.open(text.dataset.name, text.value);
  document.querySelector("label[for=text]").addEventListener("click", () => editor.goTo(1, 1));
  mark();
}

// Opens, adds, renames or deletes a file, or takes back its changes, and keeps what can be undone in every file.
async function turnTo(name, value) {
  try {
    const more = { [name]: value, new: form.elements.new.value };
    const page = await pageOf(await send(more));
    const found = page.getElementById("playground");
    const fault = page.getElementById("fault") || page.querySelector("[role=alert]");
    warn(fault === null ? "" : fault.textContent);
    if (found === null || (fault !== null && fault.textContent !== "")) return false;
    form.replaceChildren(...found.childNodes);
    dress();
    if (name !== "open") {
      isChanged = form.elements.changes.value !== "{}" || isChanged;
      askSoon(0);
    }
    const opened = form.querySelector(".files [aria-current]");
    if (name === "open" && opened !== null) opened.focus();
    else if (field() !== null) editor.goTo(1, 1);
    said.textContent = opened === null ? "" : opened.textContent + " is open";
    return true;
  } catch {
    warn("The service does not answer; what you wrote is still here.");
    return false;
  }
}

dress();
const place = /^#L(\d+)-(\d+)$/.exec(location.hash);
if (place !== null && field() !== null) editor.goTo(Number(place[1]), Number(place[2]));
if (isChanged && document.querySelector("#result h2") === null) askSoon(0);

document.addEventListener("click", async (event) => {
  const item = event.target instanceof Element && event.target.closest("#result li[data-file] button");
  if (!item) return;
  event.preventDefault();
  const { file, line, column } = item.parentElement.dataset;
  const isHere = field() !== null && file === field().dataset.name;
  if (isHere || (await turnTo("open", file))) editor.goTo(Number(line), Number(column));
});
form.addEventListener("submit", (event) => {
  const pressed = event.submitter;
  const deed = pressed === null ? "new" : pressed.name === "do" ? pressed.value : pressed.name;
  if (["check", "open", "back", "new", "rename", "delete"].includes(deed)) {
    event.preventDefault();
    // While one types this is asked anyway, and only once at a time.
    if (deed === "check") askSoon(0);
    else turnTo(pressed === null ? "do" : pressed.name, pressed === null ? "new" : pressed.value);
    return;
  }
  isLeaving = true;
  // A patch is downloaded, and the page stays; but the browser asks before it knows.
  if (deed === "patch") setTimeout(() => (isLeaving = false), AGAIN_MS);
});
window.addEventListener("beforeunload", (event) => {
  if (isChanged && !isLeaving) event.preventDefault();
});
