(() => {
  "use strict";
  const root = document.getElementById("cernvm-options");
  const form = root.closest("form");
  const picked = root.querySelector("#cernvm-picked");
  const find = (name) => root.querySelector(`input[name="${name}"]:checked`);
  const all = (selector) => Array.from(root.querySelectorAll(selector));

  // A size that is too small for the appliance cannot be chosen, and says why.
  const fit = () => {
    const appliance = find("appliance");
    if (!appliance) return;
    const own = (id, known) => Number((root.querySelector(id) || {}).value) || Number(known);
    const flavors = all('input[name="flavor"]');
    for (const flavor of flavors) {
      const small =
        own("#cernvm-memory", flavor.dataset.memory) < Number(appliance.dataset.memory) ||
        own("#cernvm-vcpus", flavor.dataset.vcpus) < Number(appliance.dataset.vcpus);
      flavor.disabled = small;
      flavor.closest(".cernvm-card").querySelector(".cernvm-too-small").hidden = !small;
    }
    const flavor = find("flavor");
    const usable = flavors.find((one) => !one.disabled);
    if (flavor && flavor.disabled && usable) usable.checked = true;
  };

  // A value of one's own is asked for where "other" is chosen, and required in the chosen profile only: what is
  // filled in for other profiles is left out by the hub.
  const mine = (field) => {
    const profile = find("profile");
    return !field.dataset.profile || (profile && field.dataset.profile === profile.value);
  };
  const unfold = () => {
    for (const own of all(".cernvm-own")) {
      const open = document.getElementById(own.dataset.for).value === "unlisted-choice";
      const input = own.querySelector("input");
      own.hidden = !open;
      input.disabled = !open;
      input.required = open && mine(input);
    }
  };

  const describe = () => {
    const parts = ["profile", "appliance", "flavor"].map(find).filter(Boolean);
    const words = parts.map((one) => one.dataset.title);
    const vcpus = root.querySelector("#cernvm-vcpus");
    const memory = root.querySelector("#cernvm-memory");
    if (vcpus && vcpus.value) words.push(`${vcpus.value} vCPUs`);
    if (memory && memory.value) words.push(`${memory.value} MiB of memory`);
    const text = words.join(" · ");
    if (picked.textContent !== text) picked.textContent = text;
  };

  const update = () => {
    unfold();
    fit();
    describe();
  };

  const link = () => {
    const url = new URL(`${window.jhdata ? window.jhdata.base_url : "/hub/"}spawn`, window.location.href);
    for (const field of root.querySelectorAll("input[name], select[name]")) {
      const off = field.disabled || (field.type === "radio" && !field.checked) || !mine(field);
      if (!off && field.value) url.searchParams.append(`opt-${field.name}`, field.value);
    }
    return url.href;
  };

  // The clipboard exists only where the page came over TLS or from this machine; elsewhere the link is shown.
  const copy = async () => {
    const url = link();
    const field = root.querySelector("#cernvm-url");
    const status = root.querySelector("#cernvm-copied");
    const button = root.querySelector("#cernvm-copy");
    field.value = url;
    try {
      await navigator.clipboard.writeText(url);
      status.textContent = "The link is in the clipboard.";
      button.textContent = "Copied ✓";
    } catch {
      root.querySelector("#cernvm-link").hidden = false;
      field.focus();
      field.select();
      status.textContent = "The link is selected: copy it from there.";
    }
  };

  // A card of a profile is larger than its label: all of it chooses.
  root.addEventListener("click", (event) => {
    const card = event.target.closest(".cernvm-card");
    const radio = card && card.querySelector('input[name="profile"]');
    if (radio && !radio.checked) {
      radio.checked = true;
      update();
    }
  });
  form.addEventListener("input", (event) => {
    const profile = event.target.dataset.profile;
    for (const radio of profile ? all('input[name="profile"]') : []) radio.checked = radio.value === profile;
    root.querySelector("#cernvm-copy").textContent = "Copy link";
    root.querySelector("#cernvm-link").hidden = true;
    update();
  });
  root.querySelector("#cernvm-copy").addEventListener("click", copy);
  update();
})();
