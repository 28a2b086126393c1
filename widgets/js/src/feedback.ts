// What a view tells a person beside what it shows: toasts and dialogs.

import { fill, freshId, h } from "./dom.ts";
import { texts } from "./texts.ts";

const SHOWN = 6000;

/** A region of short messages; failures stay until they are closed. */
export class Toasts {
  readonly element = h("div", { class: "cv-toasts" });
  private readonly polite = h("div", { role: "status" });
  private readonly assertive = h("div", { role: "alert" });

  constructor() {
    this.element.append(this.polite, this.assertive);
  }

  say(text: string): void {
    const toast = this.show(this.polite, text, "quiet");
    setTimeout(() => toast.remove(), SHOWN);
  }

  fail(text: string): void {
    this.show(this.assertive, text, "bad");
  }

  private show(region: HTMLElement, text: string, tone: string): HTMLElement {
    const close = h("button", { type: "button", class: "cv-quiet", "aria-label": texts.close }, "×");
    const toast = h("div", { class: "cv-toast", "data-tone": tone }, h("span", {}, text), close);
    close.addEventListener("click", () => toast.remove());
    region.append(toast);
    while (region.children.length > 4) region.firstElementChild?.remove();
    return toast;
  }
}

export interface Question {
  title: string;
  body: readonly (Node | string)[];
  /** What the button says that does it. */
  verb: string;
  dangerous: boolean;
  /** What has to be typed before it can be done. */
  typed?: string | undefined;
}

/** A modal dialog: the browser keeps the focus in it and gives it back afterwards. */
export function modal(
  parent: Element,
  title: string,
): { dialog: HTMLDialogElement; body: HTMLElement; foot: HTMLElement } {
  const label = freshId();
  const body = h("div", { class: "cv-dialog-body" });
  const foot = h("div", { class: "cv-dialog-foot" });
  const heading = h("h2", { id: label }, title);
  const dialog = h(
    "dialog",
    { class: "cv-dialog", "aria-labelledby": label, "data-lm-suppress-shortcuts": "true" },
    heading,
    body,
    foot,
  );
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("keydown", (event) => event.stopPropagation());
  parent.append(dialog);
  dialog.showModal();
  return { dialog, body, foot };
}

/** Ask before something is done. */
export async function confirmed(parent: Element, question: Question): Promise<boolean> {
  const { dialog, body, foot } = modal(parent, question.title);
  const cancel = h("button", { type: "button" }, texts.cancel);
  const act = h(
    "button",
    { type: "button", class: question.dangerous ? "cv-danger" : "cv-primary" },
    question.verb,
  );
  fill(body, ...question.body);
  fill(foot, cancel, act);
  const { typed } = question;
  if (typed) {
    const field = h("input", { type: "text", autocomplete: "off", spellcheck: "false" });
    body.append(h("label", { class: "cv-field" }, texts.typeName(typed), field));
    act.disabled = true;
    field.addEventListener("input", () => {
      act.disabled = field.value !== typed;
    });
    field.focus();
  } else cancel.focus();
  return new Promise((resolve) => {
    let answer = false;
    act.addEventListener("click", () => {
      answer = true;
      dialog.close();
    });
    cancel.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => resolve(answer));
  });
}

/** Put text on the clipboard, and say so. */
export async function copy(text: string, toasts: Toasts): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toasts.say(texts.copied(text));
  } catch {
    toasts.fail(`${texts.notCopied} ${text}`);
  }
}
