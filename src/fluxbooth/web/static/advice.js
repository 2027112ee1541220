// Advice on the words of a box, a moment after they were typed.

import { element, post } from "./app.js";

const PAUSE = 350; // ms

/** Shows in `list` what there is to say about `box`; `tune` tells the id of the tune it is for. Returns what asks at once, and after a pause. */
export function advising(box, list, tune) {
  let asked = 0, timer = null;

  async function now() {
    const mine = ++asked;
    try {
      const body = new URLSearchParams({ text: box.value, tune: tune() });
      const { advice } = await (await post("/app/advice", body)).json();
      if (mine === asked) list.replaceChildren(...advice.map(row));
    } catch { /* advice is a help, not a condition */ }
  }

  function row({ message, start, end }) {
    if (start === end) return element("li", { textContent: message });
    const show = element("button", { type: "button", className: "link", textContent: message });
    show.addEventListener("click", () => {
      box.focus();
      box.setSelectionRange([...box.value].slice(0, start).join("").length, [...box.value].slice(0, end).join("").length);
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
