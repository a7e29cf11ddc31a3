// The playground with its editor, and its answers while somebody types. Everything works without it, by the buttons.
// Nothing of an answer ever runs: it is read as a page of this service, whose part takes the place of the old one.

import { makeEditor } from "./editor.js";

const WAIT_MS = 400;
const AGAIN_MS = 1000;
const form = document.getElementById("playground");
const field = document.getElementById("text");
const said = document.getElementById("said");
let waiting = 0;
let isAsking = false;
let isAskedAgain = false;
let isLeaving = false;
let isChanged = form.elements.changes.value !== "{}";

function changed(text) {
  field.value = text;
  isChanged = true;
  askSoon(WAIT_MS);
}

function askSoon(milliseconds) {
  clearTimeout(waiting);
  waiting = setTimeout(ask, milliseconds);
}

// One question at a time: what was typed meanwhile is asked by itself.
async function ask() {
  if (isAsking) {
    isAskedAgain = true;
    return;
  }
  isAsking = true;
  const body = new URLSearchParams(new FormData(form));
  body.set("do", "live");
  body.delete("new");
  try {
    const answer = await fetch(form.getAttribute("action"), { method: "POST", body, credentials: "same-origin" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
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

function placesHere() {
  return Array.from(document.querySelectorAll("#result li[data-file]")).filter((one) => one.dataset.file === field.dataset.name);
}

function numbers(item) {
  return { line: Number(item.dataset.line), column: Number(item.dataset.column) };
}

function mark() {
  editor.mark(
    placesHere().map((one) => ({
      ...numbers(one),
      severity: one.dataset.severity === "error" ? "error" : "warning",
      message: one.querySelector(".message").textContent,
    })),
  );
}

let editor;
if (field !== null) {
  const host = document.createElement("div");
  host.className = "editor";
  field.after(host);
  field.hidden = true;
  editor = makeEditor(host, changed);
  editor.open(field.dataset.name, field.value, false);
  const label = document.querySelector("label[for=text]");
  label.addEventListener("click", () => editor.goTo(1, 1));
  mark();
  const place = /^#L(\d+)-(\d+)$/.exec(location.hash);
  if (place !== null) editor.goTo(Number(place[1]), Number(place[2]));
  document.addEventListener("click", (event) => {
    const item = event.target instanceof Element && event.target.closest("#result li[data-file] button");
    if (!item) return;
    const { file, line, column } = item.parentElement.dataset;
    if (file !== field.dataset.name) return;
    event.preventDefault();
    editor.goTo(Number(line), Number(column));
  });
  if (isChanged && document.querySelector("#result h2") === null) askSoon(0);
}

form.addEventListener("submit", (event) => {
  // While one types this is asked anyway, and only once at a time.
  if (editor !== undefined && event.submitter && event.submitter.value === "check") {
    event.preventDefault();
    askSoon(0);
    return;
  }
  isLeaving = true;
  // A patch is downloaded, and the page stays; but the browser asks before it knows.
  if (event.submitter && event.submitter.value === "patch") setTimeout(() => (isLeaving = false), AGAIN_MS);
});
window.addEventListener("beforeunload", (event) => {
  if (isChanged && !isLeaving) event.preventDefault();
});
