// The appliances that are here.

import { h, icon } from "./dom.ts";
import { listed } from "./listed.ts";
import type { Appliance } from "./model.ts";
import { texts } from "./texts.ts";
import { memory, when } from "./units.ts";
import type { Context, View } from "./view.ts";

const MIB = 1024 * 1024;

export function appliances(context: Context): View {
  const words = texts.repository;
  return listed<Appliance>(context, {
    path: "appliances",
    concerns: (type) => type.startsWith("appliance."),
    none: words.noAppliances,
    line: (appliance) =>
      h(
        "li",
        {},
        icon(appliance.default ? "★" : "▤", appliance.default ? "good" : "quiet"),
        h("strong", {}, appliance.title),
        ` ${appliance.version} `,
        h(
          "small",
          {},
          [
            appliance.default && words.standard,
            appliance.hidden && words.hidden,
            appliance.notebook ? words.notebook : words.noNotebook,
            appliance.arch,
            memory(Math.ceil(appliance.size / MIB)),
            when(appliance.updated),
          ]
            .filter(Boolean)
            .join(", "),
        ),
        appliance.description && h("p", { class: "cv-message" }, appliance.description),
      ),
  });
}
