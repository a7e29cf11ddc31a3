// The editor of the playground: CodeMirror, with what our policies need of it. scripts/editor-bundle makes one file of this.
// It lives in a shadow root, where CodeMirror's styles are adopted sheets, which a strict Content-Security-Policy allows.

import { history, defaultKeymap, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { HighlightStyle, bracketMatching, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

// The colours are those of the console, which know light and dark.
const theme = EditorView.theme({
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "var(--paper)" },
  "&.cm-focused": { outline: "2px solid var(--link)", outlineOffset: "-2px" },
  ".cm-scroller": { fontFamily: "ui-monospace, monospace", lineHeight: "1.5", overflow: "auto" },
  ".cm-gutters": { backgroundColor: "var(--paper)", color: "var(--soft)", borderRight: "1px solid var(--line)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "transparent", fontWeight: "bold" },
  ".cm-activeLine": { fontWeight: "inherit" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--line)",
  },
  // CodeMirror draws these with images in data addresses, which the pages allow as little as any other.
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad)" },
  ".cm-lintRange-warning": { backgroundImage: "none", textDecoration: "underline wavy var(--when)" },
  ".cm-lint-marker-error, .cm-lint-marker-warning": { content: "normal", textAlign: "center", lineHeight: "1.5" },
  ".cm-lint-marker-error::before": { content: '"●"', color: "var(--bad)" },
  ".cm-lint-marker-warning::before": { content: '"▲"', color: "var(--when)" },
  ".cm-tooltip": { backgroundColor: "var(--paper)", color: "var(--ink)", border: "1px solid var(--line)", maxWidth: "40rem" },
});
const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--link)" },
  { tag: tags.comment, color: "var(--soft)" },
  { tag: [tags.string, tags.content], color: "var(--ink)" },
]);

function isYaml(name) {
  return name.endsWith(".yaml");
}

// An editor in `host`, which `changed` is called of with the text whenever somebody types.
export function makeEditor(host, changed) {
  const root = host.attachShadow({ mode: "open" });
  const view = new EditorView({ parent: root, root });

  function open(name, text, isReadOnly) {
    view.setState(
      EditorState.create({
        doc: text,
        extensions: [
          lineNumbers(),
          lintGutter(),
          history(),
          drawSelection(),
          highlightActiveLine(),
          indentOnInput(),
          bracketMatching(),
          syntaxHighlighting(colours),
          theme,
          ...(isYaml(name) ? [yaml()] : []),
          // Tab goes on to what comes next, so that nobody who uses a keyboard is caught here.
          keymap.of([...defaultKeymap, ...historyKeymap, ...lintKeymap]),
          EditorState.readOnly.of(isReadOnly),
          EditorView.contentAttributes.of({ "aria-label": "Text of " + name, spellcheck: "false", tabindex: "0" }),
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

  function mark(problems) {
    const found = problems.map((one) => ({
      ...offset(one.line, one.column),
      severity: one.severity,
      message: one.message,
    }));
    view.dispatch(setDiagnostics(view.state, found));
  }

  function goTo(line, column) {
    const { from } = offset(line, column);
    view.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
    view.focus();
  }

  return { open, mark, goTo };
}
