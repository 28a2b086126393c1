// Something that is asked for when somebody opens it, and not before.

import { fill, h } from "./dom.ts";
import { Problem } from "./door.ts";
import { texts } from "./texts.ts";

export function disclosed(title: string, read: () => Promise<HTMLElement>): HTMLDetailsElement {
  const place = h("div");
  const element = h("details", { class: "cv-settings" }, h("summary", {}, title), place);
  element.addEventListener("toggle", () => {
    if (!element.open) return;
    fill(place, h("p", { class: "cv-note" }, texts.loading));
    read().then(
      (found) => fill(place, found),
      (error: Error) => {
        const hidden = error instanceof Problem && error.status === 403;
        fill(place, h("p", { class: "cv-note" }, hidden ? texts.forAdministrators : error.message));
      },
    );
  });
  return element;
}
