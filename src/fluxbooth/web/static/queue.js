// The queue as it stands, asked for again and again while it is looked at.

import { ask, find } from "./app.js";

const PAUSE = 2000; // ms

async function look() {
  const place = find("#queue");
  // not under somebody's hands
  if (!document.hidden && find("li", place) && !find("details[open]", place) && !place.contains(document.activeElement)) {
    try {
      const page = new DOMParser().parseFromString(await (await ask(location.href)).text(), "text/html");
      place.replaceChildren(...find("#queue", page).childNodes);
    } catch { /* the next look may succeed */ }
  }
  setTimeout(look, PAUSE);
}

setTimeout(look, PAUSE);
