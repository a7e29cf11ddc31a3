// The editor of the playground: CodeMirror, with what our policies need of it. scripts/editor-bundle makes one file of this.
// It lives in a shadow root, where CodeMirror's styles are adopted sheets, which a strict Content-Security-Policy allows.
// Colours of YAML, marks of problems and the list of offers are our own: CodeMirror's weigh three times what they are used for.

import * as commands from "@codemirror/commands";
import { EditorState, Facet, Prec, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration,
  EditorView,
  GutterMarker,
  MatchDecorator,
  ViewPlugin,
  drawSelection,
  gutter,
  hoverTooltip,
  keymap,
  lineNumbers,
  showTooltip,
} from "@codemirror/view";

const WAIT_MS = 150;
const MOST_SHOWN = 12;
const asking = Facet.define({ combine: (values) => values[0] });
const saying = Facet.define({ combine: (values) => values[0] });

// The colours are those of the console, which know light and dark.
const theme = EditorView.theme({
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "var(--paper)" },
  "&.cm-focused": { outline: "2px solid var(--link)", outlineOffset: "-2px" },
  ".cm-scroller": { fontFamily: "ui-monospace, monospace", lineHeight: "1.5", overflow: "auto" },
  ".cm-gutters": { backgroundColor: "var(--paper)", color: "var(--soft)", borderRight: "1px solid var(--line)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--line)",
  },
  ".key": { color: "var(--link)" },
  ".comment": { color: "var(--soft)" },
  ".error": { textDecoration: "underline wavy var(--bad)" },
  ".warning": { textDecoration: "underline wavy var(--when)" },
  ".signs": { width: "1.2em", textAlign: "center" },
  ".sign-error": { color: "var(--bad)" },
  ".sign-warning": { color: "var(--when)" },
  ".cm-tooltip": { backgroundColor: "var(--paper)", color: "var(--ink)", border: "1px solid var(--soft)", borderRadius: "4px" },
  ".about": { maxWidth: "34rem", maxHeight: "20rem", overflow: "auto", padding: "0.35rem 0.6rem", whiteSpace: "pre-wrap", fontFamily: "system-ui, sans-serif" },
  ".about .of-error": { color: "var(--bad)" },
  ".about .of-warning": { color: "var(--when)" },
  ".offers": { margin: "0", padding: "0.2rem 0", listStyle: "none", maxWidth: "34rem", fontFamily: "ui-monospace, monospace" },
  ".offers li": { padding: "0.1rem 0.6rem", cursor: "pointer", whiteSpace: "nowrap", overflow: "hidden", textOverflow: "ellipsis" },
  ".offers li span": { color: "var(--soft)", fontFamily: "system-ui, sans-serif" },
  ".offers li[aria-selected=true]": { backgroundColor: "var(--link)", color: "var(--paper)" },
  ".offers li[aria-selected=true] span": { color: "inherit" },
});

// --- Colours ---------------------------------------------------------------------------------------------------------

const words = new MatchDecorator({
  regexp: /(^|\s)(#.*$)|("(?:[^"\\]|\\.)*"|'[^']*')|([\w ./@-]*[\w/@-])(?=:(?:\s|$))/g,
  decorate: (add, from, to, match) => {
    if (match[2]) add(to - match[2].length, to, Decoration.mark({ class: "comment" }));
    else if (match[4]) add(to - match[4].trimStart().length, to, Decoration.mark({ class: "key" }));
  },
});
const colours = ViewPlugin.define((view) => ({ marks: words.createDeco(view), update(it) { this.marks = words.updateDeco(it, this.marks); } }), {
  decorations: (it) => it.marks,
});

// --- Problems --------------------------------------------------------------------------------------------------------

const setProblems = StateEffect.define();

class Sign extends GutterMarker {
  constructor(severity) {
    super();
    this.severity = severity;
    this.elementClass = "sign-" + severity;
  }
  eq(other) {
    return other.severity === this.severity;
  }
  toDOM() {
    return document.createTextNode(this.severity === "error" ? "●" : "▲");
  }
}

const problems = StateField.define({
  create: () => [],
  update: (found, step) => {
    for (const effect of step.effects) if (effect.is(setProblems)) return effect.value;
    if (!step.docChanged) return found;
    return found.map((one) => ({ ...one, from: step.changes.mapPos(one.from), to: step.changes.mapPos(one.to, -1) }));
  },
  provide: (field) => EditorView.decorations.from(field, (found) => Decoration.set(
    found.filter((one) => one.from < one.to).map((one) => Decoration.mark({ class: one.severity }).range(one.from, one.to)), true,
  )),
});

const signs = gutter({
  class: "signs",
  lineMarker: (view, line) => {
    const here = view.state.field(problems).filter((one) => one.from >= line.from && one.from <= line.to);
    return here.length === 0 ? null : new Sign(here.some((one) => one.severity === "error") ? "error" : "warning");
  },
  lineMarkerChange: (update) => update.startState.field(problems) !== update.state.field(problems),
});

function toNextProblem(view) {
  const found = view.state.field(problems);
  const head = view.state.selection.main.head;
  const next = found.find((one) => one.from > head) || found[0];
  if (next === undefined) return false;
  view.dispatch({ selection: { anchor: next.from }, effects: EditorView.scrollIntoView(next.from, { y: "center" }) });
  tell(view);
  return true;
}

// --- What a name means -----------------------------------------------------------------------------------------------

// A text with **strong** and `code`, as the editor's other clients get it; nothing of it is read as markup.
function written(text, name) {
  const part = document.createElement("div");
  part.className = name;
  for (const piece of text.split(/(\*\*[^*]+\*\*|`[^`]+`)/)) {
    const mark = piece.startsWith("**") ? "strong" : piece.startsWith("`") ? "code" : null;
    const one = mark ? document.createElement(mark) : document.createTextNode(piece);
    if (mark) one.textContent = piece.replace(/^\*\*|\*\*$|^`|`$/g, "");
    part.append(one);
  }
  return part;
}

async function noteAt(view, place) {
  const { from, number } = view.state.doc.lineAt(place);
  const here = view.state.field(problems).filter((one) => one.from <= place && place <= Math.max(one.to, one.from + 1));
  const asked = view.state.facet(asking);
  const about = here.length > 0 ? "" : await asked("about", number - 1, place - from);
  if (here.length === 0 && !about) return null;
  const create = () => {
    const dom = document.createElement("div");
    dom.className = "about";
    for (const one of here) dom.append(written(one.message, "of-" + one.severity));
    if (about) dom.append(written(about, "of-name"));
    return { dom };
  };
  const said = here.map((one) => one.message).join("; ") || about;
  return { pos: place, above: true, create, said };
}

const setNote = StateEffect.define();
const note = StateField.define({
  create: () => null,
  update: (shown, step) => {
    for (const effect of step.effects) if (effect.is(setNote)) return effect.value;
    return step.docChanged || step.selection ? null : shown;
  },
  provide: (field) => showTooltip.from(field),
});

function tell(view) {
  const place = view.state.selection.main.head;
  noteAt(view, place).then((found) => {
    if (view.state.selection.main.head !== place) return;
    view.dispatch({ effects: setNote.of(found) });
    view.state.facet(saying)(found === null ? "Nothing is known about this." : found.said);
  });
  return true;
}

// --- What may be written ---------------------------------------------------------------------------------------------

const setOffers = StateEffect.define();
const offers = StateField.define({
  create: () => null,
  update: (shown, step) => {
    for (const effect of step.effects) if (effect.is(setOffers)) return effect.value;
    return step.selection && !step.docChanged ? null : shown;
  },
  provide: (field) => [
    showTooltip.from(field, (shown) => shown && { pos: shown.from, create: list }),
    EditorView.contentAttributes.compute([field], (state) => {
      const shown = state.field(field);
      const chosen = shown && shown.at >= 0 ? { "aria-activedescendant": "offer" + shown.at } : {};
      return shown ? { "aria-controls": "offers", "aria-haspopup": "listbox", ...chosen } : {};
    }),
  ],
});

function list(view) {
  const dom = document.createElement("ul");
  dom.id = "offers";
  dom.className = "offers";
  dom.setAttribute("role", "listbox");
  dom.setAttribute("aria-label", "What may be written here");
  const draw = (shown) => {
    const first = Math.max(0, Math.min(shown.at - MOST_SHOWN + 1, shown.found.length - MOST_SHOWN));
    dom.replaceChildren(...shown.found.slice(first, first + MOST_SHOWN).map((one, place) => {
      const item = document.createElement("li");
      item.id = "offer" + (first + place);
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", String(first + place === shown.at));
      item.textContent = one.text.replace(/: $/, "");
      if (one.about) {
        const about = document.createElement("span");
        about.textContent = "  " + one.about.replaceAll("`", "");
        item.append(about);
      }
      item.addEventListener("mousedown", (event) => {
        event.preventDefault();
        take(view, one);
      });
      return item;
    }));
  };
  draw(view.state.field(offers));
  return { dom, update: (update) => update.state.field(offers) && draw(update.state.field(offers)) };
}

function take(view, one) {
  const { from } = view.state.field(offers);
  const to = view.state.selection.main.head;
  view.dispatch({
    changes: { from, to, insert: one.text },
    selection: { anchor: from + one.text.length },
    effects: setOffers.of(null),
    userEvent: "input.complete",
  });
}

function move(step) {
  return (view) => {
    const shown = view.state.field(offers);
    if (shown === null) return false;
    const at = (shown.at + step + shown.found.length) % shown.found.length;
    view.dispatch({ effects: setOffers.of({ ...shown, at: Math.max(at, 0) }) });
    view.state.facet(saying)(shown.found[Math.max(at, 0)].text);
    return true;
  };
}

function accept(view) {
  const shown = view.state.field(offers);
  if (shown === null || shown.at < 0) return false;
  take(view, shown.found[shown.at]);
  return true;
}

function close(view) {
  if (view.state.field(offers) === null && view.state.field(note) === null) return false;
  view.dispatch({ effects: [setOffers.of(null), setNote.of(null)] });
  return true;
}

const listKeys = Prec.highest(keymap.of([
  { key: "ArrowDown", run: move(1) },
  { key: "ArrowUp", run: move(-1) },
  { key: "Enter", run: accept },
  { key: "Escape", run: close },
]));

// Asked once for each word: what is typed further narrows what came.
function offering(view) {
  let known = null;
  let waiting = 0;

  function fitting(place) {
    const line = view.state.doc.lineAt(place);
    if (known === null || known.line !== line.number || place < line.from + known.from) return null;
    const word = line.text.slice(known.from, place - line.from);
    if (line.text.slice(0, known.from) !== known.before || !/^[\w.@-]*$/.test(word)) return null;
    const wanted = word.toLowerCase();
    const begin = known.offers.filter((one) => one.text.toLowerCase().startsWith(wanted));
    const hold = known.offers.filter((one) => !begin.includes(one) && one.text.toLowerCase().includes(wanted));
    return { word, found: [...begin, ...hold], from: line.from + known.from };
  }

  function show(isWanted) {
    const here = fitting(view.state.selection.main.head);
    const found = here === null ? [] : here.found;
    // What is written already is chosen by nobody, so that Enter begins a new line there.
    const isWritten = found.length > 0 && found[0].text.trimEnd().replace(/:$/, "") === here.word;
    const at = (here !== null && here.word && !isWritten) || isWanted ? 0 : -1;
    const shown = found.length === 0 || (isWritten && found.length === 1) ? null : { from: here.from, found, at };
    if (shown !== null || view.state.field(offers) !== null) view.dispatch({ effects: setOffers.of(shown) });
    if (isWanted) view.state.facet(saying)(found.length === 0 ? "Nothing is known that may be written here." : found.length + " offers: " + found[0].text);
    return here !== null;
  }

  async function ask(isWanted) {
    const place = view.state.selection.main.head;
    const line = view.state.doc.lineAt(place);
    const came = await view.state.facet(asking)("offers", line.number - 1, place - line.from);
    if (!came || view.state.doc.lines < line.number) return;
    const from = came.length > 0 ? came[0].from : place - line.from;
    known = { line: line.number, from, before: line.text.slice(0, from), offers: came.filter((one) => one.from === from) };
    show(isWanted);
  }

  function soon(isWanted) {
    clearTimeout(waiting);
    if (!isWanted && show(false)) return;
    if (isWanted) known = null;
    waiting = setTimeout(() => ask(isWanted), isWanted ? 0 : WAIT_MS);
  }
  return { soon, forget: () => (known = null) };
}

const offersOf = new WeakMap();
const typing = EditorView.updateListener.of((update) => {
  if (!update.docChanged || !update.transactions.some((one) => one.isUserEvent("input.type") || one.isUserEvent("delete"))) return;
  const place = update.state.selection.main.head;
  const before = update.state.doc.lineAt(place).text.slice(0, place - update.state.doc.lineAt(place).from);
  if (/(^|[\s[{,."'])[\w@-]+$|[:[,] ?$|\.$/.test(before)) offersOf.get(update.view).soon(false);
  else if (update.state.field(offers) !== null) setTimeout(() => update.view.dispatch({ effects: setOffers.of(null) }));
});

// --- Keys ------------------------------------------------------------------------------------------------------------

const both = (key, run, shift, more = {}) => ({ key, run, shift, preventDefault: true, ...more });
const erase = (isForward, isGroup) => (view) => {
  const { main } = view.state.selection;
  const other = isGroup ? view.moveByGroup(main, isForward) : view.moveByChar(main, isForward);
  const from = main.empty ? Math.min(main.head, other.head) : main.from;
  const to = main.empty ? Math.max(main.head, other.head) : main.to;
  if (from === to) return false;
  view.dispatch({ changes: { from, to }, selection: { anchor: from }, scrollIntoView: true, userEvent: "delete" });
  return true;
};
const keys = [
  both("ArrowLeft", commands.cursorCharLeft, commands.selectCharLeft),
  both("ArrowRight", commands.cursorCharRight, commands.selectCharRight),
  both("ArrowUp", commands.cursorLineUp, commands.selectLineUp),
  both("ArrowDown", commands.cursorLineDown, commands.selectLineDown),
  both("PageUp", commands.cursorPageUp, commands.selectPageUp),
  both("PageDown", commands.cursorPageDown, commands.selectPageDown),
  both("Home", commands.cursorLineBoundaryBackward, commands.selectLineBoundaryBackward),
  both("End", commands.cursorLineBoundaryForward, commands.selectLineBoundaryForward),
  both("Mod-ArrowLeft", commands.cursorGroupLeft, commands.selectGroupLeft, { mac: "Alt-ArrowLeft" }),
  both("Mod-ArrowRight", commands.cursorGroupRight, commands.selectGroupRight, { mac: "Alt-ArrowRight" }),
  both("Mod-Home", commands.cursorDocStart, commands.selectDocStart, { mac: "Mod-ArrowUp" }),
  both("Mod-End", commands.cursorDocEnd, commands.selectDocEnd, { mac: "Mod-ArrowDown" }),
  { key: "Mod-a", run: commands.selectAll },
  { key: "Enter", run: commands.insertNewlineKeepIndent },
  { key: "Backspace", run: erase(false, false), shift: erase(false, false) },
  { key: "Delete", run: erase(true, false) },
  { key: "Mod-Backspace", mac: "Alt-Backspace", run: erase(false, true) },
  { key: "Mod-Delete", mac: "Alt-Delete", run: erase(true, true) },
  { key: "F8", run: toNextProblem },
  { key: "Mod-i", run: tell, preventDefault: true },
  {
    key: "Ctrl-Space",
    run: (view) => {
      offersOf.get(view).soon(true);
      return true;
    },
  },
  // Tab goes on to what comes next, so that nobody who uses a keyboard is caught here.
  ...commands.historyKeymap,
];

// --- The editor ------------------------------------------------------------------------------------------------------

// An editor in `host`. `changed` is called with the text whenever somebody types, `ask` with what is wanted to be known of a
// line and a column, from 0, and `say` with what a screen reader is to read. Each file keeps its own history.
export function makeEditor(host, { changed, ask, say }) {
  const root = host.attachShadow({ mode: "open" });
  const view = new EditorView({ parent: root, root });
  const kept = new Map();
  let open = null;
  offersOf.set(view, offering(view));

  function show(name, text) {
    if (open !== null) kept.set(open, view.state);
    open = name;
    offersOf.get(view).forget();
    const before = kept.get(name);
    view.setState(
      before !== undefined && before.doc.toString() === text
        ? before
        : EditorState.create({
            doc: text,
            extensions: [
              lineNumbers(),
              signs,
              problems,
              note,
              offers,
              listKeys,
              commands.history(),
              drawSelection(),
              name.endsWith(".yaml") ? colours : [],
              theme,
              keymap.of(keys),
              hoverTooltip(noteAt),
              typing,
              asking.of(ask),
              saying.of(say),
              EditorView.contentAttributes.of({
                "aria-label": "Text of " + name + ". Control and space: what may be written here; control and I: what this means",
                spellcheck: "false",
                tabindex: "0",
              }),
              EditorView.updateListener.of((update) => {
                if (update.docChanged) changed(update.state.doc.toString());
              }),
            ],
          }),
    );
  }

  function offset(line, column) {
    const row = view.state.doc.line(Math.min(Math.max(line, 1), view.state.doc.lines));
    return { from: Math.min(row.from + Math.max(column - 1, 0), row.to), to: row.to };
  }

  function mark(found) {
    const marked = found.map((one) => ({ ...one, ...offset(one.line, one.column) }));
    view.dispatch({ effects: setProblems.of(marked.sort((one, other) => one.from - other.from)) });
  }

  function goTo(line, column) {
    const { from } = offset(line, column);
    view.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
    view.focus();
  }

  return { open: show, mark, goTo };
}
