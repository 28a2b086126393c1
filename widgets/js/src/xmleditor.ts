// An editor for XML (CodeMirror), in the colours of the page. It is loaded when somebody wants to write.

import { xml } from "@codemirror/lang-xml";
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, setDiagnostics } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { basicSetup } from "codemirror";
import { h } from "./dom.ts";

/** What is wrong with a line; 0 is for the whole. */
export interface Fault {
  line: number;
  message: string;
}

export interface XmlEditor {
  element: HTMLElement;
  text(): string;
  /** Mark lines; what was marked before is not any more. */
  mark(faults: readonly Fault[]): void;
  close(): void;
}

const theme = EditorView.theme({
  "&": { color: "var(--cv-text)", backgroundColor: "var(--cv-back)", border: "1px solid var(--cv-edge)" },
  "&.cm-focused": { outline: "2px solid var(--cv-accent)" },
  ".cm-scroller": { maxHeight: "26rem", fontSize: "12px" },
  ".cm-content": { caretColor: "var(--cv-text)" },
  ".cm-cursor": { borderLeftColor: "var(--cv-text)" },
  ".cm-gutters": { color: "var(--cv-soft)", backgroundColor: "var(--cv-tint)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--cv-tint)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--cv-chosen)" },
  ".cm-tooltip, .cm-panels": { color: "var(--cv-text)", backgroundColor: "var(--cv-back)" },
});

const colours = HighlightStyle.define([
  { tag: [tags.tagName, tags.angleBracket], color: "var(--cv-accent)" },
  { tag: tags.attributeName, color: "var(--cv-warn)" },
  { tag: tags.attributeValue, color: "var(--cv-good)" },
  { tag: tags.comment, color: "var(--cv-soft)", fontStyle: "italic" },
]);

export function xmlEditor(doc: string, label: string, changed: () => void): XmlEditor {
  // In a shadow of its own: its styles come as style sheets there, which the page's policy allows.
  const element = h("div", { class: "cv-editor" });
  const root = element.attachShadow({ mode: "open" });
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc,
      extensions: [
        basicSetup,
        xml(),
        theme,
        syntaxHighlighting(colours),
        EditorView.contentAttributes.of({ "aria-label": label }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) changed();
        }),
      ],
    }),
  });
  // The page has keys of its own, which are letters here.
  element.addEventListener("keydown", (event) => event.stopPropagation());

  function mark(faults: readonly Fault[]): void {
    const { doc: text } = view.state;
    const found = faults.map(({ line, message }): Diagnostic => {
      const { from, to } = text.line(Math.min(Math.max(line, 1), text.lines));
      return { from, to, severity: "error", message };
    });
    view.dispatch(setDiagnostics(view.state, found));
    const first = found[0];
    if (first) view.dispatch({ effects: EditorView.scrollIntoView(first.from, { y: "center" }) });
  }

  return { element, text: () => view.state.doc.toString(), mark, close: () => view.destroy() };
}
