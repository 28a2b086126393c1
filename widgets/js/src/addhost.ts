// The dialog that attaches a host: its connection is tried before it is kept.

import { fill, h, icon } from "./dom.ts";
import { modal } from "./feedback.ts";
import { tried } from "./listed.ts";
import type { HostReport } from "./model.ts";
import { texts } from "./texts.ts";
import { memory } from "./units.ts";
import type { Context } from "./view.ts";

export function addHost(context: Context, done: () => void): void {
  const words = texts.addHost;
  const { dialog, body, foot } = modal(context.root, words.title);
  const uri = h("input", {
    type: "text",
    required: true,
    placeholder: "qemu+tls://node7.example.org/system",
    autocomplete: "off",
    spellcheck: "false",
  });
  const credentials = h("input", { type: "text", autocomplete: "off", spellcheck: "false" });
  const name = h("input", { type: "text", required: true, autocomplete: "off", spellcheck: "false" });
  const reached = h("input", { type: "checkbox", checked: true });
  const said = h("p", { class: "cv-note", role: "status" });
  const test = h("button", { type: "button", onclick: () => void attempt() }, words.test);
  const attach = h("button", { type: "submit", class: "cv-primary" }, words.attach);
  const form = h(
    "form",
    { class: "cv-form", id: "cernvm-add-host" },
    h("label", { class: "cv-field" }, words.uri, uri),
    h("label", { class: "cv-field" }, words.credentials, credentials),
    h("label", { class: "cv-field" }, words.name, name),
    h("label", { class: "cv-tick" }, reached, words.reached),
    said,
    h(
      "p",
      { class: "cv-buttons" },
      h("button", { type: "button", onclick: () => dialog.close() }, texts.cancel),
      test,
      attach,
    ),
  );
  fill(body, form);
  foot.remove();
  uri.focus();

  const how = () => (credentials.value.trim() ? { credentials: credentials.value.trim() } : {});

  async function attempt(): Promise<void> {
    fill(said, words.trying);
    test.disabled = true;
    try {
      const report = await context.door.ask<HostReport>(
        "POST",
        "hosts/test",
        {},
        { uri: uri.value.trim(), ...how() },
      );
      fill(
        said,
        icon(report.reachable ? "✔" : "✖", report.reachable ? "good" : "bad"),
        ` ${summary(report)}`,
      );
      if (report.reachable && !name.value) name.value = report.hostname.split(".")[0]?.toLowerCase() ?? "";
    } catch (error) {
      fill(said, icon("✖", "bad"), ` ${(error as Error).message}`);
    } finally {
      test.disabled = false;
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = { name: name.value.trim(), uris: [uri.value.trim()], reached: reached.checked, ...how() };
    attach.disabled = true;
    void tried(context, () => context.door.ask("POST", "hosts", {}, wanted)).then((kept) => {
      attach.disabled = false;
      if (!kept) return;
      context.toasts.say(texts.begun(words.attach, wanted.name));
      dialog.close();
      done();
    });
  });
}

/** What answers, in one sentence. */
export function summary(report: HostReport): string {
  const words = texts.addHost;
  if (!report.reachable) return report.reason;
  const level = report.level ? words.upTo(report.level) : "";
  return [
    words.answers(report.hostname, report.cpus, memory(report.memory_mib)),
    words.domains(report.domains, report.running),
    level,
    report.reason,
  ]
    .filter(Boolean)
    .join(" ");
}
