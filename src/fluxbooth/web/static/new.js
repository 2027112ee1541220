// Photos are sent one by one as they are chosen, and looked at as they arrive; the form itself then names only their draft.

import { ask, element, find, findAll, post, say, showErrors, text } from "./app.js";

const FEWEST = 4;
const form = find("#new"), drop = find("#drop"), chooser = find("#images"), list = find("#photos");
const train = find("#train"), told = find("#progress"), draft = `/app/drafts/${form.dataset.draft}/photos`;
const waiting = [];
let sending = false, photos = [], plans = 0;

chooser.removeAttribute("name"); // what was sent already is not sent again
const address = new URL(location);
address.pathname = "/app/tunes/new";
address.searchParams.set("draft", form.dataset.draft);
history.replaceState(null, "", address); // a reload keeps the photos

chooser.addEventListener("change", () => { take(chooser.files); chooser.value = ""; });
for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files); });
for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault()); // missed by an inch

function take(files) {
  for (const file of files) {
    const item = element("li", { className: "waiting" }, preview(file), element("p", { className: "dim", textContent: text("checking") }));
    list.append(item);
    waiting.push({ file, item });
  }
  send();
}

function preview(file) {
  const image = element("img", { src: URL.createObjectURL(file), alt: file.name, width: 160, height: 160 });
  image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  image.addEventListener("error", () => image.classList.add("blank")); // a format that this browser cannot show
  return image;
}

async function send() {
  if (sending) return;
  sending = true;
  const all = waiting.length;
  enable();
  while (waiting.length) {
    const { file, item } = waiting.shift();
    told.textContent = text("uploading", { number: Math.max(1, all - waiting.length), count: Math.max(all, 1) });
    const body = new FormData();
    body.append("file", file);
    try {
      const answer = await (await post(draft, body)).json();
      item.remove();
      show(answer.photos);
    } catch (error) {
      refuse(item, file, error.message);
    }
  }
  sending = false;
  summarise();
  enable();
}

function refuse(item, file, reason) {
  item.className = "refused";
  const away = button(text("removed_name", { name: file.name }), "×", () => { item.remove(); summarise(); });
  const again = element("button", { type: "button", textContent: text("again") });
  again.addEventListener("click", () => { item.remove(); take([file]); });
  item.replaceChildren(find("img", item), element("p", { className: "warn", textContent: reason }), again, away);
  list.append(item);
}

function show(now) {
  photos = now;
  const items = now.map((photo, place) => {
    const image = element("img", { src: photo.src, alt: photo.name, title: photo.name, width: 160, height: 160 });
    const number = place + 1;
    const lines = photo.advice.length
      ? photo.advice.map((line) => element("p", { className: "warn", textContent: line }))
      : [element("p", { className: "fine", textContent: text("fine") })];
    const away = button(text("remove", { number }), "×", () => remove(photo.number, place));
    return element("li", {}, image, element("span", { className: "number", textContent: number }), away, ...lines);
  });
  list.replaceChildren(...items, ...findAll(".waiting, .refused", list));
  summarise();
  plan();
}

function button(label, shown, act) {
  const made = element("button", { type: "button", className: "away", textContent: shown });
  made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}

async function remove(number, place) {
  try {
    show((await (await post(`${draft}/${number}/delete`)).json()).photos);
    say(text("removed"));
    (findAll(".away", list)[Math.min(place, photos.length - 1)] ?? chooser).focus();
  } catch (error) {
    showErrors([error.message]);
  }
}

function summarise() {
  if (sending && waiting.length) return;
  const warnings = photos.filter((photo) => photo.advice.length).length;
  told.textContent = photos.length ? text(warnings ? "warned" : "all_there", { count: photos.length, warnings }) : "";
  enable();
}

function enable() {
  train.disabled = sending || photos.length < FEWEST;
}

async function plan() {
  const mine = ++plans; // answers may come in another order than they were asked for
  enable();
  if (photos.length < FEWEST) {
    find("#plan").textContent = photos.length ? text("plan", { count: photos.length }) : "";
    return;
  }
  const asked = new URLSearchParams({ photos: photos.length });
  for (const [name, value] of new FormData(form)) {
    const field = /^tune\[(preset|steps|auto_extend)\]$/.exec(name);
    if (field) asked.set(field[1], value);
  }
  try {
    const { words } = await (await ask(`/app/plan?${asked}`)).json();
    if (mine === plans) find("#plan").textContent = words.join(" ");
  } catch { /* the button says what is wrong when it is pressed */ }
}

form.addEventListener("change", (event) => { if (event.target !== chooser) plan(); });
form.addEventListener("submit", () => requestAnimationFrame(() => { train.disabled = true; }));
addEventListener("pageshow", async () => {
  try {
    show((await (await ask(draft)).json()).photos);
  } catch (error) {
    showErrors([error.message]);
  }
});
