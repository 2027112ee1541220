// What work would take, told before its button: pictures, time, price, and what waits before it.

import { ask } from "./app.js";

/** Shows in `place` the answer to what was asked last; also returns its sentences. */
export function planning(place) {
  let plans = 0; // answers may come in another order than they were asked for
  return async (asked) => {
    const mine = ++plans;
    try {
      const { words } = await (await ask(`/app/prompts/plan?${asked}`)).json();
      if (mine === plans) place.textContent = words.join(" ");
      return words;
    } catch {
      return null; // the button says what is wrong when it is pressed
    }
  };
}
