// Single keys: nothing that a key does here sends an answer, and all of them can be turned off.

const OFF = "holdfast-keys-off";
const dialog = document.getElementById("keys");

const typing = (element) =>
  element.matches("textarea, select, [contenteditable], input:not([type=checkbox], [type=radio])");

const rows = () => [...document.querySelectorAll(".row-title")];
const current = () => document.activeElement?.closest(".row");

function move(step) {
  const titles = rows();
  if (!titles.length) return;
  const at = titles.findIndex((title) => title.closest(".row") === current());
  const next = at < 0 ? (step > 0 ? 0 : titles.length - 1) : at + step;
  const title = titles[Math.max(0, Math.min(next, titles.length - 1))];
  title.focus();
  title.closest(".row").scrollIntoView({ block: "nearest" });
}

function answer(word) {
  const option = document.querySelector(`#answer input[name=answer][value=${word}]`);
  if (option) {
    option.checked = true;
    document.getElementById("reason").focus();
    return;
  }
  const form = document.getElementById("choose");
  const chosen = form ? [...form.querySelectorAll("input:checked")] : [];
  if (chosen.length) {
    const query = new URLSearchParams(chosen.map((box) => ["request", box.value]));
    query.set("answer", word);
    location.assign(`/review?${query}`);
  } else if (current()) {
    location.assign(`${current().querySelector(".row-title").pathname}?answer=${word}`);
  }
}

function choose() {
  const box = current()?.querySelector("input[type=checkbox]");
  if (box && !box.disabled) box.click();
}

function search() {
  const field = document.getElementById("q");
  if (field) field.focus();
  else location.assign("/search");
}

function go(id) {
  const link = document.getElementById(id);
  if (link) location.assign(link.href);
}

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  x: choose,
  a: () => answer("approve"),
  d: () => answer("deny"),
  n: () => go("next"),
  i: () => location.assign("/"),
  "/": search,
  "?": () => dialog.showModal(),
};

function pressed(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const on = event.target instanceof Element ? event.target : document.body;
  if (event.key === "Escape" && typing(on)) {
    on.blur();
    return;
  }
  if (dialog.open || typing(on) || localStorage.getItem(OFF)) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

export function startKeys() {
  if (!dialog) return;
  const box = document.getElementById("keys-on");
  const show = document.getElementById("show-keys");
  box.checked = !localStorage.getItem(OFF);
  box.addEventListener("change", () => {
    if (box.checked) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "1");
  });
  show.hidden = false;
  show.addEventListener("click", () => dialog.showModal());
  document.getElementById("hide-keys").addEventListener("click", () => dialog.close());
  document.addEventListener("keydown", pressed);
  // Whoever came to answer begins at the reason.
  if (new URLSearchParams(location.search).get("answer")) document.getElementById("reason")?.focus();
}
