// Advice while one types, and pictures that appear when they are made.

import { element, find, parse, post, showErrors } from "./app.js";
import { follow } from "./gallery.js";

const form = find("#create"), box = find("#text"), tune = find("#tune"), list = find("#advice"), make = find("#make");
let asked = 0, timer = null;

const trigger = () => tune.selectedOptions[0]?.dataset.trigger ?? "";
let before = trigger();

async function advise() {
  const mine = ++asked;
  try {
    const body = new URLSearchParams({ text: box.value, tune: tune.value });
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
  timer = setTimeout(advise, 350);
}

box.addEventListener("input", later);
box.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
tune.addEventListener("change", () => {
  const now = trigger(), rest = before && box.value.startsWith(before) ? box.value.slice(before.length).trimStart() : box.value;
  box.value = now ? `${now} ${rest}` : rest;
  before = now;
  later();
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  make.disabled = true;
  try {
    const answer = await post("/app/prompts", new URLSearchParams(new FormData(form)));
    showErrors([]);
    find("#nothing")?.remove();
    find("#cards").prepend(parse(await answer.text()));
    follow();
  } catch (error) {
    showErrors([error.message]);
  }
  make.disabled = false;
});

if (box.value.trim() !== trigger()) advise();
box.setSelectionRange(box.value.length, box.value.length);
