// Brings a drawing into the form of MNIST's images: the ink scaled into a box of 20 × 20 pixels
// with its proportions kept, and its centre of mass put on pixel (14, 14) of 28 × 28.
//
// Source: http://yann.lecun.com/exdb/mnist/, "The MNIST database of handwritten digits".

import { shrink } from "./pixels.js";

export const SIDE = 28;
const BOX = 20;

/**
 * @param {ImageData} drawing where the alpha channel is the ink
 * @returns {number[][] | null} 28 rows of 28 numbers from 0 to 255, null where there is no ink
 */
export function toMnist(drawing) {
  const { width, height, data } = drawing;
  const ink = (x, y) => (x < width && y < height ? data[4 * (y * width + x) + 3] : 0);
  const box = bounds(width, height, ink);
  if (box === null) return null;
  const inBox = (x, y) => (x < box.width && y < box.height ? ink(box.left + x, box.top + y) : 0);
  const side = Math.max(box.width, box.height, BOX);
  return centre(shrink(inBox, { width: side, height: side }, { width: BOX, height: BOX }));
}

function bounds(width, height, ink) {
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (ink(x, y) === 0) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
  }
  return right < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

function centre(pixels) {
  let [mass, sumX, sumY] = [0, 0, 0];
  pixels.forEach((row, y) =>
    row.forEach((value, x) => {
      mass += value;
      sumX += value * x;
      sumY += value * y;
    }),
  );
  const [right, down] = [Math.round(SIDE / 2 - sumX / mass), Math.round(SIDE / 2 - sumY / mass)];
  const image = Array.from({ length: SIDE }, () => new Array(SIDE).fill(0));
  pixels.forEach((row, y) =>
    row.forEach((value, x) => {
      if (image[y + down]?.[x + right] !== undefined) image[y + down][x + right] = Math.round(value);
    }),
  );
  return image;
}
