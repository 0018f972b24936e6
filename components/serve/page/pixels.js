// From a drawing or a picture to the pixels that a model is asked about.
//
// An image is rows of numbers from 0 to 255, 0 being background.

/**
 * Makes every pixel of the image the mean of those of the source that fall into it.
 *
 * @param {(x: number, y: number) => number} source
 * @param {{width: number, height: number}} from the size of the source
 * @param {{width: number, height: number}} to the size of the image
 * @returns {number[][]}
 */
export function shrink(source, from, to) {
  const [across, down] = [from.width / to.width, from.height / to.height];
  const mean = (row, column) => {
    let [sum, count] = [0, 0];
    for (let y = Math.floor(row * down); y < Math.ceil((row + 1) * down); y++) {
      for (let x = Math.floor(column * across); x < Math.ceil((column + 1) * across); x++) {
        sum += source(x, y);
        count++;
      }
    }
    return sum / count;
  };
  return Array.from({ length: to.height }, (_, row) =>
    Array.from({ length: to.width }, (_, column) => mean(row, column)),
  );
}

/**
 * @param {ImageData} drawing where the alpha channel is the ink
 * @param {{width: number, height: number}} to
 * @returns {number[][] | null} null where there is no ink
 */
export function fromDrawing(drawing, to) {
  const { width, data } = drawing;
  const image = shrink((x, y) => data[4 * (y * width + x) + 3], drawing, to);
  return image.some((row) => row.some((value) => value > 0)) ? rounded(image) : null;
}

/**
 * Fits a picture into the image, whole and in its proportions, on a background of 0.
 *
 * @param {ImageBitmap} picture
 * @param {{width: number, height: number}} to
 * @param {boolean} invert whether the picture's background is its brightest
 * @returns {number[][]}
 */
export function fromPicture(picture, to, invert) {
  const scale = Math.max(picture.width / to.width, picture.height / to.height);
  const detail = Math.max(1, Math.min(8, Math.round(scale))); // pixels averaged each way
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [to.width * detail, to.height * detail];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = invert ? "white" : "black";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const [width, height] = [(picture.width / scale) * detail, (picture.height / scale) * detail];
  context.drawImage(picture, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const grey = (x, y) => {
    const [red, green, blue] = data.subarray(4 * (y * canvas.width + x));
    const luma = 0.299 * red + 0.587 * green + 0.114 * blue; // ITU-R BT.601
    return invert ? 255 - luma : luma;
  };
  return rounded(shrink(grey, canvas, to));
}

function rounded(image) {
  return image.map((row) => row.map(Math.round));
}
