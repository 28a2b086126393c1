// The table of machines: a grid (ARIA) whose rows exist only where somebody looks.

import { fill, freshId, h, icon } from "./dom.ts";
import type { MachineList } from "./machinelist.ts";
import type { Machine } from "./model.ts";
import type { Selection } from "./selection.ts";
import { detailOf, stateOf } from "./states.ts";
import { texts } from "./texts.ts";
import { memory, NOTHING, when } from "./units.ts";

export const ROW = 28;
const SPARE = 8;

interface Column {
  id: keyof typeof texts.columns;
  sort?: string;
  width: string;
  number?: boolean;
  show(machine: Machine): Node | string;
}

const COLUMNS: readonly Column[] = [
  { id: "state", sort: "status", width: "minmax(8.5em, 1fr)", show: state },
  { id: "name", sort: "name", width: "minmax(10em, 2fr)", show: (each) => each.name },
  { id: "owner", sort: "owner", width: "minmax(6em, 1fr)", show: (each) => each.owner ?? NOTHING },
  { id: "host", sort: "host", width: "minmax(6em, 1fr)", show: (each) => each.host ?? NOTHING },
  { id: "address", width: "minmax(8.5em, 1fr)", show: (each) => each.address ?? NOTHING },
  { id: "vcpus", width: "4em", number: true, show: (each) => String(each.vcpus) },
  { id: "memory", width: "6em", number: true, show: (each) => memory(each.memory_mib) },
  { id: "appliance", width: "minmax(8em, 1.5fr)", show: (each) => each.appliance_title || each.appliance },
  { id: "created", sort: "created", width: "11em", show: (each) => when(each.created) },
];

function state(machine: Machine): Node {
  const shown = stateOf(machine);
  return h("span", { title: detailOf(machine) || null }, icon(shown.icon, shown.tone), shown.text);
}

export interface Table {
  element: HTMLElement;
  /** Put the focus on the table. */
  focus(): void;
  close(): void;
}

/** Show `list`; `open` is called with the row that a person wants to see whole. */
export function machineTable(
  list: MachineList,
  selection: Selection,
  open: (machine: Machine) => void,
  opened: () => string | null,
): Table {
  const prefix = freshId();
  const all = h("input", { type: "checkbox", "aria-label": texts.selectAll });
  const sorters = COLUMNS.map((column) => heading(column, list));
  const head = h(
    "div",
    { role: "row", class: "cv-row cv-head", "aria-rowindex": 1 },
    h("div", { role: "columnheader", class: "cv-check" }, all),
    ...sorters.map((sorter) => sorter.cell),
  );
  const body = h("div", { role: "rowgroup", class: "cv-rows" });
  const note = h("p", { class: "cv-note", role: "status" });
  const grid = h(
    "div",
    {
      role: "grid",
      class: "cv-grid",
      tabindex: 0,
      "aria-label": texts.machines,
      "aria-multiselectable": "true",
      "data-lm-suppress-shortcuts": "true",
    },
    h("div", { role: "rowgroup", class: "cv-headgroup" }, head),
    body,
  );
  grid.style.setProperty("--cv-columns", ["2.2em", ...COLUMNS.map((column) => column.width)].join(" "));
  const element = h("div", { class: "cv-table" }, grid, note);

  let active = 0;
  let frame = 0;
  const order = () => list.rows.map((row) => row.id);
  const later = () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      draw();
    });
  };

  const drawn = new Map<string, { element: HTMLElement; machine: Machine; key: string }>();
  function draw(): void {
    const first = Math.max(0, Math.floor(grid.scrollTop / ROW) - SPARE);
    const last = Math.min(list.total, first + Math.ceil((grid.clientHeight || 400) / ROW) + 2 * SPARE);
    body.style.blockSize = `${list.total * ROW}px`;
    const seen = new Set<string>();
    for (let index = first; index < Math.min(last, list.rows.length); index += 1) {
      const machine = list.rows[index];
      if (!machine) continue;
      seen.add(machine.id);
      const key = `${index} ${selection.has(machine.id)} ${active === index} ${opened() === machine.id}`;
      const known = drawn.get(machine.id);
      if (known && known.machine === machine && known.key === key) continue;
      const made = rowOf(machine, index);
      if (known) known.element.replaceWith(made);
      else body.append(made);
      drawn.set(machine.id, { element: made, machine, key });
    }
    for (const [id, each] of drawn) {
      if (seen.has(id)) continue;
      each.element.remove();
      drawn.delete(id);
    }
    grid.setAttribute("aria-rowcount", String(list.total + 1));
    grid.setAttribute("aria-busy", String(list.loading));
    const current = list.rows[active];
    if (current && seen.has(current.id))
      grid.setAttribute("aria-activedescendant", `${prefix}-${current.id}`);
    else grid.removeAttribute("aria-activedescendant");
    const chosen = list.rows.filter((row) => selection.has(row.id)).length;
    all.checked = chosen > 0 && chosen === list.rows.length;
    all.indeterminate = chosen > 0 && chosen < list.rows.length;
    for (const sorter of sorters) sorter.draw();
    fill(note, remark(list));
    if (last > list.rows.length) void list.reach(last - 1);
  }

  function rowOf(machine: Machine, index: number): HTMLElement {
    const chosen = selection.has(machine.id);
    const row = h(
      "div",
      {
        role: "row",
        id: `${prefix}-${machine.id}`,
        class: "cv-row",
        "aria-rowindex": index + 2,
        "aria-selected": chosen ? "true" : "false",
        "aria-current": opened() === machine.id ? "true" : null,
        "data-active": index === active,
        "data-machine": machine.id,
      },
      h(
        "div",
        { role: "gridcell", class: "cv-check" },
        h("input", { type: "checkbox", tabindex: -1, "aria-label": texts.select(machine.name) }),
      ),
      ...COLUMNS.map((column) => {
        const shown = column.show(machine);
        const title = typeof shown === "string" ? shown : null;
        return h("div", { role: "gridcell", class: column.number ? "cv-number" : null, title }, shown);
      }),
    );
    row.style.transform = `translateY(${index * ROW}px)`;
    (row.querySelector("input") as HTMLInputElement).checked = chosen;
    return row;
  }

  function go(index: number): void {
    if (list.rows.length === 0) return;
    active = Math.max(0, Math.min(list.total - 1, index));
    const [top, height] = [active * ROW, grid.clientHeight - 2 * ROW];
    if (top < grid.scrollTop) grid.scrollTop = top;
    else if (top > grid.scrollTop + height) grid.scrollTop = top - height;
    later();
  }

  grid.addEventListener("scroll", later, { passive: true });
  body.addEventListener("click", (event) => {
    const target = event.target as HTMLElement;
    const id = target.closest<HTMLElement>("[data-machine]")?.dataset.machine;
    const machine = list.rows.find((row) => row.id === id);
    if (!machine) return;
    active = list.rows.indexOf(machine);
    const box = target.closest(".cv-check") !== null;
    if (box && target instanceof HTMLInputElement) target.checked = !target.checked;
    if (box || event.shiftKey || event.ctrlKey || event.metaKey) {
      event.preventDefault();
      selection.toggle(machine.id, order(), event.shiftKey);
    } else open(machine);
    grid.focus({ preventScroll: true });
    later();
  });
  all.addEventListener("change", () => selection.set(all.checked ? order() : []));
  grid.addEventListener("keydown", (event) => {
    if (event.target !== grid) return;
    const page = Math.max(1, Math.floor(grid.clientHeight / ROW) - 2);
    const steps: Record<string, number> = {
      ArrowDown: active + 1,
      ArrowUp: active - 1,
      PageDown: active + page,
      PageUp: active - page,
      Home: 0,
      End: list.total - 1,
    };
    const to = steps[event.key];
    const machine = list.rows[active];
    if (to !== undefined) {
      if (event.shiftKey && machine && !selection.has(machine.id))
        selection.toggle(machine.id, order(), false);
      go(to);
      const reached = list.rows[active];
      if (event.shiftKey && reached) selection.toggle(reached.id, order(), true);
    } else if (event.key === " " && machine) selection.toggle(machine.id, order(), event.shiftKey);
    else if (event.key === "Enter" && machine) open(machine);
    else if (event.key === "a" && (event.ctrlKey || event.metaKey)) selection.set(order());
    else return;
    event.preventDefault();
    event.stopPropagation();
    later();
  });

  const forget = [list.watch(later), selection.watch(later)];
  const sized = typeof ResizeObserver === "undefined" ? null : new ResizeObserver(later);
  sized?.observe(grid);
  later();
  return {
    element,
    focus: () => grid.focus(),
    close: () => {
      for (const each of forget) each();
      sized?.disconnect();
      cancelAnimationFrame(frame);
    },
  };
}

function remark(list: MachineList): string {
  if (list.error) return list.error.message;
  if (!list.loaded) return texts.loading;
  if (list.total > 0) return texts.countOfMachines(list.total);
  const { search, status, owner, host } = list.wanted;
  return search || status.length || owner || host ? texts.noMachines : texts.noMachinesAtAll;
}

function heading(column: Column, list: MachineList): { cell: HTMLElement; draw: () => void } {
  const text = texts.columns[column.id];
  const { sort } = column;
  const cell = h("div", { role: "columnheader", class: column.number ? "cv-number" : null });
  if (!sort) {
    fill(cell, text);
    return { cell, draw: () => undefined };
  }
  const mark = h("span", { "aria-hidden": "true" });
  cell.append(
    h(
      "button",
      {
        type: "button",
        class: "cv-sort",
        onclick: () => void list.ask({ sort: list.wanted.sort === sort ? `-${sort}` : sort }),
      },
      text,
      mark,
    ),
  );
  const draw = () => {
    const now = list.wanted.sort;
    const direction = now === sort ? "ascending" : now === `-${sort}` ? "descending" : "none";
    cell.setAttribute("aria-sort", direction);
    mark.textContent = { ascending: " ▲", descending: " ▼", none: "" }[direction];
  };
  return { cell, draw };
}
