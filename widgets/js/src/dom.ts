// Real DOM, made in one call. Text is always text: nothing here takes markup.

export type Child = Node | string | null | undefined | false;
type Value = string | number | boolean | null | undefined | ((event: never) => void);

/** Make an element. `on…` attributes are listeners; `true` is an empty attribute, `false` and null none. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, Value> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value as (event: Event) => void);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, String(value));
  }
  fill(made, ...children);
  return made;
}

/** Put `children` in the place of what `parent` holds. */
export function fill(parent: Element, ...children: Child[]): void {
  parent.replaceChildren(
    ...children.filter(
      (child): child is Node | string => child !== null && child !== undefined && child !== false,
    ),
  );
}

/** An icon beside words that say the same: a screen reader need not read it. */
export function icon(shape: string, tone = "quiet"): HTMLElement {
  return h("span", { class: "cv-icon", "data-tone": tone, "aria-hidden": "true" }, shape);
}

let made = 0;

/** An id that no other element of the page has, for `aria-labelledby` and its kin. */
export function freshId(): string {
  made += 1;
  return `cernvm-${made}`;
}
