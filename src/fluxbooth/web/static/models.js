// The machine is looked at when the page is there, for that takes seconds; a download is followed while it runs.

import { ask, find, findAll } from "./app.js";

async function take(address, ids) {
  const page = new DOMParser().parseFromString(await (await ask(address)).text(), "text/html");
  for (const id of ids) find(`#${id}`).replaceChildren(...find(`#${id}`, page).childNodes);
}

/** As another page, so that nothing is pushed about when it is there. */
function look(link) {
  const address = link.getAttribute("href");
  link.replaceWith(link.dataset.look);
  location.replace(address);
}

async function follow() {
  if (!findAll("#bases [data-running]").length) return;
  try {
    if (!document.hidden) await take("/app/models", ["bases"]);
  } catch { /* asked again */ }
  setTimeout(follow, 2000);
}

const link = find("#machine a[data-look]");
if (link) document.readyState === "complete" ? look(link) : addEventListener("load", () => look(link));
setTimeout(follow, 2000);
