// Ink as MNIST's pictures have it, and how it is found on anyone's picture.

const MNIST_BOX = 20; // pixels: the longer side of a digit
const MNIST_DARK = 64; // of 255: the border of a picture of MNIST's is darker
const MNIST_STROKE = 2.6; // pixels in the box: strokes on a picture that are thinner are made as wide
const MNIST_LENGTH_SLACK = 2; // pixels that the longer side may differ by, in a picture that has MNIST's form
const MNIST_CENTRE_SLACK = 1; // pixels that its centre of mass may lie off the middle
const FAINT = 0.25; // of the full ink: what is more is part of a stroke
const SPECK = 0.05; // of the largest connected component's area: what is smaller is dirt
const DIGIT_LENGTH = 0.1; // of a picture's side: a connected component that may be a digit is longer
const PAPER_WINDOW = 0.3; // of a picture's side: wider than any stroke, narrower than most shadows
const FAINTEST = 0.06; // of the paper's brightness: what is fainter is no ink
const LONGEST = 1400; // pixels of the longer side of a picture that is read as it is

/** Average the rows of x[rows,columns] to `to` values each; return them transposed, [to,rows].
 *
 * Each is the mean of the pixels within `reach` of its centre, weighted by how far away their own centres are.
 */
function averageRows(x, rows, columns, to, reach, weigh) {
  const y = new Float64Array(to * rows);
  const step = columns / to;
  for (let t = 0; t < to; t++) {
    const centre = (t + 0.5) * step;
    const start = Math.max(0, Math.floor(centre - reach));
    const end = Math.min(columns, Math.ceil(centre + reach));
    const weights = Float64Array.from({ length: end - start }, (_, p) => weigh(start + p + 0.5 - centre));
    const whole = weights.reduce((a, b) => a + b);
    for (let r = 0; r < rows; r++) {
      let sum = 0;
      for (let p = start; p < end; p++) sum += weights[p - start] * x[r * columns + p];
      y[t * rows + r] = sum / whole;
    }
  }
  return y;
}

/** Return x[rows,columns] averaged down to [toRows,toColumns]. */
function resized(x, rows, columns, toRows, toColumns) {
  const area = (y, lines, from, to) => {
    const reach = from / to / 2;
    const covered = (far) => Math.max(0, Math.min(0.5, reach - far) + Math.min(0.5, reach + far));
    return averageRows(y, lines, from, to, reach, covered);
  };
  return area(area(x, rows, columns, toColumns), toColumns, rows, toRows);
}

/** Return x[rows,columns] scaled to [toRows,toColumns], bilinear over all that a value stands for, in whole numbers. */
function scaled(x, rows, columns, toRows, toColumns) {
  const bilinear = (y, lines, from, to) => {
    const reach = Math.max(1, from / to);
    const near = (far) => Math.max(0, 1 - Math.abs(far) / reach);
    return averageRows(y, lines, from, to, reach, near).map(Math.round);
  };
  return bilinear(bilinear(x, rows, columns, toColumns), toColumns, rows, toRows);
}

/** Return a number rounded to a whole one, to the even one if it lies between two. */
function rounded(x) {
  return x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);
}

/** Return a picture of luma[rows,columns] as it is: scaled to fit side x side bytes, in the middle of black. */
function fitted(luma, rows, columns, side) {
  const longer = Math.max(rows, columns);
  const [height, width] = [rows, columns].map((length) => Math.max(1, rounded((length / longer) * side)));
  const small = scaled(luma, rows, columns, height, width);
  const [top, left] = [height, width].map((length) => rounded((side - length) / 2));
  const image = new Uint8Array(side * side);
  for (let row = 0; row < height; row++) {
    image.set(small.subarray(row * width, (row + 1) * width), (top + row) * side + left);
  }
  return image;
}

/** Return the rows and columns that ink reaches, at half of the strongest, or null where there is none. */
function inkBox(ink, rows, columns) {
  let strongest = 0;
  for (const value of ink) if (value > strongest) strongest = value;
  if (!strongest) return null;
  let [top, left, bottom, right] = [rows, columns, 0, 0];
  for (let row = 0, at = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, at++) {
      if (2 * ink[at] < strongest) continue;
      if (row < top) top = row;
      if (column < left) left = column;
      if (column >= right) right = column + 1;
      bottom = row + 1;
    }
  }
  return { top, left, height: bottom - top, width: right - left };
}

/** Return the row and column of the centre of mass of x[rows,columns]. */
function centreOfMass(x, columns) {
  let [mass, down, right] = [0, 0, 0];
  x.forEach((value, at) => {
    mass += value;
    down += value * (Math.floor(at / columns) + 0.5);
    right += value * ((at % columns) + 0.5);
  });
  return [down / mass, right / mass];
}

/** Return ink as MNIST has it: side x side bytes, its longer side 20 pixels, its centre of mass in the middle. */
function asMnist(ink, rows, columns, side) {
  const image = new Uint8Array(side * side);
  const box = inkBox(ink, rows, columns);
  if (!box) return image;
  const crop = new Float64Array(box.height * box.width);
  for (let row = 0; row < box.height; row++) {
    const start = (box.top + row) * columns + box.left;
    crop.set(ink.subarray(start, start + box.width), row * box.width);
  }
  const scale = MNIST_BOX / Math.max(box.height, box.width);
  const height = Math.max(1, Math.round(box.height * scale));
  const width = Math.max(1, Math.round(box.width * scale));
  const small = resized(crop, box.height, box.width, height, width);
  const strongest = small.reduce((a, b) => Math.max(a, b));
  const [down, right] = centreOfMass(small, width);
  const top = Math.min(Math.max(Math.round(side / 2 - down), 0), side - height);
  const left = Math.min(Math.max(Math.round(side / 2 - right), 0), side - width);
  small.forEach((value, at) => {
    image[(top + Math.floor(at / width)) * side + left + (at % width)] = Math.round((255 * value) / strongest);
  });
  return image;
}

/** Return whether a picture, bytes, white on black, has MNIST's form already. */
function isMnist(image, side) {
  const box = inkBox(image, side, side);
  if (!box || onBorder(image, side, side).some((value) => value >= MNIST_DARK)) return false;
  const length = Math.max(box.height, box.width);
  return (
    Math.abs(length - MNIST_BOX) <= MNIST_LENGTH_SLACK &&
    centreOfMass(image, side).every((place) => Math.abs(place - side / 2) <= MNIST_CENTRE_SLACK)
  );
}

/** Return the maximum (pick = Math.max) or minimum of the 2 reach + 1 values around each, along rows; transposed. */
function slide(pick, x, rows, columns, reach) {
  const y = new Float64Array(x.length);
  const size = 2 * reach + 1;
  const line = new Float64Array(columns + 2 * reach);
  for (let r = 0; r < rows; r++) {
    for (let p = 0; p < line.length; p++) {
      line[p] = x[r * columns + Math.min(columns - 1, Math.max(0, p - reach))];
    }
    let span = 1; // of the values that each place stands for, itself and those after it: doubled while it is too short
    while (span < size) {
      const step = Math.min(span, size - span);
      for (let p = 0; p < line.length - step; p++) line[p] = pick(line[p], line[p + step]);
      span += step;
    }
    for (let p = 0; p < columns; p++) y[p * rows + r] = line[p];
  }
  return y;
}

/** Return a picture's brightness with all ink filled: the closing by a square. */
function paperOf(plane, rows, columns) {
  const reach = Math.ceil((PAPER_WINDOW * Math.max(rows, columns)) / 2);
  let x = plane;
  for (const pick of [Math.max, Math.min]) {
    x = slide(pick, slide(pick, x, rows, columns, reach), columns, rows, reach);
  }
  return x;
}

/** Return the value that divides values from 0 to 1 into the two classes that are farthest apart (Otsu 1979). */
function otsu(values) {
  const counts = new Float64Array(64);
  for (const value of values) counts[Math.min(63, Math.floor(value * 64))]++;
  const total = counts.reduce((sum, count, bin) => sum + count * bin, 0);
  let [below, sum, best, threshold] = [0, 0, -1, 0];
  counts.forEach((count, bin) => {
    below += count;
    sum += count * bin;
    const above = values.length - below;
    const apart = below && above ? below * above * (sum / below - (total - sum) / above) ** 2 : 0;
    if (apart > best) [best, threshold] = [apart, (bin + 1) / 64];
  });
  return threshold;
}

/** Return the connected components of ink above a threshold: the pixels of each, and the rows and columns it reaches. */
function components(ink, rows, columns, threshold) {
  const seen = ink.map((value) => Number(value <= threshold));
  const found = [];
  for (let seed = 0; seed < ink.length; seed++) {
    if (seen[seed]) continue;
    const pixels = [seed];
    const one = { pixels, top: rows, left: columns, bottom: 0, right: 0 };
    seen[seed] = 1;
    for (const at of pixels) {
      // which grow on the way
      const [row, column] = [Math.floor(at / columns), at % columns];
      one.top = Math.min(one.top, row);
      one.left = Math.min(one.left, column);
      one.bottom = Math.max(one.bottom, row + 1);
      one.right = Math.max(one.right, column + 1);
      for (let r = Math.max(0, row - 1); r <= Math.min(rows - 1, row + 1); r++) {
        for (let c = Math.max(0, column - 1); c <= Math.min(columns - 1, column + 1); c++) {
          const next = r * columns + c;
          if (seen[next]) continue;
          seen[next] = 1;
          pixels.push(next);
        }
      }
    }
    found.push(one);
  }
  return found;
}

/** Return ink without specks, and without what lies at the picture's edge where something else may be the digit. */
function isolated(ink, rows, columns) {
  const long = ({ top, left, bottom, right }) =>
    Math.max(bottom - top, right - left) > DIGIT_LENGTH * Math.max(rows, columns);
  const inside = ({ top, left, bottom, right }) => top > 0 && left > 0 && bottom < rows && right < columns;
  const all = components(ink, rows, columns, FAINT);
  const within = all.filter(inside);
  const kept = within.some(long) ? within : all;
  const least = SPECK * kept.reduce((area, { pixels }) => Math.max(area, pixels.length), 0);
  const digit = new Float64Array(ink.length);
  for (const { pixels } of kept) if (pixels.length >= least) for (const at of pixels) digit[at] = ink[at];
  return digit;
}

/** Return ink with strokes at least as wide as MNIST's will be in the box; a stroke is twice its area by its outline. */
function thickened(ink, rows, columns) {
  const box = inkBox(ink, rows, columns);
  if (!box) return ink;
  let [area, outline] = [0, 0];
  for (let row = 0; row < rows - 1; row++) {
    for (let at = row * columns; at < (row + 1) * columns - 1; at++) {
      area += ink[at];
      outline += Math.hypot(ink[at + 1] - ink[at], ink[at + columns] - ink[at]);
    }
  }
  const length = Math.max(box.height, box.width);
  // (stroke + 2 reach) scaled by MNIST_BOX / (length + 2 reach) is MNIST_STROKE.
  const reach = Math.round((MNIST_STROKE * length - (MNIST_BOX * 2 * area) / outline) / (MNIST_BOX - MNIST_STROKE) / 2);
  return reach > 0 ? slide(Math.max, slide(Math.max, ink, rows, columns, reach), columns, rows, reach) : ink;
}

/** Return a picture's brightness, 0 to 255: what is transparent lies on white, or on black under light ink. */
function brightness({ data }) {
  let [light, opaque] = [0, 0];
  const luma = new Float64Array(data.length / 4);
  for (let at = 0; at < luma.length; at++) {
    const [red, green, blue, alpha] = data.subarray(4 * at, 4 * at + 4);
    luma[at] = 0.299 * red + 0.587 * green + 0.114 * blue;
    light += luma[at] * alpha;
    opaque += alpha;
  }
  const transparent = opaque < 255 * luma.length;
  const behind = transparent && light > 128 * opaque ? 0 : 255;
  return luma.map((value, at) => behind + ((value - behind) * data[4 * at + 3]) / 255);
}

/** Return the values along the border of x[rows,columns]. */
function onBorder(x, rows, columns) {
  return x.filter((_, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    return row === 0 || column === 0 || row === rows - 1 || column === columns - 1;
  });
}

/** Return whether a picture's paper, the middle value of its border, is nearer to its lightest than to its darkest. */
function onLightPaper(luma, rows, columns) {
  const border = onBorder(luma, rows, columns).sort();
  const paper = border[Math.floor(border.length / 2)];
  const [low, high] = luma.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [255, 0]);
  return paper - low >= high - paper;
}

/** Return the digit's ink on a picture of luma[rows,columns], 0 to 1. */
function inkOf(luma, rows, columns) {
  const plane = onLightPaper(luma, rows, columns) ? luma : luma.map((value) => 255 - value);
  const paper = paperOf(plane, rows, columns);
  const ink = plane.map((value, at) => Math.max(0, 1 - (value + 1) / (paper[at] + 1)));
  const strongest = ink.reduce((a, b) => Math.max(a, b));
  if (strongest < FAINTEST) return ink.fill(0);
  const even = ink.map((value) => value / strongest);
  const threshold = otsu(even);
  const sharp = even.map((value) => Math.min(1, Math.max(0, (value - threshold) / threshold + 0.5)));
  return thickened(isolated(sharp, rows, columns), rows, columns);
}

/** Return the pixels of a picture file, its longer side `length`, but at most `largest` times as large. */
async function decoded(file, length, largest = Infinity) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(largest, length / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(
    Math.max(1, Math.round(bitmap.width * scale)),
    Math.max(1, Math.round(bitmap.height * scale)),
  );
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return pen.getImageData(0, 0, canvas.width, canvas.height);
}

/** Return a canvas that holds ink, 0 to 1, as the opacity of black. */
function inkCanvas(ink, rows, columns) {
  const canvas = new OffscreenCanvas(columns, rows);
  const pixels = new ImageData(columns, rows);
  ink.forEach((value, at) => (pixels.data[4 * at + 3] = 255 * value));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}
