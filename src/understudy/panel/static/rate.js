// Keys, times and drafts for raters. Everything works without this file, more slowly.
"use strict";

(() => {
  const form = document.getElementById("rating");
  const last = document.getElementById("last");
  const place = form && new URL(form.action).pathname;

  // A pair's draft is thrown away once the page after it has come.
  const sent = sessionStorage.getItem("sent");
  if (sent && sent !== place) localStorage.removeItem(sent);
  if (last && sent) {
    last.querySelector("a").href = sent;
    last.hidden = false;
  }
  if (!form) return;

  const status = document.getElementById("status");
  const comment = document.getElementById("comment");
  const remark = comment.closest("details");
  const keys = document.getElementById("keys");
  const keysOn = document.getElementById("keys-on");
  const help = document.getElementById("help");
  const groups = [...form.querySelectorAll(".marks")];

  const say = (words) => { status.textContent = words; };

  // Time in front

  let active = 0;
  let since = null;
  const watch = () => {
    const inFront = document.visibilityState === "visible" && document.hasFocus();
    const now = performance.now();
    if (since !== null) active += now - since;
    since = inFront ? now : null;
    form.elements.active_ms.value = Math.round(active);
  };
  for (const name of ["focus", "blur"]) window.addEventListener(name, watch);
  document.addEventListener("visibilitychange", watch);

  // Drafts

  const save = () => {
    watch();
    const fields = [...new FormData(form)].filter(([name]) => name !== "csrf");
    localStorage.setItem(place, JSON.stringify(fields));
  };
  const restore = () => {
    for (const [name, value] of JSON.parse(localStorage.getItem(place) || "[]")) {
      if (name === "active_ms") {
        active = Number(value);
      } else if (name === "comment") {
        comment.value = value;
        remark.open = remark.open || value !== "";
      } else {
        const field = form.querySelector(`[name="${CSS.escape(name)}"][value="${CSS.escape(value)}"]`);
        if (field) field.checked = true;
      }
    }
  };

  // Marks on sentences

  const marked = (group) => group.querySelector("input:checked");
  const count = () => {
    for (const pane of form.querySelectorAll(".answers .pane")) {
      const here = [...pane.querySelectorAll(".marks")];
      const shown = pane.querySelector(".count");
      if (shown) shown.textContent = `${here.filter(marked).length} of ${here.length} marked`;
    }
  };
  let at = -1; // the sentence that was looked at last
  form.addEventListener("focusin", (event) => {
    const group = event.target.closest(".marks");
    if (group) at = groups.indexOf(group);
  });
  const goTo = (index) => {
    const group = groups[Math.max(0, Math.min(index, groups.length - 1))];
    if (!group) return;
    (marked(group) || group.querySelector("input")).focus({ preventScroll: true });
    group.closest(".sentence").scrollIntoView({ block: "nearest" });
  };
  const mark = (value) => {
    at = Math.max(at, 0);
    const group = groups[at];
    if (!group) return;
    group.querySelector(`[value="${value}"]`).checked = true;
    changed();
    say(`${group.getAttribute("aria-label")}: ${value}.`);
    goTo(at + 1);
  };

  // Choosing and sending

  const changed = () => {
    save();
    count();
  };
  const choose = (field) => {
    field.checked = true;
    field.focus({ preventScroll: true });
    changed();
    told(field);
  };
  const told = (field) => say(`${field.closest("label").innerText.replace(/^\d\s*/, "")}: ready to send.`);
  const send = () => {
    if (form.elements.choice.value) form.requestSubmit();
    else say("Choose first: 1 to 5, or 0 if you cannot judge.");
  };

  let sending = false;
  form.addEventListener("submit", (event) => {
    if (sending) event.preventDefault();
    sending = true;
    watch();
    sessionStorage.setItem("sent", place);
  });
  window.addEventListener("pageshow", () => { sending = false; });
  form.addEventListener("change", (event) => {
    changed();
    if (event.target.name === "choice") told(event.target);
  });
  comment.addEventListener("input", save);

  // Keys

  const showKeys = () => { if (!keys.open) keys.showModal(); };
  help.hidden = false;
  help.addEventListener("click", showKeys);
  keysOn.checked = localStorage.getItem("keys") !== "off";
  keysOn.addEventListener("change", () => {
    localStorage.setItem("keys", keysOn.checked ? "on" : "off");
  });

  const follow = (id) => () => document.getElementById(id)?.click();
  const actions = {
    "?": showKeys,
    b: follow("back"),
    p: follow("pause"),
    j: () => goTo(at + 1),
    k: () => goTo(at - 1),
    r: () => mark("right"),
    w: () => mark("wrong"),
    u: () => mark("unsure"),
    n: () => {
      remark.open = true;
      comment.focus();
    },
  };
  for (const field of form.querySelectorAll("[data-key]")) {
    actions[field.dataset.key] = () => choose(field);
  }

  document.addEventListener("keydown", (event) => {
    if (keys.open || event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
    if (event.target === comment) {
      if (event.key === "Escape") comment.blur();
      return;
    }
    if (event.key === "Enter") {
      if (event.target.closest("a, button, summary")) return;
      event.preventDefault();
      send();
    } else if (keysOn.checked && Object.hasOwn(actions, event.key)) {
      event.preventDefault();
      actions[event.key]();
    }
  });

  restore();
  count();
  watch();
})();
