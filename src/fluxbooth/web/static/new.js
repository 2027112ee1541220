// Photos are sent one by one as they are chosen, and looked at as they arrive; the form itself then names only their draft.

import { ask, element, find, findAll, post, say, showErrors, text } from "./app.js";
import { all, fieldsOf, fill, forget, keep, kept, takeEarly } from "./keep.js";

const FEWEST = 4, RETRY = 3000, SVG = "http://www.w3.org/2000/svg";
const form = find("#new"), drop = find("#drop"), chooser = find("#images"), list = find("#photos");
const train = find("#train"), told = find("#progress"), own = `/app/drafts/${form.dataset.draft}`, draft = `${own}/photos`;
const waiting = [], MB = 2 ** 20, MOST = Number(form.dataset.mb); // of a photo
let sending = false, photos = [], plans = 0, proposing = false, due = false;

chooser.removeAttribute("name"); // what was sent already is not sent again
const early = takeEarly(form), address = new URL(location);
address.pathname = "/app/tunes/new";
address.searchParams.set("draft", form.dataset.draft);
history.replaceState(null, "", address); // and after a refusal, too: a reload keeps the photos

const before = kept();
fill(form, { ...before, ...early });
if (Object.keys(early).length) keep(fieldsOf(form));
else if (!before) offer();

form.addEventListener("input", () => keep(fieldsOf(form)));

/** A tune that was begun before, if its photos still wait: those of a tune that was made are gone. */
async function offer() {
  for (const { name } of all()) {
    const begun = new URL(name.slice(name.indexOf("/app/")), location), number = begun.searchParams.get("draft");
    if (begun.pathname !== address.pathname || !number || begun.search === address.search) continue;
    try {
      if ((await (await ask(`/app/drafts/${number}/photos`)).json()).photos.length) {
        find("#begun").hidden = false;
        find("#begun a").href = begun.pathname + begun.search;
        return;
      }
      forget(name);
    } catch { return; }
  }
}

chooser.addEventListener("change", chosen);
for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files); });
for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault()); // missed by an inch

function chosen() {
  take(chooser.files);
  chooser.value = "";
}

function take(files, instead = null) {
  const isText = (file) => Number(file.name.toLowerCase().endsWith(".txt"));
  for (const file of [...files].sort((a, b) => isText(a) - isText(b))) { // a caption comes after its photo
    const item = element("li", { className: "waiting" }, preview(file), element("p", { className: "dim", textContent: text("checking") }));
    list.append(item);
    if (file.size > MOST * MB) refuse(item, file, text("too_large", { size: (file.size / MB).toFixed(1), mb: MOST }));
    else waiting.push({ file, item, instead });
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
  enable();
  let done = 0;
  while (waiting.length) {
    const { file, item, instead } = waiting[0], count = done + waiting.length;
    told.textContent = text("uploading", { number: done + 1, count });
    const body = new FormData();
    body.append("file", file);
    if (instead) body.append("instead", instead);
    try {
      const seen = await upload(body, (share) => progress((done + share) / count));
      item.remove();
      show(seen.photos);
      if (instead) say(text("replaced", { number: seen.photos.findIndex((photo) => photo.name === file.name) + 1 }));
    } catch (error) {
      if (error.lost) {
        told.textContent = text("lost");
        await back();
        continue; // with the same photo
      }
      refuse(item, file, error.message);
    }
    waiting.shift();
    done += 1;
  }
  sending = false;
  progress(1);
  summarise();
  enable();
  propose();
}

/** Captions are proposed by who may look at the photos; Claude only does if it is `wanted`. */
async function propose(wanted = false) {
  due = true;
  if (proposing || sending || !photos.length) return; // one at a time: a browser has few connections
  const button = find("#propose");
  find("#proposing").textContent = text("proposing");
  button.disabled = proposing = true;
  try {
    let seen;
    while (due) { // what changes meanwhile, an answer does not know of
      due = false;
      seen = await (await post(`${own}/captions`, subject(wanted))).json();
    }
    for (const one of seen.captions) proposed(one);
    button.hidden = !seen.asks;
  } catch (error) {
    showErrors([error.message]);
  } finally {
    find("#proposing").textContent = "";
    button.disabled = proposing = false;
  }
}

function subject(wanted) {
  const given = new FormData(form), asked = new URLSearchParams({ wanted: wanted ? "1" : "" });
  for (const name of ["name", "base_tune_id", "preset", "pack"]) asked.set(name, given.get(`tune[${name}]`) ?? "");
  return asked;
}

/** fetch() does not tell how much of a body is sent. Rejects with `lost` where nobody answered. */
function upload(body, tell) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", draft);
    request.setRequestHeader("Fluxbooth-Part", "1");
    request.responseType = "json";
    request.upload.onprogress = (event) => tell(event.loaded / event.total);
    request.onerror = () => reject(Object.assign(new Error(text("unreachable")), { lost: true }));
    request.onload = () => {
      const answer = request.response ?? {};
      if (request.status < 300) resolve(answer);
      else reject(new Error(request.status === 401 ? text("signed_out") : (answer.errors ?? answer.base ?? [request.statusText]).join(" ")));
    };
    request.send(body);
  });
}

function progress(share) {
  find("#sending").hidden = share >= 1;
  find("#sent").value = share;
}

/** Resolves when the network is said to be back, or after a while, for it may not be said. */
function back() {
  return new Promise((resolve) => {
    const timer = setTimeout(on, RETRY);
    addEventListener("online", on, { once: true });
    function on() {
      clearTimeout(timer);
      removeEventListener("online", on);
      resolve();
    }
  });
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
    const image = element("span", { className: "frame" }, element("img", { src: photo.src, alt: photo.name, title: photo.name }), crop(photo));
    const number = place + 1;
    const lines = photo.advice.length
      ? photo.advice.map((line) => element("p", { className: "warn" }, `${line} `, element("a", { href: "/app/guide", textContent: text("why") })))
      : [element("p", { className: "fine", textContent: text("fine") })];
    const away = button(text("remove", { number }), "×", () => remove(photo.number, place));
    const earlier = mover(text("earlier", { number }), "←", photo.number, place, -1), later = mover(text("later", { number }), "→", photo.number, place, 1);
    earlier.disabled = !place;
    later.disabled = number === now.length;
    const moving = element("span", { className: "moving" }, earlier, later, replacer(photo.number, number));
    return element("li", {}, image, element("span", { className: "number", textContent: number }), away, moving, ...lines, caption(photo, number));
  });
  const held = document.activeElement?.closest("#photos textarea"); // somebody is writing in it
  list.replaceChildren(...items, ...findAll(".waiting, .refused", list));
  const box = held && document.getElementById(held.id);
  if (box) {
    box.value = held.value;
    box.focus();
  }
  summarise();
  plan();
}

/** What training leaves out of a photo, dimmed. */
function crop({ width, height, crop: [x, y, w, h] }) {
  const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("fill-rule", "evenodd");
  path.setAttribute("d", `M0 0H${width}V${height}H0Z M${x * width} ${y * height}h${w * width}v${h * height}h${-w * width}Z`);
  svg.append(path);
  return svg;
}

function mover(label, shown, number, place, by) {
  const made = element("button", { type: "button", textContent: shown });
  made.setAttribute("aria-label", label);
  made.addEventListener("click", async () => {
    try {
      show((await (await post(`${draft}/${number}/move`, new URLSearchParams({ by }))).json()).photos);
      say(text("moved", { number: place + by + 1 }));
      const buttons = findAll(".moving button", list.children[place + by]);
      (buttons.find((other) => other.textContent === shown && !other.disabled) ?? buttons.find((other) => !other.disabled)).focus();
    } catch (error) {
      showErrors([error.message]);
    }
  });
  return made;
}

/** Chooses another file for the place of a photo. */
function replacer(photo, number) {
  const chosen = element("input", { type: "file", accept: chooser.accept, hidden: true });
  chosen.addEventListener("change", () => take(chosen.files, photo));
  const made = element("button", { type: "button", className: "replace", textContent: text("put_in") });
  made.setAttribute("aria-label", text("replace", { number }));
  made.addEventListener("click", () => chosen.click());
  return element("span", {}, made, chosen);
}

function caption(photo, number) {
  const box = element("textarea", { id: `caption-${photo.number}`, className: photo.proposed && photo.caption ? "proposed" : "", rows: 1, maxLength: 1000, value: photo.caption, placeholder: text("caption_none") });
  box.setAttribute("aria-label", text("caption", { number }));
  let timer = null;
  box.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(keep, 500);
  });
  box.addEventListener("change", keep);
  async function keep() {
    clearTimeout(timer);
    if (box.value === photo.caption) return;
    try {
      await post(`${draft}/${photo.number}/caption`, new URLSearchParams({ caption: box.value }));
      photo.caption = box.value;
      box.classList.remove("proposed");
      due = true;
      say(text("captioned", { number }));
    } catch (error) {
      showErrors([error.message]);
    }
  }
  return box;
}

/** Nothing else on the page moves, and what somebody writes meanwhile stays. */
function proposed(one) {
  const photo = photos.find(({ number }) => number === one.number), box = find(`#caption-${one.number}`);
  if (!photo || box.value !== photo.caption) return;
  Object.assign(photo, one);
  box.value = one.caption;
  box.classList.toggle("proposed", one.proposed && Boolean(one.caption));
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
  find("#legend").hidden = !photos.length;
  told.textContent = photos.length ? text(warnings ? "warned" : "all_there", { count: photos.length, warnings }) : "";
  enable();
}

function enable() {
  train.disabled = sending || photos.length < FEWEST;
}

async function plan() {
  const mine = ++plans; // answers may come in another order than they were asked for
  enable();
  const enough = photos.length >= FEWEST;
  if (!enough) find("#plan").textContent = photos.length ? text("plan", { count: photos.length }) : "";
  const asked = new URLSearchParams({ photos: photos.length });
  for (const [name, value] of new FormData(form)) {
    const field = /^tune\[(preset|steps|auto_extend|base_tune_id)\]$/.exec(name);
    if (field) asked.set(field[1], value);
  }
  try {
    const { words, steps, ways } = await (await ask(`/app/plan?${asked}`)).json();
    if (mine !== plans) return;
    for (const place of findAll("[data-way]")) place.textContent = ways[place.dataset.way];
    if (!enough) return;
    find("#plan").textContent = words.join(" ");
    if (!find("#steps").value) find("#steps").placeholder = steps;
  } catch { /* the button says what is wrong when it is pressed */ }
}

for (const chip of findAll(".chip")) {
  chip.addEventListener("click", () => { find("#name").value = chip.textContent; mark(); propose(); });
}
find("#name").addEventListener("input", mark);
function mark() {
  for (const chip of findAll(".chip")) chip.setAttribute("aria-pressed", chip.textContent === find("#name").value.trim());
}
mark();
if (chooser.files.length) chosen(); // before this script ran

form.addEventListener("change", (event) => { if (event.target !== chooser) plan(); });
for (const name of ["name", "base_tune_id", "preset"]) {
  for (const field of findAll(`[name="tune[${name}]"]`)) field.addEventListener("change", () => propose());
}
find("#propose").addEventListener("click", () => propose(true));
form.addEventListener("submit", () => requestAnimationFrame(() => { train.disabled = true; }));
addEventListener("pageshow", async () => {
  try {
    show((await (await ask(draft)).json()).photos);
    propose();
  } catch (error) {
    showErrors([error.message]);
  }
});
