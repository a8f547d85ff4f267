// A volume is {data, shape}: a typed array whose last of three axes changes fastest, as in numpy.

export const count = (shape) => shape.reduce((product, size) => product * size, 1);

/** How far apart neighbours along each axis are in the data. */
export const strides = (shape) => [shape[1] * shape[2], shape[2], 1];

/** The volume with its axes in another order; axis i of the result is axis axes[i] of the volume. */
export function transposed({data, shape}, axes) {
  if (axes.every((axis, index) => axis === index)) return {data, shape};
  const steps = strides(shape);
  const [a, b, c] = axes.map((axis) => shape[axis]);
  const [stepA, stepB, stepC] = axes.map((axis) => steps[axis]);
  const result = new data.constructor(data.length);
  let to = 0;
  for (let i = 0; i < a; i++) {
    for (let j = 0; j < b; j++) {
      for (let k = 0, from = i * stepA + j * stepB; k < c; k++, from += stepC) result[to++] = data[from];
    }
  }
  return {data: result, shape: [a, b, c]};
}

/** The part of a volume inside a box [[start, stop], ...]. */
export function cropped({data, shape}, box) {
  const inside = box.map(([start, stop]) => stop - start);
  const result = new data.constructor(count(inside));
  rows(shape, box, (from, to, length) => result.set(data.subarray(from, from + length), to));
  return {data: result, shape: inside};
}

/** A volume of zeros with this one inside a box. */
export function placed({data}, box, shape) {
  const result = new data.constructor(count(shape));
  rows(shape, box, (outside, inside, length) => result.set(data.subarray(inside, inside + length), outside));
  return {data: result, shape};
}

/** Calls back for each row of a box: where it starts in the volume, where in the box, and its length. */
function rows(shape, [[z0, z1], [y0, y1], [x0, x1]], callback) {
  const length = x1 - x0;
  let inside = 0;
  for (let z = z0; z < z1; z++) {
    for (let y = y0; y < y1; y++, inside += length) callback((z * shape[1] + y) * shape[2] + x0, inside, length);
  }
}
