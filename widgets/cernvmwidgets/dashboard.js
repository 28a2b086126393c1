// The shell of Dashboard: it brings the views from the notebook server, or from the kernel where that has none.

function serverBase() {
  const tag = document.getElementById("jupyter-config-data");
  const base = tag && JSON.parse(tag.textContent).baseUrl;
  return base ? new URL(base, location.href).pathname : null;
}

function ask(model, question) {
  return new Promise((resolve) => {
    const heard = (content) => {
      if (content.type !== question.type) return;
      model.off("msg:custom", heard);
      resolve(content);
    };
    model.on("msg:custom", heard);
    model.send(question);
  });
}

async function fromServer() {
  const base = serverBase();
  if (base === null) return null;
  // Whole, as this module itself has an address to which nothing is relative.
  const views = new URL(`${base}cernvm/views/`, location.href).href;
  try {
    const { render } = await import(`${views}widget.js`);
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = `${views}views.css`;
    const styled = new Promise((resolve) => {
      style.onload = resolve;
      style.onerror = resolve;
    });
    return { render, style, styled, base: `${base}cernvm/api/v1/` };
  } catch {
    return null; // the notebook server has no door to the controller
  }
}

async function fromKernel(model) {
  const { script, css, error } = await ask(model, { type: "views" });
  if (error) throw new Error(error);
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const { render } = await import(url);
  URL.revokeObjectURL(url);
  const style = document.createElement("style");
  style.textContent = css;
  return { render, style, styled: null, base: null };
}

async function render({ model, el }) {
  try {
    const views = (model.get("through") === "kernel" ? null : await fromServer()) ?? (await fromKernel(model));
    el.append(views.style);
    await views.styled;
    return views.render({ model, el, base: views.base });
  } catch (error) {
    const said = document.createElement("p");
    said.setAttribute("role", "alert");
    said.textContent = error.message;
    el.append(said);
    return undefined;
  }
}

export default { render };
