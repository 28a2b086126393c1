// The room of appliances: what is here, the feeds, and what they offer.

import { appliances } from "./appliances.ts";
import { catalogue } from "./catalogue.ts";
import { h } from "./dom.ts";
import { feeds } from "./feeds.ts";
import { texts } from "./texts.ts";
import type { Context, View } from "./view.ts";

export function repository(context: Context): View {
  const parts: [string, View][] = [
    [texts.repository.appliances, appliances(context)],
    [texts.repository.catalogue, catalogue(context)],
    [texts.repository.feeds, feeds(context)],
  ];
  return {
    element: h(
      "div",
      { class: "cv-repository" },
      ...parts.map(([title, view]) => h("section", {}, h("h2", {}, title), view.element)),
    ),
    close: () => {
      for (const [, view] of parts) view.close();
    },
  };
}
