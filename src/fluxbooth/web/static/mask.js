// A picture to start from, and a mask painted on it with mouse, finger, pen or keys.

import { find, say, text } from "./app.js";

const MOST = 1024; // pixels of the longer side of a mask; the server scales it to the picture
const stage = find("#stage"), image = find("#begin"), canvas = find("#paint"), brush = find("#brush"), pen = canvas.getContext("2d");
const input = find("#input"), from = find("#from"), strength = find("#strength");
let strokes = [], drawing = null, cursor = null, waiting = [], told = () => {};

/** `changed` is told whether there is a picture to start from; `painted` gets the strokes after each one. */
export function starting(changed, painted) {
  told = () => painted(strokes);
  input.addEventListener("change", () => {
    from.value = "";
    const [file] = input.files;
    show(file ? URL.createObjectURL(file) : null, changed);
    told();
  });
  find("#forget").addEventListener("click", () => {
    from.value = input.value = "";
    show(null, changed);
    input.focus();
  });
  image.addEventListener("load", fit); // the stage stays hidden before a format that this browser cannot show; the server may well know it
  strength.addEventListener("input", tell);
  tell();
  if (from.dataset.src) show(from.dataset.src, changed);
}

/** Puts a file where one was chosen before, and strokes on it. */
export function startAgain(file, before) {
  if (file) {
    const carrier = new DataTransfer();
    carrier.items.add(file);
    input.files = carrier.files;
    input.dispatchEvent(new Event("change"));
  }
  if (!before.length) return;
  if (stage.hidden) waiting = before; // until the picture is there
  else { strokes = before; redraw(); }
}

/** The mask as a PNG, white where it was painted; null without any stroke. */
export async function maskOf() {
  if (stage.hidden || !strokes.length) return null;
  const sheet = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height }), ink = sheet.getContext("2d");
  ink.fillRect(0, 0, sheet.width, sheet.height);
  for (const stroke of strokes) draw(ink, stroke, "#fff");
  return new Promise((done) => { sheet.toBlob(done, "image/png"); });
}

function tell() {
  find("#strength-shown").textContent = strength.value;
}

function show(address, changed) {
  strokes = [];
  stage.hidden = true; // until the picture is there: a stroke on an empty canvas would land elsewhere
  if (address) image.src = address;
  else image.removeAttribute("src");
  changed(Boolean(address));
}

function fit() {
  const scale = Math.min(1, MOST / Math.max(image.naturalWidth, image.naturalHeight));
  canvas.width = Math.round(image.naturalWidth * scale);
  canvas.height = Math.round(image.naturalHeight * scale);
  cursor = { x: canvas.width / 2, y: canvas.height / 2 };
  strokes = waiting;
  waiting = [];
  stage.hidden = false;
  redraw();
}

function draw(ink, { size, points }, colour) {
  Object.assign(ink, { strokeStyle: colour, fillStyle: colour, lineWidth: size, lineCap: "round", lineJoin: "round" });
  ink.beginPath();
  ink.arc(points[0].x, points[0].y, size / 2, 0, 2 * Math.PI);
  ink.fill();
  ink.beginPath();
  ink.moveTo(points[0].x, points[0].y);
  for (const { x, y } of points) ink.lineTo(x, y);
  ink.stroke();
}

function redraw() {
  pen.clearRect(0, 0, canvas.width, canvas.height);
  for (const stroke of strokes) draw(pen, stroke, "#e0218a");
  if (document.activeElement === canvas && canvas.matches(":focus-visible")) {
    Object.assign(pen, { strokeStyle: "#000", lineWidth: canvas.width / 100 });
    pen.beginPath();
    pen.arc(cursor.x, cursor.y, width() / 2, 0, 2 * Math.PI);
    pen.stroke();
  }
}

const width = () => (brush.value / 100) * Math.max(canvas.width, canvas.height);

function place(event) {
  const box = canvas.getBoundingClientRect();
  return { x: ((event.clientX - box.left) / box.width) * canvas.width, y: ((event.clientY - box.top) / box.height) * canvas.height };
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  strokes.push(drawing = { size: width(), points: [place(event)] });
  redraw();
});
canvas.addEventListener("pointermove", (event) => {
  if (!drawing) return;
  drawing.points.push(place(event));
  redraw();
});
for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { drawing = null; told(); });

function undo() {
  if (strokes.pop()) say(text("unpainted"));
  redraw();
  told();
}

canvas.addEventListener("keydown", (event) => {
  const step = width() / 2, ways = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  if (event.key in ways) {
    const [x, y] = ways[event.key];
    cursor = { x: Math.min(canvas.width, Math.max(0, cursor.x + x)), y: Math.min(canvas.height, Math.max(0, cursor.y + y)) };
    redraw();
  } else if (event.key === " ") {
    strokes.push({ size: width(), points: [{ ...cursor }] });
    say(text("painted"));
    redraw();
    told();
  } else if (event.key === "Backspace") {
    undo();
  } else {
    return;
  }
  event.preventDefault();
});
for (const name of ["focus", "blur"]) canvas.addEventListener(name, redraw);
find("#undo").addEventListener("click", undo);
find("#clear").addEventListener("click", () => { strokes = []; redraw(); told(); });
