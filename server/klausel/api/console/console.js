"use strict";
// Answers while somebody types, and shows a note where it is named. Everything works without it, by the button and the link.
// Nothing of an answer ever runs: it is read as a page of this service, whose parts take the place of the old ones.

const WAIT_MS = 300;
let waiting = 0;
let newest = 0;

function keepsFocus(part) {
  return part.contains(document.activeElement) && document.activeElement !== document.body;
}

async function ask(form) {
  const number = ++newest;
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (value !== "" && (name === "type" || form.checkValidity())) query.append(name, value);
  }
  const address = form.getAttribute("action") + "?" + query;
  let page;
  try {
    const answer = await fetch(address, { credentials: "same-origin", headers: { Accept: "text/html" } });
    // The sign-in has ended meanwhile.
    if (answer.redirected) location.assign(address);
    page = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    return; // The button still asks.
  }
  // What was typed meanwhile is asked by itself.
  const found = page.getElementById("result");
  if (number !== newest || found === null) return;
  if (form.checkValidity()) {
    document.getElementById("result").replaceWith(found);
    history.replaceState(null, "", address);
  }
  const fields = page.getElementById("fields");
  const old = document.getElementById("fields");
  if (fields !== null && old !== null && !keepsFocus(old) && fields.dataset.of !== old.dataset.of) old.replaceWith(fields);
  const said = found.querySelector("[data-said], [role=alert]");
  document.getElementById("said").textContent = said === null ? "" : said.textContent;
}

for (const form of document.querySelectorAll("form[data-live]")) {
  form.addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      // Which fields there are depends on the type alone.
      if (form.checkValidity() || event.target.name === "type") ask(form);
    }, WAIT_MS);
  });
}

const note = document.createElement("div");
note.className = "note";
note.id = "note";
note.setAttribute("role", "tooltip");
note.hidden = true;
document.body.append(note);

function noteOf(event) {
  return event.target instanceof Element ? event.target.closest('a[href^="#n"], .grants details:not([open]) summary') : null;
}

// What a note says: the condition that a number leads to, or the grants that a closed summary stands for.
function textsOf(link) {
  if (link.matches("summary")) return link.parentElement.querySelectorAll("li");
  const text = document.getElementById(link.getAttribute("href").slice(1));
  return text && [text];
}

function linesOf(item) {
  return Array.from(item.childNodes, (one) => (one.nodeName === "BR" ? "\n" : one.textContent)).join("");
}

function show(event) {
  const link = noteOf(event);
  const shown = link && textsOf(link);
  if (!shown) return;
  note.textContent = Array.from(shown, linesOf).join("\n");
  note.hidden = false;
  link.setAttribute("aria-describedby", "note");
  const place = link.getBoundingClientRect();
  const left = Math.min(place.left, document.documentElement.clientWidth - note.offsetWidth - 8);
  note.style.left = Math.max(8, left) + window.scrollX + "px";
  note.style.top = place.bottom + 4 + window.scrollY + "px";
}

function hide(event) {
  const link = noteOf(event);
  if (link) link.removeAttribute("aria-describedby");
  note.hidden = true;
}

document.addEventListener("mouseover", show);
document.addEventListener("focusin", show);
document.addEventListener("mouseout", hide);
document.addEventListener("focusout", hide);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") note.hidden = true;
});
