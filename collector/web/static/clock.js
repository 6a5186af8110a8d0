// Counts down to deadlines. The host's own clock decides; this one is for people.

const SOON_S = 60;

function words(seconds) {
  if (seconds <= 0) return "over";
  const two = (number) => String(number).padStart(2, "0");
  if (seconds < 60) return `${seconds}s left`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s left`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h${two(Math.floor((seconds % 3600) / 60))}m left`;
  return `${Math.floor(seconds / 86400)}d${two(Math.floor((seconds % 86400) / 3600))}h left`;
}

function tick() {
  for (const element of document.querySelectorAll("[data-deadline]")) {
    const deadline = element.dataset.deadline;
    if (!deadline) continue;
    const seconds = Math.floor((Date.parse(deadline) - Date.now()) / 1000);
    element.textContent = words(seconds);
    element.toggleAttribute("data-soon", seconds < SOON_S);
  }
}

export function startClock() {
  tick();
  setInterval(tick, 1000);
}
