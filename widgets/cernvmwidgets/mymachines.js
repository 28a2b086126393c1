// The view of MyMachines. Everything that came over the wire becomes text, never markup.

const COLUMNS = [
  ["Machine", (row) => row.name],
  ["Appliance", (row) => row.appliance],
  ["State", state],
  ["Host", (row) => row.host],
  ["Address", (row) => row.address],
  ["CPUs", (row) => String(row.vcpus), "number"],
  ["Memory", (row) => row.memory, "number"],
  ["Started", (row) => when(row.started)],
];

function element(name, { text, kind, ...attributes } = {}, children = []) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = `cernvm-${kind}`;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function when(instant) {
  if (!instant) return "—";
  return element("time", { text: new Date(instant).toLocaleString(), datetime: instant });
}

function state(row) {
  // The icon repeats what the word says, so a screen reader need not read it.
  const shown = [
    element("span", { text: row.icon, kind: "icon", "aria-hidden": "true" }),
    element("span", { text: row.state }),
  ];
  if (row.detail) shown.push(element("small", { text: row.detail, kind: "detail" }));
  return element("div", { kind: "state", "data-tone": row.tone }, shown);
}

function line(row) {
  const cells = COLUMNS.map(([, show, kind], column) => {
    const cell = element(column === 0 ? "th" : "td", { kind });
    if (column === 0) cell.setAttribute("scope", "row");
    cell.append(show(row));
    return cell;
  });
  return element("tr", { "data-machine": row.id }, cells);
}

function summary(model) {
  const [rows, total, asked] = ["rows", "total", "asked"].map((name) => model.get(name));
  if (!asked) return "";
  const count = total > rows.length ? `The first ${rows.length} of ${total} machines` : `Machines: ${total}`;
  return `${count}, as of ${new Date(asked).toLocaleTimeString()}`;
}

function render({ model, el }) {
  const button = element("button", { text: "Refresh", type: "button", kind: "refresh" });
  const status = element("span", { role: "status", kind: "status" });
  const problem = element("p", { role: "alert", kind: "error" });
  const empty = element("p", { text: "You have no machines.", kind: "empty" });
  const body = element("tbody");
  const headings = COLUMNS.map(([text, , kind]) => element("th", { text, kind, scope: "col" }));
  const table = element("table", {}, [
    element("caption", { text: "My machines" }),
    element("thead", {}, [element("tr", {}, headings)]),
    body,
  ]);
  // Wide tables scroll in their own region, which the keyboard must reach.
  const region = element(
    "div",
    { kind: "scroll", role: "region", "aria-label": "My machines", tabindex: "0" },
    [table],
  );

  const showRows = () => {
    const rows = model.get("rows");
    body.replaceChildren(...rows.map(line));
    region.hidden = rows.length === 0;
    empty.hidden = rows.length > 0 || !model.get("asked");
    status.textContent = summary(model);
  };
  const showError = () => {
    problem.textContent = model.get("error");
    problem.hidden = !model.get("error");
  };
  const showBusy = () => {
    button.setAttribute("aria-disabled", String(model.get("busy")));
    region.setAttribute("aria-busy", String(model.get("busy")));
  };
  button.addEventListener("click", () => {
    if (!model.get("busy")) model.send({ type: "refresh" });
  });

  const watched = [
    ["change:rows change:total change:asked", showRows],
    ["change:error", showError],
    ["change:busy", showBusy],
  ];
  for (const [events, show] of watched) {
    for (const event of events.split(" ")) model.on(event, show);
    show();
  }
  el.classList.add("cernvm-machines");
  el.append(element("div", { kind: "bar" }, [button, status]), problem, empty, region);
  return () => {
    for (const [events, show] of watched) {
      for (const event of events.split(" ")) model.off(event, show);
    }
  };
}

export default { render };
