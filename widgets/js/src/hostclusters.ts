// The clusters of a host: in or out by a tick, and a new one by its name.

import { fill, h } from "./dom.ts";
import { tried } from "./listed.ts";
import type { Cluster, Host, Page } from "./model.ts";
import { texts } from "./texts.ts";
import type { Context } from "./view.ts";

export async function hostClusters(context: Context, host: Host, done: () => void): Promise<HTMLElement> {
  const words = texts.host;
  const list = h("div", { class: "cv-form" });
  const name = h("input", {
    type: "text",
    pattern: "[a-z0-9][a-z0-9.\\-]*",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
  });
  const form = h(
    "form",
    { class: "cv-form" },
    h("label", { class: "cv-field" }, words.newCluster, name),
    h("p", { class: "cv-buttons" }, h("button", { type: "submit" }, words.makeCluster)),
  );
  form.addEventListener("keydown", (event) => event.stopPropagation());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const id = name.value.trim();
    void tried(context, async () => {
      await context.door.ask("POST", "clusters", {}, { id });
      await put(id, true);
    }).then(async (made) => {
      if (made) form.reset();
      await read();
    });
  });

  const put = (id: string, inside: boolean) =>
    context.door.ask(
      "POST",
      `clusters/${encodeURIComponent(id)}/members`,
      {},
      {
        [inside ? "add_hosts" : "remove_hosts"]: [host.id],
      },
    );

  async function read(): Promise<void> {
    const page = await context.door.ask<Page<Cluster>>("GET", "clusters");
    const others = page.items.filter((cluster) => !cluster.default);
    fill(list, ...(others.length ? others.map(line) : [h("p", { class: "cv-note" }, words.noClusters)]));
    done();
  }

  function line(cluster: Cluster): HTMLElement {
    const tick = h("input", { type: "checkbox", checked: cluster.hosts.includes(host.id) });
    tick.addEventListener("change", () => {
      void tried(context, () => put(cluster.id, tick.checked)).then((put) => {
        if (put) done();
        else tick.checked = !tick.checked;
      });
    });
    return h("label", { class: "cv-tick" }, tick, cluster.name);
  }

  await read();
  return h("div", {}, list, form);
}
