// The feeds: how reading them goes, and one more.

import { h, icon } from "./dom.ts";
import { confirmed } from "./feedback.ts";
import { type Listing, listed, tried } from "./listed.ts";
import type { Feed } from "./model.ts";
import { texts } from "./texts.ts";
import { when } from "./units.ts";
import type { Context, View } from "./view.ts";

export function feeds(context: Context): View {
  const words = texts.repository;
  const url = h("input", {
    type: "url",
    required: true,
    placeholder: "https://",
    autocomplete: "off",
    "data-lm-suppress-shortcuts": "true",
  });
  const form = h(
    "form",
    { class: "cv-form" },
    h("label", { class: "cv-field" }, words.feedUrl, url),
    h("p", { class: "cv-buttons" }, h("button", { type: "submit" }, words.addFeed)),
  );
  const list: Listing = listed<Feed>(context, {
    path: "feeds",
    concerns: (type) => type.startsWith("feed."),
    none: words.noFeeds,
    line: (feed) => line(context, feed, list.refresh),
  });
  form.addEventListener("keydown", (event) => event.stopPropagation());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void tried(context, () => context.door.ask("POST", "feeds", {}, { url: url.value.trim() })).then(
      (added) => {
        if (added) form.reset();
        list.refresh();
      },
    );
  });
  return { element: h("div", {}, list.element, form), close: list.close };
}

function line(context: Context, feed: Feed, again: () => void): HTMLElement {
  const words = texts.repository;
  const path = `feeds/${encodeURIComponent(feed.id)}`;
  const failing = feed.failing_since !== null;
  const read = () =>
    void tried(context, () => context.door.ask("POST", `${path}/refresh`)).then((begun) => {
      if (begun) context.toasts.say(words.reading(feed.title));
    });
  const remove = async () => {
    const sure = await confirmed(context.root, {
      title: words.removeOf(feed.title),
      body: [h("p", {}, words.askRemoveFeed(feed.title))],
      verb: words.remove,
      dangerous: true,
    });
    if (sure && (await tried(context, () => context.door.ask("DELETE", path)))) again();
  };
  return h(
    "li",
    {},
    icon(failing ? "▲" : feed.enabled ? "●" : "○", failing ? "warn" : feed.enabled ? "good" : "quiet"),
    h("strong", {}, feed.title),
    ` ${words.entries(feed.entries)} `,
    h("small", {}, [feed.url, feed.checked ? words.checked(when(feed.checked)) : words.neverRead].join(", ")),
    h("button", { type: "button", "aria-label": words.readOf(feed.title), onclick: read }, words.read),
    !feed.configured &&
      h(
        "button",
        {
          type: "button",
          class: "cv-danger",
          "aria-label": words.removeOf(feed.title),
          onclick: () => void remove(),
        },
        words.remove,
      ),
    failing && h("p", { class: "cv-message" }, words.failing(when(feed.failing_since ?? ""), feed.error)),
  );
}
