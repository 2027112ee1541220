// Advice while one types, and pictures that appear when they are made.

import { find, parse, post, showErrors } from "./app.js";
import { advising } from "./advice.js";
import { follow } from "./gallery.js";

const form = find("#create"), box = find("#text"), tune = find("#tune"), make = find("#make");
const advice = advising(box, find("#advice"), () => tune.value);

const trigger = () => tune.selectedOptions[0]?.dataset.trigger ?? "";
let before = trigger();

box.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
tune.addEventListener("change", () => {
  const now = trigger(), rest = before && box.value.startsWith(before) ? box.value.slice(before.length).trimStart() : box.value;
  box.value = now ? `${now} ${rest}` : rest;
  before = now;
  advice.later();
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

if (box.value.trim() !== trigger()) advice.now();
box.setSelectionRange(box.value.length, box.value.length);
