// Keeps one request as it is now: where it stands, its history, and whether it can be answered.

import { follow, say } from "./live.js";
import { swap } from "./swap.js";

const PARTS = ["stand", "what", "because", "answer", "break-glass", "history"];

// A form that can still be sent stays, with what is typed in it. It names the card that is shown.
function keep(now, then) {
  if (now.dataset.card) return now.dataset.card === then.dataset.card;
  const form = now.id === "answer" ? ".decide" : "form";
  const [mine, fresh] = [now.querySelector(form), then.querySelector(form)];
  if (now.id === "answer" && !(mine && fresh)) return false;
  if (now.id !== "answer" && now.id !== "break-glass") return false;
  if (mine && fresh) mine.elements.card.value = fresh.elements.card.value;
  return true;
}

// On a phone a link leads to the answer; it goes away where the answer is.
function watchAnswer() {
  const link = document.querySelector(".to-answer");
  const answer = document.getElementById("answer");
  if (!link || !answer) return;
  new IntersectionObserver(([entry]) => {
    const passed = entry.boundingClientRect.top < 0;
    link.classList.toggle("there", entry.isIntersecting || passed);
  }).observe(answer);
}

export function startRequest() {
  watchAnswer();
  const article = document.querySelector("article.request");
  if (!article) return;
  const id = article.dataset.request;
  let source = null;
  let work = Promise.resolve();
  const line = () => document.querySelector("#stand .state-line").textContent;

  // One after the other, so that the newest comes last; what fails is tried at the next change.
  function refresh() {
    work = work.then(async () => {
      const before = line();
      await swap(`/requests/${id}`, PARTS, keep);
      if (line() !== before) say(line());
    }).catch(() => {});
  }

  function listen() {
    let first = true;
    source = follow({
      changed(facts) {
        if (facts.id === id && !first) refresh();
      },
      ready() {
        first = false;
        refresh();
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
