// A tree after the ARIA pattern (https://www.w3.org/WAI/ARIA/apg/patterns/treeview/), by keyboard and by mouse.

import { fill, h, icon } from "./dom.ts";

export interface Branch {
  id: string;
  label: string;
  /** Said beside the label, such as a number. */
  detail?: string;
  mark?: { icon: string; tone: string; text: string } | undefined;
  children?: readonly Branch[];
}

export interface Tree {
  element: HTMLElement;
  /** Show other branches; what was open and chosen stays so. */
  show(branches: readonly Branch[]): void;
}

/** A tree whose chosen branch is told to `chosen`. */
export function tree(label: string, first: string, chosen: (id: string) => void): Tree {
  const element = h("ul", {
    role: "tree",
    class: "cv-tree",
    "aria-label": label,
    "data-lm-suppress-shortcuts": "true",
  });
  const closed = new Set<string>();
  let branches: readonly Branch[] = [];
  let selected = first;
  let focused = first;

  const items = () => [...element.querySelectorAll<HTMLElement>("[role=treeitem]")];
  const visible = () => items().filter((item) => !item.parentElement?.closest('[aria-expanded="false"]'));
  const idOf = (item: HTMLElement | undefined) => item?.dataset.branch ?? "";

  function draw(): void {
    const had = element.contains(document.activeElement);
    const known = new Set(flat(branches).map((each) => each.id));
    if (!known.has(focused)) focused = branches[0]?.id ?? "";
    fill(element, ...branches.map((branch) => item(branch, 1)));
    if (had) element.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
  }

  function item(branch: Branch, level: number): HTMLElement {
    const children = branch.children ?? [];
    const open = !closed.has(branch.id);
    return h(
      "li",
      {
        role: "treeitem",
        "data-branch": branch.id,
        "aria-level": level,
        "aria-selected": branch.id === selected ? "true" : "false",
        "aria-expanded": children.length ? String(open) : null,
        tabindex: branch.id === focused ? 0 : -1,
      },
      h(
        "div",
        { class: "cv-branch" },
        h("span", { class: "cv-twist", "aria-hidden": "true" }, children.length ? (open ? "▾" : "▸") : ""),
        branch.mark && icon(branch.mark.icon, branch.mark.tone),
        h("span", { class: "cv-label" }, branch.label),
        branch.mark && h("span", { class: "cv-hidden" }, branch.mark.text),
        branch.detail && h("span", { class: "cv-detail" }, branch.detail),
      ),
      children.length > 0 && h("ul", { role: "group" }, ...children.map((child) => item(child, level + 1))),
    );
  }

  function focus(id: string): void {
    if (!id) return;
    focused = id;
    for (const each of items()) each.tabIndex = idOf(each) === id ? 0 : -1;
    items()
      .find((each) => idOf(each) === id)
      ?.focus();
  }

  function select(id: string): void {
    selected = id;
    focused = id;
    draw();
    chosen(id);
  }

  function toggle(id: string, open: boolean): void {
    if (open) closed.delete(id);
    else closed.add(id);
    draw();
  }

  element.addEventListener("click", (event) => {
    const target = event.target as HTMLElement;
    const clicked = target.closest<HTMLElement>("[role=treeitem]");
    if (!clicked) return;
    const id = idOf(clicked);
    if (target.closest(".cv-twist") && clicked.hasAttribute("aria-expanded"))
      toggle(id, clicked.getAttribute("aria-expanded") === "false");
    else {
      select(id);
      focus(id);
    }
  });

  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const shown = visible();
    const place = shown.findIndex((each) => idOf(each) === focused);
    const here = shown[place];
    const expanded = here?.getAttribute("aria-expanded");
    const moves: Record<string, () => void> = {
      ArrowDown: () => focus(idOf(shown[place + 1])),
      ArrowUp: () => focus(idOf(shown[place - 1])),
      Home: () => focus(idOf(shown[0])),
      End: () => focus(idOf(shown.at(-1))),
      ArrowRight: () =>
        expanded === "false" ? toggle(focused, true) : expanded && focus(idOf(shown[place + 1])),
      ArrowLeft: () =>
        expanded === "true"
          ? toggle(focused, false)
          : focus(idOf(here?.parentElement?.closest<HTMLElement>("[role=treeitem]") ?? undefined)),
      Enter: () => select(focused),
      " ": () => select(focused),
    };
    const move = moves[event.key];
    if (move) move();
    else if (event.key.length === 1) {
      const from = [...shown.slice(place + 1), ...shown.slice(0, place + 1)];
      const begins = (each: HTMLElement) =>
        each.querySelector(".cv-label")?.textContent?.toLowerCase().startsWith(event.key.toLowerCase());
      focus(idOf(from.find(begins)));
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });

  return {
    element,
    show: (next) => {
      branches = next;
      draw();
    },
  };
}

function flat(branches: readonly Branch[]): Branch[] {
  return branches.flatMap((each) => [each, ...flat(each.children ?? [])]);
}
