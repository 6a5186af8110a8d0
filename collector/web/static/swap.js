// Gets a page again and takes over some of its parts, whole, without moving the reader.

const policy = window.trustedTypes
  ? window.trustedTypes.createPolicy("holdfast", { createHTML: (text) => text })
  : { createHTML: (text) => text };

// The text is a page of this server, where all that others wrote is escaped; no script in it runs.
async function fetched(address) {
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) return null;
  return new DOMParser().parseFromString(policy.createHTML(await answer.text()), "text/html");
}

export async function swap(address, ids, keep) {
  const fresh = await fetched(address);
  if (!fresh) return;
  for (const id of ids) {
    const [now, then] = [document.getElementById(id), fresh.getElementById(id)];
    if (now && then && !keep(now, then) && now.innerText !== then.innerText) {
      now.replaceWith(document.adoptNode(then));
    }
  }
}
