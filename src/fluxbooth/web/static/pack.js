// What a run of the pack would take, for the tune and the number that are chosen.

import { find } from "./app.js";
import { planning } from "./plan.js";

const form = find("#draw"), told = form && planning(find("#plan"));

function plan() {
  const [tune] = find("#tune").selectedOptions;
  told(new URLSearchParams({ tune: tune.value, count: find("#count").value, times: tune.dataset.prompts }));
}

form?.addEventListener("change", plan);
if (form) plan();
