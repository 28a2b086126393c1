// The dialog that makes a machine: of which appliance, how large, and where.

import { asCell, quoted } from "./actions.ts";
import { fill, h } from "./dom.ts";
import { copy, modal } from "./feedback.ts";
import { tried } from "./listed.ts";
import type { Appliance, Flavor, Host, Machine, Page } from "./model.ts";
import { texts } from "./texts.ts";
import { memory } from "./units.ts";
import type { Context } from "./view.ts";

interface Wanted {
  appliance: string;
  flavor: string;
  name?: string;
  host?: string;
  start: boolean;
}

/** Ask what shall be made; `hosts` are those that one may choose, `here` the one that is chosen at first. */
export async function newMachine(
  context: Context,
  hosts: readonly Host[],
  here: string | null,
): Promise<void> {
  const words = texts.newMachine;
  const { dialog, body, foot } = modal(context.root, words.title);
  foot.remove();
  const appliance = h("select");
  const flavor = h("select");
  const host = h(
    "select",
    {},
    h("option", { value: "" }, words.anyHost),
    ...hosts
      .filter((each) => each.alive && !each.maintenance)
      .map((each) => h("option", { value: each.id, selected: each.id === here }, each.name)),
  );
  const name = h("input", { type: "text", maxlength: 255, autocomplete: "off", spellcheck: "false" });
  const start = h("input", { type: "checkbox", checked: true });
  const make = h("button", { type: "submit", class: "cv-primary", disabled: true }, words.make);
  const form = h(
    "form",
    { class: "cv-form" },
    h("label", { class: "cv-field" }, words.appliance, appliance),
    h("label", { class: "cv-field" }, words.flavor, flavor),
    hosts.length > 0 && h("label", { class: "cv-field" }, words.host, host),
    h("label", { class: "cv-field" }, words.name, name),
    h("label", { class: "cv-tick" }, start, words.start),
    h(
      "p",
      { class: "cv-buttons" },
      h("button", { type: "button", onclick: () => dialog.close() }, texts.cancel),
      h(
        "button",
        { type: "button", onclick: () => void copy(asCell(python(wanted())), context.toasts) },
        texts.python,
      ),
      make,
    ),
  );
  fill(body, form);

  const wanted = (): Wanted => ({
    appliance: appliance.value,
    flavor: flavor.value,
    ...(name.value.trim() ? { name: name.value.trim() } : {}),
    ...(host.value ? { host: host.value } : {}),
    start: start.checked,
  });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    make.disabled = true;
    void tried(context, async () => {
      const made = await context.door.ask<Machine>("POST", "machines", {}, wanted());
      dialog.close();
      context.openMachine(made.id);
    }).then(() => {
      make.disabled = false;
    });
  });

  await tried(context, async () => {
    const [appliances, flavors] = await Promise.all([
      context.door.ask<Page<Appliance>>("GET", "appliances"),
      context.door.ask<Page<Flavor>>("GET", "flavors"),
    ]);
    fill(
      appliance,
      ...appliances.items.map((each) =>
        h("option", { value: each.id, selected: each.default }, `${each.title} ${each.version}`),
      ),
    );
    fill(
      flavor,
      ...flavors.items.map((each) =>
        h(
          "option",
          { value: each.id, selected: each.default },
          `${each.title} (${texts.countOfCpus(each.vcpus)}, ${memory(each.memory_mib)})`,
        ),
      ),
    );
    make.disabled = appliances.items.length === 0;
    appliance.focus();
  });
}

/** The call of the Python client that makes the same machine. */
export function python(wanted: Wanted): string {
  const given = Object.entries(wanted)
    .filter(([key]) => key !== "start")
    .map(([key, value]) => `${key}=${quoted(String(value))}`);
  return `Client().machines.create(${[...given, `start=${wanted.start ? "True" : "False"}`].join(", ")})`;
}
