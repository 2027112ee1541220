// The prompt box: tunes as chips, advice under the very words, what it will take, and pictures that appear as they are made.

import { ask, element, find, findAll, parse, post, say, showErrors, text } from "./app.js";
import { advising } from "./advice.js";
import { follow } from "./gallery.js";
import { fieldsOf, fill, keep, keepFile, kept, keptFile, takeEarly } from "./keep.js";
import { maskOf, startAgain, starting } from "./mask.js";
import { planning } from "./plan.js";

const form = find("#create"), box = find("#text"), behind = find("#behind"), chips = find("#chips"), make = find("#make"), insert = find("#insert");
const tunes = () => findAll(".chip", chips);
const used = () => tunes().map((chip) => `${chip.dataset.tune}:${find("select", chip).value}`);
const told = planning(find("#plan"));
let places = [];

find("#tune").disabled = true; // the chips say it

const advice = advising(box, find("#advice"), used, (found) => { places = found; paint(); });

/** The same words behind the box, with the words that call a tune and those that something is said about marked. */
function paint() {
  const words = box.value, marks = places.filter(({ start, end }) => end > start && end <= words.length).map((place) => ({ ...place, kind: "advised" }));
  for (const { dataset: { trigger } } of tunes()) {
    for (let start = find_(words, trigger, 0); start >= 0; start = find_(words, trigger, start + trigger.length)) {
      marks.push({ start, end: start + trigger.length, kind: "called" });
    }
  }
  const edges = [...new Set([0, words.length, ...marks.flatMap(({ start, end }) => [start, end])])].sort((a, b) => a - b);
  behind.replaceChildren(...edges.slice(0, -1).map((start, i) => {
    const over = marks.filter((mark) => mark.start <= start && mark.end > start);
    return element("span", { className: over.map((mark) => mark.kind).join(" "), textContent: words.slice(start, edges[i + 1]) });
  }), "\n");
  behind.scrollTop = box.scrollTop;
}

function find_(words, trigger, from) {
  return trigger ? words.toLowerCase().indexOf(trigger.toLowerCase(), from) : -1;
}

box.addEventListener("input", () => { places = []; paint(); });
box.addEventListener("scroll", () => { behind.scrollTop = box.scrollTop; });
box.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});

/** A chip stands for the tune's LoRA; the words that call it are put into the text, of the first tune before all others. */
function add(button) {
  const chip = find("template", button.parentElement).content.firstElementChild.cloneNode(true), { trigger } = chip.dataset;
  insert.open = false;
  if (!tunes().some((other) => other.dataset.tune === chip.dataset.tune)) {
    if (find_(box.value, trigger, 0) < 0) {
      const at = tunes().length ? box.selectionStart : 0;
      const before = box.value.slice(0, at), after = box.value.slice(at);
      box.value = `${before}${before && !/\s$/.test(before) ? " " : ""}${trigger}${/^\s/.test(after) ? "" : " "}${after}`;
    }
    chips.append(chip);
    say(text("inserted", { title: find("span", chip).textContent }));
  }
  box.focus();
  box.setSelectionRange(box.value.length, box.value.length);
  changed();
}

function out(chip) {
  const { trigger } = chip.dataset, at = find_(box.value, trigger, 0);
  chip.remove();
  if (at >= 0 && !tunes().some((other) => other.dataset.trigger === trigger)) {
    box.value = (box.value.slice(0, at) + box.value.slice(at + trigger.length).replace(/^,?\s+/, "")).trimStart();
  }
  say(text("taken_out", { title: find("span", chip).textContent }));
  (find(".chip:last-child .out", chips) ?? find("summary", insert)).focus();
  changed();
}

chips.addEventListener("click", (event) => event.target.matches(".out") && out(event.target.closest(".chip")));
chips.addEventListener("change", changed);
insert?.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-tune]");
  if (button) { add(button); remember(); }
});
insert?.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !insert.open) return;
  insert.open = false;
  find("summary", insert).focus();
});
document.addEventListener("click", (event) => { if (insert?.open && !insert.contains(event.target)) insert.open = false; });

function changed() {
  paint();
  advice.later();
  plan();
}

function plan() {
  const asked = new URLSearchParams({ count: find("#count").value, ratio: find("input[name=ratio]:checked", form).value });
  for (const tune of used()) asked.append("tune", tune);
  return told(asked);
}
form.addEventListener("change", (event) => { if (event.target.matches("#count, input[name=ratio]")) plan(); });
document.addEventListener("finished", plan); // what waited before does not any more

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  make.disabled = true;
  const sent = new FormData(form);
  for (const tune of used()) sent.append("tunes[]", tune);
  const mask = await maskOf();
  if (mask) sent.set("mask_image", mask, "mask.png");
  try {
    const answer = await post("/app/prompts", sent);
    find("[name=once]", form).value = [...crypto.getRandomValues(new Uint32Array(4))].join("-"); // the next one is another
    showErrors([]);
    find("#nothing")?.remove();
    const card = parse(await answer.text());
    const words = await plan(); // what it takes, now that it waits itself
    find(".coming", card)?.append(element("span", { className: "wait", textContent: words?.[1] ?? "" }));
    find("#cards").prepend(card);
    card.scrollIntoView({ block: "center" });
    follow();
  } catch (error) {
    showErrors([error.message]);
  }
  make.disabled = false;
});

let strokes = [];
const remember = () => keep({ ...fieldsOf(form), tunes: used(), from: find("#from").value, strokes });

starting((there) => {
  const own = find("#as-is"), ratio = find("input", own);
  own.hidden = !there;
  if (there && !ratio.disabled) ratio.checked = true;
  if (!there && ratio.checked) find("input[name=ratio]", form).checked = true;
}, (painted) => { strokes = painted; remember(); });

/** What was typed here before and not thrown away. */
function takeUp(before, file) {
  for (const chip of tunes()) chip.remove();
  for (const [number, weight] of before.tunes.map((tune) => tune.split(":"))) {
    const button = insert && find(`button[data-tune="${CSS.escape(number)}"]`, insert);
    if (!button) continue; // deleted meanwhile
    const chip = find("template", button.parentElement).content.firstElementChild.cloneNode(true);
    find("select", chip).value = weight;
    chips.append(chip);
  }
  fill(form, before);
  if (file || before.strokes.length) find("#start").open = true;
  if (before.seed) find("#exactly").open = true;
  startAgain(file, before.strokes);
  strokes = before.strokes; // of which a picture chosen anew knows nothing
  fill(form, before); // the shape, which a picture to start from had changed
}

const before = kept(), already = find("#input").files[0]; // chosen before this script ran
if (already) await keepFile(already);
const file = already ?? (before && await keptFile()), early = takeEarly(form); // which is typed until now
if (before) takeUp(before, file);
else if (file) { find("#start").open = true; startAgain(file, []); }
fill(form, early);
if (before || already || Object.keys(early).length) remember();
form.addEventListener("input", remember);
form.addEventListener("change", (event) => {
  if (event.target.id === "input") keepFile(event.target.files[0] ?? null);
  remember();
});
chips.addEventListener("click", remember);
changed();
if (tunes().some((chip) => box.value.trim() !== chip.dataset.trigger)) advice.now();
else places = [];
box.setSelectionRange(box.value.length, box.value.length);
