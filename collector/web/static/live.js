// Follows /live, the server-sent events of changed requests, and says whether it does.

export function follow({ changed, session = () => {}, ready, state }) {
  const source = new EventSource("/live");
  source.addEventListener("request", (event) => changed(JSON.parse(event.data)));
  source.addEventListener("session", (event) => session(JSON.parse(event.data)));
  source.addEventListener("ready", () => {
    state("on");
    ready();
  });
  source.addEventListener("error", () => {
    state(source.readyState === EventSource.CLOSED ? "ended" : "lost");
  });
  return source;
}

export function say(text) {
  document.getElementById("said").textContent = text;
}
