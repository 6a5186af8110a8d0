// Keeps one request as it is now: where it stands, its history, and whether it can be answered.

import { follow, say } from "./live.js";
import { swap } from "./swap.js";

const PARTS = ["stand", "answer", "history"];

// A form that can still be sent stays, with what is typed in it.
function keep(now, then) {
  return now.id === "answer" && now.querySelector("form") && then.querySelector("form");
}

export function startRequest() {
  const article = document.querySelector("article.request");
  if (!article) return;
  const id = article.dataset.request;
  let source = null;
  let work = Promise.resolve();
  let last = "";

  function refresh(word) {
    work = work.then(() => swap(PARTS, keep)).then((done) => {
      if (done && word && word !== last) say(word);
      last = word || last;
    }, () => {});
  }

  function listen() {
    let first = true;
    source = follow({
      changed(facts) {
        if (facts.id === id && !first) refresh(facts.state_line);
      },
      ready() {
        first = false;
        refresh("");
      },
      state() {},
    });
  }

  // Browsers open few connections to one place: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && source) {
      source.close();
      source = null;
    } else if (!document.hidden && !source) {
      listen();
    }
  });
  if (!document.hidden) listen();
}
