// The dashboard as a page of the hub: the address says where one is, so that it can be sent to somebody.

import { dashboard, type Place } from "./dashboard.ts";
import { HttpDoor } from "./door.ts";

const root = document.querySelector<HTMLElement>("[data-cernvm-api]");
if (root) {
  const shown = dashboard(new HttpDoor(root.dataset.cernvmApi ?? ""), read(), (place) => {
    const hash = `#${[place.room, place.machine]
      .filter((part) => part !== null)
      .map(encodeURIComponent)
      .join("/")}`;
    if (location.hash !== hash) history.replaceState(null, "", hash);
  });
  root.replaceChildren(shown.element);
  addEventListener("hashchange", () => shown.go(read()));
}

function read(): Place {
  const [room = "", machine = null] = location.hash.slice(1).split("/").map(decoded);
  return { room, machine };
}

/** A part of an address as it was meant; what somebody typed wrong leads nowhere. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
