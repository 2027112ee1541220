// Advice on the words of a box, a moment after they were typed.

import { element, post } from "./app.js";

const PAUSE = 350; // ms

/** The server counts characters, a box counts in UTF-16 units. */
const inUnits = (words, place) => [...words].slice(0, place).join("").length;

/**
 * Shows in `list` what there is to say about `box`; `tunes` tells the ids of the tunes it is for. `heard` gets the places in the text that
 * something is said about. Returns what asks at once, and after a pause.
 */
export function advising(box, list, tunes, heard = () => {}) {
  let asked = 0, timer = null;

  async function now() {
    const mine = ++asked;
    try {
      const given = box.value, body = new URLSearchParams({ text: given });
      for (const tune of tunes()) body.append("tunes[]", tune);
      const { advice } = await (await post("/app/advice", body)).json();
      if (mine !== asked) return;
      const places = advice.map((item) => ({ ...item, start: inUnits(given, item.start), end: inUnits(given, item.end) }));
      list.replaceChildren(...places.map(row));
      heard(places);
    } catch { /* advice is a help, not a condition */ }
  }

  function row({ message, start, end }) {
    if (start === end) return element("li", { textContent: message });
    const show = element("button", { type: "button", className: "link", textContent: message });
    show.addEventListener("click", () => {
      box.focus();
      box.setSelectionRange(start, end);
    });
    return element("li", {}, show);
  }

  function later() {
    clearTimeout(timer);
    timer = setTimeout(now, PAUSE);
  }

  box.addEventListener("input", later);
  return { now, later };
}
