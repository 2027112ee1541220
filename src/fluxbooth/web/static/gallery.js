// Pictures: more of them as one scrolls, and each large in a dialog that obeys the keyboard.

import "./compare.js";
import { ask, element, find, findAll, parse, post, say, showErrors, text } from "./app.js";
import { finished } from "./finished.js";

const SWIPE = 50, PICTURE = "#picture="; // pixels; of the address
const SLOW = 60_000, since = {}; // ms; when a card was first seen as it stands
const dialog = find("#large"), inside = find("#large-content");
let shown = null; // the link of the picture that is large

const links = () => findAll("#cards a.picture");

/** Opens a picture, or turns to it: the first one is a step that Back undoes. */
function open(link) {
  const address = location.pathname + location.search + PICTURE + link.getAttribute("href").split("/").pop();
  if (dialog.open) history.replaceState(history.state, "", address);
  else history.pushState({ large: true }, "", address);
  return show(link);
}

async function show(link) {
  try {
    const part = parse(await (await ask(link.getAttribute("href"))).text());
    shown = link;
    inside.replaceChildren(part);
    if (!dialog.open) dialog.showModal();
    const all = links(), place = all.indexOf(link);
    find("#previous").disabled = place <= 0;
    find("#next").disabled = place >= all.length - 1;
    if (!dialog.contains(document.activeElement) || document.activeElement.disabled) dialog.focus(); // or keys would go nowhere
  } catch (error) {
    if (dialog.open) dialog.close();
    else history.replaceState(null, "", location.pathname + location.search);
    showErrors([error.message]);
  }
}

function move(by) {
  const all = links(), target = all[all.indexOf(shown) + by];
  if (target) open(target);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("#cards a.picture");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  open(link);
});

dialog.addEventListener("submit", async (event) => {
  const form = event.target;
  if ("plain" in form.dataset) return; // it leads to another page
  event.preventDefault();
  try {
    const fields = "again" in form.dataset ? new FormData(form, event.submitter) : undefined;
    const sent = await post(form.getAttribute("action"), fields);
    if ("again" in form.dataset) {
      const card = parse(await sent.text());
      find(`#cards > [data-prompt="${card.dataset.prompt}"]`)?.remove(); // pressed twice, it was made once
      find("#cards").prepend(card);
      dialog.close();
      say(text("redrawn"));
      return follow();
    }
    const answer = await sent.json();
    if ("like" in form.dataset) {
      find("button", form).setAttribute("aria-pressed", answer.liked);
      say(text(answer.liked ? "liked" : "unliked"));
      refresh(shown.closest(".card"));
    } else {
      removed();
    }
  } catch (error) {
    dialog.close();
    showErrors([error.message]);
  }
});

/** A card as it stands now; what is ticked on it stays ticked. */
async function refresh(card) {
  const place = findAll("a.picture", card).indexOf(shown), ticked = findAll(".pick :checked", card).map((box) => box.value);
  const now = parse(await (await ask(`/app/prompts/${card.dataset.prompt}`)).text());
  for (const box of findAll(".pick input", now)) box.checked = ticked.includes(box.value);
  card.replaceWith(now);
  if (place >= 0) shown = findAll("a.picture", now)[place];
}

/** The picture that is large is gone: the next one is shown, or the one before. */
function removed() {
  const all = links(), place = all.indexOf(shown), next = all[place + 1] ?? all[place - 1];
  take(shown);
  say(text("deleted"));
  if (next) open(next);
  else dialog.close();
}

/** Takes a picture off the page, with its card if it was the last one there. */
function take(link) {
  const card = link.closest(".card"), others = findAll("a.picture", card).length > 1;
  (others ? link.closest("li") : card).remove();
  count();
}

// several pictures, by the boxes that are ticked
const bar = find("#chosen"), ticked = () => findAll(".pick :checked");
function count() {
  if (bar) find("#count").textContent = ticked().length ? text("ticked", { count: ticked().length }) : text("none_ticked");
}
document.addEventListener("change", (event) => event.target.closest(".pick") && count());
bar?.addEventListener("submit", async (event) => {
  if (!event.submitter?.value) return; // a zip, which the browser takes
  event.preventDefault();
  const boxes = ticked(), body = new FormData(bar, event.submitter);
  try {
    await post("/app/pictures", body);
    say(text(event.submitter.value === "like" ? "liked" : "deleted"));
    find("details", bar).open = false;
    if (event.submitter.value === "delete") {
      for (const box of boxes) take(find("a.picture", box.closest("li")));
    } else {
      const cards = [...new Set(boxes.map((box) => box.closest(".card")))];
      for (const box of boxes) box.checked = false;
      await Promise.all(cards.map(refresh));
    }
    count();
  } catch (error) {
    showErrors([error.message]);
  }
});

dialog.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input")) return;
  const acts = {
    ArrowLeft: () => move(-1),
    ArrowRight: () => move(1),
    l: () => find("form[data-like]", dialog).requestSubmit(),
    r: () => find("form[data-again]:not([data-fields])", dialog).requestSubmit(),
    d: () => {
      const question = find("details[data-delete]", dialog);
      question.open = true;
      find("button", question).focus();
    },
  };
  const act = acts[event.key] ?? acts[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
});

/** A prompt that is not drawn yet, or failed, is taken back or drawn again where it stands. */
document.addEventListener("submit", async (event) => {
  const again = "redraw" in event.target.dataset;
  if (!again && !("cancel" in event.target.dataset)) return;
  event.preventDefault();
  const card = event.target.closest(".card");
  try {
    const answer = await post(event.target.getAttribute("action"));
    if (again) {
      card.before(parse(await answer.text()));
      follow();
      card.remove();
    } else if ((await answer.json()).deleted) card.remove(); // else it has pictures, and is shown as it is now
    say(text(again ? "redrawn" : card.dataset.state === "failed" ? "deleted" : "cancelled"));
    document.dispatchEvent(new Event("finished"));
  } catch (error) {
    showErrors([error.message]);
  }
});

/** The address tells which picture is large: Back closes it, and a reload shows it again. */
function addressed() {
  const name = location.hash.startsWith(PICTURE) ? location.hash.slice(PICTURE.length) : null;
  if (!name) return dialog.open && dialog.close();
  const address = `/app/pictures/${name}`, link = links().find((one) => one.getAttribute("href") === address);
  if (shown?.getAttribute("href") !== address || !dialog.open) show(link ?? element("a", { href: address }));
}

addEventListener("popstate", addressed);
if (location.hash.startsWith(PICTURE)) addressed();

let touched = null;
dialog.addEventListener("touchstart", (event) => {
  touched = event.touches.length === 1 && !event.target.closest("input, select, textarea") ? event.touches[0] : null;
}, { passive: true });
dialog.addEventListener("touchend", (event) => {
  const [up] = event.changedTouches;
  const across = touched && up.clientX - touched.clientX, down = touched && up.clientY - touched.clientY;
  touched = null;
  if (Math.abs(across) > SWIPE && Math.abs(across) > 2 * Math.abs(down)) move(across < 0 ? 1 : -1);
}, { passive: true });

dialog.addEventListener("close", () => {
  if (location.hash.startsWith(PICTURE)) {
    if (history.state?.large) history.back(); // to the page as it was before
    else history.replaceState(null, "", location.pathname + location.search);
  }
  shown?.isConnected && shown.focus();
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
find("#close").addEventListener("click", () => dialog.close());
find("#previous").addEventListener("click", () => move(-1));
find("#next").addEventListener("click", () => move(1));

const older = find("#older");
let loading = false;
async function more() {
  const link = older && find("a", older);
  if (!link || loading) return;
  loading = true;
  try {
    const page = new DOMParser().parseFromString(await (await ask(link.href)).text(), "text/html");
    find("#cards").append(...findAll("#cards > *", page));
    older.replaceChildren(...findAll("#older > *", page));
    say(text("older"));
  } catch (error) {
    showErrors([error.message]);
  }
  loading = false;
}
if (older) {
  new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && more(), { rootMargin: "600px" }).observe(older);
  older.addEventListener("click", (event) => { if (event.target.closest("a")) { event.preventDefault(); more(); } });
}

/** Asks for each card that is not finished, until it is. */
let following = null;
export async function follow() {
  clearTimeout(following);
  const open = findAll(".card[data-state=waiting], .card[data-state=drawing]");
  for (const old of open) {
    try {
      const card = parse(await (await ask(`/app/prompts/${old.dataset.prompt}`)).text());
      const known = `${old.dataset.prompt}/${old.dataset.state}/${old.dataset.there}`;
      since[known] ??= Date.now();
      if (Date.now() - since[known] > SLOW && !find(".slow", old)) find(".coming", old)?.append(element("span", { className: "wait slow", textContent: text("longer") }));
      if (card.dataset.state !== old.dataset.state || card.dataset.there !== old.dataset.there) {
        old.replaceWith(card);
        if (card.dataset.state !== "done") find(".coming", card)?.append(find(".wait", old) ?? "");
        else say(text("made"));
      }
    } catch (error) {
      if (error.status === 404) old.remove(); // it was deleted elsewhere
    }
  }
  const left = findAll(".card[data-state=waiting], .card[data-state=drawing]").length;
  if (open.length && !left) {
    finished(text("made"));
    document.dispatchEvent(new Event("finished"));
  }
  if (left) following = setTimeout(follow, document.hidden ? 5000 : 1000);
}

follow();
