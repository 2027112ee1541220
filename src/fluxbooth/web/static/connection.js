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

for (const name of ["online", "offline"]) addEventListener(name, () => { show(); if (navigator.onLine) look(); });
document.addEventListener("visibilitychange", () => document.hidden || look());
if (!navigator.onLine) show();
setInterval(tick, AGAIN);
