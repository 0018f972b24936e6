// Draws, brings the drawing into the form of MNIST's images, and asks the model while one draws.

import { toMnist, SIDE } from "./mnist.js";

const INK = 22; // width of a stroke in pixels of the field, as thick as MNIST's after scaling
const model = document.body.dataset.model;
const field = document.querySelector("#drawing");
const pen = field.getContext("2d", { willReadFrequently: true });
const answer = document.querySelector("#answer");
const list = document.querySelector("#probabilities");

const rows = Array.from({ length: 10 }, (_, digit) => {
  const row = document.createElement("li");
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", `Probability of ${digit}`);
  const share = document.createElement("output");
  row.append(String(digit), bar, share);
  list.append(row);
  return { row, bar, share };
});

let last = null; // where the pen was, null while it is up
let waiting = false; // a request is under way
let changed = false; // the drawing changed since it was sent

function position(event) {
  const box = field.getBoundingClientRect();
  const scale = field.width / box.width;
  return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
}

function stroke(from, to) {
  pen.strokeStyle = getComputedStyle(document.body).color;
  pen.lineWidth = INK;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(from.x, from.y);
  pen.lineTo(to.x, to.y);
  pen.stroke();
  changed = true;
  ask();
}

field.addEventListener("pointerdown", (event) => {
  if (event.button > 0) return;
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

document.querySelector("#clear").addEventListener("click", () => {
  pen.clearRect(0, 0, field.width, field.height);
  changed = false;
  showImage(null);
  show(null);
});

// One request at a time: what is drawn meanwhile goes with the next.
async function ask() {
  if (waiting || !changed) return;
  waiting = true;
  changed = false;
  const image = toMnist(pen.getImageData(0, 0, field.width, field.height));
  showImage(image);
  try {
    if (image) await predict(image);
  } catch (error) {
    answer.textContent = `No answer: ${error.message}`;
    answer.classList.add("failed");
  }
  waiting = false;
  requestAnimationFrame(ask);
}

async function predict(image) {
  const response = await fetch(`/v1/models/${model}:predict`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ instances: [image] }),
  });
  const content = await response.json();
  if (!response.ok) throw new Error(content.error);
  if (!isEmpty()) show(content.predictions[0].probabilities);
}

function isEmpty() {
  return toMnist(pen.getImageData(0, 0, field.width, field.height)) === null;
}

function show(probabilities) {
  const best = probabilities ? probabilities.indexOf(Math.max(...probabilities)) : -1;
  rows.forEach(({ row, bar, share }, digit) => {
    const value = probabilities ? probabilities[digit] : 0;
    bar.value = value;
    share.textContent = probabilities ? `${(100 * value).toFixed(1)} %` : "";
    row.classList.toggle("best", digit === best);
  });
  answer.classList.remove("failed");
  answer.textContent = probabilities ? `It is a ${best}` : "Nothing drawn yet";
}

function showImage(image) {
  const canvas = document.querySelector("#seen").getContext("2d");
  const pixels = canvas.createImageData(SIDE, SIDE);
  for (let i = 0; i < SIDE * SIDE; i++) {
    pixels.data.fill(image ? image[Math.floor(i / SIDE)][i % SIDE] : 0, 4 * i, 4 * i + 3);
    pixels.data[4 * i + 3] = 255;
  }
  canvas.putImageData(pixels, 0, 0);
}

async function showVersion() {
  const response = await fetch(`/v1/models/${model}`);
  const [status] = (await response.json()).model_version_status;
  document.querySelector("#version").textContent = `version ${status.version}`;
}

show(null);
showImage(null);
showVersion();
