// Drafts: advice on each as it is edited, and what the ticked ones come to.

import { find, findAll, text } from "./app.js";
import { advising } from "./advice.js";
import { planning } from "./plan.js";

const form = find("#drafts"), tune = find("input[name=tune]", form).value;
const told = planning(find("#plan"));
const rows = findAll(".drafts > li", form); // not the advice on them

for (const item of rows) advising(find("textarea", item), find(".advice", item), () => [tune]);

function sum() {
  const kept = rows.filter((row) => find("input[type=checkbox]", row).checked);
  for (const row of rows) row.classList.toggle("away-with", !kept.includes(row));
  find("#sum").textContent = text("sum", { prompts: kept.length, pictures: kept.length * (Number(find("#count").value) || 0) });
  find(".bar button", form).disabled = !kept.length;
  if (kept.length) told(new URLSearchParams({ tune, count: find("#count").value, times: kept.length }));
}

form.addEventListener("change", sum);
sum();
