// Whether the network, the server and its engine are there: said in one place over every page, and taken back when all is well again.

const AGAIN = 3000, NOW_AND_THEN = 15_000, PATIENCE = 8000; // ms
const place = document.querySelector("#connection");
let away = false, engine = "runs", slow = 0, said = "", asked = 0;

const works = () => document.querySelector("#training, #queue li, .card:is([data-state=waiting], [data-state=drawing])");

/** A request, watched: rejects as fetch() does where nobody answers. */
export async function watched(path, options) {
  let late = false;
  const clock = setTimeout(() => { late = true; slow += 1; show(); }, PATIENCE);
  try {
    const answer = await fetch(path, options);
    away = false;
    return answer;
  } catch (error) {
    away = true;
    throw error;
  } finally {
    clearTimeout(clock);
    if (late) slow -= 1;
    show();
  }
}

function show() {
  const state = !navigator.onLine ? "offline" : away ? "away" : engine !== "runs" && works() ? engine : slow ? "slow" : "";
  if (state !== said) {
    const back = ["offline", "away"].includes(said) && !["offline", "away"].includes(state);
    said = state;
    place.textContent = state ? place.dataset[state] : "";
    if (back) document.dispatchEvent(new Event("back"));
  }
}

/** Asked again and again while something is amiss, and now and then while work is waited for. */
function tick() {
  const amiss = said && said !== "slow", due = amiss || (works() && Date.now() - asked > NOW_AND_THEN);
  if (due && !document.hidden) look();
}

async function look() {
  asked = Date.now();
  try {
    const answer = await watched("/app/state", { headers: { "Fluxbooth-Part": "1" } });
    if (answer.ok) engine = (await answer.json()).engine;
  } catch { /* it is said already */ }
  show();
}

const gone = () => ["offline", "away"].includes(said);

/** The page of ours that a press leads to, if it does. */
function leads(event) {
  const link = event.target.closest?.("a[href]");
  const aside = event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
  if (!link || aside || link.target || link.download || link.origin !== location.origin) return false;
  return link.pathname !== location.pathname || link.search !== location.search || !link.hash;
}

// A page is left for another one only if that will come: the browser's own page of a server that does not answer heals nothing. A finger takes
// long enough to leave a link for the server to be asked meanwhile, so that nobody waits for it.
addEventListener("pointerdown", (event) => { if (leads(event)) look(); });
addEventListener("click", (event) => {
  if (gone() && leads(event)) {
    event.preventDefault();
    look();
  }
});
addEventListener("submit", (event) => { // of a form that the browser itself sends
  if (gone() && event.target.matches("[data-busy]")) {
    event.preventDefault();
    event.stopImmediatePropagation();
    look();
  }
}, true);

for (const name of ["online", "offline"]) addEventListener(name, () => { show(); if (navigator.onLine) look(); });
document.addEventListener("visibilitychange", () => document.hidden || look());
if (!navigator.onLine) show();
setInterval(tick, AGAIN);
