// Draws or takes a picture, brings it into the form of the model's images, and asks the model.

import { SIDE, toMnist } from "./mnist.js";
import { fromDrawing, fromPicture } from "./pixels.js";

const FIELD = 280; // pixels of the field's longer side
const THICK = 0.08; // a stroke as a share of the shorter side, as thick as MNIST's after scaling
const ALL = 12; // classes up to which all have a row; of more, the most probable ten
const $ = (selector) => document.querySelector(selector);
const name = document.body.dataset.model;
const field = $("#drawing");
const pen = field.getContext("2d", { willReadFrequently: true });
const answer = $("#answer");

let model; // its version, the size of its images and the names of its classes
let rows = [];
let picture = null; // the one chosen; null while one draws
let last = null; // where the pen was, null while it is up
let waiting = false; // a request is under way
let changed = false; // the image changed since it was asked about

function position(event) {
  const box = field.getBoundingClientRect();
  const scale = field.width / box.width;
  return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
}

function stroke(from, to) {
  picture = null;
  pen.lineWidth = Math.round(THICK * Math.min(field.width, field.height));
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(from.x, from.y);
  pen.lineTo(to.x, to.y);
  pen.stroke();
  changed = true;
  ask();
}

field.addEventListener("pointerdown", (event) => {
  if (event.button > 0 || !model) return;
  field.setPointerCapture(event.pointerId);
  last = position(event);
  stroke(last, last);
});
field.addEventListener("pointermove", (event) => {
  if (last === null) return;
  for (const point of event.getCoalescedEvents?.() ?? [event]) {
    const here = position(point);
    stroke(last, here);
    last = here;
  }
});
for (const end of ["pointerup", "pointercancel"]) {
  field.addEventListener(end, () => (last = null));
}

function clear() {
  pen.clearRect(0, 0, field.width, field.height);
  picture = null;
  changed = false;
  showImage(null);
  show(null);
}

$("#clear").addEventListener("click", clear);
$("#picture").addEventListener("change", async ({ target }) => {
  const [file] = target.files;
  if (!file) return;
  await loaded; // a picture may be chosen before the page knows its model
  if (!model) return;
  clear();
  try {
    picture = await createImageBitmap(file);
    changed = true;
    ask();
  } catch {
    fail(`${file.name} is no picture that this browser reads`);
  }
  target.value = ""; // so that the same file can be chosen again
});
$("#invert").addEventListener("change", () => {
  changed ||= picture !== null;
  ask();
});

// Handwritten characters of 28 × 28 pixels are centred as MNIST's and EMNIST's are; of other images
// nobody knows how they were made, so the field is the image.
function image() {
  if (picture) return fromPicture(picture, model.size, $("#invert").checked);
  const drawing = pen.getImageData(0, 0, field.width, field.height);
  return model.handwritten ? toMnist(drawing) : fromDrawing(drawing, model.size);
}

// One request at a time: what is drawn meanwhile goes with the next.
async function ask() {
  if (waiting || !changed) return;
  waiting = true;
  changed = false;
  const asked = image();
  showImage(asked);
  try {
    if (asked) await predict(asked);
  } catch (error) {
    fail(error.message);
  }
  waiting = false;
  requestAnimationFrame(ask);
}

async function predict(asked) {
  const response = await fetch(`/v1/models/${name}:predict`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ instances: [asked] }),
  });
  const content = await response.json();
  if (!response.ok) throw new Error(content.error);
  if (picture || image()) show(content.predictions[0].probabilities); // unless cleared meanwhile
}

function fail(reason) {
  answer.textContent = `No answer: ${reason}`;
  answer.classList.add("failed");
}

function show(probabilities) {
  const names = model.class_names;
  let shown = names.map((label, place) => ({ label, share: probabilities?.[place] ?? 0 }));
  const best = shown.reduce((one, other) => (other.share > one.share ? other : one));
  if (rows.length < names.length) shown = shown.sort((one, other) => other.share - one.share);
  rows.forEach(({ row, label, bar, output }, place) => {
    label.textContent = shown[place].label;
    bar.value = shown[place].share;
    bar.setAttribute("aria-label", `Probability of ${shown[place].label}`);
    output.textContent = probabilities ? `${(100 * shown[place].share).toFixed(1)} %` : "";
    row.classList.toggle("best", Boolean(probabilities) && shown[place].label === best.label);
  });
  answer.classList.remove("failed");
  answer.textContent = probabilities ? `It looks like ${best.label}` : "Nothing drawn yet";
}

function showImage(asked) {
  const { width, height } = model.size;
  const context = $("#seen").getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const value = asked ? asked[Math.floor(i / width)][i % width] : 0;
    pixels.data.fill(value, 4 * i, 4 * i + 3);
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
}

function makeRow() {
  const row = document.createElement("li");
  const label = document.createElement("span");
  const bar = document.createElement("progress");
  const output = document.createElement("output");
  bar.max = 1;
  row.append(label, bar, output);
  return { row, label, bar, output };
}

// Another champion may have other images and other classes.
async function load() {
  const response = await fetch("/page/model.json");
  const { version, image_shape, class_names } = await response.json();
  const [height, width] = image_shape;
  const handwritten =
    width === SIDE && height === SIDE && class_names.every((label) => [...label].length === 1);
  model = { class_names, size: { width, height }, handwritten };
  const scale = FIELD / Math.max(width, height);
  field.width = Math.max(Math.round(width * scale), FIELD / 10);
  field.height = Math.max(Math.round(height * scale), FIELD / 10);
  [$("#seen").width, $("#seen").height] = [width, height];
  $("#size").textContent = `${height} × ${width} pixels`;
  $("#version").textContent = `version ${version}`;
  const many = class_names.length > ALL;
  rows = Array.from({ length: many ? 10 : class_names.length }, makeRow);
  $("#probabilities").replaceChildren(...rows.map(({ row }) => row));
  clear();
}

const loaded = load().catch((error) => fail(error.message));
