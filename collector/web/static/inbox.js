// Keeps the inbox as it is now. New requests come at the end and answered ones stay where they
// are, so that no row moves under a finger or a key.

import { follow, say } from "./live.js";

const list = document.getElementById("rows");
const WORDS = {
  on: "live",
  lost: "connection lost, trying again",
  ended: "not live any more: reload, or sign in again",
};

const open = new Set();
let seen = new Set();
let sessions = new Set();
let isReady = false;
let arrived = [];
let saying = 0;

function rowOf(id) {
  return list.querySelector(`[data-request="${CSS.escape(id)}"]`);
}

function fill(row, facts) {
  row.dataset.request = facts.id;
  for (const element of row.querySelectorAll("[data-text]")) {
    element.textContent = facts[element.dataset.text];
  }
  row.querySelector(".row-title").href = facts.href;
  row.querySelector("time").dateTime = facts.opened_iso;
  row.querySelector(".left").dataset.deadline = facts.deadline_iso;
  row.querySelector(".severity").dataset.severity = facts.severity;
  const guarantee = row.querySelector(".guarantee");
  guarantee.dataset.guarantee = facts.guarantee;
  guarantee.querySelector(".shape").dataset.shape = facts.guarantee;
  const state = row.querySelector(".state");
  state.dataset.state = facts.state;
  state.querySelector(".shape").dataset.shape = facts.state;
  const box = row.querySelector("input");
  box.value = facts.id;
  box.disabled = Boolean(facts.barred) || !facts.open;
  if (box.disabled) box.checked = false;
  row.classList.toggle("gone", !facts.open);
}

function changed(facts) {
  seen.add(facts.id);
  const row = rowOf(facts.id);
  if (row) {
    fill(row, facts);
  } else if (facts.open && list.children.length < Number(list.dataset.room)) {
    const made = document.getElementById("row").content.cloneNode(true);
    fill(made.querySelector(".row"), facts);
    list.append(made);
  }
  if (facts.open && !open.has(facts.id)) {
    open.add(facts.id);
    if (isReady) announce(facts);
  } else if (!facts.open) {
    open.delete(facts.id);
  }
  if (isReady) count();
}

// The line of an AI session at its limit, above the requests.
function session(facts) {
  sessions.add(facts.id);
  const list = document.getElementById("capped");
  let line = list.querySelector(`[data-session="${CSS.escape(facts.id)}"]`);
  if (facts.over) {
    if (line) line.remove();
    return;
  }
  if (!line) {
    line = document.getElementById("capped-row").content.cloneNode(true).querySelector("li");
    list.append(line);
    if (isReady) say(facts.title);
  }
  line.dataset.session = facts.id;
  for (const element of line.querySelectorAll("[data-text]")) {
    element.textContent = facts[element.dataset.text];
  }
  line.querySelector("a").href = facts.href;
  line.querySelector(".severity").dataset.severity = facts.severity;
}

// What has changed while nobody listened is not sent again: it only is not among the open ones.
function ready() {
  for (const row of list.children) {
    if (seen.has(row.dataset.request) || row.classList.contains("gone")) continue;
    row.classList.add("gone");
    row.querySelector("input").disabled = true;
    row.querySelector("input").checked = false;
    row.querySelector(".left").textContent = "";
    row.querySelector(".left").dataset.deadline = "";
    row.querySelector(".state").dataset.state = "cancelled";
    row.querySelector(".state .shape").dataset.shape = "cancelled";
    row.querySelector("[data-text=status]").textContent = "no longer waiting";
  }
  for (const id of open) if (!seen.has(id)) open.delete(id);
  for (const line of [...document.getElementById("capped").children]) {
    if (!sessions.has(line.dataset.session)) line.remove();
  }
  isReady = true;
  count();
}

function announce(facts) {
  arrived.push(facts);
  clearTimeout(saying);
  saying = setTimeout(() => {
    const one = arrived[0];
    say(arrived.length === 1 ? `New request: ${one.label}, on ${one.host}` : `${arrived.length} new requests`);
    arrived = [];
  }, 300);
}

function count() {
  document.getElementById("tally").textContent = String(open.size);
  document.title = `${open.size ? `(${open.size}) ` : ""}Inbox · Holdfast`;
  document.getElementById("nothing").hidden = list.children.length > 0;
  document.getElementById("together").hidden = list.children.length === 0;
  chosen();
}

function chosen() {
  const number = list.querySelectorAll("input:checked").length;
  document.getElementById("chosen").textContent = number ? `${number} chosen` : "Choose requests";
}

export function startInbox() {
  list.addEventListener("change", chosen);
  chosen();
  follow({
    changed,
    session,
    ready,
    state(word) {
      if (word !== "on") {
        seen = new Set();
        sessions = new Set();
        isReady = false;
      }
      document.getElementById("live").dataset.live = word;
      document.getElementById("live-word").textContent = WORDS[word];
    },
  });
}
