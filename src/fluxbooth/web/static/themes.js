// Drafts: advice on each as it is edited, and what the ticked ones come to. They are kept in the browser until they are drawn.

import { find, findAll, post, text } from "./app.js";
import { advising } from "./advice.js";
import { forget, keep, kept, key } from "./keep.js";
import { planning } from "./plan.js";

const HERE = key({ pathname: "/app/themes", search: "" });

function begin(form) {
  const tune = find("input[name=tune]", form).value, told = planning(find("#plan"));
  const rows = findAll(".drafts > li", form); // not the advice on them
  const remember = () => keep({ body: new URLSearchParams(new FormData(form)).toString() }, HERE);

  function sum() {
    const ticked = rows.filter((row) => find("input[type=checkbox]", row).checked);
    for (const row of rows) row.classList.toggle("away-with", !ticked.includes(row));
    find("#sum").textContent = text("sum", { prompts: ticked.length, pictures: ticked.length * (Number(find("#count").value) || 0) });
    find(".bar button", form).disabled = !ticked.length;
    if (ticked.length) told(new URLSearchParams({ tune, count: find("#count").value, times: ticked.length }));
  }

  for (const item of rows) advising(find("textarea", item), find(".advice", item), () => [tune]);
  form.addEventListener("input", remember);
  form.addEventListener("change", () => { sum(); remember(); });
  remember();
  sum();
}

/** The drafts that were on this page before a reload, if they were not drawn meanwhile. */
async function takeUp() {
  const before = kept(HERE);
  if (!before) return;
  try {
    const answer = await post("/app/themes/kept", new URLSearchParams(before.body));
    const form = find("#drafts", new DOMParser().parseFromString(await answer.text(), "text/html"));
    if (!form) return forget(HERE);
    find("#content").append(document.adoptNode(form));
    begin(form);
  } catch { /* they stay kept for the next time */ }
}

history.replaceState(null, "", `/app/themes${location.pathname === "/app/themes" ? location.search : ""}`); // a reload writes nothing anew
if (find("#drafts")) begin(find("#drafts"));
else await takeUp();
