// A training as it goes on: told by the server while the page is seen, asked for every three seconds where that fails.

import { ask, duration, find, say, text } from "./app.js";
import { finished } from "./finished.js";

const SVG = "http://www.w3.org/2000/svg", WIDEST = 768, HEIGHT = 180, LEFT = 44, BOTTOM = 22; // pixels
const section = find("#training");
const QUIET = 30_000; // ms without a step
let stream = null, timer = null, quarter = 0, last = null, samples = 0, heard = Date.now();

function draw(state) {
  if (state.step) {
    const words = text("step", { step: state.step, steps: state.steps });
    if (state.step !== last?.step) heard = Date.now();
    find("#where").textContent = state.interrupted ? text("interrupted") : words;
    if ("resumed_at" in state) find("#resumed").textContent = state.resumed_at ? text("resumed", { step: state.resumed_at }) : text("anew");
    Object.assign(find("#bar"), { max: state.steps, value: state.step });
    const label = find(".head .state"), share = Math.floor((100 * state.step) / state.steps);
    label.textContent = text("training_share", { share });
    label.className = "state training";
    find("#left").textContent = state.seconds_left ? text("left", { time: duration(state.seconds_left) }) : "";
    const reached = Math.floor((4 * state.step) / state.steps);
    if (reached > quarter) say(words);
    quarter = reached;
  }
  last = state;
  if (state.samples > samples) showSamples(state.samples);
  if (state.best) find("#best").textContent = text("best", { count: state.looks.length, step: state.best });
  if (state.losses?.length > 1) curve(state.losses, state);
  if (state.over) {
    stop();
    finished(text("trained"));
    if (!document.hidden) return location.reload();
    document.addEventListener("visibilitychange", () => location.reload(), { once: true });
  }
}

/** The pictures drawn on the way, as the server renders them. */
async function showSamples(count) {
  samples = count;
  try {
    const answer = await ask(section.dataset.stages), place = find("#stages");
    place.replaceChildren(...new DOMParser().parseFromString(await answer.text(), "text/html").body.children);
    find("#stages-section").hidden = false;
  } catch { /* the next one brings them all */ }
}

/** A running mean, for single steps jump. */
function smooth(values) {
  const weight = Math.min(0.95, 1 - 8 / Math.max(values.length, 16));
  let mean = values[0];
  return values.map((value) => (mean = weight * mean + (1 - weight) * value));
}

function curve(losses, { step }) {
  const figure = find("#curve");
  figure.hidden = false;
  if (!figure.clientWidth) return; // folded away
  const width = Math.min(WIDEST, figure.clientWidth);
  const smoothed = smooth(losses), low = Math.min(...losses), high = Math.max(...losses);
  const most = high + (high - low) * 0.05 || 1;
  const x = (i) => LEFT + (i / (losses.length - 1)) * (width - LEFT - 2);
  const y = (value) => (HEIGHT - BOTTOM) * (1 - (value - low) / (most - low || 1));
  const line = (values) => values.map((value, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const svg = shape("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img" });
  svg.append(
    shape("path", { class: "axis", d: `M${LEFT} 0V${HEIGHT - BOTTOM}H${width}` }),
    shape("path", { class: "raw", d: line(losses) }),
    shape("path", { class: "line", d: line(smoothed) }),
    label(LEFT - 6, 12, "end", high.toPrecision(2)),
    label(LEFT - 6, HEIGHT - BOTTOM, "end", low.toPrecision(2)),
    label(LEFT, HEIGHT - 4, "start", "0"),
    label(width, HEIGHT - 4, "end", step),
  );
  const words = text("loss", { loss: smoothed.at(-1).toPrecision(3), steps: step });
  svg.setAttribute("aria-label", words);
  find("#loss").textContent = smoothed.at(-1).toPrecision(3);
  find("svg", figure)?.remove();
  figure.append(svg);
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function label(x, y, anchor, words) {
  const made = shape("text", { x, y, "text-anchor": anchor });
  made.textContent = words;
  return made;
}

function listen() {
  stop();
  stream = new EventSource(section.dataset.progress);
  stream.onopen = () => { find("#live").textContent = ""; };
  stream.onmessage = (event) => draw(JSON.parse(event.data));
  stream.onerror = () => {
    stop();
    find("#live").textContent = text("polling");
    timer = setInterval(look, 3000);
  };
}

async function look() {
  try {
    draw(await (await ask(section.dataset.progress)).json());
    find("#live").textContent = text("polling");
  } catch (error) {
    find("#live").textContent = error.message;
  }
}

/** Nobody looks: asked now and then, so that its end can be told. */
function rest() {
  stop();
  timer = setInterval(look, 10_000);
}

function stop() {
  stream?.close();
  clearInterval(timer);
  stream = timer = null;
}

/** Nothing moves: said, so that nobody wonders whether the page has died. */
function quiet() {
  const since = Date.now() - heard;
  if (last?.step && !last.interrupted && since > QUIET) find("#live").textContent = text("no_news", { time: duration(since / 1000) });
}

if (section) {
  listen();
  setInterval(quiet, 5000);
  document.addEventListener("back", () => document.hidden || listen());
  find("#how").addEventListener("toggle", () => last?.losses?.length > 1 && curve(last.losses, last));
  addEventListener("resize", () => last?.losses?.length > 1 && curve(last.losses, last));
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : listen()));
}
